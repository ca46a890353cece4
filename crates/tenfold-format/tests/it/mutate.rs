//! Valid files, damaged at random: the inputs on which parsers break.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The same inputs at every run: the fuzz targets are for new ones.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(17), failure_persistence: None, ..ProptestConfig::default() }
}

/// A change to a file.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    /// The bytes from this fraction of the file on are lost.
    Cut(f64),
    /// One bit is flipped, at this fraction of the file.
    Flip(f64, u8),
    /// Eight bytes, at this fraction, become this number: lengths, counts and offsets.
    Number(f64, u64),
    /// Bytes are put in.
    Insert(f64, Vec<u8>),
}

/// One to four changes.
pub(crate) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let numbers = prop_oneof![any::<u64>(), 0u64..300, Just(u64::MAX), Just(1 << 63), Just(u64::MAX / 4 + 1)];
    // Headers come first in a file, so half of the changes fall there.
    let place = || prop_oneof![0.0..1.0f64, 0.0..0.1f64];
    let one = prop_oneof![
        place().prop_map(Mutation::Cut),
        (place(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (place(), numbers).prop_map(|(at, number)| Mutation::Number(at, number)),
        (place(), prop::collection::vec(any::<u8>(), 1..16))
            .prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
    ];
    prop::collection::vec(one, 1..5)
}

/// `bytes` after all `changes`.
pub(crate) fn apply(mut bytes: Vec<u8>, changes: &[Mutation]) -> Vec<u8> {
    for change in changes {
        let index = |at: f64| (at * bytes.len() as f64) as usize;
        match change {
            Mutation::Cut(at) => bytes.truncate(index(*at)),
            Mutation::Flip(at, bit) => {
                let index = index(*at);
                if let Some(byte) = bytes.get_mut(index) {
                    *byte ^= 1 << bit;
                }
            }
            Mutation::Number(at, number) => {
                let index = index(*at);
                if let Some(place) = bytes.get_mut(index..index + 8) {
                    place.copy_from_slice(&number.to_le_bytes());
                }
            }
            Mutation::Insert(at, more) => {
                let index = index(*at);
                bytes.splice(index..index, more.iter().copied());
            }
        }
    }
    bytes
}
