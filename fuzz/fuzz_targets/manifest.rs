//! Manifests: read or refused, and the check against a checkpoint ends.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tenfold_format::checkpoint::Checkpoint;
use tenfold_format::manifest::Manifest;

/// A checkpoint with the empty tensors `x` (a matrix) and `y` (a core).
const CHECKPOINT: &str = r#"{"x":{"dtype":"F32","shape":[0,1],"data_offsets":[0,0]},"y":{"dtype":"F32","shape":[1,0,1,1],"data_offsets":[0,0]}}"#;

fuzz_target!(|text: &str| {
    if let Ok(manifest) = Manifest::parse(Path::new("fuzz"), text) {
        let file = [&(CHECKPOINT.len() as u64).to_le_bytes()[..], CHECKPOINT.as_bytes()].concat();
        let checkpoint = Checkpoint::from_bytes(Path::new("fuzz"), file).expect("the checkpoint is valid");
        let _ = manifest.check(&checkpoint);
    }
});
