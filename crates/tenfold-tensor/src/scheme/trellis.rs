//! The trellis scheme: a row is read through a window of L bits that moves on by k bits for each number, and the value of a number
//! is a hash of the window. So neighbors share bits, and k bits a number reach what scalar codes need more for.
//!
//! A row lies in runs of [`RUN`] numbers, the last one shorter. A run of c symbols of k bits takes c k bits, filled up to a byte, the
//! first symbol in the highest bits of the first byte. The window of a number ends with its own symbol; at the beginning of a run it
//! reaches back over its end, in short runs more than once, so that nothing is stored but the symbols. Values have mean 0 and variance 1: what scales them stands
//! beside the codes.
//!
//! The code is that of QTIP (Tseng et al. 2024, arXiv 2406.11235), sections 3 and 4, with a hash of our own.

/// Numbers in a run.
const RUN: usize = 256;

/// Most bits of a window.
const LARGEST_WINDOW: u8 = 16;

/// Symbols of k bits read through a window of L.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Trellis {
    bits: u8,
    window: u8,
}

impl Trellis {
    /// Symbols of `bits` (1 to 4) bits and a window of more, to 16. Nothing for other sizes.
    pub fn new(bits: u8, window: u8) -> Option<Self> {
        let fits = (1..=4).contains(&bits) && window > bits && window <= LARGEST_WINDOW;
        fits.then_some(Self { bits, window })
    }

    /// Bits of a symbol: k.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// Bits of the window: L.
    pub fn window(self) -> u8 {
        self.window
    }

    /// Numbers of a run at most.
    pub fn run(self) -> usize {
        RUN
    }

    /// The value of a window: the sum of the four bytes of a hash, with mean 0 and variance 1 over all windows.
    pub fn value(self, window: u32) -> f32 {
        /// Four times the mean of a byte, and the deviation of the sum of four: sqrt(4 (256^2 - 1) / 12).
        const MEAN: f32 = 510.0;
        const DEVIATION: f32 = 147.800_54;
        let mut hash = window;
        for _ in 0..3 {
            // Multiplier and increment of the first generator of Numerical Recipes; its low bits are poor, so high ones are mixed in.
            hash = hash.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            hash ^= hash >> 15;
        }
        let sum: u32 = hash.to_le_bytes().into_iter().map(u32::from).sum();
        (sum as f32 - MEAN) / DEVIATION
    }

    /// Bytes of a row.
    pub fn row_bytes(self, cols: usize) -> usize {
        cols / RUN * self.run_bytes(RUN) + self.run_bytes(cols % RUN)
    }

    fn run_bytes(self, symbols: usize) -> usize {
        (symbols * usize::from(self.bits)).div_ceil(8)
    }

    /// Writes the symbols of a row, of each its lowest k bits.
    ///
    /// # Panics
    /// When `row` has not [`Trellis::row_bytes`] bytes.
    #[track_caller]
    pub fn pack(self, symbols: &[u8], row: &mut [u8]) {
        assert_eq!(self.row_bytes(symbols.len()), row.len(), "bytes of a row of {} symbols", symbols.len());
        row.fill(0);
        let (bits, mut rest) = (usize::from(self.bits), row);
        for run in symbols.chunks(RUN) {
            let (bytes, behind) = rest.split_at_mut(self.run_bytes(run.len()));
            rest = behind;
            for (at, &symbol) in run.iter().enumerate() {
                let (byte, shift) = place(at * bits, bits);
                let part = u16::from(symbol & ((1 << bits) - 1)) << shift;
                bytes[byte] |= (part >> 8) as u8;
                if let Some(second) = bytes.get_mut(byte + 1) {
                    *second |= part as u8;
                }
            }
        }
    }

