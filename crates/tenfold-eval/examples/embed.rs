//! Sentence vectors of the lines of a file, one JSON array per line: `embed MODEL-FOLDER TEXT-FILE`.
#![allow(clippy::print_stdout)] // printing is what this example is for

use std::path::Path;
use tenfold_eval::{EmbedOptions, embed};
use tenfold_model::Model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, texts] = words.as_slice() else {
        return Err("usage: embed MODEL-FOLDER TEXT-FILE".into());
    };
    let model = Model::load(Path::new(model))?;
    let text = std::fs::read_to_string(texts)?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let vectors = embed(&model, &model.tree, &lines, &EmbedOptions::default(), &mut |_, _| {})?;
    for vector in vectors.data().chunks_exact(vectors.width()) {
        println!("{}", serde_json::to_string(vector)?);
    }
    Ok(())
}
