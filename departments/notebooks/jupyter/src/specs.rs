//! Kernelspecs: which kernels are installed, as their `kernel.json` says, with logos and other files beside it.
//!
//! They are read anew for each listing, so that a kernel that was just installed is there without a restart.

use std::sync::Arc;

use axum::extract::{Path as UrlPath, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use backlot_notebooks_kernels::KernelSpec;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::server::Server;
use crate::web::{escape, json_response};

fn model(spec: &KernelSpec, base_url: &str) -> Value {
    let mut resources = Map::new();
    let entries = std::fs::read_dir(&spec.folder).into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        let file = entry.file_name().to_string_lossy().into_owned();
        let key = match file.as_str() {
            "kernel.js" | "kernel.css" => file.clone(),
            logo if logo.starts_with("logo-") => logo.split('.').next().unwrap_or(logo).to_owned(),
            _ => continue,
        };
        let url = format!("{base_url}kernelspecs/{}/{}", escape(&spec.name), escape(&file));
        resources.insert(key, Value::String(url));
    }
    json!({ "name": spec.name, "spec": spec.json, "resources": resources })
}

pub(crate) async fn list(State(server): State<Arc<Server>>) -> Response {
    let (mut specs, errors) = server.config.kernels.all();
    for error in errors {
        tracing::warn!(%error, "a kernelspec is left out");
    }
    for spec in deployed(&server).await {
        specs.insert(spec.name.clone(), spec);
    }
    let models: Map<String, Value> =
        specs.iter().map(|(name, spec)| (name.clone(), model(spec, &server.config.base_url))).collect();
    let answer = json!({ "default": server.config.kernels.default_name(), "kernelspecs": models });
    json_response(StatusCode::OK, answer.to_string())
}

/// What is deployed counts over what is installed.
async fn deployed(server: &Server) -> Vec<KernelSpec> {
    let Some(deployments) = &server.config.deployments else { return Vec::new() };
    deployments.stable().await.unwrap_or_else(|error| {
        tracing::error!(%error, "deployed kernelspecs are left out");
        Vec::new()
    })
}

async fn known(server: &Server, name: &str) -> Result<KernelSpec, Error> {
    if let Some(spec) = deployed(server).await.into_iter().find(|spec| spec.name.eq_ignore_ascii_case(name)) {
        return Ok(spec);
    }
    let spec = server.config.kernels.find(name);
    spec.map_err(|_| Error::not_found(format!("Kernel spec {name} not found")))
}

pub(crate) async fn one(
    State(server): State<Arc<Server>>,
    UrlPath(name): UrlPath<String>,
) -> Result<Response, Error> {
    let model = model(&known(&server, &name).await?, &server.config.base_url);
    Ok(json_response(StatusCode::OK, model.to_string()))
}

/// A logo, or another file of the kernel's folder.
pub(crate) async fn resource(
    State(server): State<Arc<Server>>,
    UrlPath((name, file)): UrlPath<(String, String)>,
) -> Result<Response, Error> {
    let spec = known(&server, &name).await?;
    let absent = || Error::not_found(format!("the kernel {name} has no file {file}"));
    if file.split('/').any(|part| part.is_empty() || part.starts_with('.')) || file.contains('\0') {
        return Err(absent());
    }
    let place = spec.folder.join(&file);
    let bytes = tokio::fs::read(place).await.map_err(|_| absent())?;
    Ok(([(header::CONTENT_TYPE, crate::contents::mime_of(&file))], bytes).into_response())
}
