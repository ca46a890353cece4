//! Tasks: data with human judgments, a metric and a version, one file each.

pub mod stsb;
