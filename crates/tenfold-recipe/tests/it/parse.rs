//! Faults of recipes: all of them at once, each at its line and column.

use std::fs;
use std::path::Path;
use tenfold_recipe::{Error, OptimizerKind, Problem, Recipe, default};

/// What every case begins with: three lines without faults.
const SOUND: &str = "name = \"x\"\n[model]\nfrom = \"path:m\"\n";

fn faults(text: &str) -> Vec<String> {
    match Recipe::parse(Path::new("r.toml"), text) {
        Ok(_) => Vec::new(),
        Err(error @ Error::Recipe { .. }) => error.to_string().lines().map(str::to_owned).collect(),
        Err(other) => panic!("{other}"),
    }
}

/// Each expectation is `line:column: beginning of the message`.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let got = faults(text);
    let fits = |(got, expected): (&String, &&str)| got.starts_with(&format!("r.toml:{expected}"));
    assert!(
        got.len() == expected.len() && got.iter().zip(expected).all(fits),
        "got {got:#?}\nexpected {expected:#?}\nin\n{text}"
    );
}

#[track_caller]
fn check_after_sound(text: &str, expected: &[&str]) {
    check(&format!("{SOUND}{text}"), expected);
}

#[test]
fn nothing_at_all() {
    check(
        "",
        &[
            "1:1: the recipe needs the key \"name\"",
            "1:1: the recipe needs the key \"model\": a table [model]",
        ],
    );
}

#[test]
fn what_is_no_toml() {
    check(
        "name = \"x\n[model\nfrom = \n",
        &["1:10: not valid TOML: invalid basic string", "2:7: not valid TOML: unclosed table"],
    );
    check("name = \"x\"\nname = \"y\"\n", &["2:1: not valid TOML: duplicate key"]);
}

#[test]
fn top_level() {
    check(
        "name = 3\nsed = 4\n[model]\n[calibration]\ntokens = 0\n",
        &[
            "1:8: name is a whole number; expected a text",
            "2:1: the recipe has no key \"sed\"; did you mean \"seed\"?; its keys are name, seed, model, calibration, step, \
         phase, variant, eval, budget",
            "3:1: [model] needs the key \"from\"",
            "5:10: tokens is 0; expected a whole number from 1 to 4294967296",
        ],
    );
    check(
        "name = \"a b\"\nseed = -1\nmodel = 3\n",
        &[
            "1:8: name is \"a b\"; expected 1 to 100 letters",
            "2:8: seed is -1; expected a whole number from 0 to 9223372036854775807",
            "3:9: model is a whole number; expected a table [model]",
        ],
    );
    check("name = \"..\"\nmodel = { from = \"path:m\" }", &["1:8: name is \"..\""]);
}

#[test]
fn sources() {
    check(
        "name = \"x\"\n[model]\nfrom = [\"hf:bad\", \"path:good\", 4,\n  \"zz:top\"]\n",
        &["3:9: ", "3:32: from is a whole number; expected a text", "4:3: "],
    );
    check("name = \"x\"\n[model]\nfrom = []\n", &["3:8: from is empty; expected at least one text"]);
}

#[test]
fn steps() {
    check_after_sound(
        "[[step]]\nmethod = \"outo\"\nselect = \"a..b\"\n[[step]]\nselect = [\"a#up\", \"{\"]\n",
        &[
            "5:10: unknown method \"outo\", did you mean \"auto\"?",
            "6:10: selector \"a..b\": empty segment",
            "7:1: [[step]] needs the key \"method\"",
            "8:11: \"a#up\" names a role",
            "8:19: selector \"{\": unbalanced {",
        ],
    );
    check_after_sound("step = 3\n", &["4:1: [model] has no key \"step\""]);
    check(
        "name = \"x\"\nstep = 3\nmodel = { from = \"path:m\" }\n",
        &["2:8: step is a whole number; expected a list of tables [[step]]"],
    );
}

