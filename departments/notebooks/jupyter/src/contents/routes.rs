//! The routes of `/api/contents`.
//!
//! A path may hold anything, also `/checkpoints`; what the last segments mean is decided as jupyter_server's patterns do.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use backlot_notebooks_model::json::{self, Object, Value};
use percent_encoding::percent_decode_str;
use serde_json::json as json_of;

use super::{Contents, Format, Kind, Model, View, With};
use crate::error::Error;
use crate::events::CONTENTS;
use crate::guard::User;
use crate::server::Server;
use crate::web::{Query, escape, json_response};

/// What a request is about.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    File(String),
    Checkpoints(String),
    Checkpoint(String, String),
    Trust(String),
}

fn target(uri: &Uri) -> Result<Target, Error> {
    let raw = uri.path().strip_prefix("/api/contents").unwrap_or_default().trim_matches('/');
    let decode = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8();
        decoded.map(std::borrow::Cow::into_owned).map_err(|_| Error::bad_request("the path is not UTF-8"))
    };
    let text = decode(raw)?;
    let text = text.trim_matches('/');
    if let Some(path) = text.strip_suffix("/checkpoints") {
        return Ok(Target::Checkpoints(path.to_owned()));
    }
    if let Some(path) = text.strip_suffix("/trust") {
        return Ok(Target::Trust(path.to_owned()));
    }
    if let Some((path, id)) = text.rsplit_once("/checkpoints/")
        && !id.is_empty()
        && id.chars().all(|c| c.is_alphanumeric() || "-_".contains(c))
    {
        return Ok(Target::Checkpoint(path.to_owned(), id.to_owned()));
    }
    Ok(Target::File(text.to_owned()))
}

/// Answers any request below `/api/contents`.
pub(crate) async fn contents(
    State(server): State<Arc<Server>>,
    user: User,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let handled = tokio::task::spawn_blocking(move || handle(&server, &user, &method, &uri, &body)).await;
    match handled {
        Ok(answer) => answer.unwrap_or_else(IntoResponse::into_response),
        Err(error) => Error::internal(format!("the request ended early: {error}")).into_response(),
    }
}

