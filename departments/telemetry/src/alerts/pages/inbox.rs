//! The inbox, and the silences.

use axum::extract::{Path, RawQuery};
use axum::response::Redirect;
use backlot_alerts::engine::AlertState;
use backlot_alerts::matcher::{MatchersText, parse_matchers};
use backlot_alerts::{Alert, Silence, SilenceState};
use backlot_web::console::widgets::{self, Action, Table, Weight};
use backlot_web::console::{self, Frame, Status, format};
use backlot_web::extract::Form;
use backlot_web::{ApiError, Caller};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use serde::Deserialize;

use super::tabs;
use crate::alerts::random_id;
use crate::alerts::rules_door::Alerts;
use crate::atlas_door::Parameters;

/// Alerts on one page; whoever has more narrows them.
const MOST_ROWS: usize = 200;

/// Longest silence by the form: ten years.
const LONGEST_SILENCE: i64 = 10 * 365 * 86_400_000;

/// Alerts of a view.
struct Shown {
    rows: Vec<(Alert, AlertState)>,
    counts: [u64; 3],
    matching: usize,
}

fn collect(alerting: &crate::alerts::Alerting, view: &str, matchers: &[backlot_alerts::Matcher]) -> Shown {
    let (engine, now) = (alerting.service.look(), alerting.service.now());
    let mut shown = Shown { rows: Vec::new(), counts: [0; 3], matching: 0 };
    for alert in engine.alerts() {
        let is_over = alert.is_resolved(now);
        let state = if is_over { AlertState::default() } else { engine.state(&alert.labels, now) };
        let of = match (is_over, state.name()) {
            (true, _) => 2,
            (false, "suppressed") => 1,
            _ => 0,
        };
        shown.counts[of] += 1;
        let wanted = ["firing", "suppressed", "resolved"][of] == view;
        if wanted && matchers.iter().all(|matcher| matcher.matches(&alert.labels)) {
            shown.rows.push((alert.clone(), state));
        }
    }
    shown.matching = shown.rows.len();
    // The latest first: that is what somebody who was woken looks for.
    shown.rows.sort_by(|(left, _), (right, _)| {
        let when = |alert: &Alert| if view == "resolved" { alert.ends_at } else { alert.starts_at };
        when(right).cmp(&when(left)).then_with(|| left.labels.cmp(&right.labels))
    });
    shown.rows.truncate(MOST_ROWS);
    shown
}

/// An instant for the console.
pub(super) fn time(instant: Timestamp, now: Timestamp) -> Markup {
    format::time(instant, now)
}

/// Labels as small boxes, without the name.
pub(super) fn labels(alert: &Alert) -> Markup {
    html! {
        @for (name, value) in alert.labels.iter().filter(|(name, _)| *name != "alertname") {
            code { (name) "=" (value) } " "
        }
    }
}

fn reason(state: &AlertState) -> Markup {
    html! {
        @if let Some(source) = state.inhibited_by { "inhibited by " a href={ "/alerts/alert/" (source) } { "another alert" } " " }
        @if !state.silenced_by.is_empty() { "silenced" }
    }
}

