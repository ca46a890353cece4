//! A product over packed operands: blocks of the result in parallel, each with the inner dimension in strips whose
//! panel stays in the first-level cache. Every element is summed in the same order whatever the blocks and threads.

use super::ViewMut;
use super::pack::{self, PANEL, Panels, Rows};
use super::tile::{self, Band};
use crate::par::Shared;

/// Units of a strip: its panel takes 32 KiB of a first-level cache.
const STRIP: usize = 256;
/// Rows of a block: with a strip of units 192 KiB of a second-level cache.
const ROWS: usize = 192;
/// Panels of a block.
const PANELS: usize = 2;

/// What happens to a piece of a row of the result, given its first column, as long as it is in cache.
pub(crate) type Finish<'a> = &'a (dyn Fn(&mut [f32], usize) + Sync);

/// c (+)= a b, then `finish` on every piece.
pub(super) fn multiply(
    c: ViewMut<'_, f32>,
    add: bool,
    a: &Rows,
    b: &Panels,
    threads: bool,
    finish: Option<Finish<'_>>,
) {
    let (rows, cols, step) = (c.rows, c.cols, c.row_step);
    if rows == 0 || cols == 0 {
        return;
    }
    let (left, left_step) = a.units();
    let units = pack::units(b.inner);
    let kernel = tile::kernel();
    // SAFETY: the view stands for these elements, exclusively.
    let out = Shared::new(unsafe { std::slice::from_raw_parts_mut(c.start, (rows - 1) * step + cols) });
    let groups = cols.div_ceil(PANELS * PANEL);
    pack::run(threads, rows.div_ceil(ROWS) * groups, |task| {
        let (top, first) = (task / groups * ROWS, task % groups * PANELS * PANEL);
        let height = ROWS.min(rows - top);
        let width = (PANELS * PANEL).min(cols - first);
        let mut begin = 0;
        // One pass even without units, which writes zeros.
        while begin == 0 || begin < units {
            let strip = STRIP.min(units - begin);
            for panel in 0..width.div_ceil(PANEL) {
                let col = first + panel * PANEL;
                let right = &b.panel(col / PANEL)[begin * PANEL..(begin + strip) * PANEL];
                // SAFETY: blocks of different tasks do not overlap, and a task has one view at a time.
                let place = unsafe { out.matrix(top * step + col, height, PANEL.min(cols - col), step) };
                let more = add || begin > 0;
                // SAFETY: the view stands for these elements, exclusively.
                let band = unsafe {
                    Band::new(
                        place.start,
                        step,
                        height,
                        place.cols,
                        more,
                        left.get(top * left_step + begin..).unwrap_or(&[]),
                        left_step,
                        right,
                    )
                };
                kernel(&band);
            }
            begin += STRIP;
        }
        if let Some(finish) = finish {
            for row in top..top + height {
                // SAFETY: as above.
                finish(unsafe { out.slice(row * step + first, width) }, first);
            }
        }
    });
}
