//! Quantized weights in GPTQ's layout: words by hand, words and back, and files.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use tenfold_format::Error;
use tenfold_format::checkpoint::{self, Checkpoint, Elements};
use tenfold_format::gptq::{self, GptqFault, GptqModel, GptqSettings, GptqWeight, Version, WhenZero, Words};

use crate::mutate;

/// What a file is written of.
type Tensors<'a> = Vec<(String, Vec<usize>, Elements<'a>)>;

/// 1.0 and 0.5 as halves.
const ONE: u16 = 0x3c00;
const HALF: u16 = 0x3800;

/// A weight whose codes and zero points are functions of their places.
fn weight(
    bits: u32,
    (outputs, inputs, groups): (usize, usize, usize),
    code: impl Fn(usize, usize) -> usize,
    zero: impl Fn(usize, usize) -> usize,
) -> GptqWeight {
    GptqWeight {
        bits,
        outputs,
        inputs,
        codes: (0..outputs * inputs).map(|at| code(at / inputs, at % inputs) as u8).collect(),
        zeros: (0..groups * outputs).map(|at| zero(at / outputs, at % outputs) as u16).collect(),
        scales: (0..groups * outputs).map(|at| if at.is_multiple_of(2) { ONE } else { HALF }).collect(),
        groups: (0..inputs).map(|input| (input * groups / inputs) as u32).collect(),
    }
}

/// 32 inputs whose codes count up, 32 outputs with the same codes; worked out by hand from the layout.
#[test]
fn words_are_those_worked_out_by_hand() {
    let column = |bits: u32| {
        let one = weight(bits, (32, 32, 1), |_, input| input % (1 << bits), |_, _| 1 << (bits - 1));
        let words = one.words(Version::V1, WhenZero::Refuse).unwrap();
        let second = one.words(Version::V2, WhenZero::Refuse).unwrap();
        assert_eq!(words.qweight, second.qweight);
        let column: Vec<u32> = words.qweight.iter().step_by(32).copied().collect();
        (column, words.qzeros, second.qzeros)
    };
    // 0 1 2 3 four times: 0b11100100.
    let (two, first, second) = column(2);
    assert_eq!(two, [0xe4e4_e4e4; 2]);
    assert_eq!((first, second), (vec![0x5555_5555; 2], vec![0xaaaa_aaaa; 2]));
    let (four, first, second) = column(4);
    assert_eq!(four, [0x7654_3210, 0xfedc_ba98, 0x7654_3210, 0xfedc_ba98]);
    assert_eq!((first, second), (vec![0x7777_7777; 4], vec![0x8888_8888; 4]));
    let (eight, first, second) = column(8);
    assert_eq!(eight[..3], [0x0302_0100, 0x0706_0504, 0x0b0a_0908]);
    assert_eq!((first, second), (vec![0x7f7f_7f7f; 8], vec![0x8080_8080; 8]));
    // Eight codes make the 24 bits 0xfac688; four times that is 88 c6 fa 88 | c6 fa 88 c6 | fa 88 c6 fa by bytes.
    let (three, first, second) = column(3);
    assert_eq!(three, [0x88fa_c688, 0xc688_fac6, 0xfac6_88fa]);
    // 3 is 011 and 4 is 100, from the lowest bit on.
    assert_eq!(first, [0xdb6d_b6db, 0xb6db_6db6, 0x6db6_db6d]);
    assert_eq!(second, [0x2492_4924, 0x4924_9249, 0x9249_2492]);
}

/// The places of codes of 3 bits as they are published: ten to a word, and what straddles two.
#[test]
fn three_bits_run_across_words() {
    for at in 0..32 {
        for code in 0..8u32 {
            let one = weight(
                3,
                (32, 32, 1),
                |output, input| if (output, input) == (0, at) { code as usize } else { 0 },
                |_, _| 1,
            );
            let words = one.words(Version::V1, WhenZero::Refuse).unwrap();
            let got: Vec<u32> = words.qweight.iter().step_by(32).copied().collect();
            let expected = match at {
                0..10 => [code << (3 * at), 0, 0],
                10 => [code << 30, code >> 2, 0],
                11..21 => [0, code << (3 * (at - 11) + 1), 0],
                21 => [0, code << 31, code >> 1],
                _ => [0, 0, code << (3 * (at - 22) + 2)],
            };
            assert_eq!(got, expected, "code {code} at {at}");
        }
    }
}

