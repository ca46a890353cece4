//! Checkpoints in GPTQ's layout as sources of models.
#![allow(clippy::unwrap_used)] // helpers of tests fail like the tests themselves

use std::path::Path;
use tenfold_format::checkpoint::{self, Checkpoint};
use tenfold_format::gptq::{self, GptqSettings, GptqWeight, Version, WhenZero};
use tenfold_model::{Batch, Error, Model, Stored};
use tenfold_tensor::{AffineRow, Array, Blocks, Codes, Half, Scheme};
use tenfold_weight::{Form, Scope, dense_values};

/// Inputs that share a scale.
const GROUP: usize = 32;

/// Plain rounding; inputs are dealt to the groups in turn, so that groups are no neighbors.
fn rounded(values: &[f32], (outputs, inputs): (usize, usize), bits: u32) -> GptqWeight {
    let (count, top) = (inputs / GROUP, ((1u32 << bits) - 1) as f32);
    let groups: Vec<u32> = (0..inputs).map(|input| (input % count) as u32).collect();
    let (mut zeros, mut scales) = (vec![0; count * outputs], vec![0; count * outputs]);
    let mut codes = vec![0; outputs * inputs];
    for output in 0..outputs {
        let row = &values[output * inputs..(output + 1) * inputs];
        for group in 0..count {
            let own = || (group..inputs).step_by(count).map(|input| row[input]);
            let (low, high) = (own().fold(0.0, f32::min), own().fold(0.0, f32::max));
            let scale = Half::nearest((high - low) / top);
            let zero = (-low / scale.value()).round().clamp(0.0, top);
            (zeros[group * outputs + output], scales[group * outputs + output]) = (zero as u16, scale.bits());
            for input in (group..inputs).step_by(count) {
                let code = (row[input] / scale.value() + zero).round().clamp(0.0, top);
                codes[output * inputs + input] = code as u8;
            }
        }
    }
    GptqWeight { bits, outputs, inputs, codes, zeros, scales, groups }
}

/// Every width and version: the model holds what the integers mean, and says nothing of quantization when it is written.
#[test]
fn a_quantized_checkpoint_is_loaded_as_what_its_integers_mean() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gguf_llama/model.gguf");
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    Model::load(&golden).unwrap().save_dense(&whole).unwrap();
    let source = Checkpoint::open(&whole).unwrap();
    let mut error = f64::INFINITY;
    for bits in gptq::BITS {
        let target = dir.path().join(format!("bits-{bits}"));
        std::fs::create_dir(&target).unwrap();
        let (mut quantized, mut plain) = (Vec::new(), Vec::new());
        for info in source.tensors() {
            let values = source.read_f32(&info.name).unwrap();
            match info.name.strip_suffix("_proj.weight") {
                Some(name) => {
                    let size = (info.shape[0], info.shape[1]);
                    quantized.push((format!("{name}_proj"), rounded(&values, size, bits)));
                }
                None => plain.push((info.name.clone(), info.shape.clone(), values)),
            }
        }
        assert_eq!(quantized.len(), 14);
        let plain: Vec<_> =
            plain.iter().map(|(name, shape, values)| (name.clone(), shape.clone(), &values[..])).collect();
        let (group_size, version) = (Some(GROUP), Version::V2);
        let settings = GptqSettings { bits, group_size, desc_act: true, sym: false, version, skip: vec![] };
        gptq::write(&target, &settings, &quantized, &plain, WhenZero::Refuse).unwrap();
        for name in ["config.json", "tokenizer.json"] {
            std::fs::copy(whole.join(name), target.join(name)).unwrap();
        }
        // Once by its own file, once in the config, as transformers has it.
        if bits > 3 {
            let text = std::fs::read(target.join("config.json")).unwrap();
            let mut config: serde_json::Value = serde_json::from_slice(&text).unwrap();
            config["quantization_config"] = settings.json();
            std::fs::write(target.join("config.json"), config.to_string()).unwrap();
            std::fs::remove_file(target.join("quantize_config.json")).unwrap();
        }
        let model = Model::load(&target).unwrap();
        for (name, weight) in &quantized {
            let path = name.strip_prefix("model.").unwrap();
            let path = tenfold_weight::Path::new(format!("{path}.weight"));
            assert_eq!(
                dense_values(&model.tree, &path).unwrap().data(),
                weight.decode(),
                "{name}, {bits} bits"
            );
        }
        let name = "model.layers.1.mlp.down_proj.weight";
        let (before, path) = (source.read_f32(name).unwrap(), "layers.1.mlp.down_proj.weight");
        let after = dense_values(&model.tree, &tenfold_weight::Path::new(path)).unwrap();
        let lost = before.iter().zip(after.data()).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        assert!(lost < error, "{bits} bits lose more than fewer do");
        error = lost;
        let again = dir.path().join("again");
        model.save_dense(&again).unwrap();
        let config = std::fs::read_to_string(again.join("config.json")).unwrap();
        assert!(!config.contains("quantization_config"));
        assert_eq!(Checkpoint::open(&again).unwrap().tensors().count(), source.tensors().count());
        assert!(again.join(checkpoint::FILE).is_file());
    }
}

