//! What happens here: told to whoever subscribes (`/api/events/subscribe`), and kept in the activity log.
//!
//! Events have jupyter_server's schemas, so a front end that understands its events understands ours. The activity log is a file of JSON
//! lines, one for each event with who caused it; it answers who ran, saved, moved or ended what. Code and outputs are not in it: they may
//! hold secrets, and the notebook has them.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, interval};

use crate::error::Error;
use crate::guard::User;
use crate::lab::schema;
use crate::server::{Pings, Server};
use crate::web::parse_json;

/// Files that were read, saved, moved, deleted.
pub(crate) const CONTENTS: &str = "https://events.jupyter.org/jupyter_server/contents_service/v1";
/// Kernels that were started, interrupted, restarted, ended.
pub(crate) const KERNELS: &str = "https://events.jupyter.org/jupyter_server/kernel_actions/v1";
/// Cells that were run; ours, since jupyter_server tells nobody.
pub(crate) const EXECUTIONS: &str = "https://backlot.dev/events/notebooks/executions/v1";

/// Events that a subscriber may be behind; one that is further behind misses the oldest.
const WAITING: usize = 1_024;

/// A log of this size is put aside (as `.1`, over the one before) and begun anew: two of them hold some hundred thousand events.
const MAX_LOG: u64 = 16 << 20;

/// The largest schema that is read, and the most that are.
const MAX_SCHEMA: u64 = 256 << 10;

/// What happens, for those who want to know.
#[derive(Debug)]
pub(crate) struct Events {
    subscribers: broadcast::Sender<Arc<str>>,
    log: Mutex<Log>,
    /// A folder of further schemas, a JSON file each, whose events clients may post.
    schemas: PathBuf,
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: Option<File>,
    size: u64,
}

impl Events {
    pub(crate) fn open(state: &Path) -> std::io::Result<Events> {
        std::fs::create_dir_all(state)?;
        let path = state.join("activity.jsonl");
        let log = Mutex::new(Log { path, file: None, size: 0 });
        Ok(Events { subscribers: broadcast::channel(WAITING).0, log, schemas: state.join("event-schemas") })
    }

    /// Tells of something that a user did.
    pub(crate) fn emit(&self, schema: &str, user: &str, data: &Value) {
        // Reading changes nothing, and a page that is open reads all the time.
        if data["action"] != "get" {
            self.keep(&crate::web::now(), schema, user, data);
        }
        self.tell(schema, data);
    }

    fn tell(&self, schema: &str, data: &Value) {
        if self.subscribers.receiver_count() > 0 {
            let mut told = Map::new();
            told.insert("schema_id".to_owned(), Value::from(schema));
            told.extend(data.as_object().cloned().unwrap_or_default());
            let _ = self.subscribers.send(Value::Object(told).to_string().into()); // the last may just have gone
        }
    }

    fn keep(&self, time: &str, schema: &str, user: &str, data: &Value) {
        let line = json!({ "time": time, "user": user, "schema": schema, "data": data }).to_string() + "\n";
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = log.append(line.as_bytes()) {
            tracing::error!(%error, "the activity log cannot be written");
            log.file = None;
        }
    }

    /// The schema of events that clients may post.
    fn schema(&self, id: &str) -> Option<Value> {
        let action = |names: &[&str], more: &str| {
            json!({
                "version": "1", "type": "object", "required": ["action", more],
                "properties": { "action": { "enum": names }, "path": { "type": "string" }, "msg": { "type": "string" } },
            })
        };
        match id {
            CONTENTS => {
                Some(action(&["get", "create", "save", "upload", "rename", "copy", "delete"], "path"))
            }
            KERNELS => Some(action(&["start", "interrupt", "shutdown", "restart"], "msg")),
            _ => {
                let files = std::fs::read_dir(&self.schemas).into_iter().flatten().filter_map(Result::ok);
                let small = files.filter(|file| file.metadata().is_ok_and(|file| file.len() <= MAX_SCHEMA));
                let mut schemas = small.filter_map(|file| {
                    serde_json::from_slice::<Value>(&std::fs::read(file.path()).ok()?).ok()
                });
                schemas.find(|schema| schema["$id"] == id)
            }
        }
    }
}