    /// The values of a row.
    ///
    /// # Panics
    /// When `row` has not the bytes of a row of as many columns as `out` has numbers.
    #[track_caller]
    pub fn decode(self, row: &[u8], out: &mut [f32]) {
        assert_eq!(self.row_bytes(out.len()), row.len(), "bytes of a row of {} symbols", out.len());
        let (bits, mask) = (usize::from(self.bits), (1u32 << self.window) - 1);
        let mut rest = row;
        for run in out.chunks_mut(RUN) {
            let (bytes, behind) = rest.split_at(self.run_bytes(run.len()));
            rest = behind;
            let symbol = |at: usize| {
                let (byte, shift) = place(at * bits, bits);
                let pair = u16::from_be_bytes([bytes[byte], bytes.get(byte + 1).copied().unwrap_or(0)]);
                u32::from(pair >> shift) & ((1 << bits) - 1)
            };
            let shifted = |window: u32, at: usize| ((window << bits) | symbol(at)) & mask;
            // The symbols before the first one, as many as a window holds.
            let back = usize::from(self.window.div_ceil(self.bits));
            let before = (0..back).map(|at| (run.len() * back - back + at) % run.len());
            let mut window = before.fold(0, shifted);
            for (at, value) in run.iter_mut().enumerate() {
                window = shifted(window, at);
                *value = self.value(window);
            }
        }
    }
}

/// The byte in which a field of bits begins, and how far it lies above the end of the next one.
fn place(first: usize, bits: usize) -> (usize, usize) {
    (first / 8, 16 - first % 8 - bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(count: usize, bits: u8) -> Vec<u8> {
        (0..count).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 11) as u8 & ((1 << bits) - 1)).collect()
    }

    /// Windows by bits of a ring, one at a time.
    fn reference(scheme: Trellis, symbols: &[u8]) -> Vec<f32> {
        let bits = usize::from(scheme.bits());
        let ring: Vec<u32> = symbols
            .iter()
            .flat_map(|&symbol| (0..bits).rev().map(move |bit| u32::from(symbol >> bit) & 1))
            .collect();
        let value = |at: usize| {
            let end = (at + 1) * bits + ring.len() * 16;
            let window =
                (end - usize::from(scheme.window())..end).fold(0, |w, bit| (w << 1) | ring[bit % ring.len()]);
            scheme.value(window)
        };
        (0..symbols.len()).map(value).collect()
    }

    #[test]
    fn rows_decode_to_the_windows_of_their_symbols() {
        for (bits, window) in [(1, 2), (1, 16), (2, 6), (2, 12), (3, 7), (3, 16), (4, 9)] {
            let scheme = Trellis::new(bits, window).unwrap();
            for cols in [1, 3, 17, 64, 172, 255, 256, 256 + 16, 700] {
                let symbols = symbols(cols, bits);
                let mut row = vec![0xa5; scheme.row_bytes(cols)];
                scheme.pack(&symbols, &mut row);
                let mut values = vec![0.0; cols];
                scheme.decode(&row, &mut values);
                let want: Vec<f32> = symbols.chunks(RUN).flat_map(|run| reference(scheme, run)).collect();
                assert_eq!(values, want, "{scheme:?}, {cols} columns");
            }
        }
    }

    #[test]
    fn symbols_lie_as_described() {
        let scheme = Trellis::new(3, 6).unwrap();
        let mut row = vec![0; scheme.row_bytes(4)];
        scheme.pack(&[0b101, 0b010, 0b111, 0b001], &mut row);
        assert_eq!(row, [0b1010_1011, 0b1001_0000]);
        assert_eq!(
            (scheme.row_bytes(0), scheme.row_bytes(1), scheme.row_bytes(256), scheme.row_bytes(258)),
            (0, 1, 96, 97)
        );
        for (bits, window) in [(0, 8), (5, 8), (2, 2), (2, 17)] {
            assert_eq!(Trellis::new(bits, window), None);
        }
    }

    #[test]
    fn values_look_normal() {
        let scheme = Trellis::new(2, 12).unwrap();
        let values: Vec<f64> = (0..1 << 12).map(|window| f64::from(scheme.value(window))).collect();
        let power = |n: i32| values.iter().map(|value| value.powi(n)).sum::<f64>() / values.len() as f64;
        assert!(power(1).abs() < 0.05 && (power(2) - 1.0).abs() < 0.05, "{} {}", power(1), power(2));
        // The sum of four even bytes has a kurtosis of 2.7, a normal number of 3.
        assert!((power(4) / power(2).powi(2) - 2.7).abs() < 0.2, "{}", power(4));
    }
}
