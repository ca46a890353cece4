//! One member of arrays that lie along a first dimension.

use crate::device;
use crate::kernel::elementwise;
use crate::par;
use crate::tape::record;
use crate::{Array, Var};

/// Member `at` of x: what [`stack`](super::stack()) puts together, apart again.
///
/// # Shapes
/// x E x ..., the result without the first dimension.
///
/// # Panics
/// When x is a scalar or has no such member.
#[track_caller]
pub fn member(x: &Var, at: usize) -> Var {
    let Some((&members, own)) = x.shape().split_first() else { panic!("a member of a scalar") };
    assert!(at < members, "member {at} of {members}");
    let len: usize = own.iter().product();
    let start = at * len;
    let y = match device::near([x.value()]) {
        Some(device) => device.copy_of(x.value(), start, own),
        None => Array::from_slice(&x.value().data()[start..start + len], own),
    };
    let shape = x.shape().to_vec();
    record(&[x], y, move |gradient, sink| {
        sink.accumulate_in(0, &shape, |dx, filled| {
            if let Some(device) = device::near([&gradient]) {
                if !filled {
                    device.fill(dx, 0.0);
                }
                return device.add_into(dx, start, &gradient);
            }
            let dx = dx.data_mut();
            if !filled {
                par::chunks_mut(dx, par::GRAIN, |_, chunk| chunk.fill(0.0));
            }
            elementwise::add_assign(&mut dx[start..start + len], gradient.data());
        });
    })
}
