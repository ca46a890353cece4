//! Over-parameterized fine-tuning: selections, what is stored afterwards, and runs that are stopped.

use super::bench::{Bench, contents};
use tenfold_model::Model;
use tenfold_recipe::{Error, Event, Flow, Plan, Recipe, Runner};

const HEAD: &str =
    "[[step]]\nmethod = \"opf\"\nselect = \"encoder.**.{query,key,value,dense}.weight\"\ncores = 3\n";
const PHASE: &str = "[[phase]]\nobjective = \"task\"\ntask = \"sst2@1\"\nsteps = 8\nbatch = 16\n\
optimizer = { lr = 0.003 }\ncheckpoint-every = 3\n";

fn recipe(bench: &Bench, when: &str, grow: &str) -> Recipe {
    let mut recipe = bench.recipe(&format!("{HEAD}when = \"{when}\"\n{PHASE}{grow}\n"));
    recipe.eval.tasks = vec![tenfold_recipe::Task::parse("sst2@1").unwrap()];
    recipe
}

fn with_tasks() -> Bench {
    let bench = Bench::new();
    bench.write_tasks();
    bench
}

#[test]
fn every_matrix_grows_and_the_model_has_its_old_size_again() {
    let bench = with_tasks();
    let done = bench.finish(&recipe(&bench, "start", ""), "out");
    let record = &done.receipt.record;
    assert_eq!(record.parameters.before, record.parameters.after);
    let contraction = record.phases[0].contraction.as_ref().unwrap();
    assert_eq!(contraction.weights, 12);
    assert!(contraction.before > contraction.after && contraction.difference < 1e-4, "{contraction:?}");
    let tree = Model::load(&done.model).unwrap().tree;
    assert!(tree.iter().all(|(_, form)| form.as_array().is_some()));
}

#[test]
fn selections_on_the_way_take_distinct_weights_of_every_kind_in_rounds() {
    let bench = with_tasks();
    for score in ["taylor", "gradient", "fisher", "zero"] {
        let grow = format!("grow = {{ select = \"dynamic\", score = \"{score}\", each = 1, most = 2 }}");
        let done = bench.finish(&recipe(&bench, "selected", &grow), score);
        let grown = done.receipt.record.phases[0].grow.as_ref().unwrap();
        assert_eq!(grown.rounds.iter().map(|round| round.step).collect::<Vec<_>>(), [2, 4], "{score}");
        let mut chosen: Vec<&str> =
            grown.rounds.iter().flat_map(|round| round.chosen.iter().map(|one| one.path.as_str())).collect();
        assert_eq!(chosen.len(), 12);
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen.len(), 12, "{score}: all twelve, each once");
        assert!(grown.rounds[0].parameters < grown.rounds[1].parameters);
        let kinds = |at: usize| grown.rounds[at].chosen.len();
        assert_eq!((kinds(0), kinds(1)), (6, 6), "one of each of the six kinds");
        assert!(grown.rounds.iter().flat_map(|round| &round.chosen).all(|one| one.score > 0.0));
    }
}

#[test]
fn a_selection_beforehand_trains_twice_and_grows_what_mattered() {
    let bench = with_tasks();
    let grow = "grow = { select = \"static\", most = 1, rows = 16 }";
    let done = bench.finish(&recipe(&bench, "selected", grow), "out");
    let phase = &done.receipt.record.phases[0];
    let grown = phase.grow.as_ref().unwrap();
    assert_eq!((grown.scouting, grown.rounds.len(), grown.rounds[0].chosen.len()), (8, 1, 6));
    assert_eq!(phase.steps, 8);
    assert_eq!(phase.contraction.as_ref().unwrap().weights, 6);
    assert_eq!(phase.contraction.as_ref().unwrap().before, grown.rounds[0].parameters);
}

#[test]
fn runs_that_are_stopped_end_with_the_same_bytes() {
    let bench = with_tasks();
    for (name, grow) in [
        ("dynamic", "grow = { select = \"dynamic\", each = 1, most = 2 }"),
        ("static", "grow = { select = \"static\", most = 1, rows = 16 }"),
    ] {
        let recipe = recipe(&bench, "selected", grow);
        let whole = bench.finish(&recipe, &format!("{name}-whole"));
        let mut attempts = 0;
        for limit in (1..).map(|attempt| 4 * attempt) {
            attempts += 1;
            assert!(attempts < 100, "no end in sight");
            let mut seen = 0;
            let stop = |event: &Event| {
                seen += usize::from(matches!(event, Event::Training { .. }));
                seen > limit
            };
            if bench.stop_at(&recipe, name, stop).is_none() {
                break;
            }
        }
        assert_eq!(contents(&bench.at(name).join("model")), contents(&whole.model), "{name}");
        assert!(attempts > 1, "{name} was never stopped");
    }
}

#[test]
fn what_cannot_be_ranked_is_refused_and_odd_settings_are_named() {
    let bench = with_tasks();
    let before = "[[step]]\nmethod = \"svd\"\nselect = \"encoder.layer.0.**.query.weight\"\nrank = 4\n";
    let grow = "grow = { select = \"dynamic\", most = 1 }";
    let text = format!("{before}{HEAD}when = \"selected\"\n{PHASE}{grow}\n");
    let mut faulty = bench.recipe(&text);
    faulty.eval.tasks = vec![tenfold_recipe::Task::parse("sst2@1").unwrap()];
    let error = Runner::new(&faulty, bench.options("faulty")).run(&mut |_| Flow::Continue).unwrap_err();
    assert!(
        matches!(&error, Error::Grow { path, .. } if path.as_str().ends_with("0.attention.self.query.weight")),
        "{error}"
    );

    let model = Model::load(&bench.at("model")).unwrap();
    let notes = |recipe: &Recipe| Plan::of(recipe, &model.tree).unwrap().notes.join("\n");
    assert!(
        notes(&recipe(&bench, "selected", grow)).contains("up to 1 of each kind"),
        "{}",
        notes(&recipe(&bench, "selected", grow))
    );
    assert!(notes(&recipe(&bench, "start", "")).contains("multiplied out again"));
    assert!(notes(&recipe(&bench, "selected", "")).contains("no phase selects"));
    assert!(notes(&recipe(&bench, "start", grow)).contains("no step's method waits"));
}
