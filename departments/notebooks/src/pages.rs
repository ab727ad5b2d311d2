//! The console's pages of notebooks: those that ran as tasks, each rendered with its outputs.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use backlot_department::{House, Shown, blob_response};
use backlot_ledger::Timestamp;
use backlot_notebooks_model::{Notebook, json, record, scraps};
use backlot_web::console::widgets::{self, Table, path_segment};
use backlot_web::console::{self, Frame, Status, format};
use backlot_web::extract::Path;
use backlot_web::{ApiError, attachment};
use backlot_work::{BlobRef, Error as WorkError, RunFilter, StepState};
use maud::{Markup, html};
use serde_json::Value;

use crate::kind::{KIND, MEDIA_TYPE, failed_name};
use crate::render;

/// The newest runs that are looked through for notebooks.
const RUNS: u32 = 100;

/// The longest notebook that is shown; a longer one can be fetched.
const MAX_SHOWN: u64 = 32 << 20;

/// The longest value of a scrap that is shown, in characters.
const MAX_VALUE: usize = 200;

/// The pages below `/notebooks`.
pub(crate) fn routes(house: House) -> Router {
    Router::new()
        .route("/", get(list))
        .route("/{run}/{step}", get(show))
        .route("/{run}/{step}/notebook.ipynb", get(file))
        .with_state(house)
}

fn refuse(error: &WorkError) -> ApiError {
    match error {
        WorkError::NoSuchRun(run) => {
            ApiError::not_found(format!("there is no run `{run}`"), "see /notebooks")
        }
        other => ApiError::internal(other),
    }
}

pub(crate) fn moment(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.micros()).unwrap_or(jiff::Timestamp::MAX)
}

async fn list(State(house): State<House>, frame: Frame) -> Result<Response, ApiError> {
    let filter = RunFilter { limit: RUNS, ..RunFilter::default() };
    let runs = house.work.runs(filter).await.map_err(|error| refuse(&error))?;
    let now = moment(house.ledger.now());
    let mut table = Table::new(["Notebook", "Run", "State", "Ended"]);
    for run in &runs {
        let steps = house.work.steps(&run.id).await.map_err(|error| refuse(&error))?;
        for step in steps.iter().filter(|step| step.kind == KIND) {
            table.push([
                html! { a href={ "/notebooks/" (path_segment(&run.id)) "/" (path_segment(&step.name)) } { (step.name) } },
                html! { a href={ "/runs/" (path_segment(&run.id)) } { (run.name) } },
                widgets::chip(&Status::from_name(step.state.as_str())),
                html! { @if let Some(ended) = step.finished { (format::time(moment(ended), now)) } @else { "–" } },
            ]);
        }
    }
    let body = html! {
        @if table.is_empty() {
            (widgets::empty("No notebook has run yet", html! { "Give a step the kind " code { (KIND) } }))
        } @else {
            (table.render())
        }
    };
    let frame = frame.actions(html! { a.button href="/notebooks/versions" { "Versions" } });
    Ok(console::page(&frame, "Notebooks", body).into_response())
}

/// What there is of a task's notebook.
enum Found {
    Done(BlobRef),
    Failed(Vec<u8>),
    NotYet,
}

async fn find(house: &House, run: &str, step: &str) -> Result<(StepState, Found), ApiError> {
    let status = house.work.run(run).await.map_err(|error| refuse(&error))?;
    let steps = house.work.steps(&status.id).await.map_err(|error| refuse(&error))?;
    let found = steps.iter().find(|one| one.name == step && one.kind == KIND);
    let found = found.ok_or_else(|| {
        ApiError::not_found(format!("the run has no notebook `{step}`"), "see /notebooks for those there are")
    })?;
    if found.state == StepState::Succeeded {
        let outputs = house.work.outputs(&status.id, step).await.map_err(|error| refuse(&error))?;
        // Of a map, the first; the others are files of the run.
        let one =
            if let Value::Array(all) = &outputs { all.first().unwrap_or(&Value::Null) } else { &outputs };
        if let Some(blob) = BlobRef::from_value(&one["notebook"]) {
            return Ok((found.state, Found::Done(blob)));
        }
    }
    match house.store.get_named(&failed_name(&status.id, step, 0), MAX_SHOWN).await {
        Ok(object) => Ok((found.state, Found::Failed(object.content.to_vec()))),
        Err(_) => Ok((found.state, Found::NotYet)),
    }
}

