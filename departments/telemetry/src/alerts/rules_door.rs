//! Our own JSON: rules, and why an alert was told or was not.

use axum::Router;
use axum::extract::{FromRequestParts, RawQuery};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::get;
use backlot_alerts::stamp;
use backlot_web::extract::{Json, Path};
use backlot_web::{ApiError, Caller};
use serde_json::{Value, json};

use super::rules::{MOST_RULES, Rule, RuleSpec};
use super::start::Alerting;
use super::{ServiceError, random_id};
use crate::atlas_door::Parameters;
use crate::state::{Serving, Slot};

/// Most rules of one page of the list.
const PAGE: usize = 1000;

/// Most rules of one request.
const MOST_AT_ONCE: usize = 10_000;

/// Decisions shown about one alert.
const MOST_SHOWN: usize = 100;

pub(crate) fn routes(slot: Slot) -> Router {
    Router::new()
        .route("/api/v1/rules", get(list).post(create))
        .route("/api/v1/rules/{id}", get(one).put(change).delete(remove))
        .route("/api/v1/alerts/{fingerprint}", get(why))
        .with_state(slot)
}

/// The alerts of this server, for a handler.
pub(crate) struct Alerts(pub(crate) Alerting);

impl FromRequestParts<Slot> for Alerts {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, slot: &Slot) -> Result<Self, ApiError> {
        let state = Serving::from_request_parts(parts, slot).await?.0;
        state.alerts.map(Self).map_err(|reason| {
            ApiError::unavailable(reason.to_string(), "ask the server that decides about alerts")
        })
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::NotLeading(_) => Self::unavailable(error.to_string(), "ask that server"),
            ServiceError::Silence(_) => Self::bad_request(error.to_string(), "correct the silence"),
            error => Self::internal(&error),
        }
    }
}

fn shown(rule: &Rule, counts: Option<&(usize, usize)>, error: Option<String>) -> Value {
    let mut value = json!(rule);
    value["firing"] = json!(counts.map_or(0, |counts| counts.0));
    value["holding"] = json!(counts.map_or(0, |counts| counts.1));
    value["error"] = json!(error);
    value
}

async fn list(Alerts(alerting): Alerts, RawQuery(query): RawQuery) -> axum::Json<Value> {
    let parameters = Parameters::read(query.as_deref());
    let after = parameters.get("after").unwrap_or_default();
    let limit = parameters.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).clamp(1, PAGE);
    let mut rules: Vec<Rule> = alerting.rules().values().cloned().collect();
    rules.sort_by(|left, right| left.id.cmp(&right.id));
    let page: Vec<Rule> = rules.into_iter().filter(|rule| rule.id.as_str() > after).take(limit).collect();
    let counts = alerting.counts(page.iter().map(|rule| rule.id.clone()).collect()).await;
    let next = (page.len() == limit).then(|| page.last().map(|rule| rule.id.clone())).flatten();
    let progress = alerting.progress();
    let rules: Vec<Value> =
        page.iter().map(|rule| shown(rule, counts.get(&rule.id), alerting.error_of(&rule.id))).collect();
    axum::Json(json!({
        "rules": rules,
        "next": next,
        "evaluation": {
            "closed": progress.closed,
            "took_ms": progress.took.as_secs_f64() * 1000.0,
            "rules": progress.rules,
            "series": progress.series,
            "late": progress.late,
            "refused": progress.refused,
            "dropped": alerting.feed.dropped(),
            "errors": progress.errors,
        },
    }))
}

fn unknown(id: &str) -> ApiError {
    let id: String = id.chars().take(100).collect();
    ApiError::not_found(format!("there is no rule `{id}`"), "GET /telemetry/api/v1/rules lists them")
}

async fn one(Alerts(alerting): Alerts, Path(id): Path<String>) -> Result<axum::Json<Value>, ApiError> {
    let rule = alerting.rules().get(&id).cloned().ok_or_else(|| unknown(&id))?;
    let counts = alerting.counts(vec![id]).await;
    Ok(axum::Json(shown(&rule, counts.get(&rule.id), alerting.error_of(&rule.id))))
}

