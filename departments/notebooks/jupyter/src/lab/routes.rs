//! The routes of JupyterLab's pages and of jupyterlab_server's interface.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::page::{Wish, missing};
use super::{LIVE_FILE, LIVE_NAME, LIVE_SCRIPT, Lab, files, workspaces};
use crate::error::Error;
use crate::server::Server;
use crate::web::{Query, json_response, parse_json};

/// A mark of our own: the wheel has no icons.
const ICON: &str = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='7' fill='#1f2a44'/>\
    <path d='M8 8h13v3H11v3h8v3h-8v4h10v3H8z' fill='#ffb347'/></svg>";

pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/", get(home))
        .route("/lab", get(page))
        .route("/lab/", get(page))
        .route("/doc", get(page))
        .route("/doc/{*rest}", get(page))
        .route("/lab/{*rest}", get(page))
        .route("/static/lab/{*file}", get(static_file))
        .route("/static/favicons/{file}", get(icon))
        .route("/favicon.ico", get(icon))
        .route("/lab/extensions/{*file}", get(extension_file))
        .route("/lab/api/themes/{*file}", get(theme_file))
        .route("/lab/api/settings", get(settings))
        .route("/lab/api/settings/", get(settings))
        .route("/lab/api/settings/{*id}", get(setting).put(setting))
        .route("/lab/api/workspaces", get(all_workspaces))
        .route("/lab/api/workspaces/", get(all_workspaces))
        .route("/lab/api/workspaces/{*name}", any(workspace))
        .route("/lab/api/translations", get(translations))
        .route("/lab/api/translations/", get(translations))
        .route("/lab/api/translations/{language}", get(translation))
        .route("/lab/api/listings/{*file}", get(listings))
        .route("/lab/api/licenses", get(licenses))
        .route("/lab/api/licenses/", get(licenses))
        .route("/lab/api/news", get(async || answer(&json!({ "news": [] }))))
        .route("/lab/api/update", get(async || answer(&json!({ "notification": null }))))
        .route("/lab/api/extensions", get(async || answer(&json!([]))))
        .route("/lab/api/build", get(async || answer(&json!({ "status": "stable", "message": "" }))))
}

fn answer(value: &Value) -> Response {
    json_response(StatusCode::OK, value.to_string())
}

fn installed(server: &Server) -> Result<Lab, Error> {
    Lab::find(&server.config.data).ok_or_else(|| {
        Error::not_found("JupyterLab is not installed; `pip install jupyterlab` beside the kernels")
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::internal(format!("the request ended early: {error}")))?
}

/// The base URL leads to JupyterLab.
pub(crate) async fn home(State(server): State<Arc<Server>>, uri: Uri) -> Response {
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let location = format!("{}lab{query}", server.config.base_url);
    (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
}

/// Any page: `/lab`, `/lab/tree/…`, `/lab/workspaces/NAME[/tree/…]`, the same under `/doc`; JupyterLab itself says what is not found.
async fn page(State(server): State<Arc<Server>>, uri: Uri) -> Result<Response, Error> {
    let path = percent_decode_str(uri.path()).decode_utf8();
    let path = path.map_err(|_| Error::bad_request("the path is not UTF-8"))?.into_owned();
    blocking(move || {
        let Some(lab) = Lab::find(&server.config.data) else {
            let body = Html(missing(&server.config.base_url));
            return Ok((StatusCode::NOT_FOUND, body).into_response());
        };
        let html = lab.page(&server, &wish(&path));
        Ok(([(header::CACHE_CONTROL, "no-store")], Html(html)).into_response())
    })
    .await
}

fn wish(path: &str) -> Wish<'_> {
    let (mode, rest) = path.trim_matches('/').split_once('/').unwrap_or((path.trim_matches('/'), ""));
    let mut wish = Wish { is_single: mode == "doc", workspace: "default", ..Wish::default() };
    let mut rest = rest;
    if let Some(named) = rest.strip_prefix("workspaces/") {
        let (workspace, more) = named.split_once('/').unwrap_or((named, ""));
        (wish.workspace, rest) = (workspace, more);
    }
    match rest.split_once('/').unwrap_or((rest, "")) {
        ("", _) => {}
        ("tree", tree) => wish.tree = tree,
        _ => wish.not_found = Some(path),
    }
    wish
}

async fn static_file(
    State(server): State<Arc<Server>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    files::serve(&[installed(&server)?.static_folder()], &file, &headers, None).await
}

async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "max-age=86400")], ICON)
        .into_response()
}

