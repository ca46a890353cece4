//! Training makes losses small, in every form, and does the same thing twice.

use crate::objective::{By, MATCH, bits, options, trained, tree};
use tenfold_tensor::optim::{AdamW, Lamb};
use tenfold_tensor::{Activation, Precision, Var, op};
use tenfold_testkit::{case, random};
use tenfold_train::{Decay, Event, Flow, Schedule, TrainOptions, Trainer};
use tenfold_weight::{Form, Path, Scope, Tree};

#[test]
fn a_network_with_a_low_rank_layer_learns_32_examples_by_heart() {
    let (x, target) = (random::array("by heart x", &[32, 8]), random::array("by heart y", &[32, 4]));
    let small = |name: &str, shape: &[usize]| {
        let mut value = random::array(name, shape);
        value.data_mut().iter_mut().for_each(|number| *number *= 0.3);
        value
    };
    let first = Form::lowrank(small("down", &[6, 8]), small("up", &[48, 6])).unwrap();
    let tree: Tree = [
        ("first.weight", first),
        ("first.bias", Form::dense(small("b1", &[48]))),
        ("second.weight", Form::dense(small("w2", &[4, 48]))),
        ("second.bias", Form::dense(small("b2", &[4]))),
    ]
    .into_iter()
    .map(|(path, form)| (Path::new(path), form))
    .collect();
    let network = By(|scope: &Scope<'_>, _| {
        let hidden = scope.linear("first", &Var::constant(x.clone()), Activation::Gelu).unwrap();
        op::mse(&scope.linear("second", &hidden, Activation::Identity).unwrap(), &target)
    });
    let schedule = Schedule { peak: 0.02, warmup: 20, decay: Decay::Cosine, floor: 0.0 };
    let options = TrainOptions { weight_decay: 0.0, ..TrainOptions::new(1500, schedule) };
    let (_, outcome) = trained(tree, options, &network);
    let (first, last) = (outcome.losses[0], outcome.losses[1499]);
    assert!(last < 1e-3 * first, "from {first} to {last}");
}

#[test]
fn every_form_learns_to_be_another_of_its_kind() {
    for case in case::forms() {
        let mut teacher = case.tree.clone();
        teacher.visit_mut(|id, leaf| {
            let noise = random::array(&id.to_string(), leaf.value.shape());
            leaf.value
                .data_mut()
                .iter_mut()
                .zip(noise.data())
                .for_each(|(value, noise)| *value += 0.2 * noise);
        });
        let task = By(|scope: &Scope<'_>, step| {
            let x = Var::constant(random::array(&format!("x {}", step % 4), &[16, case.cols]));
            let of = |scope: &Scope<'_>| scope.linear("head", &x, Activation::Identity).unwrap();
            op::mse(&of(scope), of(&Scope::evaluate(&teacher)).value())
        });
        let (_, outcome) = trained(case.tree.clone(), options(100), &task);
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let (first, last) = (mean(&outcome.losses[..4]), mean(&outcome.losses[96..]));
        assert!(last < 0.2 * first, "{}: from {first} to {last}", case.name);
    }
}

/// Each leaf moves by the rate times its own norm, whatever the size of its gradient; vectors move as under Adam.
#[test]
fn lamb_moves_a_leaf_by_a_share_of_its_norm() {
    let mut as_adam = 0;
    for case in case::forms() {
        let task = crate::objective::Match { rows: case.rows, cols: case.cols };
        let lamb = Lamb { norms: (0.0, f32::INFINITY), ..Lamb::default() };
        let options = TrainOptions { optimizer: lamb.into(), weight_decay: 0.0, ..options(1) };
        let (after, _) = trained(case.tree.clone(), options, &task);
        let (before, after) = (case.tree.values(), after.values());
        for leaf in case.tree.leaves() {
            let norm = |numbers: Vec<f32>| numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let (old, new) = (before[&leaf.id].data(), after[&leaf.id].data());
            let moved = norm(old.iter().zip(new).map(|(a, b)| a - b).collect());
            let whole = norm(old.to_vec());
            if leaf.shape.len() > 1 && moved > 0.0 {
                assert!((moved / whole - 0.02).abs() < 2e-4, "{} of {}: {moved} {whole}", leaf.id, case.name);
            } else if moved > 0.0 {
                // A first step of Adam moves every number by the rate; by less where its gradient is as small as eps.
                let most = old.iter().zip(new).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(most < 0.0202, "{} of {}: {most}", leaf.id, case.name);
                as_adam += usize::from(most > 0.0198);
            }
        }
    }
    assert!(as_adam > 5, "{as_adam}");
}

