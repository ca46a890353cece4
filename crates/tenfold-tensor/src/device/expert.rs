//! What routers and experts need beside products.

use super::{Argument, Block, Device, whole};
use crate::Array;

impl Device {
    /// Every row the sum of rows of y that its slots name, times its gates.
    pub(crate) fn combine_rows(&self, y: &Array, gates: &Array, slots: &Block) -> Array {
        let (rows, k, width) = (gates.height(), gates.width(), y.width());
        let mut to = Array::stale(&[rows, width]);
        let arguments = [to.write(), y.read(), gates.read(), slots.argument(), whole(width), whole(k)];
        self.each("combined", rows * width, &arguments);
        to
    }

    /// dy += the gradient of y.
    pub(crate) fn combine_rows_back(&self, dy: &mut Array, dout: &Array, gates: &Array, slots: &Block) {
        let (k, width) = (gates.width(), dy.width());
        let arguments = [dy.write(), dout.read(), gates.read(), slots.argument(), whole(width), whole(k)];
        self.rows("combined_back", gates.len(), &arguments);
    }

    /// dgates (+)= the gradient of gates.
    pub(crate) fn combine_gates_back(
        &self,
        dgates: &mut Array,
        dout: &Array,
        y: &Array,
        slots: &Block,
        add: bool,
    ) {
        let (count, k, width) = (dgates.len(), dgates.width(), y.width());
        let add = Argument::Whole(u32::from(add));
        let arguments =
            [dgates.write(), dout.read(), y.read(), slots.argument(), whole(width), whole(k), add];
        self.rows("combined_back_gates", count, &arguments);
    }
}
