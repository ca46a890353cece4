//! Saved trees: round trips, and one test per way a manifest and its checkpoint can disagree.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use tenfold_format::Error;
use tenfold_format::checkpoint::{self, Checkpoint};
use tenfold_format::manifest::{
    self, DEPTH_LIMIT, FormRecord, Manifest, ModelSection, SavedFault, WeightRecord,
};

use crate::mutate;

pub(crate) fn dense(leaf: &str) -> FormRecord {
    FormRecord::Dense { leaf: leaf.to_owned() }
}

fn shared(owner: &str) -> FormRecord {
    FormRecord::Shared { owner: owner.to_owned() }
}

fn mpo(rows: &[usize], cols: &[usize], cores: Vec<FormRecord>) -> FormRecord {
    FormRecord::Mpo { rows: rows.to_vec(), cols: cols.to_vec(), cores }
}

pub(crate) fn columns(columns: &[usize], value: FormRecord, rest: FormRecord) -> FormRecord {
    FormRecord::Columns { columns: columns.to_vec(), value: value.into(), rest: rest.into() }
}

pub(crate) fn manifest(weights: Vec<(&str, &[usize], FormRecord)>) -> Manifest {
    let record = |(path, shape, form): (&str, &[usize], FormRecord)| {
        (path.to_owned(), WeightRecord { shape: shape.to_vec(), form })
    };
    Manifest {
        version: manifest::VERSION,
        model: ModelSection { architecture: "bert".to_owned(), origin: "path:model".to_owned() },
        weights: weights.into_iter().map(record).collect(),
        receipt: None,
    }
}

/// A checkpoint with tensors of these shapes.
pub(crate) fn checkpoint(tensors: &[(&str, &[usize])]) -> Checkpoint {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let data: Vec<Vec<f32>> = tensors.iter().map(|(_, shape)| vec![0.5; shape.iter().product()]).collect();
    let list: Vec<_> = tensors
        .iter()
        .zip(&data)
        .map(|((name, shape), data)| (name.to_string(), shape.to_vec(), &data[..]))
        .collect();
    checkpoint::write(&path, &list, &BTreeMap::new()).unwrap();
    Checkpoint::from_bytes(&path, std::fs::read(&path).unwrap()).unwrap()
}

/// A manifest with every form, and its checkpoint.
fn everything() -> (Manifest, Checkpoint) {
    let base = dense("both.base");
    let delta = FormRecord::Lowrank { down: dense("both.down").into(), up: dense("both.up").into() };
    let manifest = manifest(vec![
        ("a.bias", &[3], dense("a.bias")),
        // 5 x 4 in a padded 6 x 4.
        ("b.weight", &[5, 4], mpo(&[3, 2], &[2, 2], vec![dense("b.1"), dense("b.2")])),
        ("c.weight", &[6, 4], mpo(&[3, 2], &[2, 2], vec![dense("c.1"), shared("b.weight#core.2")])),
        ("d.weight", &[2, 3], FormRecord::Sum { left: base.into(), right: delta.into() }),
        ("e.weight", &[5, 4], shared("b.weight")),
        ("f.weight", &[2, 3], shared("d.weight#left.value")),
        (
            "g.weight",
            &[2, 3],
            FormRecord::Lowrank { down: shared("d.weight#right.down").into(), up: dense("g.up").into() },
        ),
        (
            "h.weight",
            &[2, 3],
            FormRecord::Scaled { inner: dense("h").into(), columns: dense("h.columns").into() },
        ),
        (
            "i.weight",
            &[2, 3],
            FormRecord::RowScaled { inner: dense("i").into(), rows: dense("i.rows").into() },
        ),
        (
            "i.bias",
            &[2],
            FormRecord::RowScaled { inner: dense("i.b").into(), rows: shared("i.weight#rows").into() },
        ),
        (
            "j.weight",
            &[2, 3],
            FormRecord::RowNormed { inner: dense("j").into(), norms: dense("j.norms").into() },
        ),
        ("k.weight", &[2, 3], columns(&[0, 2], dense("k"), shared("g.weight#up"))),
        // 3 x 4 beside one column, in a padded 4 x 4.
        ("l.weight", &[3, 5], columns(&[4], dense("l"), mpo(&[4], &[4], vec![dense("l.1")]))),
        ("m.weight", &[2, 2], shared("k.weight#value")),
    ]);
    let checkpoint = checkpoint(&[
        ("a.bias", &[3]),
        ("b.1", &[1, 3, 2, 4]),
        ("b.2", &[4, 2, 2, 1]),
        ("c.1", &[1, 3, 2, 4]),
        ("both.base", &[2, 3]),
        ("both.down", &[1, 3]),
        ("both.up", &[2, 1]),
        ("g.up", &[2, 1]),
        ("h", &[2, 3]),
        ("h.columns", &[3]),
        ("i", &[2, 3]),
        ("i.b", &[2]),
        ("i.rows", &[2]),
        ("j", &[2, 3]),
        ("j.norms", &[2]),
        ("k", &[2, 2]),
        ("l", &[3, 1]),
        ("l.1", &[1, 4, 4, 1]),
    ]);
    (manifest, checkpoint)
}

