//! Masks and calibration: plans, faults, what trains when, and runs that are stopped.

use super::bench::{Bench, contents};
use super::plan::{faults, plan, tree};
use std::collections::BTreeMap;
use tenfold_model::Model;
use tenfold_recipe::receipt::PhaseRecord;
use tenfold_recipe::{Event, Finished, Recipe};
use tenfold_weight::{LeafId, Tree};

const SELECT: &str = "select = \"encoder.**.{query,key,value,dense}.weight\"\n";
const COMPONENTS: &str = "[phase.calibrate.components]\nattention = \"encoder.**.attention.**\"\n\
    ffn = \"encoder.layer.*.{intermediate,output}.**\"\n";
const STEPS: u64 = 12;

/// A light method with what of it goes on after the switch.
struct Light {
    step: &'static str,
    light: &'static str,
}

const LIGHTS: [Light; 3] = [
    Light { step: "method = \"lora\"\nrank = 2\n", light: "[\"#down\", \"#up\", \"classifier.**\"]" },
    Light { step: "method = \"mpop\"\ncores = 3\n", light: "[\"#auxiliary\", \"classifier.**\"]" },
    Light {
        step: "method = \"childtuning\"\nbatches = 3\n",
        light: "[\"encoder.**.{query,key,value,dense}.weight\", \"classifier.**\"]",
    },
];

/// Twelve steps with a probe at every second one, and two probes a vote.
fn text(light: &Light, options: &str, phase: &str) -> String {
    format!(
        "[[step]]\n{}{SELECT}[[step]]\nmethod = \"calisr\"\n{SELECT}{options}\
         [[phase]]\nobjective = \"task\"\ntask = \"sst2@1\"\nsteps = {STEPS}\nbatch = 16\ncheckpoint-every = 2\n\
         optimizer = {{ lr = 0.01, weight-decay = 0.1 }}\nschedule = {{ warmup = 0, decay = \"constant\" }}\n{phase}",
        light.step
    )
}

const PROBES: &str = "probe-interval = 2\nwindow = 2\n";

fn calibrate(light: &Light, components: &str) -> String {
    format!("[phase.calibrate]\nlight = {}\n{components}", light.light)
}

fn with_tasks() -> Bench {
    let bench = Bench::new();
    bench.write_tasks();
    bench
}

fn recipe(bench: &Bench, text: &str) -> Recipe {
    let mut recipe = bench.recipe(text);
    recipe.eval.tasks = vec![tenfold_recipe::Task::parse("sst2@1").unwrap()];
    recipe
}

fn ran(bench: &Bench, text: &str, out: &str) -> (Tree, PhaseRecord) {
    let done: Finished = bench.finish(&recipe(bench, text), out);
    (Model::load(&done.model).unwrap().tree, done.receipt.record.phases[0].clone())
}

fn bits(tree: &Tree) -> BTreeMap<LeafId, Vec<u32>> {
    let of = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    tree.values().into_iter().map(|(id, array)| (id, of(array.data()))).collect()
}

/// The spec's property 36: with a threshold that never fires, probing is full fine-tuning, to the bit.
#[test]
fn probes_without_a_switch_change_no_bit() {
    let bench = with_tasks();
    for (at, light) in LIGHTS.iter().enumerate() {
        let run = |options: &str, components: &str, name: &str| {
            let text = text(light, options, &calibrate(light, components));
            ran(&bench, &text, &format!("{name}-{at}"))
        };
        let (never, record) = run(&format!("{PROBES}delta = 1.0\n"), "", "never");
        // No probe at all: full fine-tuning.
        let (plain, nothing) = run("probe-interval = 1000\n", "", "plain");
        assert_eq!(bits(&never), bits(&plain), "{}", light.step);
        let (parts, parted) =
            run(&format!("{PROBES}delta = 1.0\nspectral-norm = \"exact\"\n"), COMPONENTS, "parts");
        assert_eq!(bits(&parts), bits(&plain), "{}", light.step);
        let seen = record.calibrate.unwrap();
        assert_eq!((seen.components.len(), seen.components[0].switched), (1, None));
        assert_eq!(seen.components[0].steps, [1, 3, 5, 7, 9, 11]);
        assert_eq!(seen.components[0].votes.iter().map(|vote| vote.step).collect::<Vec<_>>(), [3, 7, 11]);
        assert_eq!(seen.trained_at_end, never.parameters());
        assert!(nothing.calibrate.unwrap().components[0].steps.is_empty());
        // Iterations and decompositions agree, and sums over components are sums.
        let parted = parted.calibrate.unwrap().components;
        assert_eq!(parted.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["attention", "ffn"]);
        for probe in 0..6 {
            let sum: f64 = parted.iter().map(|one| one.light[probe]).sum();
            assert!((sum - seen.components[0].light[probe]).abs() < 1e-5 * sum, "{sum}");
        }
    }
}

