//! The order in which weights see their inputs: which methods keep to it, and what a reader should know.

use crate::fault::{Fault, Problem};
use crate::recipe::{Order, Recipe};
use std::sync::Arc;
use tenfold_method::Method;

/// Steps whose methods cannot work on one layer at a time, where the recipe asks for that.
pub(super) fn faults(recipe: &Recipe, methods: &[Arc<dyn Method>]) -> Vec<Fault> {
    if recipe.calibration.order == Order::AtOnce {
        return Vec::new();
    }
    let why = |method: &Arc<dyn Method>| {
        if method.adds() {
            return Some("adds modules to the whole model");
        }
        method.spans_layers().then_some("settles all layers together")
    };
    let fault = |(method, step): (&Arc<dyn Method>, &crate::recipe::Step)| {
        let problem = Problem::NotInOrder { method: method.info().name, why: why(method)? };
        Some(Fault::at(step.place, problem))
    };
    methods.iter().zip(&recipe.steps).filter_map(fault).collect()
}

/// What a plan says of the order.
pub(super) fn notes(recipe: &Recipe) -> Vec<String> {
    let calibration = &recipe.calibration;
    let mut notes = Vec::new();
    match calibration.order {
        Order::AtOnce => {}
        Order::Layers => notes.push(
            "layers are rewritten one after the other; each sees what those before it make of the text since they were rewritten"
                .to_owned(),
        ),
        Order::Maps => notes.push(
            "maps are rewritten one after the other, those that read the same inputs together; each sees what all before it make of \
             the text since they were rewritten"
                .to_owned(),
        ),
    }
    if calibration.streamed {
        notes.push(
            "weights of layers are read when their turn comes; the untouched model is not measured, so scores of the result stand alone"
                .to_owned(),
        );
    }
    notes
}
