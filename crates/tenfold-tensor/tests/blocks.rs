//! Schemes: bytes and numbers, against `golden/gguf_blocks` and against plain formulas.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use serde_json::Value;
use tenfold_tensor::blocks::{Block, Nearest, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
use tenfold_tensor::{Blocks, Error, Half};

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/gguf_blocks/expected.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    bytes(value).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn values_are_those_of_gguf() {
    let golden = golden();
    for scheme in Blocks::ALL {
        let case = &golden["decoded"][scheme.name().to_uppercase()];
        let (bytes, expected) = (bytes(&case["bytes"]), floats(&case["values"]));
        let got = scheme.decode_rows(&bytes, scheme.weights()).unwrap();
        assert_eq!(got.len(), expected.len());
        for (i, (got, want)) in got.iter().zip(&expected).enumerate() {
            assert_eq!(got, want, "{scheme}, weight {i}");
        }
    }
}

#[test]
fn nearest_blocks_are_those_of_gguf() {
    let golden = golden();
    let weights = floats(&golden["weights"]);
    for scheme in Blocks::ALL {
        let expected = &golden["encoded"][scheme.name().to_uppercase()];
        assert_eq!(scheme.has_nearest(), !expected.is_null(), "{scheme}");
        match scheme.nearest_rows(&weights, 64) {
            Ok(got) => assert_eq!(got, bytes(expected), "{scheme}"),
            Err(Error::SchemeWidth { block: 256, .. }) => assert!(!scheme.has_nearest()),
            Err(error) => panic!("{scheme}: {error}"),
        }
    }
}

#[test]
fn sizes_are_published() {
    let sizes = Blocks::ALL.map(|s| (s.weights(), s.bytes()));
    let small = [(32, 18), (32, 20), (32, 22), (32, 24), (32, 34)];
    let large = [(256, 84), (256, 110), (256, 144), (256, 176), (256, 210)];
    assert_eq!(sizes[..5], small);
    assert_eq!(sizes[5..], large);
    let bits = Blocks::ALL.map(Blocks::bits);
    assert_eq!(bits, [4.5, 5.0, 5.5, 6.0, 8.5, 2.625, 3.4375, 4.5, 5.5, 6.5625]);
    for scheme in Blocks::ALL {
        assert_eq!(Blocks::named(&scheme.name().to_uppercase()), Some(scheme));
        assert_eq!(scheme.row_bytes(scheme.weights() * 3), Some(scheme.bytes() * 3));
        assert_eq!(scheme.row_bytes(scheme.weights() * 3 + 1), None);
    }
    assert_eq!(Blocks::named("q9_k"), None);
}

#[test]
fn what_does_not_fit_is_refused() {
    let scheme = Blocks::Q8_0;
    assert!(matches!(scheme.decode_rows(&[0; 34], 48), Err(Error::SchemeWidth { width: 48, .. })));
    assert!(matches!(scheme.decode_rows(&[0; 33], 32), Err(Error::SchemeBytes { got: 33, .. })));
    assert!(matches!(scheme.decode_rows(&[], 0), Err(Error::SchemeBytes { .. })));
    assert!(matches!(scheme.nearest_rows(&[0.0; 48], 32), Err(Error::SchemeBytes { .. })));
    assert!(matches!(Blocks::Q4K.nearest_rows(&[0.0; 256], 256), Err(Error::SchemeSearch { .. })));
    for fault in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        for scheme in Blocks::ALL.into_iter().filter(|s| s.has_nearest()) {
            let mut weights = [0.5; 96];
            weights[40] = fault;
            let error = scheme.nearest_rows(&weights, 96).unwrap_err();
            assert!(matches!(error, Error::SchemeValue { position: 32, .. }), "{scheme}, {fault}: {error}");
        }
    }
}

/// Unpacking any bytes and packing them again gives the bytes; every value is finite where the halves are.
fn packs<B: Block>(bytes: &[u8]) -> Result<B, TestCaseError> {
    let block = B::unpack(bytes);
    let mut again = vec![0xa5; B::BYTES + 1];
    block.pack(&mut again);
    prop_assert_eq!(&again[..B::BYTES], &bytes[..B::BYTES]);
    prop_assert_eq!(again[B::BYTES], 0xa5, "a byte behind the block was written");
    prop_assert_eq!(&B::unpack(&again), &block);
    Ok(block)
}

fn decoded<B: Block>(block: &B) -> Vec<f32> {
    let mut values = vec![f32::NAN; B::WEIGHTS];
    block.decode(&mut values);
    values
}

