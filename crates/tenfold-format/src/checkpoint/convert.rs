//! Little-endian numbers of every plain type to f32.

use safetensors::Dtype;

/// Reads `bytes` as numbers of type `dtype`; nothing when the type is no plain number.
pub(super) fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        Dtype::F16 => each(bytes, |b| f16_to_f32(u16::from_le_bytes(b))),
        Dtype::BF16 => each(bytes, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
        Dtype::BOOL => each(bytes, |[b]: [u8; 1]| f32::from(u8::from(b != 0))),
        Dtype::U8 => each(bytes, |[b]: [u8; 1]| f32::from(b)),
        Dtype::I8 => each(bytes, |b| f32::from(i8::from_le_bytes(b))),
        Dtype::U16 => each(bytes, |b| f32::from(u16::from_le_bytes(b))),
        Dtype::I16 => each(bytes, |b| f32::from(i16::from_le_bytes(b))),
        Dtype::U32 => each(bytes, |b| u32::from_le_bytes(b) as f32),
        Dtype::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
        Dtype::U64 => each(bytes, |b| u64::from_le_bytes(b) as f32),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
        _ => return None,
    })
}

fn each<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| read(chunk)).collect()
}

/// IEEE 754 binary16 to binary32, exactly: 1 sign bit, 5 exponent bits (bias 15), 10 fraction bits.
pub(crate) fn f16_to_f32(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let exponent = u32::from(half >> 10) & 0x1f;
    let fraction = u32::from(half) & 0x3ff;
    match exponent {
        // Zero and subnormals: fraction * 2^-24, which f32 holds exactly.
        0 => f32::from_bits(sign | (fraction as f32 * 2f32.powi(-24)).to_bits()),
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_has_its_value() {
        for bits in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
            let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
            let got = f64::from(f16_to_f32(bits));
            match exponent {
                31 if fraction == 0.0 => assert_eq!(got, sign * f64::INFINITY),
                31 => assert!(got.is_nan()),
                0 => assert_eq!(got, sign * fraction / 1024.0 * 2f64.powi(-14)),
                e => assert_eq!(got, sign * (1.0 + fraction / 1024.0) * 2f64.powi(e - 15)),
            }
            assert_eq!(f16_to_f32(bits).is_sign_negative(), bits >> 15 == 1);
        }
    }

    #[test]
    fn every_plain_type_is_read() {
        let read = |dtype, bytes: &[u8]| to_f32(dtype, bytes).unwrap();
        assert_eq!(read(Dtype::F32, &1.5f32.to_le_bytes()), [1.5]);
        assert_eq!(read(Dtype::F64, &(-0.25f64).to_le_bytes()), [-0.25]);
        assert_eq!(read(Dtype::F16, &[0x00, 0x3c, 0x00, 0xc0]), [1.0, -2.0]);
        assert_eq!(read(Dtype::BF16, &[0x80, 0x3f, 0x00, 0xc0]), [1.0, -2.0]);
        assert_eq!(read(Dtype::BOOL, &[0, 1]), [0.0, 1.0]);
        assert_eq!(read(Dtype::U8, &[255]), [255.0]);
        assert_eq!(read(Dtype::I8, &[255]), [-1.0]);
        assert_eq!(read(Dtype::U16, &[255, 255]), [65535.0]);
        assert_eq!(read(Dtype::I16, &[254, 255]), [-2.0]);
        assert_eq!(read(Dtype::U32, &7u32.to_le_bytes()), [7.0]);
        assert_eq!(read(Dtype::I32, &(-7i32).to_le_bytes()), [-7.0]);
        assert_eq!(read(Dtype::U64, &7u64.to_le_bytes()), [7.0]);
        assert_eq!(read(Dtype::I64, &(-7i64).to_le_bytes()), [-7.0]);
        assert!(to_f32(Dtype::C64, &[0; 8]).is_none());
        assert!(to_f32(Dtype::F4, &[0]).is_none());
    }
}
