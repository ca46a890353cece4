//! `tenfold doctor`: whether this machine can do the work, and what to do where it cannot.

use super::{Verdict, print_json};
use crate::cli;
use crate::table::{Table, bytes};
use crate::{model, screen};
use anyhow::Result;
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tenfold_tensor::cpu;

/// Memory below which the quickstart does not fit.
const MEMORY_LEAST: u64 = 3 << 30;

#[derive(Serialize)]
struct Check {
    name: &'static str,
    found: String,
    ok: bool,
    /// What to do when it is not.
    #[serde(skip_serializing_if = "str::is_empty")]
    advice: &'static str,
}

/// Looks at the machine.
///
/// # Errors
/// Only when results cannot be printed.
pub(crate) fn run(args: &cli::Doctor) -> Result<Verdict> {
    let options = model::options(&args.fetching, &Arc::new(AtomicBool::new(false)));
    let checks = [processor(), device(), cores(), memory(), cache(&options.cache), python(&options.pips)];
    let well = checks.iter().all(|check| check.ok);
    if args.output.json {
        print_json(&checks)?;
    } else {
        let mut table = Table::new(&["", "check", "found", "what to do"]);
        for check in &checks {
            let (mark, advice) = if check.ok { ("ok", "") } else { ("!!", check.advice) };
            table.row([mark, check.name, &check.found, advice]);
        }
        screen::print(&table.render())?;
    }
    Ok(if well { Verdict::Done } else { Verdict::CheckFailed })
}

fn processor() -> Check {
    let found = format!("{:?} kernels", cpu::detected());
    Check { name: "processor", found, ok: true, advice: "" }
}

fn device() -> Check {
    let found = tenfold_tensor::device::name().unwrap_or_else(|| "none in use".to_owned());
    Check { name: "device", found, ok: true, advice: "" }
}

fn cores() -> Check {
    let found = tenfold_tensor::threads();
    Check { name: "threads", found: found.to_string(), ok: true, advice: "" }
}

fn memory() -> Check {
    let advice = "the quickstart needs about 2 GB; close other programs or use a larger machine";
    let kilobytes = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    match kilobytes.map(|k| k * 1024) {
        Some(free) => {
            let found = format!("{} available", bytes(free as usize));
            Check { name: "memory", found, ok: free >= MEMORY_LEAST, advice }
        }
        None => Check { name: "memory", found: "unknown on this system".to_owned(), ok: true, advice },
    }
}

fn cache(dir: &Path) -> Check {
    let probe = dir.join(".probe");
    let written = fs::create_dir_all(dir)
        .and_then(|()| fs::write(&probe, b"tenfold"))
        .and_then(|()| fs::remove_file(&probe));
    let found = match &written {
        Ok(()) => dir.display().to_string(),
        Err(error) => format!("{}: {error}", dir.display()),
    };
    Check { name: "model cache", found, ok: written.is_ok(), advice: "name a writable folder with --cache" }
}

fn python(pips: &[Vec<String>]) -> Check {
    let version = pips.iter().find_map(|pip| {
        let (program, first) = pip.split_first()?;
        let out = Command::new(program)
            .args(first)
            .arg("--version")
            .output()
            .ok()
            .filter(|out| out.status.success())?;
        Some(String::from_utf8_lossy(&out.stdout).split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    });
    let advice = "models come from the hub or a path only; install Python with pip for pypi: sources";
    Check { name: "pip", ok: version.is_some(), found: version.unwrap_or_else(|| "none".to_owned()), advice }
}
