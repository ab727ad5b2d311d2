//! One run: its plan as a drawing, its steps, parameters and results.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::State;
use backlot_department::House;
use backlot_web::ApiError;
use backlot_web::console::{self, Frame, format, graph, widgets};
use backlot_web::extract::Path;
use backlot_work::{RunStatus, StepStatus, TaskFilter, TaskState, TaskStatus};
use maud::{Markup, html};

use crate::artifact::Artifact;
use crate::pages::actions;
use crate::pages::shown::{
    ago, artifacts, counted, fraction, long, oddities, of_total, previews, run_chip, short, step_path,
    step_status, task_path, took,
};
use crate::refusal::refuse;
use crate::{EVENTS_DOOR, RUNS_DOOR, RUNS_WRITE};

/// How often the page is fetched again while the run goes on.
const REFRESH: Duration = Duration::from_secs(2);

/// Rows of the table of steps.
const MOST_STEPS: usize = 200;

/// Failed tasks that are named at the top.
const MOST_FAILURES: u32 = 5;

/// Steps whose results are shown on this page.
const MOST_RESULTS: usize = 5;

pub(super) async fn page(
    State(house): State<House>,
    frame: Frame,
    path: Path<String>,
) -> Result<Markup, ApiError> {
    let run = house.work.run(&path.0).await.map_err(refuse)?;
    let steps = house.work.steps(&run.id).await.map_err(refuse)?;
    let failed =
        TaskFilter { states: vec![TaskState::Failed], limit: MOST_FAILURES, ..TaskFilter::default() };
    let failures = house.work.tasks(&run.id, failed).await.map_err(refuse)?;
    let results = results(&house, &run, &steps).await?;
    let now = house.ledger.now();

    let body = html! {
        (widgets::stats([
            stat_of_state(&run),
            stat_of_tasks(&run),
            widgets::stat("Took", &took(run.started, run.finished, now), ""),
            submitted(&run, now),
        ]))
        @if let Some(error) = &run.error { p.alert role="alert" { (error) } }
        @if !failures.is_empty() { (widgets::section("Failed tasks", failed_tasks(&failures))) }
        (plan(&run, &steps))
        (widgets::section("Steps", steps_table(&run, &steps, now)))
        @if !results.is_empty() { (widgets::section("Results", html! { @for result in results { (result) } })) }
        @if !run.params.is_empty() {
            (widgets::section("Parameters", widgets::key_values(run.params.iter().map(|(name, value)| (name, long(value))))))
        }
        p.note {
            a href={ (RUNS_DOOR) "/runs/" (run.id) } { "JSON" } " · "
            a href={ (RUNS_DOOR) "/runs/" (run.id) "/spec" } { "Spec" } " · "
            a href={ "/events?subject=" (run.id) } { "Events" } " · "
            a href={ (EVENTS_DOOR) "/events?subject=" (run.id) } { "Events as JSON" }
        }
    };
    let content = if run.state.is_final() {
        widgets::settled("run", body)
    } else {
        widgets::live("run", REFRESH, body)
    };
    let mut frame = frame.crumb("Runs", "/runs");
    if frame.allows(RUNS_WRITE) {
        let every = (!run.state.is_final()).then(|| REFRESH.as_millis());
        // Live too: the buttons that fit change with the state.
        frame = frame.actions(html! { div.actions #actions data-live=[every] { (actions::buttons(&run)) } });
    }
    Ok(console::page(&frame, &run.name, content))
}

fn stat_of_state(run: &RunStatus) -> Markup {
    html! { div.stat { span.name { "State" } span.value { (run_chip(run)) } span.note { (run.id) } } }
}

fn stat_of_tasks(run: &RunStatus) -> Markup {
    let steps = format!("{} of {} steps ended", run.steps_ended, run.steps);
    let notes = [oddities(&run.tasks), steps];
    let note: Vec<String> = notes.into_iter().filter(|note| !note.is_empty()).collect();
    widgets::stat("Tasks", &of_total(&run.tasks), &note.join(" · "))
}

fn submitted(run: &RunStatus, now: backlot_ledger::Timestamp) -> Markup {
    html! {
        div.stat {
            span.name { "Submitted" }
            span.value { (ago(Some(run.created), now)) }
            span.note { "by " (run.submitted_by) @if run.priority != 0 { " · priority " (run.priority) } }
        }
    }
}

fn failed_tasks(failures: &[TaskStatus]) -> Markup {
    let mut table = widgets::Table::new(["Task", "Attempts", "Error"]).numeric(&[1]);
    for task in failures {
        table.push([
            html! { a href=(task_path(&task.run, &task.step, task.index)) { (task.step) "/" (task.index) } },
            html! { (task.attempt) },
            html! { (task.error.as_deref().unwrap_or("–")) },
        ]);
    }
    table.render()
}

fn plan(run: &RunStatus, steps: &[StepStatus]) -> Markup {
    let place: HashMap<&str, usize> =
        steps.iter().enumerate().map(|(index, step)| (step.name.as_str(), index)).collect();
    let nodes: Vec<graph::Node> = steps
        .iter()
        .map(|step| graph::Node {
            title: step.name.clone(),
            note: if step.map && step.tasks.total > 0 {
                format!("{} · {}", step.kind, format::number(step.tasks.total as u64))
            } else {
                step.kind.clone()
            },
            status: step_status(step),
            link: step_path(&run.id, &step.name),
            progress: fraction(&step.tasks).filter(|_| step.map),
            needs: step.needs.iter().filter_map(|need| place.get(need.as_str()).copied()).collect(),
        })
        .collect();
    let drawing = if steps.len() > 1 { graph::graph(&nodes, "Plan of the run") } else { None };
    html! { @if let Some(drawing) = drawing { (widgets::section("Plan", drawing)) } }
}

fn steps_table(run: &RunStatus, steps: &[StepStatus], now: backlot_ledger::Timestamp) -> Markup {
    let mut table = widgets::Table::new(["Step", "State", "Tasks", "Started", "Took"]).numeric(&[4]);
    for step in steps.iter().take(MOST_STEPS) {
        table.push([
            html! { a href=(step_path(&run.id, &step.name)) { (step.name) } " " span.note { (step.kind) } },
            html! { (widgets::chip(&step_status(step))) @if let Some(error) = &step.error { div.note.clamp { (error) } } },
            if step.tasks.total > 0 { widgets::progress(fraction(&step.tasks), &counted(&step.tasks)) } else { html! {} },
            ago(step.started, now),
            html! { (took(step.started, step.finished, now)) },
        ]);
    }
    html! {
        (table.render())
        @if steps.len() > MOST_STEPS {
            p.note { "The first " (MOST_STEPS) " of " (steps.len()) " steps; " a href={ (RUNS_DOOR) "/runs/" (run.id) "/steps" } { "all as JSON" } "." }
        }
    }
}

/// What the last steps gave: those that nobody waits for.
async fn results(house: &House, run: &RunStatus, steps: &[StepStatus]) -> Result<Vec<Markup>, ApiError> {
    let is_last = |step: &&StepStatus| !steps.iter().any(|other| other.needs.contains(&step.name));
    let ended = steps.iter().filter(is_last).filter(|step| !step.map && step.tasks.succeeded > 0);
    let mut shown = Vec::new();
    for step in ended.take(MOST_RESULTS) {
        let task = house.work.task(&run.id, &step.name, 0).await.map_err(refuse)?;
        let outputs = task.outputs.clone().unwrap_or_default();
        let all = Artifact::all(&outputs);
        let values = outputs.as_object().into_iter().flatten();
        let plain: Vec<_> = values.filter(|(_, value)| Artifact::all(value).is_empty()).collect();
        if all.is_empty() && plain.is_empty() {
            continue;
        }
        shown.push(html! {
            h3 { a href=(task_path(&run.id, &step.name, 0)) { (step.name) } }
            (previews(&task, &all))
            @if !all.is_empty() { (artifacts(&task, &all)) }
            @if !plain.is_empty() { (widgets::key_values(plain.into_iter().map(|(name, value)| (name, short(value))))) }
        });
    }
    Ok(shown)
}
