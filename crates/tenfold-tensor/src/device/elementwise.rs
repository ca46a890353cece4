//! Loops over elements.

use super::{Argument, Block, Device, NOTHING, number, whole};
use crate::Activation;
use crate::Array;

/// Whether a kernel adds to what is there, as an argument.
fn flag(add: bool) -> Argument {
    Argument::Whole(u32::from(add))
}

/// Where an element lies, counted from the first.
pub(super) fn behind(first: Argument, elements: usize) -> Argument {
    match first {
        Argument::Address(address) if address != 0 => Argument::Address(address + 4 * elements as u64),
        other => other,
    }
}

/// The number of an activation in kernels.
fn code(act: Activation) -> Argument {
    Argument::Whole(match act {
        Activation::Identity => 0,
        Activation::Gelu => 1,
        Activation::GeluTanh => 2,
        Activation::Silu => 3,
        Activation::Relu => 4,
        Activation::Tanh => 5,
    })
}

/// The most axes of a reordering.
const AXES: usize = 6;

impl Device {
    /// to = value, everywhere.
    pub(crate) fn fill(&self, to: &mut Array, value: f32) {
        let n = to.len();
        self.each("fill", n, &[to.write(), number(value)]);
    }

    /// to = from.
    pub(crate) fn copy(&self, to: &mut Array, from: &Array) {
        self.each("copy", from.len(), &[to.write(), from.read()]);
    }

    /// The elements of `to` from `start` on = from.
    pub(crate) fn copy_into(&self, to: &mut Array, start: usize, from: &Array) {
        self.each("copy", from.len(), &[behind(to.write(), start), from.read()]);
    }

    /// The elements of `to` from `start` on += from.
    pub(crate) fn add_into(&self, to: &mut Array, start: usize, from: &Array) {
        let add = [number(1.0), flag(true)];
        self.each("scaled", from.len(), &[behind(to.write(), start), from.read(), add[0], add[1]]);
    }

    /// An array of a shape with the elements of `from` from `start` on.
    pub(crate) fn copy_of(&self, from: &Array, start: usize, shape: &[usize]) -> Array {
        let mut to = Array::stale(shape);
        self.each("copy", to.len(), &[to.write(), behind(from.read(), start)]);
        to
    }

    /// a + factor b.
    pub(crate) fn combine(&self, a: &Array, b: &Array, factor: f32) -> Array {
        let mut to = Array::stale(a.shape());
        self.each("combine", a.len(), &[to.write(), a.read(), b.read(), number(factor)]);
        to
    }

    /// to += factor a.
    pub(crate) fn add_scaled(&self, to: &mut Array, a: &Array, factor: f32) {
        self.scale(to, a, factor, true);
    }

    /// to (+)= factor a.
    pub(crate) fn scale(&self, to: &mut Array, a: &Array, factor: f32, add: bool) {
        self.each("scaled", a.len(), &[to.write(), a.read(), number(factor), flag(add)]);
    }

    /// to (+)= a b.
    pub(crate) fn multiply_elements(&self, to: &mut Array, a: &Array, b: &Array, add: bool) {
        self.each("multiplied", a.len(), &[to.write(), a.read(), b.read(), flag(add)]);
    }

    /// to *= a.
    pub(crate) fn multiply_by(&self, to: &mut Array, a: &Array) {
        let place = to.write();
        self.each("multiplied", a.len(), &[place, place, a.read(), flag(false)]);
    }

    /// x with every column multiplied by its scale.
    pub(crate) fn scale_columns(&self, x: &Array, scales: &Array) -> Array {
        let mut to = Array::stale(x.shape());
        let arguments = [to.write(), x.read(), scales.read(), whole(x.width())];
        self.each("columns_scaled", x.len(), &arguments);
        to
    }

    /// x with every row multiplied by its scale.
    pub(crate) fn scale_rows(&self, x: &Array, scales: &Array) -> Array {
        let mut to = Array::stale(x.shape());
        let arguments = [to.write(), x.read(), scales.read(), whole(x.width())];
        self.each("rows_scaled", x.len(), &arguments);
        to
    }

