//! Sums, and what else looks at rows as wholes.

use super::{Argument, Block, Device, THREADS, number, whole};
use crate::{Array, Offsets};

/// Rows that one thread adds up before the sums are added up again.
pub(super) const CHUNK: usize = 64;
/// Rows of one id that a block adds up at most.
const MANY: usize = 128;
/// Blocks that a sum of all elements is divided among.
pub(super) const PARTS: usize = 64;

impl Device {
    /// The sum of the rows of a matrix.
    pub(crate) fn sum_rows(&self, x: &Array) -> Array {
        self.fold_rows(x.clone(), x.height(), x.width()).reshape(&[x.width()])
    }

    /// The sum of the first rows of what `from` holds.
    pub(super) fn fold_rows(&self, mut from: Array, mut rows: usize, width: usize) -> Array {
        loop {
            let parts = rows.div_ceil(CHUNK).max(1);
            let mut to = Array::stale(&[parts, width]);
            self.columns("column_sums", [rows, width, CHUNK], parts, &[to.write(), from.read()]);
            if parts == 1 {
                return to;
            }
            (from, rows) = (to, parts);
        }
    }

    /// Runs a kernel with a thread for every column and a line of blocks for every part of `chunk` rows.
    pub(super) fn columns(
        &self,
        kernel: &'static str,
        [rows, width, chunk]: [usize; 3],
        parts: usize,
        arguments: &[Argument],
    ) {
        let sizes = [whole(rows), whole(width), whole(chunk)];
        let arguments: Vec<Argument> = sizes.into_iter().chain(arguments.iter().copied()).collect();
        self.grid(kernel, [width.div_ceil(super::ROW_THREADS as usize), parts], &arguments);
    }

    /// The sum of all elements, times a factor.
    pub(crate) fn sum(&self, x: &Array, factor: f32) -> Array {
        let (parts, mut to) = (Block::stale(2 * PARTS), Array::stale(&[]));
        self.totals(&parts, x, false);
        let arguments = [whole(PARTS), to.write(), parts.argument(), number(factor)];
        self.launch("total_of", [1, 1], THREADS, &arguments);
        to
    }

    fn totals(&self, parts: &Block, x: &Array, squares: bool) {
        let arguments = [whole(x.len()), parts.argument(), x.read(), Argument::Whole(u32::from(squares))];
        self.launch("totals", [PARTS, 1], THREADS, &arguments);
    }

    /// The sum of squares of every array, in double precision.
    pub(crate) fn sums_of_squares(&self, arrays: &[&Array]) -> Vec<f64> {
        let parts: Vec<Block> = arrays.iter().map(|_| Block::stale(2 * PARTS)).collect();
        // All are asked for before the first is waited for.
        arrays.iter().zip(&parts).for_each(|(array, parts)| self.totals(parts, array, true));
        parts.iter().map(|parts| doubles(parts, PARTS).iter().sum()).collect()
    }

    /// Whether no element is infinite or NaN.
    pub(crate) fn is_finite(&self, x: &Array) -> bool {
        let found = Block::of_words(&[0]);
        self.each("unfit", x.len(), &[found.argument(), x.read()]);
        let mut count = [0.0];
        found.read(&mut count);
        count[0].to_bits() == 0
    }

    /// Of every row, the product of two matrices' rows.
    pub(crate) fn row_products(&self, a: &Array, b: &Array) -> Array {
        let mut to = Array::stale(&[a.height()]);
        self.rows("row_products", a.height(), &[whole(a.width()), to.write(), a.read(), b.read()]);
        to
    }

