//! GGUF headers: read or refused, and every tensor of an accepted file lies inside it.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tenfold_format::gguf::Gguf;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = Gguf::parse(Path::new("fuzz"), bytes) {
        for tensor in &file.tensors {
            assert!(file.data_start + tensor.offset + tensor.bytes.unwrap_or(0) <= bytes.len() as u64);
        }
    }
});
