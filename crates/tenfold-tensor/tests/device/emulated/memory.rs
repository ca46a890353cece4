//! Memory of the emulated device: blocks of the processor's, each between two margins that nothing may change.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;

use tenfold_tensor::device::Fault;

/// Addresses of blocks are multiples of this, as on a device.
const ALIGNMENT: usize = 256;
/// Bytes before and after a block, a multiple of the alignment.
const MARGIN: usize = 512;

/// Blocks in use by address, with their sizes.
#[derive(Default)]
pub(super) struct Memory {
    blocks: BTreeMap<u64, usize>,
}

impl Memory {
    /// A block full of NaN.
    pub(super) fn allocate(&mut self, bytes: usize) -> u64 {
        assert_ne!(bytes, 0, "a block of no bytes");
        let layout = layout(bytes);
        // SAFETY: the layout has bytes.
        let base = unsafe { alloc(layout) };
        assert!(!base.is_null(), "out of memory");
        // SAFETY: the block begins a margin after the base and ends a margin before the end.
        let address = unsafe {
            base.write_bytes(0xFF, layout.size());
            base.add(MARGIN) as u64
        };
        paint(address, bytes);
        self.blocks.insert(address, bytes);
        address
    }

    /// Gives a block back; its size.
    pub(super) fn release(&mut self, address: u64) -> usize {
        let bytes = self.blocks.remove(&address).expect("what is released is in use");
        assert_eq!(spill(address, bytes), None, "a block is released whole");
        let base = (address as usize - MARGIN) as *mut u8;
        // SAFETY: `allocate` made it with this layout, and the table had it, so it was not given back before. What still
        // reads it afterwards shall find NaN.
        unsafe {
            base.write_bytes(0xFF, layout(bytes).size());
            dealloc(base, layout(bytes));
        }
        bytes
    }

    /// Refuses a range that is not in one block.
    pub(super) fn check(&self, address: u64, bytes: usize, doing: &'static str) -> Result<(), Fault> {
        let nearest = self.blocks.range(..=address).next_back();
        let reason = match nearest {
            Some((start, &size)) if (address - start) as usize + bytes <= size => return Ok(()),
            Some((start, size)) => {
                format!(
                    "{bytes} bytes at byte {} of a block of {size} bytes are not all in it",
                    address - start
                )
            }
            None => format!("{bytes} bytes at {address:#x} are in no block"),
        };
        Err(Fault::Failed { doing, reason })
    }

    /// Begins and sizes, in order.
    pub(super) fn live(&self) -> Vec<[u64; 2]> {
        self.blocks.iter().map(|(&address, &bytes)| [address, bytes as u64]).collect()
    }

    /// What was written outside of blocks since the last call, if anything.
    pub(super) fn spilled(&self) -> Option<String> {
        let mut found = None;
        for (&address, &bytes) in &self.blocks {
            if let Some(at) = spill(address, bytes) {
                found = Some(format!("byte {at} of a block of {bytes} bytes was written"));
                paint(address, bytes);
            }
        }
        found
    }
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(MARGIN + bytes.next_multiple_of(4) + MARGIN, ALIGNMENT).unwrap()
}

/// A word of a margin: NaN in either precision, and another at every address, so that copying a margin to a margin shows.
fn painted(address: u64) -> u32 {
    0xFFF0_0001 | ((address >> 2) as u32).wrapping_mul(0x9E37_79B1) >> 12
}

/// The words of both margins of a block. Bytes that fill up the last word belong to none.
fn margins(address: u64, bytes: usize) -> impl Iterator<Item = u64> {
    let (start, end) = (address, address + bytes.next_multiple_of(4) as u64);
    let before = (start - MARGIN as u64..start).step_by(4);
    before.chain((end..end + MARGIN as u64).step_by(4))
}

fn paint(address: u64, bytes: usize) {
    for word in margins(address, bytes) {
        // SAFETY: both margins were allocated with the block, and their words are aligned.
        unsafe { (word as *mut u32).write(painted(word)) };
    }
}

/// The first byte, counted from the block's begin, of a margin's word that is not as painted.
fn spill(address: u64, bytes: usize) -> Option<i64> {
    // SAFETY: as above.
    let changed = |&word: &u64| unsafe { (word as *const u32).read() } != painted(word);
    margins(address, bytes).find(changed).map(|word| word as i64 - address as i64)
}
