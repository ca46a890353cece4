//! Checkpoints: round trips, agreement with the reference reader, and one test per lie.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use tenfold_format::Error;
use tenfold_format::checkpoint::{self, Checkpoint, Dtype, HEADER_LIMIT, TensorFault};

use crate::{mutate, shared};

/// A file with this header and this many bytes of data.
fn raw(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..data).map(|index| index as u8));
    bytes
}

fn open(bytes: Vec<u8>) -> Result<Checkpoint, Error> {
    Checkpoint::from_bytes(Path::new("a.safetensors"), bytes)
}

/// The fault found in the tensor `x` of a file.
fn fault(header: &str, data: usize) -> TensorFault {
    match open(raw(header, data)) {
        Err(Error::Tensor { path, tensor, fault }) if tensor == "x" && path == Path::new("a.safetensors") => {
            fault
        }
        other => panic!("expected a fault of x, got {other:?}"),
    }
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(checkpoint::FILE);
    let (a, b) = ([1.0, -2.5, f32::MIN_POSITIVE, 3e38, 0.0, -0.0], [f32::INFINITY]);
    let tensors = [
        ("b.weight".to_owned(), vec![2, 3], &a[..]),
        ("a".to_owned(), vec![], &b[..]),
        ("empty".to_owned(), vec![0, 4], &[][..]),
    ];
    let metadata = BTreeMap::from([("made by".to_owned(), "a \"test\"".to_owned())]);
    let bytes = checkpoint::write(&path, &tensors, &metadata).unwrap();
    assert_eq!(bytes, std::fs::metadata(&path).unwrap().len());

    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let names: Vec<_> = checkpoint.tensors().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["a", "b.weight", "empty"]);
    let tensor = checkpoint.tensor("b.weight").unwrap();
    assert_eq!(
        (tensor.dtype, &tensor.shape[..], tensor.bytes, tensor.elements()),
        (Dtype::F32, &[2, 3][..], 24, 6)
    );
    for (name, _, data) in &tensors {
        let read = checkpoint.read_f32(name).unwrap();
        assert_eq!(
            read.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            data.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        );
    }
    assert_eq!(checkpoint.metadata()["made by"], "a \"test\"");
    assert_eq!(checkpoint.metadata()["format"], "pt");
    assert_eq!(checkpoint.non_finite("b.weight").unwrap(), None);
    assert_eq!(checkpoint.non_finite("a").unwrap(), Some(0));
    assert!(matches!(checkpoint.read_f32("c"), Err(Error::MissingTensor { tensor, .. }) if tensor == "c"));
}

#[test]
fn equal_tensors_give_equal_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let data = [1.0, 2.0];
    let metadata = (0..20).map(|index| (format!("key {index}"), String::new())).collect();
    let file = |name: &str| {
        let path = folder.path().join(name);
        checkpoint::write(&path, &[("x".to_owned(), vec![2], &data)], &metadata).unwrap();
        std::fs::read(path).unwrap()
    };
    assert_eq!(file("a"), file("b"));
}

#[test]
fn wrong_tensors_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let data = [1.0, 2.0];
    let write = |tensors: &[(String, Vec<usize>, &[f32])]| match checkpoint::write(
        &path,
        tensors,
        &BTreeMap::new(),
    ) {
        Err(Error::Unwritable { tensor, fault, .. }) if tensor == "x" => fault,
        other => panic!("expected a fault of x, got {other:?}"),
    };
    let x = |shape: Vec<usize>| ("x".to_owned(), shape, &data[..]);
    assert_eq!(write(&[x(vec![2]), x(vec![2])]), TensorFault::Duplicate);
    assert_eq!(write(&[x(vec![3])]), TensorFault::WrongLength { shape: vec![3], expected: 12, got: 8 });
    assert!(matches!(write(&[x(vec![usize::MAX, 2])]), TensorFault::ShapeOverflow { .. }));
    assert!(!path.exists());
}

