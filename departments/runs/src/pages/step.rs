//! One step: its tasks.

use std::time::Duration;

use axum::extract::State;
use backlot_department::House;
use backlot_web::ApiError;
use backlot_web::console::widgets::{self, FilterLink, link};
use backlot_web::console::{self, Frame, format};
use backlot_web::extract::{Path, Query};
use backlot_work::{RunStatus, StepStatus, TaskFilter, TaskState, TaskStatus};
use maud::{Markup, html};
use serde::Deserialize;

use crate::RUNS_WRITE;
use crate::api::runs::words;
use crate::pages::actions;
use crate::pages::shown::{
    ago, counted, run_path, short, step_path, step_status, task_path, task_status, took,
};
use crate::refusal::refuse;

const PAGE: u32 = 100;

const REFRESH: Duration = Duration::from_secs(2);

const FILTERS: [(&str, &str); 5] = [
    ("All", ""),
    ("Waiting", "held,ready,parked,backoff,paused"),
    ("Running", "running"),
    ("Succeeded", "succeeded"),
    ("Failed", "failed"),
];

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Shown {
    state: String,
    after: Option<i64>,
}

pub(super) async fn page(
    State(house): State<House>,
    frame: Frame,
    path: Path<(String, String)>,
    query: Query<Shown>,
) -> Result<Markup, ApiError> {
    let (run, name) = path.0;
    let run = house.work.run(&run).await.map_err(refuse)?;
    let Shown { state, after } = query.0;
    let states = words(&state, "task state", TaskState::from_word)?;
    let filter = TaskFilter { step: Some(name.clone()), index: None, states, after, limit: PAGE + 1 };
    let mut tasks = house.work.tasks(&run.id, filter).await.map_err(refuse)?;
    let steps = house.work.steps(&run.id).await.map_err(refuse)?;
    let step = steps.iter().find(|step| step.name == name);
    let step =
        step.ok_or_else(|| ApiError::not_found(format!("there is no step {name:?}"), "see the run's page"))?;
    let has_more = tasks.len() > PAGE as usize;
    tasks.truncate(PAGE as usize);

    let here = step_path(&run.id, &name);
    let to = |state: &str, after: &str| link(&here, &[("state", state), ("after", after)]);
    let filters = FILTERS.map(|(label, states)| FilterLink {
        label,
        path: to(states, ""),
        current: states == state,
        count: None,
    });
    let first = to(&state, "");
    let next = tasks.last().filter(|_| has_more).map(|last| to(&state, &last.task.to_string()));
    let body = html! {
        (facts(&house, step))
        @if step.map { (widgets::filter("State", &filters)) }
        (task_list(&house, &run, step, &tasks))
        @if has_more || after.is_some() { (pager(after.is_some().then_some(&first), next.as_ref())) }
    };
    let is_live = !run.state.is_final();
    let content = if is_live { widgets::live("step", REFRESH, body) } else { widgets::settled("step", body) };
    let mut frame = frame.crumb("Runs", "/runs").crumb(run.name.clone(), run_path(&run.id));
    if frame.allows(RUNS_WRITE) {
        frame = frame.actions(actions::retry_from(&run, &name));
    }
    Ok(console::page(&frame, &name, content))
}

fn pager(first: Option<&String>, next: Option<&String>) -> Markup {
    html! {
        nav.pager aria-label="Further tasks" {
            span.links {
                @if let Some(path) = first { a.button href=(path) { "← First" } }
                @if let Some(path) = next { a.button href=(path) rel="next" { "More →" } }
            }
        }
    }
}

fn facts(house: &House, step: &StepStatus) -> Markup {
    let now = house.ledger.now();
    let mut pairs = vec![
        ("State", widgets::chip(&step_status(step))),
        ("Kind", html! { code { (step.kind) } }),
        ("Tasks", html! { (counted(&step.tasks)) }),
        ("Started", ago(step.started, now)),
        ("Took", html! { (took(step.started, step.finished, now)) }),
    ];
    if !step.needs.is_empty() {
        pairs.push(("Waits for", html! { (step.needs.join(", ")) }));
    }
    html! {
        (widgets::key_values(pairs))
        @if let Some(error) = &step.error { p.alert role="alert" { (error) } }
    }
}

fn task_list(house: &House, run: &RunStatus, step: &StepStatus, tasks: &[TaskStatus]) -> Markup {
    if tasks.is_empty() {
        return widgets::empty(
            "No tasks here",
            html! { "A step's tasks appear when the steps before it have ended." },
        );
    }
    let now = house.ledger.now();
    let mut table =
        widgets::Table::new(["Task", "State", "Progress", "Item", "Attempts", "Took"]).numeric(&[4, 5]);
    for task in tasks {
        table.push([
            html! { a href=(task_path(&run.id, &step.name, task.index)) { (step.name) "/" (format::number(task.index.max(0) as u64)) } },
            state(task),
            progress(task),
            task.item.as_ref().map(short).unwrap_or_default(),
            html! { (task.attempt) },
            html! { (took(task.started, task.finished, now)) },
        ]);
    }
    table.render()
}

fn state(task: &TaskStatus) -> Markup {
    html! {
        (widgets::chip(&task_status(task)))
        @if let Some(key) = &task.parked_on { div.note { "waits for " code { (key) } } }
        @if let Some(error) = &task.error { div.note.clamp { (error) } }
    }
}

fn progress(task: &TaskStatus) -> Markup {
    let message = task.message.as_deref().unwrap_or_default();
    match task.progress {
        Some(fraction) if task.state == TaskState::Running => widgets::progress(Some(fraction), message),
        _ => html! { @if !message.is_empty() { span.note { (message) } } },
    }
}
