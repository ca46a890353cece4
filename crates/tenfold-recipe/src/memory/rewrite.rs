//! Memory of rewriting in the order of the layers.

use super::BYTES;
use crate::default::BATCH_TOKENS;
use crate::error::Error;
use crate::plan::{Plan, Row};
use crate::recipe::{Order, Recipe};
use serde::Serialize;
use tenfold_model::Model;
use tenfold_tensor::threads;
use tenfold_weight::Path;

/// Bytes of a number in double precision.
const DOUBLE: usize = 8;
/// Matrices of a weight's size, in double precision, that solving and measuring it take: the weight, its working copy, what becomes of
/// it, the difference, and that times the moment.
const COPIES: usize = 5;
/// Matrices of a moment's size that solving takes beside the moment: damped, factored, inverted, and the factor of that.
const FACTORS: usize = 4;
/// What stays between blocks that come and go in many sizes, with what is kept among them.
const GAPS: f64 = 1.2;

/// What rewriting layer by layer takes at most, in bytes; code, tokenizer and texts come on top, and what evaluation and saving of
/// the result take comes later.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RewriteMemory {
    /// Tokens of calibration text whose hidden states are kept.
    pub tokens: usize,
    /// Weights that are there from the beginning: those outside of layers, or all of them where they are not streamed.
    pub standing: usize,
    /// Hidden states between two layers.
    pub states: usize,
    /// The weights of a layer as they were, where they are streamed, and as they become.
    pub layer: usize,
    /// Second moments of a layer, in double precision.
    pub moments: usize,
    /// What comes on top while a layer is looked at and solved: activations of a batch, whose memory is kept for the next, and
    /// matrices in double precision.
    pub working: usize,
    /// Layers that have been rewritten before the last.
    pub rewritten: usize,
    /// All of it.
    pub peak: usize,
}

/// The memory of rewriting a recipe's model in the order of its layers; nothing where all layers are rewritten at once. Counts with
/// the solver that takes most of those that work layer by layer, `gptq`, on as many matrices at a time as there are threads.
///
/// # Errors
/// [`tenfold_model::Error::NoStack`] where the architecture does not keep to such an order.
pub fn rewriting(recipe: &Recipe, plan: &Plan, model: &Model) -> Result<Option<RewriteMemory>, Error> {
    let calibration = &recipe.calibration;
    if calibration.order == Order::AtOnce {
        return Ok(None);
    }
    let walk = model.network.walk()?;
    let (mut outside, mut layers) = (Vec::new(), vec![Vec::new(); walk.layers()]);
    for row in &plan.rows {
        match walk.layer_of(&Path::new(&row.path)) {
            Some(layer) => layers[layer].push(row),
            None => outside.push(row),
        }
    }
    let before = |rows: &[&Row]| rows.iter().map(|row| row.bytes_before).sum::<usize>();
    let changed = |rows: &[&Row]| {
        let rows = rows.iter().filter(|row| !row.steps.is_empty());
        rows.map(|row| row.bytes_after).sum::<usize>()
    };
    let after = |rows: &[&Row]| rows.iter().map(|row| row.bytes_after).sum::<usize>();
    let streamed = calibration.streamed;
    let standing = if streamed { before(&outside) } else { plan.totals.bytes_before };
    let standing = standing + changed(&outside);
    let tokens = calibration.tokens + model.network.max_tokens().min(calibration.tokens);
    let states = BYTES * tokens * model.network.width();
    let inputs = walk.inputs();
    let squares = || inputs.iter().map(|width| DOUBLE * width * width);
    let largest = squares().max().unwrap_or(0);
    // Also where maps take turns: which of them read the same is seen with the moments of all.
    let moments = squares().sum();
    let pass = BYTES * model.network.pass_numbers(tokens.min(BATCH_TOKENS)) + largest * BYTES / DOUBLE;
    let (mut peak, mut found, mut done) = (0, None, 0);
    for rows in &layers {
        let own = if streamed { before(rows) } else { 0 } + changed(rows);
        let working = pass + solving(rows);
        let whole = standing + states + own + moments + working + done;
        if whole > peak {
            peak = whole;
            let peak = (GAPS * whole as f64) as usize;
            found = Some(RewriteMemory {
                tokens,
                standing,
                states,
                layer: own,
                moments,
                working,
                rewritten: done,
                peak,
            });
        }
        done += if streamed { after(rows) } else { changed(rows) };
    }
    Ok(found)
}

/// Bytes of what solving takes of the largest matrices of a layer, one a thread.
fn solving(rows: &[&Row]) -> usize {
    let of = |row: &&Row| match row.shape.as_slice() {
        &[outputs, inputs] if !row.steps.is_empty() => {
            DOUBLE * (COPIES * outputs * inputs + FACTORS * inputs * inputs)
        }
        _ => 0,
    };
    let mut sizes: Vec<usize> = rows.iter().map(of).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.iter().take(threads().max(1)).sum()
}
