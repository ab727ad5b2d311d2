//! The buttons: each posts a form and comes back to the run's page.

use axum::extract::State;
use axum::response::Redirect;
use backlot_department::House;
use backlot_web::console::widgets::{Action, Weight};
use backlot_web::extract::{Form, Path};
use backlot_web::{ApiError, Caller};
use backlot_work::{RunState, RunStatus};
use maud::{Markup, html};
use serde::Deserialize;

use crate::pages::shown::run_path;
use crate::refusal::refuse;

/// The buttons that fit the state of a run.
pub(super) fn buttons(run: &RunStatus) -> Markup {
    let path = |word: &str| format!("{}/{word}", run_path(&run.id));
    let (pause, resume, cancel, retry) = (path("pause"), path("resume"), path("cancel"), path("retry"));
    let pause = Action { label: "Pause", path: &pause, ..Action::default() };
    let resume = Action { label: "Resume", path: &resume, weight: Weight::Primary, ..Action::default() };
    let cancel = Action {
        label: "Cancel",
        path: &cancel,
        confirm: Some(
            "Running tasks are ended, and what they have done so far is lost. Finished tasks keep their results.",
        ),
        weight: Weight::Danger,
        ..Action::default()
    };
    let retry = Action { label: "Retry", path: &retry, weight: Weight::Primary, ..Action::default() };
    html! {
        @match run.state {
            RunState::Queued | RunState::Running => { (pause.render()) (cancel.render()) }
            RunState::Paused => { (cancel.render()) (resume.render()) }
            RunState::Failed | RunState::Cancelled => (retry.render()),
            _ => {}
        }
    }
}

/// The button that runs a step, and everything after it, again.
pub(super) fn retry_from(run: &RunStatus, step: &str) -> Markup {
    let path = format!("{}/retry", run_path(&run.id));
    let action = Action {
        label: "Run again from here",
        path: &path,
        fields: &[("from", step)],
        confirm: Some("This step and all that follow it run again; their present results are replaced."),
        ..Action::default()
    };
    html! { @if run.state.is_final() { (action.render()) } }
}

pub(super) async fn cancel(
    State(house): State<House>,
    caller: Caller,
    run: Path<String>,
) -> Result<Redirect, ApiError> {
    house.work.cancel(&run.0, caller.name(), None).await.map_err(refuse)?;
    Ok(Redirect::to(&run_path(&run.0)))
}

pub(super) async fn pause(
    State(house): State<House>,
    caller: Caller,
    run: Path<String>,
) -> Result<Redirect, ApiError> {
    house.work.pause(&run.0, caller.name()).await.map_err(refuse)?;
    Ok(Redirect::to(&run_path(&run.0)))
}

pub(super) async fn resume(
    State(house): State<House>,
    caller: Caller,
    run: Path<String>,
) -> Result<Redirect, ApiError> {
    house.work.resume(&run.0, caller.name()).await.map_err(refuse)?;
    Ok(Redirect::to(&run_path(&run.0)))
}

#[derive(Deserialize)]
pub(super) struct RetryForm {
    from: Option<String>,
}

pub(super) async fn retry(
    State(house): State<House>,
    caller: Caller,
    run: Path<String>,
    form: Form<RetryForm>,
) -> Result<Redirect, ApiError> {
    house.work.retry(&run.0, form.0.from.as_deref(), caller.name()).await.map_err(refuse)?;
    Ok(Redirect::to(&run_path(&run.0)))
}
