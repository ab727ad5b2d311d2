//! Writing payloads.

use std::collections::HashMap;

use backlot_meters::{Measurement, Op, TagValue};

use super::{Format, Operation, smile};

/// Writes a payload of these measurements, each with the common tags that its id does not have itself.
///
/// Values that are not finite have no place in a payload; the caller leaves such measurements out.
pub fn encode<'a>(
    format: Format,
    common_tags: &'a [(String, String)],
    measurements: &'a [Measurement],
) -> Vec<u8> {
    let mut strings = Strings::default();
    let mut updates = Vec::with_capacity(measurements.len() * 16);
    let name_key = strings.index(TagValue::Text("name"));
    let common: Vec<(&str, u64, u64)> = common_tags
        .iter()
        .map(|(key, value)| {
            let index = |strings: &mut Strings<'a>, text| strings.index(TagValue::Text(text));
            (key.as_str(), index(&mut strings, key), index(&mut strings, value))
        })
        .collect();
    for measurement in measurements {
        // The number of tags stands before them and is known after.
        let at = updates.len();
        updates.push(Piece::Integer(0));
        let mut tags = 1;
        for (key, key_index, value_index) in &common {
            if measurement.tags().any(|(own, _)| own == *key) {
                continue;
            }
            updates.extend([Piece::Integer(*key_index), Piece::Integer(*value_index)]);
            tags += 1;
        }
        for (key, value) in measurement.tags() {
            let key = strings.index(TagValue::Text(key));
            updates.extend([Piece::Integer(key), Piece::Integer(strings.index(value))]);
            tags += 1;
        }
        let name = strings.index(TagValue::Text(measurement.id.name()));
        let operation = match measurement.op() {
            Op::Add => Operation::ADD,
            Op::Max => Operation::MAX,
        };
        updates.extend([Piece::Integer(name_key), Piece::Integer(name)]);
        updates.extend([Piece::Integer(operation), Piece::Float(measurement.value)]);
        updates[at] = Piece::Integer(tags);
    }
    match format {
        Format::Json => json(&strings, &updates),
        Format::Smile => smile(&strings, &updates),
    }
}

#[derive(Clone, Copy)]
enum Piece {
    Integer(u64),
    Float(f64),
}

/// The strings of a payload, each once.
#[derive(Default)]
struct Strings<'a> {
    ordered: Vec<TagValue<'a>>,
    indices: HashMap<TagValue<'a>, u64>,
}

impl<'a> Strings<'a> {
    fn index(&mut self, string: TagValue<'a>) -> u64 {
        let next = self.ordered.len() as u64;
        *self.indices.entry(string).or_insert_with(|| {
            self.ordered.push(string);
            next
        })
    }
}

fn json(strings: &Strings<'_>, updates: &[Piece]) -> Vec<u8> {
    use std::fmt::Write;

    let mut out = format!("[{}", strings.ordered.len());
    for string in &strings.ordered {
        // Ids are clean: nothing in them needs an escape.
        out.push_str(",\"");
        out.push_str(string.as_str());
        out.push('"');
    }
    for piece in updates {
        let written = match piece {
            Piece::Integer(value) => write!(out, ",{value}"),
            // Short where a person would write it so, with an exponent where it would be long.
            Piece::Float(value) if *value == 0.0 || (1e-5..1e16).contains(&value.abs()) => {
                write!(out, ",{value}")
            }
            Piece::Float(value) => write!(out, ",{value:e}"),
        };
        debug_assert!(written.is_ok(), "writing to a String does not fail");
    }
    out.push(']');
    out.into_bytes()
}

fn smile(strings: &Strings<'_>, updates: &[Piece]) -> Vec<u8> {
    let mut out = smile::HEADER.to_vec();
    out.push(smile::ARRAY_START);
    smile_integer(strings.ordered.len() as u64, &mut out);
    for string in &strings.ordered {
        smile_string(string.as_str(), &mut out);
    }
    for piece in updates {
        match piece {
            Piece::Integer(value) => smile_integer(*value, &mut out),
            Piece::Float(value) => smile_float(*value, &mut out),
        }
    }
    out.push(smile::ARRAY_END);
    out
}

fn smile_integer(value: u64, out: &mut Vec<u8>) {
    let zigzag = value << 1;
    if zigzag < 0x20 {
        out.push(smile::SMALL_INT + zigzag as u8);
        return;
    }
    out.push(if u32::try_from(zigzag).is_ok() { smile::INT_32 } else { smile::INT_64 });
    // Six bits at the end, seven before, without leading zeros.
    let groups = (zigzag >> 6).checked_ilog2().map_or(0, |top| top / 7 + 1);
    for group in (0..groups).rev() {
        out.push((zigzag >> (6 + 7 * group) & 0x7F) as u8);
    }
    out.push(0x80 | (zigzag & 0x3F) as u8);
}

fn smile_float(value: f64, out: &mut Vec<u8>) {
    out.push(smile::FLOAT_64);
    let bits = value.to_bits();
    out.extend((0..10).rev().map(|group| (bits >> (7 * group) & 0x7F) as u8));
}

fn smile_string(text: &str, out: &mut Vec<u8>) {
    match text.len() {
        0 => out.push(smile::EMPTY_STRING),
        // Tokens of 1 to 32 and of 33 to 64 bytes follow each other.
        length @ 1..=64 => {
            out.push(smile::TINY_ASCII - 1 + length as u8);
            out.extend_from_slice(text.as_bytes());
        }
        _ => {
            out.push(smile::LONG_ASCII);
            out.extend_from_slice(text.as_bytes());
            out.push(smile::END_OF_STRING);
        }
    }
}
