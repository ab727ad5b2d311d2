//! From the bodies of publishers into the store.

pub(crate) mod measurements;
pub(crate) mod rows;

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;

use axum::http::HeaderMap;
use backlot_atlas::wire::{
    Json, Operator, Outcome, Smile, Tabled, WireError, check_tags, read_batch, read_published, read_updates,
};

use crate::state::State;
use crate::store::{Effect, Sample, StoreError};
use rows::{NoTags, Pairs, Rows};

/// Largest body after decompression: some hundred thousand datapoints. A compressed body may say far more than it weighs.
pub(crate) const LARGEST_BODY: usize = 64 << 20;

/// The forms of message whose names the store remembers.
pub(crate) mod form {
    pub(crate) const PUBLISH: u8 = 1;
    pub(crate) const PUBLISH_PAIRS: u8 = 2;
    pub(crate) const COMPACT: u8 = 3;
    pub(crate) const UPDATE_ADD: u8 = 4;
    pub(crate) const UPDATE_MAX: u8 = 5;
    pub(crate) const REMOTE_WRITE: u8 = 6;
    pub(crate) const TEXT: u8 = 7;
    pub(crate) const MEASUREMENTS: u8 = 8;
}

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngestError {
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error(
        "IllegalArgumentException: the body cannot be decompressed, or is larger than {LARGEST_BODY} bytes; send less at once"
    )]
    Compression,
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// A body as it is after its `Content-Encoding`.
pub(crate) fn decompressed<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<Cow<'a, [u8]>, IngestError> {
    let encoding =
        headers.get("content-encoding").and_then(|encoding| encoding.to_str().ok()).unwrap_or("identity");
    match encoding {
        // Some clients compress without saying so.
        "gzip" | "x-gzip" => inflate(body),
        _ if body.starts_with(&[0x1f, 0x8b]) => inflate(body),
        _ => Ok(Cow::Borrowed(body)),
    }
}

fn inflate(body: &[u8]) -> Result<Cow<'static, [u8]>, IngestError> {
    let mut plain = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(body).take(LARGEST_BODY as u64 + 1).read_to_end(&mut plain);
    if read.is_err() || plain.len() > LARGEST_BODY {
        Err(IngestError::Compression)
    } else {
        Ok(Cow::Owned(plain))
    }
}

fn is_smile(body: &[u8]) -> bool {
    body.starts_with(b":)\n")
}

/// Takes the body of an update: counters are added up over the instances that send them, and become rates per second.
pub(crate) fn update(state: &State, body: &[u8]) -> Result<Outcome, IngestError> {
    let read = if is_smile(body) {
        read_updates(&mut Smile::new(body)?)
    } else {
        read_updates(&mut Json::new(body))
    }?;
    let now = state.now();
    let per_second = 1000.0 / state.settings.step as f64;
    let naming = state.store.naming();
    let (add, max) = (naming.context(form::UPDATE_ADD, b""), naming.context(form::UPDATE_MAX, b""));
    let names = TableNames::new(state, &read);
    let mut rows = Rows::new(state, read.points.len());
    for (point, name) in read.points.iter().zip(names.ranges()) {
        let (context, sample) = match point.head {
            Operator::Add => (add, Sample::Value(Effect::Add, point.value * per_second)),
            Operator::Max => (max, Sample::Value(Effect::Max, point.value)),
        };
        rows.push(context, &names.bytes[name], now, sample);
    }
    let mut outcome = Outcome::default();
    rows::write(state, rows, &mut outcome, |number| {
        let point = &read.points[number];
        let kind = if point.head == Operator::Add { "sum" } else { "gauge" };
        Ok::<_, NoTags<'_, IngestError>>(merged_over_instances(checked(read.tags(point))?, kind))
    })?;
    state.counters.count(outcome.taken, outcome.refused);
    Ok(outcome)
}

/// The sorted tags of a series that several instances may write. The buckets of percentile meters are kept for all instances
/// together, for there are many.
fn merged_over_instances<'a>(mut pairs: Pairs<'a>, kind: &'static str) -> Pairs<'a> {
    let is_bucket = pairs.iter().any(|(key, _)| key == "percentile");
    pairs.retain(|(key, _)| key != "atlas.dstype" && !(is_bucket && matches!(&**key, "nf.node" | "nf.task")));
    pairs.push(("atlas.dstype".into(), kind.into()));
    rows::sort(&mut pairs);
    pairs
}

fn checked<E>(mut pairs: Pairs<'_>) -> Result<Pairs<'_>, NoTags<'_, E>> {
    match check_tags(&mut pairs) {
        Ok(()) => Ok(pairs),
        Err(reason) => Err(NoTags::Refused(reason, pairs)),
    }
}

/// The names of a body with a table: the numbers that the store gives the strings of each datapoint. Two bodies with other tables
/// name a series by the same numbers.
struct TableNames<'a, H> {
    read: &'a Tabled<'a, H>,
    bytes: Vec<u8>,
}

