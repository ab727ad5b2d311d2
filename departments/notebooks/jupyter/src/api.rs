//! The small routes: version, status, who one is, configuration sections, login, path resolution, files as they are.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::guard::{self, User};
use crate::server::Server;
use crate::web::{Query, json_response, parse_json};

/// The version of jupyter_server whose interface this is.
pub(crate) const VERSION: &str = "2.21.1";

pub(crate) async fn version() -> Response {
    json_response(StatusCode::OK, json!({ "version": VERSION }).to_string())
}

pub(crate) async fn spec() -> Response {
    ([(header::CONTENT_TYPE, "text/x-yaml")], include_str!("api.yaml")).into_response()
}

pub(crate) async fn status(State(server): State<Arc<Server>>) -> Response {
    json_response(StatusCode::OK, server.status().to_string())
}

/// Who the client is, and which of the permissions that it asks about it has: all.
pub(crate) async fn me(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
) -> Result<Response, Error> {
    if method == Method::PATCH {
        return Err(Error::new(
            StatusCode::NOT_IMPLEMENTED,
            "the user is not kept, so there is nothing to update",
        ));
    }
    let wrong = || Error::bad_request("permissions should be a JSON dict of {'resource': ['action',]}");
    let asked = Query::of(&uri).get("permissions").unwrap_or("{}").to_owned();
    let asked: Value = serde_json::from_str(&asked).map_err(|_| wrong())?;
    let asked = asked.as_object().ok_or_else(wrong)?;
    let mut permissions = Map::new();
    for (resource, actions) in asked {
        let actions =
            actions.as_array().filter(|actions| actions.iter().all(Value::is_string)).ok_or_else(wrong)?;
        permissions.insert(resource.clone(), Value::Array(actions.clone()));
    }
    permissions.insert("updatable_fields".to_owned(), json!(["color"]));
    let name = &server.config.user;
    let initials: String = name.chars().take(1).flat_map(char::to_uppercase).collect();
    let identity = json!({
        "username": name, "name": name, "display_name": name, "initials": initials, "avatar_url": null, "color": null,
    });
    Ok(json_response(StatusCode::OK, json!({ "identity": identity, "permissions": permissions }).to_string()))
}

