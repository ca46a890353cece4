//! Stopping anywhere and going on gives the same bits as never stopping; checkpoints survive a kill at any moment.

use crate::objective::{MATCH, bits, options, trained, tree};
use std::fs;
use std::path::Path;
use tenfold_tensor::optim::Lamb;
use tenfold_testkit::stored;
use tenfold_train::{
    CheckpointOptions, Decay, Error, Event, Flow, Outcome, Schedule, TrainOptions, Trainer, checkpoint,
};
use tenfold_weight::{LeafInfo, Tree};

const STEPS: u64 = 9;

fn with_folder(dir: &Path, every: u64) -> TrainOptions {
    TrainOptions {
        checkpoint: Some(CheckpointOptions { dir: dir.to_owned(), every }),
        run_id: "resume".to_owned(),
        clip: Some(0.5),
        schedule: Schedule { peak: 0.05, warmup: 2, decay: Decay::Cosine, floor: 0.1 },
        ..options(STEPS)
    }
}

/// The bias pauses in the middle, the unused leaf is on from the start.
fn when(step: u64, leaf: &LeafInfo) -> Option<f32> {
    (leaf.id.path.as_str() != "head.bias" || !(3..6).contains(&step)).then_some(1.0)
}

/// Resumes where there is something to resume; stops after `until` steps.
fn go(dir: &Path, until: u64) -> (Option<u64>, Tree, Outcome) {
    let mut trainer = Trainer::new(tree(), with_folder(dir, 100)).unwrap().scheduled(when);
    let resumed = trainer.resume_if_present().unwrap();
    let mut stop = |event| match event {
        Event::Step { step, .. } if step + 1 >= until => Flow::Stop,
        _ => Flow::Continue,
    };
    let outcome = trainer.run(&MATCH, &mut stop).unwrap();
    (resumed, trainer.into_tree(), outcome)
}

/// Other optimizers keep the same of a leaf.
#[test]
fn a_resumed_run_under_lamb_is_the_same_run() {
    let lamb = |dir: &Path| TrainOptions { optimizer: Lamb::default().into(), ..with_folder(dir, 100) };
    let go = |dir: &Path, until: u64| {
        let mut trainer = Trainer::new(tree(), lamb(dir)).unwrap().scheduled(when);
        trainer.resume_if_present().unwrap();
        trainer.run_to(until, &MATCH, &mut |_| Flow::Continue).unwrap();
        trainer.into_tree()
    };
    let (whole, halves) = (stored::folder(), stored::folder());
    let expected = go(whole.path(), STEPS);
    go(halves.path(), 5);
    assert_eq!(bits(&go(halves.path(), STEPS)), bits(&expected));
}

fn uninterrupted() -> (Tree, Outcome) {
    let folder = stored::folder();
    let (_, tree, outcome) = go(folder.path(), STEPS);
    (tree, outcome)
}

#[test]
fn a_resumed_run_is_the_same_run() {
    let (expected_tree, expected) = uninterrupted();
    assert!(!expected.stopped);
    for stop in 1..STEPS {
        let folder = stored::folder();
        let (nothing, _, first) = go(folder.path(), stop);
        assert_eq!((nothing, first.steps_done, first.stopped), (None, stop, true));
        let (resumed, tree, outcome) = go(folder.path(), STEPS);
        assert_eq!(resumed, Some(stop));
        assert_eq!(outcome, expected, "stopped after {stop}");
        assert_eq!(bits(&tree), bits(&expected_tree), "stopped after {stop}");
    }
}

#[test]
fn a_run_stopped_after_every_step_is_the_same_run() {
    let (expected_tree, expected) = uninterrupted();
    let folder = stored::folder();
    for until in 1..STEPS {
        go(folder.path(), until);
    }
    let (resumed, tree, outcome) = go(folder.path(), STEPS);
    assert_eq!((resumed, outcome), (Some(STEPS - 1), expected.clone()));
    assert_eq!(bits(&tree), bits(&expected_tree));
    // Resuming a finished run takes no step and gives the same answer.
    let (resumed, tree, outcome) = go(folder.path(), STEPS);
    assert_eq!((resumed, outcome), (Some(STEPS), expected));
    assert_eq!(bits(&tree), bits(&expected_tree));
}

