//! Low-rank products beside weights: counts, what they start from, and how ranks are shared out.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use tenfold_linalg::{Matrix, Metric, svd_in_metric};
use tenfold_method::{Error, Evidence, Method, Options, Training, Value, registry};
use tenfold_tensor::Array;
use tenfold_testkit::random;
use tenfold_weight::{Form, Path, Role, Tree, dense_values};

fn build<const N: usize>(options: [(&str, Value); N]) -> Arc<dyn Method> {
    (registry::find("lora").unwrap().build)(&Options::from(options)).unwrap()
}

fn rewritten(method: &Arc<dyn Method>, form: &Form) -> Tree {
    let path = Path::new("layer.weight");
    [(path.clone(), method.rewrite(&path, form, &Evidence::none()).unwrap())].into_iter().collect()
}

fn values(tree: &Tree) -> Array {
    dense_values(tree, &Path::new("layer.weight")).unwrap()
}

fn spectrum(values: &Array) -> Vec<f64> {
    let &[rows, cols] = values.shape() else { panic!("no matrix") };
    let matrix = Matrix::from_f32(values.data(), rows, cols).unwrap();
    svd_in_metric(&matrix, &Metric::Weights).unwrap().spectrum().to_vec()
}

/// The spec's property 28: all linear maps of LLaMA 7B at rank 8.
#[test]
fn all_linear_maps_of_llama_7b_take_the_published_parameters() {
    let method = build([("rank", Value::Integer(8))]);
    let added = |rows: usize, cols: usize| {
        let form = Form::dense(Array::zeros(&[rows, cols]));
        let plan = method.plan(&Path::new("layer.weight"), &form).unwrap();
        let trained = plan.roles.iter().filter(|(role, _)| *role != Role::Value);
        trained.map(|(_, count)| count).sum::<usize>()
    };
    assert_eq!(32 * (4 * added(4096, 4096) + 3 * added(11_008, 4096)), 19_988_480);
}

#[test]
fn a_fresh_product_changes_no_bit() {
    let form = Form::dense(random::array("w", &[12, 9]));
    for scaling in ["rank", "root-rank"] {
        let method = build([("rank", Value::Integer(3)), ("scaling", Value::Text(scaling.to_owned()))]);
        assert_eq!(values(&rewritten(&method, &form)).data(), form.as_array().unwrap().data());
    }
}

/// DoRA's start: the norms are those of the rows, so their quotient is 1 to the bit.
#[test]
fn fresh_magnitudes_change_no_bit() {
    let form = Form::dense(random::array("w", &[12, 9]));
    let flag = ("magnitude", Value::Flag(true));
    let tree = rewritten(&build([("rank", Value::Integer(3)), flag]), &form);
    assert_eq!(values(&tree).data(), form.as_array().unwrap().data());
    let norms = tree.get(&Path::new("layer.weight")).unwrap().part("norms").unwrap().as_array().unwrap();
    for (norm, row) in norms.data().iter().zip(form.as_array().unwrap().data().chunks(9)) {
        let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        assert!((f64::from(*norm) - length).abs() < 1e-6 * length);
    }
}

/// Whatever the product becomes, the rows have the norms that are stored.
#[test]
fn the_product_turns_rows_and_the_magnitudes_stretch_them() {
    let form = Form::dense(random::array("w", &[6, 5]));
    let mut tree = rewritten(&build([("rank", Value::Integer(2)), ("magnitude", Value::Flag(true))]), &form);
    tree.visit_mut(|id, leaf| match leaf.role {
        Role::Up => leaf.value = random::array(&id.to_string(), leaf.value.shape()),
        Role::Magnitude => leaf.value.data_mut()[2] = 7.5,
        _ => {}
    });
    let (before, after) = (form.as_array().unwrap().row_norms(), values(&tree).row_norms());
    for (at, (before, after)) in before.data().iter().zip(after.data()).enumerate() {
        let want = if at == 2 { 7.5 } else { *before };
        assert!((after - want).abs() < 1e-5 * want, "row {at}: {after}, {want}");
    }
}

