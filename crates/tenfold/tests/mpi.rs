//! The program under `mpirun`: 2 and 3 ranks on one machine, killed, stopped and unlike each other.
#![allow(clippy::unwrap_used, clippy::print_stdout, dead_code)] // helpers of tests fail and tell like the tests themselves

#[path = "it/bench.rs"]
mod bench;

use bench::{Bench, code, recipe, stderr};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tenfold_format::checkpoint::Checkpoint;
use tenfold_recipe::Receipt;

/// Longest wait for what a run does.
const PATIENCE: Duration = Duration::from_secs(90);
/// Longest time from the loss of a rank to the end of all.
const QUICK: Duration = Duration::from_secs(20);
/// Numbers whose gradient is nothing but rounding must not move by whole steps: a large eps.
const STEADY: &str = "optimizer = { lr = 3e-3, eps = 1e-2 }";

/// Whether there is a launcher; says so where there is none.
fn launcher() -> bool {
    let found = Command::new("mpirun").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        println!("not run: there is no mpirun on the path");
    }
    found
}

/// `mpirun` in the bench's folder: processes and words of each of its contexts.
fn mpirun(bench: &Bench, contexts: &[(usize, &[&str])]) -> Command {
    let mut command = Command::new("mpirun");
    command.current_dir(bench.path(".")).env("TENFOLD_CACHE", bench.path("cache"));
    // Open MPI refuses to work for root and on few processors unless it is told that both are meant.
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.args(["--oversubscribe", "--bind-to", "none"]);
    for (at, (processes, words)) in contexts.iter().enumerate() {
        command.args((at > 0).then_some(":"));
        command.args(["-n", &processes.to_string(), env!("CARGO_BIN_EXE_tenfold")]).args(*words);
    }
    command
}

fn run(bench: &Bench, ranks: usize, recipe: &str, out: &str) -> Output {
    mpirun(bench, &[(ranks, &["run", recipe, "--out", out])]).output().unwrap()
}