#[test]
fn a_file_shorter_than_its_announcement_is_truncated() {
    assert!(matches!(open(vec![1, 2, 3]), Err(Error::Truncated { expected: 8, got: 3, .. })));
    assert!(matches!(open(vec![]), Err(Error::Truncated { expected: 8, got: 0, .. })));
    let mut bytes = raw(r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4);
    bytes.truncate(20);
    assert!(matches!(open(bytes), Err(Error::Truncated { expected: 62, got: 20, .. })));
}

#[test]
fn a_header_length_over_the_limit_is_refused_before_anything_is_read() {
    let bytes = (HEADER_LIMIT + 1).to_le_bytes().to_vec();
    assert!(
        matches!(open(bytes), Err(Error::Limit { limit: HEADER_LIMIT, got, .. }) if got == HEADER_LIMIT + 1)
    );
    assert!(matches!(open(u64::MAX.to_le_bytes().to_vec()), Err(Error::Limit { .. })));
}

#[test]
fn a_header_that_is_no_text_or_no_json_is_refused() {
    let mut bytes = raw("{  }", 0);
    bytes[9] = 0xff;
    assert!(matches!(open(bytes), Err(Error::NotUtf8 { .. })));
    for header in
        ["", "{", "[]", "{\"x\":1}", "{\"x\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}}"]
    {
        assert!(matches!(open(raw(header, 0)), Err(Error::Json { .. })), "{header}");
    }
    let deep = format!("{{\"x\":{}", "[".repeat(100_000));
    assert!(matches!(open(raw(&deep, 0)), Err(Error::Json { .. })));
}

#[test]
fn a_name_listed_twice_is_refused() {
    let entry = r#""x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#;
    assert_eq!(fault(&format!("{{{entry},{entry}}}"), 1), TensorFault::Duplicate);
    let twice = open(raw(r#"{"__metadata__":{},"__metadata__":{"a":"b"}}"#, 0));
    assert!(matches!(twice, Err(Error::Tensor { fault: TensorFault::Duplicate, .. })));
}

#[test]
fn an_unknown_type_is_refused() {
    let header = r#"{"x":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}"#;
    assert_eq!(fault(header, 4), TensorFault::UnknownDtype { dtype: "F31".into() });
}

#[test]
fn a_range_that_runs_backward_is_refused() {
    let header = r#"{"x":{"dtype":"U8","shape":[1],"data_offsets":[4,3]}}"#;
    assert_eq!(fault(header, 4), TensorFault::Backward { start: 4, end: 3 });
}

#[test]
fn overlapping_tensors_are_refused() {
    let header = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"x":{"dtype":"U8","shape":[3],"data_offsets":[2,5]}}"#;
    assert_eq!(fault(header, 5), TensorFault::Overlap { expected: 4, got: 2 });
}

#[test]
fn a_hole_is_refused() {
    let header = r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"x":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}}"#;
    assert_eq!(fault(header, 4), TensorFault::Hole { expected: 2, got: 3 });
}

#[test]
fn the_order_of_the_header_does_not_matter() {
    let header = r#"{"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#;
    assert_eq!(open(raw(header, 3)).unwrap().read_f32("b").unwrap(), [2.0]);
}

#[test]
fn a_tensor_beyond_the_end_is_refused() {
    let header = r#"{"x":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}"#;
    assert_eq!(fault(header, 4), TensorFault::OutOfFile { end: 9, available: 4 });
}

#[test]
fn a_length_that_does_not_fit_the_shape_is_refused() {
    let header = r#"{"x":{"dtype":"F32","shape":[2,1],"data_offsets":[0,4]}}"#;
    assert_eq!(fault(header, 4), TensorFault::WrongLength { shape: vec![2, 1], expected: 8, got: 4 });
}

