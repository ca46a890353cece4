//! The crate's story from outside: every format written, read, and lied about.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "helpers of tests are tests"
)]

mod checkpoint;
mod columns;
mod config;
mod gguf;
mod gguf_file;
mod gguf_model;
mod gptq;
mod learn;
mod llama2c;
mod manifest;
mod mutate;
mod piece;
mod pipeline;
mod server;
mod shared;
mod source;
mod tokenizer;