pub(super) async fn page(
    Alerts(alerting): Alerts,
    frame: Frame,
    RawQuery(query): RawQuery,
) -> Result<Markup, ApiError> {
    let parameters = Parameters::read(query.as_deref());
    let view =
        parameters.get("view").filter(|view| matches!(*view, "suppressed" | "resolved")).unwrap_or("firing");
    let text = parameters.get("q").unwrap_or_default();
    let (matchers, slip) = match parse_matchers(text) {
        Ok(matchers) => (matchers, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let (own, of) = (alerting.clone(), view.to_owned());
    let shown = tokio::task::spawn_blocking(move || collect(&own, &of, &matchers))
        .await
        .map_err(|error| ApiError::internal(&error))?;
    let now = alerting.service.now();
    let title = match view {
        "suppressed" => "Suppressed",
        "resolved" => "Resolved",
        _ => "Firing",
    };
    let since = if view == "resolved" { "Ended" } else { "Since" };
    let mut table = Table::new(["Alert", "Labels", since, "What it says", "More"]);
    for (alert, state) in &shown.rows {
        let path = format!("/alerts/alert/{}", alert.fingerprint());
        let name = if alert.name().is_empty() { "(no name)" } else { alert.name() };
        let summary = alert
            .annotations
            .iter()
            .find(|(name, _)| *name == "summary")
            .or_else(|| alert.annotations.iter().next());
        table.push([
            html! { a href=(path) { strong { (name) } } },
            labels(alert),
            time(if view == "resolved" { alert.ends_at } else { alert.starts_at }, now),
            html! { (reason(state)) @if let Some((_, text)) = summary { (text) } },
            html! { a.button href=(path) { "Why" } },
        ]);
    }
    let body = html! {
        (tabs(title, Some(shown.counts)))
        form.bar method="get" action="/alerts" {
            @if view != "firing" { input type="hidden" name="view" value=(view); }
            label { "Matchers" input name="q" value=(text) size="50" placeholder="severity=\"page\", host=~\"a.*\""; }
            button.button type="submit" { "Narrow" }
        }
        @if let Some(slip) = slip { p.alert role="alert" { (slip) } }
        @if table.is_empty() {
            (widgets::empty(&format!("No alert is {}", title.to_lowercase()), html! {
                "They come from " a href="/alerts/rules" { "rules" } ", and from whoever sends them to " code { "/alertmanager" }
            }))
        } @else {
            (table.render())
            @if shown.matching > shown.rows.len() { p.note { "The latest " (shown.rows.len()) " of " (format::number(shown.matching as u64)) } }
        }
    };
    let body = widgets::live("inbox", std::time::Duration::from_secs(10), body);
    Ok(console::page(&frame.wide(), "Alerts", body))
}

pub(super) async fn silences(Alerts(alerting): Alerts, frame: Frame) -> Markup {
    let (now, all): (Timestamp, Vec<Silence>) = {
        let (engine, now) = (alerting.service.look(), alerting.service.now());
        (now, engine.silences().iter_by_state(now).into_iter().take(MOST_ROWS).cloned().collect())
    };
    let mut table = Table::new(["State", "Matchers", "From", "Until", "By", "Why", "Change"]);
    for silence in &all {
        let state = silence.state(now);
        let expire = format!("/alerts/silences/{}/expire", silence.id);
        table.push([
            widgets::chip(&Status::from_name(state.name())),
            html! { code { (MatchersText(&silence.matchers)) } @if !silence.time_intervals.is_empty() { " at its times" } },
            time(silence.starts_at, now),
            time(silence.ends_at, now),
            html! { (silence.created_by) },
            html! { (silence.comment) },
            html! { @if state != SilenceState::Expired { (Action { label: "Expire", path: &expire, weight: Weight::Danger, ..Action::default() }.render()) } },
        ]);
    }
    let body = html! {
        (tabs("Silences", None))
        (silence_form("", "/alerts/silences"))
        @if table.is_empty() { (widgets::empty("No silences", html! { "Nothing is held back" })) } @else { (table.render()) }
    };
    console::page(&frame.wide(), "Silences", body)
}

/// The form by which alerts are silenced; it leads to `back` afterwards.
pub(super) fn silence_form(matchers: &str, back: &str) -> Markup {
    html! {
        form.bar method="post" action="/alerts/silences" {
            input type="hidden" name="back" value=(back);
            label { "Silence what matches" input name="matchers" required value=(matchers) size="50" placeholder="alertname=\"Disk\", host=\"a\""; }
            label { "For" input name="time" required value="2h" size="6"; }
            label { "Why" input name="comment" required size="30"; }
            label { "Only at (optional)" input name="intervals" size="30" placeholder="{\"weekdays\": [\"sunday\"]}"; }
            button.button.primary type="submit" { "Silence" }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct SilenceForm {
    matchers: String,
    time: String,
    comment: String,
    #[serde(default)]
    intervals: String,
    #[serde(default)]
    back: String,
}

/// Only paths of these pages: a form must not lead people elsewhere.
fn back(path: &str) -> Redirect {
    let is_ours = path.starts_with("/alerts/") && !path.contains(['\\', '\r', '\n']);
    Redirect::to(if is_ours { path } else { "/alerts/silences" })
}

pub(super) async fn set_silence(
    Alerts(alerting): Alerts,
    caller: Caller,
    Form(form): Form<SilenceForm>,
) -> Result<Redirect, ApiError> {
    let wrong = |error: &dyn std::fmt::Display| {
        ApiError::bad_request(error.to_string(), "go back and correct the form")
    };
    let matchers = parse_matchers(&form.matchers).map_err(|error| wrong(&error))?;
    let millis = backlot_atlas::duration(form.time.trim()).map_err(|error| wrong(&error))?;
    if !(1000..=LONGEST_SILENCE).contains(&millis) {
        return Err(wrong(&"a silence lasts from a second to ten years"));
    }
    let time_intervals = match form.intervals.trim() {
        "" => Vec::new(),
        text => vec![serde_json::from_str(text).map_err(|error| wrong(&error))?],
    };
    let author = caller.name().to_owned();
    alerting
        .service
        .change(move |engine, now| {
            let silence = Silence {
                id: String::new(),
                matchers,
                starts_at: now,
                ends_at: now.saturating_add(SignedDuration::from_millis(millis)).unwrap_or(now),
                updated_at: now,
                created_by: author,
                comment: form.comment,
                time_intervals,
            };
            match engine.set_silence(silence, random_id(), now) {
                Ok((changes, _)) => (changes, Ok(())),
                Err(error) => (Default::default(), Err(error)),
            }
        })
        .await?
        .map_err(|error| wrong(&error))?;
    Ok(back(&form.back))
}

pub(super) async fn expire(Alerts(alerting): Alerts, Path(id): Path<String>) -> Result<Redirect, ApiError> {
    alerting
        .service
        .change(move |engine, now| match engine.expire_silence(&id, now) {
            Ok(changes) => (changes, Ok(())),
            Err(error) => (Default::default(), Err(error)),
        })
        .await?
        .map_err(|error| ApiError::not_found(error.to_string(), "look at the list again"))?;
    Ok(Redirect::to("/alerts/silences"))
}
