//! Parts of a clip: the plans of the built-in splits, and the reading of a user's. No I/O.

use backlot_frames::Rate;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most parts of one job: a day of film at 24 frames a second, frame by frame, is half of it.
pub const MAX_PARTS: usize = 4_000_000;

/// Frames `start` up to but not including `end` of a clip, and what split wants map to know about them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its number, from 0.
    pub index: u64,
    /// First frame.
    pub start: u64,
    /// One past the last frame.
    pub end: u64,
    /// Anything; null from the built-in splits.
    #[serde(default)]
    pub data: Value,
}

/// A list of parts that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// The list is empty.
    #[error("split gave no part; give at least one")]
    None,
    /// The list is too long.
    #[error("split gave {0} parts, more than {MAX_PARTS}; make them longer")]
    TooMany(usize),
    /// An item is no part.
    #[error(
        "part {0} of split's list is {1}; write [start, end] or {{\"start\": …, \"end\": …, \"data\": …}}"
    )]
    NotAPart(usize, String),
    /// The result is no list.
    #[error("split's result is {0}, not a list of parts; write [[start, end], …]")]
    NotAList(String),
    /// A part lies outside the clip, or is empty.
    #[error(
        "part {index} of split's list is frames {start} to {end}, which are not inside a clip of {frames} frames"
    )]
    Range {
        /// The part's place in the list.
        index: usize,
        /// First frame.
        start: u64,
        /// One past the last frame.
        end: u64,
        /// Frames of the clip.
        frames: u64,
    },
}

/// Parts from ranges that cover a clip in order.
pub(crate) fn numbered(ranges: impl IntoIterator<Item = (u64, u64)>) -> Vec<Part> {
    let number = |(index, (start, end)): (usize, (u64, u64))| Part {
        index: index as u64,
        start,
        end,
        data: Value::Null,
    };
    ranges.into_iter().enumerate().map(number).collect()
}

/// Parts of `length` frames; the last has what remains.
///
/// ```
/// let parts = backlot_archer::by_frames(100, 48)?;
/// assert_eq!(parts.iter().map(|part| (part.start, part.end)).collect::<Vec<_>>(), [(0, 48), (48, 96), (96, 100)]);
/// # Ok::<(), backlot_archer::PartError>(())
/// ```
pub fn by_frames(frames: u64, length: u64) -> Result<Vec<Part>, PartError> {
    let length = length.max(1);
    let count = frames.div_ceil(length);
    check_count(count)?;
    Ok(numbered((0..count).map(|part| (part * length, ((part + 1) * length).min(frames)))))
}

/// Parts of `seconds`, each boundary at the frame nearest to it; a part without a frame is left out.
pub fn by_seconds(frames: u64, rate: Rate, seconds: f64) -> Result<Vec<Part>, PartError> {
    let per_part = (rate.per_second() * seconds).max(f64::MIN_POSITIVE);
    if per_part < 1.0 {
        return by_frames(frames, 1);
    }
    let count = (frames as f64 / per_part).ceil();
    check_count(if count < u64::MAX as f64 { count as u64 } else { u64::MAX })?;
    let boundary = |number: u64| ((number as f64 * per_part).round() as u64).min(frames);
    let ranges = (0..count as u64).map(|part| (boundary(part), boundary(part + 1)));
    Ok(numbered(ranges.filter(|(start, end)| start < end)))
}

/// Reads what a user's split gave: a list of `[start, end]` or of objects with `start`, `end` and `data`.
pub fn of_function(frames: u64, list: &Value) -> Result<Vec<Part>, PartError> {
    let Value::Array(list) = list else { return Err(PartError::NotAList(shorten(list))) };
    check_count(list.len() as u64)?;
    let mut parts = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let wrong = || PartError::NotAPart(index, shorten(item));
        let (start, end, data) = match item {
            Value::Array(pair) if pair.len() == 2 => (pair[0].as_u64(), pair[1].as_u64(), Value::Null),
            Value::Object(fields) => (
                fields.get("start").and_then(Value::as_u64),
                fields.get("end").and_then(Value::as_u64),
                fields.get("data").cloned().unwrap_or(Value::Null),
            ),
            _ => return Err(wrong()),
        };
        let (Some(start), Some(end)) = (start, end) else { return Err(wrong()) };
        if start >= end || end > frames {
            return Err(PartError::Range { index, start, end, frames });
        }
        parts.push(Part { index: index as u64, start, end, data });
    }
    Ok(parts)
}

fn check_count(count: u64) -> Result<(), PartError> {
    match count {
        0 => Err(PartError::None),
        count if count > MAX_PARTS as u64 => Err(PartError::TooMany(count as usize)),
        _ => Ok(()),
    }
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { text.chars().take(57).chain("...".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn built_in_splits_cover_the_clip(frames in 1_u64..5000, length in 1_u64..600, seconds in 0.001_f64..30.0, num in 1_u32..120_000) {
            let rate = Rate::new(num, 1001).unwrap();
            for parts in [by_frames(frames, length).unwrap(), by_seconds(frames, rate, seconds).unwrap()] {
                prop_assert_eq!(parts[0].start, 0);
                prop_assert_eq!(parts.last().unwrap().end, frames);
                prop_assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
                prop_assert!(parts.iter().enumerate().all(|(at, part)| part.index == at as u64 && part.start < part.end));
            }
        }
    }

    #[test]
    fn a_users_list_is_read_or_refused() {
        let list = json!([[0, 10], { "start": 5, "end": 20, "data": { "x": 1 } }]);
        let parts = of_function(20, &list).unwrap();
        assert_eq!((parts[1].index, parts[1].start, &parts[1].data), (1, 5, &json!({ "x": 1 })));
        for (list, wanted) in [
            (json!([]), "no part"),
            (json!({}), "not a list"),
            (json!([[0, 10], 3]), "part 1"),
            (json!([[0, 21]]), "clip of 20 frames"),
            (json!([[4, 4]]), "frames 4 to 4"),
            (json!([[-1, 4]]), "part 0"),
        ] {
            let error = of_function(20, &list).unwrap_err().to_string();
            assert!(error.contains(wanted), "{list} -> {error}");
        }
    }
}