#[test]
fn a_shape_that_overflows_is_refused() {
    for shape in ["[4294967296,4294967296]", "[18446744073709551615]", "[0,4294967296,4294967296]"] {
        let header = format!(r#"{{"x":{{"dtype":"U8","shape":{shape},"data_offsets":[0,0]}}}}"#);
        assert!(matches!(fault(&header, 0), TensorFault::ShapeOverflow { .. }), "{shape}");
    }
}

#[test]
fn half_a_byte_is_refused() {
    let header = r#"{"x":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#;
    assert_eq!(fault(header, 1), TensorFault::PartialByte { shape: vec![3] });
}

#[test]
fn bytes_after_the_last_tensor_are_refused() {
    let header = r#"{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    assert!(matches!(open(raw(header, 3)), Err(Error::TrailingBytes { expected: 1, got: 3, .. })));
}

#[test]
fn complex_numbers_are_listed_but_not_read() {
    let header = r#"{"x":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}"#;
    let checkpoint = open(raw(header, 8)).unwrap();
    assert_eq!(checkpoint.tensor("x").unwrap().dtype, Dtype::C64);
    assert!(matches!(checkpoint.read_f32("x"), Err(Error::NotConvertible { dtype, .. }) if dtype == "C64"));
}

#[test]
fn other_kinds_of_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Checkpoint::open(&path)
    };
    assert!(matches!(at("a.gguf", b"GGUF\x03\0\0\0"), Err(Error::GgufWeights { .. })));
    assert!(matches!(at("a.bin", b"\x80\x02\x8a\x0a\x6c\xfc"), Err(Error::Pickle { .. })));
    assert!(matches!(Checkpoint::open(folder.path()), Err(Error::NoCheckpoint { .. })));
    assert!(matches!(at("pytorch_model.bin", b"PK"), Err(Error::Truncated { .. })));
    assert!(matches!(Checkpoint::open(folder.path()), Err(Error::Pickle { .. })));
    assert!(matches!(Checkpoint::open(&folder.path().join("none")), Err(Error::Read { .. })));
}

/// A folder with two shards of one tensor each.
fn shards() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, name, value) in [("one.safetensors", "a", 1.0), ("two.safetensors", "b", 2.0)] {
        let tensors = [(name.to_owned(), vec![1], &[value][..])];
        checkpoint::write(&folder.path().join(file), &tensors, &BTreeMap::new()).unwrap();
    }
    index(&folder, r#"{"a":"one.safetensors","b":"two.safetensors"}"#);
    folder
}

fn index(folder: &tempfile::TempDir, map: &str) {
    let text = format!(r#"{{"metadata":{{"total_size":8}},"weight_map":{map}}}"#);
    std::fs::write(folder.path().join(checkpoint::INDEX), text).unwrap();
}

#[test]
fn shards_make_one_checkpoint() {
    let folder = shards();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.read_f32("a").unwrap(), [1.0]);
    assert_eq!(checkpoint.read_f32("b").unwrap(), [2.0]);
    assert_eq!(checkpoint.files().count(), 2);
    assert!(Checkpoint::open(&folder.path().join(checkpoint::INDEX)).is_ok());
}

