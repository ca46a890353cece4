//! Memory of a device, kept for reuse.

use super::{Argument, Device, Fault, active};
use std::collections::BTreeMap;

/// An idle block serves a request where it is at most so many times as long.
const ROOM: usize = 2;

/// What is free and what is in use.
#[derive(Default)]
pub(super) struct Memory {
    idle: BTreeMap<usize, Vec<u64>>,
    idle_bytes: usize,
    live: usize,
    peak: usize,
}

impl Memory {
    pub(super) fn peak(&self) -> usize {
        self.peak
    }
}

/// Words of 32 bits on the device; given back when dropped. Address 0 where there are none, and after a fault.
pub(crate) struct Block {
    address: u64,
    words: usize,
    bytes: usize,
}

impl Block {
    /// A block with unspecified contents.
    pub(crate) fn stale(words: usize) -> Block {
        let none = Block { address: 0, words, bytes: 0 };
        let Some(device) = active().filter(|device| words > 0 && device.works()) else { return none };
        let bytes = crate::pool::class(words.saturating_mul(4)).next_multiple_of(256);
        match device.take(bytes) {
            Ok((address, bytes)) => Block { address, words, bytes },
            Err(fault) => {
                device.note(Err(fault));
                none
            }
        }
    }

    /// A block with a copy of numbers.
    pub(crate) fn of(numbers: &[f32]) -> Block {
        let block = Block::stale(numbers.len());
        // SAFETY: floats are plain bytes.
        block.fill(unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) });
        block
    }

    /// A block with a copy of whole numbers.
    pub(crate) fn of_words(words: &[u32]) -> Block {
        let block = Block::stale(words.len());
        // SAFETY: whole numbers are plain bytes.
        block.fill(unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) });
        block
    }

    fn fill(&self, bytes: &[u8]) {
        if let Some(device) = active().filter(|device| self.address != 0 && device.works()) {
            device.note(device.driver.upload(self.address, bytes));
        }
    }

    /// Copies the numbers to the processor: NaN after a fault.
    pub(crate) fn read(&self, to: &mut [f32]) {
        debug_assert_eq!(to.len(), self.words, "numbers of a block");
        if let Some(device) = active().filter(|device| self.address != 0 && device.works()) {
            // SAFETY: floats are plain bytes, all of which are numbers.
            let bytes = unsafe { std::slice::from_raw_parts_mut(to.as_mut_ptr().cast(), size_of_val(to)) };
            device.note(device.driver.download(self.address, bytes));
        }
        if active().is_none_or(|device| !device.works()) {
            to.fill(f32::NAN);
        }
    }

    /// Where it begins, for a kernel.
    pub(crate) fn argument(&self) -> Argument {
        Argument::Address(self.address)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(device) = active().filter(|_| self.address != 0) {
            let mut memory = device.memory();
            memory.live -= self.bytes;
            memory.idle_bytes += self.bytes;
            // Work asked for later comes later, so the block can be given to it at once.
            memory.idle.entry(self.bytes).or_default().push(self.address);
        }
    }
}

impl Device {
    /// A block of at least so many bytes: where it begins, and how long it is.
    fn take(&self, bytes: usize) -> Result<(u64, usize), Fault> {
        let mut memory = self.memory();
        let mut fitting = memory.idle.range_mut(bytes..=bytes.saturating_mul(ROOM));
        let found = fitting.find_map(|(held, blocks)| Some((blocks.pop()?, *held)));
        let held = found.map_or(bytes, |(_, held)| held);
        memory.live += held;
        memory.peak = memory.peak.max(memory.live);
        if let Some(found) = found {
            memory.idle_bytes -= held;
            return Ok(found);
        }
        let fresh = match self.driver.allocate(bytes) {
            // What lies idle in other sizes makes room.
            Err(Fault::Memory { .. }) if memory.idle_bytes > 0 => {
                memory.idle_bytes = 0;
                let idle = std::mem::take(&mut memory.idle);
                idle.into_values().flatten().for_each(|address| self.driver.release(address));
                self.driver.allocate(bytes)
            }
            other => other,
        };
        if fresh.is_err() {
            memory.live -= bytes;
        }
        fresh.map(|address| (address, bytes))
    }
}
