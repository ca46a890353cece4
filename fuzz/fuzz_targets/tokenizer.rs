//! Tokenizer files: read or refused, and an accepted one keeps to the length asked for.
//!
//! The library behind it answers some malformed files with a panic, which becomes an error; libFuzzer's hook aborts
//! before that, so such panics show up here as findings of the library, not of this repository.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tenfold_format::tokenizer::Tokenizer;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(tokenizer) = Tokenizer::from_json(Path::new("fuzz"), bytes)
        && let Ok(ids) = tokenizer.encode("two words", 8)
    {
        assert!(ids.len() <= 8);
    }
});
