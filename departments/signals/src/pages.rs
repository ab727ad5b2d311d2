//! Explanations in the console and at the door: a view of the runs that made them.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use backlot_department::{House, Shown, blob_response};
use backlot_web::ApiError;
use backlot_web::console::widgets::{self, Table, path_segment};
use backlot_web::console::{self, Frame, Status, format};
use backlot_web::extract::{Bytes, Path, Query};
use backlot_work::{BlobRef, Error as WorkError, RunFilter, RunStatus, StepState, SubmitOptions};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, json};

use crate::department::DOOR;
use crate::kinds::{RUN_NAME, spec};
use crate::{Asked, Entry, Explanation};

/// Explanations on one page of the list.
const PAGE: u32 = 50;

/// How often the page of an explanation in the making is fetched again.
const REFRESH: Duration = Duration::from_secs(1);

/// A table in the body of a request; larger ones go through the command line.
pub(crate) const MOST_BODY_BYTES: u64 = 512 << 20;

/// An explanation read back: the timeline of a thousand signals is a few megabytes.
const MOST_EXPLANATION_BYTES: u64 = 256 << 20;

/// Rows of the ranking on the page; the rest is in the JSON.
const ROWS: usize = 100;

pub(crate) fn door(house: House) -> Router {
    Router::new()
        .route("/explanations", post(ask))
        .route("/explanations/{run}", get(explanation_json))
        .route("/explanations/{run}/files/{name}", get(file))
        .with_state(house)
}

pub(crate) fn pages(house: House) -> Router {
    Router::new().route("/", get(list_page)).route("/{run}", get(explanation_page)).with_state(house)
}

fn refuse(error: &WorkError) -> ApiError {
    match error {
        WorkError::NoSuchRun(run) => ApiError::not_found(
            format!("there is no explanation `{run}`"),
            "see /signals for those there are",
        ),
        WorkError::AmbiguousRun(run) => {
            ApiError::conflict(format!("`{run}` is the start of several runs' ids"), "give more of it")
        }
        other => ApiError::internal(other),
    }
}

async fn ask(State(house): State<House>, asked: Query<Asked>, csv: Bytes) -> Result<Response, ApiError> {
    if asked.0.alert.is_empty() {
        return Err(ApiError::bad_request("no alert is named", "add `?alert=SIGNAL`"));
    }
    let size = csv.0.len() as u64;
    let blob = house.store.put(csv.0).await.map_err(|error| ApiError::internal(&error))?;
    let csv = BlobRef { digest: blob.digest, size, media_type: "text/csv".to_owned() };
    let params = Map::from_iter([("csv".to_owned(), json!(csv)), ("asked".to_owned(), json!(asked.0))]);
    let options = SubmitOptions { by: "signals".to_owned(), ..SubmitOptions::default() };
    let run = house
        .work
        .submit(spec(), params, options, Some(&house.kinds))
        .await
        .map_err(|error| refuse(&error))?;
    let answer = json!({ "run": run, "explanation": format!("{DOOR}/explanations/{run}"), "page": format!("/signals/{run}") });
    Ok((StatusCode::ACCEPTED, axum::Json(answer)).into_response())
}

/// The blob of a form of the explanation; `None` until it is concluded.
async fn form(house: &House, run: &str, name: &str) -> Result<Option<BlobRef>, ApiError> {
    let steps = house.work.steps(run).await.map_err(|error| refuse(&error))?;
    if !steps.iter().any(|step| step.name == "conclude" && step.state == StepState::Succeeded) {
        return Ok(None);
    }
    let outputs = house.work.outputs(run, "conclude").await.map_err(|error| refuse(&error))?;
    Ok(BlobRef::from_value(&outputs[name]))
}

async fn explanation_json(
    State(house): State<House>,
    Path(run): Path<String>,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    serve(&house, &run, "explanation", &request).await
}

async fn file(
    State(house): State<House>,
    Path((run, name)): Path<(String, String)>,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    serve(&house, &run, &name, &request).await
}