fn golden(name: &str) -> Model {
    Model::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

/// A matrix rounded to groups from the least to the largest of each, 0 among them; no zero point is below `least`.
fn coded(values: &Array, word: &str, least: u8) -> Codes {
    let scheme = Scheme::parse(word).unwrap();
    let Scheme::Affine(affine) = scheme else { unreachable!() };
    let (rows, cols, top) = (values.height(), values.width(), ((1u32 << affine.bits()) - 1) as f32);
    let group = if affine.group() == 0 { cols } else { affine.group() as usize };
    let row = |row: &[f32]| {
        let (mut scales, mut zeros) = (Vec::new(), Vec::new());
        for own in row.chunks(group) {
            let (low, high) = own.iter().fold((0f32, 0f32), |(low, high), &x| (low.min(x), high.max(x)));
            let symmetric = affine.is_symmetric();
            let span = if symmetric { 2.0 * high.max(-low) } else { high - low };
            let scale = Half::nearest(span / top).value();
            let zero = (-low / scale).round().clamp(f32::from(least), top) as u8;
            scales.push(scale);
            zeros.push(if symmetric { 1 << (affine.bits() - 1) } else { zero });
        }
        let code = |(at, x): (usize, &f32)| {
            (x / scales[at / group] + f32::from(zeros[at / group])).round().clamp(0.0, top) as u8
        };
        let codes = row.iter().enumerate().map(code).collect();
        let mut bytes = vec![0; affine.row_bytes(cols)];
        affine.pack(&AffineRow { codes, scales: scales.clone(), zeros: zeros.clone() }, &mut bytes);
        bytes
    };
    let bytes: Vec<u8> = values.data().chunks(cols).flat_map(row).collect();
    Codes::new(scheme, rows, cols, bytes).unwrap()
}

/// Puts codes in the place of the weights whose paths end as named.
fn quantize(model: &mut Model, ends: &[&str], word: &str, least: u8) -> Vec<tenfold_weight::Path> {
    let paths = model.tree.iter().map(|(path, _)| path.clone());
    let paths = paths.filter(|path| ends.iter().any(|end| path.as_str().ends_with(end)));
    let paths: Vec<_> = paths.collect();
    for path in &paths {
        let values = dense_values(&model.tree, path).unwrap();
        model.tree.insert(path.clone(), Form::quant(coded(&values, word, least)));
    }
    paths
}

fn logits(model: &Model, ids: &[u32]) -> Vec<f32> {
    let batch = Batch::from_sequences(&[ids]);
    let scope = Scope::evaluate(&model.tree);
    let hidden = model.network.hidden(&scope, &batch).unwrap();
    model.network.next_token(&scope, &hidden).unwrap().value().data().to_vec()
}

const LLAMA: &[&str] = &["_proj.weight"];
const GPT2: &[&str] = &[
    "attn.query.weight",
    "attn.key.weight",
    "attn.value.weight",
    "attn.c_proj.weight",
    "mlp.c_fc.weight",
    "mlp.c_proj.weight",
];

/// Codes go into the layout of GPTQ and come back as the same codes, in both versions, for matrices of their own and for
/// those that lie side by side; everything else is as it was.
#[test]
fn codes_stay_codes() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out");
    for (name, ends, word, least) in [
        ("gguf_llama/model.gguf", LLAMA, "int4-g32", 1),
        ("gguf_llama/model.gguf", LLAMA, "int2-g16", 1),
        ("gguf_llama/model.gguf", LLAMA, "int3-g32-sym", 1),
        ("tiny_gpt2", GPT2, "int8-g8", 1),
        ("tiny_gpt2", GPT2, "int4-row", 1),
        ("tiny_gpt2", GPT2, "int4-g8-sym", 1),
    ] {
        let mut model = golden(name);
        let table =
            model.tree.iter().map(|(path, _)| path.clone()).find(|path| path.as_str().contains("embed"));
        if let Some(table) = table {
            let values = dense_values(&model.tree, &table).unwrap();
            model.tree.insert(table, Form::dense(values));
        }
        let paths = quantize(&mut model, ends, word, least);
        assert!(paths.len() >= 12, "{name}");
        for version in [Version::V1, Version::V2] {
            let saved = model.save_gptq(&target, version).unwrap();
            assert!(saved.kept.is_empty(), "{:?}", saved.kept);
            let settings = GptqSettings::of(&target).unwrap().unwrap();
            assert_eq!((settings.version, settings.sym), (version, word.ends_with("sym")));
            assert_eq!(settings.group_size.is_none(), word.ends_with("row"));
            assert!(settings.skip.is_empty(), "{:?}", settings.skip);
            let again = Model::load(&target).unwrap();
            for (path, form) in model.tree.iter() {
                let other = again.tree.get(path).unwrap();
                assert_eq!(other.as_codes(), form.as_codes(), "{path} of {name} in {word}, {version}");
                assert_eq!(
                    dense_values(&again.tree, path).unwrap(),
                    dense_values(&model.tree, path).unwrap(),
                    "{path}"
                );
            }
            assert_eq!(logits(&again, &[2, 5, 11, 7]), logits(&model, &[2, 5, 11, 7]));
        }
    }
}

