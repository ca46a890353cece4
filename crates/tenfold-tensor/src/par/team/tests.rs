//! Jobs, nested, side by side, and failing.

use super::run;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

fn counts(width: usize, count: usize) -> Vec<usize> {
    let calls: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
    run(width, count, &|i| {
        calls[i].fetch_add(1, Ordering::Relaxed);
    });
    calls.into_iter().map(AtomicUsize::into_inner).collect()
}

#[test]
fn every_call_is_made_once() {
    for width in 1..5 {
        for count in [0, 1, 2, 3, 100] {
            assert_eq!(counts(width, count), vec![1; count], "{width} {count}");
        }
    }
}

#[test]
fn jobs_follow_each_other_awake_and_asleep() {
    for round in 0..2_000 {
        assert_eq!(counts(3, 5), [1; 5]);
        if round % 500 == 0 {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn work_inside_work_is_done() {
    let calls = AtomicUsize::new(0);
    run(3, 10, &|_| {
        run(3, 10, &|_| {
            calls.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!(calls.into_inner(), 100);
}

#[test]
fn several_leaders_at_once() {
    let begin = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                begin.wait();
                for _ in 0..200 {
                    assert_eq!(counts(2, 7), [1; 7]);
                }
            });
        }
    });
}

#[test]
fn a_panic_reaches_the_caller_and_the_team_goes_on() {
    for faulty in [0, 3, 99] {
        let panicked =
            catch_unwind(AssertUnwindSafe(|| run(3, 100, &|i| assert_ne!(i, faulty, "call {i} fails"))));
        let message = panicked.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains(&format!("call {faulty} fails")), "{message}");
        assert_eq!(counts(3, 50), [1; 50]);
    }
}
