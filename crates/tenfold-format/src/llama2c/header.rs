//! The header of a llama2.c file.

use crate::config::{Activation, LlamaConfig};
use crate::config::{LAYERS_LIMIT, POSITIONS_LIMIT, VOCABULARY_LIMIT, WIDTH_LIMIT};

/// The first bytes of a file of version 1 and later.
const MAGIC: &[u8; 4] = b"24ka";
/// Bytes of a header of version 1 and later.
pub(super) const LENGTH: usize = 256;
/// Bytes of a header of version 0.
const FIRST_LENGTH: usize = 28;
/// The version that is read besides 0.
const KNOWN: u32 = 2;
/// The token that stands between texts.
const BEGIN: u32 = 1;
/// The token after a text, where a tokenizer adds one.
const END: u32 = 2;

/// What is wrong with a llama2.c file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Llama2cFault {
    /// The header is not complete.
    #[error("the header needs {expected} bytes, the file has {got}")]
    ShortHeader {
        /// Bytes of the header.
        expected: usize,
        /// Bytes of the file.
        got: usize,
    },
    /// A version that is not read.
    #[error("version {got}, known are 0 and {KNOWN}; export it anew")]
    Version {
        /// The version.
        got: u32,
    },
    /// A count that makes no sense.
    #[error("{field} is {got}, expected {expected}")]
    Count {
        /// The field.
        field: &'static str,
        /// The range.
        expected: String,
        /// The value.
        got: i64,
    },
    /// The file is not as long as its header implies.
    #[error("the header implies {expected} bytes, the file has {got}; fetch it again")]
    Length {
        /// Bytes by the header.
        expected: u64,
        /// Bytes of the file.
        got: u64,
    },
    /// A matrix that does not consist of whole groups.
    #[error("groups of {group} do not divide the {elements} elements of {tensor}")]
    Group {
        /// The tensor.
        tensor: String,
        /// Elements of a group.
        group: usize,
        /// Elements of the tensor.
        elements: u64,
    },
}

/// What the header says.
pub(super) struct Header {
    pub(super) config: LlamaConfig,
    /// Elements that share a scale; nothing where all numbers are float32.
    pub(super) group: Option<usize>,
    /// Bytes before the first tensor.
    pub(super) length: usize,
}

impl Header {
    pub(super) fn read(bytes: &[u8]) -> Result<Header, Llama2cFault> {
        let need = |expected| match bytes.len() >= expected {
            true => Ok(()),
            false => Err(Llama2cFault::ShortHeader { expected, got: bytes.len() }),
        };
        need(FIRST_LENGTH)?;
        let int = |at: usize| i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if !bytes.starts_with(MAGIC) {
            let config = config(|field| int(4 * field), None)?;
            return Ok(Header { config, group: None, length: FIRST_LENGTH });
        }
        need(LENGTH)?;
        let version = int(4) as u32;
        if version != KNOWN {
            return Err(Llama2cFault::Version { got: version });
        }
        let fault = |field, expected: &str, got: i32| Llama2cFault::Count {
            field,
            expected: expected.to_owned(),
            got: got.into(),
        };
        let tied = match bytes[36] {
            0 => false,
            1 => true,
            got => return Err(fault("tied flag", "0 or 1", got.into())),
        };
        let group = usize::try_from(int(37)).ok().filter(|group| *group > 0);
        let group = group.ok_or_else(|| fault("group size", "at least 1", int(37)))?;
        let config = config(|field| int(8 + 4 * field), Some(tied))?;
        Ok(Header { config, group: Some(group), length: LENGTH })
    }
}

/// Whether these first bytes of a file are a header.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) || Header::read(bytes).is_ok()
}

/// The architecture by the seven integers; `tied` where it is not the sign of the vocabulary that says it.
fn config(int: impl Fn(usize) -> i32, tied: Option<bool>) -> Result<LlamaConfig, Llama2cFault> {
    let fault = |field, expected: String, got: i32| Llama2cFault::Count { field, expected, got: got.into() };
    let count = |at: usize, field, limit: usize| match usize::try_from(int(at)) {
        Ok(got) if (1..=limit).contains(&got) => Ok(got),
        _ => Err(fault(field, format!("1 to {limit}"), int(at))),
    };
    let divisor = |at: usize, field, whole: usize| {
        let got = count(at, field, whole)?;
        let fits = whole.is_multiple_of(got);
        fits.then_some(got).ok_or_else(|| fault(field, format!("a divisor of {whole}"), int(at)))
    };
    let width = count(0, "dim", WIDTH_LIMIT)?;
    let heads = divisor(3, "heads", width)?;
    if !(width / heads).is_multiple_of(2) {
        return Err(fault("heads", format!("{width} in heads of even width"), int(3)));
    }
    let signed = int(5);
    let vocabulary = signed.unsigned_abs() as usize;
    if !(1..=VOCABULARY_LIMIT).contains(&vocabulary) || (tied.is_some() && signed < 0) {
        return Err(fault("vocabulary", format!("1 to {VOCABULARY_LIMIT}"), signed));
    }
    let token = |id: u32| ((id as usize) < vocabulary).then_some(id);
    Ok(LlamaConfig {
        vocabulary,
        width,
        layers: count(2, "layers", LAYERS_LIMIT)?,
        heads,
        key_heads: divisor(4, "key/value heads", heads)?,
        head_width: width / heads,
        hidden: count(1, "hidden", 4 * WIDTH_LIMIT)?,
        positions: count(6, "positions", POSITIONS_LIMIT)?,
        norm_eps: 1e-5,
        activation: Activation::Silu,
        rotary_base: 10_000.0,
        tied: tied.unwrap_or(signed > 0),
        begin_token: token(BEGIN),
        end_tokens: [BEGIN, END].into_iter().filter_map(token).collect(),
        ..LlamaConfig::default()
    })
}
