//! Atlas' HTTP interface.

use std::fmt::Write;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use backlot_atlas::graph::{Defaults, Graph, Request, percent_decoded};
use backlot_atlas::wire::Outcome;
use backlot_atlas::{Error, Item, Machine, parse, words, zone};
use backlot_series::{KeyCount, Query};
use serde_json::{Value, json};

use crate::ingest::{self, IngestError};
use crate::state::{Serving, Slot, State};

/// Most tags on one page.
const LONGEST_PAGE: usize = 1000;

const NEXT_OFFSET: HeaderName = HeaderName::from_static("x-nflx-atlas-next-offset");

pub(crate) fn routes(slot: Slot) -> Router {
    Router::new()
        .route("/api/v1/graph", get(graph))
        .route("/api/v2/graph", get(graph))
        .route("/api/v1/tags", get(tag_keys))
        .route("/api/v1/tags/{key}", get(tag_values))
        .route("/api/v1/expr", get(expr_debug))
        .route("/api/v1/expr/debug", get(expr_debug))
        .route("/api/v1/expr/normalize", get(expr_normalize))
        .route("/api/v1/expr/complete", get(expr_complete))
        .route("/api/v1/expr/queries", get(expr_queries))
        .route("/api/v1/expr/strip", get(expr_strip))
        .route("/api/v1/publish", post(publish))
        .route("/api/v1/publish-fast", post(publish))
        .route("/api/v4/update", post(update))
        .with_state(slot)
}

/// An error in Atlas' own form.
pub(crate) struct AtlasError {
    status: StatusCode,
    message: String,
}

impl AtlasError {
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl From<Error> for AtlasError {
    fn from(error: Error) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self { status, message: error.to_string() }
    }
}

impl IntoResponse for AtlasError {
    fn into_response(self) -> Response {
        (self.status, axum::Json(json!({ "type": "error", "message": self.message }))).into_response()
    }
}

fn failed(error: &tokio::task::JoinError) -> AtlasError {
    tracing::error!(%error, "a task of the metrics store failed");
    AtlasError {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        message: "the server failed to answer; see its log".to_owned(),
    }
}

/// The parameters of a query string, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn read(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let decoded = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(name), percent_decoded(value))
        };
        Self(pairs.map(decoded).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn required(&self, name: &str) -> Result<&str, Error> {
        self.get(name).ok_or_else(|| Error::Argument(format!("missing required parameter '{name}'")))
    }
}

/// What a graph request does not say.
pub(crate) fn defaults(state: &State) -> Result<Defaults, Error> {
    Ok(Defaults { now: state.now(), step: state.settings.step, zone: zone(&state.settings.time_zone)? })
}

/// Evaluates a graph where it holds up nobody.
pub(crate) async fn evaluate(state: &State, parameters: &Parameters) -> Result<Graph, AtlasError> {
    let request = Request::read(parameters.pairs(), &defaults(state)?)?;
    let store = state.store.clone();
    let turn = state.queries.clone().acquire_owned().await;
    let counters = state.counters.clone();
    let work = move || {
        let _turn = turn;
        let began = Instant::now();
        let graph = Graph::evaluate(request, &*store);
        let meters = &counters.meters;
        let timer = if graph.is_ok() { &meters.graphs } else { &meters.failed_graphs };
        timer.record(began.elapsed());
        graph
    };
    Ok(tokio::task::spawn_blocking(work).await.map_err(|error| failed(&error))??)
}

async fn graph(Serving(state): Serving, RawQuery(query): RawQuery) -> Result<Response, AtlasError> {
    let parameters = Parameters::read(query.as_deref());
    let callback = parameters.get("callback").map(str::to_owned);
    let graph = evaluate(&state, &parameters).await?;
    let render = move || graph.render();
    let (media_type, mut bytes) =
        tokio::task::spawn_blocking(render).await.map_err(|error| failed(&error))?;
    if let Some(callback) = callback.filter(|name| media_type == "application/json" && is_identifier(name)) {
        bytes = [callback.as_bytes(), b"(", &bytes, b")"].concat();
        return Ok(([(header::CONTENT_TYPE, "application/javascript")], bytes).into_response());
    }
    Ok(([(header::CONTENT_TYPE, media_type)], bytes).into_response())
}

/// A name that a script may be given to call: nothing that could be another script.
fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 100
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$')
}

async fn tag_keys(Serving(state): Serving, RawQuery(query): RawQuery) -> Result<Response, AtlasError> {
    tags(&state, None, &Parameters::read(query.as_deref()))
}

async fn tag_values(
    Serving(state): Serving,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, AtlasError> {
    tags(&state, Some(&key), &Parameters::read(query.as_deref()))
}

/// A condition given as text.
pub(crate) fn condition(text: Option<&str>) -> Result<Query, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Query::True) };
    match Machine::execute(text)?.stack().as_slice() {
        [Item::Query(query)] => Ok(query.clone()),
        _ => Err(Error::Argument("the parameter q must be one query".to_owned())),
    }
}

