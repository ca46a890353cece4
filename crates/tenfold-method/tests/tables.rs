//! Codes whose scales and shifts train: what tables stand for, how a product merges into them, and the way back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::Arc;
use tenfold_method::{Error, Evidence, Method, Options, Planned, Training, Value, registry};
use tenfold_tensor::{Activation, Array, Codes, Scheme, Unfit, Var, op};
use tenfold_testkit::random;
use tenfold_testkit::tolerance::widen;
use tenfold_weight::{Form, LeafId, Path, Role, Scope, Tree, dense_values};

const ROWS: usize = 12;
const COLS: usize = 64;
const GROUP: usize = 16;
const GROUPS: usize = COLS / GROUP;

fn path() -> Path {
    Path::new("layer.weight")
}

fn built(method: &str, options: &[(&str, Value)]) -> Arc<dyn Method> {
    let options = Options(options.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect());
    (registry::find(method).unwrap().build)(&options).unwrap()
}

fn rewritten(method: &str, options: &[(&str, Value)], form: &Form) -> Form {
    let method = built(method, options);
    let fresh = method.rewrite(&path(), form, &Evidence::none()).unwrap();
    assert_eq!(method.plan(&path(), form).unwrap(), Planned::kept(&path(), &fresh), "the plan");
    fresh
}

fn text(word: &str) -> Value {
    Value::Text(word.to_owned())
}

fn coded(bits: i64, range: &str) -> Form {
    let options = [
        ("bits", Value::Integer(bits)),
        ("group", Value::Integer(GROUP as i64)),
        ("range", text(range)),
        ("clip", Value::Flag(true)),
    ];
    rewritten("rtn", &options, &Form::dense(random::array("weight", &[ROWS, COLS])))
}

fn values(form: &Form) -> Array {
    let tree: Tree = [(path(), form.clone())].into_iter().collect();
    dense_values(&tree, &path()).unwrap()
}

fn tables(form: &Form) -> (Codes, Vec<f64>, Vec<f64>) {
    let grouped = form.as_grouped().unwrap();
    let shift = grouped.shift().map_or_else(|| vec![0.0; ROWS * GROUPS], |shift| widen(values(shift).data()));
    (grouped.codes().clone(), widen(values(grouped.scale()).data()), shift)
}

/// Trains what a method lets train, towards targets of its own.
fn train(method: &Arc<dyn Method>, form: &Form, steps: usize, rate: f32) -> Form {
    let mut tree: Tree = [(path(), form.clone())].into_iter().collect();
    let trains: BTreeSet<LeafId> = tree
        .leaves()
        .into_iter()
        .filter(|leaf| matches!(method.schedule(0, &path(), leaf.role), Training::Trains(_)))
        .map(|leaf| leaf.id)
        .collect();
    let x = Var::constant(random::array("x", &[7, COLS]));
    for _ in 0..steps {
        let scope = Scope::train(&tree, &trains);
        let y = scope.linear("layer", &x, Activation::Identity).unwrap();
        let gradients = scope.backward(&op::mse(&y, &random::array("targets", &[7, ROWS]))).unwrap();
        assert_eq!(gradients.keys().cloned().collect::<BTreeSet<_>>(), trains);
        tree.visit_mut(|id, leaf| {
            let Some(gradient) = gradients.get(&id) else { return };
            let moved = leaf.value.data().iter().zip(gradient.data()).map(|(x, g)| x - rate * g);
            leaf.value = Array::from_vec(moved.collect(), leaf.value.shape());
        });
    }
    tree.get(&path()).unwrap().clone()
}

const RANK: (&str, Value) = ("rank", Value::Integer(3));
const SHIFTS: (&str, Value) = ("shifts", Value::Flag(true));

