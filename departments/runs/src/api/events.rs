//! The events door: the log as CloudEvents JSON, by page and as a stream.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use backlot_department::House;
use backlot_events::{BATCH, Error, Event, Received, STRUCTURED, parse_batch, parse_event};
use backlot_web::extract::{Json, Query};
use backlot_web::sse::{self, LastEventId, Message};
use backlot_web::{ApiError, Closing, extract};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::feed::{self, Wanted};

/// Sources that only the house itself may use: what it tells of its own work is to be believed.
const OWN_SOURCES: &str = "/backlot/";

pub(crate) fn routes(house: House) -> Router {
    Router::new().route("/events", get(list).post(receive)).route("/stream", get(stream)).with_state(house)
}

/// A page of events. `next` is the `after` of the page that follows; asked again later, it gives what has come since.
#[derive(Serialize)]
struct EventList {
    events: Vec<Event>,
    next: u64,
}

async fn list(State(house): State<House>, wanted: Query<Wanted>) -> Result<Json<EventList>, ApiError> {
    let query = wanted.0.checked_query()?;
    let after = query.after;
    let events = feed::page(&house.events, query).await.map_err(|error| ApiError::internal(&error))?;
    let next = events.last().map_or(after, feed::seq);
    Ok(Json(EventList { events, next }))
}

/// What became of the events that were sent, in their order: `appended`, or `duplicate` for one whose source and id were
/// received before.
#[derive(Serialize)]
struct Receipt {
    received: Vec<&'static str>,
}

/// Takes CloudEvents from outside, one or a batch, in the JSON format.
async fn receive(
    State(house): State<House>,
    headers: HeaderMap,
    body: extract::Bytes,
) -> Result<Json<Receipt>, ApiError> {
    let media_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (events, senders) = match media_type.split(';').next().unwrap_or_default().trim() {
        STRUCTURED => (vec![parse_event(&body.0).map_err(refuse)?], vec![senders(&body.0)?]),
        BATCH => (parse_batch(&body.0).map_err(refuse)?, senders(&body.0)?),
        other => {
            let mend = format!("send `Content-Type: {STRUCTURED}` or `{BATCH}`");
            let message = format!("{other:?} is no CloudEvents format that is understood here");
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                message,
                mend,
            ));
        }
    };
    if let Some(sender) = senders.iter().find(|sender: &&Sender| sender.source.starts_with(OWN_SOURCES)) {
        let message = format!("the source {:?} is the house's own", sender.source);
        return Err(ApiError::invalid(message, "use a source of yours"));
    }
    let log = house.events.clone();
    let received = house.ledger.write(move |tx| log.append_external(tx, &events)).await.map_err(refuse)?;
    let word = |received: &Received| match received {
        Received::Appended => "appended",
        Received::Duplicate => "duplicate",
    };
    Ok(Json(Receipt { received: received.iter().map(word).collect() }))
}

/// The one attribute that is looked at here; the event log has checked all of them before.
#[derive(Deserialize)]
struct Sender {
    source: String,
}

fn senders<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(error.to_string(), "give each event a source"))
}

fn refuse(error: Error) -> ApiError {
    match error {
        Error::Invalid { .. } => {
            ApiError::invalid(error.to_string(), "see cloudevents.io for the required attributes")
        }
        Error::Json { .. } => {
            ApiError::bad_request(error.to_string(), "send one JSON object, or a list of them as a batch")
        }
        Error::TooLarge { .. } => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            error.to_string(),
            "send less at a time, and keep large data in the store",
        ),
        other => ApiError::internal(&other),
    }
}

/// Every event after `after` (or after the last one that a reconnecting client saw), then each as it happens.
async fn stream(
    State(house): State<House>,
    closing: Closing,
    last_seen: LastEventId,
    wanted: Query<Wanted>,
) -> Result<Response, ApiError> {
    let query = wanted.0.checked_query()?;
    let after = last_seen.0.unwrap_or(query.after);
    let events = house.events.subscribe(after, wanted.0.filter());
    let messages = events.filter_map(async |event| match event {
        Ok(event) => Message::json(&event).ok().map(|message| message.event("event").id(feed::seq(&event))),
        Err(error) => Some(Message::new(error.to_string()).event("error")),
    });
    Ok(sse::respond(closing, messages))
}
