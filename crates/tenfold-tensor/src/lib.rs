//! Arrays, fused differentiable ops and optimizer kernels.
