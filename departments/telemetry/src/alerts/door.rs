//! Alertmanager's HTTP interface, version 2, as of 0.25: its paths, forms, status codes and error texts.
//!
//! A refusal is a JSON text (what the API's own checks say) or `{"code", "message"}` (what its generated checks say); clients show
//! either. Errors that its specification has no words for name the mend.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, RawQuery};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use backlot_alerts::engine::{Engine, Posted};
use backlot_alerts::matcher::parse_matcher;
use backlot_alerts::wire::{self, PostedAlert, PostedSilence};
use backlot_alerts::{Alert, AlertError, Matcher, SilenceError};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AlertService, ServiceError, random_id};
use crate::state::{Serving, Slot};

/// Most alerts in one body; clients send some hundred at once.
const MOST_POSTED: usize = 100_000;

/// Most matchers of one filter.
const MOST_FILTERS: usize = 100;

pub(crate) fn routes(slot: Slot) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/alerts") }))
        .route("/-/healthy", get(|| async { "OK" }))
        .route("/-/ready", get(ready))
        .route("/-/reload", post(reload))
        .route("/api/v2/status", get(status))
        .route("/api/v2/receivers", get(receivers))
        .route("/api/v2/alerts", get(alerts).post(post_alerts))
        .route("/api/v2/alerts/groups", get(groups))
        .route("/api/v2/silences", get(silences).post(post_silence))
        .route("/api/v2/silence/{id}", get(silence).delete(delete_silence))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .with_state(slot)
}

/// A refusal.
pub(crate) enum Refusal {
    /// A JSON text.
    Text(StatusCode, String),
    /// `{"code", "message"}`
    Coded(StatusCode, u16, String),
}

impl Refusal {
    fn bad(message: impl ToString) -> Self {
        Self::Text(StatusCode::BAD_REQUEST, message.to_string())
    }

    fn body(what: &str, reason: &dyn std::fmt::Display) -> Self {
        let message = format!("parsing {what} body from \"\" failed, because {reason}");
        Self::Coded(StatusCode::BAD_REQUEST, 400, message)
    }

