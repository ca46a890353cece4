//! The program from outside: exit codes, files, and what happens when it is stopped or fed nonsense.

mod it {
    pub(crate) mod bench;
    mod malformed;
    mod run;
    mod verbs;
}
