//! What does not train keeps its bits, and costs no optimizer state.

use crate::objective::{MATCH, Match, bits, options, tree};
use std::collections::BTreeSet;
use tenfold_format::checkpoint::Checkpoint;
use tenfold_testkit::{case, stored};
use tenfold_train::{CheckpointOptions, Event, Flow, TrainOptions, Trainer, checkpoint};
use tenfold_weight::{LeafInfo, Role};

#[test]
fn frozen_leaves_of_every_form_keep_their_bits() {
    for case in case::forms() {
        let task = Match { rows: case.rows, cols: case.cols };
        let leaves = case.tree.leaves();
        // Beside codes there is the bias alone: freezing it leaves nothing to train, which is an error.
        for frozen in leaves.iter().filter(|_| leaves.len() > 1) {
            let schedule = |_: u64, leaf: &LeafInfo| (leaf.id != frozen.id).then_some(1.0);
            let mut trainer = Trainer::new(case.tree.clone(), options(2)).unwrap().scheduled(schedule);
            let outcome = trainer.run(&task, &mut |_| Flow::Continue).unwrap();
            let idle: BTreeSet<_> = outcome.idle.iter().map(ToString::to_string).collect();
            for ((id, before), (_, after)) in bits(&case.tree).into_iter().zip(bits(trainer.tree())) {
                let keeps = id == frozen.id.to_string() || idle.contains(&id);
                assert_eq!(before == after, keeps, "{}: {id} with {} frozen", case.name, frozen.id);
            }
        }
    }
}

#[test]
fn a_leaf_can_join_late_pause_and_leave() {
    // The weight trains throughout; the bias trains at steps 2, 3 and 6 of 9.
    let schedule = |step: u64, leaf: &LeafInfo| match leaf.id.path.as_str() {
        "head.weight" => Some(1.0),
        "head.bias" => [2, 3, 6].contains(&step).then_some(0.5),
        _ => None,
    };
    let folder = stored::folder();
    let place = CheckpointOptions { dir: folder.path().to_owned(), every: 1 };
    let options = TrainOptions { checkpoint: Some(place), run_id: "pause".to_owned(), ..options(9) };
    let mut trainer = Trainer::new(tree(), options).unwrap().scheduled(schedule);
    let mut held = Vec::new();
    let mut look = |event: Event| {
        if let Event::Checkpoint { path, .. } = event {
            let file = Checkpoint::open(&path).unwrap();
            let names =
                |kind: &str| file.tensors().filter(|info| info.name == format!("{kind}/head.bias")).count();
            held.push((names("value"), names("first"), names("second")));
            assert!(file.tensor("value/idle.weight").is_none(), "a leaf that never trains is not stored");
        }
        Flow::Continue
    };
    trainer.run(&MATCH, &mut look).unwrap();
    // Nothing before it joins; everything until its last step; then its value alone.
    let (none, all, value) = ((0, 0, 0), (1, 1, 1), (1, 0, 0));
    assert_eq!(held, [none, none, all, all, all, all, all, value, value]);
    assert!(folder.path().join(checkpoint::FILE).is_file());
}

#[test]
fn a_multiple_of_the_rate_is_a_multiple_of_the_first_update() {
    let moved = |multiple: f32| {
        let mut trainer = Trainer::new(tree(), options(1)).unwrap();
        trainer = trainer.scheduled(move |_, leaf| (leaf.role == Role::Value).then_some(multiple));
        trainer.run(&MATCH, &mut |_| Flow::Continue).unwrap();
        let (before, after) = (tree().values(), trainer.into_tree().values());
        let bias = before.keys().find(|id| id.path.as_str() == "head.bias").unwrap();
        f64::from(before[bias].data()[0] - after[bias].data()[0])
    };
    assert!((moved(0.25) / moved(1.0) - 0.25).abs() < 1e-3);
    assert_eq!(moved(0.0), 0.0);
}
