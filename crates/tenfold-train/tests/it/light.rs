//! Training that goes light: parts of leaves, and a monitor that looks on and says when.

use crate::objective::{MATCH, bits, options, tree};
use std::collections::BTreeMap;
use std::path::Path;
use tenfold_tensor::Array;
use tenfold_testkit::stored;
use tenfold_train::{
    CheckpointFault, CheckpointOptions, Drawn, Entries, Error, Event, Flow, Group, Monitor, MonitorFault,
    Part, TrainOptions, Trainer, gradients,
};
use tenfold_weight::{LeafId, Selector, Tree};

const STEPS: u64 = 8;

fn weight() -> LeafId {
    LeafId::parse("head.weight")
}

fn bias() -> LeafId {
    LeafId::parse("head.bias")
}

fn entries() -> Entries {
    Entries::new(vec![17, 3, 4, 23, 3])
}

/// Everything decays, so that an entry that only seems to rest would show.
fn decaying(steps: u64) -> TrainOptions {
    let select = vec![Selector::parse("**").unwrap()];
    let groups = vec![Group { select, rate: 1.0, weight_decay: 0.1 }];
    TrainOptions { groups, clip: Some(0.05), ..options(steps) }
}

fn finished(mut trainer: Trainer<'_>) -> Tree {
    trainer.run(&MATCH, &mut |_| Flow::Continue).unwrap();
    trainer.into_tree()
}

fn value(tree: &Tree, leaf: &LeafId) -> Array {
    tree.values()[leaf].clone()
}

#[test]
fn entries_outside_the_part_keep_their_bits_and_cost_no_moments() {
    let mut trainer = Trainer::new(tree(), decaying(STEPS)).unwrap();
    trainer.set_part(&weight(), Part::Entries(entries())).unwrap();
    trainer.set_part(&bias(), Part::Nothing).unwrap();
    trainer.lighten(&weight()).unwrap();
    trainer.lighten(&bias()).unwrap();
    assert_eq!(trainer.training(0), 4 + 4);
    trainer.run(&MATCH, &mut |_| Flow::Continue).unwrap();
    assert_eq!(trainer.moments(), 2 * 4);
    let (before, after) = (tree(), trainer.into_tree());
    for (at, (old, new)) in
        value(&before, &weight()).data().iter().zip(value(&after, &weight()).data()).enumerate()
    {
        let inside = entries().numbers().contains(&(at as u32));
        assert_eq!(old.to_bits() != new.to_bits(), inside, "entry {at}");
    }
    assert_eq!(value(&before, &bias()), value(&after, &bias()));
}

#[test]
fn all_entries_are_the_whole_leaf() {
    let mut trainer = Trainer::new(tree(), decaying(STEPS)).unwrap();
    trainer.set_part(&weight(), Part::Entries(Entries::new((0..24).collect()))).unwrap();
    trainer.lighten(&weight()).unwrap();
    assert_eq!(bits(&finished(trainer)), bits(&finished(Trainer::new(tree(), decaying(STEPS)).unwrap())));
}

/// What is left of the gradient decides: clipping sees the light entries alone.
#[test]
fn light_entries_move_as_under_a_gradient_that_is_zero_elsewhere() {
    let options = TrainOptions { clip: Some(1e-3), weight_decay: 0.0, ..options(1) };
    let mut trainer = Trainer::new(tree(), options.clone()).unwrap();
    for (leaf, part) in [(weight(), Part::Entries(entries())), (bias(), Part::Nothing)] {
        trainer.set_part(&leaf, part).unwrap();
        trainer.lighten(&leaf).unwrap();
    }
    let mut norm = 0.0;
    trainer
        .run(&MATCH, &mut |event| {
            if let Event::Step { norm: found, .. } = event {
                norm = found;
            }
            Flow::Continue
        })
        .unwrap();
    let leaves = [weight()].into_iter().collect();
    let mut expected = Vec::new();
    gradients(&tree(), &leaves, &options, &MATCH, 1, &mut |_, found| {
        let all = found[&weight()].data();
        expected = entries().numbers().iter().map(|at| f64::from(all[*at as usize])).collect();
        Flow::Continue
    })
    .unwrap();
    let want = expected.iter().map(|value| value * value).sum::<f64>().sqrt();
    assert!((norm - want).abs() < 1e-6 * want, "{norm} and {want}");
    // The first step of Adam has the sign of the gradient and the size of the rate.
    let (before, after) = (value(&tree(), &weight()), value(trainer.tree(), &weight()));
    for (at, slope) in entries().numbers().iter().zip(&expected) {
        let moved = f64::from(after.data()[*at as usize]) - f64::from(before.data()[*at as usize]);
        assert!((moved + 0.02 * slope.signum()).abs() < 1e-4, "{moved} for {slope}");
    }
}

