//! GGUF headers: valid ones, one test per malformation, and files that fuzzing found.

use std::path::Path;

use proptest::prelude::*;
use tenfold_format::Error;
use tenfold_format::gguf::{self, Array, Gguf, GgufFault, Value};

use crate::{mutate, shared};

/// Puts a header together.
#[derive(Default)]
struct Builder {
    entries: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

impl Builder {
    fn entry(mut self, key: &str, kind: u32, value: &[u8]) -> Builder {
        self.entries.push([&text(key)[..], &kind.to_le_bytes(), value].concat());
        self
    }

    /// An array entry: the type and number of its elements, and their bytes.
    fn array(self, key: &str, kind: u32, count: u64, elements: &[u8]) -> Builder {
        self.entry(key, 9, &[&kind.to_le_bytes()[..], &count.to_le_bytes(), elements].concat())
    }

    /// A tensor with its sizes as in the file, the fastest first.
    fn tensor(mut self, name: &str, sizes: &[u64], kind: u32, offset: u64) -> Builder {
        let sizes_bytes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        let parts = [&text(name)[..], &(sizes.len() as u32).to_le_bytes(), &sizes_bytes];
        self.tensors.push([&parts.concat()[..], &kind.to_le_bytes(), &offset.to_le_bytes()].concat());
        self
    }

    /// The file, padded to 32 bytes, with this much data.
    fn build(self, data: usize) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.entries.len() as u64).to_le_bytes());
        bytes.extend(self.entries.concat());
        bytes.extend(self.tensors.concat());
        bytes.resize(bytes.len().next_multiple_of(32) + data, 0);
        bytes
    }
}

fn parse(bytes: &[u8]) -> Result<Gguf, Error> {
    Gguf::parse(Path::new("a.gguf"), bytes)
}

fn fault(bytes: &[u8]) -> GgufFault {
    match parse(bytes) {
        Err(Error::Gguf { fault, .. }) => fault,
        other => panic!("expected a fault, got {other:?}"),
    }
}

fn valid() -> Vec<u8> {
    Builder::default()
        .entry("general.architecture", 8, &text("bert"))
        .entry("a.u8", 0, &[200])
        .entry("a.i8", 1, &[200])
        .entry("a.u16", 2, &[1, 2])
        .entry("a.i16", 3, &[255, 255])
        .entry("a.u32", 4, &7u32.to_le_bytes())
        .entry("a.i32", 5, &(-7i32).to_le_bytes())
        .entry("a.f32", 6, &1.5f32.to_le_bytes())
        .entry("a.bool", 7, &[1])
        .entry("a.u64", 10, &7u64.to_le_bytes())
        .entry("a.i64", 11, &(-7i64).to_le_bytes())
        .entry("a.f64", 12, &1.5f64.to_le_bytes())
        .array("tokens", 8, 2, &[text("[PAD]"), vec![2, 0, 0, 0, 0, 0, 0, 0, b'a', 0xff]].concat())
        .array(
            "nested",
            9,
            2,
            &[&[4, 0, 0, 0][..], &1u64.to_le_bytes(), &[9, 0, 0, 0, 7, 0, 0, 0], &[0; 8]].concat(),
        )
        .tensor("w", &[64, 2], 8, 0)
        .tensor("b", &[3], 0, 160)
        .build(172)
}

#[test]
fn every_type_of_value_is_read() {
    let file = parse(&valid()).unwrap();
    assert_eq!((file.version, file.alignment), (3, 32));
    assert_eq!(file.get("general.architecture").and_then(Value::as_str), Some("bert"));
    let expected = [
        ("a.u8", Value::U8(200)),
        ("a.i8", Value::I8(-56)),
        ("a.u16", Value::U16(513)),
        ("a.i16", Value::I16(-1)),
        ("a.u32", Value::U32(7)),
        ("a.i32", Value::I32(-7)),
        ("a.f32", Value::F32(1.5)),
        ("a.bool", Value::Bool(true)),
        ("a.u64", Value::U64(7)),
        ("a.i64", Value::I64(-7)),
        ("a.f64", Value::F64(1.5)),
        ("tokens", Value::Array(Array::String(vec!["[PAD]".into(), "a\u{fffd}".into()]))),
        ("nested", Value::Array(Array::Array(vec![Array::U32(vec![9]), Array::Bool(vec![])]))),
    ];
    for (key, value) in expected {
        if key != "nested" {
            assert_eq!(file.get(key), Some(&value), "{key}");
        }
    }
    assert_eq!(file.get("tokens").unwrap().to_string(), "[2 x string]");
    assert_eq!(file.get("a.i64").unwrap().as_u64(), None);
    assert_eq!(file.get("a.u16").unwrap().as_u64(), Some(513));
}

