//! GGUF files written and read again, and what the writer refuses.

use std::path::Path;

use proptest::prelude::*;
use tenfold_format::Error;
use tenfold_format::gguf::{self, Array, Gguf, GgufFault, GgufFile, Kind, NESTING_LIMIT, Planned, Value};

use crate::mutate;

pub(crate) fn entry(key: &str, value: Value) -> (String, Value) {
    (key.to_owned(), value)
}

pub(crate) fn planned(name: &str, shape: &[u64], kind: &str) -> Planned {
    Planned { name: name.to_owned(), shape: shape.to_vec(), kind: Kind::named(kind).unwrap() }
}

/// Bytes that differ from tensor to tensor.
fn filled(tensor: &Planned) -> Result<Vec<u8>, Error> {
    let size = tensor.kind.size(&tensor.shape).unwrap() as usize;
    Ok((0..size).map(|at| (at + tensor.name.len()) as u8).collect())
}

pub(crate) fn written(metadata: &[(String, Value)], tensors: &[Planned]) -> Result<Vec<u8>, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let bytes = gguf::write(&path, metadata, tensors, &mut filled)?;
    let content = std::fs::read(&path).unwrap();
    assert_eq!(content.len() as u64, bytes);
    Ok(content)
}

fn refused(metadata: &[(String, Value)], tensors: &[Planned]) -> GgufFault {
    match written(metadata, tensors) {
        Err(Error::GgufUnwritable { fault, .. }) => fault,
        other => panic!("expected a fault, got {other:?}"),
    }
}

fn numbers() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i8>().prop_map(Value::I8),
        any::<u16>().prop_map(Value::U16),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i32>().prop_map(Value::I32),
        any::<u64>().prop_map(Value::U64),
        any::<i64>().prop_map(Value::I64),
        (-1e30f32..1e30).prop_map(Value::F32),
        (-1e300f64..1e300).prop_map(Value::F64),
        any::<bool>().prop_map(Value::Bool),
        ".{0,12}".prop_map(Value::String),
        arrays().prop_map(Value::Array),
    ]
}

fn arrays() -> impl Strategy<Value = Array> {
    use proptest::collection::vec;
    let flat = prop_oneof![
        vec(any::<u8>(), 0..5).prop_map(Array::U8),
        vec(any::<i8>(), 0..5).prop_map(Array::I8),
        vec(any::<u16>(), 0..5).prop_map(Array::U16),
        vec(any::<i16>(), 0..5).prop_map(Array::I16),
        vec(any::<u32>(), 0..5).prop_map(Array::U32),
        vec(any::<i32>(), 0..5).prop_map(Array::I32),
        vec(any::<u64>(), 0..5).prop_map(Array::U64),
        vec(any::<i64>(), 0..5).prop_map(Array::I64),
        vec(-1.0f32..1.0, 0..5).prop_map(Array::F32),
        vec(-1.0f64..1.0, 0..5).prop_map(Array::F64),
        vec(any::<bool>(), 0..5).prop_map(Array::Bool),
        vec(".{0,6}", 0..5).prop_map(Array::String),
    ];
    flat.prop_recursive(3, 12, 3, |inner| vec(inner, 0..3).prop_map(Array::Array))
}

proptest! {
    #![proptest_config(mutate::config())]

    /// What is written is read: entries, names, shapes, types, bytes, alignment.
    #[test]
    fn a_written_file_is_read_as_it_was(
        values in proptest::collection::vec(numbers(), 0..6),
        shapes in proptest::collection::vec((1u64..4, 0u64..3, 0usize..6), 0..5),
        alignment in proptest::option::of(0u32..9),
    ) {
        let kinds = ["F32", "F16", "Q8_0", "Q4_0", "Q6_K", "BF16"];
        let mut metadata: Vec<_> =
            values.into_iter().enumerate().map(|(at, value)| (format!("key.{at}"), value)).collect();
        metadata.extend(alignment.map(|shift| entry("general.alignment", Value::U32(1 << shift))));
        let tensors: Vec<Planned> = shapes.iter().enumerate().map(|(at, &(rows, blocks, kind))| {
            let kind = Kind::named(kinds[kind]).unwrap();
            Planned { name: format!("tensor {at}"), shape: vec![rows, blocks * kind.block], kind }
        }).collect();
        let bytes = written(&metadata, &tensors).unwrap();
        let file = GgufFile::from_bytes(Path::new("a.gguf"), bytes.clone()).unwrap();
        prop_assert_eq!(&file.header().metadata, &metadata);
        prop_assert_eq!(file.header().alignment, alignment.map_or(32, |shift| 1 << shift));
        prop_assert_eq!(file.header().tensors.len(), tensors.len());
        for tensor in &tensors {
            let read = file.tensor(&tensor.name).unwrap();
            prop_assert_eq!(&read.info.shape, &tensor.shape);
            prop_assert_eq!(read.kind, tensor.kind);
            prop_assert_eq!(read.bytes, &filled(tensor).unwrap()[..]);
        }
        prop_assert_eq!(bytes.len() as u64 % file.header().alignment, 0);
    }
}

