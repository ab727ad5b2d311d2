//! The clients of this suite, installed once into the target directory at the versions that are pinned.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_conformance::Environment;

/// Where the scripts and pins are.
pub(crate) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("spectator")
}

/// Why a case cannot run: what is missing, and the mend.
pub(crate) type Missing = String;

/// Python with the client of these pins (`requirements-1.txt`) on its path.
pub(crate) fn python(pins: &str) -> Result<Command, Missing> {
    let environment = Environment::find().map_err(|missing| missing.to_string())?;
    let folder = installed(pins, |folder| {
        let mut pip = Command::new(environment.python());
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--target",
        ]);
        pip.arg(folder).arg("-r").arg(scripts().join(pins)).env("PIP_ROOT_USER_ACTION", "ignore");
        pip
    })?;
    let mut python = Command::new(environment.python());
    python.env("PYTHONPATH", folder);
    // The client would read tags and a location of the environment.
    for (name, _) in
        env::vars().filter(|(name, _)| name.starts_with("NETFLIX_") || name.starts_with("SPECTATOR_"))
    {
        python.env_remove(name);
    }
    Ok(python)
}

/// Node with the clients of `package.json` on its path.
pub(crate) fn node() -> Result<Command, Missing> {
    for program in ["node", "npm"] {
        let runs =
            Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
        if !runs {
            return Err(format!("{program} is missing; apt-get install nodejs npm"));
        }
    }
    let folder = installed("package.json", |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(folder);
        npm
    })?;
    let mut node = Command::new("node");
    node.env("NODE_PATH", folder.join("node_modules"));
    Ok(node)
}

/// A folder below the target directory in which what `pins` names is installed.
fn installed(pins: &str, command: impl FnOnce(&Path) -> Command) -> Result<PathBuf, Missing> {
    let failed = |reason: String| format!("the clients of {pins} cannot be installed: {reason}");
    let program = env::current_exe().map_err(|error| failed(error.to_string()))?;
    let target = program.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
    let folder = target.join("conformance-clients").join(pins);
    let wanted = fs::read_to_string(scripts().join(pins)).map_err(|error| failed(error.to_string()))?;
    let copy = folder.join("installed-pins");
    if fs::read_to_string(&copy).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    // What an interrupted installation left must not be taken for a whole one.
    let _removed = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| failed(error.to_string()))?;
    fs::copy(scripts().join(pins), folder.join(pins)).map_err(|error| failed(error.to_string()))?;
    println!("installing the clients of {pins} into {}", folder.display());
    let output = command(&folder).output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    fs::write(&copy, wanted).map_err(|error| failed(error.to_string()))?;
    Ok(folder)
}
