//! A column as bytes, exact to the bit.
//!
//! What machines measure is rarely a random double: much is constant or missing, most of the rest are whole numbers or decimals
//! with a few digits, and neighbours differ little. A column is therefore written in the shortest of these forms:
//!
//! | form | holds |
//! |---|---|
//! | empty | no value at all |
//! | constant | one value in every step that has one |
//! | decimal | `value = integer / 10^d`: the integers' differences (of order 0, 1 or 2), each in as many bits as the widest needs |
//! | xor | any doubles: each exclusive-or'ed with the one before; the bits between leading and trailing zeros |
//!
//! The xor form is that of Pelkonen and others, "Gorilla: a fast, scalable, in-memory time series database" (VLDB 2015), section
//! 4.1.3; its timestamps are not needed here, because position is time. Missing steps are a bitmap in front, absent where
//! nothing is missing. The decimal form is used only where reading gives back the very same bits.

use crate::block::bits::{Reader, Writer};

mod bits;

/// Longest column in a block: the length is written in two bytes, and a block is decoded whole.
pub const LONGEST: usize = u16::MAX as usize;

/// Largest power of ten by which a decimal is scaled: 10^15 still leaves whole numbers that a double holds exactly.
const MOST_DIGITS: usize = 15;

/// Whole numbers up to here are exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

const POWERS: [f64; MOST_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The forms, as the first byte says.
const EMPTY: u8 = 0;
const CONSTANT: u8 = 1;
const DECIMAL: u8 = 2;
const XOR: u8 = 3;
/// Set in the first byte if a bitmap of present values follows.
const WITH_GAPS: u8 = 0x80;

/// A block that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// It ends too early.
    #[error("the block ends before its values do; the file is cut or damaged")]
    Short,
    /// It is of a form that there is not.
    #[error("the block has the unknown form {0}; the file is damaged, or newer than this program")]
    Form(u8),
    /// A number in it cannot be.
    #[error("the block has an impossible number in it; the file is damaged")]
    Number,
}

/// Writes a column. Values beyond [`LONGEST`] are left out; split longer columns.
pub fn encode(values: &[f64], into: &mut Vec<u8>) {
    let values = &values[..values.len().min(LONGEST)];
    let present: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    let gaps = present.len() < values.len() && !present.is_empty();
    let head = into.len();
    into.push(0);
    into.extend_from_slice(&(values.len() as u16).to_le_bytes());
    if gaps {
        let mut bitmap = Writer::new(into);
        for value in values {
            bitmap.write(u64::from(!value.is_nan()), 1);
        }
        bitmap.finish();
    }
    let form = match present.split_first() {
        None => EMPTY,
        Some((first, rest)) if rest.iter().all(|value| value.to_bits() == first.to_bits()) => {
            into.extend_from_slice(&first.to_bits().to_le_bytes());
            CONSTANT
        }
        Some(_) => {
            let start = into.len();
            let decimal = encode_decimal(&present, into);
            let length = into.len() - start;
            let mut xor = Vec::new();
            if !decimal || length > present.len() {
                encode_xor(&present, &mut xor);
            }
            if decimal && (xor.is_empty() || length <= xor.len()) {
                DECIMAL
            } else {
                into.truncate(start);
                into.extend_from_slice(&xor);
                XOR
            }
        }
    };
    into[head] = form | if gaps { WITH_GAPS } else { 0 };
}

/// Reads a column and says how many bytes it took.
///
/// # Errors
/// Bytes that [`encode`] did not write.
pub fn decode(bytes: &[u8], values: &mut Vec<f64>) -> Result<usize, BlockError> {
    let [form, low, high, ..] = *bytes else { return Err(BlockError::Short) };
    let len = usize::from(u16::from_le_bytes([low, high]));
    let mut at = 3;
    let start = values.len();
    let mut present = len;
    let bitmap = if form & WITH_GAPS == 0 {
        None
    } else {
        let bitmap = bytes.get(at..at + len.div_ceil(8)).ok_or(BlockError::Short)?;
        at += bitmap.len();
        present = bitmap.iter().map(|byte| byte.count_ones() as usize).sum();
        if present > len {
            return Err(BlockError::Number);
        }
        Some(bitmap)
    };
    match form & !WITH_GAPS {
        EMPTY => values.resize(start + len, f64::NAN),
        CONSTANT => {
            let bits =
                bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).ok_or(BlockError::Short)?;
            at += 8;
            values.resize(start + present, f64::from_bits(u64::from_le_bytes(bits)));
        }
        DECIMAL => at += decode_decimal(&bytes[at..], present, values)?,
        XOR => at += decode_xor(&bytes[at..], present, values)?,
        other => return Err(BlockError::Form(other)),
    }
    if let Some(bitmap) = bitmap {
        spread(values, start, len, bitmap);
    }
    Ok(at)
}