#[test]
fn the_same_run_twice_gives_the_same_bits() {
    let run = || trained(tree(), options(12), &MATCH);
    let ((a, first), (b, second)) = (run(), run());
    assert_eq!(first, second);
    assert_eq!(bits(&a), bits(&b));
}

#[test]
fn events_tell_the_story_in_order() {
    let mut trainer = Trainer::new(tree(), options(3)).unwrap();
    let mut story = Vec::new();
    let mut note = |event: Event| {
        story.push(match event {
            Event::Started { done, steps, leaves, parameters } => {
                format!("{done} of {steps}, {leaves}, {parameters}")
            }
            Event::Step { step, seconds, .. } if seconds >= 0.0 => format!("step {step}"),
            other => format!("{other:?}"),
        });
        Flow::Continue
    };
    let outcome = trainer.run(&MATCH, &mut note).unwrap();
    assert_eq!(story, ["0 of 3, 3, 34", "step 0", "step 1", "step 2"]);
    assert_eq!((outcome.steps_done, outcome.stopped, outcome.losses.len()), (3, false, 3));
    let idle: Vec<String> = outcome.idle.iter().map(ToString::to_string).collect();
    assert_eq!(idle, ["idle.weight"]);
}

#[test]
fn clipping_shortens_long_gradients_only() {
    let first_step = |clip| {
        // Plain sums of the gradient: with betas of 0 and a large eps the update is the gradient itself, scaled.
        let mut options = TrainOptions { clip, ..options(1) };
        options.optimizer = AdamW { betas: (0.0, 0.0), eps: 1e6 }.into();
        options.weight_decay = 0.0;
        options.schedule = Schedule::constant(1e6);
        let (after, outcome) = trained(tree(), options, &MATCH);
        let (before, after) = (tree().values(), after.values());
        let moved = before
            .iter()
            .flat_map(|(id, value)| value.data().iter().zip(after[id].data()).map(|(a, b)| a - b));
        (moved.map(|d| f64::from(d).powi(2)).sum::<f64>().sqrt(), outcome)
    };
    let (whole, _) = first_step(None);
    let (half, _) = first_step(Some(whole / 2.0));
    let (same, _) = first_step(Some(whole * 2.0));
    assert!((half / whole - 0.5).abs() < 1e-3 && (same / whole - 1.0).abs() < 1e-6, "{whole} {half} {same}");
}

/// Every form learns about the same in every precision, and a precision that rounds shows in the bits.
#[test]
fn every_form_learns_in_every_precision() {
    for case in case::forms() {
        let task = crate::objective::Match { rows: case.rows, cols: case.cols };
        let losses = |precision| {
            let options = TrainOptions { precision, ..options(20) };
            trained(case.tree.clone(), options, &task).1.losses
        };
        let exact = losses(Precision::F32);
        // The first steps of AdamW move every number by the rate, whatever the size of its gradient, so where a gradient is
        // near 0 its rounding decides the direction; in an operator such moves multiply.
        for (precision, near) in [(Precision::Bf16x3, 1e-2), (Precision::Bf16, 0.2)] {
            let rounded = losses(precision);
            // Products of whole numbers are exact in every precision.
            let whole = case.rounded.len() == case.cols;
            assert_eq!(rounded == exact, whole, "{} in {precision}", case.name);
            let far = rounded.iter().zip(&exact).find(|(a, b)| (*a - *b).abs() > near * b.abs());
            assert_eq!(far, None, "{} in {precision}", case.name);
        }
    }
}
