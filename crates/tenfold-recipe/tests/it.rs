//! Recipes from text to receipt, on models small enough for a test.

mod it {
    mod bench;
    mod parse;
    mod plan;
    mod recipes;
    mod resume;
    mod run;
}
