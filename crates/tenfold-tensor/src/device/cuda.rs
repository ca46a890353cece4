//! An NVIDIA device, through CUDA's driver interface, its run-time compiler and cuBLAS.

use super::{Argument, Driver, Fault, Matrix, Product, SOURCE};
use crate::Precision;
use cudarc::cublas::{result as blas, sys as blas_sys};
use cudarc::driver::result::{self as driver, DriverError};
use cudarc::driver::sys;
use cudarc::nvrtc;
use std::collections::HashMap;
use std::ffi::{CString, c_int, c_void};
use std::sync::{Mutex, PoisonError};

/// The device, its only stream, and what was compiled for it.
pub(super) struct Cuda {
    name: String,
    context: sys::CUcontext,
    stream: sys::CUstream,
    module: sys::CUmodule,
    functions: Mutex<HashMap<String, Function>>,
    /// cuBLAS takes one call at a time.
    blas: Mutex<Blas>,
}

#[derive(Clone, Copy)]
struct Function(sys::CUfunction);
struct Blas(blas_sys::cublasHandle_t);

// SAFETY: CUDA's handles may be used from any thread that has the context, which every call sees to.
unsafe impl Send for Cuda {}
// SAFETY: as above; what must not be used by two threads at a time is behind locks.
unsafe impl Sync for Cuda {}
// SAFETY: as above.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Send for Blas {}

fn failed(doing: &'static str) -> impl Fn(DriverError) -> Fault {
    move |error| Fault::Failed { doing, reason: told(&error) }
}

fn told(error: &DriverError) -> String {
    error.error_string().map_or_else(|_| format!("{error:?}"), |text| text.to_string_lossy().into_owned())
}

impl Cuda {
    pub(super) fn new(number: usize) -> Result<Cuda, Fault> {
        // SAFETY: only looks whether libraries can be loaded; without them the calls below would panic.
        let present = unsafe {
            [
                ("the driver of CUDA (libcuda)", sys::is_culib_present()),
                ("cuBLAS (libcublas)", blas_sys::is_culib_present()),
                ("CUDA's run-time compiler (libnvrtc)", nvrtc::sys::is_culib_present()),
            ]
        };
        if let Some((library, _)) = present.iter().find(|(_, present)| !present) {
            return Err(Fault::Absent(format!("{library} cannot be loaded")));
        }
        let absent = |error: DriverError| Fault::Absent(told(&error));
        driver::init().map_err(absent)?;
        let ordinal = c_int::try_from(number).map_err(|_| Fault::Absent(format!("device {number}")))?;
        let device = driver::device::get(ordinal).map_err(absent)?;
        let name = driver::device::get_name(device).map_err(absent)?;
        // SAFETY: the device is one that CUDA named; the context is kept for as long as the process lasts.
        let (context, capability) = unsafe {
            let context = driver::primary_ctx::retain(device).map_err(absent)?;
            driver::ctx::set_current(context).map_err(absent)?;
            use sys::CUdevice_attribute_enum::{
                CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
                CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
            };
            let of = |attribute| driver::device::get_attribute(device, attribute).map_err(absent);
            (context, of(MAJOR)? * 10 + of(MINOR)?)
        };
        let stream = driver::stream::create(driver::stream::StreamKind::NonBlocking).map_err(absent)?;
        let module = compiled(capability)?;
        let of_blas = |error: blas::CublasError| Fault::Absent(format!("cuBLAS: {error}"));
        let handle = blas::create_handle().map_err(of_blas)?;
        // SAFETY: both handles were made above.
        unsafe { blas::set_stream(handle, stream.cast()) }.map_err(of_blas)?;
        let (functions, blas) = (Mutex::new(HashMap::new()), Mutex::new(Blas(handle)));
        Ok(Cuda { name, context, stream, module, functions, blas })
    }

    /// Makes the context that of the calling thread.
    fn enter(&self, doing: &'static str) -> Result<(), Fault> {
        // SAFETY: the context was made in `new` and is kept.
        unsafe { driver::ctx::set_current(self.context) }.map_err(failed(doing))
    }

    fn function(&self, kernel: &str) -> Result<Function, Fault> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = functions.get(kernel) {
            return Ok(*known);
        }
        let unknown = || Fault::Kernel(kernel.to_owned());
        let name = CString::new(kernel).map_err(|_| unknown())?;
        // SAFETY: the module was loaded in `new` and is kept.
        let found = unsafe { driver::module::get_function(self.module, name) }.map_err(|_| unknown())?;
        functions.insert(kernel.to_owned(), Function(found));
        Ok(Function(found))
    }
}

