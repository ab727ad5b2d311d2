//! Prometheus' neighbours: remote write, and the text that exporters show.
//!
//! A sample keeps its value as it was sent, the last of a step holds; the metric's name becomes the tag `name`. Formats: "Prometheus
//! Remote-Write 1.0" (protobuf in snappy's block format) and "Exposition formats" (text 0.0.4) of prometheus.io.

use axum::Router;
use axum::body::Bytes;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use crate::ingest::{LARGEST_BODY, decompressed};
use crate::state::{Serving, Slot, State};
use crate::store::{Effect, Sample, StoreError};

/// Most labels of a sample that are read.
const MOST_LABELS: usize = 64;

/// Longest value of a label in bytes that is kept.
const LONGEST_VALUE: usize = 255;

pub(crate) fn routes(slot: Slot) -> Router {
    Router::new()
        .route("/api/v1/write", post(write))
        .route("/api/v1/import/prometheus", post(import))
        .with_state(slot)
}

async fn write(Serving(state): Serving, body: Bytes) -> Response {
    answer(tokio::task::spawn_blocking(move || remote_write(&state, &body)).await)
}

async fn import(Serving(state): Serving, headers: HeaderMap, body: Bytes) -> Response {
    let work = move || {
        let plain = decompressed(&headers, &body).map_err(|error| Refused::Malformed(error.to_string()))?;
        let text = std::str::from_utf8(&plain)
            .map_err(|_| Refused::Malformed("the body is not UTF-8".to_owned()))?;
        text_format(&state, text)
    };
    answer(tokio::task::spawn_blocking(work).await)
}

fn answer(result: Result<Result<(), Refused>, tokio::task::JoinError>) -> Response {
    match result {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        // A sender gives up on 400 and tries again on 500.
        Ok(Err(error @ Refused::Malformed(_))) => {
            (StatusCode::BAD_REQUEST, error.to_string()).into_response()
        }
        Ok(Err(error @ Refused::Store(_))) => {
            (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Why samples were not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    Malformed(String),
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Takes the body of a remote write.
pub(crate) fn remote_write(state: &State, body: &[u8]) -> Result<(), Refused> {
    let malformed = || Refused::Malformed("the body is no remote-write request of at most 64 MiB".to_owned());
    let length = snap::raw::decompress_len(body)
        .ok()
        .filter(|length| *length <= LARGEST_BODY)
        .ok_or_else(malformed)?;
    let plain = snap::raw::Decoder::new().decompress_vec(body).map_err(|_| malformed())?;
    debug_assert_eq!(length, plain.len());
    let mut request = Message(&plain);
    let mut batch = state.store.batch();
    let mut taken = (0, 0);
    while let Some(field) = request.next().ok_or_else(malformed)? {
        // WriteRequest.timeseries = 1
        if let Field::Bytes(1, series) = field {
            let (labels, samples) = read_series(series).ok_or_else(malformed)?;
            let mut tags: Vec<(&str, &str)> =
                labels.iter().map(|(key, value)| (*key, value.as_ref())).collect();
            tags.sort_unstable();
            tags.dedup_by(|later, earlier| later.0 == earlier.0);
            for (value, time) in samples {
                // A stale marker is a NaN: nothing is known from here on, which is what no value says.
                if batch.write(&tags, time, Sample::Value(Effect::Set, value)) {
                    taken.0 += 1;
                } else {
                    taken.1 += 1;
                }
            }
        }
    }
    batch.commit()?;
    state.counters.count(taken.0, taken.1);
    Ok(())
}

type Labels<'a> = Vec<(&'a str, std::borrow::Cow<'a, str>)>;

fn read_series(bytes: &[u8]) -> Option<(Labels<'_>, Vec<(f64, i64)>)> {
    let mut message = Message(bytes);
    let (mut labels, mut samples) = (Vec::new(), Vec::new());
    while let Some(field) = message.next()? {
        match field {
            // TimeSeries.labels = 1: Label { name = 1, value = 2 }
            Field::Bytes(1, label) => {
                let mut label = Message(label);
                let (mut name, mut value) = ("", "");
                while let Some(field) = label.next()? {
                    match field {
                        Field::Bytes(1, text) => name = std::str::from_utf8(text).ok()?,
                        Field::Bytes(2, text) => value = std::str::from_utf8(text).ok()?,
                        _ => {}
                    }
                }
                if labels.len() < MOST_LABELS && !name.is_empty() && !value.is_empty() {
                    labels.push(label_tag(name, value));
                }
            }
            // TimeSeries.samples = 2: Sample { value = 1, timestamp = 2 }
            Field::Bytes(2, sample) => {
                let mut sample = Message(sample);
                let (mut value, mut time) = (0.0, 0);
                while let Some(field) = sample.next()? {
                    match field {
                        Field::Fixed(1, bits) => value = f64::from_bits(bits),
                        Field::Varint(2, number) => time = number as i64,
                        _ => {}
                    }
                }
                samples.push((value, time));
            }
            _ => {}
        }
    }
    Some((labels, samples))
}

fn label_tag<'a>(name: &'a str, value: &'a str) -> (&'a str, std::borrow::Cow<'a, str>) {
    let key = if name == "__name__" { "name" } else { name };
    let end = (0..=LONGEST_VALUE.min(value.len())).rev().find(|&at| value.is_char_boundary(at)).unwrap_or(0);
    (key, value[..end].into())
}

/// A protobuf message, field by field ("Encoding", protobuf.dev).
struct Message<'a>(&'a [u8]);

enum Field<'a> {
    Varint(u64, u64),
    Fixed(u64, u64),
    Bytes(u64, &'a [u8]),
    Other,
}

impl<'a> Message<'a> {
    /// The next field, `Some(None)` at the end; `None` if the message is malformed.
    #[expect(clippy::option_option, reason = "an end is no error")]
    fn next(&mut self) -> Option<Option<Field<'a>>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        Some(Some(match tag & 7 {
            0 => Field::Varint(number, self.varint()?),
            1 => {
                let (bytes, rest) = self.0.split_first_chunk::<8>()?;
                self.0 = rest;
                Field::Fixed(number, u64::from_le_bytes(*bytes))
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Field::Bytes(number, bytes)
            }
            5 => {
                self.0 = self.0.get(4..)?;
                Field::Other
            }
            _ => return None,
        }))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// Takes samples in the text format. Lines without a timestamp are of now.
