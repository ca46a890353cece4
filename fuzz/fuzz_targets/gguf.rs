//! GGUF files: read or refused, every tensor of an accepted file lies inside it, and models and vocabularies in it are
//! read or refused.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tenfold_format::gguf::{GgufFile, GgufModel};
use tenfold_format::tokenizer::Tokenizer;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz");
    let Ok(file) = GgufFile::from_bytes(path, bytes.to_vec()) else { return };
    let header = file.header();
    for tensor in &header.tensors {
        assert!(header.data_start + tensor.offset + tensor.bytes.unwrap_or(0) <= bytes.len() as u64);
    }
    let _ = Tokenizer::from_gguf(path, header);
    if let Ok(model) = GgufModel::of(file) {
        for (name, _) in model.tensors() {
            let _ = model.read(name);
        }
    }
});
