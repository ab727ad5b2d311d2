//! Writing payloads.

use std::collections::HashMap;

use backlot_atlas::wire::SmileWriter;
use backlot_meters::{Measurement, Op, TagValue};

use super::Format;

/// The operations of a payload.
const ADD: u64 = 0;
const MAX: u64 = 10;

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
            Op::Add => ADD,
            Op::Max => MAX,
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
    let mut writer = SmileWriter::default();
    writer.array_start();
    writer.whole(strings.ordered.len() as i64);
    for string in &strings.ordered {
        writer.text(string.as_str());
    }
    for piece in updates {
        match piece {
            Piece::Integer(value) => writer.whole(value.cast_signed()),
            Piece::Float(value) => writer.double(*value),
        }
    }
    writer.array_end();
    writer.into_bytes()
}