#[test]
fn magnitudes_train_where_they_are_asked_for() {
    let path = Path::new("layer.weight");
    let of = |flag| build([("magnitude", Value::Flag(flag))]).schedule(0, &path, Role::Magnitude);
    assert_eq!((of(true), of(false)), (Training::Trains(1.0), Training::Frozen));
    let plan = build([("magnitude", Value::Flag(true))]).plan(&path, &Form::dense(Array::zeros(&[20, 30])));
    assert!(plan.unwrap().roles.contains(&(Role::Magnitude, 20)));
}

#[test]
fn the_upper_factor_carries_the_scale_and_its_rate() {
    let path = Path::new("layer.weight");
    let of = |method: Arc<dyn Method>| Role::ALL.map(|role| method.schedule(0, &path, role));
    let expected = |scale| {
        Role::ALL.map(|role| match role {
            Role::Down => Training::Trains(1.0),
            Role::Up => Training::Trains(scale),
            _ => Training::Frozen,
        })
    };
    assert_eq!(of(build([])), expected(2.0));
    assert_eq!(of(build([("rank", Value::Integer(4)), ("alpha", Value::Integer(2))])), expected(0.5));
    let root = Value::Text("root-rank".to_owned());
    assert_eq!(
        of(build([("rank", Value::Integer(16)), ("alpha", Value::Integer(8)), ("scaling", root)])),
        expected(2.0)
    );
}

#[test]
fn a_principal_product_takes_the_largest_singular_values() {
    let form = Form::dense(random::array("w", &[14, 10]));
    let whole = spectrum(form.as_array().unwrap());
    let principal = Value::Text("principal".to_owned());
    let method = build([("rank", Value::Integer(3)), ("init", principal), ("alpha", Value::Integer(7))]);
    let tree = rewritten(&method, &form);
    let top = form.as_array().unwrap().data().iter().fold(0.0f32, |top, x| top.max(x.abs()));
    for (a, b) in values(&tree).data().iter().zip(form.as_array().unwrap().data()) {
        assert!((a - b).abs() < 1e-6 * top, "{a} and {b}");
    }
    let form = tree.get(&Path::new("layer.weight")).unwrap();
    let rest = spectrum(form.part("left").unwrap().as_array().unwrap());
    for (rest, whole) in rest.iter().zip(&whole[3..]) {
        assert!((rest - whole).abs() < 1e-5 * whole, "{rest} and {whole}");
    }
    // Both factors train alike: with s outside, they would be of equal size.
    let size = |name: &str| {
        let part = form.part(&format!("right.{name}")).unwrap().as_array().unwrap();
        part.data().iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
    };
    let scale = 7.0 / 3.0;
    assert!((size("up") / scale / size("down") - 1.0).abs() < 1e-5, "{} {}", size("up"), size("down"));
}

#[test]
fn ranks_by_stable_rank_stay_within_what_one_rank_would_take() {
    // One matrix of a single direction beside noise, one of equal directions.
    let spiked = {
        let mut values = random::array("spiked", &[40, 40]).data().to_vec();
        values.iter_mut().for_each(|x| *x *= 0.01);
        (0..40).for_each(|i| values[i * 41] += if i == 0 { 10.0 } else { 0.0 });
        Form::dense(Array::from_vec(values, &[40, 40]))
    };
    let flat = Form::dense(Array::from_vec(
        (0..1600).map(|i| f32::from(u8::from(i % 41 == 0))).collect(),
        &[40, 40],
    ));
    let method = build([("rank", Value::Integer(6)), ("rank-by", Value::Text("stable-rank".to_owned()))]);
    let weights = [(Path::new("a"), &spiked), (Path::new("b"), &flat)];
    let settled = method.settle(&weights, &Evidence::none()).unwrap().unwrap();
    let rank = |at: usize| {
        let (path, form) = &weights[at];
        let found = settled[at].rewrite(path, form, &Evidence::none()).unwrap();
        // The rate says the scale: the same for both.
        assert_eq!(settled[at].schedule(0, path, Role::Up), Training::Trains(2.0));
        found.part("right.down").unwrap().shape()[0]
    };
    assert_eq!((rank(0), rank(1)), (1, 10));
}

#[test]
fn a_rank_that_the_matrix_does_not_have_is_refused() {
    let form = Form::dense(random::array("w", &[5, 40]));
    let error = build([]).plan(&Path::new("layer.weight"), &form).unwrap_err();
    assert!(matches!(error, Error::Rank { rank: 8, most: 5, .. }), "{error}");
    assert!(error.to_string().contains("layer.weight has rank 5 at most"));
}
