//! The machine a run ran on, as far as the system tells.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;

/// A machine in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name; `unknown` where the system does not tell.
    pub processor: String,
    /// Threads that run at once.
    pub threads: usize,
    /// Bytes of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// The device beside the processor on which ops were computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The operating system and the instruction set.
    pub system: String,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| field(&text, "model name"));
        let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| bytes(&text, "MemTotal"));
        Self {
            processor: processor.unwrap_or_else(|| "unknown".to_owned()),
            threads: tenfold_tensor::threads(),
            memory,
            device: tenfold_tensor::device::name(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, {} threads", self.processor, self.threads)?;
        if let Some(memory) = self.memory {
            write!(out, ", {:.0} GiB", memory as f64 / f64::from(1 << 30))?;
        }
        if let Some(device) = &self.device {
            write!(out, ", {device}")?;
        }
        write!(out, ", {}", self.system)
    }
}

/// The largest memory this process has had, in bytes.
pub fn peak_memory() -> Option<u64> {
    bytes(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM")
}

/// The value of the first line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The value of a line `name: N kB`, in bytes.
fn bytes(text: &str, name: &str) -> Option<u64> {
    let value = field(text, name)?;
    value.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_system_are_read() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nMemTotal:   2048 kB\nEmpty:\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(bytes(text, "MemTotal"), Some(2 << 20));
        assert_eq!((field(text, "Empty"), bytes(text, "model name")), (None, None));
        assert!(Machine::here().threads >= 1);
    }
}
