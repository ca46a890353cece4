//! What is wrong with a GGUF file.

/// What a GGUF file may get wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufFault {
    /// Another first four bytes.
    #[error("begins with {got:02x?} in place of \"GGUF\"")]
    Magic {
        /// What is there.
        got: [u8; 4],
    },
    /// A version that is not read (a huge one is a big-endian file).
    #[error("version {got}, expected 2 or 3, little-endian")]
    Version {
        /// The version.
        got: u32,
    },
    /// A count or length above a limit.
    #[error("{what} is {got}, above the limit of {limit}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// The largest value that is accepted.
        limit: u64,
        /// The value in the file.
        got: u64,
    },
    /// More elements than the rest of the file can hold.
    #[error("{needed} bytes are needed, {left} are left")]
    Truncated {
        /// Bytes that must follow.
        needed: u64,
        /// Bytes that follow.
        left: u64,
    },
    /// A type number without a meaning.
    #[error("unknown value type {got}")]
    ValueType {
        /// The number.
        got: u32,
    },
    /// A truth value that is neither 0 nor 1.
    #[error("truth value {got}, expected 0 or 1")]
    Bool {
        /// The byte.
        got: u8,
    },
    /// A key or name that is not UTF-8.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// Which text.
        what: &'static str,
    },
    /// Two entries with one key, or two tensors with one name.
    #[error("{name} is listed twice")]
    Duplicate {
        /// The key or name.
        name: String,
    },
    /// An alignment that is no power of two, no u32, or too large.
    #[error("general.alignment is {got}, expected a power of two up to 2^20")]
    Alignment {
        /// The value.
        got: String,
    },
    /// A tensor whose size overflows or is no whole number of blocks.
    #[error("tensor {tensor} has the impossible shape {shape:?} for its type")]
    Shape {
        /// The tensor.
        tensor: String,
        /// The sizes, slowest first.
        shape: Vec<u64>,
    },
    /// A tensor that does not begin at a multiple of the alignment.
    #[error("tensor {tensor} begins at {got}, expected a multiple of {alignment}")]
    Misaligned {
        /// The tensor.
        tensor: String,
        /// Where it begins.
        got: u64,
        /// The alignment.
        alignment: u64,
    },
    /// A tensor that reaches beyond the end of the file.
    #[error("tensor {tensor} ends at {end} of {available} bytes of data")]
    OutOfFile {
        /// The tensor.
        tensor: String,
        /// One past its last byte.
        end: u64,
        /// Data bytes in the file.
        available: u64,
    },
    /// Two tensors that share bytes.
    #[error("tensors {first} and {second} overlap")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The other.
        second: String,
    },
    /// An entry that a model needs and that is not there.
    #[error("there is no entry {key}")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// An entry of another type than its key implies.
    #[error("the entry {key} is {got}, expected {expected}")]
    Entry {
        /// The key.
        key: String,
        /// What was expected.
        expected: &'static str,
        /// The value.
        got: String,
    },
    /// Data of another length than the tensor's type and shape imply; only in writing.
    #[error("tensor {tensor} has {got} bytes of data, its type and shape imply {expected}")]
    Data {
        /// The tensor.
        tensor: String,
        /// Bytes by type and shape.
        expected: u64,
        /// Bytes given.
        got: u64,
    },
}