/// The spec's property 37: after the switch the rest keeps its bits, and as much trains as under the light method alone.
#[test]
fn after_the_switch_what_is_not_light_keeps_its_bits() {
    let bench = with_tasks();
    for (at, light) in LIGHTS.iter().enumerate() {
        let run = |steps: u64, name: &str| {
            let text = text(light, &format!("{PROBES}delta = -1.0\n"), &calibrate(light, ""));
            ran(&bench, &text.replace("steps = 12", &format!("steps = {steps}")), &format!("{name}-{at}"))
        };
        // The first vote comes at the fourth step, whatever it says.
        let ((short, _), (long, record)) = (run(4, "short"), run(STEPS, "long"));
        let seen = record.calibrate.unwrap();
        assert_eq!(seen.components[0].switched, Some(3));
        let mut moved = 0;
        for ((id, before), after) in bits(&short).into_iter().zip(bits(&long).into_values()) {
            let count = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            let goes_on = light.light.contains("#") && !id.inner.is_empty()
                || id.path.as_str().contains("classifier")
                || light.step.contains("childtuning") && id.path.as_str().starts_with("encoder");
            assert!(goes_on || count == 0, "{id}");
            moved += count;
        }
        assert!(moved > 0 && moved <= seen.trained_at_end, "{moved} of {}", seen.trained_at_end);
        let alone = format!(
            "[[step]]\n{}{SELECT}[[phase]]\nobjective = \"task\"\ntask = \"sst2@1\"\nsteps = 2\ntrain = {}\n",
            light.step, light.light
        );
        assert_eq!(
            ran(&bench, &alone, &format!("alone-{at}")).1.trained,
            seen.trained_at_end,
            "{}",
            light.step
        );
    }
}

#[test]
fn one_component_is_the_dynamic_variant_and_several_switch_by_themselves() {
    let bench = with_tasks();
    let light = &LIGHTS[0];
    let options = format!("{PROBES}delta = 0.4\n");
    let run = |components: &str, name: &str| {
        ran(&bench, &text(light, &options, &calibrate(light, components)), name)
    };
    let ((dynamic, one), (structured, other)) =
        (run("", "dynamic"), run("[phase.calibrate.components]\nall = \"**\"\n", "structured"));
    assert_eq!(bits(&dynamic), bits(&structured));
    assert_eq!(one.calibrate, other.calibrate);
    let (_, record) = run(COMPONENTS, "several");
    for component in record.calibrate.unwrap().components {
        let first = component.votes.iter().find(|vote| vote.share > 0.4).map(|vote| vote.step);
        assert_eq!(component.switched, first, "{component:?}");
        // Light and whole sums are one after the switch.
        for (at, step) in component.steps.iter().enumerate() {
            if component.switched.is_some_and(|switch| *step > switch) {
                assert_eq!(component.light[at], component.full[at]);
            }
        }
    }
}

/// Killed or stopped, before or after the switch: votes, vectors, masks and moments are in the checkpoint.
#[test]
fn a_stopped_run_ends_with_the_same_bytes_and_the_same_votes() {
    let bench = with_tasks();
    for (at, light) in LIGHTS.iter().enumerate() {
        let text = text(light, &format!("{PROBES}delta = 0.2\n"), &calibrate(light, COMPONENTS));
        let recipe = recipe(&bench, &text);
        let whole = bench.finish(&recipe, &format!("whole-{at}"));
        let out = format!("often-{at}");
        let mut attempts = 0;
        for limit in [9, 7, 5, 4, 6, 5, 4].into_iter().chain([100]) {
            let mut seen = 0;
            let attempt = || {
                bench.stop_at(&recipe, &out, |event| {
                    seen += usize::from(matches!(event, Event::Training { .. } | Event::Progress { .. }));
                    // Alternately asked to stop, which writes a checkpoint, and killed, which leaves the last one.
                    if seen > limit && limit % 2 == 0 {
                        std::panic::resume_unwind(Box::new("killed"));
                    }
                    seen > limit && matches!(event, Event::Training { .. })
                })
            };
            attempts += 1;
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt))
                .is_ok_and(|stage| stage.is_none())
            {
                break;
            }
        }
        let done = bench.finish(&recipe, &out);
        assert!(attempts > 2, "{attempts}");
        assert_eq!(contents(&done.model), contents(&whole.model), "{}", light.step);
        assert_eq!(done.receipt.record.phases, whole.receipt.record.phases, "{}", light.step);
    }
}