/// Zero points of 0 have no place in the first version, which is said with weight and group; nothing is written then.
#[test]
fn zero_points_of_the_first_version_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out");
    let mut model = golden("gguf_llama/model.gguf");
    quantize(&mut model, LLAMA, "int4-g32", 1);
    let path = tenfold_weight::Path::new("layers.1.mlp.up_proj.weight");
    let mut values = dense_values(&model.tree, &path).unwrap();
    let width = values.width();
    values.data_mut()[5 * width + 32..6 * width].iter_mut().for_each(|value| *value = value.abs());
    model.tree.insert(path, Form::quant(coded(&values, "int4-g32", 0)));
    let fault = model.save_gptq(&target, Version::V1).unwrap_err();
    let message = fault.to_string();
    for part in ["layers.1.mlp.up_proj", "zero point 0 of group 1, output 5", "version 2 (gptq_v2) holds it"]
    {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    model.save_gptq(&target, Version::V2).unwrap();
    assert_eq!(logits(&Model::load(&target).unwrap(), &[1, 2, 3]), logits(&model, &[1, 2, 3]));
}

/// What the layout has no place for is decoded and named, or refused.
#[test]
fn what_has_no_place_is_named_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out");
    let whole = dir.path().join("whole");
    golden("gguf_llama/model.gguf").save_dense(&whole).unwrap();
    let load = || Model::load(&whole).unwrap();
    assert!(matches!(load().save_gptq(&target, Version::V1), Err(Error::NothingQuantized { .. })));

    // Weights with groups of several sizes get the one that divides them; what is not quantized is to be skipped by readers.
    let mut model = load();
    quantize(&mut model, &["q_proj.weight", "k_proj.weight"], "int4-g32", 1);
    quantize(&mut model, &["v_proj.weight"], "int4-g16-sym", 1);
    quantize(&mut model, &["o_proj.weight"], "int4-row-sym", 1);
    quantize(&mut model, &["embed_tokens.weight"], "int8-row-sym", 1);
    let saved = model.save_gptq(&target, Version::V2).unwrap();
    let kept: Vec<&str> = saved.kept.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(kept, ["embed_tokens.weight"]);
    let settings = GptqSettings::of(&target).unwrap().unwrap();
    assert_eq!((settings.group_size, settings.sym), (Some(16), false));
    assert_eq!(settings.skip.len(), 6);
    assert!(
        settings.skip.contains(&"^model\\.layers\\.1\\.mlp\\.down_proj$".to_owned()),
        "{:?}",
        settings.skip
    );
    let again = Model::load(&target).unwrap();
    for (path, _) in model.tree.iter() {
        assert_eq!(
            dense_values(&again.tree, path).unwrap(),
            dense_values(&model.tree, path).unwrap(),
            "{path}"
        );
    }

    quantize(&mut model, &["up_proj.weight"], "int8-g32", 1);
    let fault = model.save_gptq(&target, Version::V2).unwrap_err();
    assert!(matches!(fault, Error::GptqBits { got: 4, bits: 8, .. }), "{fault}");
    let mut model = load();
    quantize(&mut model, LLAMA, "int5-g32", 1);
    assert!(matches!(model.save_gptq(&target, Version::V2), Err(Error::GptqBits { got: 5, .. })));
    // Three bits of 40 inputs fill no words of 32.
    let mut model = golden("tiny_gpt2");
    quantize(&mut model, GPT2, "int3-row", 1);
    assert!(matches!(model.save_gptq(&target, Version::V2), Err(Error::NothingQuantized { .. })));
    // A part of what lies side by side.
    let mut model = golden("tiny_gpt2");
    quantize(&mut model, &GPT2[1..], "int4-row", 1);
    let kept = model.save_gptq(&target, Version::V2).unwrap().kept;
    assert_eq!(kept.len(), 4);
    assert!(kept[0].1.contains("only a part of transformer.h.0.attn.c_attn is quantized"), "{}", kept[0].1);
}

