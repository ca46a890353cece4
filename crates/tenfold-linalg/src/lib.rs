//! SVD, MPO decomposition and spectra of a matrix.
