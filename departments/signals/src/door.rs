//! The door: explanations for programs.

use std::num::NonZeroUsize;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use backlot_department::{House, Shown, blob_response};
use backlot_series::Source;
use backlot_web::ApiError;
use backlot_web::extract::{Bytes, Path, Query};
use backlot_work::{BlobRef, Error as WorkError, StepState};
use serde::Deserialize;
use serde_json::json;

use crate::changes::{self, ChangesAsked};
use crate::department::DOOR;
use crate::live::{Gate, LiveAsked};
use crate::progress::Progress;
use crate::read::{self, Form};
use crate::{Asked, Error, kinds};

/// A table in the body of a request; larger ones go through the command line.
pub(crate) const MOST_BODY_BYTES: u64 = 512 << 20;

/// A client may wait this long for an explanation in one request; the server's own limit on a request is a minute.
const MOST_WAIT: Duration = Duration::from_secs(30);

/// Values whose change points a client may wait for: seconds of work with the usual cost.
const MOST_CHANGES_VALUES: usize = 1 << 21;

/// The same for costs whose search may compare all pairs of places of a signal: a thousand signals of a day of minutes.
const MOST_CHANGES_PAIRS: usize = 1 << 31;

/// What the door and the pages work with.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) house: House,
    pub(crate) gate: Gate,
}

pub(crate) fn routes(desk: Desk) -> Router {
    Router::new()
        .route("/changes", post(changes_of))
        .route("/explanations", post(ask))
        .route("/explanations/{run}", get(explanation))
        .route("/explanations/{run}/files/{name}", get(file))
        .with_state(desk)
}

/// An error of durable work, for a client.
pub(crate) fn refuse_work(error: &WorkError) -> ApiError {
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

/// An error of ours, for a client.
pub(crate) fn refuse(error: &Error) -> ApiError {
    let (message, mend) = error.halves();
    match error {
        Error::Busy(_) | Error::Unavailable(_) => ApiError::unavailable(message, mend),
        Error::File { .. } => ApiError::internal(error),
        _ => ApiError::invalid(message, mend),
    }
}

impl Desk {
    /// Fetches live metrics and submits their explanation; the run.
    pub(crate) async fn explain_live(&self, asked: &LiveAsked) -> Result<String, ApiError> {
        let source = self.house.services().get::<dyn Source>().ok_or_else(|| {
            ApiError::unavailable("no department of this server keeps metrics", "post a table instead")
        })?;
        let now = self.house.ledger.now().micros().div_euclid(1000);
        let gathered = self.gate.gather(&*source, asked, now).await.map_err(|error| refuse(&error))?;
        self.submit(gathered.table.to_bytes().into(), Form::Own, &gathered.asked).await
    }

    /// Stores a table and submits its explanation; the run.
    pub(crate) async fn submit(
        &self,
        table: bytes::Bytes,
        form: Form,
        asked: &Asked,
    ) -> Result<String, ApiError> {
        let table = self.house.store.put(table).await.map_err(|error| ApiError::internal(&error))?;
        kinds::submit(&self.house, table, form, asked, None).await.map_err(|error| refuse_work(&error))
    }

    /// The blob of a form of the explanation; `None` until it is concluded.
    pub(crate) async fn form(&self, run: &str, name: &str) -> Result<Option<BlobRef>, ApiError> {
        let steps = self.house.work.steps(run).await.map_err(|error| refuse_work(&error))?;
        if !steps.iter().any(|step| step.name == "conclude" && step.state == StepState::Succeeded) {
            return Ok(None);
        }
        let outputs = self.house.work.outputs(run, "conclude").await.map_err(|error| refuse_work(&error))?;
        Ok(BlobRef::from_value(&outputs[name]))
    }
}

/// A JSON body asks about live metrics; every other is a table, which the query string asks about.
async fn ask(
    State(desk): State<Desk>,
    headers: HeaderMap,
    query: axum::extract::RawQuery,
    body: Bytes,
) -> Result<Response, ApiError> {
    let is_json =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        });
    let run = if is_json {
        let asked: LiveAsked = serde_json::from_slice(&body.0).map_err(|error| {
            ApiError::invalid(
                format!("the question is not understood: {error}"),
                "send `{\"alert\": QUERY, \"candidates\": QUERY, \"at\": TIME}`; a table needs another Content-Type",
            )
        })?;
        desk.explain_live(&asked).await?
    } else {
        let asked = asked_of(query.0.as_deref())?;
        if body.0.is_empty() {
            return Err(ApiError::bad_request(
                "there is no table",
                "send CSV or Parquet as the body, or a question as JSON",
            ));
        }
        let form = Form::of(&body.0);
        if form == Form::Own {
            return Err(ApiError::bad_request(
                "this is a table's own form, which is not taken from outside",
                "send CSV or Parquet",
            ));
        }
        desk.submit(body.0, form, &asked).await?
    };
    let answer = json!({ "run": run, "explanation": format!("{DOOR}/explanations/{run}"), "page": format!("/signals/{run}") });
    Ok((StatusCode::ACCEPTED, axum::Json(answer)).into_response())
}

