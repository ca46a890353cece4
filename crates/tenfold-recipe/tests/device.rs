//! Whole runs on the processor and on a device: the same recipes end at the same weights.
#![allow(clippy::unwrap_used)] // helpers of tests fail like the tests themselves

#[allow(dead_code, reason = "these runs need little of it")]
#[path = "it/bench.rs"]
mod bench;
#[allow(dead_code, reason = "these runs need little of it")]
#[path = "../../tenfold-tensor/tests/common/device.rs"]
mod device;

use bench::Bench;
use std::collections::BTreeMap;
use tenfold_model::Model;
use tenfold_tensor::Array;
use tenfold_testkit::tolerance::{Tolerance, assert_close, widen};
use tenfold_weight::LeafId;

const MATRICES: &str = "select = \"encoder.**.{query,key,value,dense}.weight\"\n";
const TASK: &str =
    "[[phase]]\nobjective = \"task\"\ntask = \"sst2@1\"\nsteps = 2\nrows = 64\noptimizer = { lr = 1e-3 }\n";

/// What a run is called, and its steps and phases.
fn recipes() -> Vec<(&'static str, String)> {
    let step = |method: &str, more: &str| format!("[[step]]\nmethod = \"{method}\"\n{more}");
    let routed = "select = \"**.router\"\nexperts = 3\ncores = 3\n";
    let lamb = TASK.replace("lr = 1e-3", "kind = \"lamb\", lr = 1e-2");
    vec![
        ("dense", format!("{TASK}dropout = 0.1\n")),
        ("operators", step("mpo", MATRICES) + TASK),
        ("deep", step("mpobert", &format!("{MATRICES}rank = 2\n")) + &lamb),
        ("experts", step("mpoe", routed) + TASK + "experts = { balance = 0.1, capacity = 1.0 }\n"),
        ("adapters", step("lora", &format!("{MATRICES}rank = 2\nmagnitude = true\n")) + TASK),
        ("prefix", step("prefix", "select = \"encoder.**\"\nrows = 3\n") + TASK),
        ("again", format!("{TASK}gradient-checkpointing = true\n")),
    ]
}

fn values(bench: &Bench, name: &str, recipe: &str) -> (Vec<f64>, BTreeMap<LeafId, Array>) {
    let done = bench.finish(&bench.recipe(recipe), name);
    let phase = &done.receipt.record.phases[0];
    let model = Model::load(&bench.at(name).join("model")).unwrap();
    (vec![phase.first_loss, phase.last_loss], model.tree.values())
}

#[test]
fn a_device_ends_where_the_processor_does() {
    if device::compiler().is_none() {
        return eprintln!("there is no C++ compiler to emulate a device with");
    }
    let bench = Bench::new();
    bench.write_tasks();
    let here: Vec<_> = recipes().iter().map(|(name, recipe)| values(&bench, name, recipe)).collect();
    let watch = device::emulate();
    for ((name, recipe), (losses, leaves)) in recipes().iter().zip(here) {
        let before = (watch.products(), watch.launches_of("attended_back_keys"));
        let (found, others) = values(&bench, &format!("{name} on a device"), recipe);
        device::check();
        assert!(
            watch.products() > before.0 && watch.launches_of("attended_back_keys") > before.1,
            "{name} was computed elsewhere"
        );
        for (loss, other) in losses.iter().zip(&found) {
            assert!((loss - other).abs() <= 1e-4 * loss.abs().max(1e-3), "{name}: {found:?}, not {losses:?}");
        }
        assert_eq!(leaves.len(), others.len());
        // Softmax does not see what is added to all keys, so the gradient of their bias is rounding, and Adam makes steps of that.
        for (id, leaf) in leaves.iter().filter(|(id, _)| !id.to_string().ends_with("key.bias")) {
            let tolerance = Tolerance { relative: 2e-3, absolute: 2e-4 };
            assert_close(&format!("{name}: {id}"), others[id].data(), &widen(leaf.data()), tolerance);
        }
    }
}
