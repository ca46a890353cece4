//! Looking up rows of a table.

use crate::device;
use crate::kernel::elementwise;
use crate::par::{self, Shared};
use crate::tape::record;
use crate::{Array, Error, Var};

/// The rows of a table that the ids name, in order.
///
/// # Shapes
/// table V x D; the result is N x D for N ids.
///
/// # Errors
/// [`Error::IdOutOfRange`] for an id that is not below V.
///
/// # Panics
/// When the table is not a matrix.
#[track_caller]
pub fn embedding(table: &Var, ids: &[u32]) -> Result<Var, Error> {
    let &[rows, width] = table.shape() else { panic!("an embedding table of shape {:?}", table.shape()) };
    if let Some((position, &id)) = ids.iter().enumerate().find(|&(_, &id)| id as usize >= rows) {
        return Err(Error::IdOutOfRange { id, position, rows });
    }
    if let Some(device) = device::active() {
        let y = device.gather(table.value(), ids);
        let ids = if table.is_tracked() { ids.to_vec() } else { Vec::new() };
        return Ok(record(&[table], y, move |gradient, sink| {
            sink.accumulate_in(0, &[rows, width], |table, filled| {
                if !filled {
                    device.fill(table, 0.0);
                }
                device.scatter(table, &gradient, &ids);
            });
        }));
    }
    let mut y = Array::stale(&[ids.len(), width]);
    let source = table.value().data();
    if width > 0 {
        par::chunks_mut(y.data_mut(), par::block_rows(width) * width, |start, chunk| {
            for (row, &id) in chunk.chunks_exact_mut(width).zip(&ids[start / width..]) {
                row.copy_from_slice(&source[id as usize * width..(id as usize + 1) * width]);
            }
        });
    }
    let ids: Vec<u32> = if table.is_tracked() { ids.to_vec() } else { Vec::new() };
    Ok(record(&[table], y, move |gradient, sink| {
        let g = gradient.data();
        sink.accumulate(0, &[rows, width], |table, filled| {
            if !filled {
                par::chunks_mut(table, par::GRAIN, |_, chunk| chunk.fill(0.0));
            }
            scatter(table, g, &ids, width);
        });
    }))
}

/// Adds row i of `g` to row ids[i] of the table. Tasks own bands of columns, so repeated ids need no lock and are
/// added in order.
fn scatter(table: &mut [f32], g: &[f32], ids: &[u32], width: usize) {
    const BAND: usize = 64;
    let shared = Shared::new(table);
    par::each(width.div_ceil(BAND), |band| {
        let start = band * BAND;
        let len = BAND.min(width - start);
        for (i, &id) in ids.iter().enumerate() {
            // SAFETY: only this task touches these columns.
            let row = unsafe { shared.slice(id as usize * width + start, len) };
            elementwise::add_assign(row, &g[i * width + start..i * width + start + len]);
        }
    });
}