pub(crate) fn fault(manifest: &Manifest, checkpoint: &Checkpoint) -> (String, SavedFault) {
    match manifest.check(checkpoint) {
        Err(Error::Saved { weight, fault, .. }) => (weight, fault),
        other => panic!("expected a fault, got {other:?}"),
    }
}

#[test]
fn every_form_comes_back_and_fits() {
    let (mut manifest, checkpoint) = everything();
    manifest.receipt = Some(serde_json::json!({ "seed": 17 }));
    manifest.check(&checkpoint).unwrap();
    let folder = tempfile::tempdir().unwrap();
    manifest.write(folder.path()).unwrap();
    let first = std::fs::read(folder.path().join(manifest::FILE)).unwrap();
    let read = Manifest::read(folder.path()).unwrap();
    assert_eq!(read, manifest);
    read.write(folder.path()).unwrap();
    assert_eq!(std::fs::read(folder.path().join(manifest::FILE)).unwrap(), first);
}

#[test]
fn the_text_is_as_documented() {
    let manifest = manifest(vec![("w", &[2, 2], mpo(&[2], &[2], vec![dense("w#core.1")]))]);
    let text = serde_json::to_string(&manifest).unwrap();
    let expected = r#"{"version":1,"model":{"architecture":"bert","origin":"path:model"},"weights":{"w":{"shape":[2,2],"form":{"form":"mpo","rows":[2],"cols":[2],"cores":[{"form":"dense","leaf":"w#core.1"}]}}}}"#;
    assert_eq!(text, expected);
}

/// A vector for the other side of a matrix is found, and where it is.
#[test]
fn factors_and_norms_have_one_number_per_row() {
    let shapes: [(&str, &[usize]); 2] = [("w", &[2, 3]), ("s", &[3])];
    let (inner, scales) = (|| dense("w").into(), || dense("s").into());
    let columns = FormRecord::Scaled { inner: inner(), columns: scales() };
    manifest(vec![("a.weight", &[2, 3], columns)]).check(&checkpoint(&shapes)).unwrap();
    for (form, part) in [
        (FormRecord::RowScaled { inner: inner(), rows: scales() }, "a.weight#rows"),
        (FormRecord::RowNormed { inner: inner(), norms: scales() }, "a.weight#norms"),
    ] {
        let found = fault(&manifest(vec![("a.weight", &[2, 3], form)]), &checkpoint(&shapes));
        assert_eq!(found, (part.to_owned(), SavedFault::Shape { expected: vec![2], got: vec![3] }));
    }
    // A vector has rows to stretch, and none to give norms to.
    let vector: [(&str, &[usize]); 2] = [("w", &[3]), ("s", &[3])];
    let stretched = FormRecord::RowScaled { inner: inner(), rows: scales() };
    manifest(vec![("a.bias", &[3], stretched)]).check(&checkpoint(&vector)).unwrap();
    let normed = FormRecord::RowNormed { inner: inner(), norms: scales() };
    let found = fault(&manifest(vec![("a.bias", &[3], normed)]), &checkpoint(&vector));
    assert!(matches!(found.1, SavedFault::Shape { .. }), "{found:?}");
}

