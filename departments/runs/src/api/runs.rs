//! The runs door: submit, look, steer.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use backlot_department::House;
use backlot_web::extract::{Json, Path, Query};
use backlot_web::sse::{self, LastEventId};
use backlot_web::{ApiError, Caller, Closing};
use backlot_work::{
    LimitStatus, LogPiece, RunFilter, RunSpec, RunState, RunStatus, StepStatus, SubmitOptions, TaskFilter,
    TaskState, TaskStatus, WorkerStatus,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::RUNS_DOOR;
use crate::artifact::{self, Artifact};
use crate::follow::{self, LogCursor};
use crate::refusal::refuse;

pub(crate) fn routes(house: House) -> Router {
    Router::new()
        .route("/runs", get(list).post(submit))
        .route("/runs/{run}", get(show))
        .route("/runs/{run}/spec", get(spec))
        .route("/runs/{run}/stream", get(stream))
        .route("/runs/{run}/steps", get(steps))
        .route("/runs/{run}/steps/{step}/outputs", get(outputs))
        .route("/runs/{run}/tasks", get(tasks))
        .route("/runs/{run}/steps/{step}/tasks/{index}", get(task))
        .route("/runs/{run}/steps/{step}/tasks/{index}/log", get(log))
        .route("/runs/{run}/steps/{step}/tasks/{index}/log/stream", get(log_stream))
        .route("/runs/{run}/steps/{step}/tasks/{index}/artifacts/{*path}", get(artifact))
        .route("/runs/{run}/cancel", post(cancel))
        .route("/runs/{run}/pause", post(pause))
        .route("/runs/{run}/resume", post(resume))
        .route("/runs/{run}/retry", post(retry))
        .route("/workers", get(workers))
        .route("/limits", get(limits))
        .route("/limits/{key}", put(set_limit))
        .with_state(house)
}

/// A run to begin.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    spec: RunSpec,
    #[serde(default)]
    params: Map<String, Value>,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    no_cache: bool,
    #[serde(default)]
    key: Option<String>,
}

async fn submit(
    State(house): State<House>,
    caller: Caller,
    body: Json<Submission>,
) -> Result<Response, ApiError> {
    let Submission { spec, params, priority, no_cache, key } = body.0;
    let options = SubmitOptions { by: caller.name().to_owned(), priority, no_cache, key };
    let id = house.work.submit(spec, params, options, Some(&house.kinds)).await.map_err(refuse)?;
    let status = house.work.run(&id).await.map_err(refuse)?;
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("{RUNS_DOOR}/runs/{id}"))], Json(status))
        .into_response())
}

/// Which runs to list.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RunQuery {
    /// States, separated by commas.
    state: String,
    name: Option<String>,
    before: Option<String>,
    limit: u32,
}

#[derive(Serialize)]
struct RunList {
    runs: Vec<RunStatus>,
}

async fn list(State(house): State<House>, query: Query<RunQuery>) -> Result<Json<RunList>, ApiError> {
    let RunQuery { state, name, before, limit } = query.0;
    let states = words(&state, "run state", RunState::from_word)?;
    let runs = house.work.runs(RunFilter { states, name, before, limit }).await.map_err(refuse)?;
    Ok(Json(RunList { runs }))
}

/// Reads words separated by commas; an unknown one is the client's mistake.
pub(crate) fn words<T>(text: &str, what: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, ApiError> {
    let given = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    given
        .map(|word| {
            read(word).ok_or_else(|| {
                ApiError::bad_request(format!("there is no {what} {word:?}"), "see /api for the states")
            })
        })
        .collect()
}

async fn show(State(house): State<House>, run: Path<String>) -> Result<Json<RunStatus>, ApiError> {
    house.work.run(&run.0).await.map(Json).map_err(refuse)
}

async fn spec(State(house): State<House>, run: Path<String>) -> Result<Json<RunSpec>, ApiError> {
    house.work.spec(&run.0).await.map(Json).map_err(refuse)
}

async fn stream(
    State(house): State<House>,
    closing: Closing,
    run: Path<String>,
) -> Result<Response, ApiError> {
    let status = house.work.run(&run.0).await.map_err(refuse)?;
    Ok(sse::respond(closing, follow::run_messages(house, status.id)))
}

#[derive(Serialize)]
struct StepList {
    steps: Vec<StepStatus>,
}

async fn steps(State(house): State<House>, run: Path<String>) -> Result<Json<StepList>, ApiError> {
    let steps = house.work.steps(&run.0).await.map_err(refuse)?;
    Ok(Json(StepList { steps }))
}

async fn outputs(State(house): State<House>, path: Path<(String, String)>) -> Result<Json<Value>, ApiError> {
    let (run, step) = path.0;
    house.work.outputs(&run, &step).await.map(Json).map_err(refuse)
}

/// Which tasks to list.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TaskQuery {
    step: Option<String>,
    /// States, separated by commas.
    pub(crate) state: String,
    pub(crate) after: Option<i64>,
    limit: u32,
}

#[derive(Serialize)]
struct TaskList {
    tasks: Vec<TaskStatus>,
}

