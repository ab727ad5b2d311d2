//! The routes of LWC.

use std::io::Write as _;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use backlot_series::Tags;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

use super::hub::{Hub, Subscribed, Subscriber, TIME_SERIES, Wanted};
use super::message::{Message, encode};
use crate::alerts::Alerting;
use crate::ingest::decompressed;
use crate::state::{Serving, Slot};

/// Largest list of expressions that a subscriber sends.
const LARGEST_FRAME: usize = 8 << 20;

/// Longest name of a subscriber.
const LONGEST_NAME: usize = 256;

/// How long a client may take to read a message.
const SLOWEST_CLIENT: std::time::Duration = std::time::Duration::from_secs(30);

/// Most values of one body of `evaluate`.
const MOST_METRICS: usize = 1_000_000;

pub(crate) fn routes(slot: Slot) -> Router {
    Router::new()
        .route("/lwc/api/v1/expressions", get(expressions))
        .route("/lwc/api/v1/expressions/{cluster}", get(expressions))
        .route("/lwc/api/v1/evaluate", post(evaluate))
        .route("/api/v2/subscribe/{stream}", get(subscribe))
        .route("/api/v1/streams", get(streams))
        .route("/api/v1/streams/{stream}", get(stream))
        .with_state(slot)
}

fn refused(status: StatusCode, message: impl Into<String>) -> Response {
    let message = format!("IllegalArgumentException: {}", message.into());
    (status, axum::Json(json!({ "type": "error", "message": message }))).into_response()
}

struct Alerts(Alerting);

impl FromRequestParts<Slot> for Alerts {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, slot: &Slot) -> Result<Self, Response> {
        let state = Serving::from_request_parts(parts, slot).await.map_err(IntoResponse::into_response)?.0;
        state.alerts.map(Self).map_err(|reason| refused(StatusCode::SERVICE_UNAVAILABLE, reason.to_string()))
    }
}

fn shown((id, expression, frequency): &(String, String, i64)) -> Value {
    json!({ "expression": expression, "exprType": TIME_SERIES, "frequency": frequency, "id": id })
}

/// All subscribed expressions: every cluster computes all of them here, so its name changes nothing.
async fn expressions(Alerts(alerting): Alerts, headers: HeaderMap) -> Response {
    let (generation, all) = alerting.hub.expressions();
    // The start is part of it: numbers begin again with a restart.
    let tag = format!("\"{:x}-{generation}\"", alerting.service.started().as_nanosecond());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    if known.is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let body = json!({ "expressions": all.iter().map(shown).collect::<Vec<Value>>() }).to_string();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed = gzip.write_all(body.as_bytes()).and_then(|()| gzip.finish());
    let kind = (header::CONTENT_TYPE, "application/json".to_owned());
    match packed {
        Ok(packed) => {
            let coded = (header::CONTENT_ENCODING, "gzip".to_owned());
            ([kind, coded, (header::ETAG, tag)], packed).into_response()
        }
        Err(_) => ([kind, (header::ETAG, tag)], body).into_response(),
    }
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Evaluated {
    timestamp: i64,
    metrics: Vec<Metric>,
    messages: Vec<About>,
}

#[derive(Deserialize)]
struct Metric {
    id: String,
    #[serde(default)]
    tags: Tags,
    value: Number,
}

/// JSON has no NaN; Atlas' clients write it as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(f64),
    Text(String),
}

#[derive(Deserialize)]
struct About {
    id: String,
    message: AboutText,
}

#[derive(Deserialize)]
struct AboutText {
    #[serde(rename = "type")]
    kind: String,
    message: String,
}

