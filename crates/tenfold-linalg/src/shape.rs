//! How a matrix is cut into cores: the factor lists of its rows and columns, the bonds they allow and what
//! they cost.

mod balance;
mod published;

use crate::error::{Error, Result};

/// Largest product of a factor list. A padded side beyond this is a mistake, not a weight.
const SIDE_LIMIT: usize = 1 << 40;

/// Factor lists of an MPO: the padded row count is the product of the row factors, likewise for columns, and
/// core k carries row factor k and column factor k.
///
/// Indices split most significant factor first: with row factors `[3, 4]`, row 7 is `(1, 3)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MpoShape {
    rows: Vec<usize>,
    cols: Vec<usize>,
}

impl MpoShape {
    /// A shape from explicit factor lists.
    ///
    /// # Errors
    /// [`Error::FactorCount`] when the lists differ in length or are empty; [`Error::BadFactors`] on a zero
    /// or an absurd product.
    pub fn new(rows: Vec<usize>, cols: Vec<usize>) -> Result<Self> {
        if rows.len() != cols.len() || rows.is_empty() {
            return Err(Error::FactorCount { rows: rows.len(), cols: cols.len() });
        }
        for factors in [&rows, &cols] {
            let product = factors.iter().try_fold(1usize, |p, &f| p.checked_mul(f));
            if !product.is_some_and(|p| (1..=SIDE_LIMIT).contains(&p)) {
                return Err(Error::BadFactors { factors: factors.clone(), limit: SIDE_LIMIT });
            }
        }
        Ok(Self { rows, cols })
    }

    /// Factor lists for a `rows x cols` matrix in `cores` cores (at least one).
    ///
    /// In this order: the published pair of lists for this very matrix and five cores; the published list of
    /// the side for this number of cores; a balanced list. Vocabularies of published models are padded as
    /// published (30522 to 30720, 32128 to 32768, 50257 to 50400). Any other side is padded only when it has
    /// no factorization whose largest factor is at most twice its ideal `side^(1/cores)` (rounded up), and by
    /// at most one sixteenth.
    ///
    /// # Source
    /// Lists: MPOP (ACL 2021) appendix and released configuration; MPOBERT (EMNLP Findings 2023)
    /// configuration.
    pub fn automatic(rows: usize, cols: usize, cores: usize) -> Self {
        let cores = cores.max(1);
        let (rows, cols) = (published::padded_vocabulary(rows), published::padded_vocabulary(cols));
        if let Some((r, c)) = published::pair(rows, cols, cores) {
            return Self { rows: r, cols: c };
        }
        let side = |size: usize, mirrored: bool| match published::side(size, cores) {
            Some(list) => list,
            None => balance::factors(size, cores, mirrored),
        };
        // Rows put their small factor first and columns theirs last, so that outer blocks stay near square.
        Self { rows: side(rows, true), cols: side(cols, false) }
    }

    /// Factor lists a,1,..,1,b from the pairs (a, b) of rows and of columns.
    ///
    /// # Errors
    /// As [`MpoShape::new`].
    pub fn ends(rows: [usize; 2], cols: [usize; 2], cores: usize) -> Result<Self> {
        let cores = cores.max(2);
        let list = |[first, last]: [usize; 2]| {
            let mut list = vec![1; cores];
            (list[0], list[cores - 1]) = (first, last);
            list
        };
        Self::new(list(rows), list(cols))
    }

    /// Pairs (a, b) of divisors for [`ends`](Self::ends) whose inner cores are as large as can be: of all the pair with the
    /// largest bond, which is the smaller of the two ends' blocks, and of those the most even.
    pub fn largest_ends(rows: usize, cols: usize) -> [[usize; 2]; 2] {
        fn divisors(n: usize) -> impl Iterator<Item = usize> {
            (1..=n).filter(move |d| n.is_multiple_of(*d))
        }
        let uneven = |n: usize, a: usize| a.max(n / a);
        let pairs = divisors(rows).flat_map(|i| divisors(cols).map(move |j| (i, j)));
        let rank = |(i, j): &(usize, usize)| {
            let bond = (i * j).min((rows / i) * (cols / j));
            (bond, std::cmp::Reverse(uneven(rows, *i) + uneven(cols, *j)), *i)
        };
        let (i, j) = pairs.max_by_key(rank).unwrap_or((1, 1));
        [[i, rows / i.max(1)], [j, cols / j.max(1)]]
    }

