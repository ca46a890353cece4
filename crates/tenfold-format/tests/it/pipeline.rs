//! Sentence-encoder settings.

use std::path::Path;

use proptest::prelude::*;
use tenfold_format::Error;
use tenfold_format::pipeline::{self, Pipeline, Pooling};

use crate::mutate;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn modules(kinds: &[(&str, &str)]) -> String {
    let modules: Vec<_> =
        kinds.iter().map(|(kind, path)| format!(r#"{{"type":"a.{kind}","path":"{path}"}}"#)).collect();
    format!("[{}]", modules.join(","))
}

#[test]
fn every_pipeline_comes_back() {
    for max_tokens in [None, Some(256)] {
        for pooling in [Pooling::Mean, Pooling::First] {
            for normalize in [false, true] {
                let folder = folder(&[]);
                let pipeline = Pipeline { max_tokens, pooling, normalize };
                pipeline::write(folder.path(), &pipeline, 384).unwrap();
                assert_eq!(pipeline::read(folder.path()).unwrap(), Some(pipeline));
            }
        }
    }
}

#[test]
fn a_folder_without_settings_is_no_sentence_encoder() {
    assert_eq!(pipeline::read(folder(&[]).path()).unwrap(), None);
}

#[test]
fn newer_files_name_the_pooling_in_one_word() {
    let steps = modules(&[("Transformer", ""), ("Pooling", "1_Pooling")]);
    let read = |settings: &str| {
        let folder = folder(&[("modules.json", &steps), ("1_Pooling/config.json", settings)]);
        pipeline::read(folder.path()).map(|pipeline| pipeline.unwrap().pooling)
    };
    assert_eq!(read(r#"{"pooling_mode":"cls"}"#).unwrap(), Pooling::First);
    assert_eq!(read(r#"{"pooling_mode":"mean"}"#).unwrap(), Pooling::Mean);
    for settings in [
        r#"{"pooling_mode":"max"}"#,
        r#"{"pooling_mode_max_tokens":true}"#,
        r#"{"pooling_mode_mean_tokens":true,"pooling_mode_cls_token":true}"#,
        "{}",
    ] {
        assert!(
            matches!(read(settings), Err(Error::Unsupported { field: "pooling_mode", .. })),
            "{settings}"
        );
    }
}

#[test]
fn unknown_steps_and_paths_that_leave_the_folder_are_refused() {
    let dense = folder(&[("modules.json", &modules(&[("Dense", "2_Dense")]))]);
    assert!(matches!(pipeline::read(dense.path()), Err(Error::Unsupported { field: "type", .. })));
    for path in ["../other", "/etc", "a/../../b", "", "C:\\\\a"] {
        let outside = folder(&[("modules.json", &modules(&[("Pooling", path)]))]);
        assert!(matches!(pipeline::read(outside.path()), Err(Error::PathEscapes { .. })), "{path}");
    }
}

#[test]
fn no_room_for_a_token_is_refused() {
    let files = [("modules.json", "[]"), ("sentence_bert_config.json", r#"{"max_seq_length":0}"#)];
    assert!(matches!(
        pipeline::read(folder(&files).path()),
        Err(Error::OutOfRange { field: "max_seq_length", .. })
    ));
    let bad = folder(&[("modules.json", "{}")]);
    assert!(
        matches!(pipeline::read(bad.path()), Err(Error::Json { path, .. }) if path.ends_with("modules.json"))
    );
}

proptest! {
    #![proptest_config(mutate::config())]

    #[test]
    fn damaged_settings_are_read_or_refused(which in 0usize..3, changes in mutate::mutations()) {
        let folder = folder(&[]);
        pipeline::write(folder.path(), &Pipeline { normalize: true, ..Pipeline::default() }, 8).unwrap();
        let name = ["modules.json", "1_Pooling/config.json", "sentence_bert_config.json"][which];
        let path = folder.path().join(Path::new(name));
        std::fs::write(&path, mutate::apply(std::fs::read(&path).unwrap(), &changes)).unwrap();
        let _ = pipeline::read(folder.path());
    }
}
