//! Every form keeps every law.

use tenfold_testkit::case::{Case, forms};
use tenfold_testkit::law;

fn every(holds: fn(&Case)) {
    forms().iter().for_each(holds);
}

#[test]
fn applying_equals_multiplying_by_the_matrix() {
    every(law::apply::holds);
}

#[test]
fn gradients_equal_differences() {
    every(law::gradient::holds);
}

#[test]
fn rows_are_those_of_the_matrix() {
    every(law::rows::holds);
}

#[test]
fn saving_and_loading_is_the_identity() {
    every(law::record::holds);
}

#[test]
fn cost_is_what_a_file_holds() {
    every(law::cost::holds);
}

#[test]
fn what_is_shared_is_stored_and_counted_once() {
    every(law::sharing::holds);
}

#[test]
fn frozen_leaves_keep_their_bits() {
    every(law::frozen::holds);
}

#[test]
fn the_same_again_gives_the_same_bytes() {
    every(law::repeat::holds);
}