#[test]
fn checkpoints_change_nothing_and_come_when_due() {
    let folder = stored::folder();
    let mut trainer = Trainer::new(tree(), with_folder(folder.path(), 4)).unwrap().scheduled(when);
    let mut written = Vec::new();
    let mut note = |event| {
        if let Event::Checkpoint { done, path, bytes } = event {
            assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
            written.push(done);
        }
        Flow::Continue
    };
    let outcome = trainer.run(&MATCH, &mut note).unwrap();
    assert_eq!(written, [4, 8, 9]);
    assert_eq!((bits(trainer.tree()), outcome), {
        let (tree, outcome) = uninterrupted();
        (bits(&tree), outcome)
    });
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [checkpoint::FILE]);
}

#[test]
fn a_stop_before_the_first_step_leaves_nothing() {
    let folder = stored::folder();
    let mut trainer = Trainer::new(tree(), with_folder(folder.path(), 1)).unwrap();
    let outcome = trainer.run(&MATCH, &mut |_| Flow::Stop).unwrap();
    assert_eq!((outcome.steps_done, outcome.stopped), (0, true));
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    assert_eq!(trainer.resume_if_present().unwrap(), None);
}

#[test]
fn a_stop_answered_to_a_checkpoint_stops() {
    let folder = stored::folder();
    let mut trainer = Trainer::new(tree(), with_folder(folder.path(), 3)).unwrap();
    let mut stop =
        |event| if matches!(event, Event::Checkpoint { .. }) { Flow::Stop } else { Flow::Continue };
    let outcome = trainer.run(&MATCH, &mut stop).unwrap();
    assert_eq!((outcome.steps_done, outcome.stopped), (3, true));
}

/// Every state of the folder that a kill during a write can leave.
#[test]
fn a_kill_at_any_moment_leaves_the_old_or_the_new_checkpoint() {
    let (old, new) = (stored::folder(), stored::folder());
    go(old.path(), 3);
    go(new.path(), 6);
    let file = |dir: &Path| fs::read(dir.join(checkpoint::FILE)).unwrap();
    let (expected_tree, expected) = uninterrupted();
    let cut = file(new.path()).len() / 2;
    // (what is in the scratch folder, whether the rename happened, steps done after)
    let moments: [(Option<Vec<u8>>, bool, u64); 4] = [
        (None, false, 3),
        (Some(file(new.path())[..cut].to_vec()), false, 3),
        (Some(file(new.path())), false, 3),
        (None, true, 6),
    ];
    for (scratch, renamed, done) in moments {
        let folder = stored::folder();
        fs::write(folder.path().join(checkpoint::FILE), file(if renamed { new.path() } else { old.path() }))
            .unwrap();
        fs::create_dir(folder.path().join("writing")).unwrap();
        if let Some(bytes) = scratch {
            fs::write(folder.path().join("writing").join(".tenfold-x.tmp"), &bytes).unwrap();
            fs::write(folder.path().join("writing").join(checkpoint::FILE), &bytes).unwrap();
        }
        let (resumed, tree, outcome) = go(folder.path(), STEPS);
        assert_eq!((resumed, outcome), (Some(done), expected.clone()));
        assert_eq!(bits(&tree), bits(&expected_tree));
        assert!(!folder.path().join("writing").exists(), "what a kill left is cleared");
    }
}

#[test]
fn a_cut_checkpoint_is_refused_and_never_taken_for_none() {
    let folder = stored::folder();
    go(folder.path(), 4);
    let path = folder.path().join(checkpoint::FILE);
    let whole = fs::read(&path).unwrap();
    for len in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..len]).unwrap();
        let mut trainer = Trainer::new(tree(), with_folder(folder.path(), 100)).unwrap();
        let fault = trainer.resume_if_present().unwrap_err();
        assert!(matches!(fault, Error::Format(_)), "{len} bytes: {fault}");
        assert_eq!(bits(trainer.tree()), bits(&tree()), "a refused checkpoint changes nothing");
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_an_error() {
    let folder = stored::folder();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let mut trainer = Trainer::new(tree(), with_folder(&file, 1)).unwrap();
    let fault = trainer.run(&MATCH, &mut |_| Flow::Continue).unwrap_err();
    assert!(matches!(&fault, Error::Folder { path, .. } if path.starts_with(&file)), "{fault}");
}

#[test]
fn a_run_without_a_folder_resumes_nothing() {
    let mut trainer = Trainer::new(tree(), options(2)).unwrap();
    assert_eq!(trainer.resume_if_present().unwrap(), None);
    let (_, outcome) = trained(tree(), options(2), &MATCH);
    assert_eq!(outcome.steps_done, 2);
}
