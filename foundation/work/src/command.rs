//! The kind `command`: a program as a task.
//!
//! The program runs in the task's scratch directory with a small, stated environment. Blobs in `argv` become paths;
//! `files` are laid down before the start, `outputs` are taken up after success, standard output is the output
//! `stdout`. A non-zero exit status fails the attempt with the last line of standard error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde_json::Value;
use tokio::process::Command;

use crate::kind::{BlobRef, Kind, Outputs, TaskContext, TaskError};
use crate::process::Input;
use crate::spec::{COMMAND_KIND, CommandSpec};

/// Variables that every child gets from its worker: without them common programs do not find their parts.
const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

pub(crate) struct CommandKind;

#[async_trait]
impl Kind for CommandKind {
    fn name(&self) -> &str {
        COMMAND_KIND
    }

    async fn run(&self, task: TaskContext) -> Result<Outputs, TaskError> {
        let spec: CommandSpec = task.parse()?;
        let scratch = task.scratch()?.to_owned();
        let mut argv = Vec::with_capacity(spec.argv.len());
        let mut files = Vec::new(); // kept until the program has ended
        for argument in &spec.argv {
            argv.push(match BlobRef::from_value(argument) {
                Some(blob) => {
                    let file = task.file(&blob).await?;
                    let path = file.path().as_os_str().to_owned();
                    files.push(file);
                    path
                }
                None => plain_text(argument).into(),
            });
        }
        let (program, arguments) = argv
            .split_first()
            .ok_or_else(|| TaskError::Permanent("the command is empty; name the program".to_owned()))?;
        // The program's own files live apart from what the engine keeps, so that no name can clash.
        let directory = match &spec.cwd {
            Some(directory) => PathBuf::from(directory),
            None => scratch.join("work"),
        };
        if spec.cwd.is_none() {
            std::fs::create_dir_all(&directory).map_err(|error| failed(&directory, &error))?;
        } else if !directory.is_dir() {
            return Err(TaskError::Permanent(format!(
                "the directory `{}` does not exist here",
                directory.display()
            )));
        }
        lay_files(&task, &directory, &spec.files).await?;

        let mut command = Command::new(program);
        command.args(arguments).current_dir(&directory).env_clear();
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        for name in &spec.env_pass {
            let value = std::env::var_os(name).ok_or_else(|| {
                TaskError::Permanent(format!(
                    "`env_pass` names `{name}`, which the worker's environment does not have; set it there"
                ))
            })?;
            command.env(name, value);
        }
        for (name, value) in &spec.env {
            command.env(name, plain_text(value));
        }
        command.env("BACKLOT_RUN", task.run()).env("BACKLOT_STEP", task.step());
        command
            .env("BACKLOT_INDEX", task.index().to_string())
            .env("BACKLOT_ATTEMPT", task.attempt().to_string());

        let input = match (&spec.stdin, BlobRef::from_value(&spec.stdin)) {
            (_, Some(blob)) => {
                let file = task.file(&blob).await?;
                let path = file.path().to_owned();
                files.push(file);
                Input::File(path)
            }
            (Value::Null, None) => Input::Null,
            (value, None) => Input::Bytes(plain_text(value).into_bytes()),
        };
        let stdout = scratch.join("stdout");
        let ended = task.child(command, input, Some(&stdout)).await?;
        if !ended.status.success() {
            return Err(TaskError::Retryable(format!(
                "`{}`: {}",
                program.to_string_lossy(),
                ended.describe()
            )));
        }
        let mut outputs = Outputs::new().value("exit_code", 0)?;
        outputs = outputs.blob("stdout", &task.put_file(&stdout, "text/plain").await?);
        for (name, path) in &spec.outputs {
            let path = directory.join(path);
            if !path.is_file() {
                return Err(TaskError::Permanent(format!(
                    "the command succeeded but did not write `{}`, its output `{name}`",
                    path.strip_prefix(&directory).unwrap_or(&path).display()
                )));
            }
            outputs = outputs.blob(name, &task.put_file(&path, media_type(&path)).await?);
        }
        Ok(outputs)
    }
}

async fn lay_files(
    task: &TaskContext,
    directory: &Path,
    files: &BTreeMap<String, Value>,
) -> Result<(), TaskError> {
    for (name, content) in files {
        let path = directory.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        }
        match BlobRef::from_value(content) {
            Some(blob) => {
                task.store().fetch_to(&blob.digest, &path).await?;
            }
            None => std::fs::write(&path, plain_text(content)).map_err(|error| failed(&path, &error))?,
        }
    }
    Ok(())
}

/// Strings as they are; other values as JSON.
fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn failed(path: &Path, error: &std::io::Error) -> TaskError {
    TaskError::Retryable(format!("{}: {error}", path.display()))
}

/// The media type by the name's ending; only those that the console shows in place.
fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json" | "ipynb") => "application/json",
        Some("txt" | "log" | "csv" | "md") => "text/plain",
        Some("html") => "text/html",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("svg") => "image/svg+xml",
        Some("mp4") => "video/mp4",
        _ => "application/octet-stream",
    }
}