    /// Row factors, most significant first.
    pub fn row_factors(&self) -> &[usize] {
        &self.rows
    }

    /// Column factors, most significant first.
    pub fn col_factors(&self) -> &[usize] {
        &self.cols
    }

    /// Number of cores n.
    pub fn cores(&self) -> usize {
        self.rows.len()
    }

    /// Product of the row factors.
    pub fn padded_rows(&self) -> usize {
        self.rows.iter().product()
    }

    /// Product of the column factors.
    pub fn padded_cols(&self) -> usize {
        self.cols.iter().product()
    }

    /// Position of the central core, from zero: n / 2.
    pub fn central(&self) -> usize {
        self.cores() / 2
    }

    /// Entries per bond pair of each core: row factor times column factor.
    pub(crate) fn blocks(&self) -> Vec<usize> {
        self.rows.iter().zip(&self.cols).map(|(i, j)| i * j).collect()
    }

    /// Lossless bonds, n + 1 of them with 1 at both ends: bond k is the smaller of the entries left and right
    /// of it.
    ///
    /// # Source
    /// MPOP (ACL 2021) section 3.1; OPF prints sums where the products stand.
    pub fn full_bonds(&self) -> Vec<usize> {
        let blocks = self.blocks();
        let n = blocks.len();
        let mut bonds = vec![1usize; n + 1];
        for k in 0..n {
            bonds[k + 1] = bonds[k].saturating_mul(blocks[k]);
        }
        let mut right = 1usize;
        for k in (0..=n).rev() {
            bonds[k] = bonds[k].min(right);
            if k > 0 {
                right = right.saturating_mul(blocks[k - 1]);
            }
        }
        bonds
    }

    /// Full bonds cut at one cap (a cap of 0 counts as 1).
    pub fn capped(&self, cap: usize) -> Vec<usize> {
        self.full_bonds().into_iter().map(|d| d.min(cap.max(1))).collect()
    }

    /// Stored values of all cores at these bonds.
    ///
    /// # Panics
    /// When `bonds` does not have n + 1 entries.
    #[track_caller]
    pub fn parameters(&self, bonds: &[usize]) -> usize {
        self.core_shapes(bonds).iter().map(|s| s.iter().product::<usize>()).sum()
    }

    /// `[left bond, row factor, column factor, right bond]` of every core.
    ///
    /// # Panics
    /// When `bonds` does not have n + 1 entries.
    #[track_caller]
    pub fn core_shapes(&self, bonds: &[usize]) -> Vec<[usize; 4]> {
        assert_eq!(bonds.len(), self.cores() + 1, "bonds of an MPO of {} cores", self.cores());
        (0..self.cores()).map(|k| [bonds[k], self.rows[k], self.cols[k], bonds[k + 1]]).collect()
    }

    /// Lowers every bond to what the bonds beside it can carry: the neighboring bond times the block between.
    pub(crate) fn settle(&self, bonds: &mut [usize]) {
        let blocks = self.blocks();
        for k in 0..blocks.len() {
            bonds[k + 1] = bonds[k + 1].min(bonds[k].saturating_mul(blocks[k]));
        }
        for k in (0..blocks.len()).rev() {
            bonds[k] = bonds[k].min(bonds[k + 1].saturating_mul(blocks[k]));
        }
    }

    /// Values saved by lowering bond `k` (0 < k < n) by one.
    ///
    /// # Panics
    /// When `k` is not an inner bond or `bonds` does not have n + 1 entries.
    #[track_caller]
    pub fn saving(&self, bonds: &[usize], k: usize) -> usize {
        assert_eq!(bonds.len(), self.cores() + 1, "bonds of an MPO of {} cores", self.cores());
        assert!(0 < k && k < self.cores(), "bond {k} of {} cores is not an inner one", self.cores());
        let blocks = self.blocks();
        bonds[k - 1] * blocks[k - 1] + blocks[k] * bonds[k + 1]
    }

