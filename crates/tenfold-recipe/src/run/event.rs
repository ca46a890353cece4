//! What a run tells while it works, and how it is told to stop.

use crate::error::Error;
use crate::plan::Plan;
use std::fmt;
use std::time::Instant;

pub use tenfold_train::Flow;

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// Bringing the model to this machine.
    Fetch,
    /// Reading and checking it.
    Load,
    /// Measuring the untouched model.
    Original,
    /// Running it over calibration text.
    Evidence,
    /// Rewriting weights.
    Rewrite,
    /// Measuring the rewritten model.
    Truncated,
    /// Training, by the phase's number from 1.
    Phase(usize),
    /// Measuring the trained model.
    Healed,
    /// Making and measuring a variant, by its number from 1.
    Variant(usize),
    /// Writing the model, the receipt and the report.
    Save,
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch => out.write_str("fetch"),
            Self::Load => out.write_str("load"),
            Self::Original => out.write_str("measure the original"),
            Self::Evidence => out.write_str("collect evidence"),
            Self::Rewrite => out.write_str("rewrite"),
            Self::Truncated => out.write_str("measure the rewritten"),
            Self::Phase(number) => write!(out, "train, phase {number}"),
            Self::Healed => out.write_str("measure the trained"),
            Self::Variant(number) => write!(out, "variant {number}"),
            Self::Save => out.write_str("save"),
        }
    }
}

/// What happens in a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A stage begins.
    Started {
        /// The stage.
        stage: Stage,
    },
    /// A stage gets on.
    Progress {
        /// The stage.
        stage: Stage,
        /// What was done last: a file, a weight, a kind of text.
        item: String,
        /// How much is done.
        done: u64,
        /// Of how much, where that is known.
        total: Option<u64>,
    },
    /// A held-out loss was measured on the way.
    Watched {
        /// The stage.
        stage: Stage,
        /// Steps done.
        step: u64,
        /// The loss, in nats a token.
        loss: f64,
    },
    /// What the training loop tells.
    Training {
        /// The stage.
        stage: Stage,
        /// The loop's own event.
        event: tenfold_train::Event,
    },
    /// The recipe has been matched against the model.
    Planned(Box<Plan>),
    /// A stage ends.
    Finished {
        /// The stage.
        stage: Stage,
        /// Wall time in seconds.
        seconds: f64,
        /// Whether an earlier, stopped run did it.
        before: bool,
    },
}

/// Sends events, measures stages and turns a wish to stop into an error.
pub(crate) struct Reporter<'e> {
    events: &'e mut dyn FnMut(Event) -> Flow,
    seconds: Vec<(Stage, f64)>,
    /// Tokens and seconds of training steps.
    trained: Vec<(Stage, u64, f64)>,
    /// Whether a wish to stop waits for the training loop.
    patient: bool,
}

impl<'e> Reporter<'e> {
    pub(crate) fn new(events: &'e mut dyn FnMut(Event) -> Flow) -> Self {
        Self { events, seconds: Vec::new(), trained: Vec::new(), patient: false }
    }

    /// Sends an event of a stage.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when the listener wants to stop.
    pub(crate) fn send(&mut self, stage: Stage, event: Event) -> Result<(), Error> {
        match (self.events)(event) {
            Flow::Stop if !self.patient => Err(Error::Interrupted { stage }),
            _ => Ok(()),
        }
    }

    /// Whether a wish to stop waits for the training loop: among ranks nobody may leave before all agree to.
    pub(crate) fn set_patient(&mut self, patient: bool) {
        self.patient = patient;
    }

    /// Sends an event and returns the listener's wish, for loops that stop by themselves.
    pub(crate) fn ask(&mut self, event: Event) -> Flow {
        if let Event::Training { stage, event: tenfold_train::Event::Step { tokens, seconds, .. } } = event {
            match self.trained.iter_mut().find(|one| one.0 == stage) {
                Some(known) => (known.1, known.2) = (known.1 + tokens, known.2 + seconds),
                None => self.trained.push((stage, tokens, seconds)),
            }
        }
        (self.events)(event)
    }

    /// Tells how far a stage is.
    ///
    /// # Errors
    /// As [`Reporter::send`].
    pub(crate) fn progress(
        &mut self,
        stage: Stage,
        item: impl Into<String>,
        done: usize,
        total: Option<usize>,
    ) -> Result<(), Error> {
        let total = total.map(|total| total as u64);
        self.send(stage, Event::Progress { stage, item: item.into(), done: done as u64, total })
    }

    /// Runs a stage between its two events and keeps its wall time.
    ///
    /// # Errors
    /// What the work returns, and [`Error::Interrupted`].
    pub(crate) fn stage<T>(
        &mut self,
        stage: Stage,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.send(stage, Event::Started { stage })?;
        let start = Instant::now();
        let result = work(self);
        let seconds = start.elapsed().as_secs_f64();
        self.seconds.push((stage, seconds));
        let result = result?;
        // Whoever wants to stop now stops before the next stage: what this one made is complete and is kept.
        let _ = (self.events)(Event::Finished { stage, seconds, before: false });
        Ok(result)
    }

    /// Tells of a stage that an earlier run finished.
    pub(crate) fn before(&mut self, stage: Stage, seconds: f64) {
        let _ = (self.events)(Event::Finished { stage, seconds, before: true });
    }

    /// Wall times of the stages since the last call, also of those that failed.
    pub(crate) fn take_seconds(&mut self) -> Vec<(Stage, f64)> {
        std::mem::take(&mut self.seconds)
    }

    /// Tokens and seconds of training steps since the last call, by stage.
    pub(crate) fn take_trained(&mut self) -> Vec<(Stage, u64, f64)> {
        std::mem::take(&mut self.trained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_becomes_an_error_that_names_the_stage() {
        let mut told = Vec::new();
        let mut events = |event: Event| {
            let stop = matches!(event, Event::Progress { done: 2, .. });
            told.push(event);
            if stop { Flow::Stop } else { Flow::Continue }
        };
        let mut reporter = Reporter::new(&mut events);
        let result = reporter.stage(Stage::Rewrite, |reporter| {
            reporter.progress(Stage::Rewrite, "a", 1, Some(3))?;
            reporter.progress(Stage::Rewrite, "b", 2, Some(3))?;
            reporter.progress(Stage::Rewrite, "c", 3, Some(3))
        });
        assert!(matches!(result, Err(Error::Interrupted { stage: Stage::Rewrite })));
        assert_eq!(reporter.take_seconds().len(), 1);
        assert_eq!(told.len(), 3);
    }
}
