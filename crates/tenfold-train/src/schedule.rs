//! The learning rate over the steps of a phase: a linear warm-up, then constant or decaying.

use crate::error::Error;
use std::f64::consts::PI;

/// How the rate falls after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decay {
    /// Not at all.
    Constant,
    /// In a straight line to the floor.
    #[default]
    Linear,
    /// Along half a cosine to the floor.
    Cosine,
}

impl Decay {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Constant, Self::Linear, Self::Cosine];

    /// The word used in recipes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Linear => "linear",
            Self::Cosine => "cosine",
        }
    }

    /// The kind that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decay| decay.word() == word)
    }
}

/// The learning rate as a function of the step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The highest rate, reached at the end of the warm-up; finite, not negative.
    pub peak: f64,
    /// Steps of linear warm-up; the first one already has rate `peak / warmup`.
    pub warmup: u64,
    /// How the rate falls afterwards.
    pub decay: Decay,
    /// Where it falls to, as a share of the peak, in [0, 1].
    pub floor: f64,
}

impl Schedule {
    /// The same rate at every step.
    pub fn constant(rate: f64) -> Self {
        Self { peak: rate, warmup: 0, decay: Decay::Constant, floor: 0.0 }
    }

    /// The rate at a step (from 0) of `total`. With w warm-up steps and p = (step - w) / (total - w):
    ///
    /// | steps | rate / peak |
    /// |---|---|
    /// | below w | (step + 1) / w |
    /// | constant | 1 |
    /// | linear | floor + (1 - floor) (1 - p) |
    /// | cosine | floor + (1 - floor) (1 + cos(pi p)) / 2 |
    ///
    /// The decay would reach the floor at step `total`, the first one that is not taken, so every step moves.
    pub fn rate(&self, step: u64, total: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let span = total.saturating_sub(self.warmup).max(1);
        let progress = ((step - self.warmup) as f64 / span as f64).min(1.0);
        let fallen = match self.decay {
            Decay::Constant => return self.peak,
            Decay::Linear => 1.0 - progress,
            Decay::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
        };
        self.peak * (self.floor + (1.0 - self.floor) * fallen)
    }

    pub(crate) fn check(&self, steps: u64) -> Result<(), Error> {
        let fault = |option, expected: String, got: f64| Err(Error::Option { option, expected, got });
        if !(self.peak.is_finite() && self.peak >= 0.0) {
            return fault("peak rate", "a finite number of at least 0".to_owned(), self.peak);
        }
        if self.warmup > steps {
            return fault("warm-up", format!("at most the {steps} steps of the phase"), self.warmup as f64);
        }
        if !(0.0..=1.0).contains(&self.floor) {
            return fault("floor", "a share from 0 to 1".to_owned(), self.floor);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule, total: u64) -> Vec<f64> {
        (0..total).map(|step| schedule.rate(step, total)).collect()
    }

    fn close(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?} against {expected:?}");
    }

    #[test]
    fn warm_up_reaches_the_peak_and_linear_falls_from_it() {
        let schedule = Schedule { peak: 2.0, warmup: 2, decay: Decay::Linear, floor: 0.0 };
        close(&rates(schedule, 6), &[1.0, 2.0, 2.0, 1.5, 1.0, 0.5]);
        let floored = Schedule { floor: 0.5, ..schedule };
        close(&rates(floored, 6), &[1.0, 2.0, 2.0, 1.75, 1.5, 1.25]);
    }

    #[test]
    fn cosine_is_half_way_in_the_middle() {
        let schedule = Schedule { peak: 1.0, warmup: 0, decay: Decay::Cosine, floor: 0.2 };
        close(&rates(schedule, 4), &[1.0, 0.6 + 0.4 * (PI / 4.0).cos(), 0.6, 0.6 - 0.4 * (PI / 4.0).cos()]);
    }

    #[test]
    fn constant_stays_and_never_divides_by_nothing() {
        close(&rates(Schedule::constant(3.0), 3), &[3.0; 3]);
        let all_warm = Schedule { warmup: 3, ..Schedule::constant(3.0) };
        close(&rates(all_warm, 3), &[1.0, 2.0, 3.0]);
        assert_eq!(Schedule { decay: Decay::Linear, ..all_warm }.rate(3, 3), 3.0);
    }

    #[test]
    fn words_name_every_kind() {
        for decay in Decay::ALL {
            assert_eq!(Decay::parse(decay.word()), Some(decay));
        }
        assert_eq!(Decay::parse("steep"), None);
    }
}
