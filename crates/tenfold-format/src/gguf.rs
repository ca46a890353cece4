//! GGUF headers.

/// The first bytes of every GGUF file.
pub const MAGIC: [u8; 4] = *b"GGUF";

/// What a GGUF header may get wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufFault {
    /// Another first four bytes.
    #[error("not a GGUF file")]
    Magic,
}
