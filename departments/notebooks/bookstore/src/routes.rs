//! The HTTP API of bookstore 2.5.1, and its pages that ask before they clone.
//!
//! Statuses, texts and the form of errors are bookstore's, so its clients cannot tell. The pages post a form instead of running a
//! script, so they work under a policy that allows none.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use backlot_notebooks_model::json::{self, Object, Value};
use backlot_notebooks_model::{MAX_BYTES, check};
use backlot_web::console::{self, Frame, widgets};
use backlot_web::{ApiError, Caller};
use maud::{DOCTYPE, Markup, html};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::json as json_of;

use crate::key;
use crate::service::{Bookstore, Cloned, Source};
use crate::settings::RELEASE;
use crate::workspace::Problem;

/// Where the routes are mounted.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// The path before them, without a slash at its end.
    pub prefix: String,
    /// The path before a notebook's own under which a person opens it, if there is such: `/jupyter/lab/tree`.
    pub open: Option<String>,
}

#[derive(Clone)]
struct Shop {
    bookstore: Bookstore,
    base: Base,
}

type Answer = Result<Response, Problem>;

/// The routes `/api/bookstore…` and `/bookstore/…`. As with bookstore, those of what is not set up are not there.
pub fn routes(bookstore: &Bookstore, base: Base) -> Router {
    let settings = bookstore.settings();
    let mut router = Router::new().route("/api/bookstore", get(about)).route("/api/bookstore/", get(about));
    if settings.can_publish() {
        router = router
            .route("/api/bookstore/publish", put(publish))
            .route("/api/bookstore/publish/", put(publish))
            .route("/api/bookstore/publish/{*path}", put(publish));
    }
    if settings.enable_s3_cloning {
        router = router
            .route("/api/bookstore/clone", post(clone))
            .route("/api/bookstore/clone/", post(clone))
            .route("/bookstore/clone", get(clone_page).post(clone_form))
            .route("/bookstore/clone/", get(clone_page).post(clone_form));
    }
    if settings.cloning_folder().is_some() {
        router = router
            .route("/api/bookstore/fs-clone", post(clone_file))
            .route("/api/bookstore/fs-clone/", post(clone_file))
            .route("/bookstore/fs-clone", get(file_page).post(file_form))
            .route("/bookstore/fs-clone/", get(file_page).post(file_form));
    }
    router.layer(DefaultBodyLimit::max(MAX_BYTES)).with_state(Shop { bookstore: bookstore.clone(), base })
}

impl IntoResponse for Problem {
    /// As tornado's API handlers tell an error.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let body = json_of!({ "message": self.message, "reason": null });
        (status, axum::Json(body)).into_response()
    }
}

fn who(caller: Option<Extension<Caller>>) -> String {
    caller.map_or_else(|| "anonymous".to_owned(), |caller| caller.0.name().to_owned())
}

async fn about(State(shop): State<Shop>) -> Response {
    let features = shop.bookstore.settings().features();
    axum::Json(json_of!({ "release": RELEASE, "features": features })).into_response()
}

/// A body of JSON; `None` if there is none.
fn body(bytes: &[u8]) -> Result<Option<Object>, Problem> {
    let invalid = || Problem::new(400, "Invalid JSON in body of request");
    let text = std::str::from_utf8(bytes).map_err(|_| invalid())?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    match json::parse(text).map_err(|_| invalid())? {
        Value::Object(object) => Ok(Some(object)),
        Value::Null => Ok(None),
        _ => Err(invalid()),
    }
}

/// A text of a body; empty if it is not there.
fn text<'a>(body: &'a Object, name: &str) -> Result<&'a str, Problem> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Problem::new(400, format!("`{name}` must be a string"))),
    }
}

async fn publish(
    State(shop): State<Shop>,
    caller: Option<Extension<Caller>>,
    uri: Uri,
    bytes: Bytes,
) -> Answer {
    let raw = uri.path().split_once("/api/bookstore/publish").map_or("", |(_, path)| path);
    let path = percent_decode_str(raw).decode_utf8();
    let path = path.map_err(|_| Problem::new(400, "the path is not UTF-8"))?;
    if path.trim_matches('/').is_empty() {
        return Err(Problem::new(400, "Must provide a path for publishing"));
    }
    let model = body(&bytes)?.unwrap_or_default();
    let content = valid_content(&model)?;
    let mut written = String::new();
    content.write_sorted(0, &mut written);
    written.push('\n');
    let published = shop.bookstore.publish(&path, written.into(), &who(caller)).await?;
    let mut answer = json_of!({ "s3_path": published.place });
    if let Some(version) = published.version {
        answer["versionID"] = version.into();
    }
    Ok(axum::Json(answer).into_response())
}

