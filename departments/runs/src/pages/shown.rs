//! How the pages show the engine's values.

use std::time::Duration;

use backlot_ledger::Timestamp;
use backlot_web::console::widgets::{self, path_segment};
use backlot_web::console::{Status, format};
use backlot_work::{RunStatus, StepState, StepStatus, TaskCounts, TaskState, TaskStatus};
use maud::{Markup, html};
use serde_json::Value;

use crate::artifact::Artifact;

/// Longer values are cut in tables; the door has them whole.
const SHORT: usize = 160;

/// Longer values are cut even on a page of their own.
const LONG: usize = 20_000;

/// A moment as the console's own type; one beyond its calendar is shown as its last.
pub(super) fn moment(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.micros()).unwrap_or(jiff::Timestamp::MAX)
}

pub(super) fn ago(at: Option<Timestamp>, now: Timestamp) -> Markup {
    html! {
        @if let Some(at) = at { (format::time(moment(at), moment(now))) } @else { span.muted { "–" } }
    }
}

/// How long something took, or has taken so far.
pub(super) fn took(started: Option<Timestamp>, finished: Option<Timestamp>, now: Timestamp) -> String {
    started
        .map_or_else(|| "–".to_owned(), |started| format::duration(since(finished.unwrap_or(now), started)))
}

fn since(end: Timestamp, start: Timestamp) -> Duration {
    end.saturating_since(start)
}

pub(super) fn run_chip(run: &RunStatus) -> Markup {
    widgets::chip(&Status::from_name(run.state.as_str()))
}

/// A step all of whose tasks were taken from earlier runs shows so.
pub(super) fn step_status(step: &StepStatus) -> Status {
    match step.state {
        StepState::Succeeded if step.tasks.cached > 0 && step.tasks.cached == step.tasks.total => {
            Status::Cached
        }
        state => Status::from_name(state.as_str()),
    }
}

pub(super) fn task_status(task: &TaskStatus) -> Status {
    match task.state {
        TaskState::Succeeded if task.cached => Status::Cached,
        state => Status::from_name(state.as_str()),
    }
}

pub(super) fn ended(counts: &TaskCounts) -> i64 {
    counts.succeeded + counts.failed + counts.cancelled
}

pub(super) fn fraction(counts: &TaskCounts) -> Option<f64> {
    (counts.total > 0).then(|| ended(counts) as f64 / counts.total as f64)
}

/// `37 of 84`, with what was odd about them.
pub(super) fn counted(counts: &TaskCounts) -> String {
    let oddities = oddities(counts);
    if oddities.is_empty() { of_total(counts) } else { format!("{}, {oddities}", of_total(counts)) }
}

/// `37 of 84`.
pub(super) fn of_total(counts: &TaskCounts) -> String {
    format!("{} of {}", number(ended(counts)), number(counts.total))
}

/// `2 failed, 5 cached`, or nothing.
pub(super) fn oddities(counts: &TaskCounts) -> String {
    let named = [(counts.failed, "failed"), (counts.cancelled, "cancelled"), (counts.cached, "cached")];
    let told = named.into_iter().filter(|(count, _)| *count > 0);
    told.map(|(count, word)| format!("{} {word}", number(count))).collect::<Vec<_>>().join(", ")
}

fn number(count: i64) -> String {
    format::number(count.max(0) as u64)
}

/// A value in one line of a table.
pub(super) fn short(value: &Value) -> Markup {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    html! { code { (cut(&text, SHORT)) } }
}

/// A value on a page of its own.
pub(super) fn long(value: &Value) -> Markup {
    match value {
        Value::Object(_) | Value::Array(_) => {
            let text = serde_json::to_string_pretty(value).unwrap_or_default();
            widgets::code_block(&cut(&text, LONG))
        }
        Value::String(text) => html! { (cut(text, LONG)) },
        other => html! { code { (other) } },
    }
}

fn cut(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The artifacts of a task: shown where that is harmless, and to be saved.
pub(super) fn artifacts(task: &TaskStatus, all: &[Artifact]) -> Markup {
    let mut table = widgets::Table::new(["Artifact", "Type", "Size", "Digest"]).numeric(&[2]);
    for artifact in all {
        let url = artifact.url(task);
        let name = html! {
            a href=(url) { (artifact.path) }
            @if artifact.is_shown() { " " a.note href={ (url) "?show=1" } { "view" } }
        };
        table.push([
            name,
            html! { (artifact.blob.media_type) },
            html! { (format::bytes(artifact.blob.size)) },
            html! { code { (artifact.blob.digest) } },
        ]);
    }
    table.render()
}

/// Pictures, sound and film among the artifacts, the first few.
pub(super) fn previews(task: &TaskStatus, all: &[Artifact]) -> Markup {
    const MOST: usize = 6;
    let shown = all.iter().filter(|artifact| artifact.is_shown());
    html! {
        @for artifact in shown.filter(|artifact| matches!(artifact.family(), "image" | "video" | "audio")).take(MOST) {
            @let url = format!("{}?show=1", artifact.url(task));
            figure.media {
                @match artifact.family() {
                    "image" => { img src=(url) alt=(artifact.path) loading="lazy"; }
                    "video" => video src=(url) controls preload="metadata" aria-label=(artifact.path) {},
                    _ => audio src=(url) controls preload="metadata" aria-label=(artifact.path) {},
                }
                figcaption { (artifact.path) }
            }
        }
    }
}

pub(super) fn run_path(run: &str) -> String {
    format!("/runs/{}", path_segment(run))
}

pub(super) fn step_path(run: &str, step: &str) -> String {
    format!("/runs/{}/steps/{}", path_segment(run), path_segment(step))
}

pub(super) fn task_path(run: &str, step: &str, index: i64) -> String {
    format!("{}/tasks/{index}", step_path(run, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_tell_what_went_wrong() {
        let counts = TaskCounts { total: 1200, succeeded: 10, cached: 4, failed: 2, cancelled: 1 };
        assert_eq!(counted(&counts), "13 of 1\u{202f}200, 2 failed, 1 cancelled, 4 cached");
        assert_eq!(fraction(&TaskCounts::default()), None);
    }

    #[test]
    fn long_values_are_cut_between_letters() {
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äöü", 3), "äöü");
    }
}
