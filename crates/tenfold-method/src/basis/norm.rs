//! Rotations of a stream: the gains of its norms move into their readers, and what is left of a norm passes every rotation
//! that keeps what it measures (Ashkboos et al. 2024, section 3.2, with the mean kept in place rather than taken out of the
//! writers).

use super::change::Changes;
use super::turns::Selected;
use crate::error::{At, Error};
use crate::evidence::Evidence;
use std::sync::Arc;
use tenfold_linalg::Matrix;
use tenfold_linalg::basis::{Turn, centered_eigenbasis, eigenbasis};
use tenfold_tensor::Array;
use tenfold_weight::{Form, Norm, Path, Space};

/// Turns a stream to the principal axes of what its norms give their readers.
pub(super) fn rotate(
    space: &Space,
    selected: &Selected<'_>,
    evidence: &Evidence,
    changes: &mut Changes,
) -> Result<(), Error> {
    let at = space.members().next().cloned().unwrap_or_else(|| Path::new(&space.name));
    let gains = |norm: &Norm| selected.matrix(space, &norm.gain).map(|gain| gain.data().to_vec());
    let mut moment = Matrix::zeros(space.width, space.width);
    for norm in &space.norms {
        // Readers of one norm see one thing; those that were never used have nothing to say.
        let Some(seen) = norm.readers.iter().find_map(|path| evidence.moment(path).ok()) else { continue };
        // Without its gain the norm gives what it gave, divided by it.
        let back: Vec<f64> =
            gains(norm)?.iter().map(|gain| if *gain == 0.0 { 0.0 } else { 1.0 / gain }).collect();
        for (r, row) in moment.data_mut().chunks_exact_mut(space.width).enumerate() {
            row.iter_mut().enumerate().for_each(|(c, sum)| *sum += seen.get(r, c) * back[r] * back[c]);
        }
    }
    if moment.data().iter().all(|value| *value == 0.0) {
        return Err(Error::NoEvidence { path: at });
    }
    let centered = space.norms.iter().any(|norm| norm.centered);
    let axes =
        if centered { centered_eigenbasis(&moment) } else { eigenbasis(&moment).map(|found| found.rotation) };
    let turn = Arc::new(Turn::none(space.width).rotated(vec![axes.at(&at)?]).at(&at)?);

    for norm in &space.norms {
        let gain: Arc<[f64]> = gains(norm)?.into();
        if let Some(path) = &norm.bias {
            let bias = selected.matrix(space, path)?;
            let unscaled = unscaled(norm, &gain, bias.data())?;
            changes.of(path).from = Some(vector(&turn.vector(&unscaled)));
        }
        changes.of(&norm.gain).from = Some(vector(&vec![1.0; space.width]));
        for path in &norm.readers {
            let change = changes.of(path);
            (change.gains, change.columns) = (Some(Arc::clone(&gain)), Some(Arc::clone(&turn)));
        }
    }
    let of_norms: Vec<&Path> =
        space.norms.iter().flat_map(|norm| [&norm.gain].into_iter().chain(&norm.bias)).collect();
    for path in space.vectors.iter().filter(|path| !of_norms.contains(path)).chain(&space.writers) {
        changes.of(path).rows = Some(Arc::clone(&turn));
    }
    // Modules read what is on its way to the stream, without a norm between.
    let bare =
        space.readers.iter().filter(|path| space.norms.iter().all(|norm| !norm.readers.contains(path)));
    for path in space.tables.iter().chain(bare) {
        changes.of(path).columns = Some(Arc::clone(&turn));
    }
    Ok(())
}

/// The bias that a norm without gain adds before its readers scale it.
fn unscaled(norm: &Norm, gain: &[f64], bias: &[f64]) -> Result<Vec<f64>, Error> {
    let of = |(index, (bias, gain)): (usize, (&f64, &f64))| match (*bias, *gain) {
        (0.0, _) => Ok(0.0),
        (_, 0.0) => Err(Error::ZeroGain { path: norm.gain.clone(), index }),
        (bias, gain) => Ok(bias / gain),
    };
    bias.iter().zip(gain).enumerate().map(of).collect()
}

fn vector(values: &[f64]) -> Form {
    Form::dense(Array::from_vec(values.iter().map(|value| *value as f32).collect(), &[values.len()]))
}
