//! The admin: what the agent holds, over HTTP on loopback, as spectatord shows it.
//!
//! It takes changes without a sign-in, so requests that a browser makes for a page (they carry `Origin`, or a name of another
//! host) are refused.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{delete, get};
use backlot_meters::Id;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::agent::Shared;
use crate::common_tags;
use crate::line;
use crate::registry::{Deletable, Listed};

/// Common tags that may be set while the agent runs: those of Mantis, which starts jobs in a container that runs already.
const SETTABLE: [&str; 6] = [
    "mantisJobId",
    "mantisJobName",
    "mantisUser",
    "mantisWorkerIndex",
    "mantisWorkerNumber",
    "mantisWorkerStageNumber",
];

pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let routes = Router::new()
        .route("/", get(root))
        .route("/config", get(config))
        .route("/config/common_tags", get(common_tags_usage).post(set_common_tags))
        .route("/metrics", get(metrics))
        .route("/metrics/{kind}", delete(delete_all))
        .route("/metrics/{kind}/{*id}", delete(delete_one))
        .layer(middleware::from_fn(refuse_browsers))
        .with_state(shared);
    let stopped = async move {
        // An agent that is gone has stopped.
        let _stopped = stopping.wait_for(|stopping| *stopping).await;
    };
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the admin has ended");
    }
}

async fn refuse_browsers(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) || !is_local(host(headers)) {
        let message = "only programs of this host may ask; send the request to localhost, without Origin";
        return (StatusCode::FORBIDDEN, Json(json!({ "message": message }))).into_response();
    }
    next.run(request).await
}

fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// `localhost`, `127.0.0.1` or `[::1]`, with or without a port.
fn is_local(host: &str) -> bool {
    let is_port = |rest: &str| {
        rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| host.strip_prefix(name).is_some_and(is_port))
}

async fn root(headers: HeaderMap) -> Json<Value> {
    let endpoint = |path: &str| format!("http://{}{path}", host(&headers));
    let endpoints = ["", "/config", "/config/common_tags", "/metrics"].map(endpoint);
    let description = concat!("Backlot Spectator agent admin ", env!("CARGO_PKG_VERSION"));
    Json(json!({ "description": description, "endpoints": endpoints }))
}

async fn config(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let config = &shared.config;
    let common_tags: Map<String, Value> =
        shared.common_tags().iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    Json(json!({
        "age_gauge_limit": config.limits.age_gauges,
        "batch_size": config.batch_size,
        "common_tags": common_tags,
        "frequency": config.frequency.as_secs_f64() * 1e3,
        "id_bytes_limit": config.limits.id_bytes,
        "meter_limit": config.limits.meters,
        "meter_limit_per_name": config.limits.meters_of_a_name,
        "meter_ttl": config.limits.time_to_live.as_secs_f64() * 1e3,
        "process_name": config.process,
        "status_metrics_enabled": config.status == crate::agent::Status::Published,
    }))
}

async fn common_tags_usage() -> Json<Value> {
    Json(json!({
        "usage": format!(
            "POST a JSON object of common tags to set; an empty string deletes a tag. Only these may be set: {}.",
            SETTABLE.join(", ")
        ),
    }))
}

async fn set_common_tags(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let refuse =
        |message: &str| (StatusCode::BAD_REQUEST, Json(json!({ "message": message }))).into_response();
    let Ok(body) = serde_json::from_slice::<Value>(&body) else { return refuse("json parse exception") };
    let Value::Object(tags) = body else { return refuse("expected a json object") };
    let mut changes = Vec::new();
    for (key, value) in tags {
        if !SETTABLE.contains(&key.as_str()) {
            return refuse("only allowed tags may be set");
        }
        let Value::String(value) = value else { return refuse("tag values must be strings") };
        changes.push((key, value));
    }
    let mut common_tags = shared.common_tags();
    for (key, value) in changes {
        common_tags.retain(|(known, _)| *known != key);
        if !value.is_empty() {
            common_tags.push(common_tags::clean(&key, &value));
        }
    }
    Json(json!({ "message": "common tags updated" })).into_response()
}

/// Names in the answer, as spectatord has them; it does not list sampled counters and sketches.
const LISTS: [(&str, Listed); 10] = [
    ("age_gauges", Listed::AgeGauges),
    ("counters", Listed::Counters),
    ("distinct_count_sketches", Listed::Sketches),
    ("dist_summaries", Listed::DistributionSummaries),
    ("gauges", Listed::Gauges),
    ("max_gauges", Listed::MaxGauges),
    ("mono_counters", Listed::MonotonicCounters),
    ("mono_counters_uint", Listed::MonotonicCountersUint),
    ("mono_sampled", Listed::MonotonicSampled),
    ("timers", Listed::Timers),
];

async fn metrics(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let mut answer = Map::new();
    let mut stats = Map::new();
    let mut total = 0;
    for (name, kind) in LISTS {
        // Copied one kind at a time, so that the sockets wait for that only.
        let meters = shared.registry().list(kind, shared.now());
        total += meters.len();
        stats.insert(format!("{name}.size"), meters.len().into());
        answer.insert(name.to_owned(), meters.iter().map(|(id, value)| meter(id, *value)).collect());
    }
    stats.insert("total.size".to_owned(), total.into());
    answer.insert("stats".to_owned(), stats.into());
    Json(answer.into())
}

fn meter(id: &Id, value: f64) -> Value {
    let tags: Map<String, Value> = id.tags().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let value = if value.is_nan() { "nan".to_owned() } else { value.to_string() };
    json!({ "name": id.name(), "tags": tags, "value": value })
}

async fn delete_all(State(shared): State<Arc<Shared>>, Path(kind): Path<String>) -> StatusCode {
    match deletable(&kind) {
        Some(kind) => {
            let deleted = shared.registry().delete(kind, None);
            tracing::info!(?kind, deleted, "meters deleted by hand");
            StatusCode::OK
        }
        None => StatusCode::NOT_FOUND,
    }
}

async fn delete_one(
    State(shared): State<Arc<Shared>>,
    Path((kind, id)): Path<(String, String)>,
) -> StatusCode {
    let (Some(kind), Ok(id)) = (deletable(&kind), line::parse_id(id.as_bytes())) else {
        return StatusCode::NOT_FOUND;
    };
    let deleted = shared.registry().delete(kind, Some(&id));
    tracing::info!(?kind, %id, deleted, "a meter deleted by hand");
    if deleted > 0 { StatusCode::OK } else { StatusCode::NOT_FOUND }
}

fn deletable(kind: &str) -> Option<Deletable> {
    match kind {
        "A" => Some(Deletable::AgeGauges),
        "g" => Some(Deletable::Gauges),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_names_are_told_apart() {
        for host in ["localhost", "localhost:1234", "127.0.0.1:80", "[::1]:1", "[::1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "localhost.evil.com", "127.0.0.1.evil.com:80", "evil.com", "localhost:x", "10.0.0.1"]
        {
            assert!(!is_local(host), "{host}");
        }
    }
}