async fn extension_file(
    State(server): State<Arc<Server>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if file.strip_prefix(LIVE_NAME).and_then(|file| file.strip_prefix('/')) == Some(LIVE_FILE) {
        let head = [(header::CONTENT_TYPE, "text/javascript"), (header::CACHE_CONTROL, "no-cache")];
        return Ok((head, LIVE_SCRIPT).into_response());
    }
    files::serve(&installed(&server)?.extensions, &file, &headers, None).await
}

/// A theme's file. What its style sheets name is beside them, also when a page of another address loads them.
async fn theme_file(
    State(server): State<Arc<Server>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let lab = installed(&server)?;
    let mut folders: Vec<_> =
        lab.installed_extensions().into_iter().map(|(folder, _)| folder.join("themes")).collect();
    folders.push(lab.app.join("themes"));
    let beside = crate::contents::place::split(&file).0.to_owned();
    let base = format!("{}lab/api/themes/{beside}", server.config.base_url);
    let rewrite = move |css: String| rebased(&css, &base);
    let rewrite: Option<&(dyn Fn(String) -> String + Sync)> =
        file.strip_suffix(".css").map(|_| &rewrite as _);
    files::serve(&folders, &file, &headers, rewrite).await
}

/// A style sheet whose `url('…')` are absolute.
fn rebased(css: &str, base: &str) -> String {
    let mut out = String::with_capacity(css.len());
    for (index, part) in css.split("url('").enumerate() {
        if index > 0 {
            out.push_str("url('");
            if !part.starts_with('/') && !part.split('\'').next().is_some_and(|target| target.contains(':')) {
                out.push_str(base);
                out.push('/');
            }
        }
        out.push_str(part);
    }
    out
}

async fn settings(State(server): State<Arc<Server>>, uri: Uri) -> Result<Response, Error> {
    let only_ids = Query::of(&uri).get("ids_only") == Some("true");
    blocking(move || Ok(answer(&installed(&server)?.settings(&server.lab_folder(), only_ids)))).await
}

async fn setting(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
    method: Method,
    body: Bytes,
) -> Result<Response, Error> {
    blocking(move || {
        let lab = installed(&server)?;
        let user = server.lab_folder();
        if method != Method::PUT {
            return Ok(answer(&lab.setting(&user, &id)?));
        }
        let body = parse_json(&body)?;
        let raw = body["raw"].as_str().ok_or_else(|| Error::bad_request("the body has no text `raw`"))?;
        lab.save_setting(&user, &id, raw)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

async fn all_workspaces(State(server): State<Arc<Server>>) -> Result<Response, Error> {
    blocking(move || Ok(answer(&workspaces::list(&server.lab_folder())))).await
}

async fn workspace(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    method: Method,
    body: Bytes,
) -> Result<Response, Error> {
    blocking(move || {
        let user = server.lab_folder();
        match method {
            Method::GET => return Ok(answer(&workspaces::one(&user, &name))),
            Method::PUT => workspaces::save(&user, &name, &parse_json(&body)?)?,
            Method::DELETE => workspaces::delete(&user, &name)?,
            _ => return Err(Error::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")),
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// Language packs are Python packages that only Python can name; English needs none.
async fn translations() -> Response {
    answer(&json!({ "data": { "en": { "displayName": "English", "nativeName": "English" } }, "message": "" }))
}

async fn translation(Path(language): Path<String>) -> Response {
    answer(&json!({ "data": {}, "message": format!("Language pack '{language}' not installed!") }))
}

async fn listings() -> Response {
    answer(&json!({
        "blocked_extensions_uris": [], "allowed_extensions_uris": [], "blocked_extensions": [], "allowed_extensions": [],
    }))
}

async fn licenses(State(server): State<Arc<Server>>) -> Result<Response, Error> {
    blocking(move || Ok(answer(&installed(&server)?.licenses()))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_s_path_says_what_to_open() {
        let wish = |path| {
            let wish = wish(path);
            (wish.is_single, wish.workspace, wish.tree, wish.not_found)
        };
        assert_eq!(wish("/lab"), (false, "default", "", None));
        assert_eq!(wish("/lab/tree/a b/c.ipynb"), (false, "default", "a b/c.ipynb", None));
        assert_eq!(wish("/doc/workspaces/auto-q/tree/x"), (true, "auto-q", "x", None));
        assert_eq!(wish("/lab/workspaces/w"), (false, "w", "", None));
        assert_eq!(wish("/lab/nope"), (false, "default", "", Some("/lab/nope")));
    }

    #[test]
    fn style_sheets_name_their_files_wherever_they_are_loaded() {
        let css = "a { b: url('x/y.svg') } c { d: url('/z.svg') } e { f: url('data:x') }";
        let expected = "a { b: url('/j/t/x/y.svg') } c { d: url('/z.svg') } e { f: url('data:x') }";
        assert_eq!(rebased(css, "/j/t"), expected);
    }
}
