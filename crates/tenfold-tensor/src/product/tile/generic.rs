//! Bands at every level, from the vector operations that all levels have.

use super::super::pack::PANEL;
use super::Band;
use crate::kernel::multiversion;
use crate::kernel::small::Vector;

multiversion! {
    /// Units of two bf16 numbers, multiplied and added as `f32`.
    pub(super) fn pairs<F>(band: &Band<'_>) {
        all::<F::Vector, Pairs>(band);
    }
}

/// How units are multiplied.
pub(super) trait Multiply<V: Vector> {
    /// A unit of the left operand, for all lanes.
    type Left: Copy;
    /// Units of the right operand, one in each lane.
    type Right: Copy;
    fn left(unit: u32) -> Self::Left;
    fn right(units: V) -> Self::Right;
    /// sum + left right.
    fn add(sum: V, left: Self::Left, right: Self::Right) -> V;
}

struct Pairs;

impl<V: Vector> Multiply<V> for Pairs {
    type Left = (V, V);
    type Right = (V, V);
    #[inline(always)]
    fn left(unit: u32) -> (V, V) {
        (V::splat(f32::from_bits(unit << 16)), V::splat(f32::from_bits(unit & 0xffff_0000)))
    }
    #[inline(always)]
    fn right(units: V) -> (V, V) {
        (units.low_halves(), units.high_halves())
    }
    #[inline(always)]
    fn add(sum: V, left: (V, V), right: (V, V)) -> V {
        left.0.mul_add(right.0, left.1.mul_add(right.1, sum))
    }
}

/// All rows and columns of a band, in tiles of two registers' columns.
#[inline(always)]
pub(super) fn all<V: Vector, M: Multiply<V>>(band: &Band<'_>) {
    let mut col = 0;
    while col < band.cols {
        let mut row = 0;
        if V::LANES == 16 {
            while row + 12 <= band.rows {
                tile::<V, M, 12>(band, row, col);
                row += 12;
            }
        }
        while row + 4 <= band.rows {
            tile::<V, M, 4>(band, row, col);
            row += 4;
        }
        while row < band.rows {
            tile::<V, M, 1>(band, row, col);
            row += 1;
        }
        col += 2 * V::LANES;
    }
}

#[inline(always)]
fn tile<V: Vector, M: Multiply<V>, const R: usize>(band: &Band<'_>, row: usize, col: usize) {
    let lanes = V::LANES;
    let place = |r: usize, v: usize| band.c.wrapping_add((row + r) * band.c_step + col + v * lanes);
    // Columns of each of the two vectors that exist.
    let count = [0, 1].map(|v: usize| band.cols.saturating_sub(col + v * lanes).min(lanes));
    let mut sums = [[V::splat(0.0); 2]; R];
    if band.add {
        for r in 0..R {
            for v in 0..2 {
                // SAFETY: these rows and columns are inside c, by the promise of `Band::new`.
                sums[r][v] = unsafe {
                    if count[v] == lanes {
                        V::load(place(r, v))
                    } else {
                        V::load_first(place(r, v), count[v])
                    }
                };
            }
        }
    }
    let mut left = band.a.as_ptr().wrapping_add(row * band.a_step);
    let mut right = band.b.as_ptr().wrapping_add(col).cast::<f32>();
    for _ in 0..band.units {
        // SAFETY: a panel is as wide as two of the widest vectors and a multiple of the others, and `Band::new`
        // checked that it holds as many units.
        let vectors = unsafe { [M::right(V::load(right)), M::right(V::load(right.add(lanes)))] };
        for r in 0..R {
            // SAFETY: `Band::new` checked that every row holds as many units.
            let x = M::left(unsafe { *left.add(r * band.a_step) });
            for v in 0..2 {
                sums[r][v] = M::add(sums[r][v], x, vectors[v]);
            }
        }
        left = left.wrapping_add(1);
        right = right.wrapping_add(PANEL);
    }
    for r in 0..R {
        for v in 0..2 {
            // SAFETY: as for loading.
            unsafe {
                if count[v] == lanes {
                    sums[r][v].store(place(r, v));
                } else {
                    sums[r][v].store_first(place(r, v), count[v]);
                }
            }
        }
    }
}