    /// f(z + bias), and the slope of f there where it is wanted.
    pub(crate) fn finish(
        &self,
        mut z: Array,
        bias: Option<&Array>,
        act: Activation,
        with_slope: bool,
    ) -> (Array, Option<Array>) {
        let (n, width) = (z.len(), whole(z.width()));
        let bias = bias.map_or(NOTHING, Array::read);
        if with_slope && act != Activation::Identity {
            let mut y = Array::stale(z.shape());
            let (to, slope) = (y.write(), z.write());
            self.each("finished", n, &[to, slope, slope, bias, width, code(act)]);
            return (y, Some(z));
        }
        let to = z.write();
        self.each("finished", n, &[to, NOTHING, to, bias, width, code(act)]);
        (z, None)
    }

    /// to (+)= f(gate) value.
    pub(crate) fn gate(&self, to: &mut Array, gate: &Array, value: &Array, act: Activation, add: bool) {
        let arguments = [to.write(), gate.read(), value.read(), code(act), flag(add)];
        self.each("gated", gate.len(), &arguments);
    }

    /// to (+)= g f'(gate) value.
    pub(crate) fn gate_slope(
        &self,
        to: &mut Array,
        [gate, value, g]: [&Array; 3],
        act: Activation,
        add: bool,
    ) {
        let arguments = [to.write(), gate.read(), value.read(), g.read(), code(act), flag(add)];
        self.each("gated_slope", gate.len(), &arguments);
    }

    /// to (+)= a with some numbers dropped, as [`dropout`](crate::op::dropout) says.
    pub(crate) fn drop_some(
        &self,
        to: &mut Array,
        a: &Array,
        [first, second]: [u32; 2],
        threshold: u32,
        keep_scale: f32,
        add: bool,
    ) {
        let [first, second, threshold] = [first, second, threshold].map(Argument::Whole);
        let arguments = [to.write(), a.read(), first, second, threshold, number(keep_scale), flag(add)];
        self.each("dropped", a.len(), &arguments);
    }

    /// to (+)= from (of a shape) with its axes reordered. Whether there are few enough axes; otherwise nothing is done.
    pub(crate) fn permute(
        &self,
        to: &mut Array,
        from: &Array,
        shape: &[usize],
        axes: &[usize],
        add: bool,
    ) -> bool {
        if axes.len() > AXES {
            return false;
        }
        let step_of = |axis: usize| shape[axis + 1..].iter().product::<usize>();
        let (mut sizes, mut steps) = ([1; AXES], [0; AXES]);
        let spare = AXES - axes.len();
        for (at, axis) in axes.iter().enumerate() {
            (sizes[spare + at], steps[spare + at]) = (shape[*axis], step_of(*axis));
        }
        let mut arguments = vec![to.write(), from.read()];
        arguments.extend(sizes[1..].iter().chain(&steps).map(|count| whole(*count)));
        arguments.push(flag(add));
        self.each("permuted", from.len(), &arguments);
        true
    }

    /// to (+)= x with every pair of coordinates turned; cosines and sines N x half.
    pub(crate) fn turn(
        &self,
        to: &mut Array,
        x: &Array,
        [cosines, sines]: [&Block; 2],
        half: usize,
        (neighbors, back): (bool, bool),
        add: bool,
    ) {
        let side = if back { -1.0 } else { 1.0 };
        let arguments = [
            to.write(),
            x.read(),
            cosines.argument(),
            sines.argument(),
            whole(x.width()),
            whole(half),
            flag(neighbors),
            number(side),
            flag(add),
        ];
        self.each("turned", x.len() / 2, &arguments);
    }

    /// The rows of a table that ids name.
    pub(crate) fn gather(&self, table: &Array, ids: &[u32]) -> Array {
        let width = table.width();
        let (mut to, ids) = (Array::stale(&[ids.len(), width]), Block::of_words(ids));
        let arguments = [to.write(), table.read(), ids.argument(), whole(width)];
        self.each("gathered", to.len(), &arguments);
        to
    }

    /// The first rows and columns of a matrix.
    pub(crate) fn crop(&self, x: &Array, rows: usize, cols: usize) -> Array {
        let mut to = Array::stale(&[rows, cols]);
        let arguments = [to.write(), x.read(), whole(cols), whole(x.width())];
        self.each("cropped", rows * cols, &arguments);
        to
    }

    /// to (+)= the gradient of that.
    pub(crate) fn crop_back(&self, to: &mut Array, from: &Array, add: bool) {
        let n = to.len();
        let (rows, cols, width) = (from.height(), from.width(), to.width());
        let arguments = [to.write(), from.read(), whole(rows), whole(cols), whole(width), flag(add)];
        self.each("cropped_back", n, &arguments);
    }
}
