//! `cargo xtask setup`: what tests and the premiere need on a fresh Debian machine.
//!
//! Two layers, each skipped in milliseconds when it is already there: Debian packages, and Python packages (with the
//! test clips that one of them carries) in a virtual environment inside the workspace.

mod debian;
mod venv;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process::succeeds;
use crate::workspace::Workspace;

/// Everything that a test may look for.
pub(crate) fn everything(workspace: &Workspace) -> Result<(), Failure> {
    debian::install(&[
        debian::ALERTMANAGER,
        debian::FFMPEG,
        debian::CHROMIUM,
        debian::FUSE,
        debian::BUBBLEWRAP,
        debian::POSTGRESQL,
        debian::PROMETHEUS,
        debian::PYTHON,
        debian::VICTORIA_METRICS,
    ])?;
    venv::install(&workspace.root, &workspace.venv, &[venv::DATA, venv::TOOLS])?;
    println!("setup: ready; Python in {}", workspace.venv.display());
    Ok(())
}

/// What the premiere needs: an ffmpeg, and if it `fetches_a_sample`, a Python with pip.
pub(crate) fn for_premiere(workspace: &Workspace, fetches_a_sample: bool) -> Result<(), Failure> {
    if !venv::has_ffmpeg(&workspace.venv) {
        debian::install(&[debian::FFMPEG])?;
    }
    if fetches_a_sample && !succeeds(Command::new("python3").args(["-m", "pip", "--version"])) {
        debian::install(&[debian::PYTHON])?;
        venv::install(&workspace.root, &workspace.venv, &[])?;
    }
    Ok(())
}

/// The kernel in which the premiere's report runs. The premiere goes without where it cannot be had.
pub(crate) fn kernel_for_premiere(workspace: &Workspace) {
    if venv::has_kernel(&workspace.venv) {
        return;
    }
    let has_python = venv::is_made(&workspace.venv)
        || succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"]));
    let python = if has_python { Ok(()) } else { debian::install(&[debian::PYTHON]) };
    let installed = python.and_then(|()| venv::install(&workspace.root, &workspace.venv, &[venv::KERNEL]));
    if let Err(failure) = installed {
        println!("setup: no Jupyter kernel, so the premiere goes without its report: {}", failure.message);
    }
}

/// The peers of the benchmarks and the clips, in a Python environment of their own at `folder`: their pins must not decide which
/// versions the tests run with.
pub(crate) fn for_benches(workspace: &Workspace, folder: &Path) -> Result<(), Failure> {
    debian::install(&[
        debian::POSTGRESQL,
        debian::PYTHON,
        debian::S3FS,
        debian::RCLONE,
        debian::VICTORIA_METRICS,
        debian::NODE_EXPORTER,
    ])?;
    venv::install(&workspace.root, folder, &[venv::PEERS, venv::DATA])
}

/// Hands the Python environment at `venv`, if it is there, to a child program: as `BACKLOT_VENV`, and as the `python3`
/// of its `PATH`, since Debian's own has no pip.
pub(crate) fn pass_on(venv: &Path, command: &mut Command) {
    let programs = venv.join("bin");
    if !programs.join("python").exists() {
        return;
    }
    command.env("BACKLOT_VENV", venv);
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(programs).chain(env::split_paths(&path).collect::<Vec<PathBuf>>());
    // Only a folder with a colon in its name cannot be joined, and then the venv is found by its variable.
    if let Ok(path) = env::join_paths(folders) {
        command.env("PATH", path);
    }
}