fn parse(text: &str) -> Result<Manifest, Error> {
    Manifest::parse(Path::new("tenfold.json"), text)
}

#[test]
fn other_versions_are_refused_before_their_fields_are_looked_at() {
    let newer = parse(r#"{"version":2,"model":7,"trees":[]}"#);
    assert!(matches!(newer, Err(Error::ManifestVersion { got: 2, known: 1, .. })));
}

#[test]
fn unknown_fields_and_forms_are_refused() {
    let text = |extra: &str, record: &str, form: &str| {
        format!(
            r#"{{"version":1,"model":{{"architecture":"bert","origin":"x"}},"weights":{{"w":{{"shape":[1],{record}"form":{form}}}}}{extra}}}"#
        )
    };
    let good = r#"{"form":"dense","leaf":"w"}"#;
    assert!(parse(&text("", "", good)).is_ok());
    for bad in [
        text(r#","more":1"#, "", good),
        text("", r#""more":1,"#, good),
        text("", "", r#"{"form":"dense","leaf":"w","more":1}"#),
        text("", "", r#"{"form":"quant","leaf":"w"}"#),
        text("", "", r#"{"form":"dense"}"#),
        text("", "", r#"{"leaf":"w"}"#),
        format!("{good} "),
        String::new(),
    ] {
        assert!(matches!(parse(&bad), Err(Error::Json { .. })), "{bad}");
    }
}

#[test]
fn a_leaf_without_a_tensor_is_named() {
    let found = fault(&manifest(vec![("w", &[1], dense("x"))]), &checkpoint(&[]));
    assert_eq!(found, ("w".into(), SavedFault::MissingLeaf { leaf: "x".into() }));
}

#[test]
fn a_tensor_without_a_leaf_is_named() {
    let extra = manifest(vec![]).check(&checkpoint(&[("x", &[1])]));
    assert!(matches!(extra, Err(Error::ExtraTensor { tensor, .. }) if tensor == "x"));
}

#[test]
fn a_tensor_with_two_leaves_is_named() {
    let found =
        fault(&manifest(vec![("v", &[1], dense("x")), ("w", &[1], dense("x"))]), &checkpoint(&[("x", &[1])]));
    assert_eq!(found, ("w".into(), SavedFault::LeafTwice { leaf: "x".into(), first: "v".into() }));
}

#[test]
fn a_dense_leaf_has_the_shape_of_its_weight() {
    let found = fault(&manifest(vec![("w", &[3, 2], dense("x"))]), &checkpoint(&[("x", &[2, 3])]));
    assert_eq!(found, ("w".into(), SavedFault::Shape { expected: vec![3, 2], got: vec![2, 3] }));
}

#[test]
fn cores_chain_by_their_bonds() {
    let weights = || manifest(vec![("w", &[4, 4], mpo(&[2, 2], &[2, 2], vec![dense("1"), dense("2")]))]);
    let check = |one: &[usize], two: &[usize]| fault(&weights(), &checkpoint(&[("1", one), ("2", two)]));
    weights().check(&checkpoint(&[("1", &[1, 2, 2, 3]), ("2", &[3, 2, 2, 1])])).unwrap();
    let shape = |expected: &[usize], got: &[usize]| SavedFault::Shape {
        expected: expected.to_vec(),
        got: got.to_vec(),
    };
    assert_eq!(check(&[2, 2, 2, 3], &[3, 2, 2, 1]), ("w#core.1".into(), shape(&[1, 2, 2, 3], &[2, 2, 2, 3])));
    assert_eq!(check(&[1, 2, 2, 3], &[2, 2, 2, 1]), ("w#core.2".into(), shape(&[3, 2, 2, 1], &[2, 2, 2, 1])));
    assert_eq!(check(&[1, 2, 2, 3], &[3, 2, 2, 2]), ("w#core.2".into(), shape(&[3, 2, 2, 1], &[3, 2, 2, 2])));
    assert_eq!(check(&[4, 3], &[3, 2, 2, 1]).0, "w#core.1");
}

#[test]
fn factors_are_as_many_as_cores_and_cover_the_weight() {
    let none = manifest(vec![("w", &[1, 1], mpo(&[], &[], vec![]))]);
    assert_eq!(fault(&none, &checkpoint(&[])).1, SavedFault::Factors { rows: 0, columns: 0, cores: 0 });
    let uneven = manifest(vec![("w", &[2, 2], mpo(&[2, 1], &[2], vec![dense("x")]))]);
    assert_eq!(
        fault(&uneven, &checkpoint(&[("x", &[1, 2, 2, 1])])).1,
        SavedFault::Factors { rows: 2, columns: 1, cores: 1 }
    );
    let small = manifest(vec![("w", &[3, 2], mpo(&[2], &[2], vec![dense("x")]))]);
    let expected = SavedFault::Shape { expected: vec![3, 2], got: vec![2, 2] };
    assert_eq!(fault(&small, &checkpoint(&[("x", &[1, 2, 2, 1])])), ("w".into(), expected));
}

#[test]
fn low_rank_factors_share_their_rank() {
    let form = || FormRecord::Lowrank { down: dense("d").into(), up: dense("u").into() };
    let check = |down: &[usize], up: &[usize]| {
        fault(&manifest(vec![("w", &[4, 3], form())]), &checkpoint(&[("d", down), ("u", up)])).1
    };
    manifest(vec![("w", &[4, 3], form())]).check(&checkpoint(&[("d", &[2, 3]), ("u", &[4, 2])])).unwrap();
    assert_eq!(check(&[2, 3], &[4, 1]), SavedFault::Shape { expected: vec![4, 2], got: vec![4, 1] });
    assert!(matches!(check(&[6], &[4, 2]), SavedFault::Shape { got, .. } if got == [6]));
    assert!(matches!(check(&[2, 3], &[8]), SavedFault::Shape { got, .. } if got == [8]));
}

#[test]
fn both_sides_of_a_sum_have_one_shape() {
    let form = FormRecord::Sum { left: dense("l").into(), right: dense("r").into() };
    let found = fault(&manifest(vec![("w", &[2, 3], form)]), &checkpoint(&[("l", &[2, 3]), ("r", &[3, 2])]));
    assert_eq!(found.1, SavedFault::Shape { expected: vec![2, 3], got: vec![3, 2] });
}

#[test]
fn an_owner_exists() {
    for owner in [
        "v",
        "w#core.1",
        "v#value",
        "o#down",
        "o#value.x",
        "o#core.0",
        "o#core.2",
        "o#core.x",
        "o#core",
        "o#",
        "#",
    ] {
        let form = mpo(&[1], &[1], vec![dense("x")]);
        let weights = manifest(vec![("o", &[1, 1], form), ("w", &[1, 1], shared(owner))]);
        let expected = SavedFault::MissingOwner { owner: owner.into() };
        assert_eq!(fault(&weights, &checkpoint(&[("x", &[1, 1, 1, 1])])).1, expected, "{owner}");
    }
}

#[test]
fn sharing_does_not_go_in_circles() {
    let circles: [Vec<(&str, &[usize], FormRecord)>; 4] = [
        vec![("w", &[1, 1], shared("w"))],
        vec![("v", &[1, 1], shared("w")), ("w", &[1, 1], shared("v"))],
        vec![("w", &[1, 1], mpo(&[1], &[1], vec![shared("w#core.1")]))],
        vec![("w", &[1, 1], FormRecord::Sum { left: shared("w#right").into(), right: shared("w").into() })],
    ];
    for weights in circles {
        let (_, found) = fault(&manifest(weights.clone()), &checkpoint(&[]));
        assert!(matches!(found, SavedFault::SharedCycle { .. }), "{weights:?}: {found:?}");
    }
}

#[test]
fn a_shared_form_has_the_shape_of_its_owner() {
    let weights = manifest(vec![("o", &[2, 3], dense("x")), ("w", &[3, 2], shared("o"))]);
    let expected = SavedFault::Shape { expected: vec![3, 2], got: vec![2, 3] };
    assert_eq!(fault(&weights, &checkpoint(&[("x", &[2, 3])])), ("w".into(), expected));
}

#[test]
fn forms_and_owners_nest_only_so_deep() {
    let mut form = dense("x");
    for level in 0..=DEPTH_LIMIT {
        form = FormRecord::Sum { left: form.into(), right: dense(&level.to_string()).into() };
    }
    let names: Vec<String> = (0..=DEPTH_LIMIT).map(|level| level.to_string()).collect();
    let mut tensors: Vec<(&str, &[usize])> = names.iter().map(|name| (name.as_str(), &[1][..])).collect();
    tensors.push(("x", &[1]));
    let found = fault(&manifest(vec![("w", &[1], form)]), &checkpoint(&tensors));
    assert_eq!(found, ("w".into(), SavedFault::TooDeep { limit: DEPTH_LIMIT }));

    let chain: Vec<String> = (0..DEPTH_LIMIT * 2).map(|index| format!("w{index:03}")).collect();
    let mut weights: Vec<(&str, &[usize], FormRecord)> =
        chain.windows(2).map(|pair| (pair[0].as_str(), &[1][..], shared(&pair[1]))).collect();
    weights.push((chain[chain.len() - 1].as_str(), &[1], dense("x")));
    let (_, found) = fault(&manifest(weights), &checkpoint(&[("x", &[1])]));
    assert_eq!(found, SavedFault::TooDeep { limit: DEPTH_LIMIT });

    let deep = format!(r#"{{"form":"sum","left":{}"#, r#"{"form":"sum","left":"#.repeat(10_000));
    let text = format!(
        r#"{{"version":1,"model":{{"architecture":"a","origin":"b"}},"weights":{{"w":{{"shape":[],"form":{deep}"#
    );
    assert!(matches!(parse(&text), Err(Error::Json { .. })));
}

static EVERYTHING: LazyLock<(Manifest, Checkpoint)> = LazyLock::new(everything);

static SMALL: LazyLock<Checkpoint> =
    LazyLock::new(|| checkpoint(&[("x", &[1, 1]), ("y", &[1, 1, 1, 1]), ("z", &[1])]));

/// Any form, however little sense it makes.
fn form() -> impl Strategy<Value = FormRecord> {
    let owner =
        prop::sample::select(vec!["a", "b", "a#value", "a#core.1", "b#left", "b#right.down", "a#rest", "c"]);
    let leaf = prop::sample::select(vec!["x", "y", "z"]);
    let simple = prop_oneof![leaf.prop_map(dense), owner.prop_map(shared)];
    simple.prop_recursive(4, 12, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            pair.clone().prop_map(|(a, b)| FormRecord::Sum { left: a.into(), right: b.into() }),
            pair.clone().prop_map(|(a, b)| FormRecord::Lowrank { down: a.into(), up: b.into() }),
            (prop::collection::vec(any::<usize>(), 0..3), pair).prop_map(|(at, (a, b))| columns(&at, a, b)),
            (prop::collection::vec(any::<usize>(), 0..3), prop::collection::vec(inner, 0..3))
                .prop_map(|(factors, cores)| mpo(&factors, &factors, cores)),
        ]
    })
}

proptest! {
    #![proptest_config(mutate::config())]

    #[test]
    fn any_manifest_comes_back_and_its_check_ends(a in form(), b in form()) {
        let manifest = manifest(vec![("a", &[1, 1], a), ("b", &[1, 1], b)]);
        let text = serde_json::to_string(&manifest).unwrap();
        prop_assert_eq!(&parse(&text).unwrap(), &manifest);
        let _ = manifest.check(&SMALL);
    }

    #[test]
    fn a_damaged_manifest_is_read_or_refused(changes in mutate::mutations()) {
        let (manifest, checkpoint) = &*EVERYTHING;
        let damaged = mutate::apply(serde_json::to_vec(manifest).unwrap(), &changes);
        if let Ok(text) = String::from_utf8(damaged) && let Ok(manifest) = parse(&text) {
            let _ = manifest.check(checkpoint);
        }
    }
}
