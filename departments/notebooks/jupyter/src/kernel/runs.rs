//! `/api/kernels/{id}/runs`: how a page that is opened while a cell runs shows what comes after. Our own addition to Jupyter's interface.
//!
//! JupyterLab binds what a kernel publishes to a cell by the id of a request that the same page has sent, so a page that is opened later hears
//! all and shows nothing. It asks here for the runs that nobody shows, and then for each what it has put out, whenever it hears of more.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use backlot_notebooks_model::json::{Object, Value};
use tokio::sync::oneshot;

use super::Ask;
use crate::capture::Shown;
use crate::error::Error;
use crate::server::Server;
use crate::web::{json_response, parse_json};

fn model(shown: Shown) -> Value {
    let fields: Object = [
        ("request", Value::from(shown.request)),
        ("path", Value::from(shown.path)),
        ("cell", Value::from(shown.cell)),
        ("outputs", shown.outputs),
        ("execution_count", shown.count),
        ("is_over", Value::Bool(shown.is_over)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    Value::Object(fields)
}

/// `{"session": S}`: the connected client of this session takes over the runs whose client has gone. When they are told, the file
/// holds what they had put out, and the server writes no more of them.
pub(crate) async fn adopt(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    let kernel = server.kernels.find(&id)?;
    let body = parse_json(&body)?;
    let session = body["session"].as_str().filter(|session| !session.is_empty());
    let session =
        session.ok_or_else(|| Error::bad_request("the body names no `session` of a connected client"))?;
    let (done, adopted) = oneshot::channel();
    kernel.ask(Ask::Adopt(session.to_owned(), done)).await?;
    let adopted = adopted.await.map_err(|_| Error::not_found(format!("Kernel does not exist: {id}")))?;
    server.capture.save(&id).await;
    let runs = adopted.iter().filter_map(|request| server.capture.shown(&id, request)).map(model).collect();
    Ok(json_response(StatusCode::OK, Value::Array(runs).to_compact()))
}

/// What the run of a request has put out so far.
pub(crate) async fn one(
    State(server): State<Arc<Server>>,
    Path((id, request)): Path<(String, String)>,
) -> Result<Response, Error> {
    server.kernels.find(&id)?;
    let shown = server.capture.shown(&id, &request);
    let shown =
        shown.ok_or_else(|| Error::not_found(format!("No run of the request {request} is followed")))?;
    Ok(json_response(StatusCode::OK, model(shown).to_compact()))
}