/// From GGUF to GPTQ and back nothing changes where the grids allow it; where not, the place is named.
#[test]
fn blocks_and_groups_are_carried_over_exactly_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (blocks, groups) = (dir.path().join("a.gguf"), dir.path().join("groups"));
    let whole = dir.path().join("whole");
    golden("gguf_llama/model.gguf").save_dense(&whole).unwrap();
    for scheme in [Blocks::Q4_0, Blocks::Q8_0] {
        Model::load(&whole).unwrap().save_gguf(&blocks, Stored::Blocks(scheme)).unwrap();
        let first = Model::load(&blocks).unwrap();
        first.save_gptq(&groups, Version::V1).unwrap();
        let second = Model::load(&groups).unwrap();
        let path = tenfold_weight::Path::new("layers.0.self_attn.q_proj.weight");
        assert!(matches!(
            second.tree.get(&path).unwrap().as_codes().unwrap().scheme(),
            Scheme::Affine(affine) if affine.group() == 32 && affine.is_symmetric()
        ));
        assert_eq!(logits(&second, &[1, 2, 3]), logits(&first, &[1, 2, 3]));
        let back = dir.path().join("b.gguf");
        second.save_gguf(&back, Stored::F32).unwrap();
        let third = Model::load(&back).unwrap();
        for (path, form) in third.tree.iter().filter(|(path, _)| path.as_str().contains("_proj")) {
            assert_eq!(form.as_codes(), first.tree.get(path).unwrap().as_codes(), "{path}");
        }
    }
    Model::load(&whole).unwrap().save_gguf(&blocks, Stored::Blocks(Blocks::Q4_1)).unwrap();
    let fault = Model::load(&blocks).unwrap().save_gptq(&groups, Version::V2).unwrap_err();
    assert!(fault.to_string().contains("the minimum of row 0, columns from 0 on"), "{fault}");
    assert!(matches!(fault, Error::NoGroups { .. }));
}
