//! Each way of going wrong has its own error, and the error names the step, the leaf or the array.

use crate::objective::{By, FailsAt, MATCH, bits, options, tree};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tenfold_format::checkpoint as format;
use tenfold_tensor::{Activation, Array, Var, op};
use tenfold_testkit::{random, stored};
use tenfold_train::{CheckpointFault, CheckpointOptions, Error, Flow, TrainOptions, Trainer, checkpoint};
use tenfold_weight::{Form, Scope, Tree};

fn head(scope: &Scope<'_>) -> Var {
    scope.linear("head", &Var::constant(random::array("x", &[3, 4])), Activation::Identity).unwrap()
}

fn fault_of(objective: &impl tenfold_train::Objective) -> Error {
    let mut trainer = Trainer::new(tree(), options(4)).unwrap();
    trainer.run(objective, &mut |_| Flow::Continue).unwrap_err()
}

#[test]
fn a_loss_that_is_not_finite_names_the_step_and_keeps_the_last_good_tree() {
    let bad = By(|scope: &Scope<'_>, step| {
        let loss = op::mse(&head(scope), &Array::zeros(&[3, 6]));
        op::scale(&loss, if step == 2 { f32::INFINITY } else { 1.0 })
    });
    let mut trainer = Trainer::new(tree(), options(4)).unwrap();
    let fault = trainer.run(&bad, &mut |_| Flow::Continue).unwrap_err();
    assert!(matches!(fault, Error::NonFiniteLoss { step: 2, loss } if loss.is_infinite()), "{fault}");
    let mut two = Trainer::new(tree(), options(4)).unwrap();
    let stop_after_two = &mut |event| match event {
        tenfold_train::Event::Step { step: 1, .. } => Flow::Stop,
        _ => Flow::Continue,
    };
    two.run(&bad, stop_after_two).unwrap();
    assert_eq!(bits(trainer.tree()), bits(two.tree()));
}

#[test]
fn a_gradient_that_is_not_finite_names_the_leaf() {
    // With the weight at zero the product is zero, but its slope is 1e30 * 1e30.
    let zero = || {
        let mut tree = tree();
        tree.insert("head.weight".into(), Form::dense(Array::zeros(&[6, 4])));
        tree.insert("head.bias".into(), Form::dense(Array::zeros(&[6])));
        tree
    };
    let steep = By(|scope: &Scope<'_>, _| {
        let y = op::scale(&head(scope), 1e30);
        op::sum(&op::mul(&y, &Var::constant(Array::full(&[3, 6], 1e30))))
    });
    let mut trainer = Trainer::new(zero(), options(4)).unwrap();
    let fault = trainer.run(&steep, &mut |_| Flow::Continue).unwrap_err();
    let named =
        matches!(&fault, Error::NonFiniteGradient { step: 0, leaf } if leaf.to_string() == "head.bias");
    assert!(named, "{fault}");
    assert_eq!(bits(trainer.tree()), bits(&zero()));
}

