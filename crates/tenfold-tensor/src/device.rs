//! A machine beside the processor on which ops are computed.
//!
//! An [`Array`] has its elements in the processor's memory, on the device, or in both. Whoever reads them on one
//! side brings them there; whoever writes them on one side makes the other copy worthless. So an op without a kernel needs no
//! word about devices: it is computed by the processor, and costs the way there and back. The processor defines the results;
//! a device may differ by rounding.
//!
//! A device that fails is asked for nothing more: what is read from it afterwards is NaN, and [`check`] says what happened.

mod attention;
mod block;
#[cfg(feature = "cuda")]
mod cuda;
mod driver;
mod elementwise;
mod expert;
mod norm;
mod optim;
mod product;
mod row;

pub use driver::{Argument, Driver, Fault, Matrix, Product};

pub(crate) use attention::Sight;
pub(crate) use block::Block;
pub(crate) use norm::Norm;
pub(crate) use product::Part;

use crate::Array;
use block::Memory;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The kernels, in CUDA C++.
pub const SOURCE: &str = concat!(
    include_str!("device/kernel/common.cu"),
    include_str!("device/kernel/elementwise.cu"),
    include_str!("device/kernel/row.cu"),
    include_str!("device/kernel/norm.cu"),
    include_str!("device/kernel/attention.cu"),
    include_str!("device/kernel/expert.cu"),
    include_str!("device/kernel/optim.cu"),
);

/// Threads of a block of elementwise kernels.
const THREADS: u32 = 256;
/// Threads of a block that works on one row; kernels rely on it.
const ROW_THREADS: u32 = 128;

static ACTIVE: OnceLock<Device> = OnceLock::new();

/// A device in use.
pub(crate) struct Device {
    driver: Box<dyn Driver>,
    faulty: AtomicBool,
    fault: Mutex<Option<Fault>>,
    memory: Mutex<Memory>,
}

/// Lets ops be computed on a device from now on; whether that was still possible. There is one in a process.
pub fn install(driver: Box<dyn Driver>) -> bool {
    let (fault, memory) = (Mutex::new(None), Mutex::new(Memory::default()));
    ACTIVE.set(Device { driver, faulty: AtomicBool::new(false), fault, memory }).is_ok()
}

/// The NVIDIA device with a number.
///
/// # Errors
/// [`Fault::Absent`] where there is none, or no CUDA; failures to compile the kernels.
#[cfg(feature = "cuda")]
pub fn cuda(number: usize) -> Result<Box<dyn Driver>, Fault> {
    Ok(Box::new(cuda::Cuda::new(number)?))
}

/// What the device in use is called, where there is one.
pub fn name() -> Option<String> {
    active().map(|device| device.driver.name())
}

/// Whether there is a device in use.
pub fn is_used() -> bool {
    active().is_some()
}

/// What went wrong on the device, if anything did.
///
/// # Errors
/// The first fault.
pub fn check() -> Result<(), Fault> {
    let fault =
        active().and_then(|device| device.fault.lock().unwrap_or_else(PoisonError::into_inner).clone());
    fault.map_or(Ok(()), Err)
}

/// Waits until the device has done all it was asked for: for timing.
pub fn wait() {
    if active().is_some() {
        Block::of_words(&[0]).read(&mut [0.0]);
    }
}

/// The largest number of bytes that arrays held on the device at once.
pub fn peak_bytes() -> usize {
    active().map_or(0, |device| device.memory().peak())
}

/// The device in use.
#[inline]
pub(crate) fn active() -> Option<&'static Device> {
    ACTIVE.get()
}

/// The device in use, where one of these arrays is on it already.
pub(crate) fn near<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> Option<&'static Device> {
    active().filter(|_| arrays.into_iter().any(Array::is_on_device))
}

/// Brings arrays to the device in use, where they stay: those that nobody writes would come anew for every use otherwise.
pub(crate) fn bring<'a>(arrays: impl IntoIterator<Item = &'a Array>) {
    if active().is_some() {
        arrays.into_iter().for_each(|array| {
            array.read();
        });
    }
}

impl Device {
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it still computes.
    fn works(&self) -> bool {
        !self.faulty.load(Ordering::Relaxed)
    }

    /// Keeps the first fault.
    fn note(&self, outcome: Result<(), Fault>) {
        if let Err(fault) = outcome {
            self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
            self.faulty.store(true, Ordering::Relaxed);
        }
    }

    fn launch(&self, kernel: &'static str, grid: [usize; 2], block: u32, arguments: &[Argument]) {
        if !self.works() || grid.contains(&0) {
            return;
        }
        // The first side of a grid has 31 bits, which fewer than 2^32 elements do not fill; the second has 16.
        let sides = grid.map(|side| u32::try_from(side).unwrap_or(0));
        if sides[0] == 0 || sides[1] == 0 || sides[1] > 65_535 {
            let reason = format!("a grid of {} x {} blocks is too large for {kernel}", grid[0], grid[1]);
            return self.note(Err(Fault::Failed { doing: "start a kernel", reason }));
        }
        self.note(self.driver.launch(kernel, sides, block, arguments));
    }

    /// Runs a kernel with a thread for every element.
    pub(crate) fn each(&self, kernel: &'static str, elements: usize, arguments: &[Argument]) {
        let arguments: Vec<Argument> =
            [whole(elements)].into_iter().chain(arguments.iter().copied()).collect();
        self.launch(kernel, [elements.div_ceil(THREADS as usize), 1], THREADS, &arguments);
    }

    /// Runs a kernel with a block for every row.
    pub(crate) fn rows(&self, kernel: &'static str, rows: usize, arguments: &[Argument]) {
        self.launch(kernel, [rows, 1], ROW_THREADS, arguments);
    }

    /// Runs a kernel on a grid of blocks of as many threads as rows get.
    pub(crate) fn grid(&self, kernel: &'static str, grid: [usize; 2], arguments: &[Argument]) {
        self.launch(kernel, grid, ROW_THREADS, arguments);
    }
}

/// A count as kernels take it. One that does not fit in 32 bits is a fault of the device, which then does no more.
pub(crate) fn whole(count: usize) -> Argument {
    let fits = u32::try_from(count);
    if let (Err(_), Some(device)) = (fits, active()) {
        let reason = format!("kernels cannot count to {count}");
        device.note(Err(Fault::Failed { doing: "start a kernel", reason }));
    }
    Argument::Whole(fits.unwrap_or(0))
}

/// A number as kernels take it.
pub(crate) fn number(value: f32) -> Argument {
    Argument::Number(value)
}

/// A pointer to nothing.
pub(crate) const NOTHING: Argument = Argument::Address(0);