fn start(bench: &Bench, ranks: usize, recipe: &str, out: &str) -> Child {
    let mut command = mpirun(bench, &[(ranks, &["run", recipe, "--out", out])]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn assert_near(bench: &Bench, found: &str, expected: &str) {
    let open = |out: &str| Checkpoint::open(&bench.path(out).join("model")).unwrap();
    let (found, expected) = (open(found), open(expected));
    for info in expected.tensors() {
        let (a, b) = (found.read_f32(&info.name).unwrap(), expected.read_f32(&info.name).unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 2e-4), "{}", info.name);
    }
}

/// Waits until a run has written a training checkpoint.
fn wait_for_checkpoint(child: &mut Child, dir: &Path) {
    let file = dir.join("work/checkpoint-1/checkpoint.safetensors");
    let start = Instant::now();
    while start.elapsed() < PATIENCE && !file.is_file() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before its first checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(file.is_file(), "no checkpoint");
}

/// The exit code of a run that must end soon.
fn ends(child: &mut Child) -> Option<i32> {
    let start = Instant::now();
    while start.elapsed() < QUICK {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    panic!("the other ranks go on");
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// The processes whose parent a process is.
fn children(parent: u32) -> Vec<u32> {
    let of = |process: u32| {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // Behind the name, which may hold anything: the state, then the parent.
        text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found: Vec<u32> = processes.filter(|process| of(*process) == Some(parent)).collect();
    found.sort_unstable();
    found
}

#[test]
fn two_and_three_ranks_make_the_model_of_one_process() {
    if !launcher() {
        return;
    }
    let bench = Bench::new();
    bench.write("recipe.toml", &recipe(STEADY));
    bench.must(&["run", "recipe.toml", "--out", "one"]);
    for ranks in [2, 3] {
        let out = format!("of-{ranks}");
        let output = run(&bench, ranks, "recipe.toml", &out);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert_near(&bench, &out, "one");
        // One rank prints.
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(printed.matches("receipt.toml").count(), 1, "{printed}");
        let told = stderr(&output);
        assert_eq!(told.matches(&format!("{ranks} ranks")).count(), 1, "{told}");
        let receipt = Receipt::read(&bench.path(&out).join("receipt.toml")).unwrap();
        let training = receipt.record.stages.iter().find_map(|one| one.training).unwrap();
        assert_eq!(training.ranks, ranks);
        assert!(training.tokens > 0 && training.tokens_per_second > 0.0, "{training:?}");
        let html = String::from_utf8(bench.read(&format!("{out}/report.html"))).unwrap();
        assert!(html.contains("tokens a second") && html.contains(&format!("{ranks} ranks")));
    }
}

#[test]
fn a_lost_rank_ends_all_and_any_number_goes_on() {
    if !launcher() {
        return;
    }
    let bench = Bench::new();
    // Long enough to be killed in.
    let long = recipe(STEADY).replace("steps = 12", "steps = 2000");
    bench.write("long.toml", &long);
    let mut child = start(&bench, 3, "long.toml", "killed");
    wait_for_checkpoint(&mut child, &bench.path("killed"));
    let ranks = children(child.id());
    assert_eq!(ranks.len(), 3, "{ranks:?}");
    signal("-KILL", ranks[1]);
    assert_ne!(ends(&mut child), Some(0));
    for rank in ranks {
        assert!(!Path::new(&format!("/proc/{rank}/root")).exists() || children(child.id()).is_empty());
    }
    assert!(!bench.path("killed/model").exists() && !bench.path("killed/receipt.toml").exists());

    // Going on among two, stopped politely: that leaves a checkpoint, too.
    let file = bench.path("killed/work/checkpoint-1/checkpoint.safetensors");
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    let mut child = start(&bench, 2, "long.toml", "killed");
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE && fs::metadata(&file).unwrap().modified().unwrap() == before {
        assert!(child.try_wait().unwrap().is_none(), "the run ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal("-INT", child.id());
    assert_ne!(ends(&mut child), Some(0));
    let left = Checkpoint::open(&file).unwrap();
    let steps = left.read_f32("losses").unwrap().len();
    assert!((3..2000).contains(&steps), "{steps}");

    // And alone to the end, which is that of a run that nobody stopped.
    bench.must(&["run", "long.toml", "--out", "killed"]);
    bench.must(&["run", "long.toml", "--out", "whole"]);
    let loss = |out: &str| {
        let receipt = Receipt::read(&bench.path(out).join("receipt.toml")).unwrap();
        receipt.record.phases[0].last_loss
    };
    let (killed, whole) = (loss("killed"), loss("whole"));
    assert!((killed - whole).abs() < 0.05 * whole, "{killed} {whole}");
}

#[test]
fn ranks_that_do_not_do_the_same_are_refused_at_once() {
    if !launcher() {
        return;
    }
    let bench = Bench::new();
    bench.write("other.toml", &recipe("").replace("steps = 12", "steps = 13"));
    let here: &[&str] = &["run", "recipe.toml", "--out", "out"];
    let output = mpirun(&bench, &[(1, here), (1, &["run", "other.toml", "--out", "out"])]).output().unwrap();
    let told = stderr(&output);
    assert_eq!(code(&output), 2, "{told}");
    assert_eq!(told.matches("rank 1 differs from the first one in the recipe").count(), 1, "{told}");

    // What only one rank knows it tells with its number, and ends the others.
    let begin = Instant::now();
    let output =
        mpirun(&bench, &[(1, here), (1, &["run", "missing.toml", "--out", "out"])]).output().unwrap();
    let told = stderr(&output);
    assert_eq!(code(&output), 2, "{told}");
    assert!(told.contains("rank 1: error: cannot read missing.toml"), "{told}");
    assert!(begin.elapsed() < QUICK, "{:?}", begin.elapsed());
    assert!(!bench.path("out/model").exists());
}

#[test]
fn what_one_process_does_alone_is_refused() {
    if !launcher() {
        return;
    }
    let bench = Bench::new();
    let phase =
        "[[phase]]\nobjective = \"task\"\ntask = \"sst2@1\"\nsteps = 2\nsqueeze = { to = 0.5 }\n[eval]";
    bench.write(
        "squeeze.toml",
        &recipe("").replace("[eval]", phase).replace("\"svd\"\nmetric = \"inputs\"", "\"mpop\""),
    );
    let output = run(&bench, 2, "squeeze.toml", "out");
    let told = stderr(&output);
    assert_eq!(code(&output), 2, "{told}");
    assert_eq!(told.matches("phase 2 squeezes, which one process does alone").count(), 1, "{told}");
}
