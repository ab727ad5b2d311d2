//! Explanations in the console: a view of the runs that made them and of the alerts that asked for them, and a form to ask.
//!
//! What a person in an incident needs stands first: what changed first and when, in one line; then the picture, which is the ranked timeline at a glance, the ranking, the timeline, and what moved together.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use backlot_series::Source;
use backlot_web::ApiError;
use backlot_web::console::widgets::{self, Table, path_segment};
use backlot_web::console::{self, Frame, Status, format};
use backlot_web::extract::{Form, Path, Query};
use backlot_work::{RunFilter, RunStatus, Span};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use crate::alerts::{self, Firing, State as FiringState};
use crate::department::DOOR;
use crate::door::{Desk, refuse_work};
use crate::explanation::Group;
use crate::kinds::RUN_NAME;
use crate::live::LiveAsked;
use crate::text;
use crate::{Entry, Explanation};

/// Explanations on one page of the list.
const PAGE: u32 = 50;

/// How often the page of an explanation in the making is fetched again.
const REFRESH: Duration = Duration::from_secs(1);

/// An explanation read back: the timeline of a thousand signals is a few megabytes.
const MOST_EXPLANATION_BYTES: u64 = 256 << 20;

/// Rows of the ranking on the page: what a person reads in an incident; the rest is in the JSON.
const ROWS: usize = 25;

/// Lines of the timeline.
const TIMELINE: usize = 60;

/// Groups on the page.
const GROUPS: usize = 20;

/// Alerts without an explanation are shown for a day.
const RECENT: Duration = Duration::from_secs(86_400);

pub(crate) fn routes(desk: Desk) -> Router {
    Router::new()
        .route("/", get(list_page))
        .route("/new", get(form_page).post(ask))
        .route("/{run}", get(explanation_page))
        .with_state(desk)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Shift {
    before: String,
}

async fn list_page(
    State(desk): State<Desk>,
    frame: Frame,
    query: Query<Shift>,
) -> Result<Response, ApiError> {
    let before = (!query.0.before.is_empty()).then(|| query.0.before.clone());
    let filter = RunFilter { name: Some(RUN_NAME.to_owned()), before, limit: PAGE, ..RunFilter::default() };
    let house = &desk.house;
    let runs = house.work.runs(filter).await.map_err(|error| refuse_work(&error))?;
    let now = house.ledger.now();
    let since = now.checked_sub(RECENT).unwrap_or(now);
    let missed = house.ledger.read(move |tx| alerts::refused_since(tx, since)).await;
    let missed = missed.map_err(|error| ApiError::internal(&error))?;
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
            (widgets::empty("No alert explained yet", html! { "Ask with the button above, or with " code { "backlot signals explain" } "; with " code { "candidates" } " in the section " code { "[signals]" } " of the configuration every alert that fires is explained" }))
        } @else {
            (table.render())
        }
        @if let Some(last) = runs.last().filter(|_| runs.len() == PAGE as usize) {
            (widgets::pager(None, Some(&widgets::link("/signals", &[("before", &last.id)])), ""))
        }
        @if !missed.is_empty() { (widgets::section("Alerts of the last day without an explanation", missed_alerts(&missed))) }
    };
    let frame =
        frame.actions(html! { div.actions { a.button.primary href="/signals/new" { "Explain an alert" } } });
    Ok(console::page(&frame, "Signals", body).into_response())
}

fn missed_alerts(missed: &[Firing]) -> Markup {
    let mut table = Table::new(["Alert", "Fired", "State", "Why"]);
    for firing in missed {
        let state = if firing.state == FiringState::Failed { "failed" } else { "skipped" };
        table.push([
            html! { (firing.name) },
            html! { (firing.starts_at) },
            widgets::chip(&Status::from_name(state)),
            html! { (firing.outcome.as_deref().unwrap_or("–")) },
        ]);
    }
    table.render()
}

fn alert_of(run: &RunStatus) -> String {
    run.params.get("asked").and_then(|asked| asked["alert"].as_str()).unwrap_or(&run.name).to_owned()
}

/// What the form sends; empty fields are as if not there.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default)]
struct Fields {
    alert: String,
    candidates: String,
    at: String,
    before: String,
    after: String,
    step: String,
    history: String,
    season: String,
}

impl Fields {
    fn asked(&self) -> Result<LiveAsked, String> {
        let text = |field: &String| Some(field.trim().to_owned()).filter(|field| !field.is_empty());
        let span = |name: &str, field: &String| {
            text(field)
                .map(|text| text.parse::<Span>().map_err(|error| format!("{name}: {error}")))
                .transpose()
        };
        Ok(LiveAsked {
            alert: self.alert.trim().to_owned(),
            candidates: self.candidates.trim().to_owned(),
            at: text(&self.at),
            before: span("before", &self.before)?,
            after: span("after", &self.after)?,
            step: span("step", &self.step)?,
            history: span("history", &self.history)?,
            season: span("season", &self.season)?,
            ..LiveAsked::default()
        })
    }
}

