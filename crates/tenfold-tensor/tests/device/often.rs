//! What depends on how much there is: ids that are named by many rows, faults in the middle of a step.

use super::emulated::{Emulated, Watch};
use std::sync::Arc;
use tenfold_tensor::{Activation, Array, Tape, Var, device, op};

/// The emulated device, in use from now on.
fn installed() -> Arc<Watch> {
    let driver = Emulated::build(device::SOURCE);
    let watch = driver.watch();
    assert!(device::install(Box::new(driver)), "one test of this program uses a device");
    watch
}

#[test]
fn a_device_adds_up_many_rows_and_stops_at_its_first_fault() {
    let watch = installed();
    let tape = Tape::new();
    let table = tape.leaf(Array::zeros(&[4, 5]));
    // Row 1 is named 300 times, row 3 ten times, the others never or once.
    let ids: Vec<u32> = (0..311).map(|at| if at % 31 == 7 { 3 } else { u32::from(at != 310) }).collect();
    let weights = Array::from_vec((0..311 * 5).map(|at| (at % 7) as f32 - 3.0).collect(), &[311, 5]);
    let rows = op::embedding(&table, &ids).unwrap();
    let loss = op::sum(&op::mul(&rows, &Var::constant(weights.clone())));
    let gradient = tape.backward(&loss).unwrap().take(&table).unwrap();
    let mut expected = vec![0.0f32; 20];
    for (row, id) in weights.data().chunks(5).zip(&ids) {
        (0..5).for_each(|col| expected[*id as usize * 5 + col] += row[col]);
    }
    assert_eq!(gradient.data(), expected, "whole numbers add up exactly");
    assert!(watch.launches_of("column_sums") > 0 && watch.launches_of("scattered") > 0);
    device::check().unwrap();

    // Where there is no more room, all that follows is NaN, nothing more is asked for, and the first fault stays.
    watch.set_room(Some(0));
    let x = Var::constant(Array::full(&[64, 64], 1.0));
    let y = op::linear(&x, &x, None, Activation::Identity);
    assert!(y.value().data().iter().all(|value| value.is_nan()));
    let products = watch.products();
    watch.set_room(None);
    assert!(op::linear(&x, &x, None, Activation::Identity).value().data()[0].is_nan());
    assert_eq!(watch.products(), products);
    assert!(matches!(device::check(), Err(device::Fault::Memory { .. })), "{:?}", device::check());
}
