//! On what tests compute: the processor, or what the variable `TENFOLD_TEST_DEVICE` says: `emulated`, or with the feature `cuda`
//! `cuda`.

use std::sync::{Arc, Once};
use tenfold_tensor::device;

#[path = "../device"]
mod place {
    #[allow(dead_code, reason = "of the emulated device only some is asked for here")]
    pub(crate) mod emulated;
}

#[allow(unused_imports, reason = "not all tests ask")]
pub(crate) use place::emulated::{Watch, compiler};

/// Lets ops be computed on the emulated device from now on; what was asked of it.
#[allow(dead_code, reason = "not all tests ask")]
pub(crate) fn emulate() -> Arc<Watch> {
    let driver = place::emulated::Emulated::build(device::SOURCE);
    let watch = driver.watch();
    assert!(device::install(Box::new(driver)), "a device was in use before");
    watch
}

/// Demands that the device did what it was asked for.
pub(crate) fn check() {
    device::check().unwrap_or_else(|fault| panic!("{fault}"));
}

/// Whether what computes is the emulated device.
#[allow(dead_code, reason = "not all tests ask")]
pub(crate) fn is_emulated() -> bool {
    std::env::var("TENFOLD_TEST_DEVICE").is_ok_and(|word| word == "emulated")
}

/// Whether ops are computed on a device. Comes before the first op of a test.
#[allow(
    unexpected_cfgs,
    reason = "crates above know no feature of that name, and set the variable to nothing"
)]
pub(crate) fn begin() -> bool {
    static BEGIN: Once = Once::new();
    let word = std::env::var("TENFOLD_TEST_DEVICE").ok();
    BEGIN.call_once(|| {
        let driver: Box<dyn device::Driver> = match word.as_deref() {
            None => return,
            Some("emulated") => Box::new(place::emulated::Emulated::build(device::SOURCE)),
            #[cfg(feature = "cuda")]
            Some("cuda") => device::cuda(0).unwrap_or_else(|fault| panic!("{fault}")),
            Some(other) => panic!("TENFOLD_TEST_DEVICE is {other}"),
        };
        assert!(device::install(driver), "a device was in use before the first test");
    });
    word.is_some()
}