/// Property 27: codes as whole numbers with tables are the same weight to the bit, and come back as the same codes.
#[test]
fn tables_are_the_codes_to_the_bit() {
    for (bits, range) in [(2, "asymmetric"), (3, "symmetric"), (4, "full"), (8, "asymmetric")] {
        let codes = coded(bits, range);
        for (method, options) in [("peqa", vec![]), ("peqa", vec![SHIFTS]), ("qalora", vec![RANK])] {
            let form = rewritten(method, &options, &codes);
            assert_eq!(values(&form).data(), values(&codes).data(), "{method}, {bits} bits, {range}");
            let back = built("affine", &[]).rewrite(&path(), &form, &Evidence::none()).unwrap();
            assert_eq!(back.as_codes(), codes.as_codes(), "{method}, {bits} bits, {range}");
        }
    }
    // Blocks that are groups come apart, too.
    let scheme = Scheme::parse("q8_0").unwrap();
    let Scheme::Blocks(blocks) = scheme else { panic!("{scheme}") };
    let bytes = blocks.nearest_rows(random::array("blocks", &[ROWS, COLS]).data(), COLS).unwrap();
    let blocks = Form::quant(Codes::new(scheme, ROWS, COLS, bytes).unwrap());
    assert_eq!(values(&rewritten("peqa", &[], &blocks)).data(), values(&blocks).data());
}

/// The adapter sees the sums of the inputs over groups.
#[test]
fn a_product_in_the_shifts_is_an_adapter_of_pooled_inputs() {
    let method = built("qalora", &[RANK]);
    let codes = coded(3, "asymmetric");
    let form = train(&method, &rewritten("qalora", &[RANK], &codes), 10, 0.05);
    let x = random::array("inputs", &[5, COLS]);
    let output = |form: &Form| {
        let tree: Tree = [(path(), form.clone())].into_iter().collect();
        let y = Scope::evaluate(&tree).linear("layer", &Var::constant(x.clone()), Activation::Identity);
        widen(y.unwrap().value().data())
    };
    let part = |name: &str| widen(form.part(name).unwrap().as_array().unwrap().data());
    let (down, up, base) = (part("shift.down"), part("shift.up"), output(&codes));
    for (at, got) in output(&form).into_iter().enumerate() {
        let (token, row) = (at / ROWS, at % ROWS);
        let pooled = |group: usize| -> f64 {
            (0..GROUP).map(|col| f64::from(x.data()[token * COLS + group * GROUP + col])).sum()
        };
        let rank = |k: usize| -> f64 { (0..GROUPS).map(|g| down[k * GROUPS + g] * pooled(g)).sum() };
        let want = base[at] + (0..3).map(|k| up[row * 3 + k] * rank(k)).sum::<f64>();
        assert!((got - want).abs() < 1e-4, "{got}, {want}");
    }
    assert_ne!(output(&form), base, "nothing trained");
}

/// Property 27 in training, and what trains: nothing of the codes, and of the tables what the method says.
#[test]
fn only_tables_move() {
    let codes = coded(2, "asymmetric");
    for (name, options, moves) in [
        ("peqa", vec![], vec![Role::Scale]),
        ("peqa", vec![SHIFTS], vec![Role::Scale, Role::Shift]),
        ("qalora", vec![RANK], vec![Role::Down, Role::Up]),
    ] {
        let before = rewritten(name, &options, &codes);
        let after = train(&built(name, &options), &before, 12, 0.02);
        assert_eq!(tables(&before).0, tables(&after).0, "{name}: codes changed");
        let at = tenfold_weight::Address::root(path());
        let mut old = Vec::new();
        before.visit(&at, &mut |_, leaf| old.push(leaf.clone()));
        let mut old = old.into_iter();
        after.visit(&at, &mut |id, leaf| {
            let same = old.next().unwrap().value.data() == leaf.value.data();
            assert_eq!(!same, moves.contains(&leaf.role), "{name}: {id}");
        });
    }
}

/// Property 30: the product becomes float zero points. In double precision nothing is lost by that; stored in single precision,
/// what rounding a sum loses; as whole zero points, half a scale at most and what half precision does to scales.
#[test]
fn products_merge_into_zero_points() {
    let method = built("qalora", &[RANK]);
    let codes = coded(4, "asymmetric");
    let trained = train(&method, &rewritten("qalora", &[RANK], &codes), 12, 0.01);
    let merged = method.contracted(&path(), &trained).unwrap().unwrap();
    assert_eq!(merged.describe(), "grouped int4-g16-whole (scale; shift)");
    for (a, b) in values(&trained).data().iter().zip(values(&merged).data()) {
        assert!((a - b).abs() <= 1e-6, "{a} beside, {b} merged");
    }
    let (whole, scales, shifts) = tables(&merged);
    let numbers = widen(whole.values().data());
    let group = |at: usize| at / COLS * GROUPS + at % COLS / GROUP;
    for (at, number) in numbers.iter().enumerate() {
        let (s, t) = (scales[group(at)], shifts[group(at)]);
        let (beside, inside) = (s * number + t, s * (number + t / s));
        assert!((beside - inside).abs() <= 1e-14, "{beside} beside, {inside} inside");
    }
    let integer = built("affine", &[]).rewrite(&path(), &merged, &Evidence::none()).unwrap();
    assert_eq!(integer.describe(), "quant int4-g16");
    let (before, after) = (widen(values(&merged).data()), widen(values(&integer).data()));
    let mut most = 0.0f64;
    for (at, (before, after)) in before.iter().zip(&after).enumerate() {
        let s = scales[group(at)];
        assert!((before - after).abs() <= s / 2.0 + 1e-6, "{before} became {after}, scale {s}");
        most = most.max((before - after).abs() / s);
    }
    assert!(most > 0.1, "no zero point was rounded");
}