    /// Adds row i of g to row `ids[i]` of a table. One block adds up the rows of an id in their order, but of an id with many rows
    /// these are brought together and added up in parts.
    pub(crate) fn scatter(&self, table: &mut Array, g: &Array, ids: &[u32]) {
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        order.sort_by_key(|at| ids[*at as usize]);
        let (mut unique, mut starts) = (Vec::new(), Vec::new());
        for (at, index) in order.iter().enumerate() {
            let id = ids[*index as usize];
            if unique.last() != Some(&id) {
                unique.push(id);
                starts.push(at as u32);
            }
        }
        starts.push(order.len() as u32);
        let rows = |at: usize| starts[at] as usize..starts[at + 1] as usize;
        for at in (0..unique.len()).filter(|at| rows(*at).len() > MANY) {
            let sum = self.sum_rows(&self.gather(g, &order[rows(at)]));
            self.add_into(table, unique[at] as usize * table.width(), &sum);
        }
        // Those are left to nobody else.
        let few: Vec<usize> = (0..unique.len()).filter(|at| rows(*at).len() <= MANY).collect();
        let mut kept = Vec::with_capacity(order.len());
        let mut bounds = vec![0];
        for at in &few {
            kept.extend_from_slice(&order[rows(*at)]);
            bounds.push(kept.len() as u32);
        }
        let unique: Vec<u32> = few.into_iter().map(|at| unique[at]).collect();
        let (starts, order) = (bounds, kept);
        let [named, starts, order] = [&unique, &starts, &order].map(|words| Block::of_words(words));
        let (width, to) = (whole(table.width()), table.write());
        let arguments = [to, g.read(), named.argument(), starts.argument(), order.argument(), width];
        self.rows("scattered", unique.len(), &arguments);
    }

    /// The mean over rows of what the logarithm of the sum of exponentials exceeds the target's number by; and that logarithm.
    pub(crate) fn surprise(&self, x: &Array, targets: &Block) -> (Array, Array) {
        let rows = x.height();
        let (mut shift, mut loss) = (Array::stale(&[rows]), Array::stale(&[rows]));
        let arguments = [whole(x.width()), shift.write(), loss.write(), x.read(), targets.argument()];
        self.rows("surprises", rows, &arguments);
        (self.sum(&loss, 1.0 / rows as f32), shift)
    }

    /// The gradient of that mean.
    pub(crate) fn surprise_back(&self, x: &Array, shift: &Array, targets: &Block, gradient: &Array) -> Array {
        let mut dx = Array::stale(x.shape());
        let arguments = [
            dx.write(),
            x.read(),
            shift.read(),
            targets.argument(),
            gradient.read(),
            whole(x.width()),
            number(1.0 / x.height() as f32),
        ];
        self.each("surprises_back", x.len(), &arguments);
        dx
    }

    /// One row per sequence: the mean of its tokens, or the first of them.
    pub(crate) fn segments(&self, x: &Array, offsets: &Offsets, mean: bool) -> Array {
        let mut to = Array::stale(&[offsets.sequences(), x.width()]);
        let bounds = bounds(offsets);
        let arguments =
            [to.write(), x.read(), bounds.argument(), whole(x.width()), Argument::Whole(u32::from(mean))];
        self.rows("segments", offsets.sequences(), &arguments);
        to
    }

    /// dx (+)= the gradient of that.
    pub(crate) fn segments_back(&self, dx: &mut Array, dy: &Array, offsets: &Offsets, mean: bool, add: bool) {
        let bounds = bounds(offsets);
        let [mean, add] = [mean, add].map(|flag| Argument::Whole(u32::from(flag)));
        let arguments = [dx.write(), dy.read(), bounds.argument(), whole(dy.width()), mean, add];
        self.rows("segments_back", offsets.sequences(), &arguments);
    }
}

/// Where sequences begin, and where the last ends.
fn bounds(offsets: &Offsets) -> Block {
    let ends = offsets.ranges().map(|range| range.end as u32);
    Block::of_words(&[0].into_iter().chain(ends).collect::<Vec<u32>>())
}

/// The first numbers of double precision in a block.
pub(super) fn doubles(block: &Block, count: usize) -> Vec<f64> {
    let mut words = vec![0.0f32; 2 * count];
    block.read(&mut words);
    let double = |pair: &[f32]| {
        // The lower word comes first, as on every machine with such a device. A fault has left NaN in both.
        f64::from_bits(u64::from(pair[0].to_bits()) | u64::from(pair[1].to_bits()) << 32)
    };
    words.chunks_exact(2).map(double).collect()
}