/// The notebook of a model, if it is one.
fn valid_content(model: &Object) -> Result<&Value, Problem> {
    if model.is_empty() {
        return Err(Problem::new(400, "Bookstore cannot publish an empty model"));
    }
    if model.get("type").and_then(Value::as_str) != Some("notebook") {
        return Err(Problem::new(415, "Bookstore only publishes notebooks"));
    }
    let empty = || Problem::new(422, "Bookstore cannot publish empty contents");
    let content = model.get("content").filter(|content| !content.is_falsy()).ok_or_else(empty)?;
    if let Some(fault) = check::fault(content) {
        let mut instance = String::new();
        fault.instance.write_sorted(0, &mut instance);
        let message = format!(
            "Bookstore cannot publish invalid notebook. Validation errors are as follows: {} {instance}",
            fault.message
        );
        return Err(Problem::new(422, message));
    }
    Ok(content)
}

/// The last name of a path.
fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

async fn clone(State(shop): State<Shop>, caller: Option<Extension<Caller>>, bytes: Bytes) -> Answer {
    let model = body(&bytes)?.unwrap_or_default();
    let (bucket, key) = (text(&model, "s3_bucket")?, text(&model, "s3_key")?);
    if matches!(bucket, "" | "/") {
        return Err(Problem::new(400, "Must have a bucket to clone from"));
    }
    if matches!(key, "" | "/") {
        return Err(Problem::new(400, "Must have a key to clone from"));
    }
    let version = Some(text(&model, "s3_version_id")?).filter(|version| !version.is_empty());
    let target = Some(text(&model, "target_path")?).filter(|target| !target.is_empty());
    let source = Source { bucket, key, version };
    let target = target.unwrap_or_else(|| base_name(key));
    let cloned = shop.bookstore.clone_object(&source, target, &who(caller)).await?;
    let mut answer = contents_model(&cloned)?;
    answer.insert("s3_path".to_owned(), format!("s3://{}", key::join(&[bucket, key])).into());
    if let Some(version) = cloned.version {
        answer.insert("versionID".to_owned(), version.into());
    }
    Ok(json_response(answer))
}

async fn clone_file(State(shop): State<Shop>, caller: Option<Extension<Caller>>, bytes: Bytes) -> Answer {
    let model = body(&bytes)?.unwrap_or_default();
    let relative = text(&model, "relpath")?;
    let target = Some(text(&model, "target_path")?).filter(|target| !target.is_empty());
    let target = target.unwrap_or_else(|| base_name(relative));
    let cloned = shop.bookstore.clone_file(relative, target, &who(caller)).await?;
    Ok(json_response(contents_model(&cloned)?))
}

/// What was cloned as a model of Jupyter's contents API.
fn contents_model(cloned: &Cloned) -> Result<Object, Problem> {
    let unreadable =
        || Problem::new(400, format!("Unreadable Notebook: {} is not UTF-8 or no JSON", cloned.path));
    let text = std::str::from_utf8(&cloned.content);
    let (kind, format, content) = if key::is_notebook(&cloned.path) {
        let parsed = text.ok().and_then(|text| json::parse(text).ok());
        ("notebook", "json", parsed.ok_or_else(unreadable)?)
    } else {
        ("file", "text", Value::from(text.map_err(|_| unreadable())?))
    };
    let members = [
        ("type", Value::from(kind)),
        ("format", Value::from(format)),
        ("content", content),
        ("name", Value::from(base_name(&cloned.path))),
        ("path", Value::from(cloned.path.as_str())),
    ];
    Ok(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn json_response(model: Object) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Value::Object(model).to_compact()).into_response()
}

#[derive(Clone, Debug, Deserialize)]
struct Wanted {
    s3_bucket: Option<String>,
    s3_key: Option<String>,
    s3_version_id: Option<String>,
    relpath: Option<String>,
}