#[test]
fn tensors_are_listed_with_their_bytes() {
    let file = parse(&valid()).unwrap();
    let [w, b] = &file.tensors[..] else { panic!("two tensors") };
    assert_eq!(
        (w.name.as_str(), &w.shape[..], w.type_name, w.bytes),
        ("w", &[2, 64][..], Some("Q8_0"), Some(4 * 34))
    );
    assert_eq!(
        (b.name.as_str(), &b.shape[..], b.type_name, b.bytes, b.offset),
        ("b", &[3][..], Some("F32"), Some(12), 160)
    );
    assert_eq!(file.data_start % 32, 0);
}

#[test]
fn a_type_that_is_newer_than_this_reader_is_listed_without_bytes() {
    let file = parse(&Builder::default().tensor("w", &[5], 77, 0).build(8)).unwrap();
    assert_eq!((file.tensors[0].type_id, file.tensors[0].type_name, file.tensors[0].bytes), (77, None, None));
}

#[test]
fn other_files_and_versions_are_refused() {
    assert_eq!(fault(b"GGML\x03\0\0\0"), GgufFault::Magic { got: *b"GGML" });
    assert_eq!(fault(b"GGUF\x01\0\0\0"), GgufFault::Version { got: 1 });
    assert_eq!(fault(b"GGUF\0\0\0\x03"), GgufFault::Version { got: 0x0300_0000 });
    assert_eq!(fault(b"GG"), GgufFault::Truncated { needed: 4, left: 2 });
}

#[test]
fn counts_are_held_against_limits_and_the_file() {
    let header = |tensors: u64, entries: u64| {
        [&b"GGUF\x03\0\0\0"[..], &tensors.to_le_bytes(), &entries.to_le_bytes()].concat()
    };
    assert!(matches!(fault(&header(u64::MAX, 0)), GgufFault::Limit { limit: gguf::TENSORS_LIMIT, .. }));
    assert!(matches!(fault(&header(0, u64::MAX)), GgufFault::Limit { limit: gguf::ENTRIES_LIMIT, .. }));
    assert_eq!(fault(&header(2, 1)), GgufFault::Truncated { needed: 61, left: 0 });
    let key = |length: u64| [&header(0, 1)[..], &length.to_le_bytes(), &[0; 30]].concat();
    assert!(matches!(fault(&key(1 << 20)), GgufFault::Limit { limit: gguf::KEY_LIMIT, .. }));
    assert_eq!(fault(&key(60000)), GgufFault::Truncated { needed: 60000, left: 30 });
}

#[test]
fn an_array_longer_than_the_file_is_refused_before_it_is_allocated() {
    for kind in [0, 5, 7, 8, 9, 12] {
        for count in [1 << 40, u64::MAX] {
            let file = Builder::default().array("a", kind, count, &[]).build(0);
            assert!(matches!(fault(&file), GgufFault::Truncated { .. }), "{kind} {count}");
        }
    }
}

#[test]
fn unknown_types_and_truth_values_are_refused() {
    assert_eq!(fault(&Builder::default().entry("a", 13, &[0]).build(0)), GgufFault::ValueType { got: 13 });
    assert_eq!(fault(&Builder::default().array("a", 99, 0, &[]).build(0)), GgufFault::ValueType { got: 99 });
    assert_eq!(fault(&Builder::default().entry("a", 7, &[2]).build(0)), GgufFault::Bool { got: 2 });
}

