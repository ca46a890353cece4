//! The program `tenfold`: verbs only. Each verb is one file under `verb/`; what they know is in the libraries.

mod cli;
mod company;
mod interrupt;
mod model;
mod screen;
mod table;
mod verb;

use anyhow::Result;
use clap::Parser;
use std::process::ExitCode;
use tenfold_tensor::device;

/// Keeps freed pages: training allocates and frees the same large blocks every step, and the system's allocator
/// gives them back and faults them in again each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code when everything was done.
const DONE: u8 = 0;
/// Exit code when a check failed: a budget exceeded, a machine unfit.
const CHECK_FAILED: u8 = 1;
/// Exit code for any error.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let command = match cli::Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            // Help and version come this way too; they are no errors.
            let code = if error.use_stderr() { FAILED } else { DONE };
            let _ = error.print();
            return code.into();
        }
    };
    let company = match company::Company::join(&command) {
        Ok(company) => company,
        Err(error) => {
            screen::print_error("", &error);
            return FAILED.into();
        }
    };
    if let Err(error) = compute_on(command.device) {
        return company.fail(&error).into();
    }
    // Nothing that came after a fault of the device is worth anything.
    let sound = |verdict| device::check().map(|()| verdict).map_err(Into::into);
    match tenfold_tensor::placed(|| verb::run(&command, &company)).and_then(sound) {
        Ok(verb::Verdict::Done) => DONE.into(),
        Ok(verb::Verdict::CheckFailed) => CHECK_FAILED.into(),
        Ok(verb::Verdict::Told) => FAILED.into(),
        Err(error) => company.fail(&error).into(),
    }
}

/// Lets ops be computed where the command line says.
#[cfg(feature = "cuda")]
fn compute_on(wanted: cli::Device) -> Result<()> {
    let cli::Device::Cuda(number) = wanted else { return Ok(()) };
    let driver = device::cuda(number).map_err(|fault| anyhow::anyhow!("--device cuda:{number}: {fault}"))?;
    anyhow::ensure!(device::install(driver), "a device is in use already");
    Ok(())
}

/// The processor alone.
#[cfg(not(feature = "cuda"))]
fn compute_on(wanted: cli::Device) -> Result<()> {
    match wanted {
        cli::Device::Cpu => Ok(()),
        cli::Device::Cuda(_) => {
            anyhow::bail!(
                "this program was built without CUDA; build it with `cargo build --release --features cuda`"
            )
        }
    }
}
