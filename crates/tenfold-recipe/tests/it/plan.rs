//! Plans: published parameter counts, budgets, and what is said of recipes that do not fit a tree.

use std::path::Path as FilePath;
use tenfold_recipe::{Plan, Recipe};
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, Tree};

const HEAD: &str = "name = \"x\"\n[model]\nfrom = \"path:m\"\n";

pub(super) fn tree(weights: &[(&str, &[usize])]) -> Tree {
    weights.iter().map(|(path, shape)| (Path::new(path), Form::dense(Array::zeros(shape)))).collect()
}

fn recipe(text: &str) -> Recipe {
    Recipe::parse(FilePath::new("r.toml"), &format!("{HEAD}{text}")).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn plan(text: &str, tree: &Tree) -> Plan {
    Plan::of(&recipe(text), tree).unwrap_or_else(|error| panic!("{error}"))
}

/// The faults of a recipe against a tree, one a line.
pub(super) fn faults(text: &str, tree: &Tree) -> Vec<String> {
    Plan::of(&recipe(text), tree).unwrap_err().to_string().lines().map(str::to_owned).collect()
}

#[track_caller]
fn check(text: &str, tree: &Tree, expected: &[&str]) {
    let error = Plan::of(&recipe(text), tree).unwrap_err().to_string();
    let got: Vec<&str> = error.lines().collect();
    let fits = |(got, expected): (&&str, &&str)| got.starts_with(&format!("r.toml:{expected}"));
    assert!(
        got.len() == expected.len() && got.iter().zip(expected).all(fits),
        "got {got:#?}\nexpected {expected:#?}"
    );
}

struct Published {
    rows: usize,
    cols: usize,
    row_factors: &'static str,
    col_factors: &'static str,
    full: usize,
    bonds: &'static str,
    /// Parameters under one cap on every bond.
    capped: &'static [(usize, usize)],
}

/// Published shapes, unpadded, with their published factors. Source: MPOP (ACL 2021), appendix and released code.
const PUBLISHED: [Published; 11] = [
    Published {
        rows: 768,
        cols: 768,
        row_factors: "3, 4, 4, 4, 4",
        col_factors: "4, 4, 4, 4, 3",
        full: 663_840,
        bonds: "12-192-192-12",
        capped: &[
            (240, 663_840),
            (192, 663_840),
            (180, 587_808),
            (128, 311_584),
            (64, 90_400),
            (32, 28_960),
            (16, 10_528),
        ],
    },
    Published {
        rows: 768,
        cols: 3072,
        row_factors: "3, 4, 4, 4, 4",
        col_factors: "4, 4, 8, 6, 4",
        full: 2_544_016,
        bonds: "12-192-384-16",
        capped: &[
            (355, 2_354_704),
            (192, 1_290_640),
            (128, 598_416),
            (64, 168_336),
            (32, 51_600),
            (16, 17_808),
        ],
    },
    Published {
        rows: 3072,
        cols: 768,
        row_factors: "4, 4, 8, 6, 4",
        col_factors: "3, 4, 4, 4, 4",
        full: 2_544_016,
        bonds: "12-192-384-16",
        capped: &[],
    },
    Published {
        rows: 30_000,
        cols: 128,
        row_factors: "5, 10, 10, 10, 6",
        col_factors: "2, 2, 4, 4, 2",
        full: 4_110_644,
        bonds: "10-200-480-12",
        capped: &[(448, 3_839_284), (240, 2_075_444), (128, 742_644), (32, 62_964)],
    },
    Published {
        rows: 30_522,
        cols: 768,
        row_factors: "4, 8, 20, 12, 4",
        col_factors: "4, 4, 4, 4, 3",
        full: 24_187_280,
        bonds: "16-512-576-12",
        capped: &[(240, 4_869_520), (128, 1_450_384), (64, 397_712), (32, 117_136)],
    },
    Published {
        rows: 30_522,
        cols: 768,
        row_factors: "6, 8, 10, 8, 8",
        col_factors: "4, 4, 4, 4, 3",
        full: 24_773_760,
        bonds: "24-768-768-24",
        capped: &[],
    },
    Published {
        rows: 1024,
        cols: 1024,
        row_factors: "4, 4, 4, 4, 4",
        col_factors: "4, 4, 4, 4, 4",
        full: 1_180_160,
        bonds: "16-256-256-16",
        capped: &[],
    },
    Published {
        rows: 4096,
        cols: 1024,
        row_factors: "4, 4, 8, 8, 4",
        col_factors: "4, 4, 4, 4, 4",
        full: 4_522_496,
        bonds: "16-256-512-16",
        capped: &[],
    },
    Published {
        rows: 32_128,
        cols: 768,
        row_factors: "8, 8, 8, 8, 8",
        col_factors: "3, 4, 4, 4, 4",
        full: 26_805_824,
        bonds: "24-768-1024-32",
        capped: &[],
    },
    Published {
        rows: 32_128,
        cols: 1024,
        row_factors: "8, 8, 8, 8, 8",
        col_factors: "4, 4, 4, 4, 4",
        full: 35_653_632,
        bonds: "32-1024-1024-32",
        capped: &[],
    },
    Published {
        rows: 50_257,
        cols: 768,
        row_factors: "5, 10, 14, 12, 6",
        col_factors: "4, 4, 4, 4, 3",
        full: 40_094_420,
        bonds: "20-800-864-18",
        capped: &[],
    },
];

#[test]
fn published_counts_are_planned() {
    for case in &PUBLISHED {
        let weight = tree(&[("w", &[case.rows, case.cols])]);
        let step = format!(
            "[[step]]\nmethod = \"mpo\"\nselect = \"w\"\nrows = [{}]\ncols = [{}]\n",
            case.row_factors, case.col_factors
        );
        let full = plan(&step, &weight);
        let row = &full.rows[0];
        assert_eq!((row.parameters_after, row.exact), (case.full, true), "{} x {}", case.rows, case.cols);
        assert_eq!(row.to, format!("mpo 5 cores, bonds {}", case.bonds));
        assert_eq!((row.parameters_before, row.bytes_after), (case.rows * case.cols, 4 * case.full));
        for (cap, parameters) in case.capped {
            let capped = plan(&format!("{step}bond-max = {cap}\n"), &weight);
            assert_eq!(capped.totals.parameters_after, *parameters, "{} x {} at {cap}", case.rows, case.cols);
        }
    }
}

/// Later default lists, one per side. Source: MPOBERT (EMNLP Findings 2023), released configuration.
#[test]
fn counts_by_number_of_cores_are_planned() {
    let weight = tree(&[("w", &[768, 768])]);
    let lists = [
        ("8, 12, 8", 598_016),
        ("4, 4, 4, 4, 3", 676_433),
        ("2, 2, 4, 4, 3, 2, 2", 676_640),
        ("2, 2, 2, 2, 3, 2, 2, 2, 2", 729_632),
    ];
    for (list, parameters) in lists {
        let step = format!("[[step]]\nmethod = \"mpo\"\nselect = \"w\"\nrows = [{list}]\ncols = [{list}]\n");
        assert_eq!(plan(&step, &weight).totals.parameters_after, parameters, "{list}");
    }
}

fn two_layers() -> Tree {
    tree(&[
        ("encoder.0.in.weight", &[48, 16]),
        ("encoder.0.in.bias", &[48]),
        ("encoder.1.in.weight", &[48, 16]),
        ("encoder.1.in.bias", &[48]),
        ("table.weight", &[100, 16]),
    ])
}

#[test]
fn rows_say_what_each_weight_becomes() {
    let text = "[[step]]\nmethod = \"svd\"\nselect = \"encoder.*.in.weight\"\nexcept = \"encoder.1.**\"\nrank = 4\n\
                [[phase]]\nobjective = \"distill\"\nsteps = 5\ntrain = [\"#up\", \"**.bias\"]\n";
    let plan = plan(text, &two_layers());
    let shown: Vec<_> =
        plan.rows.iter().map(|row| (row.path.as_str(), row.to.as_str(), row.trains.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("encoder.0.in.bias", "dense", "all"),
            ("encoder.0.in.weight", "low rank 4", "up"),
            ("encoder.1.in.bias", "dense", "all"),
            ("encoder.1.in.weight", "dense", "nothing"),
            ("table.weight", "dense", "nothing"),
        ]
    );
    let totals = plan.totals;
    assert_eq!((totals.weights, totals.rewritten, totals.exact), (5, 1, true));
    assert_eq!(totals.parameters_before - totals.parameters_after, 48 * 16 - 4 * (48 + 16));
    assert_eq!((plan.rows[1].steps.as_slice(), plan.rows[3].steps.len()), ([1].as_slice(), 0));
}

#[test]
fn steps_on_one_weight_apply_in_order_and_phases_are_told_apart() {
    let text = "[[step]]\nmethod = \"svd\"\nselect = \"**.weight\"\nrank = 4\n\
                [[step]]\nmethod = \"mpo\"\nselect = \"table.weight\"\ncores = 3\n\
                [[phase]]\nobjective = \"distill\"\nsteps = 5\ntrain = \"#auxiliary\"\n\
                [[phase]]\nobjective = \"distill\"\nsteps = 5\n";
    let plan = plan(text, &two_layers());
    let table = plan.rows.last().unwrap();
    assert_eq!(table.steps, [1, 2]);
    assert!(table.to.starts_with("mpo 3 cores"), "{}", table.to);
    assert_eq!(table.trains, "1: auxiliary; 2: all");
}

#[test]
fn selectors_that_match_nothing_say_what_is_near() {
    let text = "[[step]]\nmethod = \"svd\"\nselect = [\"encoder.*.out.weight\", \"tabel.weight\", \"table.weight\"]\n\
                except = \"encoder.**\"\n\
                [[phase]]\nobjective = \"distill\"\nsteps = 5\n";
    check(
        text,
        &two_layers(),
        &[
            "6:11: \"encoder.*.out.weight\" matches nothing; encoder.* holds in",
            "6:35: \"tabel.weight\" matches nothing; did you mean \"table\"?",
            "7:10: \"encoder.**\" matches nothing",
        ],
    );
    let text = "[[step]]\nmethod = \"svd\"\nselect = \"encoder.*.in.weight\"\nexcept = \"**.weight\"\n";
    check(text, &two_layers(), &["7:10: except leaves none of the 2 weights"]);
    let phase = "[[phase]]\nobjective = \"distill\"\nsteps = 5\n";
    let text =
        format!("{phase}train = [\"**\", \"#central\", \"hed.**\"]\n[[phase.group]]\nselect = \"**.bais\"\n");
    check(
        &text,
        &two_layers(),
        &[
            "7:16: \"#central\" matches weights, but none of them has a leaf of role central; they are dense",
            "7:28: \"hed.**\" matches nothing",
            "9:10: \"**.bais\" matches nothing",
        ],
    );
}

#[test]
fn what_is_no_matrix_is_named_once_per_step() {
    let text = "[[step]]\nmethod = \"svd\"\nselect = \"encoder.**\"\n[[step]]\nmethod = \"mpo\"\nselect = [\"**\"]\n";
    check(
        text,
        &two_layers(),
        &[
            "6:10: encoder.0.in.bias has shape [48]; only matrices can be rewritten",
            "9:11: encoder.0.in.bias has shape [48]",
        ],
    );
}

#[test]
fn factors_that_do_not_cover_a_weight_are_refused() {
    let text = "[[step]]\nmethod = \"mpo\"\nselect = \"table.weight\"\nrows = [5, 10]\ncols = [4, 4]\n";
    check(text, &two_layers(), &["6:10: table.weight is 100 x 16, but the factors make 50 x 16"]);
}

#[test]
fn a_budget_is_shared_out_among_steps_without_a_size() {
    let tree = two_layers();
    let before = tree.parameters();
    for method in ["svd", "mpo", "auto"] {
        let text =
            format!("[[step]]\nmethod = \"{method}\"\nselect = \"**.weight\"\n[budget]\nparameters = 0.6\n");
        let plan = plan(&text, &tree);
        let allowed = (0.6 * before as f64) as usize;
        assert_eq!((plan.budget, plan.within_budget()), (Some(allowed), Some(true)), "{method}");
        let share = plan.shares[0].unwrap();
        assert!((0.1..0.7).contains(&share), "{method}: {share}");
        // Forms come in steps of a rank or bond; what is left over is less than one more of them everywhere.
        assert!(
            plan.totals.parameters_after * 10 > allowed * 8,
            "{method}: {}",
            plan.totals.parameters_after
        );
        assert_eq!(plan.totals.exact, method != "auto");
    }
}

#[test]
fn steps_with_a_size_keep_it_and_the_others_get_what_is_left() {
    let text = "[[step]]\nmethod = \"svd\"\nselect = \"table.weight\"\nrank = 2\n\
                [[step]]\nmethod = \"svd\"\nselect = \"encoder.**.weight\"\n[budget]\nparameters = 0.6\n";
    let plan = plan(text, &two_layers());
    assert_eq!((plan.rows[4].to.as_str(), plan.shares[0]), ("low rank 2", None));
    assert_eq!(plan.within_budget(), Some(true));
    // The table is so small now that the other matrices keep as much as low rank can use.
    assert_eq!(plan.shares[1], Some(1.0));
}

#[test]
fn a_budget_that_cannot_be_met_names_the_least() {
    let text = "[[step]]\nmethod = \"svd\"\nselect = \"table.weight\"\n[budget]\nparameters = 0.3\n";
    check(
        text,
        &two_layers(),
        &["5:10: a budget of 969 stored parameters cannot be met: the steps leave at least 1748"],
    );
    // Without a step that could be made smaller, the plan only says so.
    let fixed =
        "[[step]]\nmethod = \"svd\"\nselect = \"table.weight\"\nrank = 9\n[budget]\nparameters = 0.3\n";
    assert_eq!(plan(fixed, &two_layers()).within_budget(), Some(false));
}
