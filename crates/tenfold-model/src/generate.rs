//! Text that a decoder goes on with, or that it answers to a source: greedy, sampled, or the best of a beam.

use crate::batch::Batch;
use crate::error::Error;
use crate::model::Model;
use crate::network::Network;
use crate::past::Past;
use std::ops::ControlFlow;
use tenfold_format::config::ModelConfig;
use tenfold_tensor::random::Random;
use tenfold_tensor::{Array, Precision, op};
use tenfold_weight::Scope;

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// The most likely one; of equal ones the first.
    Greedy,
    /// Drawn from the likely ones.
    Sample {
        /// What logits are divided by, above 0.
        temperature: f32,
        /// The least probability that the candidates together have, in (0, 1] (Holtzman et al. 2020, section 3.1).
        top_p: f32,
        /// The seed of the draws.
        seed: u64,
    },
    /// The likeliest text of this many that are followed side by side, by mean log-likelihood per token.
    Beam {
        /// Texts that are followed, at least 1.
        width: usize,
    },
}

/// How much to write, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GenerateOptions {
    /// How the next token is chosen.
    pub choice: Choice,
    /// The most tokens to write; the model's positions may end it before.
    pub max_tokens: usize,
    /// The precision of the products of linear maps.
    pub precision: Precision,
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The model said so.
    Token,
    /// There were as many tokens as asked for.
    Length,
    /// The model has no more positions.
    Positions,
    /// The caller stopped it.
    Stopped,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The tokens, without the prompt and without a token that ends.
    pub tokens: Vec<u32>,
    /// Why no more.
    pub ended: Ended,
}

impl Network {
    /// The tokens that end a text; none where the config names none.
    pub fn end_tokens(&self) -> Vec<u32> {
        match self.config() {
            ModelConfig::Gpt2(config) => config.end_tokens,
            ModelConfig::Llama(config) => config.end_tokens,
            ModelConfig::T5(config) => config.end_tokens,
            _ => Vec::new(),
        }
    }

    /// Logits of the token that comes after every sequence, given a batch of the tokens that come next in each and what is kept of
    /// those before, to which they are added.
    ///
    /// # Shapes
    /// The result is B x V.
    ///
    /// # Errors
    /// [`Error::NoOutput`], [`Error::TooLong`], faults of the tree.
    pub fn foretell(&self, scope: &Scope<'_>, batch: &Batch, past: &mut Past) -> Result<Array, Error> {
        let hidden = self.go_on(scope, batch, past)?;
        let last: Vec<u32> = batch.offsets.ranges().map(|range| range.end.saturating_sub(1) as u32).collect();
        let last = op::embedding(&hidden, &last).map_err(tenfold_weight::Error::from)?;
        Ok(self.next_token(scope, &last)?.value().clone())
    }
}

impl Model {
    /// The ids of a text to go on from or to answer, with the token that begins texts where the tokenizer or, for no text at all, the
    /// config has one. Never cut: the end is what counts.
    ///
    /// # Errors
    /// Faults of the tokenizer.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>, Error> {
        let mut ids = self.tokenizer.encode(text, usize::MAX)?;
        let begin = match self.network.config() {
            ModelConfig::Gpt2(config) => config.begin_token,
            ModelConfig::Llama(config) => config.begin_token,
            _ => None,
        };
        if ids.is_empty() {
            ids.extend(begin);
        }
        Ok(ids)
    }

    /// Goes on from the ids of a prompt; an encoder-decoder reads them as its source. `see` is shown every token when it is certain, which in a beam is at the end, and
    /// may stop the work.
    ///
    /// # Errors
    /// [`Error::NoOutput`], [`Error::EmptyPrompt`], [`Error::TooLong`] for the prompt, and faults of the tree.
    pub fn generate(
        &self,
        prompt: &[u32],
        options: &GenerateOptions,
        see: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Written, Error> {
        if prompt.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        let start = self.network.arch.start().map(|start| [start]);
        let first = start.as_ref().map_or(prompt, |start| &start[..]);
        let most = options.max_tokens.min(self.network.positions().saturating_sub(first.len()));
        let full = if most < options.max_tokens { Ended::Positions } else { Ended::Length };
        let mut writer = Writer {
            model: self,
            scope: Scope::evaluate(&self.tree).computing(options.precision),
            ends: self.network.end_tokens(),
            past: Past::new(1, first.len() + most),
        };
        let batch = Batch::from_sequences(&[first]);
        let logits = writer.read(match start {
            Some(_) => batch.answering(Batch::from_sequences(&[prompt])),
            None => batch,
        })?;
        match options.choice {
            Choice::Beam { width } => writer.beam(logits, width.max(1), most, full, see),
            choice => writer.stream(logits, choice, most, full, see),
        }
    }
}

