//! Jobs written in Python: a file that is job and functions at once.
//!
//! The file describes itself (`python3 job.py --describe` prints the job as JSON), and is then laid beside its functions on every
//! worker, together with the module `backlot.archer`, so that workers need no package of ours.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::{Job, JobError};

/// The module, as the Python package has it.
const SDK: &str = include_str!("../../../../clients/python/python/backlot/archer.py");

/// Makes the laid-down module part of an installed package, if there is one: `backlot._client` is still found.
const PACKAGE: &str = "\"\"\"The part of the package that a job needs.\"\"\"\nfrom pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n";

/// The variable that names another interpreter for describing jobs.
const INTERPRETER: &str = "BACKLOT_PYTHON";

/// A file that only defines functions describes itself at once; one that loads models meanwhile takes longer.
const DESCRIBES_WITHIN: Duration = Duration::from_secs(120);

/// A job and the directory of the module that it needs, which must live until its files are taken.
pub(crate) struct PythonJob {
    pub(crate) job: Job,
    pub(crate) _sdk: tempfile::TempDir,
}

/// Asks a Python file for its job.
pub(crate) async fn describe(file: &Path) -> Result<PythonJob, JobError> {
    let wrong = |reason: String| JobError(format!("{}: {reason}", file.display()));
    let sdk = tempfile::tempdir().map_err(|error| wrong(error.to_string()))?;
    let (package, module) = lay_sdk(sdk.path()).map_err(|error| wrong(error.to_string()))?;
    let interpreter = std::env::var_os(INTERPRETER).unwrap_or_else(|| "python3".into());
    let mut command = Command::new(&interpreter);
    command.arg(file).arg("--describe").env("PYTHONPATH", sdk.path()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env_remove("ARCHER_FUNCTION").stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(DESCRIBES_WITHIN, command.output()).await {
        Err(_) => {
            return Err(wrong(format!(
                "it did not describe itself within {} s; end it with `archer.main()` below `if __name__ == \"__main__\"`",
                DESCRIBES_WITHIN.as_secs()
            )));
        }
        Ok(Err(error)) => {
            return Err(wrong(format!(
                "{} cannot be run: {error}; install Python 3, or set {INTERPRETER}",
                interpreter.display()
            )));
        }
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        return Err(wrong(format!(
            "it cannot describe itself: {last}; run it with `--describe` and mend that"
        )));
    }
    let mut job = Job::from_json(&String::from_utf8_lossy(&output.stdout)).map_err(|error| {
        wrong(format!(
            "{error}; a job's file ends with `archer.main()` and prints nothing else when it is described"
        ))
    })?;
    job.files.insert("sdk/backlot/__init__.py".to_owned(), package);
    job.files.insert("sdk/backlot/archer.py".to_owned(), module);
    job.env.entry("PYTHONPATH".to_owned()).or_insert_with(|| "sdk".to_owned());
    Ok(PythonJob { job, _sdk: sdk })
}

fn lay_sdk(directory: &Path) -> std::io::Result<(PathBuf, PathBuf)> {
    let folder = directory.join("backlot");
    std::fs::create_dir_all(&folder)?;
    let (package, module) = (folder.join("__init__.py"), folder.join("archer.py"));
    std::fs::write(&package, PACKAGE)?;
    std::fs::write(&module, SDK)?;
    Ok((package, module))
}