/// Decoding the block nearest to what a nearest block decodes to gives the same values.
fn settles<B: Nearest>(weights: &[f32]) -> Result<(), TestCaseError> {
    let once = decoded(&B::nearest(weights));
    prop_assert_eq!(decoded(&B::nearest(&once)), once);
    Ok(())
}

fn half() -> impl Strategy<Value = Half> {
    any::<u16>().prop_map(Half::from_bits).prop_filter("finite", |h| h.is_finite())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packing_and_unpacking_are_inverse(bytes in proptest::collection::vec(any::<u8>(), 210)) {
        packs::<Q4_0>(&bytes)?;
        packs::<Q4_1>(&bytes)?;
        packs::<Q5_0>(&bytes)?;
        packs::<Q5_1>(&bytes)?;
        packs::<Q8_0>(&bytes)?;
        let block = packs::<Q2K>(&bytes)?;
        prop_assert!(block.codes.iter().all(|&c| c < 4) && block.scales.iter().all(|&s| s < 16));
        let block = packs::<Q3K>(&bytes)?;
        prop_assert!(block.codes.iter().all(|c| (-4..4).contains(c)));
        prop_assert!(block.scales.iter().all(|s| (-32..32).contains(s)));
        let block = packs::<Q4K>(&bytes)?;
        prop_assert!(block.codes.iter().all(|&c| c < 16) && block.scales.iter().all(|&s| s < 64));
        let block = packs::<Q5K>(&bytes)?;
        prop_assert!(block.codes.iter().all(|&c| c < 32) && block.minima.iter().all(|&m| m < 64));
        let block = packs::<Q6K>(&bytes)?;
        prop_assert!(block.codes.iter().all(|c| (-32..32).contains(c)));
    }

    /// A number that is too large for its place reaches none of its neighbors.
    #[test]
    fn a_field_stays_in_its_place(i in 0usize..256, d in half(), dmin in half()) {
        let zero = Q5K { d, dmin, scales: [0; 8], minima: [0; 8], codes: [0; 256] };
        let mut large = zero.clone();
        large.codes[i] = 255;
        large.scales[i / 32] = 255;
        let mut bytes = [0; 176];
        large.pack(&mut bytes);
        let mut expected = zero;
        expected.codes[i] = 31;
        expected.scales[i / 32] = 63;
        prop_assert_eq!(Q5K::unpack(&bytes), expected);
    }

    #[test]
    fn values_follow_the_formulas(bytes in proptest::collection::vec(any::<u8>(), 256), d in half(), m in half()) {
        let at = |i: usize| usize::from(bytes[i]);
        let (scale, minimum) = (f64::from(d.value()), f64::from(m.value()));
        let codes: [u8; 256] = std::array::from_fn(|i| bytes[i] & 3);
        let part: [u8; 16] = std::array::from_fn(|i| bytes[i + 7] & 15);
        let block = Q2K { d, dmin: m, scales: part, minima: part, codes };
        for (i, value) in decoded(&block).iter().enumerate() {
            let part = (at(i / 16 + 7) & 15) as f64;
            let exact = scale * part * f64::from(codes[i]) - minimum * part;
            prop_assert_eq!(*value, exact as f32);
        }
        let codes: [i8; 256] = std::array::from_fn(|i| bytes[i] as i8 >> 2);
        let block = Q6K { d, scales: std::array::from_fn(|i| bytes[i] as i8), codes };
        for (i, value) in decoded(&block).iter().enumerate() {
            let exact = scale * f64::from(bytes[i / 16] as i8) * f64::from(codes[i]);
            prop_assert_eq!(*value, exact as f32);
        }
        let block = Q4_1 { d, m, codes: std::array::from_fn(|i| bytes[i] & 15) };
        for (i, value) in decoded(&block).iter().enumerate() {
            prop_assert_eq!(*value, (scale * (at(i) & 15) as f64 + minimum) as f32);
        }
    }

    /// Half a step, and what rounding the step to a half adds over all codes; one step on the short side of Q4_0.
    #[test]
    fn nearest_codes_are_near(weights in proptest::collection::vec(-4.0f32..4.0, 32)) {
        let block = Q8_0::nearest(&weights);
        let step = block.d.value();
        for (w, v) in weights.iter().zip(decoded(&block)) {
            prop_assert!((w - v).abs() <= step * (0.5 + 127.0 / 2048.0), "{v} for {w}");
        }
        let block = Q4_0::nearest(&weights);
        let step = block.d.value().abs();
        for (w, v) in weights.iter().zip(decoded(&block)) {
            let short = w / block.d.value() > 7.0;
            let bound = if short { 1.0 } else { 0.5 } + 8.0 / 1024.0;
            prop_assert!((w - v).abs() <= step * bound, "{v} for {w}");
        }
        settles::<Q8_0>(&weights)?;
    }
}
