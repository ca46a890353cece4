//! Laws, tolerances, tiny models and the gradient check, for tests.
