//! Several ranks train the tree that one process trains, and fail together.

use crate::objective::{By, MATCH, bits, options, tree};
use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::thread;
use tenfold_tensor::optim::{AdamW, Lamb};
use tenfold_tensor::{Activation, Array, Var, op};
use tenfold_testkit::{case, random, stored};
use tenfold_train::{
    CheckpointOptions, Collective, CollectiveError, Drawn, Entries, Error, Event, Flow, Loss, Monitor,
    MonitorFault, Objective, Outcome, Part, Share, ThreadRank, TrainOptions, Trainer, thread_ranks,
};
use tenfold_weight::{Form, LeafId, Path, Scope, Tree};

/// Runs `work` on so many ranks, one thread each; what each came to, by rank.
fn each<R: Send>(ranks: usize, work: impl Fn(&ThreadRank) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> =
            thread_ranks(ranks).into_iter().map(|rank| scope.spawn(move || work(&rank))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Trains a tree on so many ranks, which must agree to the bit; what it came to, as one process tells it.
fn trained<O: Objective + Sync>(
    ranks: usize,
    tree: &Tree,
    options: &TrainOptions,
    objective: &O,
    prepare: impl Fn(&mut Trainer<'_>) + Sync,
) -> (BTreeMap<LeafId, Array>, Outcome, u64) {
    let all = each(ranks, |rank| {
        let mut trainer = Trainer::new(tree.clone(), options.clone()).unwrap().among(rank);
        prepare(&mut trainer);
        let mut read = 0;
        let outcome = trainer.run(objective, &mut |event| {
            if let Event::Step { tokens, .. } = event {
                read += tokens;
            }
            Flow::Continue
        });
        (trainer.into_tree(), outcome.unwrap(), read)
    });
    for (tree, outcome, read) in &all {
        assert_eq!((bits(tree), outcome, read), (bits(&all[0].0), &all[0].1, &all[0].2));
    }
    let (tree, outcome, read) = all.into_iter().next().unwrap();
    (tree.values(), outcome, read)
}

fn assert_near(
    found: &(BTreeMap<LeafId, Array>, Outcome, u64),
    expected: &(BTreeMap<LeafId, Array>, Outcome, u64),
) {
    assert_eq!(
        (found.1.steps_done, &found.1.idle, found.2),
        (expected.1.steps_done, &expected.1.idle, expected.2)
    );
    for (a, b) in found.1.losses.iter().zip(&expected.1.losses) {
        assert!((a - b).abs() < 1e-5 * b.abs().max(1e-3), "{a} {b}");
    }
    for (id, value) in &found.0 {
        for (a, b) in value.data().iter().zip(expected.0[id].data()) {
            assert!((a - b).abs() < 2e-5, "{id}: {a} {b}");
        }
    }
}

fn nothing(_: &mut Trainer<'_>) {}

/// Eight rows on up to nine ranks: some shares are empty.
#[test]
fn as_many_ranks_as_may_be_train_the_tree_of_one_process() {
    let options = TrainOptions { clip: Some(0.5), ..options(8) };
    let alone = trained(1, &tree(), &options, &MATCH, nothing);
    assert_eq!(alone.2, 64);
    for ranks in [2, 3, 9] {
        assert_near(&trained(ranks, &tree(), &options, &MATCH, nothing), &alone);
    }
}

#[test]
fn the_quotient_of_norms_is_that_of_the_whole_gradient() {
    let options = TrainOptions { optimizer: Lamb::default().into(), ..options(8) };
    let alone = trained(1, &tree(), &options, &MATCH, nothing);
    assert_near(&trained(3, &tree(), &options, &MATCH, nothing), &alone);
}

#[test]
fn every_form_trains_alike_on_three_ranks() {
    for case in case::forms() {
        let objective = crate::objective::Match { rows: case.rows, cols: case.cols };
        // Plain gradient steps: those of AdamW turn what rounding makes of a zero into a whole step.
        let mut options = options(3);
        options.optimizer = AdamW { betas: (0.0, 0.0), eps: 10.0 }.into();
        options.schedule = tenfold_train::Schedule::constant(1.0);
        let alone = trained(1, &case.tree, &options, &objective, nothing);
        assert_near(&trained(3, &case.tree, &options, &objective, nothing), &alone);
    }
}

/// Two means over different things, as distillation has.
struct Two;

impl Objective for Two {
    type Error = tenfold_weight::Error;

    fn loss(&self, scope: &Scope<'_>, step: u64, share: Share) -> Result<Loss, Self::Error> {
        let rows = share.range([5, 1, 1, 1]);
        if rows.is_empty() {
            return Ok(Loss::empty());
        }
        let x = random::array(&format!("two {step}"), &[4, 4]);
        let x = Array::from_vec(x.data()[4 * rows.start..4 * rows.end].to_vec(), &[rows.len(), 4]);
        let out = scope.linear("head", &Var::constant(x.clone()), Activation::Tanh)?;
        let square: f64 = x.data().iter().map(|value| f64::from(*value).powi(2)).sum();
        let zero = op::mse(&out, &Array::zeros(&[rows.len(), 6]));
        // The sum of squared errors over the sum of squared inputs of the whole batch.
        let relative = op::scale(&zero, (6.0 * rows.len() as f64 / square) as f32);
        Ok(Loss::mean(op::mse(&out, &Array::full(&[rows.len(), 6], 0.5)), rows.len() as f64)
            .and(relative, square))
    }
}

#[test]
fn terms_have_weights_of_their_own() {
    let alone = trained(1, &tree(), &options(5), &Two, nothing);
    for ranks in [2, 3, 6] {
        assert_near(&trained(ranks, &tree(), &options(5), &Two, nothing), &alone);
    }
}

/// Parts, draws and a leaf that only one rank's share reaches.
#[test]
fn parts_and_draws_are_those_of_one_process() {
    let weight = LeafId::root(Path::new("head.weight"));
    let bias = LeafId::root(Path::new("head.bias"));
    let prepare = |trainer: &mut Trainer<'_>| {
        trainer.set_part(&weight, Part::Entries(Entries::new(vec![0, 3, 4, 17]))).unwrap();
        trainer.lighten(&weight).unwrap();
        trainer.thin(&bias, Drawn { share: 0.5, seed: 3, raised: true }).unwrap();
    };
    let alone = trained(1, &tree(), &options(6), &MATCH, prepare);
    assert_near(&trained(3, &tree(), &options(6), &MATCH, prepare), &alone);

    struct Uneven;
    impl Objective for Uneven {
        type Error = tenfold_weight::Error;

        fn loss(&self, scope: &Scope<'_>, _step: u64, share: Share) -> Result<Loss, Self::Error> {
            let mut loss = Loss::empty();
            for at in share.range([1; 3]) {
                let path = if at == 2 { "idle" } else { "head" };
                let x = Var::constant(Array::full(&[1, if at == 2 { 2 } else { 4 }], 1.0));
                let out = scope.linear(path, &x, Activation::Identity)?;
                let term = op::mse(&out, &Array::zeros(out.shape()));
                loss = match loss.whole() {
                    Some(before) => Loss::mean(op::scale(&op::add(&before, &term), 0.5), 2.0),
                    None => Loss::mean(term, 1.0),
                };
            }
            Ok(loss)
        }
    }
    let two = trained(2, &tree(), &options(4), &Uneven, nothing);
    let three = trained(3, &tree(), &options(4), &Uneven, nothing);
    assert_near(&three, &two);
    assert!(two.1.idle.is_empty(), "{:?}", two.1.idle);
}

/// A monitor that makes everything light after the second step and counts what it saw.
#[derive(Default)]
struct Sees(Vec<f64>);

impl Monitor for Sees {
    fn gradients(&mut self, _step: u64, _tree: &Tree, gradients: &BTreeMap<LeafId, Array>) {
        self.0.push(gradients.values().flat_map(|one| one.data()).map(|value| f64::from(*value)).sum());
    }

    fn splits(&self, step: u64) -> bool {
        step == 1
    }

    fn between(&mut self, _step: u64, _tree: &Tree) -> Result<(), MonitorFault> {
        Ok(())
    }

    fn after(&mut self, step: u64, tree: &Tree) -> Result<Vec<LeafId>, MonitorFault> {
        Ok(if step == 1 { tree.leaves().into_iter().map(|leaf| leaf.id).collect() } else { Vec::new() })
    }

    fn state(&self) -> BTreeMap<String, Vec<f64>> {
        BTreeMap::new()
    }

    fn restore(&mut self, _state: BTreeMap<String, Vec<f64>>) -> bool {
        true
    }
}

#[test]
fn monitors_see_the_gradient_of_the_whole_batch() {
    let weight = LeafId::root(Path::new("head.weight"));
    let run = |ranks| {
        each(ranks, |rank| {
            let mut sees = Sees::default();
            let mut trainer = Trainer::new(tree(), options(4)).unwrap().among(rank).monitored(&mut sees);
            trainer.set_part(&weight, Part::Nothing).unwrap();
            trainer.run(&MATCH, &mut |_| Flow::Continue).unwrap();
            let tree = trainer.into_tree();
            (bits(&tree), sees.0)
        })
    };
    let (alone, three) = (run(1), run(3));
    assert!(three.iter().all(|one| *one == three[0]));
    assert_eq!(alone[0].1.len(), 4);
    for (a, b) in alone[0].1.iter().zip(&three[0].1) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn dropout_differs_by_share_and_repeats() {
    struct Drops;
    impl Objective for Drops {
        type Error = tenfold_weight::Error;

        fn loss(&self, scope: &Scope<'_>, _step: u64, share: Share) -> Result<Loss, Self::Error> {
            let rows = share.range([1; 4]).len();
            let x = scope.dropout(&Var::constant(Array::full(&[rows, 4], 1.0)));
            let out = scope.linear("head", &x, Activation::Identity)?;
            Ok(Loss::mean(op::mse(&out, &Array::zeros(out.shape())), rows as f64))
        }
    }
    let options = TrainOptions { dropout: 0.5, ..options(3) };
    let run = |ranks| trained(ranks, &tree(), &options, &Drops, nothing).1.losses;
    assert_eq!(run(2), run(2));
    assert_ne!(run(1), run(2));
}

/// Fails on one rank.
struct FailsOn(usize);

impl Objective for FailsOn {
    type Error = tenfold_weight::Error;

    fn loss(&self, scope: &Scope<'_>, step: u64, share: Share) -> Result<Loss, Self::Error> {
        let path = if share.rank() == self.0 && step == 2 { "heda" } else { "head" };
        scope.linear(path, &Var::constant(Array::zeros(&[1, 4])), Activation::Identity)?;
        MATCH.loss(scope, step, share)
    }
}

#[test]
fn what_fails_on_one_rank_ends_all_with_its_words() {
    let found = each(3, |rank| {
        let mut trainer = Trainer::new(tree(), options(5)).unwrap().among(rank);
        let error = trainer.run(&FailsOn(1), &mut |_| Flow::Continue).unwrap_err();
        (error.to_string(), bits(trainer.tree()))
    });
    assert!(found[1].0.starts_with("step 2: the loss could not be computed"), "{}", found[1].0);
    for at in [0, 2] {
        assert!(found[at].0.starts_with("rank 1 failed: step 2:"), "{}", found[at].0);
        assert_eq!(found[at].1, found[1].1, "all stand after the last whole step");
    }
}

#[test]
fn who_is_gone_and_who_is_elsewhere_is_told() {
    let found = each(2, |rank| {
        if rank.rank() == 1 {
            return String::new();
        }
        let mut trainer = Trainer::new(tree(), options(5)).unwrap().among(rank);
        trainer.run(&MATCH, &mut |_| Flow::Continue).unwrap_err().to_string()
    });
    assert_eq!(found[0], CollectiveError::Lost.to_string());

    let found = each(2, |rank| {
        let mut trainer = Trainer::new(tree(), options(5)).unwrap();
        trainer.run_to(rank.rank() as u64, &MATCH, &mut |_| Flow::Continue).unwrap();
        let mut trainer = trainer.among(rank);
        trainer.run(&MATCH, &mut |_| Flow::Continue).unwrap_err()
    });
    assert!(
        found.iter().all(|one| matches!(one, Error::OutOfStep { rank: 1, expected: 0, got: 1 })),
        "{found:?}"
    );
}

#[test]
fn one_rank_that_stops_stops_all() {
    let found = each(3, |rank| {
        let mut trainer = Trainer::new(tree(), options(9)).unwrap().among(rank);
        let stops = |event: &Event| matches!(event, Event::Step { step: 3, .. }) && rank.rank() == 2;
        let mut answer = |event: Event| if stops(&event) { Flow::Stop } else { Flow::Continue };
        let outcome = trainer.run(&MATCH, &mut answer).unwrap();
        (outcome.steps_done, outcome.stopped)
    });
    assert_eq!(found, [(4, true); 3]);
}

#[test]
fn losses_that_are_no_numbers_and_losses_of_nothing_end_all_alike() {
    let mut faulty = tree();
    faulty.insert(Path::new("head.bias"), Form::dense(Array::full(&[6], f32::NAN)));
    let run = |tree: Tree, empty: bool| {
        each(2, |rank| {
            struct Nothing;
            impl Objective for Nothing {
                type Error = tenfold_weight::Error;
                fn loss(&self, _: &Scope<'_>, _: u64, _: Share) -> Result<Loss, Self::Error> {
                    Ok(Loss::empty())
                }
            }
            let mut trainer = Trainer::new(tree.clone(), options(5)).unwrap().among(rank);
            match empty {
                true => trainer.run(&Nothing, &mut |_| Flow::Continue).unwrap_err(),
                false => trainer.run(&MATCH, &mut |_| Flow::Continue).unwrap_err(),
            }
        })
    };
    assert!(run(faulty, false).iter().all(|one| matches!(one, Error::NonFiniteLoss { step: 0, .. })));
    assert!(run(tree(), true).iter().all(|one| matches!(one, Error::EmptyBatch { step: 0 })));
    let detached = By(|_: &Scope<'_>, _| Var::constant(Array::scalar(1.0)));
    let found = each(2, |rank| {
        let mut trainer = Trainer::new(tree(), options(5)).unwrap().among(rank);
        trainer.run(&detached, &mut |_| Flow::Continue).unwrap_err()
    });
    assert!(found.iter().all(|one| matches!(one, Error::Detached { step: 0, leaves: 3 })), "{found:?}");
}

fn with_folder(dir: &FilePath) -> TrainOptions {
    let checkpoint = Some(CheckpointOptions { dir: dir.to_owned(), every: 3 });
    TrainOptions { checkpoint, run_id: "parallel".to_owned(), ..options(9) }
}

/// Goes on with a checkpoint, if there is one, up to a step; the steps done before, and where the tree stands.
fn go(ranks: usize, dir: &FilePath, until: u64) -> (Option<u64>, BTreeMap<LeafId, Array>, Outcome) {
    let all = each(ranks, |rank| {
        let mut trainer = Trainer::new(tree(), with_folder(dir)).unwrap().among(rank);
        let resumed = trainer.resume_if_present().unwrap();
        let mut written = 0;
        let outcome = trainer.run_to(until, &MATCH, &mut |event| {
            written += usize::from(matches!(event, Event::Checkpoint { .. }));
            Flow::Continue
        });
        assert_eq!(written > 0, rank.rank() == 0, "the first rank writes, no other does");
        (resumed, trainer.into_tree().values(), outcome.unwrap())
    });
    all.into_iter().next().unwrap()
}

#[test]
fn checkpoints_do_not_know_how_many_ranks_there_were() {
    let whole = stored::folder();
    let (_, expected, outcome) = go(1, whole.path(), 9);
    let folder = stored::folder();
    assert_eq!(go(2, folder.path(), 4).0, None);
    assert_eq!(go(3, folder.path(), 7).0, Some(4));
    let (resumed, found, end) = go(1, folder.path(), 9);
    assert_eq!(resumed, Some(7));
    assert_near(&(found, end, 0), &(expected, outcome, 0));
}

#[test]
fn trees_that_differ_are_found_at_the_next_checkpoint() {
    let folder = stored::folder();
    let found = each(2, |rank| {
        let mut tree = tree();
        if rank.rank() == 1 {
            tree.insert(Path::new("idle.weight"), Form::dense(Array::full(&[2, 2], 7.0)));
        }
        let mut trainer = Trainer::new(tree, with_folder(folder.path())).unwrap().among(rank);
        trainer.run(&MATCH, &mut |_| Flow::Continue).unwrap_err()
    });
    assert!(found.iter().all(|one| matches!(one, Error::Diverged { step: 3, rank: 1 })), "{found:?}");
}