    fn required(what: &str) -> Self {
        Self::Coded(StatusCode::UNPROCESSABLE_ENTITY, 602, format!("{what} in body is required"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Text(status, text) => (status, axum::Json(text)).into_response(),
            Self::Coded(status, code, message) => {
                (status, axum::Json(json!({ "code": code, "message": message }))).into_response()
            }
        }
    }
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        let status = match &error {
            ServiceError::Silence(SilenceError::NotFound) => StatusCode::NOT_FOUND,
            ServiceError::Silence(_) => StatusCode::BAD_REQUEST,
            ServiceError::NotLeading(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::Text(status, error.to_string())
    }
}

/// The service, for a handler.
struct Service(AlertService);

impl FromRequestParts<Slot> for Service {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, slot: &Slot) -> Result<Self, Refusal> {
        let state = Serving::from_request_parts(parts, slot)
            .await
            .map_err(|error| Refusal::Text(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        let alerts = state
            .0
            .alerts
            .map_err(|reason| Refusal::Text(StatusCode::SERVICE_UNAVAILABLE, reason.to_string()))?;
        Ok(Self(alerts.service))
    }
}

async fn nothing(uri: Uri) -> Refusal {
    Refusal::Coded(StatusCode::NOT_FOUND, 404, format!("path {} was not found", uri.path()))
}

async fn wrong_method(method: axum::http::Method) -> Refusal {
    Refusal::Coded(StatusCode::METHOD_NOT_ALLOWED, 405, format!("method {method} is not allowed"))
}

async fn ready(_: Service) -> &'static str {
    "OK"
}

async fn reload(Service(service): Service) -> Result<StatusCode, Response> {
    let failed = |error: ServiceError| {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {error}\n")).into_response()
    };
    service.reload().await.map_err(failed)?;
    Ok(StatusCode::OK)
}

async fn status(Service(service): Service) -> axum::Json<Value> {
    let config = service.look().config().clone();
    axum::Json(wire::status_body(&config, service.started()))
}

async fn receivers(Service(service): Service) -> axum::Json<Vec<Value>> {
    let config = service.look().config().clone();
    axum::Json(config.receivers.keys().map(|name| json!({ "name": name })).collect())
}

/// What a list is narrowed by.
struct Filter {
    matchers: Vec<Matcher>,
    receiver: Option<Matcher>,
    flags: BTreeMap<String, String>,
}

impl Filter {
    fn read(query: Option<&str>) -> Result<Self, Refusal> {
        let mut filter = Self { matchers: Vec::new(), receiver: None, flags: BTreeMap::new() };
        for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*key {
                "filter" if filter.matchers.len() < MOST_FILTERS => {
                    filter.matchers.push(parse_matcher(&value).map_err(|error| Refusal::bad(error))?);
                }
                "filter" => return Err(Refusal::bad(format!("more than {MOST_FILTERS} filters"))),
                "receiver" => {
                    let pattern = Matcher::new(
                        "receiver",
                        backlot_alerts::matcher::Operator::Matches,
                        value.into_owned(),
                    );
                    let pattern = pattern
                        .map_err(|error| Refusal::bad(format!("failed to parse receiver param: {error}")))?;
                    filter.receiver = Some(pattern);
                }
                _ => {
                    filter.flags.insert(key.into_owned(), value.into_owned());
                }
            }
        }
        Ok(filter)
    }

    /// A flag that is not given is true, as in the API; what is no boolean is false, as in Alertmanager.
    fn wants(&self, flag: &str) -> bool {
        self.flags.get(flag).is_none_or(|text| matches!(text.as_str(), "true" | "1" | "yes" | "on" | "t"))
    }

    fn takes_receiver(&self, name: &str) -> bool {
        self.receiver.as_ref().is_none_or(|pattern| pattern.accepts(name))
    }

    /// The alert as it is shown, if it is.
    fn show(
        &self,
        engine: &Engine,
        alert: &Alert,
        receivers: &[String],
        muted_by: &[String],
        now: Timestamp,
    ) -> Option<Value> {
        if alert.is_resolved(now) || !self.matchers.iter().all(|matcher| matcher.filters(&alert.labels)) {
            return None;
        }
        let state = engine.state(&alert.labels, now);
        let is_shown = (self.wants("active") || state.name() != "active")
            && (self.wants("silenced") || state.silenced_by.is_empty())
            && (self.wants("inhibited") || state.inhibited_by.is_none())
            && (self.wants("muted") || muted_by.is_empty());
        is_shown.then(|| wire::alert(alert, receivers, &state, muted_by))
    }
}

async fn alerts(Service(service): Service, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let filter = Filter::read(query.as_deref())?;
    let shown = blocking(move || {
        let (engine, now) = (service.look(), service.now());
        let mut all: Vec<&Alert> = engine.alerts().collect();
        all.sort_by_cached_key(|alert| alert.fingerprint());
        all.into_iter()
            .filter_map(|alert| {
                let receivers = engine.receivers(&alert.labels);
                if !receivers.iter().any(|name| filter.takes_receiver(name)) {
                    return None;
                }
                filter.show(&engine, alert, &receivers, &[], now)
            })
            .collect::<Vec<Value>>()
    })
    .await?;
    Ok(axum::Json(shown).into_response())
}

async fn groups(Service(service): Service, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let filter = Filter::read(query.as_deref())?;
    let shown = blocking(move || {
        let (engine, now) = (service.look(), service.now());
        engine
            .groups(now)
            .into_iter()
            .filter(|group| filter.takes_receiver(&group.receiver))
            .filter_map(|group| {
                let show = |alert: &Alert| {
                    let receivers = engine.receivers(&alert.labels);
                    filter.show(&engine, alert, &receivers, &group.muted_by, now)
                };
                let alerts: Vec<Value> = group.alerts.iter().filter_map(show).collect();
                (!alerts.is_empty()).then(|| wire::group(&group, alerts))
            })
            .collect::<Vec<Value>>()
    })
    .await?;
    Ok(axum::Json(shown).into_response())
}

/// Long lists are made beside the server's own threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let failed =
        |error: tokio::task::JoinError| Refusal::Text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind =
        headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("application/json");
    if kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let message = format!("unsupported media type {kind:?}, only [application/json] are allowed");
    Err(Refusal::Coded(StatusCode::UNSUPPORTED_MEDIA_TYPE, 415, message))
}