/// Keeps a rule that was read.
pub(crate) async fn keep(
    alerting: &Alerting,
    id: String,
    spec: RuleSpec,
    caller: &Caller,
) -> Result<Rule, ApiError> {
    let compiled = spec.compile().map_err(|reason| ApiError::bad_request(reason, "correct the rule"))?;
    let rule = Rule { id, spec, updated_at: alerting.now_millis(), updated_by: caller.name().to_owned() };
    alerting.set_rules(vec![(rule.clone(), compiled)]).await?;
    Ok(rule)
}

async fn create(
    Alerts(alerting): Alerts,
    caller: Caller,
    Json(body): Json<Value>,
) -> Result<(StatusCode, axum::Json<Value>), ApiError> {
    let slip = |reason: String| ApiError::bad_request(reason, "correct the rule; none was kept");
    let (specs, is_list) = match body {
        Value::Array(specs) => (specs, true),
        one => (vec![one], false),
    };
    if specs.len() > MOST_AT_ONCE || alerting.rules().len() + specs.len() > MOST_RULES {
        let what = format!("at most {MOST_AT_ONCE} rules are taken at once, and {MOST_RULES} in all");
        return Err(ApiError::conflict(what, "send fewer, or delete some"));
    }
    let (updated_at, updated_by) = (alerting.now_millis(), caller.name().to_owned());
    let read = move || {
        let one = |(position, spec): (usize, Value)| {
            let at = |reason: String| if is_list { format!("rule {position}: {reason}") } else { reason };
            let spec: RuleSpec = serde_json::from_value(spec).map_err(|error| at(error.to_string()))?;
            let compiled = spec.compile().map_err(at)?;
            Ok((Rule { id: random_id(), spec, updated_at, updated_by: updated_by.clone() }, compiled))
        };
        specs.into_iter().enumerate().map(one).collect::<Result<Vec<_>, String>>()
    };
    // Ten thousand expressions take a moment.
    let rules =
        tokio::task::spawn_blocking(read).await.map_err(|error| ApiError::internal(&error))?.map_err(slip)?;
    let answer: Vec<Value> = rules.iter().map(|(rule, _)| shown(rule, None, None)).collect();
    alerting.set_rules(rules).await?;
    let answer = match answer {
        mut one if !is_list => one.pop().unwrap_or_default(),
        list => Value::Array(list),
    };
    Ok((StatusCode::CREATED, axum::Json(answer)))
}

async fn change(
    Alerts(alerting): Alerts,
    caller: Caller,
    Path(id): Path<String>,
    Json(spec): Json<RuleSpec>,
) -> Result<axum::Json<Value>, ApiError> {
    if !alerting.rules().contains_key(&id) {
        return Err(unknown(&id));
    }
    let rule = keep(&alerting, id, spec, &caller).await?;
    Ok(axum::Json(shown(&rule, None, None)))
}

async fn remove(Alerts(alerting): Alerts, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    if alerting.remove_rule(id.clone()).await? { Ok(StatusCode::NO_CONTENT) } else { Err(unknown(&id)) }
}

async fn why(
    Alerts(alerting): Alerts,
    Path(fingerprint): Path<String>,
) -> Result<axum::Json<Value>, ApiError> {
    let shown: String = fingerprint.chars().take(100).collect();
    let no_alert = || {
        ApiError::not_found(
            format!("there is no alert `{shown}`"),
            "its fingerprint is in /alertmanager/api/v2/alerts",
        )
    };
    let fingerprint = fingerprint.parse().map_err(|_| no_alert())?;
    let service = &alerting.service;
    let explained = service.look().explain(fingerprint, service.now()).ok_or_else(no_alert)?;
    let decisions = service.decisions(Some(fingerprint), MOST_SHOWN).await?;
    let state = if explained.resolved { "resolved" } else { explained.state.name() };
    Ok(axum::Json(json!({
        "fingerprint": fingerprint,
        "labels": explained.alert.labels,
        "annotations": explained.alert.annotations,
        "starts_at": stamp::api(explained.alert.starts_at),
        "ends_at": explained.resolved.then(|| stamp::api(explained.alert.ends_at)),
        "state": state,
        "silenced_by": explained.state.silenced_by,
        "inhibited_by": explained.state.inhibited_by,
        "rule": explained.alert.origin.as_ref().map(|origin| &origin.rule),
        "expression": explained.alert.origin.as_ref().map(|origin| &origin.expression),
        "routes": explained.routes,
        "decisions": decisions,
    })))
}
