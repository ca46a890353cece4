//! A cursor over the bytes of a GGUF file that never reads or allocates beyond them.

use super::value::{Array, Value};
use super::{GgufFault, NESTING_LIMIT};

type Result<T> = std::result::Result<T, GgufFault>;

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, position: 0 }
    }

    /// The next byte to read, or the first one of what was refused.
    pub(super) fn position(&self) -> u64 {
        self.position as u64
    }

    /// Bytes of the whole file.
    pub(super) fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Refuses when fewer than `needed` bytes are left.
    pub(super) fn need(&self, needed: u64) -> Result<()> {
        let left = (self.bytes.len() - self.position) as u64;
        if needed > left {
            return Err(GgufFault::Truncated { needed, left });
        }
        Ok(())
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        self.need(count)?;
        let taken = &self.bytes[self.position..self.position + count as usize];
        self.position += count as usize;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A u64 that may be at most `limit`.
    pub(super) fn count(&mut self, what: &'static str, limit: u64) -> Result<u64> {
        match self.u64()? {
            got if got > limit => Err(GgufFault::Limit { what, limit, got }),
            count => Ok(count),
        }
    }

    /// A key or name of at most `limit` bytes.
    pub(super) fn name(&mut self, what: &'static str, limit: u64) -> Result<String> {
        let length = self.count(what, limit)?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| GgufFault::NotUtf8 { what })?;
        Ok(text.to_owned())
    }

    fn string(&mut self) -> Result<String> {
        let length = self.u64()?;
        // Some vocabularies hold pieces of characters; they are shown, not used.
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn bool(&mut self) -> Result<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [got] => Err(GgufFault::Bool { got }),
        }
    }

    /// A type number and a value of that type.
    pub(super) fn value(&mut self) -> Result<Value> {
        Ok(match self.u32()? {
            0 => Value::U8(self.array().map(u8::from_le_bytes)?),
            1 => Value::I8(self.array().map(i8::from_le_bytes)?),
            2 => Value::U16(self.array().map(u16::from_le_bytes)?),
            3 => Value::I16(self.array().map(i16::from_le_bytes)?),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(self.array().map(i32::from_le_bytes)?),
            6 => Value::F32(self.array().map(f32::from_le_bytes)?),
            7 => Value::Bool(self.bool()?),
            8 => Value::String(self.string()?),
            9 => Value::Array(self.elements(1)?),
            10 => Value::U64(self.u64()?),
            11 => Value::I64(self.array().map(i64::from_le_bytes)?),
            12 => Value::F64(self.array().map(f64::from_le_bytes)?),
            got => return Err(GgufFault::ValueType { got }),
        })
    }

    /// An array inside `depth` arrays, itself included.
    fn elements(&mut self, depth: usize) -> Result<Array> {
        if depth > NESTING_LIMIT {
            let (limit, got) = (NESTING_LIMIT as u64, depth as u64);
            return Err(GgufFault::Limit { what: "the nesting of arrays", limit, got });
        }
        let kind = self.u32()?;
        let count = self.u64()?;
        Ok(match kind {
            0 => Array::U8(self.numbers(count, u8::from_le_bytes)?),
            1 => Array::I8(self.numbers(count, i8::from_le_bytes)?),
            2 => Array::U16(self.numbers(count, u16::from_le_bytes)?),
            3 => Array::I16(self.numbers(count, i16::from_le_bytes)?),
            4 => Array::U32(self.numbers(count, u32::from_le_bytes)?),
            5 => Array::I32(self.numbers(count, i32::from_le_bytes)?),
            6 => Array::F32(self.numbers(count, f32::from_le_bytes)?),
            7 => Array::Bool(self.items(count, 1, Reader::bool)?),
            8 => Array::String(self.items(count, 8, Reader::string)?),
            9 => Array::Array(self.items(count, 12, |reader| reader.elements(depth + 1))?),
            10 => Array::U64(self.numbers(count, u64::from_le_bytes)?),
            11 => Array::I64(self.numbers(count, i64::from_le_bytes)?),
            12 => Array::F64(self.numbers(count, f64::from_le_bytes)?),
            got => return Err(GgufFault::ValueType { got }),
        })
    }

    fn numbers<T, const N: usize>(&mut self, count: u64, read: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
        let bytes = self.take(count.saturating_mul(N as u64))?;
        Ok(bytes.as_chunks::<N>().0.iter().map(|&chunk| read(chunk)).collect())
    }

    /// Elements of at least `smallest` bytes each.
    fn items<T>(
        &mut self,
        count: u64,
        smallest: u64,
        read: impl Fn(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.need(count.saturating_mul(smallest))?;
        (0..count).map(|_| read(self)).collect()
    }
}
