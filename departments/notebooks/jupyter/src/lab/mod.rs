//! JupyterLab's pages, from its installed Python wheel: `share/jupyter/lab` beside the kernels, extensions from `labextensions`.
//!
//! The wheel holds everything that a browser loads; Python only hands it out. So we look for the folder where Jupyter would (anew for each
//! page, so that an installation needs no restart), tell the page where it is served, and keep settings and workspaces as files, in
//! jupyterlab_server's own format.

mod files;
mod json5;
mod page;
pub(crate) mod routes;
pub(crate) mod schema;
mod settings;
mod workspaces;

use std::path::{Path, PathBuf};

/// Our own extension of the page: its name, its script's place below that, the script.
const LIVE_NAME: &str = "backlot-live";
const LIVE_FILE: &str = "static/live.js";
const LIVE_SCRIPT: &str = include_str!("live.js");

/// An installed JupyterLab.
#[derive(Clone, Debug)]
pub(crate) struct Lab {
    /// `share/jupyter/lab`: `static`, `schemas`, `themes`, `settings`.
    app: PathBuf,
    /// Folders of prebuilt extensions, first match first.
    extensions: Vec<PathBuf>,
}

impl Lab {
    /// The JupyterLab in the first of Jupyter's data folders that has one.
    pub(crate) fn find(data: &[PathBuf]) -> Option<Lab> {
        let app = data
            .iter()
            .map(|folder| folder.join("lab"))
            .find(|lab| lab.join("static/index.html").is_file())?;
        let extensions = data.iter().map(|folder| folder.join("labextensions"));
        Some(Lab { app, extensions: extensions.filter(|folder| folder.is_dir()).collect() })
    }

    /// The prebuilt extensions: folder and `package.json` of each, the first of a name.
    fn installed_extensions(&self) -> Vec<(PathBuf, serde_json::Value)> {
        let mut found: Vec<(PathBuf, serde_json::Value)> = Vec::new();
        for folder in self.extensions.iter().flat_map(|folder| packages_in(folder)) {
            let Some(package) = read_json(&folder.join("package.json")) else { continue };
            if !found.iter().any(|(_, known)| known["name"] == package["name"]) {
                found.push((folder, package));
            }
        }
        found
    }
}

/// The folders of packages: `name` and `@organisation/name`, in order.
fn packages_in(folder: &Path) -> Vec<PathBuf> {
    let mut packages = Vec::new();
    for entry in folders_in(folder) {
        if entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('@')) {
            packages.extend(folders_in(&entry));
        } else {
            packages.push(entry);
        }
    }
    packages
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn read_json(file: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}
