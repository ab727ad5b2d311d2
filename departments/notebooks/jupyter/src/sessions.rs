//! Sessions: which kernel runs which notebook or console. `/api/sessions`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::error::Error;
use crate::guard::User;
use crate::kernel::Wish;
use crate::kernel::routes::tell;
use crate::server::Server;
use crate::web::{json_response, parse_json};

/// A session.
#[derive(Clone, Debug)]
struct Session {
    id: String,
    path: String,
    name: String,
    kind: String,
    kernel: String,
}

/// All sessions of a server, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<u64, Session>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, wanted: impl Fn(&Session) -> bool) -> Option<Session> {
        self.lock().values().find(|session| wanted(session)).cloned()
    }

    /// A notebook has another name now.
    pub(crate) fn renamed(&self, from: &str, to: &str) {
        for session in self.lock().values_mut().filter(|session| session.path == from) {
            to.clone_into(&mut session.path);
        }
    }
}

impl Server {
    fn session_model(&self, session: &Session) -> Option<Value> {
        let kernel = self.kernels.find(&session.kernel).ok()?.model();
        let mut model = json!({
            "id": session.id, "path": session.path, "name": session.name, "type": session.kind, "kernel": kernel,
        });
        if session.kind == "notebook" {
            model["notebook"] = json!({ "path": session.path, "name": session.name });
        }
        Some(model)
    }

    /// The models of all sessions whose kernel is there; the others have ended with it.
    fn session_models(&self) -> Vec<Value> {
        let mut models = Vec::new();
        self.sessions.lock().retain(|_, session| match self.session_model(session) {
            Some(model) => {
                models.push(model);
                true
            }
            None => false,
        });
        models
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

fn answer(server: &Server, status: StatusCode, session: &Session) -> Result<Response, Error> {
    let model = server.session_model(session);
    let model =
        model.ok_or_else(|| Error::not_found(format!("Kernel does not exist: {}", session.kernel)))?;
    let location = format!("{}api/sessions/{}", server.config.base_url, session.id);
    Ok(([(header::LOCATION, location)], json_response(status, model.to_string())).into_response())
}

pub(crate) async fn list(State(server): State<Arc<Server>>) -> Response {
    json_response(StatusCode::OK, Value::Array(server.session_models()).to_string())
}

/// Begins a session, or gives the one that this path already has.
pub(crate) async fn begin(
    State(server): State<Arc<Server>>,
    user: User,
    body: Bytes,
) -> Result<Response, Error> {
    let model = parse_json(&body)?;
    if model.is_null() {
        return Err(Error::bad_request("No JSON data provided"));
    }
    let old_style = &model["notebook"];
    let path = text(&model, "path").or_else(|| text(old_style, "path"));
    let path = path.ok_or_else(|| Error::bad_request("Missing field in JSON data: path"))?;
    let kind = text(&model, "type").or_else(|| old_style.is_object().then(|| "notebook".to_owned()));
    let kind = kind.ok_or_else(|| Error::bad_request("Missing field in JSON data: type"))?;
    let name = text(&model, "name").or_else(|| text(old_style, "name")).unwrap_or_default();
    server.session_models(); // forgets those whose kernel has ended
    if let Some(known) = server.sessions.find(|session| session.path == path) {
        return answer(&server, StatusCode::CREATED, &known);
    }
    let given = text(&model["kernel"], "id").filter(|id| server.kernels.find(id).is_ok());
    let kernel = match given {
        Some(id) => id,
        None => {
            let wanted = text(&model["kernel"], "name").filter(|name| !name.is_empty());
            let folder = crate::contents::place::split(path.trim_matches('/')).0.to_owned();
            let wish =
                Wish { name: wanted.clone(), directory: server.kernel_directory(&folder), ..Wish::default() };
            match server.kernels.start(wish).await {
                Ok(kernel) => {
                    tell(&server, &user, "start", "started", &kernel);
                    kernel.id.clone()
                }
                Err(error) if error.status == StatusCode::NOT_IMPLEMENTED => {
                    let short = format!("The '{}' kernel is not available.", wanted.unwrap_or_default());
                    let message = format!(
                        "{short} Please pick another suitable kernel instead, or install that kernel."
                    );
                    let body = json!({ "message": message, "short_message": short });
                    return Ok(json_response(StatusCode::NOT_IMPLEMENTED, body.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
    };
    server.capture.bind(&kernel, &path);
    let session = Session { id: crate::chance::uuid(), path, name, kind, kernel };
    let mut sessions = server.sessions.lock();
    let next = sessions.last_key_value().map_or(0, |(last, _)| last + 1);
    sessions.insert(next, session.clone());
    drop(sessions);
    answer(&server, StatusCode::CREATED, &session)
}

fn known(server: &Server, id: &str) -> Result<Session, Error> {
    let session = server.sessions.find(|session| session.id == id);
    session.ok_or_else(|| Error::not_found(format!("Session not found: session_id='{id}'")))
}

pub(crate) async fn one(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let session = known(&server, &id)?;
    answer(&server, StatusCode::OK, &session)
}

/// Changes a session: another path, name, type or kernel. A kernel that it leaves is ended.
pub(crate) async fn change(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    let model = parse_json(&body)?;
    if model.is_null() {
        return Err(Error::bad_request("No JSON data provided"));
    }
    let mut session = known(&server, &id)?;
    let before = session.kernel.clone();
    if let Some(path) = text(&model, "path").or_else(|| text(&model["notebook"], "path")) {
        session.path = path;
    }
    if let Some(name) = text(&model, "name").or_else(|| text(&model["notebook"], "name")) {
        session.name = name;
    }
    if let Some(kind) = text(&model, "type") {
        session.kind = kind;
    }
    if let Some(kernel) = text(&model["kernel"], "id") {
        session.kernel.clone_from(&server.kernels.find(&kernel)?.id);
    } else if let Some(name) = text(&model["kernel"], "name") {
        let folder = crate::contents::place::split(session.path.trim_matches('/')).0.to_owned();
        let wish = Wish { name: Some(name), directory: server.kernel_directory(&folder), ..Wish::default() };
        session.kernel.clone_from(&server.kernels.start(wish).await?.id);
    }
    server.capture.bind(&session.kernel, &session.path);
    for known in server.sessions.lock().values_mut().filter(|known| known.id == id) {
        known.clone_from(&session);
    }
    let is_left = before != session.kernel && server.sessions.find(|other| other.kernel == before).is_none();
    if is_left {
        let _ = server.kernels.shut_down(&before).await; // it may have ended by itself
    }
    answer(&server, StatusCode::OK, &session)
}

/// Ends a session and its kernel.
pub(crate) async fn end(
    State(server): State<Arc<Server>>,
    user: User,
    Path(id): Path<String>,
) -> Result<StatusCode, Error> {
    let session = known(&server, &id)?;
    server.sessions.lock().retain(|_, known| known.id != id);
    if let Ok(kernel) = server.kernels.find(&session.kernel) {
        tell(&server, &user, "shutdown", "shutdown", &kernel);
    }
    let ended = server.kernels.shut_down(&session.kernel).await;
    ended.map_err(|_| Error::new(StatusCode::GONE, "Kernel deleted before session"))?;
    Ok(StatusCode::NO_CONTENT)
}