fn argument(value: Option<&String>, name: &str) -> Result<String, Problem> {
    value.cloned().ok_or_else(|| Problem::new(400, format!("Missing argument {name}")))
}

impl Wanted {
    fn object(&self) -> Result<(String, String), Problem> {
        let bucket = argument(self.s3_bucket.as_ref(), "s3_bucket")?;
        if matches!(bucket.as_str(), "" | "/") {
            return Err(Problem::new(400, "Requires an S3 bucket in order to clone"));
        }
        let key = argument(self.s3_key.as_ref(), "s3_key")?;
        if matches!(key.as_str(), "" | "/") {
            return Err(Problem::new(400, "Requires an S3 object key in order to clone"));
        }
        Ok((bucket, key))
    }

    fn version(&self) -> Option<&str> {
        self.s3_version_id.as_deref().filter(|version| !version.is_empty())
    }
}

/// A page in the console's frame; without a console around us, a bare one.
fn page(frame: Result<Frame, ApiError>, title: &str, body: Markup) -> Response {
    match frame {
        Ok(frame) => console::page(&frame, title, body).into_response(),
        Err(_) => {
            html! { (DOCTYPE) html lang="en" { head { title { (title) } } body { h1 { (title) } (body) } } }
                .into_response()
        }
    }
}

fn ask(frame: Result<Frame, ApiError>, what: &str, action: &str, fields: &[(&str, &str)]) -> Response {
    let button = widgets::Action {
        label: "Clone",
        path: action,
        fields,
        weight: widgets::Weight::Primary,
        ..widgets::Action::default()
    };
    let body = html! {
        p { "Preparing to copy the following file to your notebook's working directory:" }
        (widgets::code_block(what))
        p.note { "Only copy code from locations that you recognize and trust." }
        div.actions { (button.render()) }
    };
    page(frame, "Clone Confirmation", body)
}

async fn clone_page(
    State(shop): State<Shop>,
    frame: Result<Frame, ApiError>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let (bucket, key) = wanted.object()?;
    let version = wanted.version().map_or_else(String::new, |version| format!(" version: {version}"));
    let what = format!("'{key}'{version} from the s3 bucket '{bucket}'");
    let fields =
        [("s3_bucket", bucket.as_str()), ("s3_key", &key), ("s3_version_id", wanted.version().unwrap_or(""))];
    Ok(ask(frame, &what, &format!("{}/bookstore/clone", shop.base.prefix), &fields))
}

async fn file_page(
    State(shop): State<Shop>,
    frame: Result<Frame, ApiError>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let relative = argument(wanted.relpath.as_ref(), "relpath")?;
    let place = shop.bookstore.cloning_place(&relative).await?;
    let fields = [("relpath", relative.as_str())];
    Ok(ask(frame, &place, &format!("{}/bookstore/fs-clone", shop.base.prefix), &fields))
}

async fn clone_form(
    State(shop): State<Shop>,
    caller: Option<Extension<Caller>>,
    frame: Result<Frame, ApiError>,
    axum::Form(wanted): axum::Form<Wanted>,
) -> Answer {
    let (bucket, key) = wanted.object()?;
    let source = Source { bucket: &bucket, key: &key, version: wanted.version() };
    let cloned = shop.bookstore.clone_object(&source, base_name(&key), &who(caller)).await?;
    Ok(done(&shop, frame, &cloned))
}

async fn file_form(
    State(shop): State<Shop>,
    caller: Option<Extension<Caller>>,
    frame: Result<Frame, ApiError>,
    axum::Form(wanted): axum::Form<Wanted>,
) -> Answer {
    let relative = argument(wanted.relpath.as_ref(), "relpath")?;
    let cloned = shop.bookstore.clone_file(&relative, base_name(&relative), &who(caller)).await?;
    Ok(done(&shop, frame, &cloned))
}

fn done(shop: &Shop, frame: Result<Frame, ApiError>, cloned: &Cloned) -> Response {
    let segments: Vec<String> = cloned.path.split('/').map(widgets::path_segment).collect();
    let body = html! {
        p { "Cloned as " code { (cloned.path) } "." }
        @if let Some(open) = &shop.base.open {
            div.actions { a.button.primary href={ (open) "/" (segments.join("/")) } { "Open" } }
        }
    };
    page(frame, "Cloned", body)
}