#[test]
fn selectors_have_a_length() {
    let long = "{a}".repeat(default::SELECTOR_LIMIT);
    check_after_sound(
        &format!("[[step]]\nmethod = \"svd\"\nselect = \"{long}\"\n"),
        &["6:10: select is 3000 bytes long; expected a selector of at most 1000 bytes"],
    );
}

#[test]
fn options_of_methods() {
    let step = "[[step]]\nmethod = \"mpo\"\nselect = \"a\"\n";
    check_after_sound(
        &format!("{step}bondmax = 3\nshare = 1.5\nrows = [2, 2.5]\nexcept = 3\ngauge = \"odd\"\n"),
        &[
            "7:1: method mpo has no option \"bondmax\"; did you mean \"bond-max\"?",
            "8:9: option share of method mpo is 1.5; expected a number above 0 and at most 1",
            "9:8: rows is a list; expected a list of whole numbers, each at least 1",
            "10:10: except is a whole number; expected a text or a list of texts",
            "11:9: option gauge of method mpo is \"odd\"; expected one of sequential, symmetric",
        ],
    );
    check_after_sound(
        &format!("{step}bond-max = 3\nshare = 0.5\n"),
        &["8:9: method mpo takes bond-max or share, not both"],
    );
    check_after_sound(&format!("{step}rows = [2, 2]\n"), &["7:8: option rows of method mpo is"]);
}

#[test]
fn phases() {
    check_after_sound(
        "[[phase]]\nobjective = \"destil\"\noptimizer = { kind = \"sgd\", lr = 0, beta1 = 1.0, betta2 = 1 }\n\
         schedule = { warmup = 5, decay = \"linnear\" }\nsteps = 3\nclip = nan\ntrain = [\"#upp\"]\n\
         [[phase.group]]\nrate = 2\n",
        &[
            "5:13: unknown objective \"destil\"; did you mean \"distill\"?",
            "6:22: unknown optimizer \"sgd\"; known are adamw, lamb",
            "6:34: lr is 0; expected a number above 0",
            "6:45: beta1 is 1; expected a number from 0 to below 1",
            "6:50: optimizer has no key \"betta2\"; did you mean \"beta2\"?",
            "7:23: warmup is 5; expected a whole number from 0 to 3",
            "7:34: unknown decay \"linnear\"; did you mean \"linear\"?",
            "9:8: clip is NaN; expected a number of at least 0",
            "10:10: selector \"#upp\": unknown role",
            "11:1: [[phase.group]] needs the key \"select\"",
        ],
    );
    check_after_sound(
        "[[phase]]\n",
        &["4:1: [[phase]] needs the key \"objective\"", "4:1: [[phase]] needs the key \"steps\""],
    );
}

#[test]
fn optimizers_have_keys_of_their_own() {
    let phase = "[[phase]]\nobjective = \"distill\"\nsteps = 3\n";
    check_after_sound(
        &format!("{phase}optimizer = {{ kind = \"lamb\", most-norm = 1.0, least-norm = 2.0 }}\n"),
        &["7:42: most-norm is 1; expected a number above 0 and at most 1e6, not below least-norm"],
    );
    check_after_sound(
        &format!("{phase}optimizer = {{ kind = \"adamw\", most-norm = 1.0 }}\n"),
        &["7:31: optimizer has no key \"most-norm\""],
    );
    let sound =
        format!("{SOUND}{phase}optimizer = {{ kind = \"lamb\", bias-correction = false, most-norm = 3 }}\n");
    let recipe = Recipe::parse(Path::new("r.toml"), &sound).unwrap();
    let optimizer = recipe.phases[0].optimizer;
    let expected = OptimizerKind::Lamb { bias_correction: false, least_norm: 0.0, most_norm: 3.0 };
    assert_eq!((optimizer.kind, optimizer.eps), (expected, 1e-6));
    let again = Recipe::parse(Path::new("r.toml"), &recipe.to_toml()).unwrap();
    assert_eq!((again.phases[0].optimizer, again.to_toml()), (optimizer, recipe.to_toml()));
}