/// Version 1 has no place for 0: it is refused, or written as all ones without touching a neighbor.
#[test]
fn zero_points_without_a_place_are_refused() {
    for bits in gptq::BITS {
        let top = 1 << bits;
        let zeros = |_: usize, output: usize| if output == 5 { 0 } else { 1 };
        let one = weight(bits, (32, 32, 1), |_, _| 0, zeros);
        let fault = one.words(Version::V1, WhenZero::Refuse).unwrap_err();
        assert_eq!(fault, GptqFault::Zero { group: 0, output: 5, got: 0, version: Version::V1 });
        assert!(fault.to_string().contains("version 2 (gptq_v2) holds it"), "{fault}");
        let masked = one.words(Version::V1, WhenZero::Mask).unwrap();
        let read = |words: &Words, version| {
            GptqWeight::from_words(bits, (32, 32), words, one.scales.clone(), one.groups.clone(), version)
                .unwrap()
                .zeros
        };
        let expected: Vec<u16> = (0..32).map(|output| if output == 5 { top } else { 1 }).collect();
        assert_eq!(read(&masked, Version::V1), expected);
        let exact = one.words(Version::V2, WhenZero::Refuse).unwrap();
        assert_eq!(read(&exact, Version::V2), one.zeros);
        // And version 2 none for 2^b.
        let one = weight(bits, (32, 32, 1), |_, _| 0, |_, output| if output == 7 { top.into() } else { 0 });
        let fault = one.words(Version::V2, WhenZero::Mask).unwrap_err();
        assert_eq!(fault, GptqFault::Zero { group: 0, output: 7, got: top, version: Version::V2 });
    }
}

fn any_weight() -> impl Strategy<Value = (GptqWeight, Vec<u8>)> {
    let sizes = (prop::sample::select(gptq::BITS.to_vec()), 1usize..3, 1usize..4, 1usize..5);
    sizes.prop_flat_map(|(bits, outputs, inputs, groups)| {
        let (outputs, inputs) = (32 * outputs, 32 * inputs);
        let bytes = outputs * inputs + outputs * groups + inputs;
        prop::collection::vec(any::<u8>(), bytes).prop_map(move |noise| {
            let (codes, rest) = noise.split_at(outputs * inputs);
            let (zeros, order) = rest.split_at(outputs * groups);
            let mask = ((1u32 << bits) - 1) as u8;
            let weight = GptqWeight {
                bits,
                outputs,
                inputs,
                codes: codes.iter().map(|code| code & mask).collect(),
                zeros: zeros.iter().map(|zero| u16::from(zero & mask)).collect(),
                scales: zeros.iter().map(|zero| 0x2c00 + u16::from(*zero)).collect(),
                groups: order.iter().map(|group| u32::from(*group) % groups as u32).collect(),
            };
            (weight, noise)
        })
    })
}

proptest! {
    #![proptest_config(mutate::config())]

    /// Elements to words and back, in both versions; the versions differ by one in every field of the zero points.
    #[test]
    fn packing_is_undone((one, _) in any_weight()) {
        let back = |weight: &GptqWeight, words: &Words, version| {
            let size = (weight.outputs, weight.inputs);
            GptqWeight::from_words(weight.bits, size, words, weight.scales.clone(), weight.groups.clone(), version)
        };
        let second = one.words(Version::V2, WhenZero::Refuse).unwrap();
        prop_assert_eq!(&back(&one, &second, Version::V2).unwrap(), &one);
        // Every stored pattern is legal in version 1, where it means one more.
        let raised = back(&one, &second, Version::V1).unwrap();
        prop_assert!(raised.zeros.iter().zip(&one.zeros).all(|(high, low)| *high == low + 1));
        let first = raised.words(Version::V1, WhenZero::Refuse).unwrap();
        prop_assert_eq!(&first, &second);
        if one.zeros.iter().all(|zero| *zero > 0) {
            let first = one.words(Version::V1, WhenZero::Refuse).unwrap();
            prop_assert_eq!(&back(&one, &first, Version::V1).unwrap(), &one);
            if one.bits != 3 {
                // The published conversion: one in every field, added to whole words.
                let ones = (0..32 / one.bits).fold(0u32, |sum, at| sum | 1 << (at * one.bits));
                for (a, b) in first.qzeros.iter().zip(&second.qzeros) {
                    prop_assert_eq!(a.wrapping_add(ones), *b);
                }
            }
        }
    }

    /// A weight is scale times code less zero point, by the group of its column, whatever the order of groups.
    #[test]
    fn values_follow_the_formula((one, _) in any_weight()) {
        let decoded = one.decode();
        for (at, value) in decoded.iter().enumerate() {
            let (output, input) = (at / one.inputs, at % one.inputs);
            let place = one.groups[input] as usize * one.outputs + output;
            // Halves from 2^-4 on have steps of 2^-14 there.
            let scale = 2f64.powi(-4) + f64::from(one.scales[place] - 0x2c00) * 2f64.powi(-14);
            let expected = scale * (f64::from(one.codes[at]) - f64::from(one.zeros[place]));
            prop_assert!((f64::from(*value) - expected).abs() <= 1e-6 * expected.abs(), "{value} for {expected}");
        }
    }

    /// A file gives back what was written, and has the bits that were announced.
    #[test]
    fn a_written_file_is_read_as_it_was((one, _) in any_weight()) {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(one.bits, Version::V2);
        let named = [("model.layers.0.mlp.up_proj".to_owned(), one.clone())];
        let bytes = gptq::write(folder.path(), &settings, &named, &[], WhenZero::Refuse).unwrap();
        let read = GptqSettings::of(folder.path()).unwrap().unwrap();
        prop_assert_eq!(&read, &settings);
        let file = GptqModel::new(Checkpoint::open(folder.path()).unwrap(), read);
        prop_assert_eq!(&file.weight("model.layers.0.mlp.up_proj").unwrap(), &one);
        let list = file.tensors(&|_| false).unwrap();
        prop_assert_eq!(&list, &[("model.layers.0.mlp.up_proj.weight".to_owned(), vec![one.outputs, one.inputs])]);
        prop_assert_eq!(file.read_f32(&list[0].0).unwrap(), one.decode());
        let data: usize = file.checkpoint().tensors().map(|info| info.bytes).sum();
        prop_assert!(bytes >= data as u64);
        let bits = 8.0 * data as f64 / one.codes.len() as f64;
        prop_assert!((one.bits_per_weight() - bits).abs() <= 1e-3 * bits);
    }
}

