//! What a decoder says to questions: how likely it finds every option, and what it writes.
//!
//! Prompts of a batch are read once; options and the written answer go on from what was kept of them. So one pass over a long
//! prompt with demonstrations serves both scores.

use super::judge::Written;
use super::{Group, PromptTask, Question};
use crate::embed::EmbedOptions;
use crate::error::Error;
use crate::language::log_shares;
use tenfold_model::{Batch, Model, Past, likeliest};
use tenfold_tensor::Array;
use tenfold_weight::{Scope, Tree};

/// The share of the model's positions that a written answer may take from demonstrations.
const ROOM: usize = 4;

/// How questions are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerOptions {
    /// Batches and precision.
    pub embed: EmbedOptions,
    /// Demonstrations, where others than the task's are asked for; never more than the task has.
    pub shots: Option<usize>,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        Self { embed: EmbedOptions { batch_tokens: 4096, ..EmbedOptions::default() }, shots: None }
    }
}

/// A model's answer to one question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The log-likelihood of every option, in nats.
    pub likelihoods: Vec<f64>,
    /// What it wrote.
    pub written: Written,
    /// Demonstrations that had room.
    pub shots: usize,
    /// Whether the prompt lost its beginning, since it has no room even alone.
    pub cut: bool,
}

/// A question as tokens.
struct Asked {
    /// What the model has read before options and answer.
    prompt: Vec<u32>,
    /// What goes on to every option from the first `shared` tokens of the prompt.
    options: Vec<Vec<u32>>,
    /// Tokens of the prompt that all options begin with: all of them, unless a tokenizer joins across the border.
    shared: usize,
    shots: usize,
    cut: bool,
}

/// Answers to all questions of some groups, in order. The weights come from `tree`, all else from `model`. `progress` hears after
/// each batch how many questions are done, and of how many.
///
/// # Errors
/// [`Error::NoDecoder`], [`Error::NotFinite`] naming the first question whose logits are not finite, [`Error::Model`].
pub fn answer(
    model: &Model,
    tree: &Tree,
    task: &PromptTask,
    groups: &[Group],
    options: &AnswerOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Answer>, Error> {
    if !model.network.is_decoder() || model.network.reads_source() {
        let architecture = model.network.config().architecture();
        return Err(Error::NoDecoder { purpose: task.name.to_owned(), architecture });
    }
    let shots = options.shots.unwrap_or(task.shots);
    let scope = Scope::evaluate(tree).computing(options.embed.precision);
    let reader = Reader { model, scope, task, ends: model.network.end_tokens() };
    let questions: Vec<(&Group, &Question)> =
        groups.iter().flat_map(|group| group.questions.iter().map(move |one| (group, one))).collect();
    let mut answers = Vec::with_capacity(questions.len());
    let mut batch: Vec<Asked> = Vec::new();
    for (at, (group, question)) in questions.iter().enumerate() {
        let asked = reader.ask(group, question, shots)?;
        let size = |one: &Asked| (one.prompt.len() + task.max_tokens) * one.options.len().max(1);
        let held: usize = batch.iter().map(size).sum();
        if !batch.is_empty() && held + size(&asked) > options.embed.batch_tokens {
            answers.extend(reader.batch(&std::mem::take(&mut batch), answers.len())?);
            progress(at, questions.len());
        }
        batch.push(asked);
    }
    if !batch.is_empty() {
        answers.extend(reader.batch(&batch, answers.len())?);
    }
    progress(questions.len(), questions.len());
    Ok(answers)
}

struct Reader<'m> {
    model: &'m Model,
    scope: Scope<'m>,
    task: &'m PromptTask,
    ends: Vec<u32>,
}

