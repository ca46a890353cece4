//! Model configs: an accepted one survives the way to Hugging Face and back.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tenfold_format::config;

fuzz_target!(|text: &str| {
    if let Ok(config) = config::parse(Path::new("fuzz"), text) {
        assert_eq!(config::parse(Path::new("fuzz"), &config.hf_json().to_string()).ok(), Some(config));
    }
});