#[test]
fn evaluation_and_budget() {
    check_after_sound(
        "[eval]\ntasks = [\"stsb\", \"fidelity@1\"]\ntext = \"shiped\"\n[budget]\nparameter = 0.7\n[extra]\n",
        &[
            "5:10: unknown task \"stsb\"; did you mean \"stsb@1\"?; known are fidelity@1, masked@1, cola@1",
            "6:8: text is \"shiped\"; expected",
            "7:1: [budget] needs the key \"parameters\"",
            "8:1: [budget] has no key \"parameter\"; did you mean \"parameters\"?",
            "9:2: the recipe has no key \"extra\"",
        ],
    );
    check_after_sound("[budget]\nparameters = 0\n", &["5:14: parameters is 0; expected a share"]);
}

#[test]
fn columns_count_characters() {
    check(
        "name = \"x\"\nmodel = { \"\u{e4}\u{f6}\" = 1, form = 2 }\n",
        &[
            "2:9: [model] needs the key \"from\"",
            "2:11: [model] has no key \"\u{e4}\u{f6}\"",
            "2:21: [model] has no key \"form\"; did you mean \"from\"?",
        ],
    );
}

#[test]
fn a_fault_holds_its_place_and_kind() {
    let Err(Error::Recipe { path, faults }) = Recipe::parse(Path::new("r.toml"), "name = \"x\"\n") else {
        panic!()
    };
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!((path.as_path(), fault.line, fault.column), (Path::new("r.toml"), 1, 1));
    assert!(matches!(fault.problem, Problem::MissingKey { key: "model", .. }));
}

#[test]
fn the_smallest_recipe_gets_every_default() {
    let recipe = Recipe::parse(Path::new("r.toml"), SOUND).unwrap();
    assert_eq!((recipe.seed, recipe.calibration.tokens), (default::SEED, default::CALIBRATION_TOKENS));
    assert!(recipe.steps.is_empty() && recipe.phases.is_empty() && recipe.budget.is_none());
    assert_eq!(recipe.eval.tasks.iter().map(|task| task.name()).collect::<Vec<_>>(), default::TASKS);
}

#[test]
fn files_that_cannot_be_read_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.toml");
    assert!(matches!(Recipe::read(&path), Err(Error::Read { path: p, .. }) if p == path));
    fs::write(&path, b"name = \"\xff\"").unwrap();
    assert!(matches!(Recipe::read(&path), Err(Error::NotUtf8 { offset: 8, .. })));
    fs::File::create(&path).unwrap().set_len(default::RECIPE_LIMIT + 1).unwrap();
    assert!(matches!(Recipe::read(&path), Err(Error::TooLarge { .. })));
}

mod any_text {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the bytes, a recipe or faults inside the text; never a panic.
        #[test]
        fn gives_a_recipe_or_faults(text in "[ -~\n\u{e4}]{0,200}") {
            if let Err(Error::Recipe { faults, .. }) = Recipe::parse(Path::new("r.toml"), &text) {
                prop_assert!(!faults.is_empty());
                let lines = text.split('\n').count();
                prop_assert!(faults.iter().all(|fault| (1..=lines).contains(&fault.line) && fault.column >= 1));
            }
        }

        /// The same with pieces of recipes, which get past the first table.
        #[test]
        fn of_pieces_too(pieces in prop::collection::vec(prop::sample::select(vec![
            "name = \"x\"\n", "[model]\n", "from = \"path:m\"\n", "[[step]]\n", "method = \"mpo\"\n", "select = \"a.*\"\n",
            "bond-max = 3\n", "share = 0.5\n", "rows = [2]\n", "[[phase]]\n", "steps = 1\n", "objective = \"distill\"\n",
            "optimizer = { lr = 1 }\n", "[eval]\n", "tasks = \"stsb@1\"\n", "[budget]\n", "parameters = 0.5\n",
            "[[phase.group]]\n", "seed = 99999999999999999999\n", "clip = 1e999\n", "[receipt.hashes]\n", "a = \"b\"\n",
        ]), 0..14)) {
            let text = pieces.concat();
            if let Ok(recipe) = Recipe::parse(Path::new("r.toml"), &text) {
                let written = recipe.to_toml();
                let again = Recipe::parse(Path::new("r.toml"), &written).unwrap();
                prop_assert_eq!(written, again.to_toml());
            }
        }
    }
}

