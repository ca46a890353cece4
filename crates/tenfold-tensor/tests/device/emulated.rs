//! A device that is not there: kernels are compiled as C++ and their threads run one after another on the processor.
//!
//! It finds what a real device may hide: every launch checks that kernels touch only live memory, that threads of a block
//! meet where they wait for each other, and that no two threads touch a word without an order between them.
#![allow(unsafe_code, reason = "memory by address, and calls of the library")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tenfold_tensor::device::{Argument, Driver, Fault, Product};

mod compile;
mod memory;
mod product;

use memory::Memory;
#[allow(unused_imports, reason = "not every test asks")]
pub(crate) use {compile::compiler, product::bf16};

/// One launch at a time in the whole process: threads and blocks are numbered in global variables of the library.
static TURN: Mutex<()> = Mutex::new(());

/// The emulated device.
pub(crate) struct Emulated {
    library: libloading::Library,
    path: PathBuf,
    source: String,
    memory: Mutex<Memory>,
    watch: Arc<Watch>,
}

/// What was asked of a device, and how it is to behave; shared with whoever asked for it.
#[derive(Default)]
pub(crate) struct Watch {
    launches: Mutex<BTreeMap<String, usize>>,
    uploads: AtomicUsize,
    downloads: AtomicUsize,
    products: AtomicUsize,
    live_bytes: AtomicUsize,
    room: Mutex<Option<usize>>,
    backwards: AtomicBool,
    races_allowed: AtomicBool,
}

#[allow(dead_code, reason = "tests ask what they need")]
impl Watch {
    /// How often each kernel ran.
    pub(crate) fn launches(&self) -> BTreeMap<String, usize> {
        lock(&self.launches).clone()
    }

    /// How often one kernel ran.
    pub(crate) fn launches_of(&self, kernel: &str) -> usize {
        lock(&self.launches).get(kernel).copied().unwrap_or(0)
    }

    /// Copies to the device.
    pub(crate) fn uploads(&self) -> usize {
        self.uploads.load(Ordering::Relaxed)
    }

    /// Copies from the device.
    pub(crate) fn downloads(&self) -> usize {
        self.downloads.load(Ordering::Relaxed)
    }

    /// Products of matrices, a batch being one.
    pub(crate) fn products(&self) -> usize {
        self.products.load(Ordering::Relaxed)
    }

    /// Bytes that are allocated and not released.
    pub(crate) fn live_bytes(&self) -> usize {
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// Sets how many bytes there are; `None` for no limit.
    pub(crate) fn set_room(&self, bytes: Option<usize>) {
        *lock(&self.room) = bytes;
    }

    /// Turns the order of threads around. Results of a kernel that relies on no order stay the same, but for the rounding
    /// of atomic sums.
    pub(crate) fn set_backwards(&self, backwards: bool) {
        self.backwards.store(backwards, Ordering::Relaxed);
    }

    /// Whether threads may touch a word without an order, which a block that ends last and collects what others wrote does.
    pub(crate) fn allow_races(&self, allowed: bool) {
        self.races_allowed.store(allowed, Ordering::Relaxed);
    }
}

/// The arguments of the library's entry, in its order.
#[repr(C)]
struct Order {
    grid: [u32; 2],
    block: u32,
    backwards: u32,
    races: u32,
    live: *const [u64; 2],
    live_count: usize,
}

type Launch = unsafe extern "C" fn(*const i8, *const Order, *mut *mut c_void, *const i8) -> std::ffi::c_int;

impl Emulated {
    /// A device with the kernels of a source.
    pub(crate) fn build(source: &str) -> Emulated {
        let path = compile::library(source);
        // SAFETY: the library was compiled from sources of this repository; loading it only sets its variables.
        let library = unsafe { libloading::Library::new(&path) }.unwrap();
        let (memory, watch) = Default::default();
        Emulated { library, path, source: source.to_owned(), memory, watch }
    }

    /// What is asked of the device from now on.
    pub(crate) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }

