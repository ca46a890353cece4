//! Codes whose scales and shifts train: on a model that is quantized already, into its zero points, and back into a scheme.

use super::bench::Bench;
use std::path::Path as FilePath;
use tenfold_model::Model;
use tenfold_recipe::{Error, Finished, Flow, Plan, Recipe, Runner};
use tenfold_tensor::Codes;
use tenfold_weight::{Path, Tree};

const SELECT: &str = "select = \"encoder.**.{query,key,value,dense}.weight\"\n";
const PHASE: &str = "[[phase]]\nobjective = \"task\"\ntask = \"sst2@1\"\nsteps = 100\nbatch = 16\n";

/// A recipe that begins with what stands in a folder of the bench.
fn recipe(bench: &Bench, from: &str, rest: &str) -> Recipe {
    let text = bench.recipe(rest).to_toml();
    let text = text.replace(&bench.at("model").display().to_string(), &bench.at(from).display().to_string());
    Recipe::parse(FilePath::new("tiny.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
}

fn with_tasks() -> Bench {
    let bench = Bench::new();
    bench.write_tasks();
    bench
}

fn quantized(bench: &Bench, range: &str) -> Finished {
    let rest = format!("[[step]]\nmethod = \"rtn\"\n{SELECT}bits = 4\ngroup = 8\nrange = \"{range}\"\n");
    bench.finish(&recipe(bench, "model", &rest), "codes")
}

/// The codes of every weight that has some, as whole numbers.
fn codes(tree: &Tree) -> Vec<(Path, Codes)> {
    let whole = |(path, form): (&Path, &tenfold_weight::Form)| {
        let own = form.as_codes().map(|codes| codes.apart().unwrap().0);
        own.or_else(|| form.as_grouped().map(|one| one.codes().clone())).map(|codes| (path.clone(), codes))
    };
    tree.iter().filter_map(whole).collect()
}

#[test]
fn an_adapter_becomes_zero_points_and_goes_back_into_codes() {
    let bench = with_tasks();
    let before = Model::load(&quantized(&bench, "symmetric").model).unwrap().tree;
    let rest = format!(
        "[[step]]\nmethod = \"qalora\"\n{SELECT}rank = 2\n{PHASE}train = [\"#down\", \"#up\", \"classifier.**\", \"pooler.**\"]\n\
         optimizer = {{ lr = 0.001, weight-decay = 0.0 }}\n"
    );
    let adapting = recipe(&bench, "codes/model", &rest);
    let headed = Model::load(&bench.at("codes/model")).unwrap().with_head(2, 0).unwrap().tree;
    let plan = Plan::of(&adapting, &headed).unwrap();
    assert!(plan.totals.exact);
    let trains = |row: &&tenfold_recipe::Row| row.trains == "down, up" && row.to.ends_with("low rank 2)");
    assert_eq!(plan.rows.iter().filter(trains).count(), 12);
    let done = bench.finish(&adapting, "adapted");
    let record = &done.receipt.record;
    let phase = &record.phases[0];
    assert!(phase.last_loss < 0.995 * phase.first_loss, "{} to {}", phase.first_loss, phase.last_loss);
    let contraction = phase.contraction.as_ref().unwrap();
    assert_eq!((contraction.weights, contraction.before), (12, plan.totals.parameters_after));
    assert!(contraction.difference < 1e-4, "{contraction:?}");
    let adapted = Model::load(&done.model).unwrap().tree;
    assert_eq!(codes(&adapted), codes(&before));
    assert_eq!(codes(&adapted).len(), 12);
    for (path, _) in codes(&adapted) {
        assert_eq!(adapted.get(&path).unwrap().describe(), "grouped int4-g8-sym-whole (scale; shift)");
    }

    let back = recipe(&bench, "adapted/model", &format!("[[step]]\nmethod = \"affine\"\n{SELECT}"));
    let done = bench.finish(&back, "back");
    let returned = Model::load(&done.model).unwrap().tree;
    assert!(returned.iter().filter(|(_, form)| form.describe().starts_with("quant int4-g8")).count() == 12);
    let measured = &done.receipt.record.weights;
    assert_eq!(measured.len(), 12);
    assert!(measured.iter().all(|one| one.error < 0.2), "half a scale of sixteen levels");
    assert!(measured.iter().any(|one| one.error > 0.0), "what rounding zero points cost is reported");
}

#[test]
fn tuned_scales_are_saved_as_they_are() {
    let bench = with_tasks();
    let before = Model::load(&quantized(&bench, "asymmetric").model).unwrap().tree;
    let rest = format!(
        "[[step]]\nmethod = \"peqa\"\n{SELECT}shifts = true\n{PHASE}train = [\"#scale\", \"#shift\", \"classifier.**\", \"pooler.**\"]\n\
         optimizer = {{ lr = 0.01, weight-decay = 0.0 }}\n"
    );
    let done = bench.finish(&recipe(&bench, "codes/model", &rest), "tuned");
    let phase = &done.receipt.record.phases[0];
    assert!(phase.last_loss < 0.99 * phase.first_loss, "{} to {}", phase.first_loss, phase.last_loss);
    assert!(phase.contraction.is_none());
    let tuned = Model::load(&done.model).unwrap().tree;
    assert_eq!(codes(&tuned), codes(&before));
    assert_eq!(done.receipt.record.bytes.after, tuned.cost().bytes);

    // Shifts that no zero point reaches end the way back before anything is written.
    let far = rest.replace("lr = 0.01", "lr = 3.0").replace("steps = 100", "steps = 3");
    bench.finish(&recipe(&bench, "codes/model", &far), "far");
    let back = recipe(&bench, "far/model", &format!("[[step]]\nmethod = \"affine\"\n{SELECT}"));
    let fault = Runner::new(&back, bench.options("nowhere")).run(&mut |_| Flow::Continue).unwrap_err();
    assert!(matches!(&fault, Error::Method(tenfold_method::Error::Unfit { .. })), "{fault}");
    assert!(!bench.at("nowhere/model").exists());
    // Asked for, they go as far as codes reach, and the report says what that costs.
    let clamped = back.to_toml().replace("method = \"affine\"", "method = \"affine\"\nclamp = true");
    let clamped = Recipe::parse(FilePath::new("tiny.toml"), &clamped).unwrap();
    let done = bench.finish(&clamped, "clamped");
    let clamped = Model::load(&done.model).unwrap().tree;
    let bytes =
        |tree: &Tree| tree.iter().filter_map(|(_, form)| Some(form.as_codes()?.bytes().len())).sum::<usize>();
    assert_eq!(bytes(&clamped), bytes(&before));
    assert!(done.receipt.record.weights.iter().any(|one| one.error > 0.05));
}
