//! A folder with a tiny model, texts and recipes for it.

use std::fs;
use std::path::{Path, PathBuf};
use tenfold_recipe::{Event, Finished, Flow, Outcome, Recipe, RunOptions, Runner, Stage};
use tenfold_testkit::tiny::{TinyBert, sentences};

/// Everything a run needs, removed when it goes out of scope.
pub(super) struct Bench {
    dir: tempfile::TempDir,
}

/// Steps and phases of most tests: evidence, two methods, two phases with checkpoints.
pub(super) const WHOLE: &str = "\
[[step]]\nmethod = \"auto\"\nselect = \"encoder.**.{query,key,value,dense}.weight\"\n\
[[step]]\nmethod = \"svd\"\nselect = \"embeddings.word_embeddings.weight\"\nrank = 9\n\
[[phase]]\nobjective = \"distill\"\nsteps = 6\ntokens = 64\ntext = \"path:TRAIN\"\ncheckpoint-every = 2\n\
[[phase]]\nobjective = \"distill\"\nsteps = 4\ntokens = 64\ntext = \"path:TRAIN\"\ncheckpoint-every = 2\n\
train = [\"#down\", \"#up\", \"**.bias\"]\n\
[budget]\nparameters = 0.8\n";

impl Bench {
    pub(super) fn new() -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        TinyBert::default().write(&bench.at("model")).unwrap();
        fs::write(bench.at("train.txt"), sentences("train", 80).join("\n")).unwrap();
        fs::write(bench.at("eval.txt"), sentences("eval", 20).join("\n")).unwrap();
        bench
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A recipe for the tiny model; `TRAIN` and `EVAL` in the text stand for the text files.
    pub(super) fn recipe(&self, rest: &str) -> Recipe {
        let head = format!(
            "name = \"tiny\"\n[model]\nfrom = \"path:{}\"\n[calibration]\ntext = \"path:TRAIN\"\ntokens = 300\n\
             [eval]\ntext = \"path:EVAL\"\n",
            self.at("model").display()
        );
        let text = format!("{head}{rest}")
            .replace("TRAIN", &self.at("train.txt").display().to_string())
            .replace("EVAL", &self.at("eval.txt").display().to_string());
        Recipe::parse(Path::new("tiny.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) fn options(&self, out: &str) -> RunOptions {
        let mut options = RunOptions::new(self.at(out));
        options.fetch.cache = self.at("cache");
        options.fetch.offline = true;
        options.data = Some(self.at("data")).filter(|dir| dir.is_dir());
        options
    }

    /// Rows (the same ones to learn from and to be scored on) of a task of two classes and of a regression that first words decide, in the layout of GLUE.
    pub(super) fn write_tasks(&self) {
        let sst2 = |name: &str, rows: usize| {
            let label = |text: &String| usize::from(text.chars().next().is_some_and(|first| first < 'm'));
            let row = |text: &String| format!("{text}\t{}\n", label(text));
            let rows: String = sentences(name, rows).iter().map(row).collect();
            format!("sentence\tlabel\n{rows}")
        };
        let stsb = |name: &str, rows: usize| {
            let (first, second) = (sentences(name, rows), sentences(&format!("{name} b"), rows));
            let early =
                |text: &str| f64::from(u8::from(text.chars().next().is_some_and(|first| first < 'm')));
            let row = |(a, b): (&String, &String)| format!("{a}\t{b}\t{:.3}\n", 3.0 * early(a) + early(b));
            let rows: String = first.iter().zip(&second).map(row).collect();
            format!("sentence1\tsentence2\tscore\n{rows}")
        };
        let files = [
            ("glue_sst2/train.tsv", sst2("sst2 train", 120)),
            ("glue_sst2/dev.tsv", sst2("sst2 train", 40)),
            ("glue_stsb/train.tsv", stsb("stsb train", 60)),
            ("glue_stsb/dev.tsv", stsb("stsb dev", 30)),
        ];
        for (name, text) in files {
            let path = self.at("data").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    /// A run to its end.
    pub(super) fn finish(&self, recipe: &Recipe, out: &str) -> Finished {
        finished(Runner::new(recipe, self.options(out)).run(&mut |_| Flow::Continue).unwrap())
    }

    /// A run that stops at the event that `stop` holds for; where it stopped, nothing when it came to its end.
    pub(super) fn stop_at(
        &self,
        recipe: &Recipe,
        out: &str,
        mut stop: impl FnMut(&Event) -> bool,
    ) -> Option<Stage> {
        let mut events = |event: Event| if stop(&event) { Flow::Stop } else { Flow::Continue };
        match Runner::new(recipe, self.options(out)).run(&mut events).unwrap() {
            Outcome::Interrupted { stage } => Some(stage),
            _ => None,
        }
    }
}

pub(super) fn finished(outcome: Outcome) -> Finished {
    match outcome {
        Outcome::Finished(finished) => *finished,
        other => panic!("{other:?}"),
    }
}

/// Every file below a folder with its bytes, by relative path.
pub(super) fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{} is empty", dir.display());
    found
}
