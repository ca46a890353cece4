//! The pointwise functions that can follow a linear map.

/// A pointwise function applied in the output pass of a linear map.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Activation {
    /// f(z) = z.
    #[default]
    Identity,
    /// f(z) = z/2 (1 + erf(z / sqrt 2)), the exact Gaussian error linear unit (Hendrycks and Gimpel 2016, eq. 1).
    Gelu,
    /// f(z) = z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))), its tanh approximation (ibid., section 2).
    GeluTanh,
    /// f(z) = z / (1 + exp(-z)).
    Silu,
    /// f(z) = max(z, 0); the derivative at 0 is taken as 0.
    Relu,
    /// f(z) = tanh(z).
    Tanh,
}

impl Activation {
    /// Every activation, for tables of tests and benches.
    pub const ALL: [Activation; 6] = [
        Activation::Identity,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Relu,
        Activation::Tanh,
    ];
}
