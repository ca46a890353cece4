//! Runs that are stopped at any moment go on where they stopped and end with the same bytes.

use super::bench::{Bench, WHOLE, contents};
use std::fs;
use tenfold_recipe::{Error, Event, Flow, Outcome, Runner, Stage};

#[test]
fn stopped_at_every_event_it_ends_with_the_same_bytes() {
    let bench = Bench::new();
    let recipe = bench.recipe(WHOLE);
    let whole = bench.finish(&recipe, "whole");
    let mut events = 0;
    assert_eq!(
        bench.stop_at(&recipe, "count", |_| {
            events += 1;
            false
        }),
        None
    );
    // Every attempt gets a little further than the one before: all stages and many steps are stopped in.
    let mut stages = Vec::new();
    let mut attempts = 0;
    for limit in (1..).map(|attempt| 5 + 2 * attempt) {
        let mut seen = 0;
        attempts += 1;
        assert!(attempts < 100, "no end in sight: {stages:?}");
        // Stages that each attempt begins with do not count, or it would never get past them.
        let stop = |event: &Event| {
            let again = matches!(
                event,
                Event::Planned(_)
                    | Event::Started {
                        stage: Stage::Fetch | Stage::Load | Stage::Original | Stage::Evidence
                    }
                    | Event::Progress {
                        stage: Stage::Fetch | Stage::Load | Stage::Original | Stage::Evidence,
                        ..
                    }
                    | Event::Finished { .. }
            );
            seen += usize::from(!again);
            seen > limit
        };
        match bench.stop_at(&recipe, "often", stop) {
            Some(stage) => stages.push(stage),
            None => break,
        }
    }
    assert!(stages.len() >= 4, "{events} events, stopped at {stages:?}");
    assert_eq!(contents(&bench.at("often/model")), contents(&whole.model));
}

/// A kill leaves what is on disk and asks nobody: here, a panic out of the middle of the run.
#[test]
fn killed_at_any_moment_it_ends_with_the_same_bytes() {
    let bench = Bench::new();
    let recipe = bench.recipe(WHOLE);
    let whole = bench.finish(&recipe, "whole");
    let mut kills = 0;
    for limit in (8..).step_by(3) {
        let mut seen = 0;
        let attempt = || {
            bench.stop_at(&recipe, "killed", |_| {
                seen += 1;
                // Not a panic of its own: that would print a backtrace for every attempt.
                if seen > limit {
                    std::panic::resume_unwind(Box::new("killed"));
                }
                false
            })
        };
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt)) {
            Ok(stopped) => {
                assert_eq!(stopped, None);
                break;
            }
            Err(_) => kills += 1,
        }
        assert!(kills < 100, "no end in sight");
    }
    assert!(kills > 8, "{kills}");
    assert_eq!(contents(&bench.at("killed/model")), contents(&whole.model));
    let phases = |receipt: &tenfold_recipe::Receipt| receipt.record.phases.clone();
    assert_eq!(phases(&bench.finish(&recipe, "killed").receipt), phases(&whole.receipt));
}

#[test]
fn a_stop_inside_each_stage_loses_nothing_before_it() {
    let bench = Bench::new();
    let recipe = bench.recipe(WHOLE);
    let whole = bench.finish(&recipe, "whole");
    let inside =
        [Stage::Original, Stage::Evidence, Stage::Rewrite, Stage::Truncated, Stage::Healed, Stage::Save];
    for stage in inside {
        let out = format!("{stage:?}");
        let stopped = bench.stop_at(
            &recipe,
            &out,
            |event| matches!(event, Event::Progress { stage: s, .. } if *s == stage),
        );
        assert_eq!(stopped, Some(stage));
        let mut again = Vec::new();
        let outcome = Runner::new(&recipe, bench.options(&out)).run(&mut |event| {
            if let Event::Finished { stage, before: true, .. } = event {
                again.push(stage);
            }
            Flow::Continue
        });
        assert!(matches!(outcome, Ok(Outcome::Finished(_))));
        // Rewriting is the first stage whose result is kept.
        assert_eq!(again.contains(&Stage::Rewrite), stage > Stage::Rewrite, "{stage:?}: {again:?}");
        assert_eq!(contents(&bench.at(&out).join("model")), contents(&whole.model), "{stage:?}");
    }
}

