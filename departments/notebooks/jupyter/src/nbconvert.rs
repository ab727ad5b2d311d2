//! `/nbconvert/…`: notebooks as other formats, by the nbconvert of the Python environment in which Jupyter is installed.
//!
//! nbconvert is Python through and through (Jinja templates, Pygments), so it runs as a child; where it is missing, the answer is 501 and
//! says what to install.

use std::path::{Path as FilePath, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::contents::{Kind, View, With};
use crate::error::Error;
use crate::server::Server;
use crate::web::{Query, escape, json_response, parse_json};

/// How long a conversion may take; LaTeX takes seconds.
const PATIENCE: Duration = Duration::from_secs(50);

/// Formats whose output is one file: type and ending. Those that need LaTeX or a browser give what they give on the command line.
const FORMATS: [(&str, &str, &str); 11] = [
    ("asciidoc", "text/asciidoc", "asciidoc"),
    ("html", "text/html", "html"),
    ("latex", "text/latex", "tex"),
    ("markdown", "text/markdown", "md"),
    ("notebook", "application/json", "ipynb"),
    ("pdf", "application/pdf", "pdf"),
    ("python", "text/x-python", "py"),
    ("rst", "text/x-rst", "rst"),
    ("script", "text/plain", "txt"),
    ("slides", "text/html", "slides.html"),
    ("webpdf", "application/pdf", "pdf"),
];

fn format_of(name: &str) -> Result<&'static (&'static str, &'static str, &'static str), Error> {
    let known = FORMATS.iter().find(|format| format.0 == name);
    known.ok_or_else(|| Error::not_found(format!("No exporter for format: {name}")))
}

/// A Python that has nbconvert: beside one of Jupyter's data folders.
fn python(data: &[PathBuf]) -> Option<PathBuf> {
    let prefixes = data.iter().filter_map(|folder| folder.ancestors().nth(2));
    let has_it = |prefix: &&FilePath| {
        let installed = prefix.join("share/jupyter/nbconvert");
        installed.is_dir() && prefix.join("bin/python3").exists()
    };
    prefixes.into_iter().find(has_it).map(|prefix| prefix.join("bin/python3"))
}

/// The formats there are.
pub(crate) async fn formats(State(server): State<Arc<Server>>) -> Response {
    let mut formats = Map::new();
    if python(&server.config.data).is_some() {
        for (name, mimetype, _) in FORMATS {
            formats.insert(name.to_owned(), json!({ "output_mimetype": mimetype }));
        }
    }
    json_response(StatusCode::OK, Value::Object(formats).to_string())
}

/// A file as another format.
pub(crate) async fn from_file(
    State(server): State<Arc<Server>>,
    Path((format, path)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Error> {
    let view = View { kind: Some(Kind::Notebook), format: None, with: With { content: true, hash: false } };
    let (contents, wanted) = (server.contents.clone(), path.clone());
    let model = tokio::task::spawn_blocking(move || contents.get(&wanted, &view)).await;
    let model = model.map_err(|error| Error::internal(format!("the request ended early: {error}")))??;
    let notebook: Value =
        serde_json::from_str(&model.to_json()).map_err(|error| Error::internal(error.to_string()))?;
    let name = crate::contents::place::split(&path).1;
    let query = Query::of(&uri);
    let is_wish =
        |name: &str| query.get(name).is_some_and(|wish| !matches!(wish, "" | "0" | "false" | "False"));
    convert(&server, &format, name, &notebook["content"], is_wish("download"), is_wish("sanitize_html")).await
}

/// A model from the request as another format.
pub(crate) async fn from_post(
    State(server): State<Arc<Server>>,
    Path(format): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    let model = parse_json(&body)?;
    let name = model["name"].as_str().unwrap_or("notebook.ipynb").to_owned();
    convert(&server, &format, &name, &model["content"], false, false).await
}

async fn convert(
    server: &Server,
    format: &str,
    name: &str,
    notebook: &Value,
    is_download: bool,
    is_sanitized: bool,
) -> Result<Response, Error> {
    let (exporter, mimetype, ending) = *format_of(format)?;
    if !notebook.is_object() {
        return Err(Error::bad_request("there is no notebook to convert"));
    }
    let absent = || {
        let what = "nbconvert is not installed; `pip install nbconvert` beside the kernels";
        Error::new(StatusCode::NOT_IMPLEMENTED, what)
    };
    let python = python(&server.config.data).ok_or_else(absent)?;
    let mut command = Command::new(python);
    command.args(["-m", "nbconvert", "--stdin", "--stdout", "--log-level", "ERROR", "--to", exporter]);
    if is_sanitized {
        command.args(["--sanitize-html"]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let failed = |error: std::io::Error| Error::internal(format!("nbconvert failed: {error}"));
    let mut child = command.spawn().map_err(failed)?;
    let mut input = child.stdin.take().ok_or_else(|| Error::internal("nbconvert takes no input"))?;
    let text = notebook.to_string();
    // Written beside the reading, or both would wait for each other; one that does not read has failed and says so.
    let written = tokio::spawn(async move { input.write_all(text.as_bytes()).await });
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    written.abort();
    let late = |_| Error::internal(format!("nbconvert took longer than {} s", PATIENCE.as_secs()));
    let output = output.map_err(late)?.map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().last().unwrap_or("it said nothing").to_owned();
        return Err(Error::internal(format!("nbconvert failed: {last}")));
    }
    let stem = name.strip_suffix(".ipynb").unwrap_or(name);
    let mut answer = output.stdout.into_response();
    let base = &server.config.base_url;
    let policy =
        format!("frame-ancestors 'self'; report-uri {base}api/security/csp-report; sandbox allow-scripts");
    let type_with_charset = if mimetype.starts_with("text/") {
        format!("{mimetype}; charset=utf-8")
    } else {
        mimetype.to_owned()
    };
    let mut headers =
        vec![(header::CONTENT_TYPE, type_with_charset), (header::CONTENT_SECURITY_POLICY, policy)];
    if is_download {
        let file = escape(&format!("{stem}.{ending}"));
        headers.push((header::CONTENT_DISPOSITION, format!("attachment; filename*=utf-8''{file}")));
    }
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            answer.headers_mut().insert(name, value);
        }
    }
    Ok(answer)
}