/// One text or beam in the making.
struct Writer<'m> {
    model: &'m Model,
    scope: Scope<'m>,
    ends: Vec<u32>,
    past: Past,
}

impl Writer<'_> {
    /// Logits after the last token of every sequence, given a batch of the tokens that come next in each.
    fn read(&mut self, batch: Batch) -> Result<Vec<Vec<f32>>, Error> {
        let logits = self.model.network.foretell(&self.scope, &batch, &mut self.past)?;
        Ok(logits.data().chunks_exact(logits.width()).map(<[f32]>::to_vec).collect())
    }

    fn stream(
        &mut self,
        mut logits: Vec<Vec<f32>>,
        choice: Choice,
        most: usize,
        full: Ended,
        see: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Written, Error> {
        let mut random = Random::new(if let Choice::Sample { seed, .. } = choice { seed } else { 0 });
        let mut tokens = Vec::new();
        while tokens.len() < most {
            let Some(own) = logits.first() else { break };
            let token = match choice {
                Choice::Sample { temperature, top_p, .. } => draw(own, temperature, top_p, random.uniform()),
                _ => likeliest(own),
            };
            if self.ends.contains(&token) {
                return Ok(Written { tokens, ended: Ended::Token });
            }
            tokens.push(token);
            if see(token).is_break() {
                return Ok(Written { tokens, ended: Ended::Stopped });
            }
            if tokens.len() < most {
                logits = self.read(Batch::from_sequences(&[[token]]))?;
            }
        }
        Ok(Written { tokens, ended: full })
    }

    fn beam(
        &mut self,
        logits: Vec<Vec<f32>>,
        width: usize,
        most: usize,
        full: Ended,
        see: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Written, Error> {
        let mut open = vec![Line { tokens: Vec::new(), score: 0.0 }];
        let mut logits = logits;
        let mut best: Option<(f64, Written)> = None;
        let mut offer = |line: &Line, ended: Ended, counted: usize| {
            let mean = line.score / counted.max(1) as f64;
            if best.as_ref().is_none_or(|(known, _)| mean > *known) {
                best = Some((mean, Written { tokens: line.tokens.clone(), ended }));
            }
            best.as_ref().map_or(f64::NEG_INFINITY, |(known, _)| *known)
        };
        for length in 0..most {
            let mut candidates: Vec<(f64, usize, u32)> = Vec::new();
            for (at, (line, own)) in open.iter().zip(&logits).enumerate() {
                let norm = log_sum(own);
                let scored = own
                    .iter()
                    .enumerate()
                    .map(|(id, logit)| (line.score + f64::from(*logit) - norm, at, id as u32));
                candidates.extend(scored);
                // Twice the width is enough: at most half of them end.
                candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
                candidates.truncate(2 * width * self.ends.len().max(1));
            }
            let mut next = Vec::new();
            let mut known = f64::NEG_INFINITY;
            for (score, at, id) in candidates {
                let mut line = Line { tokens: open[at].tokens.clone(), score };
                if self.ends.contains(&id) {
                    known = offer(&line, Ended::Token, length + 1);
                } else if next.len() < width {
                    line.tokens.push(id);
                    next.push((at, line));
                }
            }
            let from: Vec<usize> = next.iter().map(|(at, _)| *at).collect();
            open = next.into_iter().map(|(_, line)| line).collect();
            // Scores only fall: what is open cannot pass what has ended, even at its longest.
            let hope = open.first().map_or(f64::NEG_INFINITY, |line| line.score / most as f64);
            if open.is_empty() || hope < known {
                break;
            }
            if length + 1 < most {
                self.past = self.past.selected(&from);
                let next: Vec<&[u32]> =
                    open.iter().map(|line| &line.tokens[line.tokens.len() - 1..]).collect();
                logits = self.read(Batch::from_sequences(&next))?;
            }
        }
        for line in open.iter().filter(|line| line.tokens.len() == most) {
            offer(line, full, most);
        }
        let mut written = best.map_or(Written { tokens: Vec::new(), ended: full }, |(_, written)| written);
        for (at, token) in written.tokens.iter().enumerate() {
            if see(*token).is_break() {
                written.tokens.truncate(at + 1);
                written.ended = Ended::Stopped;
                break;
            }
        }
        Ok(written)
    }
}

/// One of the texts of a beam.
struct Line {
    tokens: Vec<u32>,
    /// Sum of log-likelihoods.
    score: f64,
}

/// The first of the largest logits.
pub fn likeliest(logits: &[f32]) -> u32 {
    let better = |best: usize, (at, logit): (usize, &f32)| if *logit > logits[best] { at } else { best };
    logits.iter().enumerate().fold(0, better) as u32
}

/// The token at `at` in [0, 1) of the likeliest ones that together have the probability `top_p`.
fn draw(logits: &[f32], temperature: f32, top_p: f32, at: f64) -> u32 {
    let scaled: Vec<f32> = logits.iter().map(|logit| logit / temperature).collect();
    let norm = log_sum(&scaled);
    let mut likely: Vec<(f64, u32)> =
        scaled.iter().enumerate().map(|(id, logit)| ((f64::from(*logit) - norm).exp(), id as u32)).collect();
    likely.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut sum = 0.0;
    let kept = likely.iter().take_while(|(share, _)| {
        let before = sum;
        sum += share;
        before < f64::from(top_p)
    });
    let kept = kept.count().max(1);
    let mut left = at * likely[..kept].iter().map(|(share, _)| share).sum::<f64>();
    for (share, id) in &likely[..kept] {
        left -= share;
        if left < 0.0 {
            return *id;
        }
    }
    likely[kept - 1].1
}

/// The logarithm of the sum of exponentials.
fn log_sum(logits: &[f32]) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - most).exp()).sum();
    f64::from(most) + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_tokens_are_drawn_by_their_shares() {
        let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].iter().map(|share| share.ln()).collect();
        let counts = |temperature: f32, top_p: f32| {
            let mut counts = [0; 4];
            for at in 0..1000 {
                counts[draw(&logits, temperature, top_p, f64::from(at) / 1000.0) as usize] += 1;
            }
            counts
        };
        let near =
            |got: [i32; 4], expected: [i32; 4]| got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 3);
        assert!(near(counts(1.0, 1.0), [500, 300, 150, 50]), "{:?}", counts(1.0, 1.0));
        // The first two have .8 together, so a third is needed for .9 and none for .7.
        assert!(near(counts(1.0, 0.9), [526, 316, 158, 0]), "{:?}", counts(1.0, 0.9));
        assert!(near(counts(1.0, 0.7), [625, 375, 0, 0]), "{:?}", counts(1.0, 0.7));
        assert_eq!(counts(0.01, 1.0), [1000, 0, 0, 0]);
        assert_eq!(likeliest(&[1.0, 3.0, 3.0, 2.0]), 1);
    }
}