    /// Runs a kernel; the library's word on it.
    fn run(&self, kernel: &str, order: &Order, values: &mut [u64], kinds: &str) -> Result<(), Fault> {
        let name = CString::new(kernel).map_err(|_| Fault::Kernel(kernel.to_owned()))?;
        let kinds = CString::new(kinds).unwrap();
        let mut pointers: Vec<*mut c_void> =
            values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect();
        // SAFETY: the types are those of the library's functions. Each argument has 8 bytes, of which the kernel takes
        // as many as the type has that `kinds` names; the library compares the kinds. One thread calls at a time.
        unsafe {
            let launch = self.library.get::<Launch>(b"emulated_launch\0").unwrap();
            match launch(name.as_ptr().cast(), order, pointers.as_mut_ptr(), kinds.as_ptr().cast()) {
                0 => return Ok(()),
                1 => return Err(Fault::Kernel(kernel.to_owned())),
                _ => {}
            }
            let reason =
                self.library.get::<unsafe extern "C" fn() -> *const i8>(b"emulated_reason\0").unwrap();
            let places =
                self.library.get::<unsafe extern "C" fn() -> *const [usize; 2]>(b"emulated_where\0").unwrap();
            let reason = CStr::from_ptr(reason().cast()).to_string_lossy().into_owned();
            Err(failed(kernel, &compile::with_lines(&reason, &self.path, *places(), &self.source)))
        }
    }
}

impl Driver for Emulated {
    fn name(&self) -> String {
        "emulated".to_owned()
    }

    fn allocate(&self, bytes: usize) -> Result<u64, Fault> {
        let mut memory = self.memory();
        let live = self.watch.live_bytes();
        if lock(&self.watch.room).is_some_and(|room| live + bytes > room) {
            return Err(Fault::Memory { bytes });
        }
        self.watch.live_bytes.store(live + bytes, Ordering::Relaxed);
        Ok(memory.allocate(bytes))
    }

    fn release(&self, address: u64) {
        let bytes = self.memory().release(address);
        self.watch.live_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn upload(&self, to: u64, from: &[u8]) -> Result<(), Fault> {
        let memory = self.memory();
        memory.check(to, from.len(), "copy to the device")?;
        self.watch.uploads.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the block is live and has the bytes, and nobody else holds the lock.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to as *mut u8, from.len()) };
        Ok(())
    }

    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), Fault> {
        let memory = self.memory();
        memory.check(from, to.len(), "copy from the device")?;
        self.watch.downloads.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn launch(&self, kernel: &str, grid: [u32; 2], block: u32, arguments: &[Argument]) -> Result<(), Fault> {
        let _turn = lock(&TURN);
        let memory = self.memory();
        let (mut kinds, mut values) = (String::new(), Vec::new());
        for &argument in arguments {
            let (kind, value) = match argument {
                Argument::Address(address) => ('p', address),
                Argument::Whole(whole) => ('u', u64::from(whole)),
                // The first bytes of the word, as everywhere where the lowest come first.
                Argument::Number(number) => ('f', u64::from(number.to_bits())),
            };
            if kind == 'p' && value != 0 {
                memory.check(value, 0, "take an argument")?;
            }
            kinds.push(kind);
            values.push(value);
        }
        let live = memory.live();
        let order = Order {
            grid,
            block,
            backwards: self.watch.backwards.load(Ordering::Relaxed).into(),
            races: (!self.watch.races_allowed.load(Ordering::Relaxed)).into(),
            live: live.as_ptr(),
            live_count: live.len(),
        };
        let outcome = self.run(kernel, &order, &mut values, &kinds);
        let spilled = memory.spilled();
        outcome?;
        if let Some(what) = spilled {
            return Err(failed(kernel, &what));
        }
        *lock(&self.watch.launches).entry(kernel.to_owned()).or_default() += 1;
        Ok(())
    }

    fn multiply(&self, product: &Product) -> Result<(), Fault> {
        let memory = self.memory();
        self.watch.products.fetch_add(1, Ordering::Relaxed);
        product::multiply(&memory, product)
    }
}

fn failed(kernel: &str, what: &str) -> Fault {
    Fault::Failed { doing: "run a kernel", reason: format!("{kernel}: {what}") }
}

/// A test that panicked while it held a lock has failed already; others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