/// The kernels, compiled for a device of a capability such as 90.
fn compiled(capability: c_int) -> Result<sys::CUmodule, Fault> {
    let fault = |reason: String| Fault::Failed { doing: "compile the kernels", reason };
    let options = nvrtc::CompileOptions {
        options: vec![format!("--gpu-architecture=compute_{capability}"), "--std=c++17".to_owned()],
        ..Default::default()
    };
    let ptx = nvrtc::compile_ptx_with_opts(SOURCE, options).map_err(|error| fault(format!("{error:?}")))?;
    let image = CString::new(ptx.to_src()).map_err(|error| fault(error.to_string()))?;
    // SAFETY: the image is a text that ends with a zero, as CUDA wants it.
    unsafe { driver::module::load_data(image.as_ptr().cast()) }.map_err(|error| fault(told(&error)))
}

impl Driver for Cuda {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn allocate(&self, bytes: usize) -> Result<u64, Fault> {
        self.enter("allocate memory")?;
        // SAFETY: the size is above 0, by the caller's promise.
        unsafe { driver::malloc_sync(bytes) }.map_err(|error| match error.0 {
            sys::cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY => Fault::Memory { bytes },
            _ => failed("allocate memory")(error),
        })
    }

    fn release(&self, address: u64) {
        if self.enter("release memory").is_ok() {
            // SAFETY: the address came from `allocate`. Freeing waits for all work that uses it.
            let _ = unsafe { driver::free_sync(address) };
        }
    }

    fn upload(&self, to: u64, from: &[u8]) -> Result<(), Fault> {
        self.enter("copy to it")?;
        // SAFETY: the memory at the address is as long as the source, by the caller's promise. Of memory that is not locked
        // CUDA takes a copy before it returns.
        unsafe { driver::memcpy_htod_async(to, from, self.stream) }.map_err(failed("copy to it"))
    }

    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), Fault> {
        self.enter("copy from it")?;
        // SAFETY: as above; the bytes are there when the stream has come so far.
        unsafe {
            driver::memcpy_dtoh_async(to, from, self.stream).map_err(failed("copy from it"))?;
            driver::stream::synchronize(self.stream).map_err(failed("copy from it"))
        }
    }

    fn launch(&self, kernel: &str, grid: [u32; 2], block: u32, arguments: &[Argument]) -> Result<(), Fault> {
        self.enter("run a kernel")?;
        let function = self.function(kernel)?;
        // Every argument in a word of its own; kernels read its first four or eight bytes.
        let mut words: Vec<u64> = arguments
            .iter()
            .map(|argument| match argument {
                Argument::Address(address) => *address,
                Argument::Whole(whole) => u64::from(*whole),
                Argument::Number(number) => u64::from(number.to_bits()),
            })
            .collect();
        let mut places: Vec<*mut c_void> =
            words.iter_mut().map(|word| std::ptr::from_mut(word).cast()).collect();
        let (sides, threads) = ((grid[0], grid[1], 1), (block, 1, 1));
        // SAFETY: the arguments are those of the kernel, by the caller's promise, and are copied before the call returns.
        unsafe { driver::launch_kernel(function.0, sides, threads, 0, self.stream, &mut places) }.map_err(
            |error| Fault::Failed { doing: "run a kernel", reason: format!("{kernel}: {}", told(&error)) },
        )
    }

    fn multiply(&self, product: &Product) -> Result<(), Fault> {
        use blas_sys::cublasComputeType_t::{CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_16BF};
        use blas_sys::cublasOperation_t::{CUBLAS_OP_N, CUBLAS_OP_T};
        self.enter("multiply matrices")?;
        let wrong = |reason: String| Fault::Failed { doing: "multiply matrices", reason };
        let size = |count: usize| c_int::try_from(count).map_err(|_| wrong(format!("a side of {count}")));
        let turn = |matrix: &Matrix| if matrix.turned { CUBLAS_OP_T } else { CUBLAS_OP_N };
        let compute = match product.precision {
            Precision::Bf16 => CUBLAS_COMPUTE_32F_FAST_16BF,
            Precision::F32 | Precision::Bf16x3 | Precision::Int8 => CUBLAS_COMPUTE_32F,
        };
        let real = blas_sys::cudaDataType::CUDA_R_32F;
        let (lhs, rhs, to) = (&product.lhs, &product.rhs, &product.to);
        let blas = self.blas.lock().unwrap_or_else(PoisonError::into_inner);
        // cuBLAS stores columns one after the other, so what it reads are transposes: the transposed product has the operands in
        // the other order.
        // SAFETY: the matrices lie in memory of the device, by the caller's promise; the factors are read before the call returns.
        unsafe {
            blas::gemm_strided_batched_ex(
                blas.0,
                turn(rhs),
                turn(lhs),
                size(product.cols)?,
                size(product.rows)?,
                size(product.inner)?,
                std::ptr::from_ref(&product.alpha).cast(),
                rhs.address as *const c_void,
                real,
                size(rhs.row_step)?,
                rhs.batch_step as i64,
                lhs.address as *const c_void,
                real,
                size(lhs.row_step)?,
                lhs.batch_step as i64,
                std::ptr::from_ref(&product.beta).cast(),
                to.address as *mut c_void,
                real,
                size(to.row_step)?,
                to.batch_step as i64,
                size(product.batch)?,
                compute,
                blas_sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(|error| wrong(error.to_string()))
    }
}
