//! The routes of `/api/kernels`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Ask, Kernel, Wish};
use crate::error::Error;
use crate::events::KERNELS;
use crate::guard::User;
use crate::server::Server;
use crate::web::{json_response, parse_json};

/// Tells what a user did with a kernel.
pub(crate) fn tell(server: &Server, user: &User, action: &str, done: &str, kernel: &Kernel) {
    let data = json!({
        "action": action, "kernel_id": kernel.id, "kernel_name": kernel.name, "status": "success",
        "msg": format!("Kernel {} was {done}.", kernel.id),
    });
    server.events.emit(KERNELS, &user.0, &data);
}

pub(crate) async fn list(State(server): State<Arc<Server>>) -> Response {
    let models: Vec<Value> = server.kernels.all().iter().map(|kernel| kernel.model()).collect();
    json_response(StatusCode::OK, Value::Array(models).to_string())
}

/// Starts a kernel: `{"name", "path", "kernel_id", "env"}`, all optional. Of the variables only `KERNEL_*` are passed, as gateways do.
pub(crate) async fn start(
    State(server): State<Arc<Server>>,
    user: User,
    body: Bytes,
) -> Result<Response, Error> {
    let model = parse_json(&body)?;
    let text = |key: &str| model[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let env = model["env"].as_object().into_iter().flatten();
    let env = env.filter(|(key, _)| key.starts_with("KERNEL_"));
    let env = env.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
    let wish = Wish {
        name: text("name"),
        id: text("kernel_id"),
        directory: server.kernel_directory(&text("path").unwrap_or_default()),
        env,
    };
    let kernel = server.kernels.start(wish).await.map_err(|mut error| {
        if error.status == StatusCode::NOT_IMPLEMENTED {
            error.status = StatusCode::INTERNAL_SERVER_ERROR;
        }
        error
    })?;
    tell(&server, &user, "start", "started", &kernel);
    let location = format!("{}api/kernels/{}", server.config.base_url, kernel.id);
    let body = json_response(StatusCode::CREATED, kernel.model().to_string());
    Ok(([(header::LOCATION, location)], body).into_response())
}

pub(crate) async fn one(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    Ok(json_response(StatusCode::OK, server.kernels.find(&id)?.model().to_string()))
}

pub(crate) async fn end(
    State(server): State<Arc<Server>>,
    user: User,
    Path(id): Path<String>,
) -> Result<StatusCode, Error> {
    let kernel = server.kernels.find(&id)?;
    server.kernels.shut_down(&id).await?;
    tell(&server, &user, "shutdown", "shutdown", &kernel);
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn interrupt(
    State(server): State<Arc<Server>>,
    user: User,
    Path(id): Path<String>,
) -> Result<StatusCode, Error> {
    let kernel = server.kernels.find(&id)?;
    kernel.ask(Ask::Interrupt).await?;
    tell(&server, &user, "interrupt", "interrupted", &kernel);
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn restart(
    State(server): State<Arc<Server>>,
    user: User,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let kernel = server.kernels.find(&id)?;
    kernel.restart().await?;
    tell(&server, &user, "restart", "restarted", &kernel);
    Ok(json_response(StatusCode::OK, kernel.model().to_string()))
}
