//! Kernelspecs: which kernels are installed, as their `kernel.json` says, with logos and other files beside it.
//!
//! They are read anew for each listing, so that a kernel that was just installed is there without a restart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Path as UrlPath, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::server::Server;
use crate::web::{escape, json_response};

/// The kernel that is started when none is named, if it is installed.
const DEFAULT: &str = "python3";

/// Where kernels are looked for, first match first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelPath(Vec<PathBuf>);

impl KernelPath {
    /// Folders that hold a folder for each kernel.
    pub fn new(folders: Vec<PathBuf>) -> KernelPath {
        KernelPath(folders)
    }

    /// Where Jupyter looks, by this process's environment: `JUPYTER_PATH`, the Python environment one is in, the user's data folder, the
    /// system's.
    pub fn from_env() -> KernelPath {
        let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let mut data: Vec<PathBuf> = Vec::new();
        data.extend(given("JUPYTER_PATH").iter().flat_map(std::env::split_paths));
        let mut prefixes: Vec<PathBuf> = ["VIRTUAL_ENV", "CONDA_PREFIX"]
            .iter()
            .filter_map(|name| given(name).map(PathBuf::from))
            .collect();
        let path = given("PATH").unwrap_or_default();
        let python = std::env::split_paths(&path).find(|folder| folder.join("python3").exists());
        prefixes.extend(python.as_deref().and_then(Path::parent).map(Path::to_owned));
        data.extend(prefixes.iter().map(|prefix| prefix.join("share/jupyter")));
        let user = given("JUPYTER_DATA_DIR").map(PathBuf::from);
        let home = || Some(PathBuf::from(given("HOME")?).join(".local/share/jupyter"));
        data.extend(user.or_else(home));
        data.extend(["/usr/local/share/jupyter", "/usr/share/jupyter"].map(PathBuf::from));
        let mut folders: Vec<PathBuf> = Vec::new();
        for folder in data.into_iter().map(|folder| folder.join("kernels")) {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        KernelPath(folders)
    }

    /// All kernels by name; those whose `kernel.json` cannot be read are left out.
    pub(crate) fn all(&self) -> BTreeMap<String, Spec> {
        let mut specs = BTreeMap::new();
        for folder in &self.0 {
            for entry in std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
                let name = entry.file_name().to_string_lossy().to_lowercase();
                let is_name =
                    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
                if is_name && !specs.contains_key(&name) {
                    match Spec::read(&name, &entry.path()) {
                        Ok(Some(spec)) => drop(specs.insert(name, spec)),
                        Ok(None) => {}
                        Err(error) => tracing::warn!(kernel = name, %error, "a kernelspec cannot be read"),
                    }
                }
            }
        }
        specs
    }

    /// The kernel of a name; names do not depend on case.
    pub(crate) fn find(&self, name: &str) -> Option<Spec> {
        self.all().remove(&name.to_lowercase())
    }

    /// The kernel that is started when none is named.
    pub(crate) fn default_name(&self) -> String {
        let specs = self.all();
        if specs.contains_key(DEFAULT) {
            return DEFAULT.to_owned();
        }
        specs.into_keys().next().unwrap_or_else(|| DEFAULT.to_owned())
    }
}

/// An installed kernel.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// Its `kernel.json`, with defaults filled in.
    pub(crate) json: Value,
}

impl Spec {
    fn read(name: &str, folder: &Path) -> std::io::Result<Option<Spec>> {
        let file = folder.join("kernel.json");
        if !file.is_file() {
            return Ok(None);
        }
        let mut json: Value = serde_json::from_slice(&std::fs::read(file)?)?;
        let Some(object) = json.as_object_mut() else {
            return Err(std::io::Error::other("kernel.json is no object"));
        };
        let defaults = [
            ("argv", json!([])),
            ("env", json!({})),
            ("display_name", json!("")),
            ("language", json!("")),
            ("interrupt_mode", json!("signal")),
            ("metadata", json!({})),
        ];
        for (key, default) in defaults {
            object.entry(key).or_insert(default);
        }
        Ok(Some(Spec { name: name.to_owned(), folder: folder.to_owned(), json }))
    }

    /// A text of its `kernel.json`.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap_or_default()
    }

    fn model(&self, base_url: &str) -> Value {
        let mut resources = Map::new();
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        for entry in entries {
            let file = entry.file_name().to_string_lossy().into_owned();
            let key = match file.as_str() {
                "kernel.js" | "kernel.css" => file.clone(),
                logo if logo.starts_with("logo-") => logo.split('.').next().unwrap_or(logo).to_owned(),
                _ => continue,
            };
            let url = format!("{base_url}kernelspecs/{}/{}", escape(&self.name), escape(&file));
            resources.insert(key, Value::String(url));
        }
        json!({ "name": self.name, "spec": self.json, "resources": resources })
    }
}

pub(crate) async fn list(State(server): State<Arc<Server>>) -> Response {
    let specs = server.config.kernels.all();
    let models: Map<String, Value> =
        specs.iter().map(|(name, spec)| (name.clone(), spec.model(&server.config.base_url))).collect();
    let answer = json!({ "default": server.config.kernels.default_name(), "kernelspecs": models });
    json_response(StatusCode::OK, answer.to_string())
}

fn known(server: &Server, name: &str) -> Result<Spec, Error> {
    let spec = server.config.kernels.find(name);
    spec.ok_or_else(|| Error::not_found(format!("Kernel spec {name} not found")))
}

pub(crate) async fn one(
    State(server): State<Arc<Server>>,
    UrlPath(name): UrlPath<String>,
) -> Result<Response, Error> {
    let model = known(&server, &name)?.model(&server.config.base_url);
    Ok(json_response(StatusCode::OK, model.to_string()))
}

/// A logo, or another file of the kernel's folder.
pub(crate) async fn resource(
    State(server): State<Arc<Server>>,
    UrlPath((name, file)): UrlPath<(String, String)>,
) -> Result<Response, Error> {
    let spec = known(&server, &name)?;
    let absent = || Error::not_found(format!("the kernel {name} has no file {file}"));
    if file.split('/').any(|part| part.is_empty() || part.starts_with('.')) || file.contains('\0') {
        return Err(absent());
    }
    let place = spec.folder.join(&file);
    let bytes = tokio::fs::read(place).await.map_err(|_| absent())?;
    Ok(([(header::CONTENT_TYPE, crate::contents::mime_of(&file))], bytes).into_response())
}