#[test]
fn what_no_reader_takes_is_not_written() {
    let one = || planned("w", &[1, 32], "Q8_0");
    assert_eq!(refused(&[], &[one(), one()]), GgufFault::Duplicate { name: "w".into() });
    let twice = [entry("a", Value::U8(1)), entry("a", Value::U8(2))];
    assert_eq!(refused(&twice, &[]), GgufFault::Duplicate { name: "a".into() });
    let odd = planned("w", &[2, 48], "Q8_0");
    assert_eq!(refused(&[], &[odd]), GgufFault::Shape { tensor: "w".into(), shape: vec![2, 48] });
    let none = planned("w", &[], "F32");
    assert_eq!(refused(&[], &[none]), GgufFault::Shape { tensor: "w".into(), shape: vec![] });
    let huge = planned("w", &[1 << 40, 1 << 40], "F32");
    assert!(matches!(refused(&[], &[huge]), GgufFault::Shape { .. }));
    let many = planned("w", &[1; 5], "F32");
    assert!(matches!(refused(&[], &[many]), GgufFault::Limit { limit: 4, got: 5, .. }));
    let long = planned(&"w".repeat(64), &[1], "F32");
    assert!(matches!(refused(&[], &[long]), GgufFault::Limit { limit: 63, got: 64, .. }));
    let nested = (0..NESTING_LIMIT).fold(Array::U8(vec![]), |inner, _| Array::Array(vec![inner]));
    let nested = [entry("a", Value::Array(nested))];
    assert!(matches!(refused(&nested, &[]), GgufFault::Limit { what: "the nesting of arrays", .. }));
    let alignment = [entry("general.alignment", Value::U32(33))];
    assert!(matches!(refused(&alignment, &[]), GgufFault::Alignment { .. }));
}

/// Data of a wrong length, or none: the error of whoever gives the data comes through, and no file is left.
#[test]
fn a_file_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    std::fs::write(&path, b"old").unwrap();
    let tensors = [planned("w", &[4], "F32")];
    let mut short = |_: &Planned| Ok::<_, Error>(vec![0; 15]);
    match gguf::write(&path, &[], &tensors, &mut short) {
        Err(Error::GgufUnwritable { fault: GgufFault::Data { expected: 16, got: 15, .. }, .. }) => {}
        other => panic!("{other:?}"),
    }
    let mut failing = |_: &Planned| Err(Error::MissingTensor { path: "b".into(), tensor: "w".into() });
    assert!(matches!(gguf::write(&path, &[], &tensors, &mut failing), Err(Error::MissingTensor { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn tensors_that_share_bytes_are_refused() {
    let tensors = [planned("a", &[16], "F32"), planned("b", &[16], "F32")];
    let mut bytes = written(&[], &tensors).unwrap();
    let place = bytes.windows(8).rposition(|window| window == 64u64.to_le_bytes()).unwrap();
    bytes[place..place + 8].copy_from_slice(&32u64.to_le_bytes());
    match Gguf::parse(Path::new("a.gguf"), &bytes) {
        Err(Error::Gguf { fault: GgufFault::Overlap { first, second }, .. }) => {
            assert_eq!((first.as_str(), second.as_str()), ("a", "b"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tensor_of_an_unknown_type_is_listed_and_not_read() {
    let mut bytes = written(&[], &[planned("a", &[16], "F32")]).unwrap();
    let place = bytes.len() - 64 - (bytes.len() - 64) % 32;
    let at = bytes[..place].windows(4).rposition(|four| four == 16u32.to_le_bytes()).unwrap() + 8;
    bytes[at..at + 4].copy_from_slice(&99u32.to_le_bytes());
    let file = GgufFile::from_bytes(Path::new("a.gguf"), bytes).unwrap();
    assert_eq!(file.header().tensors[0].type_id, 99);
    assert!(matches!(file.tensor("a"), Err(Error::NotConvertible { .. })));
    assert!(matches!(file.tensor("b"), Err(Error::MissingTensor { .. })));
}