/// Moves the values to the places that the bitmap names, from the back, so that none is overwritten before it has moved.
fn spread(values: &mut Vec<f64>, start: usize, len: usize, bitmap: &[u8]) {
    let mut from = values.len();
    values.resize(start + len, f64::NAN);
    for place in (0..len).rev() {
        let is_there = bitmap[place / 8] >> (7 - place % 8) & 1 == 1;
        values[start + place] = if is_there && from > start {
            from -= 1;
            values[from]
        } else {
            f64::NAN
        };
    }
}

/// The integers that the values are after scaling, and the power of ten; `None` where some value would come back changed.
fn scaled(values: &[f64]) -> Option<(u8, Vec<i64>)> {
    let mut digits = 0;
    'scale: loop {
        let power = POWERS[digits];
        let mut integers = Vec::with_capacity(values.len());
        for &value in values {
            let rounded = (value * power).round();
            let integer = rounded as i64;
            // Negative zero has no integer; larger numbers have no exact one.
            let has_integer = rounded.abs() <= EXACT && value.to_bits() != (-0.0_f64).to_bits();
            if !has_integer || (integer as f64 / power).to_bits() != value.to_bits() {
                if digits == MOST_DIGITS || !has_integer {
                    return None;
                }
                digits += 1;
                continue 'scale;
            }
            integers.push(integer);
        }
        return Some((digits as u8, integers));
    }
}

fn encode_decimal(values: &[f64], into: &mut Vec<u8>) -> bool {
    let Some((digits, integers)) = scaled(values) else { return false };
    // Differences of each order; the integers are below 2^53, so differences of order two are below 2^55.
    let mut best: Option<(u8, u32, Vec<i64>)> = None;
    let mut column = integers;
    for order in 0..3u8 {
        let kept = usize::from(order).min(column.len());
        let widest =
            column[kept..].iter().map(|&value| 64 - zigzag(value).leading_zeros()).max().unwrap_or(0);
        if best.as_ref().is_none_or(|(_, width, _)| widest < *width) {
            best = Some((order, widest, column.clone()));
        }
        for place in (kept + 1..column.len()).rev() {
            column[place] -= column[place - 1];
        }
    }
    let Some((order, width, column)) = best else { return false };
    into.push(digits | order << 4);
    into.push(width as u8);
    let mut writer = Writer::new(into);
    for (place, &value) in column.iter().enumerate() {
        let bits = if place < usize::from(order) { 64 } else { width };
        writer.write(zigzag(value), bits);
    }
    writer.finish();
    true
}

fn decode_decimal(bytes: &[u8], count: usize, values: &mut Vec<f64>) -> Result<usize, BlockError> {
    let [head, width, ref rest @ ..] = *bytes else { return Err(BlockError::Short) };
    let (digits, order) = (usize::from(head & 0xf), usize::from(head >> 4));
    if order > 2 || width > 64 {
        return Err(BlockError::Number);
    }
    let mut reader = Reader::new(rest);
    let mut column = Vec::with_capacity(count);
    for place in 0..count {
        let bits = if place < order { 64 } else { u32::from(width) };
        column.push(unzigzag(reader.read(bits).ok_or(BlockError::Short)?));
    }
    for kept in (1..=order).rev() {
        for place in kept..count {
            column[place] = column[place].wrapping_add(column[place - 1]);
        }
    }
    values.extend(column.iter().map(|&integer| integer as f64 / POWERS[digits]));
    Ok(2 + reader.bytes_read())
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn encode_xor(values: &[f64], into: &mut Vec<u8>) {
    let mut writer = Writer::new(into);
    let mut before = 0u64;
    let mut window: Option<(u32, u32)> = None;
    for value in values {
        let bits = value.to_bits();
        let changed = bits ^ before;
        before = bits;
        if changed == 0 {
            writer.write(0, 1);
            continue;
        }
        let (leading, trailing) = (changed.leading_zeros().min(31), changed.trailing_zeros());
        match window {
            Some((left, right)) if leading >= left && trailing >= right => {
                writer.write(0b10, 2);
                writer.write(changed >> right, 64 - left - right);
            }
            _ => {
                let length = 64 - leading - trailing;
                writer.write(0b11, 2);
                writer.write(u64::from(leading), 5);
                writer.write(u64::from(length - 1), 6);
                writer.write(changed >> trailing, length);
                window = Some((leading, trailing));
            }
        }
    }
    writer.finish();
}

fn decode_xor(bytes: &[u8], count: usize, values: &mut Vec<f64>) -> Result<usize, BlockError> {
    let mut reader = Reader::new(bytes);
    let mut before = 0u64;
    let (mut trailing, mut length) = (0, 64);
    for _ in 0..count {
        let mut read = |bits| reader.read(bits).ok_or(BlockError::Short);
        if read(1)? == 1 {
            if read(1)? == 1 {
                let leading = read(5)? as u32;
                length = read(6)? as u32 + 1;
                trailing = 64u32.checked_sub(leading + length).ok_or(BlockError::Number)?;
            }
            before ^= read(length)? << trailing;
        }
        values.push(f64::from_bits(before));
    }
    Ok(reader.bytes_read())
}
