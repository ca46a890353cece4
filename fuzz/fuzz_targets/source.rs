//! Names of sources: an accepted one is written as it is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenfold_format::source::Source;

fuzz_target!(|text: &str| {
    if let Ok(source) = text.parse::<Source>() {
        assert_eq!(source.to_string().parse::<Source>().ok(), Some(source));
    }
});
