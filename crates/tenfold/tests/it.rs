//! The program from outside: exit codes, files, and what happens when it is stopped or fed nonsense.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests fail and tell like the tests themselves

mod it {
    pub(crate) mod bench;
    mod eval;
    mod malformed;
    mod run;
    mod verbs;
}