#[test]
fn training_goes_on_from_its_checkpoint() {
    let bench = Bench::new();
    let recipe = bench.recipe(WHOLE);
    let whole = bench.finish(&recipe, "whole");
    let step = |wanted: u64| {
        move |event: &Event| match event {
            Event::Training { stage: Stage::Phase(2), event: tenfold_train::Event::Step { step, .. } } => {
                *step == wanted
            }
            _ => false,
        }
    };
    assert_eq!(bench.stop_at(&recipe, "out", step(1)), Some(Stage::Phase(2)));
    let mut first = None;
    bench.stop_at(&recipe, "out", |event| {
        if let Event::Training { event: tenfold_train::Event::Started { done, .. }, stage } = event {
            first.get_or_insert((*stage, *done));
        }
        false
    });
    assert_eq!(first, Some((Stage::Phase(2), 2)));
    assert_eq!(contents(&bench.at("out/model")), contents(&whole.model));
}

#[test]
fn what_is_on_disk_but_not_recorded_is_made_again() {
    let bench = Bench::new();
    let recipe = bench.recipe(WHOLE);
    let whole = bench.finish(&recipe, "whole");
    bench.stop_at(&recipe, "out", |event| matches!(event, Event::Started { stage: Stage::Truncated }));
    // As if killed between keeping the rewritten tree and recording it, with half a tree of the next stage lying about.
    let state = bench.at("out/state.toml");
    let text = fs::read_to_string(&state).unwrap();
    fs::write(&state, text.replace("rewritten = true", "rewritten = false")).unwrap();
    fs::create_dir_all(bench.at("out/work/tree-1")).unwrap();
    fs::write(bench.at("out/work/tree-1/model.safetensors"), b"half").unwrap();
    assert_eq!(bench.stop_at(&recipe, "out", |_| false), None);
    assert_eq!(contents(&bench.at("out/model")), contents(&whole.model));
}

#[test]
fn a_finished_run_is_not_run_again_unless_asked_for() {
    let bench = Bench::new();
    let recipe = bench.recipe("[[step]]\nmethod = \"svd\"\nrank = 4\nselect = \"**.query.weight\"\n");
    let first = bench.finish(&recipe, "out");
    let stages = |resume: bool| {
        let mut stages = Vec::new();
        let mut options = bench.options("out");
        options.resume = resume;
        Runner::new(&recipe, options)
            .run(&mut |event| {
                if let Event::Started { stage } = event {
                    stages.push(stage);
                }
                Flow::Continue
            })
            .unwrap();
        stages
    };
    assert_eq!(stages(true), [Stage::Fetch]);
    assert_eq!(bench.finish(&recipe, "out").receipt, first.receipt);
    assert!(stages(false).contains(&Stage::Rewrite));
    // What somebody removed is made again.
    fs::remove_file(bench.at("out/report.html")).unwrap();
    assert!(stages(true).contains(&Stage::Save));
    assert!(bench.at("out/report.html").exists());
}

#[test]
fn another_recipe_in_the_same_folder_starts_anew() {
    let bench = Bench::new();
    bench.stop_at(&bench.recipe(WHOLE), "out", |event| {
        matches!(event, Event::Started { stage: Stage::Phase(2) })
    });
    let other = bench.recipe("[[step]]\nmethod = \"svd\"\nrank = 4\nselect = \"**.query.weight\"\n");
    assert!(bench.finish(&other, "out").receipt.record.phases.is_empty());
}

#[test]
fn a_damaged_state_is_reported_with_its_file() {
    let bench = Bench::new();
    let recipe = bench.recipe(WHOLE);
    bench.stop_at(&recipe, "out", |event| matches!(event, Event::Started { stage: Stage::Truncated }));
    let state = bench.at("out/state.toml");
    fs::write(&state, "half of a st").unwrap();
    let error = Runner::new(&recipe, bench.options("out")).run(&mut |_| Flow::Continue).unwrap_err();
    assert!(matches!(&error, Error::BadState { path, .. } if *path == state), "{error}");
    let mut options = bench.options("out");
    options.resume = false;
    assert!(matches!(Runner::new(&recipe, options).run(&mut |_| Flow::Continue), Ok(Outcome::Finished(_))));
}