impl Reader<'_> {
    /// Puts a question behind as many demonstrations as have room, first ones first.
    fn ask(&self, group: &Group, question: &Question, shots: usize) -> Result<Asked, Error> {
        let encode = |text: &str| {
            Ok::<_, Error>(self.model.tokenizer.encode(text, usize::MAX).map_err(tenfold_model::Error::from)?)
        };
        let positions = self.model.network.positions();
        let mut shown = shots.min(group.shots.len());
        loop {
            let text = format!("{}{}{}", group.heading, group.shots[..shown].concat(), question.prompt);
            let mut prompt = encode(&text)?;
            let whole = question.options.iter().map(|option| encode(&format!("{text}{option}")));
            let whole = whole.collect::<Result<Vec<_>, _>>()?;
            let common = |ids: &Vec<u32>| prompt.iter().zip(ids).take_while(|(a, b)| a == b).count();
            // Something must have been read before the first token is foretold.
            let mut shared = whole.iter().map(common).min().unwrap_or(prompt.len()).max(1).min(prompt.len());
            let mut options: Vec<Vec<u32>> =
                whole.iter().map(|ids| ids[shared.min(ids.len())..].to_vec()).collect();
            let longest = options.iter().map(Vec::len).max().unwrap_or(0);
            let room = longest.max(self.task.max_tokens.min(positions / ROOM).max(1));
            let most = positions.saturating_sub(room).max(1);
            if prompt.len() > most && shown > 0 {
                shown -= 1;
                continue;
            }
            let cut = prompt.len() > most;
            if cut {
                let lost = prompt.len() - most;
                // The token that begins texts stays.
                let first = usize::from(prompt.first() == encode("")?.first());
                prompt.drain(first..first + lost.min(prompt.len() - first));
                shared = shared.saturating_sub(lost).max(1).min(prompt.len());
                options.iter_mut().for_each(|ids| ids.truncate(positions.saturating_sub(shared)));
            }
            return Ok(Asked { prompt, options, shared, shots: shown, cut });
        }
    }

    /// Answers to a batch of questions, of which the first is the `first`-th of all.
    fn batch(&self, asked: &[Asked], first: usize) -> Result<Vec<Answer>, Error> {
        let positions = self.model.network.positions();
        let capacity = |one: &Asked| {
            let longest = one.options.iter().map(Vec::len).max().unwrap_or(0);
            (one.shared + longest).max(one.prompt.len() + self.task.max_tokens).min(positions)
        };
        let capacity = asked.iter().map(capacity).max().unwrap_or(1);
        let mut past = Past::new(asked.len(), capacity);
        let shared: Vec<&[u32]> = asked.iter().map(|one| &one.prompt[..one.shared]).collect();
        let after = self.last(&Batch::from_sequences(&shared), &mut past)?;
        if let Some(at) = (0..asked.len()).find(|at| !row(&after, *at).iter().all(|logit| logit.is_finite()))
        {
            return Err(Error::NotFinite { metric: "likelihood", index: first + at });
        }
        let likelihoods = self.likelihoods(asked, &past, &after, first)?;
        let whole = asked.iter().all(|one| one.shared == one.prompt.len());
        let written = if whole {
            self.write(past, after)?
        } else {
            let prompts: Vec<&[u32]> = asked.iter().map(|one| one.prompt.as_slice()).collect();
            let mut past = Past::new(asked.len(), capacity);
            let after = self.last(&Batch::from_sequences(&prompts), &mut past)?;
            self.write(past, after)?
        };
        let each = asked.iter().zip(likelihoods).zip(written);
        Ok(each
            .map(|((one, likelihoods), written)| Answer {
                likelihoods,
                written,
                shots: one.shots,
                cut: one.cut,
            })
            .collect())
    }

    /// Logits of the next token after every sequence, B x V.
    fn last(&self, batch: &Batch, past: &mut Past) -> Result<Array, Error> {
        Ok(self.model.network.foretell(&self.scope, batch, past)?)
    }

    /// Log-likelihoods of all options of all questions.
    fn likelihoods(
        &self,
        asked: &[Asked],
        past: &Past,
        after: &Array,
        first: usize,
    ) -> Result<Vec<Vec<f64>>, Error> {
        // The first token of an option is foretold by the prompt's last; only later ones need another pass.
        let mut sums: Vec<Vec<f64>> = asked.iter().map(|one| vec![0.0; one.options.len()]).collect();
        let mut longer = Vec::new();
        for (at, one) in asked.iter().enumerate() {
            let shares = log_shares(row(after, at));
            for (which, ids) in one.options.iter().enumerate() {
                let Some(id) = ids.first() else { continue };
                sums[at][which] = shares[*id as usize];
                if ids.len() > 1 {
                    longer.push((at, which));
                }
            }
        }
        if longer.is_empty() {
            return Ok(sums);
        }
        let from: Vec<usize> = longer.iter().map(|(at, _)| *at).collect();
        let mut past = past.selected(&from);
        let ids = |(at, which): &(usize, usize)| asked[*at].options[*which].as_slice();
        let read: Vec<&[u32]> = longer.iter().map(|one| &ids(one)[..ids(one).len() - 1]).collect();
        let batch = Batch::from_sequences(&read);
        let hidden = self.model.network.go_on(&self.scope, &batch, &mut past)?;
        let logits = self.model.network.next_token(&self.scope, &hidden)?;
        for (one, range) in longer.iter().zip(batch.offsets.ranges()) {
            for (at, id) in range.zip(&ids(one)[1..]) {
                sums[one.0][one.1] += log_shares(row(logits.value(), at))[*id as usize];
            }
            if !sums[one.0][one.1].is_finite() {
                return Err(Error::NotFinite { metric: "likelihood", index: first + one.0 });
            }
        }
        Ok(sums)
    }

    /// Goes on greedily from every sequence until all have ended.
    fn write(&self, mut past: Past, mut after: Array) -> Result<Vec<Written>, Error> {
        let mut written = vec![(Vec::<u32>::new(), Written::default()); past.lengths().len()];
        let mut open: Vec<usize> = (0..written.len()).collect();
        loop {
            let mut going = Vec::new();
            for (at, which) in open.iter().enumerate() {
                let (ids, text) = &mut written[*which];
                let token = likeliest(row(&after, at));
                text.ended = self.ends.contains(&token);
                if text.ended {
                    continue;
                }
                ids.push(token);
                text.text = self.model.tokenizer.decode(ids).map_err(tenfold_model::Error::from)?;
                if let Some(end) = self.task.stops.iter().filter_map(|stop| text.text.find(stop)).min() {
                    text.text.truncate(end);
                    text.ended = true;
                    continue;
                }
                if ids.len() < self.task.max_tokens && past.lengths()[at] < past.capacity() {
                    going.push(at);
                }
            }
            if going.is_empty() {
                return Ok(written.into_iter().map(|(_, text)| text).collect());
            }
            if going.len() < open.len() {
                past = past.selected(&going);
                open = going.iter().map(|at| open[*at]).collect();
            }
            let next: Vec<&[u32]> =
                open.iter().map(|which| &written[*which].0[written[*which].0.len() - 1..]).collect();
            after = self.last(&Batch::from_sequences(&next), &mut past)?;
        }
    }
}

fn row(logits: &Array, at: usize) -> &[f32] {
    &logits.data()[at * logits.width()..(at + 1) * logits.width()]
}