async fn show(
    State(house): State<House>,
    frame: Frame,
    Path((run, step)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (state, found) = find(&house, &run, &step).await?;
    let bytes = match found {
        Found::Done(blob) if blob.size <= MAX_SHOWN => Some(
            house
                .store
                .get(&blob.digest, MAX_SHOWN)
                .await
                .map_err(|error| ApiError::internal(&error))?
                .to_vec(),
        ),
        Found::Failed(bytes) => Some(bytes),
        Found::Done(_) | Found::NotYet => None,
    };
    let file = format!("/notebooks/{}/{}/notebook.ipynb", path_segment(&run), path_segment(&step));
    let body = match bytes.map(|bytes| Notebook::read_as_is(&bytes)) {
        Some(Ok(notebook)) => html! {
            (facts(&notebook))
            (values(&notebook))
            (render::notebook(&notebook))
            p.note { a href=(file) { "The notebook as a file" } }
        },
        Some(Err(error)) => {
            html! { p.alert role="alert" { (error) } p.note { a href=(file) { "The notebook as a file" } } }
        }
        None => widgets::empty(
            "Nothing to show yet",
            html! { "The notebook has not ended, or is too long for a page." },
        ),
    };
    let frame = frame.crumb("Notebooks", "/notebooks").actions(html! {
        div.actions {
            (widgets::chip(&Status::from_name(state.as_str())))
            a.button href={ "/runs/" (path_segment(&run)) } { "Run" }
        }
    });
    Ok(console::page(&frame, &step, body).into_response())
}

fn facts(notebook: &Notebook) -> Markup {
    let record = notebook.metadata.get(record::KEY);
    let text = |key: &str| match record.and_then(|record| record.get(key)) {
        Some(json::Value::String(text)) => text.clone(),
        Some(json::Value::Null) | None => "–".to_owned(),
        Some(other) => other.to_compact(),
    };
    let seconds =
        text("duration").parse::<f64>().map_or_else(|_| text("duration"), |long| format!("{long:.2}"));
    // To the second, without the offset, which is always UTC's.
    let began = text("start_time").replace('T', " ").chars().take(19).collect::<String>();
    widgets::stats([
        widgets::stat(
            "Cells",
            &notebook.cells.len().to_string(),
            notebook.kernel_name().unwrap_or("no kernel"),
        ),
        widgets::stat("Seconds", &seconds, &format!("from {began}")),
        widgets::stat("Source", &text("input_path"), "the notebook that ran"),
    ])
}

fn values(notebook: &Notebook) -> Markup {
    let found = scraps::read(notebook);
    let mut table = Table::new(["Name", "Value"]);
    for (name, scrap) in &found {
        let value = scrap.data.as_ref().map_or_else(|| "shown below".to_owned(), json::Value::to_compact);
        let mut shown: String = value.chars().take(MAX_VALUE).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        table.push([html! { (name) }, html! { code { (shown) } }]);
    }
    html! { @if !table.is_empty() { (widgets::section("Values", table.render())) } }
}

async fn file(
    State(house): State<House>,
    Path((run, step)): Path<(String, String)>,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let (_, found) = find(&house, &run, &step).await?;
    let name = format!("{step}.ipynb");
    match found {
        Found::Done(blob) => blob_response(&house.store, &blob, &name, &request, Shown::Saved).await,
        Found::Failed(bytes) => {
            Ok((HeaderMap::from_iter(attachment(&name, MEDIA_TYPE)), bytes).into_response())
        }
        Found::NotYet => Err(ApiError::not_found("the notebook has not ended", "wait for the run's end")),
    }
}
