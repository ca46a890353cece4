//! What was seen of one component: its readings, its votes, its switch.

/// One probe of one component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The step, from 0.
    pub step: u64,
    /// The sum of the stable ranks with the light part of the update made; that of the whole update after the switch.
    pub light: f64,
    /// The sum with the whole update made.
    pub full: f64,
    /// Mean of the matrices' largest singular values after the step.
    pub mean_top: f64,
    /// The largest of them.
    pub largest_top: f64,
    /// The share of the window's probes with a smaller light sum, where this probe completed a window.
    pub vote: Option<f64>,
}

/// The readings of one component.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// The component's name.
    pub name: String,
    /// Every probe, in order.
    pub readings: Vec<Reading>,
    /// The step after which the light part alone trained.
    pub switched: Option<u64>,
}

/// Numbers of one reading in a state.
const NUMBERS: usize = 6;
/// Stands for no vote and no switch.
const NONE: f64 = -1.0;

impl Course {
    pub(super) fn of(name: &str) -> Self {
        Self { name: name.to_owned(), readings: Vec::new(), switched: None }
    }

    /// Adds a reading and tests the vote where it completes a window; whether the component switches now.
    pub(super) fn note(&mut self, reading: Reading, window: usize, delta: f64) -> bool {
        self.readings.push(reading);
        if self.switched.is_some() || !self.readings.len().is_multiple_of(window) {
            return false;
        }
        let recent = &self.readings[self.readings.len() - window..];
        let votes = recent.iter().filter(|one| one.light < one.full).count();
        let vote = votes as f64 / window as f64;
        let switches = vote > delta;
        if let Some(last) = self.readings.last_mut() {
            last.vote = Some(vote);
            self.switched = switches.then_some(last.step);
        }
        switches
    }

    /// The course as numbers: the switch, then the readings.
    pub(super) fn numbers(&self) -> Vec<f64> {
        let mut numbers = vec![self.switched.map_or(NONE, |step| step as f64)];
        for one in &self.readings {
            let vote = one.vote.unwrap_or(NONE);
            numbers.extend([one.step as f64, one.light, one.full, one.mean_top, one.largest_top, vote]);
        }
        numbers
    }

    /// The course that such numbers say; nothing where they say none.
    pub(super) fn of_numbers(name: &str, numbers: &[f64]) -> Option<Self> {
        let (switched, readings) = numbers.split_first()?;
        let (readings, rest) = readings.as_chunks::<NUMBERS>();
        let some = |number: f64| (number >= 0.0).then_some(number);
        let reading = |&[step, light, full, mean_top, largest_top, vote]: &[f64; NUMBERS]| Reading {
            step: step as u64,
            light,
            full,
            mean_top,
            largest_top,
            vote: some(vote),
        };
        rest.is_empty().then(|| Self {
            name: name.to_owned(),
            readings: readings.iter().map(reading).collect(),
            switched: some(*switched).map(|step| step as u64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(step: u64, lower: bool) -> Reading {
        let light = if lower { 0.5 } else { 1.0 };
        Reading { step, light, full: 1.0, mean_top: 2.0, largest_top: 1.0 / 3.0, vote: None }
    }

    /// Shows probes, and tells after which of them the switch came.
    fn course(lower: &[bool], window: usize, delta: f64) -> Course {
        let mut course = Course::of("all");
        for (step, lower) in (0..).zip(lower) {
            let before = course.switched;
            let switches = course.note(reading(step, *lower), window, delta);
            assert_eq!(switches, before.is_none() && course.switched == Some(step));
        }
        course
    }

    /// Property 36 of the calibration's specification.
    #[test]
    fn votes_are_shares_of_full_windows_and_the_threshold_decides() {
        let seen = [true, false, false, true, true, false, true, true, true, false, true, true];
        let votes = |course: &Course| course.readings.iter().map(|one| one.vote).collect::<Vec<_>>();
        let never = course(&seen, 3, 1.0);
        assert_eq!(never.switched, None);
        let each = [1.0 / 3.0, 2.0 / 3.0, 1.0, 2.0 / 3.0];
        for (at, vote) in votes(&never).into_iter().enumerate() {
            assert_eq!(vote, (at % 3 == 2).then(|| each[at / 3]));
        }
        assert_eq!(course(&seen, 3, -0.1).switched, Some(2));
        assert_eq!(course(&seen, 3, 0.5).switched, Some(5));
        // Strictly more than the threshold.
        assert_eq!(course(&seen, 3, 2.0 / 3.0).switched, Some(8));
        assert_eq!(course(&seen[..2], 3, -1.0).switched, None);
        // After the switch nothing is tested any more.
        assert_eq!(votes(&course(&seen, 3, -0.1))[3..], [None; 9]);
    }

    #[test]
    fn equal_sums_are_no_vote_for_going_light() {
        assert_eq!(course(&[false; 5], 5, 0.0).switched, None);
    }

    #[test]
    fn a_course_survives_its_numbers() {
        for delta in [0.5, 1.0] {
            let one = course(&[true, false, true, true], 3, delta);
            assert_eq!(Course::of_numbers("all", &one.numbers()), Some(one));
        }
        assert_eq!(Course::of_numbers("all", &[]), None);
        assert_eq!(Course::of_numbers("all", &[0.0, 1.0]), None);
    }
}