/// A section of a front end's configuration: a JSON file, merged into by PATCH.
pub(crate) async fn config(
    State(server): State<Arc<Server>>,
    method: Method,
    Path(section): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    if section.is_empty()
        || !section.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
        || section.starts_with('.')
    {
        return Err(Error::bad_request(format!("`{section}` is no name of a section")));
    }
    let folder = server.config.state.join("config");
    let file = folder.join(format!("{section}.json"));
    let read = || -> Value {
        let text = std::fs::read(&file).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_else(|_| json!({}))
    };
    let write = |value: &Value| {
        let made = std::fs::create_dir_all(&folder).map_err(|error| Error::from_io(&error, &section));
        made.and_then(|()| crate::contents::replace(&file, value.to_string().as_bytes(), &section))
    };
    match method {
        Method::GET => Ok(json_response(StatusCode::OK, read().to_string())),
        Method::PUT => {
            write(&parse_json(&body)?)?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => {
            let mut value = read();
            merge(&mut value, parse_json(&body)?);
            write(&value)?;
            Ok(json_response(StatusCode::OK, value.to_string()))
        }
    }
}

/// Merges a change into a value: `null` deletes, objects are gone into.
fn merge(value: &mut Value, change: Value) {
    match (value, change) {
        (Value::Object(known), Value::Object(change)) => {
            for (key, change) in change {
                if change.is_null() {
                    known.remove(&key);
                } else {
                    let slot = known.entry(key.clone()).or_insert(Value::Null);
                    merge(slot, change);
                    if slot.as_object().is_some_and(Map::is_empty) {
                        known.remove(&key);
                    }
                }
            }
        }
        (value, mut change) => {
            if let Some(object) = change.as_object_mut() {
                object.retain(|_, value| !value.is_null());
            }
            *value = change;
        }
    }
}

/// Where a path of a traceback or a link is, if it is under the root.
pub(crate) async fn resolve_path(State(server): State<Arc<Server>>, uri: Uri) -> Result<Response, Error> {
    let query = Query::of(&uri);
    let wanted = query.get("path").ok_or_else(|| Error::bad_request("`path` is missing"))?;
    let mut resolved = Vec::new();
    let mut unresolved = Vec::new();
    if let Some(path) = in_root(&server, wanted) {
        resolved.push(json!({ "scope": "server", "path": path }));
    }
    if let Some(id) = query.get("kernel") {
        match server.kernels.find(id) {
            Ok(kernel) => {
                let place = kernel.directory().join(wanted);
                if FilePath::new(wanted).is_relative() && place.exists() {
                    resolved.push(json!({ "scope": "kernel", "path": place.to_string_lossy() }));
                }
            }
            Err(_) => unresolved
                .push(json!({ "scope": "kernel", "reason": format!("Kernel {id} could not be found") })),
        }
    }
    let mut answer = json!({ "resolved": resolved });
    if !unresolved.is_empty() {
        answer["unresolved"] = Value::Array(unresolved);
    }
    Ok(json_response(StatusCode::OK, answer.to_string()))
}

fn in_root(server: &Server, wanted: &str) -> Option<String> {
    let root = server.contents.root.folder();
    let given = match wanted.strip_prefix("~/") {
        Some(rest) => FilePath::new(&std::env::var_os("HOME")?).join(rest),
        None => FilePath::new(wanted).to_owned(),
    };
    let relative = if given.is_absolute() {
        given.parent()?.canonicalize().ok()?.join(given.file_name()?).strip_prefix(root).ok()?.to_owned()
    } else {
        given
    };
    let relative = relative.to_str()?;
    (server.contents.root.resolve(relative).ok()?.exists() && !server.contents.root.is_hidden(relative))
        .then(|| relative.trim_matches('/').to_owned())
}

/// A browser's report of what the content policy kept out.
pub(crate) async fn csp_report(body: Bytes) -> StatusCode {
    tracing::warn!(report = %String::from_utf8_lossy(&body[..body.len().min(2_000)]), "content policy violated");
    StatusCode::NO_CONTENT
}

/// A file as it is. HTML of a notebook server is user content: it gets a sandbox of its own.
pub(crate) async fn file(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
) -> Result<Response, Error> {
    let raw = uri.path().strip_prefix("/files").unwrap_or_default();
    let path =
        percent_decode_str(raw).decode_utf8().map_err(|_| Error::bad_request("the path is not UTF-8"))?;
    let path = path.trim_matches('/').to_owned();
    if server.contents.root.is_hidden(&path) {
        return Err(Error::not_found(format!("file or directory '{path}' does not exist")));
    }
    let place = server.contents.root.resolve(&path)?;
    let file = tokio::fs::File::open(&place).await.map_err(|error| Error::from_io(&error, &path))?;
    let metadata = file.metadata().await.map_err(|error| Error::from_io(&error, &path))?;
    if !metadata.is_file() {
        return Err(Error::forbidden(format!("{path} is not a file")));
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let mime = crate::contents::mime_of(name);
    let mut headers = vec![
        (header::CONTENT_TYPE, mime.to_owned()),
        (header::CONTENT_LENGTH, metadata.len().to_string()),
        (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'self'; sandbox allow-scripts".to_owned()),
    ];
    if Query::of(&uri).get("download").is_some_and(|wish| !wish.is_empty()) {
        let encoded = crate::web::escape(name);
        headers.push((header::CONTENT_DISPOSITION, format!("attachment; filename*=utf-8''{encoded}")));
    }
    let body = if method == Method::HEAD { Body::empty() } else { crate::web::stream(file) };
    let mut answer = Response::new(body);
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            answer.headers_mut().insert(name, value);
        }
    }
    Ok(answer)
}

/// A page with a file in a frame, which keeps its scripts from the page's own rights.
pub(crate) async fn view(
    State(server): State<Arc<Server>>,
    Path(path): Path<String>,
) -> Result<Response, Error> {
    let place = server.contents.root.resolve(&path)?;
    if server.contents.root.is_hidden(&path) || !place.is_file() {
        return Err(Error::not_found(format!("file or directory '{path}' does not exist")));
    }
    let target = format!("{}files/{}", server.config.base_url, crate::web::escape(&path));
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Backlot notebooks</title>\
         <style>html,body,iframe{{margin:0;width:100%;height:100%;border:0}}</style>\
         <iframe sandbox=\"allow-scripts\" src=\"{target}\"></iframe></html>"
    );
    Ok(([(header::CONTENT_TYPE, "text/html; charset=UTF-8")], html).into_response())
}