/// ChildTuning-D: the share is met over all weights together; every other entry keeps its bits, decay or not.
#[test]
fn a_fisher_mask_keeps_every_other_entry() {
    let bench = with_tasks();
    let phase = "[[phase]]\nobjective = \"task\"\ntask = \"sst2@1\"\nsteps = 5\nbatch = 16\n\
                 optimizer = { lr = 0.01, weight-decay = 0.1 }\ntrain = \"encoder.**.weight\"\n";
    let step = format!("[[step]]\nmethod = \"childtuning\"\ntrained-share = 0.25\n{SELECT}");
    let untrained = Model::load(&bench.at("model")).unwrap().tree;
    let changed = |text: &str, name: &str| {
        let (tree, record) = ran(&bench, text, name);
        let mut counts: BTreeMap<bool, (usize, usize)> = BTreeMap::new();
        for (path, form) in untrained.iter() {
            let (old, new) = (form.as_array().unwrap(), tree.get(path).unwrap().as_array().unwrap());
            let count = old.data().iter().zip(new.data()).filter(|(a, b)| a != b).count();
            let of =
                counts.entry(path.as_str().starts_with("encoder") && old.shape().len() == 2).or_default();
            *of = (of.0 + count, of.1 + old.len());
        }
        (counts[&true], record.trained)
    };
    let ((count, all), trained) = changed(&format!("{step}{phase}"), "fisher");
    assert!(count <= all / 4 && count > all / 5, "{count} of {all}");
    // The norms train in full beside them.
    assert_eq!(trained, all / 4 + 2 * 2 * 16);
    let random = step.replace("trained-share", "mask = \"random\"\ntrained-share");
    let ((count, all), _) = changed(&format!("{random}{phase}"), "random");
    assert!(count > all / 2, "{count} of {all}");
}

#[test]
fn masks_work_in_a_phase_that_distills() {
    let bench = Bench::new();
    let text = format!(
        "[[step]]\nmethod = \"childtuning\"\ntrained-share = 0.5\n{SELECT}[[step]]\nmethod = \"calisr\"\n{SELECT}{PROBES}\
         delta = -1.0\n[[phase]]\nobjective = \"distill\"\nsteps = 6\ntokens = 64\ntext = \"path:TRAIN\"\ncalibrate = {{}}\n"
    );
    let done = bench.finish(&bench.recipe(&text), "out");
    let seen = done.receipt.record.phases[0].calibrate.clone().unwrap();
    assert_eq!(seen.components[0].switched, Some(3));
    let page = std::fs::read_to_string(&done.report_path).unwrap();
    assert!(page.contains("From full to light") && page.contains("went light after step 3"));
    // The receipt gives back what the run recorded, and its recipe what was asked for.
    let read = tenfold_recipe::Receipt::read(&done.receipt_path).unwrap();
    assert_eq!(read, done.receipt);
}

fn toy() -> Tree {
    tree(&[("a.weight", &[24, 24]), ("b.weight", &[24, 24]), ("b.bias", &[24])])
}

const PHASE: &str = "[[phase]]\nobjective = \"task\"\ntask = \"mrpc@1\"\nsteps = 90\n";

fn stepped(steps: &str, phase: &str) -> String {
    format!("{steps}{PHASE}{phase}\n")
}

const LORA: &str = "[[step]]\nmethod = \"lora\"\nselect = \"*.weight\"\nrank = 2\n";
const CALISR: &str = "[[step]]\nmethod = \"calisr\"\nselect = \"*.weight\"\n";

