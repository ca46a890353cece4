//! Recipes from text to receipt, on models small enough for a test.
#![allow(clippy::unwrap_used)] // helpers of tests fail like the tests themselves

mod it {
    mod basis;
    mod bench;
    mod calibrate;
    mod decoder;
    mod decoder_basis;
    mod experts;
    mod gradual;
    mod language;
    mod layers;
    mod light;
    mod module;
    mod opf;
    mod parse;
    mod plan;
    mod pretrain;
    mod ranks;
    mod recipes;
    mod resume;
    mod run;
    mod study;
    mod tables;
    mod task;
}