impl<'a, H> TableNames<'a, H> {
    fn new(state: &State, read: &'a Tabled<'a, H>) -> Self {
        let mut numbers = Vec::with_capacity(read.strings.len());
        state.store.naming().numbers(read.strings.iter().map(|string| string.as_bytes()), &mut numbers);
        let mut bytes = Vec::with_capacity(read.points.len() * 32);
        for &(key, value) in read.points.iter().flat_map(|point| read.positions(point)) {
            let pair = u64::from(numbers[key as usize]) << 32 | u64::from(numbers[value as usize]);
            bytes.extend_from_slice(&pair.to_le_bytes());
        }
        Self { read, bytes }
    }

    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.read.points.iter().scan(0, |at, point| {
            let start = *at;
            *at += self.read.positions(point).len() * 8;
            Some(start..*at)
        })
    }
}

/// Takes the body of a publish, compact or not.
pub(crate) fn publish(state: &State, body: &[u8]) -> Result<Outcome, IngestError> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') || (is_smile(body) && body.get(4) == Some(&0xf8)) {
        publish_compact(state, body)
    } else {
        publish_metrics(state, body)
    }
}

/// Why a datapoint of this time is not taken.
fn out_of_time(state: &State, now: i64, time: i64) -> Option<String> {
    if time < now.saturating_sub(state.settings.max_age) {
        Some("DataTooOld: the timestamp is older than `max_age` allows".to_owned())
    } else if time > now.saturating_add(state.settings.step) {
        Some("FromFuture: the timestamp is more than a step ahead of this server's clock".to_owned())
    } else {
        None
    }
}

fn publish_metrics(state: &State, body: &[u8]) -> Result<Outcome, IngestError> {
    let read = if is_smile(body) {
        read_published(&mut Smile::new(body)?)
    } else {
        read_published(&mut Json::new(body))
    }?;
    let now = state.now();
    let naming = state.store.naming();
    let mut common = Vec::new();
    for (key, value) in &read.common {
        for text in [key, value] {
            common.extend_from_slice(&(text.len() as u32).to_le_bytes());
            common.extend_from_slice(text.as_bytes());
        }
    }
    let (raw, pieces) =
        (naming.context(form::PUBLISH, &common), naming.context(form::PUBLISH_PAIRS, &common));
    let mut outcome = Outcome::default();
    let mut kept = Vec::with_capacity(read.metrics.len());
    let mut spelt: Vec<u8> = Vec::new();
    for metric in &read.metrics {
        if let Some(reason) = out_of_time(state, now, metric.timestamp) {
            outcome.refuse(reason, &metric.tags(&read.common)?);
            continue;
        }
        let start = spelt.len();
        if metric.bytes().is_none() {
            for (key, value) in metric.tags(&Vec::new())? {
                for text in [key, value] {
                    spelt.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    spelt.extend_from_slice(text.as_bytes());
                }
            }
        }
        kept.push((metric, start..spelt.len()));
    }
    let mut rows = Rows::new(state, kept.len());
    for (metric, range) in &kept {
        let (context, name) = match metric.bytes() {
            Some(bytes) => (raw, bytes),
            None => (pieces, &spelt[range.clone()]),
        };
        rows.push(context, name, metric.timestamp, Sample::OfSeries(metric.value));
    }
    rows::write(state, rows, &mut outcome, |number| {
        let tags = kept[number].0.tags(&read.common);
        let mut pairs = checked(tags.map_err(|error| NoTags::Malformed(IngestError::Wire(error)))?)?;
        rows::sort(&mut pairs);
        Ok(pairs)
    })?;
    state.counters.count(outcome.taken, outcome.refused);
    Ok(outcome)
}

fn publish_compact(state: &State, body: &[u8]) -> Result<Outcome, IngestError> {
    let mut read =
        if is_smile(body) { read_batch(&mut Smile::new(body)?) } else { read_batch(&mut Json::new(body)) }?;
    let now = state.now();
    let mut outcome = Outcome::default();
    let all = std::mem::take(&mut read.points);
    for point in all {
        match out_of_time(state, now, point.head) {
            Some(reason) => outcome.refuse(reason, &read.tags(&point)),
            None => read.points.push(point),
        }
    }
    let naming = state.store.naming();
    let context = naming.context(form::COMPACT, b"");
    let names = TableNames::new(state, &read);
    let mut rows = Rows::new(state, read.points.len());
    for (point, name) in read.points.iter().zip(names.ranges()) {
        rows.push(context, &names.bytes[name], point.head, Sample::OfSeries(point.value));
    }
    rows::write(state, rows, &mut outcome, |number| {
        let mut pairs = checked(read.tags(&read.points[number]))?;
        rows::sort(&mut pairs);
        Ok::<_, NoTags<'_, IngestError>>(pairs)
    })?;
    state.counters.count(outcome.taken, outcome.refused);
    Ok(outcome)
}
