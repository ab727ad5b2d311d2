//! The places of the workspace, and what cargo knows of it.

use std::env;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::process;

/// Where things are.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// The Python environment of tests: `BACKLOT_VENV`, else `.venv` in the root.
    pub(crate) venv: PathBuf,
}

impl Workspace {
    /// Finds the workspace this program was built from.
    pub(crate) fn find() -> Result<Workspace, Failure> {
        // Cargo sets the variable for `cargo run`; the one at compile time is for a program started by hand.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().filter(|root| root.join("Cargo.lock").is_file());
        let Some(root) = root.map(Path::to_path_buf) else {
            return Err(Failure::new("the workspace was not found; start this as `cargo xtask` inside it"));
        };
        let venv = set("BACKLOT_VENV").map_or_else(|| root.join(".venv"), PathBuf::from);
        // Tests run in their crate's folder, so a relative path would lead elsewhere.
        let venv = env::current_dir().map_or_else(|_| venv.clone(), |present| present.join(&venv));
        Ok(Workspace { root, venv })
    }

    /// Whether this is CI, where nothing may be skipped.
    pub(crate) fn is_ci() -> bool {
        set("CI").is_some_and(|value| value == "true" || value == "1")
    }
}

/// An environment variable that is set and not empty.
fn set(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The folder that cargo builds into, whichever of its settings says so.
pub(crate) fn target_directory(workspace: &Workspace) -> Result<PathBuf, Failure> {
    let metadata = metadata(workspace, &["--no-deps"])?;
    let folder = metadata["target_directory"].as_str();
    folder.map(PathBuf::from).ok_or_else(|| Failure::new("`cargo metadata` names no target_directory"))
}

/// What `cargo metadata` tells, with further arguments.
pub(crate) fn metadata(workspace: &Workspace, args: &[&str]) -> Result<serde_json::Value, Failure> {
    let mut command = process::cargo();
    command.args(["metadata", "--format-version", "1"]).args(args).current_dir(&workspace.root);
    let printed = process::capture(&mut command)?;
    serde_json::from_str(&printed)
        .map_err(|error| Failure::new(format!("`cargo metadata` is not understood: {error}")))
}
