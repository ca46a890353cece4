//! How exactly matrix products are computed.

/// The precision of the matrix products of linear maps, forward and backward. Everything else is `f32` in each of
/// them: sums, biases, activations, norms, softmax, losses, leaves and the optimizer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub enum Precision {
    /// Operands as they are.
    #[default]
    F32,
    /// Operands as sums of two bf16 numbers each, and three products of those: the error of a product is about that of
    /// `f32` (2^-16 of its operands). It costs three products, so it pays only where bf16 is more than three times as
    /// fast as `f32`, which dot-product instructions are not and matrix units are.
    Bf16x3,
    /// Operands rounded to bf16, to nearest, ties to even: errors up to 2^-8 of each operand.
    Bf16,
    /// Only for matrices of few bits; products with others are [`Precision::F32`]. Of few rows, the inputs are rounded to
    /// 8 bits, with a step for every 32 of them, and multiplied with the codes as whole numbers; more rows, and schemes
    /// without parts of 16 or 32 columns, are multiplied as [`Precision::Bf16`].
    Int8,
}

impl Precision {
    /// Every precision, most exact first.
    pub const ALL: [Precision; 4] = [Precision::F32, Precision::Bf16x3, Precision::Bf16, Precision::Int8];

    /// Whether products with matrices that are not quantized have operands as they are.
    pub(crate) fn is_whole(self) -> bool {
        matches!(self, Precision::F32 | Precision::Int8)
    }

    /// Its name in recipes and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16x3 => "bf16x3",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}