#[test]
fn drawn_entries_are_the_same_in_every_run_and_other_under_another_seed() {
    let run = |seed: Option<u64>| {
        let mut trainer = Trainer::new(tree(), options(STEPS)).unwrap();
        if let Some(seed) = seed {
            trainer.thin(&weight(), Drawn { share: 0.4, seed, raised: true }).unwrap();
        }
        bits(&finished(trainer))
    };
    assert_eq!(run(Some(1)), run(Some(1)));
    assert_ne!(run(Some(1)), run(Some(2)));
    assert_ne!(run(Some(1)), run(None));
}

/// Looks at every third step, keeps what it saw, and lets leaves go light after one of them.
#[derive(Default)]
struct Watcher {
    every: u64,
    at: Option<u64>,
    between: Vec<(u64, Tree)>,
    after: Vec<(u64, Tree)>,
    known: Vec<f64>,
    fails: Option<u64>,
}

impl Monitor for Watcher {
    fn splits(&self, step: u64) -> bool {
        self.every > 0 && (step + 1).is_multiple_of(self.every)
    }

    fn between(&mut self, step: u64, tree: &Tree) -> Result<(), MonitorFault> {
        self.between.push((step, tree.clone()));
        if self.fails == Some(step) { Err("on purpose".into()) } else { Ok(()) }
    }

    fn after(&mut self, step: u64, tree: &Tree) -> Result<Vec<LeafId>, MonitorFault> {
        self.after.push((step, tree.clone()));
        self.known.push(f64::from(value(tree, &bias()).data()[0]) / 3.0);
        Ok(if self.at == Some(step) { vec![weight(), bias()] } else { Vec::new() })
    }

    fn state(&self) -> BTreeMap<String, Vec<f64>> {
        BTreeMap::from([("known".to_owned(), self.known.clone())])
    }

    fn restore(&mut self, mut state: BTreeMap<String, Vec<f64>>) -> bool {
        self.known = state.remove("known").unwrap_or_default();
        !self.known.is_empty()
    }
}

fn watched<'s>(watcher: &'s mut Watcher, options: TrainOptions) -> Trainer<'s> {
    let mut trainer = Trainer::new(tree(), options).unwrap().monitored(watcher);
    trainer.set_part(&weight(), Part::Entries(entries())).unwrap();
    trainer.set_part(&bias(), Part::Nothing).unwrap();
    trainer
}

/// The spec's property 36: probing changes nothing.
#[test]
fn a_monitor_that_never_names_a_leaf_changes_no_bit() {
    let plain = bits(&finished(Trainer::new(tree(), decaying(STEPS)).unwrap()));
    for every in [1, 3] {
        let mut watcher = Watcher { every, ..Watcher::default() };
        assert_eq!(bits(&finished(watched(&mut watcher, decaying(STEPS)))), plain, "every {every}");
        assert_eq!(watcher.between.len() as u64, STEPS / every);
        assert_eq!(watcher.after.len() as u64, STEPS);
    }
}

#[test]
fn between_the_parts_the_light_one_stands_updated_and_the_rest_as_before() {
    let mut watcher = Watcher { every: 1, ..Watcher::default() };
    let last = finished(watched(&mut watcher, decaying(STEPS)));
    let mut before = tree();
    for ((_, between), (_, after)) in watcher.between.iter().zip(&watcher.after) {
        assert_eq!(value(between, &bias()), value(&before, &bias()));
        let [old, mixed, new] = [&before, between, after].map(|tree| value(tree, &weight()));
        for at in 0..24 {
            let expected = if entries().numbers().contains(&(at as u32)) { &new } else { &old };
            assert_eq!(mixed.data()[at].to_bits(), expected.data()[at].to_bits(), "entry {at}");
            assert_ne!(old.data()[at], new.data()[at]);
        }
        before = after.clone();
    }
    assert_eq!(bits(&before), bits(&last));
}

/// The spec's property 37: after the switch the rest keeps its bits. Moments of what goes on stay.
#[test]
fn after_the_switch_the_rest_keeps_its_bits() {
    let mut watcher = Watcher { every: 2, at: Some(3), ..Watcher::default() };
    let mut trainer = watched(&mut watcher, decaying(STEPS));
    let mut held = Vec::new();
    let full = 24 + 6;
    for until in 1..=STEPS {
        trainer.run_to(until, &MATCH, &mut |_| Flow::Continue).unwrap();
        held.push(trainer.moments());
    }
    assert_eq!(held[..3], [2 * full; 3]);
    assert_eq!(held[3..], [2 * 4; 5]);
    assert_eq!(trainer.training(STEPS), 4 + 4);
    drop(trainer);
    let (at, end) = (&watcher.after[3].1, &watcher.after[7].1);
    assert_eq!(value(at, &bias()), value(end, &bias()));
    for (entry, (old, new)) in
        value(at, &weight()).data().iter().zip(value(end, &weight()).data()).enumerate()
    {
        assert_eq!(old != new, entries().numbers().contains(&(entry as u32)), "entry {entry}");
    }
    // An entry that goes on does so with its moments: as if the switch had not been, for one step, but for clipping.
    let unclipped = |at| {
        let mut watcher = Watcher { every: 2, at, ..Watcher::default() };
        drop(finished(watched(&mut watcher, TrainOptions { clip: None, ..decaying(STEPS) })));
        value(&watcher.after[4].1, &weight())
    };
    let (switched, never) = (unclipped(Some(3)), unclipped(None));
    for at in entries().numbers() {
        assert_eq!(switched.data()[*at as usize].to_bits(), never.data()[*at as usize].to_bits());
    }
}

