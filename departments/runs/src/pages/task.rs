//! One task: its state, its log as it is written, its results.

use std::time::Duration;

use axum::extract::State;
use backlot_department::House;
use backlot_web::ApiError;
use backlot_web::console::widgets::{self, LogView};
use backlot_web::console::{self, Frame};
use backlot_web::extract::Path;
use backlot_work::{LogPiece, TaskState, TaskStatus};
use maud::{Markup, html};
use serde_json::Value;

use crate::RUNS_DOOR;
use crate::artifact::Artifact;
use crate::follow::LogCursor;
use crate::pages::shown::{ago, artifacts, long, previews, run_path, step_path, task_status, took};
use crate::refusal::refuse;

const REFRESH: Duration = Duration::from_secs(2);

/// Log pieces fetched for the page; a log is bounded, and this is more than its bound holds.
const MOST_PIECES: u32 = 1000;

/// Lines shown of a long log: its end. The door has all of it.
const MOST_LINES: usize = 2000;

pub(super) async fn page(
    State(house): State<House>,
    frame: Frame,
    path: Path<(String, String, i64)>,
) -> Result<Markup, ApiError> {
    let (run, step, index) = path.0;
    let run = house.work.run(&run).await.map_err(refuse)?;
    let task = house.work.task(&run.id, &step, index).await.map_err(refuse)?;
    let pieces = house.work.logs(task.task, None, MOST_PIECES).await.map_err(refuse)?;
    let outputs = task.outputs.clone().unwrap_or_default();
    let all = Artifact::all(&outputs);
    let body = html! {
        (facts(&house, &task))
        @if let Some(error) = &task.error { p.alert role="alert" { (error) } }
        (widgets::section("Log", log(&task, &pieces)))
        @if !all.is_empty() { (widgets::section("Artifacts", html! { (previews(&task, &all)) (artifacts(&task, &all)) })) }
        (values(&outputs))
        @if let Some(item) = &task.item { (widgets::section("Item", long(item))) }
    };
    let content = if task.state.is_final() {
        widgets::settled("task", body)
    } else {
        widgets::live("task", REFRESH, body)
    };
    let frame = frame
        .crumb("Runs", "/runs")
        .crumb(run.name.clone(), run_path(&run.id))
        .crumb(step.clone(), step_path(&run.id, &step));
    Ok(console::page(&frame, &format!("{step}/{index}"), content))
}

fn facts(house: &House, task: &TaskStatus) -> Markup {
    let now = house.ledger.now();
    let failures = if task.failures > 0 { format!(", {} failed", task.failures) } else { String::new() };
    let mut pairs = vec![
        ("State", widgets::chip(&task_status(task))),
        ("Attempts", html! { (task.attempt) (failures) }),
        ("Started", ago(task.started, now)),
        ("Took", html! { (took(task.started, task.finished, now)) }),
    ];
    if let Some(worker) = task.worker {
        pairs.push(("Worker", html! { (worker) }));
    }
    if let Some(key) = &task.parked_on {
        pairs.push(("Waits for", html! { code { (key) } }));
    }
    if task.state == TaskState::Running && (task.progress.is_some() || task.message.is_some()) {
        pairs.push((
            "Progress",
            widgets::progress(task.progress, task.message.as_deref().unwrap_or_default()),
        ));
    }
    widgets::key_values(pairs)
}

fn log(task: &TaskStatus, pieces: &[LogPiece]) -> Markup {
    let mut lines = lines(pieces);
    let cut = lines.len().saturating_sub(MOST_LINES);
    lines.drain(..cut);
    let door = format!("{RUNS_DOOR}/runs/{}/steps/{}/tasks/{}/log", task.run, task.step, task.index);
    let after = pieces.last().map(|piece| LogCursor::of(piece).to_number());
    let stream = match after {
        Some(after) => format!("{door}/stream?after={after}"),
        None => format!("{door}/stream"),
    };
    let stream = (!task.state.is_final()).then_some(stream.as_str());
    html! {
        @if cut > 0 { p.note { "The last " (MOST_LINES) " lines; " a href=(door) { "all as JSON" } "." } }
        (LogView { id: "log", label: "Log of the task", lines: &lines, stream }.render())
    }
}

/// The lines of the pieces, each attempt announced and each gap told.
fn lines(pieces: &[LogPiece]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut last: Option<&LogPiece> = None;
    for piece in pieces {
        let before = last.filter(|before| before.attempt == piece.attempt);
        if before.is_none() && piece.attempt > 1 {
            lines.push(format!("── attempt {} ──", piece.attempt));
        }
        if before.is_some_and(|before| piece.seq > before.seq + 1) {
            lines.push("… some lines were dropped to keep the log bounded …".to_owned());
        }
        lines.extend(piece.text.lines().map(str::to_owned));
        last = Some(piece);
    }
    lines
}

/// The outputs that are plain values.
fn values(outputs: &Value) -> Markup {
    let plain: Vec<_> = outputs
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| Artifact::all(value).is_empty())
        .collect();
    html! {
        @if !plain.is_empty() {
            (widgets::section("Outputs", widgets::key_values(plain.into_iter().map(|(name, value)| (name, long(value))))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backlot_ledger::Timestamp;

    #[test]
    fn attempts_and_gaps_are_told() {
        let piece = |attempt, seq, text: &str| LogPiece {
            attempt,
            seq,
            at: Timestamp::from_micros(0),
            text: text.to_owned(),
        };
        let pieces = [piece(1, 0, "a\nb\n"), piece(1, 1, "c\n"), piece(1, 5, "d\n"), piece(2, 0, "e\n")];
        let all = lines(&pieces);
        assert_eq!(all.len(), 7);
        assert_eq!(
            (all[0].as_str(), all[2].as_str(), all[4].as_str(), all[6].as_str()),
            ("a", "c", "d", "e")
        );
        assert!(all[3].contains("dropped") && all[5].contains("attempt 2"), "{all:?}");
    }
}
