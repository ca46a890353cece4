//! What a model makes of token sequences: the head's outputs, logits of the next token, or hidden states; the peer is
//! `bench/peers/adapter_peft.py`.
//!
//! usage: logits MODEL-FOLDER IDS [ADAPTER-FOLDER]; IDS is a JSON list of lists of tokens; a JSON list of numbers per sequence
//! on stdout.
#![allow(clippy::print_stdout, reason = "an example reports by printing")]

use std::path::Path;
use std::process::ExitCode;
use tenfold_model::{Batch, Model};
use tenfold_weight::Scope;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let found = match arguments.as_slice() {
        [model, ids] => run(model, ids, None),
        [model, ids, adapter] => run(model, ids, Some(adapter)),
        _ => Err("usage: logits MODEL-FOLDER IDS [ADAPTER-FOLDER]".into()),
    };
    match found {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(model: &str, ids: &str, adapter: Option<&String>) -> Result<(), Box<dyn std::error::Error>> {
    let mut model = Model::load(Path::new(model))?;
    if let Some(adapter) = adapter {
        model = model.with_adapter(Path::new(adapter))?;
    }
    let sequences: Vec<Vec<u32>> = serde_json::from_str(&std::fs::read_to_string(ids)?)?;
    let scope = Scope::evaluate(&model.tree);
    for sequence in sequences {
        let batch = Batch::from_sequences(&[sequence]);
        let found = match (model.head, model.network.is_decoder()) {
            (Some(_), _) => model.logits(&scope, &batch)?,
            (None, true) => model.network.logits(&scope, &batch)?,
            (None, false) => model.network.hidden(&scope, &batch)?,
        };
        println!("{}", serde_json::to_string(found.value().data())?);
    }
    Ok(())
}