pub(crate) fn text_format(state: &State, text: &str) -> Result<(), Refused> {
    let now = state.now();
    let mut batch = state.store.batch();
    let mut taken = (0, 0);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (labels, value, time) = text_line(line).ok_or_else(|| {
            Refused::Malformed(format!(
                "line {} is no sample: {}",
                number + 1,
                line.chars().take(100).collect::<String>()
            ))
        })?;
        let mut tags: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (*key, value.as_ref())).collect();
        tags.sort_unstable();
        tags.dedup_by(|later, earlier| later.0 == earlier.0);
        if batch.write(&tags, time.unwrap_or(now), Sample::Value(Effect::Set, value)) {
            taken.0 += 1;
        } else {
            taken.1 += 1;
        }
    }
    batch.commit()?;
    state.counters.count(taken.0, taken.1);
    Ok(())
}

/// `name{label="value",…} number [milliseconds]`.
fn text_line(line: &str) -> Option<(Labels<'_>, f64, Option<i64>)> {
    let name_end = line.find(|letter: char| letter == '{' || letter.is_whitespace())?;
    let mut labels = vec![("name", line[..name_end].into())];
    let mut rest = &line[name_end..];
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (name, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            if labels.len() < MOST_LABELS && !value.is_empty() {
                labels.push((name.trim(), value));
            }
            rest = after;
        }
    }
    let mut words = rest.split_whitespace();
    let value = match words.next()? {
        "NaN" => f64::NAN,
        "+Inf" | "Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    let time = words.next().map(str::parse).transpose().ok()?;
    Some((labels, value, time))
}

/// A value up to its closing quote, escapes replaced, and what follows.
fn quoted(text: &str) -> Option<(std::borrow::Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text.as_bytes()[end] == b'"' {
        return Some((label_tag("", &text[..end]).1, &text[end + 1..]));
    }
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value.into(), &text[at + 1..])),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_exporters_are_read() {
        let (labels, value, time) =
            text_line(r#"http_total{path="/a\"b",code="200",} 1.5e3 1700000000000"#).unwrap();
        let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (*key, value.as_ref())).collect();
        assert_eq!(labels, [("name", "http_total"), ("path", "/a\"b"), ("code", "200")]);
        assert_eq!((value, time), (1500.0, Some(1_700_000_000_000)));
        assert!(text_line("up 1").is_some_and(|(_, value, time)| value == 1.0 && time.is_none()));
        assert!(text_line("x{} +Inf").is_some_and(|(_, value, _)| value == f64::INFINITY));
        for wrong in ["x", "x{a=\"b} 1", "x{a} 1", "x abc", "x 1 abc"] {
            assert!(text_line(wrong).is_none(), "{wrong}");
        }
    }
}
