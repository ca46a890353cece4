//! Safetensors files: read or refused, and every number of an accepted one is there.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tenfold_format::checkpoint::Checkpoint;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(checkpoint) = Checkpoint::from_bytes(Path::new("fuzz"), bytes.to_vec()) {
        for tensor in checkpoint.tensors() {
            if let Ok(values) = checkpoint.read_f32(&tensor.name) {
                assert_eq!(values.len(), tensor.elements());
            }
        }
    }
});