async fn form_page(State(desk): State<Desk>, frame: Frame, fields: Query<Fields>) -> Markup {
    form(&desk, frame, &fields.0, None)
}

async fn ask(State(desk): State<Desk>, frame: Frame, fields: Form<Fields>) -> Response {
    let asked = match fields.0.asked() {
        Ok(asked) => desk.explain_live(&asked).await.map_err(|error| (error.status, error.to_string())),
        Err(reason) => Err((StatusCode::UNPROCESSABLE_ENTITY, format!("{reason}; write for example 90m"))),
    };
    match asked {
        Ok(run) => Redirect::to(&format!("/signals/{run}")).into_response(),
        Err((status, reason)) => (status, form(&desk, frame, &fields.0, Some(&reason))).into_response(),
    }
}

fn form(desk: &Desk, frame: Frame, fields: &Fields, wrong: Option<&str>) -> Markup {
    let language = desk.house.services().get::<dyn Source>().map_or("none", |source| source.language());
    let field = |label: &str, name: &str, value: &str, placeholder: &str| {
        html! { label { (label) input name=(name) value=(value) placeholder=(placeholder) spellcheck="false"; } }
    };
    let body = html! {
        @if let Some(wrong) = wrong { p.alert role="alert" { (wrong) } }
        form method="post" action="/signals/new" {
            p { label for="alert" { "The alert's signal" } }
            p { input #alert name="alert" value=(fields.alert) required size="90" spellcheck="false" placeholder="name,playback.errors,:eq,:sum"; }
            p { label for="candidates" { "Signals that may explain it" } }
            p { textarea #candidates name="candidates" required rows="3" cols="90" spellcheck="false" placeholder="nf.app,www,:eq,:all" { (fields.candidates) } }
            div.actions {
                (field("Fired at", "at", &fields.at, "now"))
                (field("Causes before it", "before", &fields.before, "1h"))
                (field("and after", "after", &fields.after, "30m"))
                (field("Step", "step", &fields.step, "1m"))
                (field("History", "history", &fields.history, "3d"))
                (field("Season", "season", &fields.season, "1d"))
            }
            p { button.button.primary type="submit" { "Explain" } }
        }
        p.note { "Queries are written in the language of the house's metrics (" (language) "); try them at " a href="/metrics" { "Metrics" } ". A table is explained by " code { "backlot signals explain TABLE --alert SIGNAL" } "." }
    };
    console::page(&frame.crumb("Signals", "/signals"), "Explain an alert", body)
}

async fn explanation_page(
    State(desk): State<Desk>,
    frame: Frame,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let house = &desk.house;
    let run = house.work.run(&id).await.map_err(|error| refuse_work(&error))?;
    if run.id != id {
        return Ok(Redirect::to(&format!("/signals/{}", run.id)).into_response());
    }
    let explanation = match desk.form(&run.id, "explanation").await? {
        Some(blob) => {
            let bytes = house.store.get(&blob.digest, MOST_EXPLANATION_BYTES).await;
            let bytes = bytes.map_err(|error| ApiError::internal(&error))?;
            Some(serde_json::from_slice::<Explanation>(&bytes).map_err(|error| ApiError::internal(&error))?)
        }
        None => None,
    };
    let asker = run.id.clone();
    let firings = house.ledger.read(move |tx| alerts::firings_of(tx, &asker)).await;
    let firings = firings.map_err(|error| ApiError::internal(&error))?;
    let body = html! {
        @if let Some(error) = &run.error { p.alert role="alert" { (error) } }
        @if let Some(explanation) = &explanation { (explained(&run.id, explanation)) }
        @else if !run.state.is_final() { p.note { "Looking at " (run.tasks.succeeded) " of " (run.tasks.total) " parts" } }
        @if !firings.is_empty() { (widgets::section("Alerts that it explains", fired(&firings))) }
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

fn fired(firings: &[Firing]) -> Markup {
    let mut table = Table::new(["Alert", "Labels", "Fired"]);
    for firing in firings {
        let labels = firing.labels.as_object().into_iter().flatten();
        let labels: Vec<String> =
            labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
        table.push([html! { (firing.name) }, html! { (labels.join(", ")) }, html! { (firing.starts_at) }]);
    }
    table.render()
}

fn explained(run: &str, explanation: &Explanation) -> Markup {
    let files = format!("{DOOR}/explanations/{}/files", path_segment(run));
    let found = &explanation.timeline;
    let incident = explanation.incident();
    html! {
        p.lead { (text::in_one_line(explanation)) }
        @if found.is_empty() {
            (widgets::empty("Nothing changed around this alert", html! { "Look at a longer time before it, or at other signals" }))
        } @else {
            figure.chart {
                picture {
                    source media="(prefers-color-scheme: dark) and (max-width: 700px)" srcset={ (files) "/figure_small_dark" };
                    source media="(max-width: 700px)" srcset={ (files) "/figure_small" };
                    source media="(prefers-color-scheme: dark)" srcset={ (files) "/figure_dark" };
                    img src={ (files) "/figure_light" } width="1100" height="620" alt="The signals that changed around the alert, each in units of its noise, with the time of its change";
                }
            }
            (widgets::section("Most likely causes first", ranking(found)))
            (widgets::section("Timeline", timeline(explanation, &incident)))
            (widgets::section("What moved together", groups(&explanation.clusters)))
        }
        (widgets::stats([
            widgets::stat("Alert", &text::clock(&explanation.alert.fired), &text::day(&explanation.alert.fired)),
            widgets::stat("Changed", &format::number(found.len() as u64), &format!("of {} signals tested", explanation.tested)),
            widgets::stat("In this incident", &format::number(incident.len() as u64), &format!("{} groups move together", explanation.clusters.len())),
            widgets::stat("By chance", &format!("{} %", explanation.rate * 100.0), "of them, at most"),
        ]))
        @if !explanation.untested.is_empty() { p.note { (untested(explanation)) } }
        @for note in &explanation.notes { p.note { (note) } }
        p.note { a href={ (DOOR) "/explanations/" (path_segment(run)) } { "Explanation as JSON" } " · " a href={ (files) "/timeline" } { "as text" } }
    }
}

fn ranking(found: &[Entry]) -> Markup {
    let mut table =
        Table::new(["", "Signal", "Changed", "From the alert", "Shift", "Effect", "Moves with it", "Score"])
            .numeric(&[3, 4, 5, 6, 7]);
    for (place, entry) in found.iter().take(ROWS).enumerate() {
        let correlation = entry.correlation.as_ref().filter(|correlation| correlation.p < 0.05);
        table.push([
            html! { (place + 1) },
            html! { (entry.signal) @if entry.first_mover { " " span.chip.good { "first mover" } } },
            html! { span title=(entry.changed) { (text::clock(&entry.changed)) } },
            html! { span title=(format!("group {}", entry.cluster + 1)) { (text::lag(entry)) } },
            html! { (text::percent(entry)) },
            html! { (format!("{:+.1} sd", entry.effect)) },
            html! { @if let Some(correlation) = correlation { (format!("{:+.2}", correlation.r)) " at " (text::signed_span(correlation.lag_seconds)) } @else { "–" } },
            html! { (format!("{:.2}", entry.score)) },
        ]);
    }
    html! {
        (table.render())
        @if found.len() > ROWS { p.note { "The first " (ROWS) " of " (format::number(found.len() as u64)) "; all are in the JSON" } }
    }
}

/// The incident in the order in which it happened, the alert's own change among it.
fn timeline(explanation: &Explanation, incident: &[&Entry]) -> Markup {
    let mut table = Table::new(["When", "What", "Shift", "Group"]).numeric(&[2, 3]);
    let own = || {
        [
            html! { b { (text::clock(explanation.alert.changed.as_ref().unwrap_or(&explanation.alert.fired))) } },
            html! { b { (explanation.alert.signal) } " " span.chip.bad { "the alert" } },
            html! {},
            html! {},
        ]
    };
    let mut is_told = false;
    for entry in incident.iter().take(TIMELINE) {
        if !is_told && entry.lag_seconds > 0.0 {
            table.push(own());
            is_told = true;
        }
        table.push([
            html! { span title=(entry.changed) { (text::clock(&entry.changed)) } },
            html! { (entry.signal) },
            html! { (text::percent(entry)) },
            html! { (entry.cluster + 1) },
        ]);
    }
    if !is_told {
        table.push(own());
    }
    html! {
        (table.render())
        @if incident.len() > TIMELINE { p.note { "… and " (format::number((incident.len() - TIMELINE) as u64)) " more" } }
    }
}

fn groups(clusters: &[Group]) -> Markup {
    let mut table = Table::new(["Group", "Led by", "Signals", "First change", "Among them"]).numeric(&[0, 2]);
    for (place, group) in clusters.iter().enumerate().take(GROUPS) {
        let others: Vec<&str> = group.members.iter().skip(1).take(4).map(String::as_str).collect();
        table.push([
            html! { (place + 1) },
            html! { (group.leader) },
            html! { (format::number(group.members.len() as u64)) },
            html! { (text::clock(&group.first)) },
            html! { @if others.is_empty() { "–" } @else { (others.join(", ")) @if group.members.len() > 5 { " …" } } },
        ]);
    }
    html! {
        (table.render())
        @if clusters.len() > GROUPS { p.note { "The first " (GROUPS) " of " (format::number(clusters.len() as u64)) } }
    }
}

/// How many signals could not be tested, by reason.
fn untested(explanation: &Explanation) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for skipped in &explanation.untested {
        let reason = serde_json::to_value(skipped.reason).ok();
        let reason = reason.as_ref().and_then(|reason| reason.as_str()).unwrap_or("untestable").to_owned();
        *counts.entry(reason).or_insert(0_u64) += 1;
    }
    let parts: Vec<String> =
        counts.iter().map(|(reason, count)| format!("{} {reason}", format::number(*count))).collect();
    format!("Not tested: {}", parts.join(", "))
}

fn moment(at: backlot_ledger::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.micros()).unwrap_or(jiff::Timestamp::MAX)
}