/// Change points of a table's signals, computed while the client waits: a signal takes a millisecond or so.
async fn changes_of(query: Query<ChangesAsked>, body: Bytes) -> Result<Response, ApiError> {
    let found = tokio::task::spawn_blocking(move || {
        let table = read::table_from(body.0.to_vec())?;
        if table.signals.len().saturating_mul(table.header.points) > MOST_CHANGES_VALUES {
            return Err(Error::Parameter(format!(
                "change points of more than {MOST_CHANGES_VALUES} values are not looked for while a client waits; use `backlot signals changes`"
            )));
        }
        let pairs = table.signals.len().saturating_mul(table.header.points.saturating_pow(2));
        if query.0.model != ChangesAsked::default().model && pairs > MOST_CHANGES_PAIRS {
            return Err(Error::Parameter(format!(
                "the cost {} is too slow for {} signals of {} points while a client waits; use `backlot signals changes`, or the cost l2",
                query.0.model,
                table.signals.len(),
                table.header.points
            )));
        }
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        changes::find(&table, &query.0, threads, &Progress::default())
    });
    let found = found.await.map_err(|error| ApiError::internal(&error))?.map_err(|error| refuse(&error))?;
    Ok(axum::Json(found).into_response())
}

fn asked_of(query: Option<&str>) -> Result<Asked, ApiError> {
    let uri = format!("/?{}", query.unwrap_or_default());
    let uri = uri
        .parse::<axum::http::Uri>()
        .map_err(|_| ApiError::bad_request("the query string is malformed", "percent-encode it"))?;
    let asked = axum::extract::Query::<Asked>::try_from_uri(&uri)
        .map_err(|error| ApiError::bad_request(error.body_text(), "correct the query string"))?
        .0;
    if asked.alert.is_empty() {
        return Err(ApiError::bad_request("no alert is named", "add `?alert=SIGNAL`"));
    }
    Ok(asked)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Patience {
    /// Seconds to wait for the run's end.
    wait: f64,
}

async fn explanation(
    State(desk): State<Desk>,
    Path(run): Path<String>,
    patience: Query<Patience>,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let wait = patience.0.wait;
    if wait.is_finite() && wait > 0.0 {
        let wait = Duration::from_secs_f64(wait.min(MOST_WAIT.as_secs_f64()));
        // Whether it has ended shows below.
        let _ = tokio::time::timeout(wait, desk.house.work.wait(&run)).await;
    }
    serve(&desk, &run, "explanation", &request).await
}

async fn file(
    State(desk): State<Desk>,
    Path((run, name)): Path<(String, String)>,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    serve(&desk, &run, &name, &request).await
}

async fn serve(desk: &Desk, run: &str, name: &str, request: &HeaderMap) -> Result<Response, ApiError> {
    let status = desk.house.work.run(run).await.map_err(|error| refuse_work(&error))?;
    let Some(blob) = desk.form(&status.id, name).await? else {
        return Err(if status.state.is_final() {
            let why = status.error.unwrap_or_else(|| format!("the run has no {name}"));
            ApiError::not_found(why, format!("see /runs/{}", status.id))
        } else {
            let message = format!("run {} is still at work", status.id);
            ApiError::new(StatusCode::CONFLICT, "still_at_work", message, "ask again with `?wait=20`")
        });
    };
    blob_response(&desk.house.store, &blob, name, request, Shown::InPlace).await
}
