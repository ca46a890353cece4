//! Experts: what they begin as, what they share, who sees what, and when the shared core learns.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::Arc;
use tenfold_method::{Method, Options, Training, Value, registry};
use tenfold_tensor::{Activation, Array, Offsets, Var, op};
use tenfold_testkit::random;
use tenfold_testkit::tolerance::{Tolerance, assert_close, widen};
use tenfold_weight::{
    Address, Error, Form, LeafId, Path, Role, Routing, Scope, Socket, Tree, Wiring, dense_values, record,
};

const WIDTH: usize = 12;
const HIDDEN: usize = 24;

fn integer(value: i64) -> Value {
    Value::Integer(value)
}

fn options(pairs: &[(&str, Value)]) -> Options {
    Options(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

fn method(name: &str, pairs: &[(&str, Value)]) -> Arc<dyn Method> {
    (registry::find(name).unwrap().build)(&options(pairs)).unwrap()
}

fn up() -> Path {
    Path::new("up.weight")
}

fn socket() -> Socket {
    Socket::router("router", WIDTH, vec![up(), Path::new("down.weight")])
}

/// One feed-forward block, with a bias on the way in.
fn block() -> Tree {
    let dense = |name: &str, shape: &[usize]| (Path::new(name), Form::dense(random::array(name, shape)));
    let tree: Tree = [
        dense("up.weight", &[HIDDEN, WIDTH]),
        dense("up.bias", &[HIDDEN]),
        dense("down.weight", &[WIDTH, HIDDEN]),
    ]
    .into_iter()
    .collect();
    tree.with_wiring(Wiring { spaces: Vec::new(), sockets: vec![socket()] })
}

/// The block behind a router, as a run makes it; plans are compared on the way.
fn expert(method: &Arc<dyn Method>) -> Tree {
    let (mut tree, socket) = (block(), socket());
    let module = method.module(&socket).unwrap();
    let fresh: Vec<(Path, Form)> =
        socket.weights(module).iter().map(|one| (one.path.clone(), method.start(one))).collect();
    tree.plug(fresh);
    for path in &socket.experts {
        let form = block().get(path).unwrap().clone();
        let (planned, made) =
            (method.plan_changed(path, &form).unwrap(), method.changed(path, &form).unwrap());
        assert_eq!((made.describe(), made.parameters()), (planned.form, planned.parameters));
        tree.insert(path.clone(), made);
    }
    tree.check_owners().unwrap();
    assert_eq!(socket.module(&tree).unwrap(), Some(module));
    tree
}

fn routed(cx: &Scope<'_>, x: &Var) -> Result<Var, Error> {
    let given = cx.experts("router", x, |x, rows| {
        let hidden = cx.linear_each("up", x, rows, Activation::Gelu)?;
        cx.linear_each("down", &hidden, rows, Activation::Identity)
    })?;
    Ok(given.unwrap())
}

fn alone(cx: &Scope<'_>, x: &Var) -> Var {
    let hidden = cx.linear("up", x, Activation::Gelu).unwrap();
    cx.linear("down", &hidden, Activation::Identity).unwrap()
}

fn inputs() -> Var {
    Var::constant(random::array("inputs", &[40, WIDTH]))
}

/// With experts that are all the block they came from, the output is the block's times the sum of the gates.
#[test]
fn equal_experts_are_the_dense_block_times_the_sum_of_gates() {
    for name in ["moe", "mpoe"] {
        for router in ["switch", "top2", "noisy-top2"] {
            let asked = [("experts", integer(4)), ("router", Value::Text(router.to_owned()))];
            let tree = expert(&method(name, &asked));
            let (x, cx) = (inputs(), Scope::evaluate(&tree));
            let got = routed(&cx, &x).unwrap();
            let dense = alone(&Scope::evaluate(&block()), &x);
            let stem = if router == "switch" { "router.top1" } else { "router.top2" };
            let logits = cx.linear(stem, &x, Activation::Identity).unwrap();
            let mut expected = widen(dense.value().data());
            for (row, logits) in expected.chunks_exact_mut(WIDTH).zip(logits.value().data().chunks_exact(4)) {
                let p: Vec<f64> = logits.iter().map(|logit| f64::from(*logit).exp()).collect();
                let best = p.iter().copied().fold(0.0, f64::max) / p.iter().sum::<f64>();
                // The gates of two experts among themselves add up to 1.
                let gate = if router == "switch" { best } else { 1.0 };
                row.iter_mut().for_each(|value| *value *= gate);
            }
            let within = Tolerance { relative: 0.0, absolute: 1e-5 };
            assert_close(&format!("{name} {router}"), got.value().data(), &expected, within);
        }
    }
}

#[test]
fn the_central_core_is_stored_once_and_learns_from_all_experts() {
    let tree = expert(&method("mpoe", &[("experts", integer(4))]));
    let central: Vec<_> = tree.leaves().into_iter().filter(|leaf| leaf.role == Role::Central).collect();
    assert_eq!(central.len(), 2, "one per matrix");
    let core = |e: usize| Address::root(up()).part(format_args!("expert.{e}")).part("core.3");
    let form = |e| tree.form(&core(e)).unwrap();
    assert!(form(0).as_array().is_some() && form(3).owner() == Some(&core(0)));
    // The sum of what experts with a core of their own would learn, each from its rows.
    let apart = expert(&method("mpoe", &[("experts", integer(4)), ("central", Value::Text("own".into()))]));
    let gradients = |tree: &Tree| {
        let trains: BTreeSet<LeafId> = tree.leaves().into_iter().map(|leaf| leaf.id).collect();
        let scope = Scope::train(tree, &trains);
        let y = routed(&scope, &inputs()).unwrap();
        let loss = op::sum(&op::mul(&y, &Var::constant(random::array("direction", &[40, WIDTH]))));
        let loads = scope.loads();
        (scope.backward(&loss).unwrap(), loads)
    };
    let ((one, loads), (each, _)) = (gradients(&tree), gradients(&apart));
    let rows = &loads["router"].rows;
    assert_eq!(rows.iter().sum::<u64>(), 40);
    let mut sum = vec![0.0f64; one[&core(0)].len()];
    for e in 0..4 {
        match each.get(&core(e)) {
            Some(own) => sum.iter_mut().zip(own.data()).for_each(|(sum, one)| *sum += f64::from(*one)),
            // An expert without rows learns nothing.
            None => assert_eq!(rows[e], 0),
        }
    }
    assert_close("central", one[&core(0)].data(), &sum, Tolerance { relative: 1e-4, absolute: 1e-4 });
    let router = one.get(&Address::root(Path::new("router.top1.weight"))).unwrap();
    assert!(router.data().iter().any(|slope| *slope != 0.0), "the router learns through its gates");
}

/// The counts of a layer at the sizes of T5-base, and of all of that model, as the specification derives them from the paper.
#[test]
fn the_counts_of_the_paper_are_planned() {
    let shape = |rows, cols| Form::dense(Array::zeros(&[rows, cols]));
    let (wide, narrow) = (shape(3072, 768), shape(768, 3072));
    let factors = |list: [i64; 5]| Value::Integers(list.to_vec());
    let (long, short) = ([4, 4, 8, 6, 4], [3, 4, 4, 4, 4]);
    let layer = |name: &str, experts: i64| {
        let of = |rows, cols, form: &Form| {
            let mut pairs = vec![("experts", integer(experts))];
            if name == "mpoe" {
                pairs.extend([("rows", factors(rows)), ("cols", factors(cols))]);
            }
            method(name, &pairs).plan_changed(&up(), form).unwrap().parameters
        };
        of(long, short, &wide) + of(short, long, &narrow)
    };
    assert_eq!(layer("mpoe", 8), 7_674_112);
    assert_eq!(layer("mpoe", 16), 10_629_632);
    assert_eq!(layer("moe", 8), 37_748_736);
    let ratio = |a: usize, b: usize| a as f64 / b as f64;
    assert!((ratio(layer("mpoe", 8), layer("moe", 8)) - 0.2033).abs() < 5e-5);
    let unshared = 8 * 2 * 2_544_016;
    assert!((ratio(layer("mpoe", 8), unshared) - 0.1885).abs() < 5e-5);
    // T5-base has 222.9 million parameters and 24 blocks, whose matrices are among them once.
    for (experts, expected) in [(8, 293.8), (16, 364.8)] {
        let total = 222.9 + 24.0 * (layer("mpoe", experts) - 2 * 2_359_296) as f64 / 1e6;
        assert!((total - expected).abs() < 0.06, "{experts}: {total}");
    }
}

/// Steps at which the central core learns, of so many.
fn updates(mask: f64, steps: u64) -> u64 {
    let method = method("mpoe", &[("mask", Value::Float(mask)), ("seed", integer(3))]);
    let learns = |step: &u64| method.schedule(*step, &up(), Role::Central) != Training::Frozen;
    (0..steps).filter(learns).count() as u64
}

#[test]
fn the_mask_keeps_its_probability() {
    let steps = 4000;
    assert_eq!((updates(0.0, steps), updates(1.0, steps)), (steps, 0));
    for mask in [0.25, 0.5, 0.875] {
        let expected = (1.0 - mask) * steps as f64;
        let deviation = (steps as f64 * mask * (1.0 - mask)).sqrt();
        let got = updates(mask, steps) as f64;
        // Four deviations: one run in sixteen thousand would leave them, and the seed is fixed.
        assert!((got - expected).abs() < 4.0 * deviation, "{mask}: {got} updates, {expected} expected");
    }
    // Small cores and the router always learn, and matrices draw apart.
    let method = method("mpoe", &[("mask", Value::Float(0.5))]);
    let learns = |step, path: &Path, role| method.schedule(step, path, role) == Training::Trains(1.0);
    assert!((0..50).all(|step| learns(step, &up(), Role::Auxiliary) && learns(step, &up(), Role::Router)));
    let down = Path::new("down.weight");
    assert!((0..50).any(|step| learns(step, &up(), Role::Central) != learns(step, &down, Role::Central)));
}

#[test]
fn masks_of_entries_are_for_the_central_core_alone() {
    let by =
        |mask| method("mpoe", &[("mask", Value::Float(mask)), ("mask-unit", Value::Text("entry".into()))]);
    let half = by(0.75);
    assert_eq!(half.masked(Role::Central).map(|mask| mask.kept), Some(0.25));
    assert_eq!(half.masked(Role::Auxiliary), None);
    assert!((0..20).all(|step| half.schedule(step, &up(), Role::Central) == Training::Trains(1.0)));
    assert_eq!(by(1.0).schedule(0, &up(), Role::Central), Training::Frozen);
    assert_eq!((by(0.0).masked(Role::Central), by(1.0).masked(Role::Central)), (None, None));
}

#[test]
fn no_expert_sees_more_than_its_capacity() {
    let tree = expert(&method("moe", &[("experts", integer(4)), ("router", Value::Text("top2".into()))]));
    let trains = BTreeSet::new();
    let x = inputs();
    let free = routed(&Scope::train(&tree, &trains), &x).unwrap();
    let limited = Scope::train(&tree, &trains).routing(Routing { capacity: Some(0.5), ..Routing::default() });
    let mut seen = Vec::new();
    let given = limited.experts("router", &x, |x, rows: &Offsets| {
        seen = rows.ranges().map(|range| range.len()).collect();
        let hidden = limited.linear_each("up", x, rows, Activation::Gelu)?;
        limited.linear_each("down", &hidden, rows, Activation::Identity)
    });
    let given = given.unwrap().unwrap();
    // Half of 40 rows, two choices each, over four experts.
    assert!(seen.iter().all(|rows| *rows <= 10) && seen.iter().sum::<usize>() < 80, "{seen:?}");
    let load = &limited.loads()["router"];
    assert_eq!(load.dropped as usize + seen.iter().sum::<usize>(), 80);
    assert_eq!(load.rows.iter().sum::<u64>(), 80);
    assert_ne!(given.value(), free.value());
    // Evaluation drops nothing.
    let all = Scope::evaluate(&tree).routing(Routing { capacity: Some(0.5), ..Routing::default() });
    assert_eq!(routed(&all, &x).unwrap().value(), free.value());
}

/// The balance acts on the router alone, and noise is drawn anew for every seed.
#[test]
fn routers_are_balanced_and_noisy_in_training_alone() {
    let tree =
        expert(&method("moe", &[("experts", integer(4)), ("router", Value::Text("noisy-top2".into()))]));
    let trains: BTreeSet<LeafId> = tree.leaves().into_iter().map(|leaf| leaf.id).collect();
    let gradient = |balance, seed| {
        let scope = Scope::train(&tree, &trains).routing(Routing { balance, seed, capacity: None });
        let loss = op::sum(&routed(&scope, &inputs()).unwrap());
        scope.backward(&loss).unwrap()
    };
    let router = Address::root(Path::new("router.top2.weight"));
    let (plain, balanced, other) = (gradient(0.0, 1), gradient(0.5, 1), gradient(0.0, 2));
    assert_ne!(plain[&router], balanced[&router]);
    assert_ne!(plain[&router], other[&router]);
    let own = Address::root(up()).part("expert.1");
    assert_eq!(plain.get(&own), balanced.get(&own));
    let noise = Address::root(Path::new("router.top2.noise.weight"));
    assert!(plain[&noise].data().iter().any(|slope| *slope != 0.0), "the size of the noise is learned");
}

#[test]
fn jitter_tells_experts_apart_and_leaves_the_first_alone() {
    let values = |jitter, e: usize| {
        let tree = expert(&method("mpoe", &[("experts", integer(3)), ("jitter", Value::Float(jitter))]));
        let whole = dense_values(&tree, &up()).unwrap();
        whole.data()[e * HIDDEN * WIDTH..(e + 1) * HIDDEN * WIDTH].to_vec()
    };
    assert_eq!(values(0.0, 0), values(0.0, 2));
    assert_eq!(values(1e-2, 0), values(0.0, 0));
    let moved: f64 = values(1e-2, 1).iter().zip(values(1e-2, 0)).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let size: f64 = values(0.0, 0).iter().map(|value| f64::from(*value).powi(2)).sum();
    // Four cores with a hundredth each.
    assert!((0.3e-2..6e-2).contains(&(moved / size).sqrt()), "{}", (moved / size).sqrt());
}

#[test]
fn stacks_are_saved_and_refuse_to_be_used_without_a_router() {
    struct Held(std::collections::BTreeMap<String, Array>);
    impl record::Store for Held {
        fn leaf(&mut self, name: &str) -> Result<Array, Error> {
            Ok(self.0[name].clone())
        }
        fn codes(&mut self, _name: &str) -> Result<Vec<u8>, Error> {
            panic!("no codes here")
        }
    }
    for name in ["moe", "mpoe"] {
        let tree = expert(&method(name, &[("experts", integer(3)), ("jitter", Value::Float(0.1))]));
        let held = tree.values().into_iter().map(|(id, value)| (id.to_string(), value)).collect();
        let again = record::restore(&record::describe(&tree), &mut Held(held)).unwrap();
        let again = again.with_wiring(Wiring { spaces: Vec::new(), sockets: vec![socket()] });
        let (x, one) = (inputs(), Scope::evaluate(&tree));
        let got = routed(&Scope::evaluate(&again), &x).unwrap();
        assert_eq!(got.value(), routed(&one, &x).unwrap().value());
        assert_eq!(again.leaves(), tree.leaves());
        let refused = one.linear("up", &x, Activation::Identity);
        assert!(matches!(refused, Err(Error::Shape { .. })), "{refused:?}");
        // Behind a router every weight is a stack.
        let mut torn = tree.clone();
        torn.insert(up(), block().get(&up()).unwrap().clone());
        assert!(matches!(routed(&Scope::evaluate(&torn), &x), Err(Error::Shape { .. })));
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let fails =
        |name: &str, pairs: &[(&str, Value)]| match (registry::find(name).unwrap().build)(&options(pairs)) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{pairs:?}"),
        };
    let two = ("router", Value::Text("top2".into()));
    let message = fails("moe", &[("experts", integer(1)), two]);
    assert!(message.contains("option experts of method moe is 1; expected at least the 2"), "{message}");
    assert!(fails("mpoe", &[("cores", integer(4))]).contains("an odd number"));
    let own = ("central", Value::Text("own".into()));
    assert!(fails("mpoe", &[own, ("mask", Value::Float(0.5))]).contains("takes central = \"own\" or mask"));
    let vector = Form::dense(Array::zeros(&[7]));
    assert!(method("mpoe", &[]).plan_changed(&up(), &vector).is_err());
}