#[test]
fn a_phase_may_compute_layers_again() {
    let phase = "[[phase]]\nobjective = \"distill\"\nsteps = 1\n";
    let of = |text: &str| Recipe::parse(Path::new("r.toml"), &format!("{SOUND}{phase}{text}")).unwrap();
    for (text, yes) in [("", false), ("gradient-checkpointing = true\n", true)] {
        let recipe = of(text);
        assert_eq!(recipe.phases[0].gradient_checkpointing, yes);
        let again = Recipe::parse(Path::new("r.toml"), &recipe.to_toml()).unwrap();
        assert_eq!(again.phases[0].gradient_checkpointing, yes);
    }
    check_after_sound(
        &format!("{phase}gradient-checkpointing = 1\n"),
        &["7:26: gradient-checkpointing is a whole number; expected true or false"],
    );
}

#[test]
fn a_phase_has_a_precision() {
    let phase = "[[phase]]\nobjective = \"distill\"\nsteps = 1\n";
    let of = |text: &str| Recipe::parse(Path::new("r.toml"), &format!("{SOUND}{phase}{text}")).unwrap();
    for (text, word) in
        [("", "f32"), ("precision = \"bf16\"\n", "bf16"), ("precision = \"bf16x3\"\n", "bf16x3")]
    {
        let recipe = of(text);
        assert_eq!(recipe.phases[0].precision.word(), word);
        // What the receipt keeps says it, and reads back as the same.
        assert_eq!(
            Recipe::parse(Path::new("r.toml"), &recipe.to_toml()).unwrap().phases[0].precision.word(),
            word
        );
    }
    check_after_sound(
        &format!("{phase}precision = \"bf61\"\n"),
        &["7:13: unknown precision \"bf61\"; did you mean \"bf16\"?"],
    );
}

#[test]
fn growing() {
    let phase = "[[phase]]\nobjective = \"task\"\ntask = \"mrpc@1\"\nsteps = 3\n";
    check_after_sound(
        &format!("{phase}squeeze = {{ to = 0.5 }}\ngrow = {{ select = \"dynamic\", most = 2 }}\n"),
        &["9:8: squeeze and grow exclude each other"],
    );
    check_after_sound(
        &format!("{phase}grow = {{ select = \"later\", score = \"luck\", until = 2.0, each = 0 }}\n"),
        &[
            "8:8: grow needs the key \"most\"",
            "8:19: unknown selection \"later\"",
            "8:36: unknown score \"luck\"",
            "8:52: until is 2",
            "8:64: each is 0",
        ],
    );
}

#[test]
fn depths() {
    let model = |keys: &str| format!("name = \"x\"\n[model]\nfrom = \"path:m\"\n{keys}");
    check(&model("layers = 0\n"), &["4:10: layers is 0; expected a whole number from 1 to"]);
    check(
        &model("layers = 4\ncopies = \"stacks\"\n"),
        &["5:10: unknown order of copies \"stacks\"; did you mean \"stack\"?; known are stack, spread, last"],
    );
    check(&model("copies = \"last\"\n"), &["2:1: [model] needs the key \"layers\""]);
    let read = |keys: &str| Recipe::parse(Path::new("r.toml"), &model(keys)).unwrap();
    let deep = read("layers = 24\ncopies = \"spread\"\n");
    assert_eq!(Recipe::parse(Path::new("r.toml"), &deep.to_toml()).unwrap().to_toml(), deep.to_toml());
    assert_eq!(read("layers = 24\n").depth.map(|depth| depth.copies), Some(default::COPIES));
}
