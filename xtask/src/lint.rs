//! `cargo xtask lint`: what must hold of the whole tree, cheap checks first.
//!
//! Each problem is one line that names the place and the mend. All checks run, so that one run tells everything.

mod architecture;
mod licence;
mod manifest;
mod packages;
mod tree;
mod unsafe_code;

use std::fs;
use std::process::Command;

use crate::failure::Failure;
use crate::process::{capture, cargo, status};
use crate::workspace::{self, Workspace};
use packages::Package;

/// Runs every check; an error if one found something.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let members = Package::all(&workspace::metadata(workspace, &["--no-deps"])?)?;
    let checks: [(&str, Check); 6] = [
        ("architecture", |_, members| Ok(architecture::problems(members))),
        ("manifests", manifests),
        ("licences", licences),
        ("tree", tree),
        ("rustfmt", rustfmt),
        ("clippy", clippy),
    ];
    let mut found = 0;
    for (name, check) in checks {
        let problems = check(workspace, &members)?;
        for problem in &problems {
            println!("{name}: {problem}");
        }
        if problems.is_empty() {
            println!("{name}: ok");
        }
        found += problems.len();
    }
    match found {
        0 => Ok(()),
        1 => Err(Failure::new("lint found a problem; its line above names the mend")),
        _ => Err(Failure::new(format!("lint found {found} problems; each line above names the mend"))),
    }
}

/// Looks at the workspace and its members and returns a line for each problem.
type Check = fn(&Workspace, &[Package]) -> Result<Vec<String>, Failure>;

fn manifests(workspace: &Workspace, members: &[Package]) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for member in members {
        let path = workspace.root.join(&member.folder).join("Cargo.toml");
        let text = fs::read_to_string(&path).map_err(Failure::at(&path))?;
        problems.extend(manifest::problems(member, &text));
    }
    Ok(problems)
}

fn licences(workspace: &Workspace, _: &[Package]) -> Result<Vec<String>, Failure> {
    let about = capture(Command::new("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failure::new("`rustc -vV` names no host; update Rust"))?;
    // Only what this platform links; without the filter, Windows' crates would be downloaded too.
    let metadata = workspace::metadata(workspace, &["--filter-platform", host])?;
    Ok(licence::problems(&Package::resolved(&metadata)?))
}

fn tree(workspace: &Workspace, _: &[Package]) -> Result<Vec<String>, Failure> {
    let mut list = Command::new("git");
    // Also what is not yet added, since it is about to be.
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(&workspace.root);
    let files = capture(&mut list)?;
    let machine = tree::machine_paths(&workspace.root);
    let mut problems = Vec::new();
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        // A file that is deleted but still in the index is not there, and what is not text names no path.
        if let Ok(text) = fs::read_to_string(workspace.root.join(file)) {
            problems.extend(tree::problems(file, &text, &machine));
            problems.extend(unsafe_code::problems(file, &text));
        }
    }
    Ok(problems)
}

fn rustfmt(workspace: &Workspace, _: &[Package]) -> Result<Vec<String>, Failure> {
    if !has_component("fmt") {
        return Ok(vec!["not installed; run `rustup component add rustfmt`".to_owned()]);
    }
    let mut command = cargo();
    command.args(["fmt", "--all", "--check", "--", "-l"]).current_dir(&workspace.root);
    let output = command.output().map_err(|error| crate::process::does_not_start(&command, &error))?;
    if output.status.success() {
        return Ok(Vec::new());
    }
    let root = format!("{}/", workspace.root.display());
    let files = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut problems: Vec<String> = files
        .lines()
        .map(|file| format!("{} is not formatted; run `cargo fmt --all`", file.trim_start_matches(&root)))
        .collect();
    if problems.is_empty() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        problems.push("failed; mend what it says above".to_owned());
    }
    Ok(problems)
}

fn clippy(workspace: &Workspace, _: &[Package]) -> Result<Vec<String>, Failure> {
    if !has_component("clippy") {
        return Ok(vec!["not installed; run `rustup component add clippy`".to_owned()]);
    }
    let mut command = cargo();
    command
        .args(["clippy", "--workspace", "--all-targets", "--keep-going", "--", "-D", "warnings"])
        .current_dir(&workspace.root);
    let ended = status(&mut command)?;
    Ok(if ended.success() { Vec::new() } else { vec!["failed; mend what it says above".to_owned()] })
}

fn has_component(subcommand: &str) -> bool {
    crate::process::succeeds(cargo().args([subcommand, "--version"]))
}
