//! `cargo xtask premiere`: from a fresh checkout to the main job on real input.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::process::{cargo, run as run_to_end};
use crate::setup;
use crate::workspace::{Workspace, target_directory};

/// Installs what is missing, builds, and becomes `backlot premiere ARGS`.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<(), Failure> {
    setup::for_premiere(workspace, !names_a_clip(args))?;
    if !asks_for_help(args) {
        setup::kernel_for_premiere(workspace);
    }
    run_to_end(cargo().args(["build", "--release", "--package", "backlot"]).current_dir(&workspace.root))?;
    let binary = target_directory(workspace)?.join("release/backlot");
    let mut premiere = Command::new(&binary);
    premiere.arg("premiere").args(args);
    setup::pass_on(&workspace.venv, &mut premiere);
    // In place of this program, so that Ctrl-C and the exit code are the premiere's own.
    let error = premiere.exec();
    Err(Failure::new(format!("{} does not start: {error}", binary.display())))
}

/// Whether an argument is a file. If it is a mistyped name, the premiere says so; a pip was looked for in vain.
fn names_a_clip(args: &[String]) -> bool {
    asks_for_help(args) || args.iter().any(|arg| Path::new(arg).is_file())
}

fn asks_for_help(args: &[String]) -> bool {
    args.iter().any(|arg| arg == "--help" || arg == "-h")
}
