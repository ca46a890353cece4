//! A bit-shift trellis code: vectors of hundreds of weights at k bits each, near the distortion that theory allows.

mod feedback;
mod viterbi;

pub use feedback::{TrellisCoded, TrellisOptions, trellis_ldlq};

use super::hadamard::bits;
use super::wide::widest;
use crate::error::{Error, Result};

/// Most bits of a state: a table of that many entries still lies in the caches.
const LARGEST_STATE: u32 = 16;

/// The code: a sequence of k-bit symbols is read through a window of L bits that shifts by k for each weight, and the window
/// is looked up in a table. The window runs over the end to the beginning, so that n weights take n k bits exactly.
///
/// # Source
/// QTIP (Tseng et al. 2024, arXiv 2406.11235), sections 3 and 4.
#[derive(Clone, Debug, PartialEq)]
pub struct Trellis {
    state_bits: u32,
    bits: u32,
    table: Vec<f32>,
}

impl Trellis {
    /// A code of `bits` bits (1 to 4) whose `state_bits` (L, more than `bits`, at most 16) choose among 2^L standard normal
    /// numbers drawn from a seed.
    ///
    /// # Errors
    /// [`Error::BadGrid`] for other numbers of bits.
    pub fn normal(state_bits: u32, bits: u32, seed: u64) -> Result<Self> {
        let mut state = seed;
        let mut unit = || (self::bits(&mut state) >> 11) as f64 / (1u64 << 53) as f64;
        Self::of(state_bits, bits, |_| {
            (-2.0 * (1.0 - unit()).ln()).sqrt() * (std::f64::consts::TAU * unit()).cos()
        })
    }

    /// A code whose values are those of a function of the state, of about unit variance.
    ///
    /// # Errors
    /// As [`Trellis::normal`].
    pub fn with_values(state_bits: u32, bits: u32, value: impl Fn(u32) -> f32) -> Result<Self> {
        Self::of(state_bits, bits, |state| f64::from(value(state)))
    }

    fn of(state_bits: u32, bits: u32, mut value: impl FnMut(u32) -> f64) -> Result<Self> {
        if !(1..=4).contains(&bits) || state_bits <= bits || state_bits > LARGEST_STATE {
            return Err(Error::BadGrid {
                what: "a trellis of other than 1 to 4 bits and more, to 16, of state",
            });
        }
        let table = (0..1u32 << state_bits).map(|state| value(state) as f32).collect();
        Ok(Self { state_bits, bits, table })
    }

    /// Bits per weight.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Bits of the window.
    pub fn state_bits(&self) -> u32 {
        self.state_bits
    }

    /// The value of each state.
    pub fn table(&self) -> &[f32] {
        &self.table
    }

    /// The least number of weights that a window fits around once.
    pub fn shortest(&self) -> usize {
        self.state_bits.div_ceil(self.bits) as usize
    }

    /// Symbols, one per weight and each below 2^k, whose values are near to `x`: the best sequence for one way to close the
    /// circle, which is taken from the best open sequence that begins half-way round. Finite numbers of about unit variance.
    ///
    /// # Errors
    /// [`Error::BadGrid`] for no numbers.
    pub fn encode(&self, x: &[f64]) -> Result<Vec<u8>> {
        if x.is_empty() {
            return Err(Error::BadGrid { what: "a trellis for no weights" });
        }
        if x.len() < self.shortest() {
            return Ok(self.best_of_all(x));
        }
        let x: Vec<f32> = x.iter().map(|&v| v as f32).collect();
        let middle = x.len() / 2;
        let turned: Vec<f32> = x[middle..].iter().chain(&x[..middle]).copied().collect();
        let open = widest(viterbi::Search { trellis: self, x: &turned, overlap: None });
        // The last weight of `x` stands before the place where the turned sequence comes back to its beginning.
        let last = x.len() - middle - 1;
        let overlap = open.states[last] & self.overlaps();
        Ok(widest(viterbi::Search { trellis: self, x: &x, overlap: Some(overlap) }).symbols(self))
    }

    /// The best of all sequences, for numbers so few that a window runs around them more than once: less than 2^L sequences.
    fn best_of_all(&self, x: &[f64]) -> Vec<u8> {
        let symbols = |sequence: u32| -> Vec<u8> {
            let symbol = |at: usize| (sequence >> (at as u32 * self.bits)) & ((1 << self.bits) - 1);
            (0..x.len()).map(|at| symbol(at) as u8).collect()
        };
        let error = |symbols: &[u8]| -> f64 {
            self.decode(symbols).iter().zip(x).map(|(value, x)| (value - x) * (value - x)).sum()
        };
        let mut best = (f64::INFINITY, symbols(0));
        for sequence in 0..1u32 << (x.len() as u32 * self.bits) {
            let symbols = symbols(sequence);
            let error = error(&symbols);
            if error < best.0 {
                best = (error, symbols);
            }
        }
        best.1
    }

    /// The values of a sequence of symbols, through a window that runs over the end to the beginning as often as it takes.
    pub fn decode(&self, symbols: &[u8]) -> Vec<f64> {
        let mask = (1u32 << self.state_bits) - 1;
        let shift = |state: u32, &symbol: &u8| ((state << self.bits) | u32::from(symbol)) & mask;
        let back = symbols.iter().rev().cycle().take(self.shortest()).collect::<Vec<_>>();
        let mut state = back.into_iter().rev().fold(0, shift);
        symbols
            .iter()
            .map(|symbol| {
                state = shift(state, symbol);
                f64::from(self.table[state as usize])
            })
            .collect()
    }

    /// All bits that a state shares with the next one.
    fn overlaps(&self) -> u32 {
        (1 << (self.state_bits - self.bits)) - 1
    }
}
