//! Workspaces: how a user has laid out the page, a JSON file for each.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::read_json;
use crate::error::Error;

/// The ending of a workspace's file, as jupyterlab_server's.
const SUFFIX: &str = "jupyterlab-workspace";

fn folder(user: &Path) -> PathBuf {
    user.join("workspaces")
}

fn file(user: &Path, name: &str) -> PathBuf {
    // One file for each name, whatever is in it.
    let plain: String = crate::web::escape(name).replace('/', "%2F");
    folder(user).join(format!("{plain}.{SUFFIX}"))
}

fn with_times(file: &Path, mut workspace: Value) -> Value {
    if let (Ok(metadata), Some(about)) = (std::fs::metadata(file), workspace["metadata"].as_object_mut()) {
        let modified = crate::contents::moment(metadata.modified());
        about.insert("last_modified".to_owned(), Value::from(modified.clone()));
        about.insert("created".to_owned(), Value::from(modified));
    }
    workspace
}

/// All workspaces.
pub(super) fn list(user: &Path) -> Value {
    let entries = std::fs::read_dir(folder(user)).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == SUFFIX));
    files.sort();
    let workspaces: Vec<Value> =
        files.iter().filter_map(|file| Some(with_times(file, read_json(file)?))).collect();
    let ids: Vec<&Value> = workspaces.iter().map(|workspace| &workspace["metadata"]["id"]).collect();
    json!({ "workspaces": { "ids": ids, "values": workspaces } })
}

/// One workspace; an empty one if it was never saved.
pub(super) fn one(user: &Path, name: &str) -> Value {
    let file = file(user, name);
    match read_json(&file) {
        Some(workspace) => with_times(&file, workspace),
        None => json!({ "data": {}, "metadata": { "id": name } }),
    }
}

/// Keeps a workspace.
///
/// # Errors
/// 400 for one that has another name than its address.
pub(super) fn save(user: &Path, name: &str, workspace: &Value) -> Result<(), Error> {
    let id = workspace["metadata"]["id"].as_str().unwrap_or_default();
    if id.trim_start_matches('/') != name || !workspace["data"].is_object() {
        return Err(Error::bad_request(format!("Workspace metadata ID mismatch: expected {name} got {id}")));
    }
    std::fs::create_dir_all(folder(user)).map_err(|error| Error::from_io(&error, name))?;
    crate::contents::replace(&file(user, name), workspace.to_string().as_bytes(), name)
}

/// Forgets a workspace.
///
/// # Errors
/// 404 for one that is not there.
pub(super) fn delete(user: &Path, name: &str) -> Result<(), Error> {
    std::fs::remove_file(file(user, name)).map_err(|error| Error::from_io(&error, name))
}