fn tags(state: &State, key: Option<&str>, parameters: &Parameters) -> Result<Response, AtlasError> {
    let query = condition(parameters.get("q"))?;
    let is_verbose = parameters.get("verbose") == Some("1");
    let limit = match parameters.get("limit") {
        None => LONGEST_PAGE,
        Some(limit) => limit
            .parse::<usize>()
            .map_err(|_| Error::Argument(format!("the limit {limit} is not a whole number")))?
            .clamp(1, LONGEST_PAGE),
    };
    // The last entry of the page before: with its key if it was verbose.
    let offset =
        parameters.get("offset").map(|offset| offset.split_once(',').map_or(offset, |(_, value)| value));
    let all = match key {
        None => state.store.keys(&query),
        Some(key) => state.store.values(key, &query),
    };
    let page: Vec<KeyCount> = all
        .into_iter()
        .filter(|entry| offset.is_none_or(|offset| &*entry.name > offset))
        .take(limit)
        .collect();
    let shown_key = key.unwrap_or("*");
    let mut response = if parameters.get("format") == Some("txt") {
        let mut text = String::new();
        for entry in &page {
            // Writing to a string does not fail.
            let _ = if is_verbose {
                writeln!(text, "{shown_key}\t{}\t{}", entry.name, entry.count)
            } else {
                writeln!(text, "{}", entry.name)
            };
        }
        ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
    } else if is_verbose {
        let entry =
            |entry: &KeyCount| json!({ "key": shown_key, "value": &*entry.name, "count": entry.count });
        axum::Json(page.iter().map(entry).collect::<Vec<Value>>()).into_response()
    } else {
        axum::Json(page.iter().map(|entry| &*entry.name).collect::<Vec<&str>>()).into_response()
    };
    if page.len() == limit
        && let Some(last) = page.last()
    {
        let next = if is_verbose { format!("{shown_key},{}", last.name) } else { last.name.to_string() };
        // Values with letters that a header cannot carry cannot be gone on from.
        if let Ok(value) = next.parse() {
            response.headers_mut().insert(NEXT_OFFSET, value);
        }
    }
    Ok(response)
}

async fn expr_debug(RawQuery(query): RawQuery) -> Result<Response, AtlasError> {
    let parameters = Parameters::read(query.as_deref());
    let steps = Machine::trace(parameters.required("q")?)?;
    let step = |step: &backlot_atlas::Step| json!({ "program": step.program, "context": { "stack": step.stack, "variables": step.variables } });
    Ok(axum::Json(steps.iter().map(step).collect::<Vec<Value>>()).into_response())
}

async fn expr_normalize(RawQuery(query): RawQuery) -> Result<Response, AtlasError> {
    let parameters = Parameters::read(query.as_deref());
    let all = parse(parameters.required("q")?)?;
    Ok(axum::Json(all.iter().map(ToString::to_string).collect::<Vec<String>>()).into_response())
}

async fn expr_queries(RawQuery(query): RawQuery) -> Result<Response, AtlasError> {
    let parameters = Parameters::read(query.as_deref());
    let all = parse(parameters.required("q")?)?;
    let mut queries: Vec<String> =
        all.iter().flat_map(|styled| styled.expr.data()).map(|data| data.query.to_string()).collect();
    queries.sort_unstable();
    queries.dedup();
    Ok(axum::Json(queries).into_response())
}

/// The expressions without conditions on the keys `k`, and without the words of the vocabularies `r`.
async fn expr_strip(RawQuery(query): RawQuery) -> Result<Response, AtlasError> {
    let parameters = Parameters::read(query.as_deref());
    let named = |wanted: &'static str| {
        parameters.pairs().filter(move |(name, _)| *name == wanted).map(|(_, value)| value)
    };
    let keys: Vec<_> = named("k").map(std::sync::Arc::from).collect();
    let mut all = parse(parameters.required("q")?)?;
    for styled in &mut all {
        styled.expr = styled.expr.without_keys(&keys)?;
        for vocabulary in named("r") {
            match vocabulary {
                "filter" => styled.expr = styled.expr.without_filters()?,
                "style" => styled.settings.clear(),
                other => return Err(Error::Argument(format!("vocabulary '{other}' not supported")).into()),
            }
        }
    }
    Ok(axum::Json(all.iter().map(ToString::to_string).collect::<Vec<String>>()).into_response())
}

async fn expr_complete(RawQuery(query): RawQuery) -> Result<Response, AtlasError> {
    let parameters = Parameters::read(query.as_deref());
    let fitting = words::completions(parameters.get("q").unwrap_or_default())?;
    let entry = |form: &&words::Form| json!({ "name": form.word, "signature": form.signature(), "description": form.about });
    Ok(axum::Json(fitting.iter().map(entry).collect::<Vec<Value>>()).into_response())
}

async fn publish(Serving(state): Serving, headers: HeaderMap, body: Bytes) -> Response {
    let work = move || ingest::decompressed(&headers, &body).and_then(|body| ingest::publish(&state, &body));
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(outcome)) if outcome.refused == 0 && outcome.taken > 0 => StatusCode::OK.into_response(),
        Ok(result) => taken(result),
        Err(error) => failed(&error).into_response(),
    }
}

async fn update(Serving(state): Serving, headers: HeaderMap, body: Bytes) -> Response {
    let work = move || ingest::decompressed(&headers, &body).and_then(|body| ingest::update(&state, &body));
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(outcome)) if outcome.refused == 0 => axum::Json(json!({})).into_response(),
        Ok(result) => taken(result),
        Err(error) => failed(&error).into_response(),
    }
}

/// The answer to a body that was not taken, or not all of it.
fn taken(result: Result<Outcome, IngestError>) -> Response {
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(error) => {
            let status = if matches!(error, IngestError::Store(_)) {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::BAD_REQUEST
            };
            return AtlasError { status, message: error.to_string() }.into_response();
        }
    };
    if outcome.taken == 0 && outcome.refused == 0 {
        let message = "IllegalArgumentException: empty payload".to_owned();
        return AtlasError { status: StatusCode::BAD_REQUEST, message }.into_response();
    }
    let (status, kind) = if outcome.taken > 0 {
        (StatusCode::ACCEPTED, "partial")
    } else {
        (StatusCode::BAD_REQUEST, "error")
    };
    let messages: Vec<String> = outcome.refusals.iter().map(ToString::to_string).collect();
    (status, axum::Json(json!({ "type": kind, "errorCount": outcome.refused, "message": messages })))
        .into_response()
}
