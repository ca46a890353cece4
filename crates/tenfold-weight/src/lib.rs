//! Paths, selectors, forms and the tree of named weights.