#[test]
fn arrays_nest_only_so_deep() {
    let level = [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat();
    let file = Builder::default().entry("a", 9, &level.repeat(1000)).build(0);
    assert!(matches!(fault(&file), GgufFault::Limit { what: "the nesting of arrays", .. }));
}

#[test]
fn names_are_text_and_appear_once() {
    let mut file = Builder::default().entry("ab", 0, &[0]).build(0);
    file[32] = 0xff;
    assert_eq!(fault(&file), GgufFault::NotUtf8 { what: "a key" });
    let twice = Builder::default().entry("a", 0, &[0]).entry("a", 0, &[0]).build(0);
    assert_eq!(fault(&twice), GgufFault::Duplicate { name: "a".into() });
    let twice = Builder::default().tensor("w", &[1], 0, 0).tensor("w", &[1], 0, 32).build(64);
    assert_eq!(fault(&twice), GgufFault::Duplicate { name: "w".into() });
}

#[test]
fn an_impossible_alignment_is_refused() {
    for value in [0u32, 3, u32::MAX, 1 << 21] {
        let file = Builder::default().entry("general.alignment", 4, &value.to_le_bytes()).build(0);
        assert_eq!(fault(&file), GgufFault::Alignment { got: value.to_string() });
    }
    let text = Builder::default().entry("general.alignment", 8, &text("32")).build(0);
    assert!(matches!(fault(&text), GgufFault::Alignment { .. }));
    let file = Builder::default().entry("general.alignment", 4, &64u32.to_le_bytes()).build(64);
    assert_eq!(parse(&file).unwrap().alignment, 64);
}

#[test]
fn impossible_tensors_are_refused() {
    let one = |sizes: &[u64], kind, offset, data| {
        fault(&Builder::default().tensor("w", sizes, kind, offset).build(data))
    };
    let shape = |shape: &[u64]| GgufFault::Shape { tensor: "w".into(), shape: shape.to_vec() };
    assert_eq!(one(&[1 << 40, 1 << 40], 0, 0, 0), shape(&[1 << 40, 1 << 40]));
    assert_eq!(one(&[u64::MAX], 0, 0, 0), shape(&[u64::MAX]));
    assert_eq!(one(&[33], 8, 0, 64), shape(&[33]));
    assert!(matches!(one(&[1; 5], 0, 0, 4), GgufFault::Limit { what: "the number of dimensions", .. }));
    assert_eq!(one(&[1], 0, 8, 64), GgufFault::Misaligned { tensor: "w".into(), got: 8, alignment: 32 });
    assert_eq!(one(&[8], 0, 0, 31), GgufFault::OutOfFile { tensor: "w".into(), end: 32, available: 31 });
    assert!(matches!(one(&[8], 0, u64::MAX - 31, 32), GgufFault::OutOfFile { .. }));
}

#[test]
fn the_error_says_where() {
    let error = parse(b"GGUF\x01\0\0\0").unwrap_err();
    assert!(
        error.to_string().starts_with("a.gguf: version 1, expected 2 or 3, little-endian (at byte 8)"),
        "{error}"
    );
}

#[test]
fn files_that_fuzzing_found_are_read_or_refused() {
    let Some(files) = shared::files("tensor_file_fuzz/gguf_fuzz") else { return };
    let refused = files.iter().filter(|path| Gguf::open(path).is_err()).count();
    println!("{} of {} refused", refused, files.len());
    assert!(files.len() > 100);
}

#[test]
fn real_metadata_is_read() {
    let Some(files) = shared::files("tensor_file_fuzz/gguf_fixtures") else { return };
    for path in &files {
        let file = Gguf::open(path).unwrap_or_else(|error| panic!("{error}"));
        assert!(
            file.get("general.architecture").is_some() || !file.metadata.is_empty(),
            "{}",
            path.display()
        );
    }
    let Some(folder) = shared::data("tokenizers/gguf_vocab") else { return };
    let tokens = |name: &str| match Gguf::open(&folder.join(name)).unwrap().get("tokenizer.ggml.tokens") {
        Some(Value::Array(Array::String(tokens))) => tokens.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(tokens("ggml-vocab-bert-bge.gguf"), 30522);
    assert_eq!(tokens("ggml-vocab-gpt-2.gguf"), 50257);
    assert_eq!(tokens("ggml-vocab-llama-spm.gguf"), 32000);
}

proptest! {
    #![proptest_config(mutate::config())]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), magic in any::<bool>()) {
        let bytes = if magic { [&b"GGUF\x03\0\0\0"[..], &bytes].concat() } else { bytes };
        let _ = parse(&bytes);
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(changes in mutate::mutations()) {
        let bytes = mutate::apply(valid(), &changes);
        if let Ok(file) = parse(&bytes) {
            for tensor in &file.tensors {
                prop_assert!(file.data_start + tensor.offset + tensor.bytes.unwrap_or(0) <= bytes.len() as u64);
            }
        }
    }
}