/// Scales alone come back but for half precision: zero points stay whole.
#[test]
fn tuned_scales_come_back_as_codes() {
    let codes = coded(2, "asymmetric");
    let tuned = train(&built("peqa", &[]), &rewritten("peqa", &[], &codes), 12, 0.02);
    assert_ne!(values(&tuned).data(), values(&codes).data());
    let back = rewritten("affine", &[], &tuned);
    assert_eq!(back.as_codes().unwrap().scheme(), codes.as_codes().unwrap().scheme());
    for (a, b) in values(&tuned).data().iter().zip(values(&back).data()) {
        assert!((a - b).abs() <= a.abs() / 2000.0, "{a} became {b}");
    }
}

/// What has no groups, what would be lost by rounding, and shifts that leave the codes are refused by name.
#[test]
fn what_does_not_fit_is_refused() {
    let refused = |method: &str, options: &[(&str, Value)], form: &Form| {
        let method = built(method, options);
        (method.plan(&path(), form).err(), method.rewrite(&path(), form, &Evidence::none()).unwrap_err())
    };
    let half = Form::quant(Codes::halves(&vec![0.5; ROWS * COLS], ROWS, COLS).unwrap());
    let sum = Form::sum(coded(4, "full"), Form::dense(Array::zeros(&[ROWS, COLS]))).unwrap();
    for method in ["peqa", "qalora"] {
        let (plan, rewrite) = refused(method, &[], &half);
        assert!(matches!(plan, Some(Error::NoGroups { .. })) && matches!(rewrite, Error::NoGroups { .. }));
        let (plan, rewrite) = refused(method, &[], &sum);
        assert!(matches!(plan, Some(Error::NotDense { .. })) && matches!(rewrite, Error::NotDense { .. }));
    }
    let rank = refused("qalora", &[("rank", Value::Integer(5))], &coded(4, "full"));
    assert!(matches!(rank.1, Error::Rank { rank: 5, most: GROUPS, .. }), "{}", rank.1);
    let tables = rewritten("peqa", &[SHIFTS], &coded(4, "full"));
    let far = tables.as_grouped().unwrap().with_shift(Some(Form::dense(Array::full(&[ROWS, GROUPS], 1e3))));
    let (plan, fault) = refused("affine", &[], &Form::Grouped(far.unwrap()));
    assert!(plan.is_none(), "numbers are not looked at in a plan");
    assert!(matches!(&fault, Error::Unfit { source: Unfit::Zero { row: 0, group: 0, .. }, .. }), "{fault}");
    assert!(fault.to_string().contains("layer.weight"), "{fault}");
}

/// On what is tuned already, the tables go on: a second product is added to the shifts that are there.
#[test]
fn tables_are_taken_as_they_are() {
    let tuned = rewritten("peqa", &[SHIFTS], &coded(3, "symmetric"));
    let both = rewritten("qalora", &[RANK], &tuned);
    assert_eq!(both.describe(), "grouped int3-g16-sym-whole (scale; shift dense + low rank 3)");
    assert_eq!(values(&both).data(), values(&tuned).data());
    assert_eq!(tables(&both).0.bytes().len(), ROWS * COLS * 3 / 8);
    let bytes = |form: &Form| form.cost().bytes;
    assert_eq!(bytes(&both) - bytes(&tuned), 4 * 3 * (ROWS + GROUPS));
    // A moved zero point makes symmetric codes asymmetric; the plan leaves that open.
    let plan = built("affine", &[]).plan(&path(), &both).unwrap();
    assert!(!plan.exact && plan.form == "quant int3-g16-sym", "{plan:?}");
}