#[test]
fn plans_say_what_trains_before_and_after_the_switch() {
    let plan = plan(&stepped(&format!("{LORA}{CALISR}"), "calibrate = {}"), &toy());
    let row = |path: &str| plan.rows.iter().find(|row| row.path == path).unwrap().clone();
    assert_eq!(row("a.weight").trains, "all, then down, up");
    assert_eq!(row("a.weight").to, "dense + low rank 2");
    assert_eq!(row("a.weight").steps, [1, 2]);
    assert_eq!(row("b.bias").trains, "all");
    assert_eq!(plan.totals.trainable, plan.totals.parameters_after);
    assert!(plan.notes.len() == 1 && plan.notes[0].contains("a probe every 25 steps"), "{:?}", plan.notes);
    let some = super::plan::plan(
        &stepped("[[step]]\nmethod = \"childtuning\"\nselect = \"*.weight\"\n", "train = \"*.weight\""),
        &toy(),
    );
    assert_eq!(some.rows[0].trains, "some entries");
    assert_eq!(some.totals.trainable, 2 * 173);
}

#[test]
fn thresholds_and_intervals_that_never_fire_are_noted() {
    let notes = |options: &str, phase: &str| {
        plan(&stepped(&format!("{LORA}{CALISR}{options}"), phase), &toy()).notes.join("\n")
    };
    assert!(notes("delta = 1.0\n", "calibrate = {}").contains("delta of 1, so the switch never comes"));
    assert!(notes("delta = -0.5\n", "calibrate = {}").contains("at the first vote"));
    assert!(notes("window = 5\n", "calibrate = {}").contains("after 125 steps of 90"));
    assert!(notes("", "").contains("train as lora says from the start"));
}

#[test]
fn what_cannot_be_calibrated_is_refused_by_name() {
    let calibrate = "calibrate = {}";
    let both = format!("{LORA}{CALISR}");
    for (steps, phase, said) in [
        (CALISR.to_owned(), calibrate, "there is none for this weight"),
        (LORA.to_owned(), calibrate, "no step has a method that does"),
        (
            format!("[[step]]\nmethod = \"svd\"\nselect = \"*.weight\"\nrank = 2\n{CALISR}"),
            calibrate,
            "svd trains this weight in full",
        ),
        (
            format!("[[step]]\nmethod = \"childtuning\"\nselect = \"*.weight\"\nmask = \"random\"\n{CALISR}"),
            calibrate,
            "cannot be probed",
        ),
        (
            format!("{both}[[step]]\nmethod = \"calisr\"\nselect = \"a.weight\"\ndelta = 0.1\n"),
            calibrate,
            "must agree",
        ),
        (both.clone(), "calibrate = { components = { one = \"a.**\" } }", "b.weight belongs to no component"),
        (
            both.clone(),
            "calibrate = { components = { one = \"*.weight\", two = \"b.*\" } }",
            "component \"two\" holds no weight that is calibrated; those it selects belong",
        ),
        (
            both.clone(),
            "calibrate = { components = { one = \"**\", two = \"b.bias\" } }",
            "\"two\" holds no weight",
        ),
        (both.clone(), "calibrate = { components = { one = \"c.**\" } }", "matches nothing"),
        (both.clone(), "calibrate = { light = \"c.**\" }", "matches nothing"),
        (both.clone(), "train = \"*.weight\"\ncalibrate = { light = \"b.bias\" }", "after its switch"),
        (LORA.to_owned(), "train = \"*.weight#value\"", "nothing trains in phase 1"),
        (
            "[[step]]\nmethod = \"childtuning\"\nselect = \"*.weight\"\n".to_owned(),
            "squeeze = { to = 0.5 }",
            "learns in some of its entries",
        ),
    ] {
        let found = faults(&stepped(&steps, phase), &toy());
        assert!(found.iter().any(|fault| fault.contains(said)), "{said}: {found:?}");
    }
}

#[test]
fn a_calibrating_phase_survives_its_own_text() {
    let text = "name = \"a\"\n[model]\nfrom = \"path:x\"\n".to_owned()
        + &stepped(
            &format!("{LORA}{CALISR}"),
            "calibrate = { light = [\"#up\", \"#down\"], components = { b-part = \"b.*\", a = [\"a.*\", \"c.*\"] } }",
        );
    let parse = |text: &str| {
        Recipe::parse(std::path::Path::new("a.toml"), text).unwrap_or_else(|error| panic!("{error}"))
    };
    let once = parse(&text).to_toml();
    assert_eq!(parse(&once).to_toml(), once);
    assert!(once.contains("b-part") && once.contains("#up"), "{once}");
    let both = text.replace("calibrate =", "squeeze = { to = 0.5 }\ncalibrate =");
    let error = Recipe::parse(std::path::Path::new("a.toml"), &both).unwrap_err().to_string();
    assert!(error.contains("squeeze and calibrate exclude each other"), "{error}");
}
