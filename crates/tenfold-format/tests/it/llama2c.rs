//! Files of llama2.c: both versions, one test per malformation, and real files where they are.

use std::path::Path;

use proptest::prelude::*;
use tenfold_format::Error;
use tenfold_format::llama2c::{self, Llama2c, Llama2cFault};
use tenfold_format::sniff::{self, FileKind};

use crate::{mutate, shared};

/// D, F, layers, heads, key heads, vocabulary, positions.
const COUNTS: [i32; 7] = [8, 4, 2, 2, 1, 5, 3];

/// Elements of the vectors and of the matrices in front of an output matrix of their own.
const VECTORS: usize = 8 * 5;
const MATRICES: usize = 40 + 2 * (64 + 32 + 32 + 64 + 32 + 32 + 32);
/// Elements of the rotary tables.
const TABLES: usize = 3 * 4;

fn words(values: impl IntoIterator<Item = i32>) -> Vec<u8> {
    values.into_iter().flat_map(i32::to_le_bytes).collect()
}

/// A file of version 0 whose numbers count from 0.
fn first(counts: [i32; 7]) -> Vec<u8> {
    let output = if counts[5] < 0 { 40 } else { 0 };
    let numbers = (0..VECTORS + MATRICES + TABLES + output).flat_map(|at| (at as f32).to_le_bytes());
    words(counts).into_iter().chain(numbers).collect()
}

/// A file of version 2 whose codes count from -128 in every matrix and whose scales are 0.5.
fn second(tied: u8, group: i32) -> Vec<u8> {
    let mut bytes = b"24ka".to_vec();
    bytes.extend(words([2].into_iter().chain(COUNTS)));
    bytes.push(tied);
    bytes.extend(group.to_le_bytes());
    bytes.resize(256, 0);
    bytes.extend((0..VECTORS).flat_map(|at| (at as f32).to_le_bytes()));
    let mut matrix = |elements: usize| {
        bytes.extend((0..elements).map(|at| (at as u8).wrapping_add(128)));
        bytes.extend((0..elements / group as usize).flat_map(|_| 0.5f32.to_le_bytes()));
    };
    matrix(40);
    for elements in [64, 32, 32, 64, 32, 32, 32] {
        matrix(elements);
        matrix(elements);
    }
    if tied == 0 {
        matrix(40);
    }
    bytes
}

fn open(bytes: Vec<u8>) -> Result<Llama2c, Error> {
    Llama2c::from_bytes(Path::new("model.bin"), bytes)
}

