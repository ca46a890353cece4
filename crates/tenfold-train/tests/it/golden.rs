//! Twelve steps against PyTorch.

use crate::objective::By;
use serde_json::Value;
use tenfold_tensor::{Activation, Array, Var, op};
use tenfold_testkit::tolerance::{Tolerance, assert_close};
use tenfold_train::{Decay, Event, Flow, Group, Schedule, TrainOptions, Trainer};
use tenfold_weight::{Form, Path, Selector, Tree};

const TOLERANCE: Tolerance = Tolerance { relative: 0.0, absolute: 2e-5 };

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn array(value: &Value) -> Array {
    let shape: Vec<usize> = numbers(&value["shape"]).iter().map(|size| *size as usize).collect();
    Array::from_vec(numbers(&value["data"]).iter().map(|number| *number as f32).collect(), &shape)
}

#[test]
fn twelve_steps_agree_with_pytorch() {
    let golden: Value = serde_json::from_str(include_str!("../golden/adamw/expected.json")).unwrap();
    let number = |key: &str| golden[key].as_f64().unwrap();
    let weights = golden["start"].as_object().unwrap();
    let tree: Tree =
        weights.iter().map(|(path, value)| (Path::new(path), Form::dense(array(value)))).collect();
    let schedule = Schedule {
        peak: number("peak"),
        warmup: number("warmup") as u64,
        decay: Decay::Cosine,
        floor: number("floor"),
    };
    let select = vec![Selector::parse("second.weight").unwrap()];
    let group = Group { select, rate: number("group_rate"), weight_decay: number("group_decay") };
    let options = TrainOptions {
        groups: vec![group],
        weight_decay: number("decay"),
        clip: Some(number("clip")),
        ..TrainOptions::new(number("steps") as u64, schedule)
    };
    let (x, target) = (Var::constant(array(&golden["x"])), array(&golden["target"]));
    let network = By(|scope: &tenfold_weight::Scope<'_>, _| {
        let hidden = scope.linear("first", &x, Activation::Tanh).unwrap();
        op::mse(&scope.linear("second", &hidden, Activation::Identity).unwrap(), &target)
    });
    let (mut losses, mut norms, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    let mut trainer = Trainer::new(tree, options).unwrap();
    let mut note = |event| {
        if let Event::Step { loss, norm, rate, .. } = event {
            losses.push(loss as f32);
            norms.push(norm as f32);
            rates.push(rate as f32);
        }
        Flow::Continue
    };
    trainer.run(&network, &mut note).unwrap();
    assert_close("losses", &losses, &numbers(&golden["losses"]), TOLERANCE);
    assert_close("norms", &norms, &numbers(&golden["norms"]), TOLERANCE);
    assert_close("rates", &rates, &numbers(&golden["rates"]), TOLERANCE);
    for (id, value) in trainer.into_tree().values() {
        let expected = numbers(&golden["end"][id.to_string()]["data"]);
        assert_close(&format!("{id} at the end"), value.data(), &expected, TOLERANCE);
    }
}