/// Ends the server, where clients may.
pub(crate) async fn shutdown(State(server): State<Arc<Server>>, user: User) -> Result<StatusCode, Error> {
    if !server.config.may_shut_down {
        return Err(Error::forbidden("this server is not ended by its clients; end the process instead"));
    }
    tracing::info!(user = user.0, "a client ends the server");
    server.shutdown.notify_waiters();
    Ok(StatusCode::OK)
}

/// The page where a browser shows the token.
pub(crate) async fn login(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let next = Query::of(&uri).get("next").map(str::to_owned).filter(|next| is_own_path(&server, next));
    let next = next.unwrap_or_else(|| server.config.base_url.clone());
    if method == Method::POST {
        let form = url::form_urlencoded::parse(&body);
        let given = form.into_iter().find(|(key, _)| key == "password" || key == "token");
        if let (Some((_, given)), Some(token)) = (given, &server.config.token)
            && guard::is_token(&server, &given)
        {
            let cookie = guard::login_cookie(&server.config.base_url, token);
            return (StatusCode::FOUND, [(header::LOCATION, next), (header::SET_COOKIE, cookie)])
                .into_response();
        }
        return (StatusCode::UNAUTHORIZED, Html(login_page("That is not the token."))).into_response();
    }
    if server.config.token.is_none() {
        return (StatusCode::FOUND, [(header::LOCATION, next)]).into_response();
    }
    Html(login_page("")).into_response()
}

/// Where a login may lead: a path of ours, not another site.
fn is_own_path(server: &Server, next: &str) -> bool {
    next.starts_with(server.config.base_url.as_str()) && !next.starts_with("//") && !next.contains('\\')
}

fn login_page(message: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Backlot notebooks</title>\
         <style>body{{font:16px system-ui;max-width:28rem;margin:20vh auto;padding:0 1rem}}input,button{{font:inherit;padding:.4rem}}</style>\
         <h1>Notebooks</h1><form method=\"post\"><label>Token <input type=\"password\" name=\"password\" autofocus></label> \
         <button>Log in</button></form><p role=\"alert\">{message}</p></html>"
    )
}

pub(crate) async fn logout(State(server): State<Arc<Server>>) -> Response {
    let cookie = guard::logout_cookie(&server.config.base_url);
    ([(header::SET_COOKIE, cookie)], Html("<!doctype html><title>Logged out</title><p>Logged out.</p>"))
        .into_response()
}

/// What has no route. One slash too many at its end leads on, as with stock Jupyter, whose older clients ask for `api/sessions/`.
pub(crate) async fn nothing(State(server): State<Arc<Server>>, method: Method, uri: Uri) -> Response {
    if uri.path().len() > 1 && uri.path().ends_with('/') && (method == Method::GET || method == Method::HEAD)
    {
        let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
        let location = format!("{}{}{query}", server.config.base_url, uri.path().trim_matches('/'));
        return (StatusCode::FOUND, [(header::LOCATION, location)]).into_response();
    }
    Error::not_found(format!("there is nothing at {}", uri.path())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_deletes() {
        let mut value = json!({"foo": "bar", "baz": 73, "sub": {"a": 6, "b": 7}, "sub2": {"c": 8}});
        merge(
            &mut value,
            json!({"foo": null, "baz": 75, "wib": [1], "sub": {"a": 8, "b": null, "d": 9}, "sub2": {"c": null}}),
        );
        assert_eq!(value, json!({"baz": 75, "wib": [1], "sub": {"a": 8, "d": 9}}));
    }
}
