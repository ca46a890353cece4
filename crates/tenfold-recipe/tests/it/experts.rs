//! Experts in whole runs: plans, training, files, going on after a stop, several ranks.

use super::bench::{Bench, contents};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path as FilePath;
use tenfold_method::{Options, Value, registry};
use tenfold_model::{Batch, Error as ModelError, Model};
use tenfold_recipe::{Event, Plan, Recipe, Stage};
use tenfold_tensor::Array;
use tenfold_testkit::tolerance::{Tolerance, assert_close, widen};
use tenfold_weight::{LeafId, Path, Role, Scope, Tree};

fn recipe(bench: &Bench, step: &str, phase: &str) -> Recipe {
    bench.recipe(&format!(
        "[[step]]\nselect = \"**.router\"\n{step}[[phase]]\nobjective = \"distill\"\nsteps = 6\ntokens = 64\n\
         text = \"path:TRAIN\"\ncheckpoint-every = 2\n{phase}"
    ))
}

const SHARED: &str = "method = \"mpoe\"\nexperts = 3\nmask = 0.5\ncores = 3\n";

fn values(bench: &Bench, out: &str) -> BTreeMap<LeafId, Array> {
    Model::load(&bench.at(out).join("model")).unwrap().tree.values()
}

#[test]
fn plans_show_routers_and_what_changes_behind_them() {
    let bench = Bench::new();
    let tree = Model::load(&bench.at("model")).unwrap().tree;
    let plan = |step: &str| Plan::of(&recipe(&bench, step, ""), &tree).unwrap();
    let shared = plan(SHARED);
    let row = |path: &str| shared.rows.iter().find(|row| row.path == path).unwrap();
    let (wide, router) = (
        row("encoder.layer.0.intermediate.dense.weight"),
        row("encoder.layer.0.intermediate.router.top1.weight"),
    );
    assert!(wide.to.starts_with("3 experts, mpo 3 cores"), "{}", wide.to);
    assert_eq!((router.from.as_str(), router.trains.as_str()), ("nothing", "all"));
    assert_eq!(wide.trains, "all");
    let dense = plan("method = \"moe\"\nexperts = 3\n");
    assert!(dense.totals.parameters_after > shared.totals.parameters_after);
    // Frozen for good.
    let frozen = plan("method = \"mpoe\"\nexperts = 3\nmask = 1\ncores = 3\n");
    let wide = frozen.rows.iter().find(|row| row.path.ends_with("0.intermediate.dense.weight")).unwrap();
    assert_eq!(wide.trains, "auxiliary");
}

#[test]
fn a_run_trains_experts_keeps_them_and_tells_of_their_use() {
    let bench = Bench::new();
    for step in [SHARED, "method = \"moe\"\nexperts = 4\nrouter = \"noisy-top2\"\n"] {
        let more = "gauge = 3\nexperts = { balance = 0.1, capacity = 1.0 }\n";
        let recipe = recipe(&bench, step, more);
        let out = if step == SHARED { "shared" } else { "dense" };
        let done = bench.finish(&recipe, out);
        let phase = &done.receipt.record.phases[0];
        let gauge = phase.gauge.as_ref().unwrap();
        assert_eq!(gauge.routers.len(), 2);
        for router in &gauge.routers {
            assert_eq!(router.steps, [1, 2, 3, 4, 5, 6]);
            assert!(router.shares.iter().all(|all| (all.iter().sum::<f64>() - 1.0).abs() < 1e-9));
            assert!(router.balance.iter().all(|balance| *balance > 0.9), "{:?}", router.balance);
        }
        assert!(gauge.routers.iter().any(|router| router.dropped.iter().any(|share| *share > 0.0)));
        assert_eq!(gauge.updates.iter().map(|one| one.step).collect::<Vec<_>>(), [1, 3, 5]);
        assert!(gauge.updates.iter().all(|one| one.layers.len() == 2 && one.layers[1] > 0.0));
        let report = fs::read_to_string(bench.at(out).join("report.html")).unwrap();
        assert!(report.contains("Experts and layers in training") && report.contains("expert 2"));
        let model = Model::load(&bench.at(out).join("model")).unwrap();
        assert_eq!(model.tree.parameters(), done.receipt.record.parameters.after);
        let refused = model.save_dense(&bench.at("plain"));
        assert!(matches!(refused, Err(ModelError::Modules { methods: "moe or mpoe", .. })));
    }
}

