//! The best path through a trellis.
//!
//! States that share all bits but the newest k have the same predecessors, so the choice among those is made once per
//! overlap, and a weight costs about 2^L additions whatever k is.

use super::Trellis;
use crate::quant::wide::Work;

/// A search for the states of least squared error.
pub(super) struct Search<'a> {
    pub(super) trellis: &'a Trellis,
    pub(super) x: &'a [f32],
    /// The bits that the path begins and ends with; any beginning and end where there are none.
    pub(super) overlap: Option<u32>,
}

/// The states of a path.
pub(super) struct Path {
    pub(super) states: Vec<u32>,
}

impl Path {
    /// The newest bits of each state.
    pub(super) fn symbols(&self, trellis: &Trellis) -> Vec<u8> {
        self.states.iter().map(|state| (state & ((1 << trellis.bits) - 1)) as u8).collect()
    }
}

impl Work for Search<'_> {
    type Out = Path;

    #[inline(always)]
    fn run(self) -> Path {
        match self.trellis.bits {
            1 => self.search::<2>(),
            2 => self.search::<4>(),
            3 => self.search::<8>(),
            _ => self.search::<16>(),
        }
    }
}

impl Search<'_> {
    /// The path, with 2^k known to the compiler.
    #[inline(always)]
    fn search<const BRANCHES: usize>(&self) -> Path {
        let table = &self.trellis.table;
        let overlaps = table.len() / BRANCHES;
        let mut reached = vec![0.0f32; overlaps];
        if let Some(only) = self.overlap {
            reached.fill(f32::INFINITY);
            reached[only as usize] = 0.0;
        }
        let mut costs = vec![0.0f32; table.len()];
        // For each weight and overlap, the oldest bits of the state that was best.
        let mut choices = vec![0u8; overlaps * self.x.len()];
        for (&x, choices) in self.x.iter().zip(choices.chunks_exact_mut(overlaps)) {
            let (costs, _) = costs.as_chunks_mut::<BRANCHES>();
            let (values, _) = table.as_chunks::<BRANCHES>();
            for ((costs, values), before) in costs.iter_mut().zip(values).zip(&reached) {
                for branch in 0..BRANCHES {
                    let missed = x - values[branch];
                    costs[branch] = before + missed * missed;
                }
            }
            let costs = costs.as_flattened();
            reached.copy_from_slice(&costs[..overlaps]);
            choices.fill(0);
            for branch in 1..BRANCHES {
                let costs = &costs[branch * overlaps..][..overlaps];
                for ((best, choice), &cost) in reached.iter_mut().zip(choices.iter_mut()).zip(costs) {
                    let better = cost < *best;
                    *best = if better { cost } else { *best };
                    *choice = if better { branch as u8 } else { *choice };
                }
            }
        }
        let end = self.overlap.unwrap_or_else(|| {
            let best = reached.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
            best.map_or(0, |(overlap, _)| overlap as u32)
        });
        let mut states = vec![0; self.x.len()];
        let mut overlap = end;
        for (state, choices) in states.iter_mut().zip(choices.chunks_exact(overlaps)).rev() {
            *state = u32::from(choices[overlap as usize]) * overlaps as u32 + overlap;
            overlap = *state / BRANCHES as u32;
        }
        Path { states }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::wide::widest;

    fn error(trellis: &Trellis, x: &[f32], symbols: &[u8]) -> f64 {
        trellis.decode(symbols).iter().zip(x).map(|(v, x)| (v - f64::from(*x)).powi(2)).sum()
    }

    #[test]
    fn the_best_circle_over_all_overlaps_is_that_of_trying_everything() {
        for (state_bits, length) in [(2, 5), (3, 7), (4, 8)] {
            for seed in 0..20 {
                let trellis = Trellis::normal(state_bits, 1, seed).unwrap();
                let x: Vec<f32> =
                    (0..length).map(|i| ((i as u64 * 37 + seed * 11) % 17) as f32 / 5.0 - 1.5).collect();
                let tried = (0..1u32 << length).map(|word| {
                    let symbols: Vec<u8> = (0..length).map(|i| (word >> i & 1) as u8).collect();
                    error(&trellis, &x, &symbols)
                });
                let least = tried.fold(f64::MAX, f64::min);
                let found = (0..=trellis.overlaps()).map(|overlap| {
                    let search = Search { trellis: &trellis, x: &x, overlap: Some(overlap) };
                    error(&trellis, &x, &widest(search).symbols(&trellis))
                });
                let found = found.fold(f64::MAX, f64::min);
                assert!((found - least).abs() < 1e-5, "{state_bits} {seed}: {found} {least}");
            }
        }
    }

    #[test]
    fn paths_close_and_decode_to_their_own_states() {
        for (state_bits, bits) in [(6, 1), (7, 2), (8, 3), (9, 4), (5, 2)] {
            let trellis = Trellis::normal(state_bits, bits, 1).unwrap();
            let x: Vec<f32> = (0..40).map(|i| ((i * 29) % 41) as f32 / 20.0 - 1.0).collect();
            for overlap in [0, 3, trellis.overlaps()] {
                let overlap = overlap & trellis.overlaps();
                let path = widest(Search { trellis: &trellis, x: &x, overlap: Some(overlap) });
                assert_eq!(path.states[39] & trellis.overlaps(), overlap);
                assert_eq!(path.states[0] >> bits, overlap);
                let values = trellis.decode(&path.symbols(&trellis));
                for (value, state) in values.iter().zip(&path.states) {
                    assert_eq!(*value, f64::from(trellis.table[*state as usize]));
                }
            }
        }
    }
}
