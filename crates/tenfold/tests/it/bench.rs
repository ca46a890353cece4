//! A folder of its own for every test, with a tiny model and a recipe, and the program to run there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use tenfold_testkit::tiny::{TinyBert, sentences};

/// The steps of the test recipe's phase.
pub(crate) const STEPS: usize = 12;

pub(crate) struct Bench {
    dir: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        TinyBert::default().write(&dir.path().join("tiny")).unwrap();
        let bench = Self { dir };
        let texts = sentences("program", 60).join("\n");
        bench.write("texts.txt", &texts);
        bench.write("recipe.toml", &recipe(""));
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The program in this folder, with a cache of its own.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenfold"));
        command.current_dir(self.dir.path()).env("TENFOLD_CACHE", self.path("cache")).args(words);
        command
    }

    pub(crate) fn tenfold(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs the program, which must succeed; its stdout.
    pub(crate) fn must(&self, words: &[&str]) -> String {
        let output = self.tenfold(words);
        assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The test recipe; `extra` goes into its phase.
pub(crate) fn recipe(extra: &str) -> String {
    format!(
        r#"
name = "toy"
[model]
from = ["path:tiny"]
[calibration]
text = "path:texts.txt"
tokens = 300
[[step]]
method = "svd"
metric = "inputs"
select = "encoder.**.{{query,key,value,dense}}.weight"
[[phase]]
objective = "distill"
text = "path:texts.txt"
steps = {STEPS}
tokens = 64
checkpoint-every = 2
{extra}
[eval]
text = "path:texts.txt"
[budget]
parameters = 0.8
"#
    )
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The shared development data beside the repository, where it is there.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(name);
    if !path.exists() {
        println!("not run: there is no {name} beside the repository");
    }
    path.exists().then_some(path)
}
