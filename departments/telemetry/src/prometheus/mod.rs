//! Prometheus' neighbours: remote write, the text that exporters show (taken, asked for, and shown of this server), Pushgateway's paths.
//!
//! A sample keeps its value as it was sent, the last of a step holds; the metric's name becomes the tag `name`. Formats: "Prometheus
//! Remote-Write 1.0" (protobuf in snappy's block format) and "Exposition formats" (text 0.0.4) of prometheus.io.

pub(crate) mod own;
mod remote;
pub(crate) mod scrape;
mod text;

use std::borrow::Cow;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::atlas_door::Parameters;
use crate::ingest::decompressed;
use crate::state::{Serving, Slot, State};
use crate::store::StoreError;
use remote::remote_write;
use text::text_format;

/// Most labels of a sample that are read.
const MOST_LABELS: usize = 64;

/// Longest value of a label in bytes that is kept.
const LONGEST_VALUE: usize = 255;

/// A label as a tag: the metric's name is the tag `name`.
fn label_tag<'a>(name: &'a str, value: &'a str) -> (Cow<'a, str>, Cow<'a, str>) {
    let key = if name == "__name__" { "name" } else { name };
    (key.into(), shortened(value).into())
}

fn shortened(value: &str) -> &str {
    let end = (0..=LONGEST_VALUE.min(value.len())).rev().find(|&at| value.is_char_boundary(at)).unwrap_or(0);
    &value[..end]
}

/// A label as it stands in a text.
fn label(key: &str, value: &str) -> String {
    format!("{key}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

pub(crate) fn routes(slot: Slot) -> Router {
    let push = || post(push).put(push);
    Router::new()
        .route("/api/v1/write", post(write))
        .route("/api/v1/import/prometheus", post(import))
        .route("/api/v1/import/prometheus/metrics/job/{*labels}", push())
        .route("/metrics", get(metrics))
        .route("/metrics/job/{*labels}", push())
        .with_state(slot)
}

async fn write(Serving(state): Serving, body: Bytes) -> Response {
    answer(tokio::task::spawn_blocking(move || remote_write(&state, &body)).await)
}

async fn import(
    Serving(state): Serving,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // VictoriaMetrics' way to add labels.
    let parameters = Parameters::read(query.as_deref());
    let labels = parameters.pairs().filter(|(name, _)| *name == "extra_label");
    let labels = labels.filter_map(|(_, label)| label.split_once('='));
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    take_text(state, headers, body, labels).await
}

/// What Pushgateway takes: the labels of a group are in the path, `JOB/KEY/VALUE/…`.
async fn push(
    Serving(state): Serving,
    Path(labels): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let parts: Vec<&str> = labels.split('/').collect();
    let is_whole = parts.len() % 2 == 1 && !parts.iter().step_by(2).any(|part| part.is_empty());
    if !is_whole || parts.len() > 2 * MOST_LABELS {
        let mend = "the path is not /metrics/job/JOB, followed by /LABEL/VALUE any number of times";
        return (StatusCode::BAD_REQUEST, mend).into_response();
    }
    let mut labels = vec![("job".to_owned(), parts[0].to_owned())];
    labels.extend(parts[1..].chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())));
    take_text(state, headers, body, labels).await
}

async fn take_text(state: State, headers: HeaderMap, body: Bytes, labels: Vec<(String, String)>) -> Response {
    let work = move || {
        let plain = decompressed(&headers, &body).map_err(|error| Refused::Malformed(error.to_string()))?;
        let text = std::str::from_utf8(&plain)
            .map_err(|_| Refused::Malformed("the body is not UTF-8".to_owned()))?;
        text_format(&state, text, &labels).map(drop)
    };
    answer(tokio::task::spawn_blocking(work).await)
}

/// What this server counts.
async fn metrics(Serving(state): Serving) -> Response {
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], state.counters.totals.text()).into_response()
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