async fn tasks(
    State(house): State<House>,
    run: Path<String>,
    query: Query<TaskQuery>,
) -> Result<Json<TaskList>, ApiError> {
    let TaskQuery { step, state, after, limit } = query.0;
    let states = words(&state, "task state", TaskState::from_word)?;
    let filter = TaskFilter { step, index: None, states, after, limit };
    let tasks = house.work.tasks(&run.0, filter).await.map_err(refuse)?;
    Ok(Json(TaskList { tasks }))
}

async fn task(
    State(house): State<House>,
    path: Path<(String, String, i64)>,
) -> Result<Json<TaskStatus>, ApiError> {
    find_task(&house, &path.0).await.map(Json)
}

async fn find_task(
    house: &House,
    (run, step, index): &(String, String, i64),
) -> Result<TaskStatus, ApiError> {
    house.work.task(run, step, *index).await.map_err(refuse)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogQuery {
    /// The cursor of the last piece seen.
    after: Option<u64>,
    limit: u32,
}

/// Pieces of a log; `next` is the `after` of those that follow.
#[derive(Serialize)]
struct LogList {
    pieces: Vec<LogPiece>,
    next: Option<u64>,
}

async fn log(
    State(house): State<House>,
    path: Path<(String, String, i64)>,
    query: Query<LogQuery>,
) -> Result<Json<LogList>, ApiError> {
    let task = find_task(&house, &path.0).await?;
    let after = query.0.after.map(|number| LogCursor::from_number(number).pair());
    let pieces = house.work.logs(task.task, after, query.0.limit).await.map_err(refuse)?;
    let next = pieces.last().map(|piece| LogCursor::of(piece).to_number()).or(query.0.after);
    Ok(Json(LogList { pieces, next }))
}

async fn log_stream(
    State(house): State<House>,
    closing: Closing,
    last_seen: LastEventId,
    path: Path<(String, String, i64)>,
    query: Query<LogQuery>,
) -> Result<Response, ApiError> {
    let task = find_task(&house, &path.0).await?;
    let cursor = last_seen.0.or(query.0.after).map(LogCursor::from_number);
    Ok(sse::respond(closing, follow::log_messages(house, task, cursor)))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ArtifactQuery {
    /// Shows it in the browser, where its type is harmless.
    show: Option<String>,
}

async fn artifact(
    State(house): State<House>,
    path: Path<(String, String, i64, String)>,
    query: Query<ArtifactQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (run, step, index, place) = path.0;
    let task = find_task(&house, &(run, step, index)).await?;
    let all = Artifact::all(&task.outputs.unwrap_or_default());
    let names = all.iter().map(|artifact| artifact.path.as_str()).take(20).collect::<Vec<_>>().join(", ");
    let found = all.iter().find(|artifact| artifact.path == place).ok_or_else(|| {
        ApiError::not_found(format!("this task has no artifact {place:?}"), format!("it has these: {names}"))
    })?;
    artifact::respond(&house.store, found, &headers, query.0.show.is_some()).await
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CancelOrder {
    reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RetryOrder {
    from: Option<String>,
}

/// The body of an order may be left out.
type Order<T> = Option<Json<T>>;

async fn cancel(
    State(house): State<House>,
    caller: Caller,
    run: Path<String>,
    order: Order<CancelOrder>,
) -> Result<Json<RunStatus>, ApiError> {
    let order = order.map(|order| order.0).unwrap_or_default();
    house.work.cancel(&run.0, caller.name(), order.reason.as_deref()).await.map_err(refuse)?;
    show(State(house), run).await
}

async fn pause(
    State(house): State<House>,
    caller: Caller,
    run: Path<String>,
) -> Result<Json<RunStatus>, ApiError> {
    house.work.pause(&run.0, caller.name()).await.map_err(refuse)?;
    show(State(house), run).await
}

async fn resume(
    State(house): State<House>,
    caller: Caller,
    run: Path<String>,
) -> Result<Json<RunStatus>, ApiError> {
    house.work.resume(&run.0, caller.name()).await.map_err(refuse)?;
    show(State(house), run).await
}

async fn retry(
    State(house): State<House>,
    caller: Caller,
    run: Path<String>,
    order: Order<RetryOrder>,
) -> Result<Json<RunStatus>, ApiError> {
    let order = order.map(|order| order.0).unwrap_or_default();
    house.work.retry(&run.0, order.from.as_deref(), caller.name()).await.map_err(refuse)?;
    show(State(house), run).await
}

#[derive(Serialize)]
struct WorkerList {
    workers: Vec<WorkerStatus>,
}

async fn workers(State(house): State<House>) -> Result<Json<WorkerList>, ApiError> {
    let workers = house.work.workers().await.map_err(refuse)?;
    Ok(Json(WorkerList { workers }))
}

#[derive(Serialize)]
struct LimitList {
    limits: Vec<LimitStatus>,
}

async fn limits(State(house): State<House>) -> Result<Json<LimitList>, ApiError> {
    let limits = house.work.limits().await.map_err(refuse)?;
    Ok(Json(LimitList { limits }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitOrder {
    capacity: u32,
}

async fn set_limit(
    State(house): State<House>,
    key: Path<String>,
    order: Json<LimitOrder>,
) -> Result<Json<LimitList>, ApiError> {
    house.work.set_limit(&key.0, order.0.capacity).await.map_err(refuse)?;
    limits(State(house)).await
}