fn handle(server: &Server, user: &User, method: &Method, uri: &Uri, body: &[u8]) -> Result<Response, Error> {
    let contents = &server.contents;
    let emit = |action: &str, path: &str, source: Option<&str>| {
        let mut data = json_of!({ "action": action, "path": path });
        if let Some(source) = source {
            data["source_path"] = source.into();
        }
        server.events.emit(CONTENTS, &user.0, &data);
    };
    let answer = |status: StatusCode, model: &Model| {
        let location = format!("{}api/contents/{}", server.config.base_url, escape(&model.path));
        let headers = [(header::LOCATION, location), (header::LAST_MODIFIED, model.last_modified.clone())];
        Ok((headers, json_response(status, model.to_json())).into_response())
    };
    match (target(uri)?, method.as_str()) {
        (Target::File(path), "GET") => {
            let model = contents.get(&path, &view(uri)?)?;
            emit("get", &path, None);
            let headers = [(header::LAST_MODIFIED, model.last_modified.clone())];
            Ok((headers, json_response(StatusCode::OK, model.to_json())).into_response())
        }
        (Target::File(path), "PUT") => {
            let (status, model) = put(contents, &path, parse(body)?)?;
            server.capture.saved(&model.path);
            contents.keep(&model.path, &user.0);
            emit(if status == StatusCode::CREATED { "create" } else { "save" }, &model.path, None);
            answer(status, &model)
        }
        (Target::File(path), "POST") => {
            let wish = parse(body)?;
            let source = wish.as_ref().and_then(|wish| wish.get("copy_from")?.as_str().map(str::to_owned));
            let model = post(contents, &path, wish)?;
            contents.keep(&model.path, &user.0);
            emit(if source.is_some() { "copy" } else { "create" }, &model.path, source.as_deref());
            answer(StatusCode::CREATED, &model)
        }
        (Target::File(path), "PATCH") => {
            let model = parse(body)?.ok_or_else(|| Error::bad_request("JSON body missing"))?;
            let to = model.get("path").and_then(Value::as_str).unwrap_or(&path);
            let renamed = contents.rename(&path, to)?;
            server.capture.renamed(&path, &renamed.path);
            server.sessions.renamed(&path, &renamed.path);
            emit("rename", &renamed.path, Some(&path));
            answer(StatusCode::OK, &renamed)
        }
        (Target::File(path), "DELETE") => {
            contents.delete(&path)?;
            emit("delete", &path, None);
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (Target::Checkpoints(path), "GET") => {
            Ok(json_response(StatusCode::OK, json_of!(contents.checkpoints(&path)?).to_string()))
        }
        (Target::Checkpoints(path), "POST") => {
            let checkpoint = contents.create_checkpoint(&path)?;
            let folder = format!("{}api/contents/{}/checkpoints", server.config.base_url, escape(&path));
            let location = format!("{folder}/{}", super::checkpoints::ID);
            let body = json_response(StatusCode::CREATED, checkpoint.to_string());
            Ok(([(header::LOCATION, location)], body).into_response())
        }
        (Target::Checkpoint(path, id), "POST") => {
            contents.restore_checkpoint(&path, &id)?;
            contents.keep(&path, &user.0);
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (Target::Checkpoint(path, id), "DELETE") => {
            contents.delete_checkpoint(&path, &id)?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (Target::Trust(path), "POST") => {
            contents.trust(&path)?;
            Ok(StatusCode::CREATED.into_response())
        }
        _ => Err(Error::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")),
    }
}

fn put(contents: &Contents, path: &str, model: Option<Object>) -> Result<(StatusCode, Model), Error> {
    let Some(model) = model.filter(|model| !model.is_empty()) else {
        return Ok((StatusCode::CREATED, contents.create_untitled(path, None, "")?));
    };
    if model.get("copy_from").is_some_and(|from| !from.is_falsy()) {
        return Err(Error::bad_request("Cannot copy with PUT, only POST"));
    }
    if let Some(also) = model.get("path").and_then(Value::as_str) {
        contents.refuse_hidden(also, "create")?;
    }
    contents.refuse_hidden(path, "create")?;
    if contents.is_file(path)? {
        Ok((StatusCode::OK, contents.save(&model, path)?))
    } else {
        Ok((StatusCode::CREATED, contents.create(model, path)?))
    }
}

fn post(contents: &Contents, path: &str, model: Option<Object>) -> Result<Model, Error> {
    if contents.is_file(path)? {
        return Err(Error::bad_request("Cannot POST to files, use PUT instead."));
    }
    contents.refuse_hidden(path, "create")?;
    let model = model.unwrap_or_default();
    let text = |key: &str| model.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    match text("copy_from") {
        Some(from) => contents.copy(from, path),
        None => {
            contents.create_untitled(path, text("type").map(Kind::parse), text("ext").unwrap_or_default())
        }
    }
}

/// The JSON object of a body; none for an empty body.
fn parse(body: &[u8]) -> Result<Option<Object>, Error> {
    let text =
        std::str::from_utf8(body).map_err(|_| Error::bad_request("Invalid JSON in body of request"))?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    match json::parse(text) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(Value::Null) => Ok(None),
        _ => Err(Error::bad_request("Invalid JSON in body of request")),
    }
}

fn view(uri: &Uri) -> Result<View, Error> {
    let query = Query::of(uri);
    let switch = |name: &str, default: bool| match query.get(name) {
        None => Ok(default),
        Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(other) => {
            Err(Error::bad_request(format!("{name} argument '{other}' is invalid. It must be '0' or '1'.")))
        }
    };
    Ok(View {
        kind: query.get("type").map(Kind::parse),
        format: query.get("format").map(Format::parse).transpose()?,
        with: With { content: switch("content", true)?, hash: switch("hash", false)? },
    })
}

/// `/api/notebooks` is the old name.
pub(crate) async fn notebooks(State(server): State<Arc<Server>>, uri: Uri) -> Response {
    let path = uri.path().strip_prefix("/api/notebooks").unwrap_or_default().trim_start_matches('/');
    let location = format!("{}api/contents/{path}", server.config.base_url);
    (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_segments_decide() {
        let of = |path: &str| target(&path.parse().unwrap()).unwrap();
        assert_eq!(of("/api/contents"), Target::File(String::new()));
        assert_eq!(of("/api/contents/a%20b/%C3%A5.ipynb"), Target::File("a b/å.ipynb".to_owned()));
        assert_eq!(of("/api/contents/a/checkpoints"), Target::Checkpoints("a".to_owned()));
        assert_eq!(of("/api/contents/a/checkpoints/x"), Target::Checkpoint("a".to_owned(), "x".to_owned()));
        assert_eq!(of("/api/contents/a/trust"), Target::Trust("a".to_owned()));
    }
}
