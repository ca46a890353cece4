//! Normalization of rows.

use super::row::CHUNK;
use super::{Device, NOTHING, number, whole};
use crate::Array;

/// What is normalized, and with what.
pub(crate) struct Norm<'a> {
    pub(crate) x: &'a Array,
    pub(crate) residual: Option<&'a Array>,
    pub(crate) gain: &'a Array,
}

/// What a normalization keeps: the mean of every row, but not of root mean squares, and the reciprocal deviation.
pub(crate) struct Moments {
    mean: Option<Array>,
    rstd: Array,
}

impl Device {
    /// The normalized rows; without a bias those of root mean squares.
    pub(crate) fn normalize(&self, norm: &Norm<'_>, bias: Option<&Array>, eps: f32) -> (Array, Moments) {
        let (rows, width) = (norm.x.height(), norm.x.width());
        let mut y = Array::stale(norm.x.shape());
        let mut mean = bias.map(|_| Array::stale(&[rows]));
        let mut rstd = Array::stale(&[rows]);
        let arguments = [
            whole(width),
            y.write(),
            mean.as_mut().map_or(NOTHING, Array::write),
            rstd.write(),
            norm.x.read(),
            norm.residual.map_or(NOTHING, Array::read),
            norm.gain.read(),
            bias.map_or(NOTHING, Array::read),
            number(eps),
        ];
        self.rows("normalized", rows, &arguments);
        (y, Moments { mean, rstd })
    }

    /// The gradient of x and of the residual.
    pub(crate) fn normalize_back(&self, norm: &Norm<'_>, moments: &Moments, dy: &Array) -> Array {
        let mut dx = Array::stale(norm.x.shape());
        let arguments = [
            whole(norm.x.width()),
            dx.write(),
            dy.read(),
            norm.x.read(),
            norm.residual.map_or(NOTHING, Array::read),
            norm.gain.read(),
            moments.mean.as_ref().map_or(NOTHING, Array::read),
            moments.rstd.read(),
        ];
        self.rows("normalized_back", norm.x.height(), &arguments);
        dx
    }

    /// The gradients of gain and, where there is one, of the bias.
    pub(crate) fn normalize_sums(
        &self,
        norm: &Norm<'_>,
        moments: &Moments,
        dy: &Array,
    ) -> (Array, Option<Array>) {
        let (rows, width) = (norm.x.height(), norm.x.width());
        let parts = rows.div_ceil(CHUNK).max(1);
        let mut gain = Array::stale(&[parts, width]);
        let mut bias = moments.mean.is_some().then(|| Array::stale(&[parts, width]));
        let arguments = [
            gain.write(),
            bias.as_mut().map_or(NOTHING, Array::write),
            dy.read(),
            norm.x.read(),
            norm.residual.map_or(NOTHING, Array::read),
            moments.mean.as_ref().map_or(NOTHING, Array::read),
            moments.rstd.read(),
        ];
        self.columns("normalized_sums", [rows, width, CHUNK], parts, &arguments);
        let folded = |sums| self.fold_rows(sums, parts, width).reshape(&[width]);
        (folded(gain), bias.map(folded))
    }
}
