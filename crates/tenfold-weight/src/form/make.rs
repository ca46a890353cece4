//! How forms are made of their parts.

use super::{Dense, Form, Grouped, Lowrank, Mpo, Quant, Scaled, Shared, Stack, Sum};
use crate::error::Error;
use crate::path::Address;
use crate::role::Role;
use tenfold_linalg::MpoShape;
use tenfold_tensor::{Array, Codes};

impl Form {
    /// A dense form; a matrix is O x I, a vector is n.
    pub fn dense(value: Array) -> Self {
        Self::Dense(Dense::new(Role::Value, value))
    }

    /// An MPO of a `rows` x `cols` matrix. Core k has shape d_{k-1} x i_k x j_k x d_k.
    ///
    /// # Errors
    /// [`Error::Parts`] when the cores do not chain or do not match the factors.
    pub fn mpo(shape: MpoShape, rows: usize, cols: usize, cores: Vec<Array>) -> Result<Self, Error> {
        Mpo::new(shape, rows, cols, cores).map(Self::Mpo)
    }

    /// A low-rank form `up * down`: down is r x I, up is O x r.
    ///
    /// # Errors
    /// [`Error::Parts`] when the inner sizes differ.
    pub fn lowrank(down: Array, up: Array) -> Result<Self, Error> {
        Lowrank::new(Self::dense(down), Self::dense(up)).map(Self::Lowrank)
    }

    /// The sum of two forms of one shape.
    ///
    /// # Errors
    /// [`Error::Parts`] when the shapes differ.
    pub fn sum(left: Self, right: Self) -> Result<Self, Error> {
        Sum::new(left, right).map(Self::Sum)
    }

    /// A form (O x I) whose columns are stretched by I numbers.
    ///
    /// # Errors
    /// [`Error::Parts`] when there is not one number per column.
    pub fn scaled(inner: Self, columns: Array) -> Result<Self, Error> {
        Scaled::columns(inner, Self::dense(columns)).map(Self::Scaled)
    }

    /// A form (O x I, or a vector of O) whose rows are stretched by O numbers.
    ///
    /// # Errors
    /// [`Error::Parts`] when there is not one number per row.
    pub fn row_scaled(inner: Self, rows: Self) -> Result<Self, Error> {
        Scaled::rows(inner, rows).map(Self::Scaled)
    }

    /// A form (O x I) whose rows get O stored norms: `W = diag(m / |inner|) inner` with |inner| the norms of the inner form's
    /// rows, which the backward pass takes for constant (Liu et al. 2024, DoRA, equation 5 and section 4.3).
    ///
    /// # Errors
    /// [`Error::Parts`] when there is not one number per row.
    pub fn row_normed(inner: Self, norms: Array) -> Result<Self, Error> {
        Scaled::norms(inner, Self::dense(norms)).map(Self::Scaled)
    }

    /// A matrix of codes.
    pub fn quant(codes: Codes) -> Self {
        Self::Quant(Quant::matrix(codes))
    }

    /// Whole numbers (O x I) in groups with tables of scales and, where there is one, shifts (O x G).
    ///
    /// # Errors
    /// [`Error::Parts`] for codes of another scheme, and unless tables have one number per row and group.
    pub fn grouped(codes: Codes, scale: Self, shift: Option<Self>) -> Result<Self, Error> {
        Grouped::new(codes, scale, shift).map(Self::Grouped)
    }

    /// A form stored at `owner`, of the shape given.
    pub fn shared(owner: Address, shape: Vec<usize>) -> Self {
        Self::Shared(Shared::new(owner, shape))
    }

    /// The matrices (O x I) of experts, E of them.
    ///
    /// # Errors
    /// [`Error::Parts`] unless there are some, all of one shape.
    pub fn stack(experts: Vec<Self>) -> Result<Self, Error> {
        Stack::new(experts).map(Self::Stack)
    }

    /// The forms of experts, where the form is a stack of them.
    pub fn experts(&self) -> Option<&[Self]> {
        match self {
            Self::Stack(form) => Some(form.experts()),
            _ => None,
        }
    }
}