async fn serve(house: &House, run: &str, name: &str, request: &HeaderMap) -> Result<Response, ApiError> {
    let status = house.work.run(run).await.map_err(|error| refuse(&error))?;
    let Some(blob) = form(house, &status.id, name).await? else {
        return Err(if status.state.is_final() {
            let why = status.error.unwrap_or_else(|| format!("the run has no {name}"));
            ApiError::not_found(why, format!("see /runs/{}", status.id))
        } else {
            ApiError::conflict(format!("run {} is still at work", status.id), "ask again in a second")
        });
    };
    blob_response(&house.store, &blob, name, request, Shown::InPlace).await
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Shift {
    before: String,
}

async fn list_page(
    State(house): State<House>,
    frame: Frame,
    query: Query<Shift>,
) -> Result<Response, ApiError> {
    let before = (!query.0.before.is_empty()).then(|| query.0.before.clone());
    let filter = RunFilter { name: Some(RUN_NAME.to_owned()), before, limit: PAGE, ..RunFilter::default() };
    let runs = house.work.runs(filter).await.map_err(|error| refuse(&error))?;
    let now = house.ledger.now();
    let mut table = Table::new(["Alert", "Fired", "State", "Asked"]);
    for run in &runs {
        let at = run.params["asked"]["at"].as_str().unwrap_or("at the table's end").to_owned();
        table.push([
            html! { a href={ "/signals/" (path_segment(&run.id)) } { (alert_of(run)) } },
            html! { (at) },
            widgets::chip(&Status::from_name(run.state.as_str())),
            format::time(moment(run.created), moment(now)),
        ]);
    }
    let body = html! {
        @if table.is_empty() {
            (widgets::empty("No alert explained yet", html! { "Ask with " code { "backlot signals explain TABLE.csv --alert SIGNAL --submit" } }))
        } @else {
            (table.render())
        }
        @if let Some(last) = runs.last().filter(|_| runs.len() == PAGE as usize) {
            (widgets::pager(None, Some(&widgets::link("/signals", &[("before", &last.id)])), ""))
        }
    };
    Ok(console::page(&frame, "Signals", body).into_response())
}

fn alert_of(run: &RunStatus) -> String {
    run.params.get("asked").and_then(|asked| asked["alert"].as_str()).unwrap_or(&run.name).to_owned()
}

async fn explanation_page(
    State(house): State<House>,
    frame: Frame,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let run = house.work.run(&id).await.map_err(|error| refuse(&error))?;
    if run.id != id {
        return Ok(Redirect::to(&format!("/signals/{}", run.id)).into_response());
    }
    let explanation = match form(&house, &run.id, "explanation").await? {
        Some(blob) => {
            let bytes = house.store.get(&blob.digest, MOST_EXPLANATION_BYTES).await;
            let bytes = bytes.map_err(|error| ApiError::internal(&error))?;
            Some(serde_json::from_slice::<Explanation>(&bytes).map_err(|error| ApiError::internal(&error))?)
        }
        None => None,
    };
    let body = html! {
        @if let Some(error) = &run.error { p.alert role="alert" { (error) } }
        @if let Some(explanation) = &explanation { (explained(&run.id, explanation)) }
        @else if !run.state.is_final() { p.note { "Looking at " (run.tasks.succeeded) " of " (run.tasks.total) " parts" } }
    };
    let content = if run.state.is_final() {
        widgets::settled("explanation", body)
    } else {
        widgets::live("explanation", REFRESH, body)
    };
    let frame = frame.crumb("Signals", "/signals").wide().actions(html! {
        div.actions {
            (widgets::chip(&Status::from_name(run.state.as_str())))
            a.button href={ "/runs/" (run.id) } { "Run" }
        }
    });
    Ok(console::page(&frame, &alert_of(&run), content).into_response())
}

fn explained(run: &str, explanation: &Explanation) -> Markup {
    let files = format!("{DOOR}/explanations/{}/files", path_segment(run));
    let found = &explanation.timeline;
    let incident = found.iter().filter(|entry| entry.in_incident).count();
    html! {
        (widgets::stats([
            widgets::stat("Alert", &explanation.alert.fired, &explanation.alert.signal),
            widgets::stat("Changed", &format::number(found.len() as u64), &format!("of {} signals tested", explanation.tested)),
            widgets::stat("In this incident", &format::number(incident as u64), &format!("{} groups move together", explanation.clusters.len())),
            widgets::stat("By chance", &format!("{} %", explanation.rate * 100.0), "of them, at most"),
        ]))
        @if found.is_empty() {
            (widgets::empty("Nothing changed around this alert", html! { "Widen the window with --before" }))
        } @else {
            figure.chart {
                picture {
                    source media="(prefers-color-scheme: dark)" srcset={ (files) "/figure_dark" };
                    img src={ (files) "/figure_light" } width="1100" height="620" alt="The signals that changed around the alert, each in units of its noise, with the time of its change";
                }
            }
            (widgets::section("Most likely causes first", ranking(found)))
        }
        @for note in &explanation.notes { p.note { (note) } }
        p.note { a href={ (DOOR) "/explanations/" (path_segment(run)) } { "Explanation as JSON" } " · " a href={ (files) "/timeline" } { "as text" } }
    }
}

fn ranking(found: &[Entry]) -> Markup {
    let mut table = Table::new([
        "",
        "Signal",
        "Changed",
        "After the alert's change",
        "Shift",
        "Effect",
        "Correlation",
        "Group",
        "Score",
    ])
    .numeric(&[3, 4, 5, 6, 7, 8]);
    for (place, entry) in found.iter().take(ROWS).enumerate() {
        let half = (entry.lag_interval_seconds.1 - entry.lag_interval_seconds.0) / 2.0;
        let correlation = entry.correlation.as_ref().filter(|correlation| correlation.p < 0.05);
        table.push([
            html! { (place + 1) },
            html! { (entry.signal) @if entry.first_mover { " " span.note { "first mover" } } },
            html! { (entry.changed) },
            html! { (format!("{:+.0} s ±{half:.0}", entry.lag_seconds)) },
            html! { @if let Some(percent) = entry.change_percent { (format!("{percent:+.1} %")) } @else { "from 0" } },
            html! { (format!("{:+.1} sd", entry.effect)) },
            html! { @if let Some(correlation) = correlation { (format!("{:+.2} at {:+.0} s", correlation.r, correlation.lag_seconds)) } @else { "–" } },
            html! { (entry.cluster + 1) },
            html! { (format!("{:.2}", entry.score)) },
        ]);
    }
    table.render()
}

fn moment(at: backlot_ledger::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.micros()).unwrap_or(jiff::Timestamp::MAX)
}
