//! From the bodies of publishers into the store.

use std::borrow::Cow;
use std::io::Read;

use axum::http::HeaderMap;
use backlot_atlas::normalize::DataKind;
use backlot_atlas::wire::{Json, Operator, Outcome, Smile, Tokens, WireError, read_publish, read_update};

use crate::state::State;
use crate::store::{Effect, Sample, StoreError};

/// Largest body after decompression: some hundred thousand datapoints. A compressed body may say far more than it weighs.
pub(crate) const LARGEST_BODY: usize = 64 << 20;

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

fn tokens(body: &[u8]) -> Result<Box<dyn Tokens<'_> + '_>, WireError> {
    if body.starts_with(b":)\n") { Ok(Box::new(Smile::new(body)?)) } else { Ok(Box::new(Json::new(body))) }
}

/// Sorted pairs without repeated keys, as the store takes them.
fn sorted<'a>(
    pairs: &'a [(Cow<'_, str>, Cow<'_, str>)],
    skip: impl Fn(&str) -> bool,
    into: &mut Vec<(&'a str, &'a str)>,
) {
    into.clear();
    into.extend(pairs.iter().map(|(key, value)| (&**key, &**value)).filter(|(key, _)| !skip(key)));
    into.sort_by(|left, right| left.0.cmp(right.0));
    into.dedup_by(|later, earlier| later.0 == earlier.0);
}

/// Takes the body of an update: counters are added up over the instances that send them, and become rates per second.
pub(crate) fn update(state: &State, body: &[u8]) -> Result<Outcome, IngestError> {
    let mut tokens = tokens(body)?;
    let now = state.now();
    let per_second = 1000.0 / state.settings.step as f64;
    // Read before the store is locked: a body that cannot be read changes nothing.
    let mut datapoints = Vec::new();
    let mut outcome = read_update(&mut *tokens, |pairs, operator, value| {
        datapoints.push((pairs.to_vec(), operator, value));
    })?;
    let mut batch = state.store.batch();
    for (pairs, operator, value) in &datapoints {
        let mut tags = Vec::with_capacity(pairs.len() + 1);
        // The buckets of percentile meters are kept for all instances together, for there are many.
        let is_bucket = pairs.iter().any(|(key, _)| key == "percentile");
        sorted(
            pairs,
            |key| key == "atlas.dstype" || (is_bucket && matches!(key, "nf.node" | "nf.task")),
            &mut tags,
        );
        let (kind, sample) = match operator {
            Operator::Add => ("sum", Sample::Value(Effect::Add, value * per_second)),
            Operator::Max => ("gauge", Sample::Value(Effect::Max, *value)),
        };
        tags.insert(tags.partition_point(|(key, _)| *key < "atlas.dstype"), ("atlas.dstype", kind));
        if !batch.write(&tags, now, sample) {
            refuse(&mut outcome, &tags);
        }
    }
    batch.commit()?;
    state.counters.count(outcome.taken, outcome.refused);
    Ok(outcome)
}

fn refuse(outcome: &mut Outcome, tags: &[(&str, &str)]) {
    outcome.taken -= 1;
    outcome.refused += 1;
    if outcome.refusals.is_empty() {
        let tags = tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
        let reason = "too many series; raise `max_series`, or send fewer distinct tags".to_owned();
        outcome.refusals.push(backlot_atlas::wire::Refusal { reason, tags });
    }
}

/// Takes the body of a publish.
pub(crate) fn publish(state: &State, body: &[u8]) -> Result<Outcome, IngestError> {
    let mut tokens = tokens(body)?;
    let now = state.now();
    let settings = &state.settings;
    let mut metrics = Vec::new();
    let mut outcome = read_publish(&mut *tokens, |metric| {
        if metric.timestamp < now.saturating_sub(settings.max_age) {
            return Err("DataTooOld: the timestamp is older than `max_age` allows".to_owned());
        }
        if metric.timestamp > now.saturating_add(settings.step) {
            return Err(
                "FromFuture: the timestamp is more than a step ahead of this server's clock".to_owned()
            );
        }
        metrics.push(metric.clone());
        Ok(())
    })?;
    let mut batch = state.store.batch();
    for metric in &metrics {
        let mut tags = Vec::with_capacity(metric.tags.len());
        sorted(&metric.tags, |_| false, &mut tags);
        let kind = metric.tags.iter().find(|(key, _)| key == "atlas.dstype").map(|(_, value)| &**value);
        if !batch.write(&tags, metric.timestamp, Sample::Of(DataKind::from_tag(kind), metric.value)) {
            refuse(&mut outcome, &tags);
        }
    }
    batch.commit()?;
    state.counters.count(outcome.taken, outcome.refused);
    Ok(outcome)
}
