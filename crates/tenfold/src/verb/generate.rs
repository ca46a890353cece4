//! `tenfold generate`: a text that a decoder goes on with, or answers to.

use super::{Verdict, print_json};
use crate::cli;
use crate::{interrupt, model, screen};
use anyhow::{Context, Result};
use serde_json::json;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tenfold_model::{Choice, Ended, GenerateOptions, Model};
use tenfold_recipe::run;

/// What decoders put out for bytes that are no text yet.
const UNFINISHED: char = '\u{FFFD}';

/// Prints the prompt and what the model goes on with, as it is made; of a model that reads a source, what it answers to the
/// prompt.
///
/// # Errors
/// Faults of the source and the model, an encoder, a prompt longer than the model's positions.
pub(crate) fn run(args: &cli::Generate) -> Result<Verdict> {
    let loaded = run::load_model(&model::fetch(&args.source, &args.fetching)?)?;
    let stop = interrupt::flag()?;
    let choice = match args.beams {
        Some(width) => Choice::Beam { width: width.into() },
        None if args.greedy => Choice::Greedy,
        None => Choice::Sample { temperature: args.temperature, top_p: args.top_p, seed: args.seed },
    };
    let options = GenerateOptions { choice, max_tokens: args.max_tokens, precision: args.precision };
    let prompt = loaded.prompt(&args.prompt)?;
    // An answer is a text of its own.
    let answers = loaded.network.reads_source();
    let mut text = Stream::new(&loaded, if answers { Vec::new() } else { prompt.clone() })?;
    let start = Instant::now();
    let mut fault = None;
    let mut see = |token| {
        let shown = text.push(token).and_then(|more| match args.output.json {
            true => Ok(()),
            false => Ok(screen::print(&more)?),
        });
        fault = shown.err();
        let go_on = fault.is_none() && !stop.load(Ordering::Relaxed);
        if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    if !args.output.json && !answers {
        screen::print(&args.prompt)?;
    }
    let written = loaded.generate(&prompt, &options, &mut see)?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(fault) = fault {
        return Err(fault).context("the text cannot be shown");
    }
    if args.output.json {
        let ended = match written.ended {
            Ended::Token => "token",
            Ended::Length => "length",
            Ended::Positions => "positions",
            Ended::Stopped => "stopped",
        };
        print_json(&json!({
            "model": loaded.origin, "prompt": args.prompt, "text": text.all, "prompt_tokens": prompt.len(),
            "tokens": written.tokens.len(), "ended": ended, "seconds": seconds,
        }))?;
    } else {
        screen::print(&format!("{}\n", text.rest()))?;
    }
    Ok(Verdict::Done)
}

/// Tokens as they become text: a token may be half a letter, and what it stands for may depend on those before it.
struct Stream<'m> {
    model: &'m Model,
    tokens: Vec<u32>,
    /// Length of the prompt's own text, as the tokenizer writes it.
    prompt: usize,
    /// What was handed out.
    all: String,
}

impl<'m> Stream<'m> {
    fn new(model: &'m Model, tokens: Vec<u32>) -> Result<Self> {
        let prompt = model.tokenizer.decode(&tokens)?.len();
        Ok(Self { model, tokens, prompt, all: String::new() })
    }

    /// What of the text is certain now and was not before.
    fn push(&mut self, token: u32) -> Result<String> {
        self.tokens.push(token);
        let text = self.text()?;
        if text.ends_with(UNFINISHED) {
            return Ok(String::new());
        }
        let more = text.get(self.all.len()..).unwrap_or_default().to_owned();
        self.all = text;
        Ok(more)
    }

    /// What was held back.
    fn rest(&self) -> String {
        let text = self.text().unwrap_or_default();
        text.get(self.all.len()..).unwrap_or_default().to_owned()
    }

    fn text(&self) -> Result<String> {
        let text = self.model.tokenizer.decode(&self.tokens)?;
        Ok(text.get(self.prompt..).unwrap_or_default().to_owned())
    }
}