fn settings(bits: u32, version: Version) -> GptqSettings {
    let skip = vec![format!("^model\\.layers\\.{bits}\\.mlp$")];
    GptqSettings { bits, group_size: Some(32), desc_act: false, sym: false, version, skip }
}

#[test]
fn settings_are_read_as_other_programs_write_them() {
    let parse = |value: Value| GptqSettings::parse(Path::new("c.json"), value.as_object().unwrap());
    let plain = parse(json!({ "bits": 4, "group_size": 128, "desc_act": true, "sym": true })).unwrap();
    let (bits, group_size, version) = (4, Some(128), Version::V1);
    let expected = GptqSettings { bits, group_size, desc_act: true, sym: true, version, skip: vec![] };
    assert_eq!(plain, expected);
    let rules = json!({ "-:.*down_proj": {}, "+:.*up_proj": {} });
    let ruled = parse(json!({ "bits": 4, "dynamic": rules })).unwrap();
    assert_eq!(ruled.skip, [".*down_proj"]);
    let row =
        parse(json!({ "bits": 2, "group_size": -1, "checkpoint_format": "gptq_v2", "quant_method": "gptq" }));
    assert_eq!(row.unwrap().group_size, None);
    for one in [settings(3, Version::V1), settings(8, Version::V2)] {
        assert_eq!(parse(one.json()).unwrap(), one);
    }
    let refused = |value: Value| parse(value).unwrap_err();
    assert!(matches!(refused(json!({})), Error::OutOfRange { field: "bits", .. }));
    assert!(matches!(refused(json!({ "bits": 5 })), Error::OutOfRange { field: "bits", .. }));
    assert!(matches!(refused(json!({ "bits": 4, "group_size": 0 })), Error::OutOfRange { .. }));
    assert!(matches!(refused(json!({ "bits": 4, "quant_method": "awq" })), Error::Unsupported { .. }));
    assert!(matches!(
        refused(json!({ "bits": 4, "checkpoint_format": "marlin" })),
        Error::Unsupported { .. }
    ));
    assert!(matches!(refused(json!({ "bits": 4, "pack_dtype": "int64" })), Error::Unsupported { .. }));
    assert!(matches!(
        refused(json!({ "bits": 4, "dynamic": { "x": { "bits": 8 } } })),
        Error::Unsupported { .. }
    ));
}