#[test]
fn a_run_that_was_stopped_ends_with_the_same_bytes_and_the_same_gauge() {
    let bench = Bench::new();
    let recipe = recipe(&bench, SHARED, "gauge = 2\n");
    let whole = bench.finish(&recipe, "whole");
    for at in 1..6 {
        let out = format!("stopped-{at}");
        let mut steps = 0;
        let stage = bench.stop_at(&recipe, &out, |event| {
            steps +=
                u64::from(matches!(event, Event::Training { event: tenfold_train::Event::Step { .. }, .. }));
            steps == at
        });
        assert_eq!(stage, Some(Stage::Phase(1)), "stopped after {at} steps");
        let done = bench.finish(&recipe, &out);
        assert_eq!(contents(&done.model), contents(&whole.model), "stopped after {at} steps");
        assert_eq!(done.receipt.record.phases[0].gauge, whole.receipt.record.phases[0].gauge);
    }
}

/// A core that no step lets learn keeps its bits; computing layers again changes nothing but memory.
#[test]
fn masks_and_checkpointing_keep_to_their_words() {
    let bench = Bench::new();
    let step = |mask: f64| format!("method = \"mpoe\"\nexperts = 3\ncores = 3\nmask = {mask:?}\n");
    let run = |name: &str, step: &str, more: &str| {
        bench.finish(&recipe(&bench, step, more), name);
        values(&bench, name)
    };
    let (frozen, free) = (run("frozen", &step(1.0), ""), run("free", &step(0.0), ""));
    let start = Model::load(&bench.at("model")).unwrap().tree;
    let method = (registry::find("mpoe").unwrap().build)(&Options::from([
        ("experts", Value::Integer(3)),
        ("cores", Value::Integer(3)),
    ]))
    .unwrap();
    let path = Path::new("encoder.layer.1.output.dense.weight");
    let made = method.changed(&path, start.get(&path).unwrap()).unwrap();
    let mut central = Vec::new();
    made.visit(&LeafId::root(path), &mut |id, leaf| {
        if leaf.role == Role::Central {
            central.push((id, leaf.value.clone()));
        }
    });
    let [(id, value)] = central.as_slice() else { panic!("{} central cores", central.len()) };
    assert_eq!(frozen[id], *value);
    assert_ne!(free[id], *value);
    let again = run("again", &step(0.0), "gradient-checkpointing = true\n");
    for (id, value) in &free {
        for (a, b) in value.data().iter().zip(again[id].data()) {
            assert!((a - b).abs() < 1e-5, "{id}: {a} {b}");
        }
    }
}

/// Two equal experts whose gates add up to 1 are the block that they come from, in encoders, decoders and encoder-decoders, gated or
/// not; and they are saved.
#[test]
fn experts_of_every_architecture_begin_as_the_block_they_come_from() {
    for name in ["tiny_bert", "tiny_gpt2", "tiny_llama", "tiny_t5"] {
        let folder =
            FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../tenfold-model/tests/golden").join(name);
        let model = Model::load(&folder).unwrap();
        let outputs = |tree: &Tree| {
            let batch = Batch::from_sequences(&[vec![2, 5, 6, 7, 3], vec![9, 3, 8], vec![4; 10]]);
            let scope = Scope::evaluate(tree);
            let found = match model.network.is_decoder() {
                true => model.network.logits(&scope, &batch),
                false => model.network.hidden(&scope, &batch),
            };
            (found.unwrap().value().clone(), scope.loads())
        };
        let (before, loads) = outputs(&model.tree);
        assert!(loads.is_empty());
        let options = [("router", Value::Text("top2".to_owned())), ("experts", Value::Integer(3))];
        for method in ["moe", "mpoe"] {
            let method = (registry::find(method).unwrap().build)(&Options::from(options.clone())).unwrap();
            let mut tree = model.tree.clone();
            let mut routers = 0;
            for socket in &model.tree.wiring().sockets {
                let Some(module) = method.module(socket) else { continue };
                routers += 1;
                let fresh = socket.weights(module);
                tree.plug(fresh.iter().map(|one| (one.path.clone(), method.start(one))));
                for path in &socket.experts {
                    tree.insert(path.clone(), method.changed(path, tree.get(path).unwrap()).unwrap());
                }
            }
            let (after, loads) = outputs(&tree);
            assert_eq!((loads.len(), loads.len() > 1), (routers, true), "{name}");
            assert_close(
                name,
                after.data(),
                &widen(before.data()),
                Tolerance { relative: 1e-4, absolute: 1e-4 },
            );
            let dir = tempfile::tempdir().unwrap();
            let expert = model.with_tree(tree.clone());
            expert.save(dir.path(), None).unwrap();
            assert_eq!(outputs(&Model::load(dir.path()).unwrap().tree).0, after, "{name}");
        }
    }
}