#[test]
fn losses_that_cannot_be_followed_are_refused() {
    let detached = By(|scope: &Scope<'_>, _| op::sum(&head(scope).detach()));
    assert!(matches!(fault_of(&detached), Error::Detached { step: 0, leaves: 3 }));
    let not_one_number = By(|scope: &Scope<'_>, _| head(scope));
    let fault = fault_of(&not_one_number);
    assert!(
        matches!(fault, Error::Objective { step: 0, .. }) && fault.to_string().contains("[3, 6]"),
        "{fault}"
    );
}

#[test]
fn a_failing_objective_names_the_step_and_the_cause() {
    let fault = fault_of(&FailsAt(3));
    assert!(matches!(fault, Error::Objective { step: 3, .. }), "{fault}");
    assert!(fault.to_string().contains("heda.weight"), "{fault}");
}

#[test]
fn nothing_that_trains_is_refused_before_the_first_step() {
    let mut trainer = Trainer::new(tree(), options(4)).unwrap().scheduled(|_, _| None);
    let fault = trainer.run(&MATCH, &mut |_| panic!("nothing may happen")).unwrap_err();
    assert!(matches!(fault, Error::NothingTrains { steps: 4 }), "{fault}");
    // A pause of everything is no fault.
    let mut trainer =
        Trainer::new(tree(), options(4)).unwrap().scheduled(|step, _| (step != 1).then_some(1.0));
    let outcome = trainer.run(&MATCH, &mut |_| Flow::Continue).unwrap();
    assert_eq!(outcome.steps_done, 4);
}

/// A checkpoint after four steps, in a folder of its own.
fn saved() -> (tempfile::TempDir, PathBuf) {
    let folder = stored::folder();
    let mut trainer = Trainer::new(tree(), place(folder.path())).unwrap();
    trainer.run(&MATCH, &mut |_| Flow::Continue).unwrap();
    let path = folder.path().join(checkpoint::FILE);
    (folder, path)
}

fn place(dir: &Path) -> TrainOptions {
    let checkpoint = Some(CheckpointOptions { dir: dir.to_owned(), every: 100 });
    TrainOptions { checkpoint, run_id: "fault".to_owned(), ..options(4) }
}

fn refusal(tree: Tree, options: TrainOptions) -> CheckpointFault {
    let mut trainer = Trainer::new(tree, options).unwrap();
    match trainer.resume_if_present() {
        Err(Error::Checkpoint { fault, .. }) => *fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn checkpoints_of_other_runs_are_refused() {
    let (folder, _) = saved();
    let other = TrainOptions { run_id: "another".to_owned(), ..place(folder.path()) };
    assert!(matches!(refusal(tree(), other), CheckpointFault::OtherRun { got, .. } if got == "fault"));
    let short = TrainOptions { steps: 3, ..place(folder.path()) };
    assert!(matches!(refusal(tree(), short), CheckpointFault::Beyond { steps: 3, got: 4 }));

    let mut lacking = tree();
    lacking.remove(&"head.bias".into());
    let fault = refusal(lacking, place(folder.path()));
    assert!(
        matches!(&fault, CheckpointFault::UnknownLeaf { leaf } if leaf.to_string() == "head.bias"),
        "{fault}"
    );

    let mut wider = tree();
    wider.insert("head.weight".into(), Form::dense(Array::zeros(&[6, 5])));
    let fault = refusal(wider, place(folder.path()));
    let CheckpointFault::Shape { leaf, array, expected, got } = &fault else { panic!("{fault}") };
    assert_eq!((leaf.to_string(), *array), ("head.weight".to_owned(), "value"));
    assert_eq!((expected, got), (&vec![6, 5], &vec![6, 4]));
}

/// Writes the checkpoint again with other tensors or another state.
fn rewritten(path: &Path, keep: impl Fn(&str) -> bool, state: impl Fn(&str) -> Option<String>) {
    let file = format::Checkpoint::open(path).unwrap();
    let arrays: Vec<(String, Vec<usize>, Vec<f32>)> = file
        .tensors()
        .filter(|info| keep(&info.name))
        .map(|info| (info.name.clone(), info.shape.clone(), file.read_f32(&info.name).unwrap()))
        .collect();
    let metadata: BTreeMap<String, String> = state(&file.metadata()["tenfold.training"])
        .map(|text| ("tenfold.training".to_owned(), text))
        .into_iter()
        .collect();
    drop(file);
    let tensors: Vec<_> =
        arrays.iter().map(|(name, shape, data)| (name.clone(), shape.clone(), data.as_slice())).collect();
    format::write(path, &tensors, &metadata).unwrap();
}

#[test]
fn checkpoints_that_contradict_themselves_are_refused() {
    let same = |text: &str| Some(text.to_owned());
    for kind in ["value", "first", "second"] {
        let (folder, path) = saved();
        rewritten(&path, |name| name != format!("{kind}/head.weight"), same);
        let fault = refusal(tree(), place(folder.path()));
        assert!(matches!(&fault, CheckpointFault::MissingArray { array, .. } if *array == kind), "{fault}");
    }
    type State = fn(&str) -> Option<String>;
    type Expected = fn(&CheckpointFault) -> bool;
    let states: [(State, Expected); 4] = [
        (|_| None, |fault| matches!(fault, CheckpointFault::NoState)),
        (|_| Some("{".to_owned()), |fault| matches!(fault, CheckpointFault::State(_))),
        (
            |text| Some(text.replace("\"version\":2", "\"version\":3,\"more\":0")),
            |fault| matches!(fault, CheckpointFault::Version { got: 3, known: 2 }),
        ),
        (
            |text| Some(text.replace("\"done\":4", "\"done\":3")),
            |fault| matches!(fault, CheckpointFault::Losses { expected: 3, got: 4 }),
        ),
    ];
    for (change, expected) in states {
        let (folder, path) = saved();
        rewritten(&path, |_| true, change);
        let fault = refusal(tree(), place(folder.path()));
        assert!(expected(&fault), "{fault}");
    }
    let (folder, path) = saved();
    rewritten(&path, |name| name != "losses", same);
    let fault = Trainer::new(tree(), place(folder.path())).unwrap().resume_if_present().unwrap_err();
    assert!(matches!(fault, Error::Format(_)) && fault.to_string().contains("losses"), "{fault}");
}