fn with_folder(dir: &Path) -> TrainOptions {
    let place = CheckpointOptions { dir: dir.to_owned(), every: 100 };
    TrainOptions { checkpoint: Some(place), run_id: "light".to_owned(), ..decaying(STEPS) }
}

/// What a run stands at: the bits of its tree, its moments, and what its monitor knows.
type Standing = (Vec<(String, Vec<u32>)>, usize, Vec<f64>);

/// Goes on from the folder up to a step. Parts are told on the first attempt alone: after that the checkpoint has them.
fn go(dir: &Path, until: u64) -> Standing {
    let mut watcher = Watcher { every: 2, at: Some(3), ..Watcher::default() };
    let mut trainer = Trainer::new(tree(), with_folder(dir)).unwrap().monitored(&mut watcher);
    trainer.thin(&weight(), Drawn { share: 0.5, seed: 9, raised: true }).unwrap();
    trainer.set_part(&bias(), Part::Nothing).unwrap();
    if trainer.resume_if_present().unwrap().is_none() {
        trainer.set_part(&weight(), Part::Entries(entries())).unwrap();
    }
    let mut stop = |event| match event {
        Event::Step { step, .. } if step + 1 >= until => Flow::Stop,
        _ => Flow::Continue,
    };
    trainer.run(&MATCH, &mut stop).unwrap();
    assert_eq!(trainer.part(&weight()), Some((&Part::Entries(entries()), until > 3)));
    let moments = trainer.moments();
    (bits(&trainer.into_tree()), moments, watcher.known)
}

#[test]
fn a_resumed_run_goes_light_at_the_same_step_to_the_same_bits() {
    let folder = stored::folder();
    let whole = go(folder.path(), STEPS);
    for stop in 1..STEPS {
        let folder = stored::folder();
        go(folder.path(), stop);
        assert_eq!(go(folder.path(), STEPS), whole, "stopped after {stop}");
    }
    let folder = stored::folder();
    for until in 1..STEPS {
        go(folder.path(), until);
    }
    assert_eq!(go(folder.path(), STEPS), whole);
}

#[test]
fn a_fault_between_the_parts_comes_after_a_whole_step() {
    let mut watcher = Watcher { every: 1, fails: Some(2), ..Watcher::default() };
    let mut trainer = watched(&mut watcher, decaying(STEPS));
    let fault = trainer.run(&MATCH, &mut |_| Flow::Continue).unwrap_err();
    assert!(
        matches!(&fault, Error::Monitor { step: 2, source } if source.to_string() == "on purpose"),
        "{fault}"
    );
    assert_eq!(trainer.losses().len(), 3);
    assert_eq!(bits(trainer.tree()), bits(&finished(Trainer::new(tree(), decaying(3)).unwrap())));
}

#[test]
fn faulty_parts_and_states_are_named() {
    let mut trainer = Trainer::new(tree(), options(2)).unwrap();
    let far = Part::Entries(Entries::new(vec![24]));
    let fault = trainer.set_part(&weight(), far).unwrap_err();
    assert!(matches!(fault, Error::NoSuchEntry { len: 24, entry: 24, .. }), "{fault}");
    assert!(matches!(trainer.lighten(&LeafId::parse("nowhere")), Err(Error::Weight(_))));
    assert!(matches!(
        trainer.thin(&weight(), Drawn { share: 0.0, seed: 1, raised: true }),
        Err(Error::Option { .. })
    ));
    // No entries at all: the leaf rests.
    trainer.set_part(&weight(), Part::Entries(Entries::new(Vec::new()))).unwrap();
    trainer.lighten(&weight()).unwrap();
    assert_eq!(trainer.training(0), 6 + 4);

    // A checkpoint that was written without the monitor.
    let folder = stored::folder();
    finished(Trainer::new(tree(), with_folder(folder.path())).unwrap());
    let mut watcher = Watcher::default();
    let mut trainer = Trainer::new(tree(), with_folder(folder.path())).unwrap().monitored(&mut watcher);
    let fault = trainer.resume_if_present().unwrap_err();
    assert!(
        matches!(&fault, Error::Checkpoint { fault, .. } if matches!(**fault, CheckpointFault::Monitor)),
        "{fault}"
    );
    assert_eq!(bits(trainer.tree()), bits(&tree()), "a refused checkpoint changes nothing");
}