#[test]
fn an_index_that_lies_is_refused() {
    let folder = shards();
    let open = || Checkpoint::open(folder.path()).map(|_| ());
    index(&folder, r#"{"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"}"#);
    assert!(
        matches!(open(), Err(Error::Tensor { tensor, fault: TensorFault::NotInShard { .. }, .. }) if tensor == "c")
    );
    index(&folder, r#"{"a":"one.safetensors","c":"two.safetensors"}"#);
    assert!(
        matches!(open(), Err(Error::Tensor { tensor, fault: TensorFault::NotInIndex { .. }, .. }) if tensor == "b")
    );
    index(&folder, r#"{"a":"one.safetensors","b":"three.safetensors"}"#);
    assert!(matches!(open(), Err(Error::Read { path, .. }) if path.ends_with("three.safetensors")));
    for name in ["../one.safetensors", "/etc/passwd", "..", "", "a/b", "a\\\\b"] {
        index(&folder, &format!(r#"{{"a":"{name}"}}"#));
        assert!(matches!(open(), Err(Error::ShardName { .. })), "{name}");
    }
    std::fs::write(folder.path().join(checkpoint::INDEX), "{}").unwrap();
    assert!(matches!(open(), Err(Error::Json { .. })));
}

#[test]
fn real_files_found_by_fuzzing() {
    let Some(folder) = shared::data("tensor_file_fuzz/safetensors") else { return };
    let refused = Checkpoint::open(&folder.join("abuse_attempt_1.safetensors"));
    assert!(matches!(refused, Err(Error::Truncated { expected: 1008, got: 88, .. })), "{refused:?}");
    let valid = Checkpoint::open(&folder.join("valid_model.safetensors")).unwrap();
    assert!(valid.tensors().count() > 0);
    for tensor in valid.tensors() {
        assert_eq!(valid.read_f32(&tensor.name).unwrap().len(), tensor.elements());
    }
}

/// Name, shape and length of the tensors that the reference reader finds, by name; nothing when it refuses the file.
fn reference(bytes: &[u8]) -> Option<Vec<(String, Vec<usize>, usize)>> {
    let file = safetensors::SafeTensors::deserialize(bytes).ok()?;
    let mut tensors: Vec<_> =
        file.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec(), view.data().len())).collect();
    tensors.sort();
    Some(tensors)
}

/// A valid file; written once, because forcing a file to disk takes its time.
static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let data: Vec<f32> = (0..12).map(|value| value as f32).collect();
    let tensors = [
        ("layer.0.weight".to_owned(), vec![3, 4], &data[..]),
        ("layer.0.bias".to_owned(), vec![3], &data[..3]),
    ];
    checkpoint::write(&path, &tensors, &BTreeMap::new()).unwrap();
    std::fs::read(path).unwrap()
});

/// Names and extents, or numbers that a header is likely to contain.
fn entry() -> impl Strategy<Value = String> {
    let number = prop_oneof![0u64..20, Just(u64::MAX), Just(1 << 62)];
    let dtype = prop::sample::select(vec!["F32", "BF16", "U8", "F4", "I64", "X"]);
    (
        prop::sample::select(vec!["a", "b", "c"]),
        dtype,
        prop::collection::vec(number.clone(), 0..3),
        number.clone(),
        number,
    )
        .prop_map(|(name, dtype, shape, start, end)| {
            format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#)
        })
}

proptest! {
    #![proptest_config(mutate::config())]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = open(bytes);
    }

    #[test]
    fn whatever_is_accepted_the_reference_accepts_too(
        entries in prop::collection::vec(entry(), 0..4), data in 0usize..24,
        changes in mutate::mutations(), mutate in any::<bool>(),
    ) {
        let bytes = if mutate { mutate::apply(VALID.clone(), &changes) } else { raw(&format!("{{{}}}", entries.join(",")), data) };
        if let Ok(checkpoint) = open(bytes.clone()) {
            let theirs = reference(&bytes).expect("accepted here only");
            let ours: Vec<_> = checkpoint.tensors().map(|t| (t.name.clone(), t.shape.clone(), t.bytes)).collect();
            prop_assert_eq!(ours, theirs);
            for tensor in checkpoint.tensors() {
                let _ = checkpoint.read_f32(&tensor.name);
            }
        }
    }

    #[test]
    fn any_tensors_come_back(
        tensors in prop::collection::btree_map("[a-z.#\"\\\\\u{e9}]{1,12}", prop::collection::vec(any::<u32>(), 0..40), 0..6)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let values: Vec<(String, Vec<f32>)> =
            tensors.into_iter().map(|(name, bits)| (name, bits.into_iter().map(f32::from_bits).collect())).collect();
        let list: Vec<_> = values.iter().map(|(name, data)| (name.clone(), vec![data.len()], &data[..])).collect();
        checkpoint::write(&path, &list, &BTreeMap::new()).unwrap();
        let file = Checkpoint::open(&path).unwrap();
        let theirs = reference(&std::fs::read(&path).unwrap()).expect("refused by the reference");
        prop_assert_eq!(theirs.len(), values.len());
        for (name, data) in &values {
            let bits: Vec<u32> = data.iter().map(|value| value.to_bits()).collect();
            let read: Vec<u32> = file.read_f32(name).unwrap().iter().map(|value| value.to_bits()).collect();
            prop_assert_eq!(&read, &bits);
        }
    }
}