/// A file whose tensors are of other shapes, types or groups than they must be.
#[test]
fn weights_that_do_not_fit_together_are_refused() {
    let whole = weight(4, (32, 64, 2), |output, input| (output + input) % 16, |_, _| 8);
    let words = whole.words(Version::V1, WhenZero::Refuse).unwrap();
    let fault = |change: &dyn Fn(&mut Tensors<'_>)| {
        let folder = tempfile::tempdir().unwrap();
        let mut tensors = vec![
            ("w.qweight".to_owned(), vec![8, 32], Elements::I32(&words.qweight)),
            ("w.qzeros".to_owned(), vec![2, 4], Elements::I32(&words.qzeros)),
            ("w.scales".to_owned(), vec![2, 32], Elements::F16(&whole.scales)),
            ("w.g_idx".to_owned(), vec![64], Elements::I32(&whole.groups)),
        ];
        change(&mut tensors);
        let path = folder.path().join("model.safetensors");
        checkpoint::write(&path, &tensors, &BTreeMap::new()).unwrap();
        let file = GptqModel::new(Checkpoint::open(&path).unwrap(), settings(4, Version::V1));
        file.weight("w")
    };
    assert_eq!(fault(&|_| {}).unwrap(), whole);
    // Without group numbers, groups are neighbors of the size in the settings.
    assert_eq!(fault(&|tensors| drop(tensors.remove(3))).unwrap(), whole);
    let kind = |result: Result<GptqWeight, Error>| match result {
        Err(Error::Gptq { fault, .. }) => *fault,
        other => panic!("{other:?}"),
    };
    assert!(matches!(fault(&|tensors| drop(tensors.remove(1))), Err(Error::MissingTensor { .. })));
    let shape = kind(fault(&|tensors| tensors[1].1 = vec![4, 2]));
    assert!(matches!(shape, GptqFault::Shape { tensor: ".qzeros", .. }));
    let shape = kind(fault(&|tensors| tensors[2].1 = vec![1, 64]));
    assert!(matches!(shape, GptqFault::Shape { tensor: ".scales", .. }));
    let shape = kind(fault(&|tensors| tensors[0].1 = vec![256]));
    assert_eq!(shape, GptqFault::Dimensions { tensor: ".qweight", got: vec![256] });
    static BAD: [u32; 64] = [7; 64];
    let group = kind(fault(&|tensors| tensors[3].2 = Elements::I32(&BAD)));
    assert_eq!(group, GptqFault::Group { input: 0, got: 7, groups: 2 });
    static FLOATS: [f32; 64] = [0.0; 64];
    let scales = kind(fault(&|tensors| tensors[2].2 = Elements::F32(&FLOATS)));
    assert!(matches!(scales, GptqFault::Type { tensor: ".scales", expected: "F16", .. }));
    static INFINITE: [u16; 64] = [0x7c00; 64];
    let scales = kind(fault(&|tensors| tensors[2].2 = Elements::F16(&INFINITE)));
    assert!(matches!(scales, GptqFault::Scale { group: 0, output: 0 }));
}

#[test]
fn weights_that_fill_no_whole_words_are_not_written() {
    let fault = |bits, outputs, inputs| {
        weight(bits, (outputs, inputs, 1), |_, _| 0, |_, _| 1)
            .words(Version::V2, WhenZero::Refuse)
            .unwrap_err()
    };
    assert_eq!(fault(4, 32, 12), GptqFault::Words { what: "inputs", got: 12, bits: 4 });
    assert_eq!(fault(3, 8, 32), GptqFault::Words { what: "outputs", got: 8, bits: 3 });
    assert_eq!(fault(5, 32, 32), GptqFault::Bits { got: 5 });
    let mut large = weight(2, (16, 16, 1), |_, _| 0, |_, _| 1);
    large.codes[17] = 4;
    let fault = large.check().unwrap_err();
    assert_eq!(fault, GptqFault::Code { output: 1, input: 1, got: 4, limit: 4 });
}

/// Some programs write a vector of zeros for every linear map; one with numbers in it is the model's.
#[test]
fn added_vectors_of_zeros_are_left_out() {
    for (value, listed) in [(0.0f32, false), (0.5, true)] {
        let folder = tempfile::tempdir().unwrap();
        let named = [("a".to_owned(), weight(4, (32, 32, 1), |_, _| 3, |_, _| 8))];
        let bias = [value; 32];
        let plain =
            [("a.bias".to_owned(), vec![32], &bias[..]), ("b.bias".to_owned(), vec![32], &[0.0; 32][..])];
        gptq::write(folder.path(), &settings(4, Version::V1), &named, &plain, WhenZero::Refuse).unwrap();
        let settings = GptqSettings::of(folder.path()).unwrap().unwrap();
        let file = GptqModel::new(Checkpoint::open(folder.path()).unwrap(), settings);
        let names: Vec<String> =
            file.tensors(&|_| false).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.contains(&"a.bias".to_owned()), listed);
        assert!(names.contains(&"b.bias".to_owned()));
        assert_eq!(file.read_f32("a.weight").unwrap()[..2], [-5.0, -5.0]);
    }
}