async fn post_alerts(
    Service(service): Service,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    is_json(&headers)?;
    if body.is_empty() {
        return Err(Refusal::required("alerts"));
    }
    let posted: Vec<Value> =
        serde_json::from_slice(&body).map_err(|error| Refusal::body("alerts", &error))?;
    if posted.len() > MOST_POSTED {
        return Err(Refusal::bad(format!("more than {MOST_POSTED} alerts at once; send less")));
    }
    let mut alerts: Vec<Posted> = Vec::with_capacity(posted.len());
    for (position, alert) in posted.into_iter().enumerate() {
        if alert.get("labels").is_none_or(Value::is_null) {
            return Err(Refusal::required(&format!("{position}.labels")));
        }
        let alert: PostedAlert =
            serde_json::from_value(alert).map_err(|error| Refusal::body("alerts", &error))?;
        alerts.push(alert.into());
    }
    let refused = service.change(move |engine, now| engine.put(alerts, now)).await?;
    if refused.is_empty() {
        return Ok(StatusCode::OK);
    }
    let status = match &refused[0] {
        AlertError::TooMany(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    let texts: Vec<String> = refused.iter().take(20).map(ToString::to_string).collect();
    Err(Refusal::Text(status, texts.join("; ")))
}

async fn silences(
    Service(service): Service,
    RawQuery(query): RawQuery,
) -> Result<axum::Json<Vec<Value>>, Refusal> {
    let filter = Filter::read(query.as_deref())?;
    let (engine, now) = (service.look(), service.now());
    // A filter is about the values that a silence's own matchers have.
    let fits = |matchers: &[Matcher]| {
        filter.matchers.iter().all(|wanted| {
            matchers.iter().any(|own| own.name() == wanted.name() && wanted.accepts(own.value()))
                || (!wanted.operator().is_equal() && matchers.iter().all(|own| own.name() != wanted.name()))
        })
    };
    let all = engine.silences().iter_by_state(now);
    Ok(axum::Json(
        all.into_iter().filter(|one| fits(&one.matchers)).map(|one| wire::silence(one, now)).collect(),
    ))
}

async fn post_silence(
    Service(service): Service,
    headers: HeaderMap,
    body: Bytes,
) -> Result<axum::Json<Value>, Refusal> {
    is_json(&headers)?;
    if body.is_empty() {
        return Err(Refusal::required("silence"));
    }
    let value: Value = serde_json::from_slice(&body).map_err(|error| Refusal::body("silence", &error))?;
    // The patterns are checked by the API, the form by what is generated from its specification.
    for field in ["comment", "createdBy", "endsAt", "matchers", "startsAt"] {
        if value.get(field).is_none_or(Value::is_null) {
            return Err(Refusal::required(field));
        }
    }
    if value["matchers"].as_array().is_some_and(Vec::is_empty) {
        let message = "matchers in body should have at least 1 items".to_owned();
        return Err(Refusal::Coded(StatusCode::UNPROCESSABLE_ENTITY, 612, message));
    }
    let posted: PostedSilence = serde_json::from_value(value).map_err(|error| {
        let text = error.to_string();
        if text.contains("regular expression") {
            Refusal::bad(format!("silence invalid: {text}"))
        } else {
            Refusal::body("silence", &text)
        }
    })?;
    let silence = posted.into_silence(service.now()).map_err(Refusal::required)?;
    if silence.ends_at < silence.starts_at {
        return Err(Refusal::bad("Failed to create silence: start time must be before end time"));
    }
    if silence.ends_at <= service.now() {
        return Err(Refusal::bad("Failed to create silence: end time can't be in the past"));
    }
    let id = service
        .change(move |engine, now| match engine.set_silence(silence, random_id(), now) {
            Ok((changes, id)) => (changes, Ok(id)),
            Err(error) => (Default::default(), Err(error)),
        })
        .await?
        .map_err(|error| Refusal::from(ServiceError::Silence(error)))?;
    Ok(axum::Json(json!({ "silenceID": id })))
}

fn uuid(id: &str) -> Result<(), Refusal> {
    let parts: Vec<&str> = id.split('-').collect();
    let is_one = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_one {
        return Ok(());
    }
    let shown: String = id.chars().take(100).collect();
    let message = format!("silenceID in path must be of type uuid: {shown:?}");
    Err(Refusal::Coded(StatusCode::UNPROCESSABLE_ENTITY, 601, message))
}

async fn silence(Service(service): Service, Path(id): Path<String>) -> Result<Response, Refusal> {
    uuid(&id)?;
    let (engine, now) = (service.look(), service.now());
    Ok(match engine.silences().get(&id) {
        Some(silence) => axum::Json(wire::silence(silence, now)).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

async fn delete_silence(Service(service): Service, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    uuid(&id)?;
    let expired = service
        .change(move |engine, now| match engine.expire_silence(&id, now) {
            Ok(changes) => (changes, Ok(())),
            Err(error) => (Default::default(), Err(error)),
        })
        .await?;
    match expired {
        // One that is over already is as its caller wants it.
        Ok(()) | Err(SilenceError::Expired(_)) => Ok(StatusCode::OK),
        Err(error) => Err(ServiceError::Silence(error).into()),
    }
}
