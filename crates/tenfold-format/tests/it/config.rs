//! Model configs: defaults, limits, and the way back to Hugging Face.

use std::path::Path;

use proptest::prelude::*;
use tenfold_format::Error;
use tenfold_format::config::{self, Activation, BertConfig, Gpt2Config, LlamaConfig, ModelConfig, T5Config};

use crate::mutate;

fn parse(text: &str) -> Result<ModelConfig, Error> {
    config::parse(Path::new("config.json"), text)
}

fn bert(text: &str) -> BertConfig {
    match parse(text).unwrap() {
        ModelConfig::Bert(bert) => bert,
        other => panic!("{other:?}"),
    }
}

#[test]
fn absent_fields_have_hugging_faces_defaults() {
    assert_eq!(bert(r#"{"model_type":"bert"}"#), BertConfig::default());
    assert_eq!(bert(r#"{"architectures":["BertForMaskedLM"],"id2label":{"0":"no"}}"#), BertConfig::default());
}

#[test]
fn every_field_is_read() {
    let read = bert(
        r#"{"model_type":"bert","vocab_size":100,"hidden_size":24,"num_hidden_layers":3,"num_attention_heads":4,
        "intermediate_size":48,"max_position_embeddings":32,"type_vocab_size":1,"layer_norm_eps":1e-5,"hidden_act":"silu",
        "hidden_dropout_prob":0.2,"attention_probs_dropout_prob":0.3,"classifier_dropout":0.4,"initializer_range":0.05,
        "pad_token_id":7,"position_embedding_type":"absolute","is_decoder":false,"use_cache":true}"#,
    );
    let expected = BertConfig {
        vocabulary: 100,
        width: 24,
        layers: 3,
        heads: 4,
        hidden: 48,
        positions: 32,
        types: 1,
        norm_eps: 1e-5,
        activation: Activation::Silu,
        dropout: 0.2,
        attention_dropout: 0.3,
        classifier_dropout: Some(0.4),
        initializer_range: 0.05,
        pad_token: Some(7),
    };
    assert_eq!(read, expected);
    let back = ModelConfig::Bert(expected.clone());
    assert_eq!(parse(&back.hf_json().to_string()).unwrap(), back);
}

#[test]
fn every_activation_is_known_by_its_name() {
    let read = |name: &str| bert(&format!(r#"{{"model_type":"bert","hidden_act":"{name}"}}"#)).activation;
    for (name, activation) in [
        ("gelu", Activation::Gelu),
        ("gelu_new", Activation::GeluTanh),
        ("gelu_pytorch_tanh", Activation::GeluTanh),
        ("relu", Activation::Relu),
        ("silu", Activation::Silu),
        ("swish", Activation::Silu),
        ("tanh", Activation::Tanh),
    ] {
        assert_eq!(read(name), activation);
        let config = ModelConfig::Bert(BertConfig { activation, ..BertConfig::default() });
        assert_eq!(parse(&config.hf_json().to_string()).unwrap(), config);
    }
}

#[test]
fn decoders_are_read_and_written() {
    let gpt2 = Gpt2Config { begin_token: None, end_tokens: Vec::new(), ..Gpt2Config::default() };
    assert_eq!(parse(r#"{"model_type":"gpt2"}"#).unwrap(), ModelConfig::Gpt2(gpt2.clone()));
    assert_eq!(parse(r#"{"architectures":["GPT2LMHeadModel"]}"#).unwrap(), ModelConfig::Gpt2(gpt2.clone()));
    let gpt2 = Gpt2Config {
        vocabulary: 100,
        width: 24,
        layers: 3,
        heads: 4,
        hidden: 50,
        positions: 32,
        tied: false,
        begin_token: Some(3),
        end_tokens: vec![4, 5],
        ..gpt2
    };
    let llama = LlamaConfig {
        vocabulary: 100,
        width: 24,
        layers: 3,
        heads: 4,
        key_heads: 2,
        head_width: 8,
        hidden: 50,
        positions: 32,
        rotary_base: 500.0,
        tied: true,
        begin_token: None,
        end_tokens: vec![7],
        ..LlamaConfig::default()
    };
    for config in [ModelConfig::Gpt2(gpt2), ModelConfig::Llama(llama.clone())] {
        assert_eq!(parse(&config.hf_json().to_string()).unwrap(), config);
    }
    let mistral = ModelConfig::Llama(llama).hf_json().to_string().replace("\"llama\"", "\"mistral\"");
    assert!(matches!(parse(&mistral).unwrap(), ModelConfig::Llama(_)));
    let later = r#"{"model_type":"llama","rope_parameters":{"rope_type":"default","rope_theta":7.0}}"#;
    assert!(matches!(parse(later).unwrap(), ModelConfig::Llama(LlamaConfig { rotary_base: 7.0, .. })));
}

#[test]
fn encoder_decoders_are_read_and_written() {
    assert_eq!(parse(r#"{"model_type":"t5"}"#).unwrap(), ModelConfig::T5(T5Config::default()));
    let class = parse(r#"{"architectures":["T5ForConditionalGeneration"]}"#).unwrap();
    assert_eq!(class, ModelConfig::T5(T5Config::default()));
    let odd = T5Config {
        vocabulary: 100,
        width: 24,
        layers: 3,
        decoder_layers: 2,
        heads: 4,
        head_width: 5,
        hidden: 50,
        buckets: 6,
        farthest: 9,
        positions: 77,
        norm_eps: 1e-5,
        activation: Activation::GeluTanh,
        gated: true,
        dropout: 0.2,
        initializer_factor: 0.5,
        tied: false,
        scaled: false,
        start_token: 3,
        end_tokens: vec![4, 5],
    };
    let silu = T5Config { activation: Activation::Silu, scaled: true, ..odd.clone() };
    let plain = T5Config { gated: false, tied: true, ..silu.clone() };
    for config in [odd, silu, plain].map(ModelConfig::T5) {
        assert_eq!(parse(&config.hf_json().to_string()).unwrap(), config);
    }
    let read = |fields: &str| match parse(&format!(r#"{{"model_type":"t5",{fields}}}"#)).unwrap() {
        ModelConfig::T5(t5) => t5,
        other => panic!("{other:?}"),
    };
    // Sides are equal, and what is not tied is not scaled, unless the file says more.
    let deep = read(r#""num_layers":9"#);
    assert_eq!((deep.layers, deep.decoder_layers), (9, 9));
    let untied = read(r#""tie_word_embeddings":false"#);
    assert_eq!((untied.tied, untied.scaled), (false, false));
    let later = read(r#""tie_word_embeddings":true,"scale_decoder_outputs":false"#);
    assert_eq!((later.tied, later.scaled), (true, false));
    let v1_1 = read(r#""feed_forward_proj":"gated-gelu""#);
    assert_eq!((v1_1.gated, v1_1.activation), (true, Activation::GeluTanh));
    assert_eq!(read(r#""pad_token_id":7"#).start_token, 7);
    assert_eq!(read(r#""pad_token_id":7,"decoder_start_token_id":2"#).start_token, 2);
}

#[test]
fn settings_of_decoders_that_are_not_implemented_are_refused_by_name() {
    for (model, field, value) in [
        ("gpt2", "scale_attn_weights", "false"),
        ("gpt2", "scale_attn_by_inverse_layer_idx", "true"),
        ("gpt2", "add_cross_attention", "true"),
        ("gpt2", "activation_function", "\"mish\""),
        ("llama", "rope_scaling", r#"{"type":"linear","factor":2.0}"#),
        ("llama", "rope_parameters", r#"{"rope_type":"yarn"}"#),
        ("llama", "partial_rotary_factor", "0.5"),
        ("llama", "attention_bias", "true"),
        ("llama", "mlp_bias", "true"),
        ("mistral", "sliding_window", "1024"),
        ("t5", "feed_forward_proj", "\"gated-mish\""),
        ("t5", "feed_forward_proj", "\"twice-gelu\""),
        ("t5", "is_encoder_decoder", "false"),
    ] {
        let refused = parse(&format!(r#"{{"model_type":"{model}","{field}":{value}}}"#));
        assert!(matches!(refused, Err(Error::Unsupported { field: got, .. }) if got == field), "{field}");
    }
    for (model, field, value) in [
        ("gpt2", "n_head", "5"),
        ("gpt2", "n_positions", "0"),
        ("gpt2", "eos_token_id", "50257"),
        ("llama", "num_key_value_heads", "5"),
        ("llama", "head_dim", "3"),
        ("llama", "bos_token_id", "-1"),
        ("llama", "rms_norm_eps", "-1.0"),
        ("llama", "rope_theta", "0.0"),
        ("t5", "d_model", "0"),
        ("t5", "d_kv", "10000000"),
        ("t5", "num_heads", "0"),
        ("t5", "num_layers", "100000"),
        ("t5", "num_decoder_layers", "0"),
        ("t5", "relative_attention_num_buckets", "3"),
        ("t5", "relative_attention_max_distance", "16"),
        ("t5", "layer_norm_epsilon", "-1.0"),
        ("t5", "dropout_rate", "1.0"),
        ("t5", "decoder_start_token_id", "32128"),
        ("t5", "decoder_start_token_id", "null,\"pad_token_id\":null"),
    ] {
        let refused = parse(&format!(r#"{{"model_type":"{model}","{field}":{value}}}"#));
        assert!(matches!(refused, Err(Error::OutOfRange { field: got, .. }) if got == field), "{field}");
    }
}

#[test]
fn an_unknown_model_is_named_with_the_known_ones() {
    let error = parse(r#"{"model_type":"bart"}"#).unwrap_err();
    assert!(
        matches!(&error, Error::UnknownModel { model, known, .. } if model == "bart" && known[..] == ["bert", "gpt2", "llama", "mistral", "t5"])
    );
    assert_eq!(
        error.to_string(),
        r#"config.json: model type "bart" is not known; known are: bert, gpt2, llama, mistral, t5"#
    );
    let class = parse(r#"{"architectures":["BartModel"]}"#);
    assert!(matches!(class, Err(Error::UnknownModel { model, .. }) if model == "BartModel"));
    assert!(matches!(parse("{}"), Err(Error::UnknownModel { .. })));
}

#[test]
fn settings_that_would_change_the_result_are_refused() {
    for (field, value) in
        [("hidden_act", "\"mish\""), ("position_embedding_type", "\"relative_key\""), ("is_decoder", "true")]
    {
        let refused = parse(&format!(r#"{{"model_type":"bert","{field}":{value}}}"#));
        assert!(matches!(refused, Err(Error::Unsupported { field: got, .. }) if got == field), "{field}");
    }
}

#[test]
fn absurd_numbers_are_refused() {
    for (field, value) in [
        ("vocab_size", "0"),
        ("vocab_size", "1000000000000"),
        ("hidden_size", "0"),
        ("hidden_size", "1000000"),
        ("num_hidden_layers", "1000000"),
        ("num_attention_heads", "0"),
        ("num_attention_heads", "7"),
        ("intermediate_size", "0"),
        ("max_position_embeddings", "18446744073709551615"),
        ("type_vocab_size", "0"),
        ("layer_norm_eps", "-1e-3"),
        ("hidden_dropout_prob", "1.0"),
        ("attention_probs_dropout_prob", "2"),
        ("classifier_dropout", "-0.5"),
        ("initializer_range", "1e9"),
        ("pad_token_id", "30522"),
    ] {
        let refused = parse(&format!(r#"{{"model_type":"bert","{field}":{value}}}"#));
        assert!(
            matches!(refused, Err(Error::OutOfRange { field: got, .. }) if got == field),
            "{field} = {value}"
        );
    }
}

#[test]
fn what_is_no_config_is_refused() {
    for text in [
        "",
        "[]",
        "{",
        r#"{"model_type":"bert","vocab_size":-1}"#,
        r#"{"model_type":"bert","hidden_size":"wide"}"#,
    ] {
        assert!(matches!(parse(text), Err(Error::Json { .. })), "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(config::read(folder.path()), Err(Error::Read { .. })));
    std::fs::write(folder.path().join(config::FILE), b"\xff").unwrap();
    assert!(matches!(config::read(folder.path()), Err(Error::NotUtf8 { .. })));
    std::fs::write(folder.path().join(config::FILE), r#"{"model_type":"bert"}"#).unwrap();
    assert!(config::read(folder.path()).is_ok());
}

proptest! {
    #![proptest_config(mutate::config())]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_damaged_config_is_read_or_refused(changes in mutate::mutations()) {
        let valid = ModelConfig::Bert(BertConfig::default()).hf_json().to_string();
        let damaged = mutate::apply(valid.into_bytes(), &changes);
        if let Ok(text) = String::from_utf8(damaged) && let Ok(config) = parse(&text) {
            prop_assert_eq!(parse(&config.hf_json().to_string()).unwrap(), config);
        }
    }
}