    /// Largest single cap whose cores hold at most `parameters` values; `None` when even cap 1 holds more.
    /// Caps beyond the largest full bond change nothing and are not returned.
    pub fn cap_for(&self, parameters: usize) -> Option<usize> {
        let fits = |cap: usize| self.parameters(&self.capped(cap)) <= parameters;
        if !fits(1) {
            return None;
        }
        let (mut low, mut high) = (1, self.full_bonds().into_iter().max().unwrap_or(1));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if fits(middle) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Some(low)
    }
}

/// Which bonds a decomposition keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bonds {
    /// All of them: lossless.
    Full,
    /// At most this many at every boundary.
    Cap(usize),
    /// One limit per boundary, n + 1 entries with 1 at both ends.
    Each(Vec<usize>),
}

impl Bonds {
    /// The bonds that result for a shape: every limit cut to the full bond, and to what the bonds beside it
    /// can carry (a bond larger than left bond times block is dead weight).
    ///
    /// # Errors
    /// [`Error::BondCount`] or [`Error::BadBond`] for an unusable list or a cap of zero.
    pub fn resolve(&self, shape: &MpoShape) -> Result<Vec<usize>> {
        let mut bonds = shape.full_bonds();
        match self {
            Self::Full => {}
            Self::Cap(0) => return Err(Error::BadBond { index: 0, bond: 0 }),
            Self::Cap(cap) => bonds = shape.capped(*cap),
            Self::Each(limits) => {
                if limits.len() != bonds.len() {
                    return Err(Error::BondCount { expected: bonds.len(), got: limits.len() });
                }
                let last = limits.len() - 1;
                for (index, &bond) in limits.iter().enumerate() {
                    if bond == 0 || ((index == 0 || index == last) && bond != 1) {
                        return Err(Error::BadBond { index, bond });
                    }
                    bonds[index] = bonds[index].min(bond);
                }
            }
        }
        shape.settle(&mut bonds);
        Ok(bonds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_lists_are_refused() {
        assert_eq!(MpoShape::new(vec![2], vec![2, 2]), Err(Error::FactorCount { rows: 1, cols: 2 }));
        assert_eq!(MpoShape::new(vec![], vec![]), Err(Error::FactorCount { rows: 0, cols: 0 }));
        assert!(matches!(MpoShape::new(vec![2, 0], vec![1, 1]), Err(Error::BadFactors { .. })));
        assert!(matches!(MpoShape::new(vec![usize::MAX, 3], vec![1, 1]), Err(Error::BadFactors { .. })));
    }

    #[test]
    fn each_is_cut_to_what_neighbors_carry() {
        let shape = MpoShape::new(vec![2; 5], vec![2; 5]).unwrap();
        let resolve = |list: &[usize]| Bonds::Each(list.to_vec()).resolve(&shape);
        assert_eq!(resolve(&[1, 9, 99, 99, 9, 1]), Ok(vec![1, 4, 16, 16, 4, 1]));
        assert_eq!(resolve(&[1, 1, 16, 16, 1, 1]), Ok(vec![1, 1, 4, 4, 1, 1]));
        assert_eq!(resolve(&[1, 4, 16, 4, 1]), Err(Error::BondCount { expected: 6, got: 5 }));
        assert_eq!(resolve(&[1, 4, 0, 4, 4, 1]), Err(Error::BadBond { index: 2, bond: 0 }));
        assert_eq!(resolve(&[2, 4, 4, 4, 4, 1]), Err(Error::BadBond { index: 0, bond: 2 }));
        assert_eq!(Bonds::Cap(0).resolve(&shape), Err(Error::BadBond { index: 0, bond: 0 }));
        assert_eq!(Bonds::Cap(8).resolve(&shape), Ok(vec![1, 4, 8, 8, 4, 1]));
    }

    #[test]
    fn cap_for_is_the_largest_that_fits() {
        let shape = MpoShape::automatic(768, 768, 5);
        assert_eq!(shape.cap_for(589_823), Some(180));
        assert_eq!(shape.cap_for(10), None);
        assert_eq!(shape.cap_for(usize::MAX), Some(192));
    }
}
