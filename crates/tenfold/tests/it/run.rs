//! Runs that are stopped: by a signal, at any moment; the same command goes on to the same bytes.

use super::bench::{Bench, code, recipe, stderr};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a file that a run writes.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(bench: &Bench) -> Child {
    let mut command = bench.command(&["run", "recipe.toml", "--out", "stopped"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until the run has written a training checkpoint, or has ended.
fn wait_for_checkpoint(child: &mut Child, dir: &Path) {
    let start = Instant::now();
    while start.elapsed() < PATIENCE && child.try_wait().unwrap().is_none() {
        let found = walk(dir).iter().any(|path| path.to_string_lossy().contains("checkpoint"));
        if found {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries
        .flatten()
        .flat_map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { vec![entry.path()] })
        .collect()
}

#[test]
fn a_killed_run_goes_on_to_the_same_model() {
    let bench = Bench::new();
    bench.must(&["run", "recipe.toml", "--out", "whole"]);
    let mut child = start(&bench);
    wait_for_checkpoint(&mut child, &bench.path("stopped"));
    child.kill().unwrap();
    child.wait().unwrap();
    bench.must(&["run", "recipe.toml", "--out", "stopped"]);
    assert_eq!(bench.read("stopped/model/model.safetensors"), bench.read("whole/model/model.safetensors"));
}

#[test]
fn killed_at_any_moment_it_leaves_no_half_written_model() {
    let bench = Bench::new();
    bench.must(&["run", "recipe.toml", "--out", "whole"]);
    let whole = bench.read("whole/model/model.safetensors");
    for milliseconds in [1, 10, 30, 60, 100, 150, 220, 300] {
        let mut child = start(&bench);
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        if bench.path("stopped/model/model.safetensors").exists() {
            assert_eq!(bench.read("stopped/model/model.safetensors"), whole, "after {milliseconds} ms");
        }
    }
    bench.must(&["run", "recipe.toml", "--out", "stopped"]);
    assert_eq!(bench.read("stopped/model/model.safetensors"), whole);
}

#[test]
fn a_receipt_repeats_the_run() {
    let bench = Bench::new();
    bench.must(&["run", "recipe.toml", "--out", "first"]);
    std::fs::copy(bench.path("first/receipt.toml"), bench.path("receipt.toml")).unwrap();
    bench.must(&["run", "receipt.toml", "--out", "second"]);
    assert_eq!(bench.read("first/model/model.safetensors"), bench.read("second/model/model.safetensors"));
    assert!(String::from_utf8(bench.read("first/report.html")).unwrap().starts_with("<!"));
}

#[test]
fn frozen_leaves_keep_their_bits() {
    let bench = Bench::new();
    bench.write("frozen.toml", &recipe("train = [\"#down\", \"#up\"]"));
    bench.must(&["run", "frozen.toml", "--out", "out"]);
    let open = |name: &str| tenfold_format::checkpoint::Checkpoint::open(&bench.path(name)).unwrap();
    let (before, after) = (open("tiny"), open("out/model"));
    let mut seen = 0;
    for info in before.tensors() {
        if after.tensor(&info.name).is_some() {
            assert_eq!(
                before.read_f32(&info.name).unwrap(),
                after.read_f32(&info.name).unwrap(),
                "{}",
                info.name
            );
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} leaves kept their names");
}

#[test]
fn faults_of_a_recipe_come_together_with_their_places() {
    let bench = Bench::new();
    bench.write(
        "bad.toml",
        &recipe("stepz = 3")
            .replace("method = \"svd\"", "method = \"svdd\"")
            .replace("tokens = 300", "tokens = \"many\""),
    );
    let output = bench.tenfold(&["plan", "bad.toml"]);
    let text = stderr(&output);
    assert_eq!(code(&output), 2, "{text}");
    for expected in ["bad.toml:7:", "svdd", "stepz", "did you mean"] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn a_selector_that_matches_nothing_is_an_error() {
    let bench = Bench::new();
    bench.write("bad.toml", &recipe("").replace("encoder.**", "encodr.**"));
    let output = bench.tenfold(&["plan", "bad.toml"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("matches nothing"), "{}", stderr(&output));
}

#[test]
fn threads_change_no_byte() {
    let bench = Bench::new();
    bench.must(&["run", "recipe.toml", "--out", "one", "--threads", "1"]);
    bench.must(&["run", "recipe.toml", "--out", "three", "--threads", "3"]);
    assert_eq!(bench.read("one/model/model.safetensors"), bench.read("three/model/model.safetensors"));
}

/// Without MPI every process would do the whole run, all in one folder.
#[cfg(not(feature = "mpi"))]
#[test]
fn one_of_several_processes_needs_mpi() {
    let bench = Bench::new();
    let run = |processes: &str| {
        let mut command = bench.command(&["run", "recipe.toml", "--out", "out"]);
        command.env("OMPI_COMM_WORLD_SIZE", processes).output().unwrap()
    };
    let output = run("2");
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("one of 2, and the program was built without MPI"),
        "{}",
        stderr(&output)
    );
    assert_eq!(code(&run("1")), 0);
}