fn fault(bytes: Vec<u8>) -> Llama2cFault {
    match open(bytes).unwrap_err() {
        Error::Llama2c { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

#[test]
fn version_0_is_read_with_the_rows_of_query_and_key_in_halves() {
    let file = open(first(COUNTS)).unwrap();
    let c = &file.config;
    assert_eq!((c.width, c.hidden, c.layers, c.heads, c.key_heads), (8, 4, 2, 2, 1));
    assert_eq!((c.vocabulary, c.positions, c.head_width, c.tied), (5, 3, 4, true));
    assert_eq!(file.tensors().count(), 1 + 2 * 9 + 1);
    assert_eq!(file.read_f32("model.embed_tokens.weight").unwrap()[39], 39.0);
    let query = 40 + 16;
    let values = file.read_f32("model.layers.0.self_attn.q_proj.weight").unwrap();
    let rows: Vec<usize> = values.iter().step_by(8).map(|value| (*value as usize - query) / 8).collect();
    assert_eq!(rows, [0, 2, 1, 3, 4, 6, 5, 7]);
    // The second layer's keys come behind all queries and the first layer's keys.
    let keys = file.read_f32("model.layers.1.self_attn.k_proj.weight").unwrap();
    assert_eq!(keys[0], (query + 128 + 32) as f32);
    let norm = file.read_f32("model.norm.weight").unwrap();
    assert_eq!(norm[0], (VECTORS + MATRICES - 8) as f32);
    assert!(matches!(file.read_f32("lm_head.weight"), Err(Error::MissingTensor { .. })));
}

#[test]
fn a_negative_vocabulary_means_an_output_matrix_behind_the_tables() {
    let mut counts = COUNTS;
    counts[5] = -5;
    let file = open(first(counts)).unwrap();
    assert!(!file.config.tied);
    assert_eq!(file.read_f32("lm_head.weight").unwrap()[0], (VECTORS + MATRICES + TABLES) as f32);
}

#[test]
fn version_2_is_read_as_code_times_scale() {
    for tied in [0, 1] {
        let file = open(second(tied, 8)).unwrap();
        assert_eq!(file.config.tied, tied == 1);
        let table = file.read_f32("model.embed_tokens.weight").unwrap();
        assert_eq!(table[..3], [-64.0, -63.5, -63.0]);
        assert_eq!(file.read_f32("model.layers.1.post_attention_layernorm.weight").unwrap()[0], 24.0);
        assert_eq!(file.read_f32("lm_head.weight").is_ok(), tied == 0);
    }
}

#[test]
fn every_malformation_has_its_fault() {
    let expected = 28 + 4 * (VECTORS + MATRICES + TABLES) as u64;
    let file = first(COUNTS);
    let short = file[..file.len() - 1].to_vec();
    assert_eq!(fault(short), Llama2cFault::Length { expected, got: expected - 1 });
    let long = [&file[..], &[0]].concat();
    assert_eq!(fault(long), Llama2cFault::Length { expected, got: expected + 1 });
    assert_eq!(fault(file[..27].to_vec()), Llama2cFault::ShortHeader { expected: 28, got: 27 });
    assert_eq!(fault(second(1, 8)[..255].to_vec()), Llama2cFault::ShortHeader { expected: 256, got: 255 });
    let names = ["dim", "hidden", "layers", "heads", "key/value heads", "vocabulary", "positions"];
    for (at, name) in names.into_iter().enumerate() {
        for value in [0, i32::MIN, i32::MAX] {
            let mut counts = COUNTS;
            counts[at] = value;
            let got = fault([words(counts), file[28..].to_vec()].concat());
            assert!(matches!(&got, Llama2cFault::Count { field, .. } if *field == name), "{got}");
        }
    }
    for (at, value, name) in [(3, 3, "heads"), (3, 8, "heads"), (4, 3, "key/value heads")] {
        let mut counts = COUNTS;
        counts[at] = value;
        let got = fault([words(counts), file[28..].to_vec()].concat());
        assert!(matches!(&got, Llama2cFault::Count { field, .. } if *field == name), "{got}");
    }
    let mut version = second(1, 8);
    version[4] = 1;
    assert_eq!(fault(version), Llama2cFault::Version { got: 1 });
    assert!(matches!(fault(second(2, 8)), Llama2cFault::Count { field: "tied flag", .. }));
    let mut group = second(1, 8);
    group[37..41].copy_from_slice(&0i32.to_le_bytes());
    assert!(matches!(fault(group.clone()), Llama2cFault::Count { field: "group size", .. }));
    group[37..41].copy_from_slice(&7i32.to_le_bytes());
    assert!(matches!(fault(group), Llama2cFault::Group { group: 7, elements: 40, .. }));
}

#[test]
fn folders_are_searched_and_two_models_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    std::fs::write(dir.join("tok5.bin"), words([7, 0, 5])).unwrap();
    assert_eq!(llama2c::find(dir).unwrap(), None);
    assert!(matches!(sniff::kind(dir), Err(Error::NoCheckpoint { .. })));
    std::fs::write(dir.join("model.bin"), first(COUNTS)).unwrap();
    assert_eq!(llama2c::find(dir).unwrap(), Some(dir.join("model.bin")));
    assert_eq!(sniff::kind(dir).unwrap(), FileKind::Llama2c);
    assert_eq!(sniff::kind(&dir.join("model.bin")).unwrap(), FileKind::Llama2c);
    std::fs::write(dir.join("other.bin"), second(1, 8)).unwrap();
    assert!(matches!(llama2c::find(dir), Err(Error::TwoModels { .. })));
}

#[test]
fn real_files_are_found_and_read() {
    for (name, tokens, numbers) in
        [("stories260k", 512, 260_032), ("babyllama105", 105, 936_448), ("stories3m_q80", 4096, 3_148_224)]
    {
        let Some(dir) = shared::model(name) else { continue };
        let file = Llama2c::open(&llama2c::find(&dir).unwrap().unwrap()).unwrap();
        assert_eq!(file.config.vocabulary, tokens);
        let sizes = file.tensors().map(|(_, shape)| shape.iter().product::<usize>());
        assert_eq!(sizes.sum::<usize>(), numbers, "{name}");
    }
}

proptest! {
    #![proptest_config(mutate::config())]

    #[test]
    fn a_damaged_file_is_read_or_refused(changes in mutate::mutations(), version in 0..2) {
        let bytes = if version == 0 { first(COUNTS) } else { second(1, 8) };
        if let Ok(file) = open(mutate::apply(bytes, &changes)) {
            let names: Vec<String> = file.tensors().map(|(name, _)| name.to_owned()).collect();
            for name in names {
                prop_assert!(file.read_f32(&name).is_ok());
            }
        }
    }
}
