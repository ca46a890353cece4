//! Memory of a training step. A binary of its own: the counters of the pool are those of the whole process.

use std::collections::BTreeMap;
use tenfold_tensor::{Activation, Array, Var, op, pool};
use tenfold_testkit::{random, stored};
use tenfold_train::{
    CheckpointOptions, Event, Flow, Loss, Objective, Schedule, Share, TrainOptions, Trainer,
};
use tenfold_weight::{Error, Form, LeafId, LeafInfo, Path, Scope, Tree};

const WIDTH: usize = 256;

/// Two layers; only the first one's bytes and the batch differ in size, so that copies would show.
struct Task;

impl Objective for Task {
    type Error = Error;

    fn loss(&self, scope: &Scope<'_>, step: u64, _share: Share) -> Result<Loss, Error> {
        let x = Var::constant(random::array(&format!("x {step}"), &[4, WIDTH]));
        let hidden = scope.linear("first", &x, Activation::Tanh)?;
        let found = scope.linear("second", &hidden, Activation::Identity)?;
        Ok(Loss::mean(op::mse(&found, &Array::zeros(&[4, WIDTH])), 4.0))
    }
}

fn tree() -> Tree {
    let matrix = |name: &str| (Path::new(name), Form::dense(random::array(name, &[WIDTH, WIDTH])));
    [matrix("first.weight"), matrix("second.weight")].into_iter().collect()
}

fn places(tree: &Tree) -> BTreeMap<LeafId, usize> {
    let mut places = BTreeMap::new();
    tree.visit(|id, leaf| {
        places.insert(id, leaf.value.data().as_ptr() as usize);
    });
    places
}

#[test]
fn leaves_are_updated_in_place_and_moments_are_kept_for_what_trains() {
    let leaf = 4 * WIDTH * WIDTH;
    let folder = stored::folder();
    let one = |_: u64, leaf: &LeafInfo| (leaf.id.path.as_str() == "second.weight").then_some(1.0f32);
    let all = |_: u64, _: &LeafInfo| Some(1.0f32);
    for (moments, schedule) in [(2, &one as &dyn Fn(u64, &LeafInfo) -> Option<f32>), (4, &all)] {
        let before = pool::live_bytes();
        let tree = tree();
        assert_eq!(pool::live_bytes() - before, 2 * leaf);
        let homes = places(&tree);
        // Writing a checkpoint only reads: no leaf is copied by it or by the step after it.
        let dir = folder.path().join(moments.to_string());
        let checkpoint = Some(CheckpointOptions { dir, every: 2 });
        let options = TrainOptions {
            checkpoint,
            run_id: "memory".to_owned(),
            ..TrainOptions::new(6, Schedule::constant(1e-3))
        };
        let mut trainer = Trainer::new(tree, options).unwrap().scheduled(schedule);
        let mut live = Vec::new();
        let mut note = |event| {
            if let Event::Step { .. } = event {
                live.push(pool::live_bytes() - before);
            }
            Flow::Continue
        };
        trainer.run(&Task, &mut note).unwrap();
        assert_eq!(live, vec![(2 + moments) * leaf; 6], "bytes after each step");
        assert_eq!(places(trainer.tree()), homes, "leaves stay where they are");

        // A step holds no copy of a leaf either: what is live at most is leaves, moments, gradients and activations.
        pool::reset_peak();
        let mut again =
            Trainer::new(trainer.into_tree(), TrainOptions::new(3, Schedule::constant(1e-3))).unwrap();
        again = again.scheduled(schedule);
        again.run(&Task, &mut |_| Flow::Continue).unwrap();
        let gradients = moments / 2;
        let activations = 16 * 4 * 4 * WIDTH;
        let most = (2 + moments + gradients) * leaf + activations;
        assert!(pool::peak_bytes() - before <= most, "{} of {most} bytes", pool::peak_bytes() - before);
    }
}
