//! Checkpoints in GPTQ's layout as sources of models.
#![allow(clippy::unwrap_used)] // helpers of tests fail like the tests themselves

use std::path::Path;
use tenfold_format::checkpoint::{self, Checkpoint};
use tenfold_format::gptq::{self, GptqSettings, GptqWeight, Version, WhenZero};
use tenfold_model::Model;
use tenfold_tensor::Half;
use tenfold_weight::dense_values;

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
        let settings =
            GptqSettings { bits, group_size: Some(GROUP), desc_act: true, sym: false, version: Version::V2 };
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