impl Log {
    fn append(&mut self, line: &[u8]) -> std::io::Result<()> {
        if self.size > MAX_LOG {
            self.file = None;
            std::fs::rename(&self.path, self.path.with_extension("jsonl.1"))?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = std::fs::OpenOptions::new().append(true).create(true).open(&self.path)?;
                self.size = file.metadata()?.len();
                self.file.insert(file)
            }
        };
        file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(())
    }
}

/// Takes a client's event: `{"schema_id", "version", "data", "timestamp"?}`.
pub(crate) async fn post(
    State(server): State<Arc<Server>>,
    user: User,
    body: Bytes,
) -> Result<StatusCode, Error> {
    let event = parse_json(&body)?;
    if event.is_null() {
        return Err(Error::bad_request("No JSON data provided"));
    }
    for key in ["schema_id", "version", "data"] {
        if event.get(key).is_none() {
            return Err(Error::bad_request(format!("Missing `{key}` in the JSON request body.")));
        }
    }
    let id = event["schema_id"].as_str().unwrap_or_default();
    let unknown =
        || Error::bad_request(format!("The schema ID, '{id}', was not found in the Schema Registry."));
    let schema = server.events.schema(id).ok_or_else(unknown)?;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let version = text(&event["version"]);
    if version != text(&schema["version"]) {
        return Err(Error::bad_request(format!("Unregistered version: '{version}' for `{id}`")));
    }
    if let Some(fault) = schema::fault(&schema, &event["data"]) {
        return Err(Error::bad_request(fault));
    }
    let time = match &event["timestamp"] {
        Value::Null => crate::web::now(),
        Value::String(time) if is_timestamp(time) => time.clone(),
        _ => {
            let what = "Failed to parse timestamp from JSON request body, an ISO format datetime string with UTC offset is \
                        expected, for example, 2022-05-26T13:50:00+05:00Z";
            return Err(Error::bad_request(what));
        }
    };
    server.events.keep(&time, id, &user.0, &event["data"]);
    server.events.tell(id, &event["data"]);
    Ok(StatusCode::NO_CONTENT)
}

/// `2022-05-26T13:50:00+05:00Z`, as jupyter_server wants it.
fn is_timestamp(text: &str) -> bool {
    text.strip_suffix('Z').is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok())
}

/// Tells a client what happens from now on.
pub(crate) async fn subscribe(State(server): State<Arc<Server>>, upgrade: WebSocketUpgrade) -> Response {
    let events = server.events.subscribers.subscribe();
    let pings = server.config.pings;
    upgrade.on_upgrade(move |socket| tell_all(socket, events, pings))
}

async fn tell_all(mut socket: WebSocket, mut events: broadcast::Receiver<Arc<str>>, pings: Pings) {
    let mut ticks = interval(pings.every);
    let mut heard = Instant::now();
    loop {
        let told = tokio::select! {
            event = events.recv() => match event {
                Ok(event) => socket.send(Message::Text((&*event).into())).await,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => { heard = Instant::now(); continue }
            },
            _ = ticks.tick() => {
                if heard.elapsed() > pings.patience { return }
                socket.send(Message::Ping(Bytes::new())).await
            }
        };
        if told.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_put_aside_when_it_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let events = Events::open(folder.path()).unwrap();
        events.emit(CONTENTS, "ann", &json!({"action": "save", "path": "a"}));
        events.emit(CONTENTS, "ann", &json!({"action": "get", "path": "a"}));
        events.log.lock().unwrap().size = MAX_LOG + 1;
        events.emit(CONTENTS, "ann", &json!({"action": "delete", "path": "a"}));
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let (old, new) = (read("activity.jsonl.1"), read("activity.jsonl"));
        assert_eq!((old.lines().count(), new.lines().count()), (1, 1));
        let line: Value = serde_json::from_str(&new).unwrap();
        assert_eq!((line["user"].as_str(), line["data"]["action"].as_str()), (Some("ann"), Some("delete")));
    }

    #[test]
    fn timestamps_have_an_offset() {
        assert!(is_timestamp("2022-05-26T12:50:00+06:00Z"));
        assert!(!is_timestamp("2022-05-26 12:50:00") && !is_timestamp(""));
    }
}