async fn evaluate(Alerts(alerting): Alerts, headers: HeaderMap, body: Bytes) -> Response {
    let work = move || {
        let plain = decompressed(&headers, &body).map_err(|error| error.to_string())?;
        let read: Evaluated = serde_json::from_slice(&plain).map_err(|error| error.to_string())?;
        if read.metrics.len() > MOST_METRICS {
            return Err(format!("more than {MOST_METRICS} values at once; send less"));
        }
        relay(&alerting.hub, read);
        Ok(())
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => StatusCode::OK.into_response(),
        Ok(Err(reason)) => refused(StatusCode::BAD_REQUEST, reason),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn relay(hub: &Hub, read: Evaluated) {
    let mut by_id: std::collections::BTreeMap<String, Vec<Message>> = Default::default();
    for metric in read.metrics {
        let value = match metric.value {
            Number::Number(value) => value,
            Number::Text(text) => text.parse().unwrap_or(f64::NAN),
        };
        let message =
            Message::Datapoint { timestamp: read.timestamp, id: metric.id.clone(), tags: metric.tags, value };
        by_id.entry(metric.id).or_default().push(message);
    }
    for about in read.messages {
        let message =
            Message::About { id: about.id.clone(), kind: about.message.kind, text: about.message.message };
        by_id.entry(about.id).or_default().push(message);
    }
    // What nobody subscribed to any more is left out: its sender has an old list.
    for (id, messages) in by_id {
        hub.deliver(&id, &messages);
    }
}

fn stream_json((name, address, since, expressions): &Subscribed) -> Value {
    json!({
        "metadata": { "streamId": name, "remoteAddress": address, "since": since },
        "expressions": expressions.iter().map(shown).collect::<Vec<Value>>(),
    })
}

async fn streams(Alerts(alerting): Alerts) -> axum::Json<Vec<Value>> {
    axum::Json(alerting.hub.streams().iter().map(stream_json).collect())
}

async fn stream(Alerts(alerting): Alerts, Path(name): Path<String>) -> Response {
    match alerting.hub.streams().iter().find(|(known, ..)| *known == name) {
        Some(found) => axum::Json(stream_json(found)).into_response(),
        None => refused(StatusCode::NOT_FOUND, "no such stream; /api/v1/streams lists them"),
    }
}

async fn subscribe(
    Alerts(alerting): Alerts,
    Path(name): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return refused(StatusCode::BAD_REQUEST, format!("a stream's name has 1 to {LONGEST_NAME} bytes"));
    }
    let upgrade = upgrade.max_message_size(LARGEST_FRAME).max_frame_size(LARGEST_FRAME);
    let joined = alerting.hub.join(&name, peer.to_string(), alerting.now_millis(), alerting.feed.clone());
    match joined {
        Ok((subscriber, inbox)) => upgrade.on_upgrade(move |socket| serve(socket, subscriber, inbox, name)),
        Err(reason) => refused(StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

/// Sends messages; whether the client took them. One that does not read would hold its memory here for ever.
async fn send(socket: &mut WebSocket, messages: &[Message]) -> bool {
    let sent = socket.send(Frame::Binary(encode(messages).into()));
    matches!(tokio::time::timeout(SLOWEST_CLIENT, sent).await, Ok(Ok(())))
}

async fn serve(
    mut socket: WebSocket,
    subscriber: Subscriber,
    mut inbox: Receiver<Vec<Message>>,
    name: String,
) {
    let hello = Message::Diagnostic { kind: "info", text: format!("setup stream {name} on backlot") };
    let mut lives = send(&mut socket, &[hello]).await;
    while lives {
        let answer = tokio::select! {
            batch = inbox.recv() => match batch {
                Some(batch) => batch,
                None => break,
            },
            frame = socket.recv() => match frame {
                Some(Ok(Frame::Binary(bytes))) => match serde_json::from_slice::<Vec<Wanted>>(&bytes) {
                    Ok(wanted) => subscriber.subscribe(wanted).await,
                    Err(error) => {
                        let text = format!("the list of expressions cannot be read: {error}");
                        vec![Message::Diagnostic { kind: "error", text }]
                    }
                },
                // Texts are not part of the protocol; Atlas leaves them out too.
                Some(Ok(Frame::Text(_) | Frame::Ping(_) | Frame::Pong(_))) => continue,
                Some(Ok(Frame::Close(_)) | Err(_)) | None => break,
            },
        };
        if !answer.is_empty() {
            lives = send(&mut socket, &answer).await;
        }
    }
}
