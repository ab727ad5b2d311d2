//! Output survives a closed tab: the server binds what a kernel publishes to the notebook itself, by cell id.
//!
//! JupyterLab names the cell in the metadata of each `execute_request`. While the client that asked is connected it shows and saves
//! the outputs, and writing the same file beside it would only make it ask which to keep; so the outputs are gathered here and not written. When that
//! client is gone, its runs are ours: what they have put out so far and what follows goes into the notebook's file, saved in one step at most
//! four times a second, also when another client has come meanwhile. A cell that was not in the file yet is added with its code.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backlot_notebooks_model::Notebook;
use backlot_notebooks_model::json::Value;
use backlot_notebooks_model::outputs::{Binder, Effect, Published};
use base64::Engine;

use crate::contents::Contents;
use crate::kernel::ClientId;
use crate::kernel::message::{Header, Message};

/// The most runs of one kernel that are followed: more cells than anybody queues.
const MAX_RUNS: usize = 2_000;

/// One execution of one cell.
struct Run {
    request: String,
    client: ClientId,
    path: String,
    cell: String,
    code: String,
    /// A notebook of this one cell, in which its outputs gather.
    gathered: Notebook,
    binder: Binder,
    is_orphaned: bool,
    is_dirty: bool,
    is_idle: bool,
    is_replied: bool,
}

/// What all kernels' runs have put out.
pub(crate) struct Capture {
    contents: Arc<Contents>,
    kernels: Mutex<HashMap<String, Followed>>,
}

#[derive(Default)]
struct Followed {
    path: Option<String>,
    runs: Vec<Run>,
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Capture")
    }
}

impl Capture {
    pub(crate) fn new(contents: Arc<Contents>) -> Capture {
        Capture { contents, kernels: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Followed>> {
        self.kernels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kernel runs this notebook.
    pub(crate) fn bind(&self, kernel: &str, path: &str) {
        let mut kernels = self.lock();
        let followed = kernels.entry(kernel.to_owned()).or_default();
        if let Some(old) = followed.path.replace(path.to_owned()) {
            followed
                .runs
                .iter_mut()
                .filter(|run| run.path == old)
                .for_each(|run| path.clone_into(&mut run.path));
        }
    }

    /// The notebook that a kernel runs.
    pub(crate) fn path_of(&self, kernel: &str) -> Option<String> {
        self.lock().get(kernel)?.path.clone()
    }

    /// A notebook has another name now.
    pub(crate) fn renamed(&self, from: &str, to: &str) {
        for followed in self.lock().values_mut() {
            let paths = followed.path.iter_mut().chain(followed.runs.iter_mut().map(|run| &mut run.path));
            paths.filter(|path| *path == from).for_each(|path| to.clone_into(path));
        }
    }

    /// A client saved a notebook: what had ended by then is in what it saved.
    pub(crate) fn saved(&self, path: &str) {
        for followed in self.lock().values_mut() {
            followed.runs.retain(|run| run.path != path || run.is_orphaned || !run.is_idle);
        }
    }

    /// A client asks a kernel to run a cell.
    pub(crate) fn executes(&self, kernel: &str, client: ClientId, request: &str, message: &Message) {
        let metadata: serde_json::Value = serde_json::from_slice(&message.parts[2]).unwrap_or_default();
        let Some(cell) = metadata["cellId"].as_str() else { return };
        let content = message.content();
        let code =
            content.as_ref().and_then(|content| content.get("code")?.as_str()).unwrap_or_default().to_owned();
        let mut kernels = self.lock();
        let Some(followed) = kernels.get_mut(kernel) else { return };
        let Some(path) = followed.path.clone().filter(|path| crate::contents::place::is_notebook(path))
        else {
            return;
        };
        // A cell that runs anew begins anew.
        followed.runs.retain(|run| run.cell != cell || run.path != path);
        if followed.runs.len() >= MAX_RUNS {
            followed.runs.remove(0);
        }
        let mut gathered = Notebook::new();
        gathered.cells.push(backlot_notebooks_model::Cell::code(cell.to_owned(), &code));
        followed.runs.push(Run {
            request: request.to_owned(),
            client,
            path,
            cell: cell.to_owned(),
            code,
            gathered,
            binder: Binder::new(),
            is_orphaned: false,
            is_dirty: true,
            is_idle: false,
            is_replied: false,
        });
    }

    /// A kernel published something.
    pub(crate) fn published(&self, kernel: &str, header: &Header, message: &Message) {
        let parent = message.parent().msg_id;
        let mut kernels = self.lock();
        let Some(followed) = kernels.get_mut(kernel) else { return };
        let Some(run) = followed.runs.iter_mut().find(|run| run.request == parent) else { return };
        let Some(content) = message.content() else { return };
        let encode = |buffer: &bytes::Bytes| base64::engine::general_purpose::STANDARD.encode(buffer);
        let buffers: Vec<String> = message.buffers.iter().map(encode).collect();
        let date = header.date.as_deref().unwrap_or_default();
        let published = Published { kind: &header.msg_type, content: &content, date, buffers: &buffers };
        match run.binder.apply(&mut run.gathered, 0, &published) {
            Effect::None => {}
            Effect::Idle => (run.is_idle, run.is_dirty) = (true, true),
            Effect::Changed => run.is_dirty = true,
            Effect::NewOutput => {
                join_last(run.gathered.cells[0].outputs_mut());
                run.is_dirty = true;
            }
        }
    }

    /// A kernel answered a request.
    pub(crate) fn replied(&self, kernel: &str, message: &Message) {
        let parent = message.parent().msg_id;
        if let Some(followed) = self.lock().get_mut(kernel)
            && let Some(run) = followed.runs.iter_mut().find(|run| run.request == parent)
        {
            run.is_replied = true;
        }
    }

    /// A client is gone: its runs are ours.
    pub(crate) fn client_left(&self, kernel: &str, client: ClientId) {
        if let Some(followed) = self.lock().get_mut(kernel) {
            followed
                .runs
                .iter_mut()
                .filter(|run| run.client == client)
                .for_each(|run| run.is_orphaned = true);
        }
    }

    /// A kernel died: its cells stopped, and say so.
    pub(crate) async fn kernel_died(&self, kernel: &str) {
        if let Some(followed) = self.lock().get_mut(kernel) {
            for run in followed.runs.iter_mut().filter(|run| !run.is_idle) {
                let content = backlot_notebooks_model::json::parse(
                    r#"{"ename": "DeadKernelError", "evalue": "Kernel died", "traceback": ["Kernel died"]}"#,
                );
                if let Ok(content) = content {
                    let published = Published { kind: "error", content: &content, date: "", buffers: &[] };
                    run.binder.apply(&mut run.gathered, 0, &published);
                }
                (run.is_idle, run.is_replied, run.is_dirty) = (true, true, true);
            }
        }
        self.save(kernel).await;
    }

    /// A kernel was ended.
    pub(crate) async fn kernel_ended(&self, kernel: &str) {
        self.save(kernel).await;
        self.lock().remove(kernel);
    }

    /// Saves what is ours and has changed.
    pub(crate) async fn save(&self, kernel: &str) {
        let changes: Vec<Change> = {
            let mut kernels = self.lock();
            let Some(followed) = kernels.get_mut(kernel) else { return };
            // What has ended and is on disk is done with.
            followed.runs.retain(|run| !(run.is_orphaned && run.is_idle && run.is_replied && !run.is_dirty));
            let ours = followed.runs.iter_mut().filter(|run| run.is_orphaned && run.is_dirty);
            let changes = ours.map(|run| {
                run.is_dirty = false;
                let cell = &run.gathered.cells[0];
                Change {
                    path: run.path.clone(),
                    cell: run.cell.clone(),
                    code: run.code.clone(),
                    outputs: Value::Array(cell.outputs().to_vec()),
                    count: cell.execution_count().map_or(Value::Null, Value::from),
                }
            });
            changes.collect()
        };
        if changes.is_empty() {
            return;
        }
        let contents = self.contents.clone();
        let saved = tokio::task::spawn_blocking(move || write(&contents, &changes)).await;
        let failed = saved.unwrap_or_else(|error| {
            tracing::error!(%error, "outputs could not be saved");
            Vec::new()
        });
        // A full disk may have room later: what could not be saved is tried again.
        if let Some(followed) = self.lock().get_mut(kernel) {
            let unsaved =
                followed.runs.iter_mut().filter(|run| run.is_orphaned && failed.contains(&run.path));
            unsaved.for_each(|run| run.is_dirty = true);
        }
    }
}

/// Joins the last output to the one before it if both are of one stream, as front ends keep them. Joined as they come, a hundred thousand
/// lines are one text and not a hundred thousand values.
fn join_last(outputs: &mut Vec<Value>) {
    let stream = |output: &Value| {
        let name = output.get("name")?.as_str()?.to_owned();
        output.get("text")?.as_str().map(|_| name)
    };
    let Some([before, last]) = outputs.last_chunk::<2>() else { return };
    if stream(before).is_none() || stream(before) != stream(last) {
        return;
    }
    let last = outputs.pop();
    if let (Some(Value::Object(last)), Some(Value::Object(before))) = (last, outputs.last_mut())
        && let (Some(Value::String(more)), Some(Value::String(text))) =
            (last.get("text"), before.get_mut("text"))
    {
        text.push_str(more);
    }
}

/// The outputs of one cell.
struct Change {
    path: String,
    cell: String,
    code: String,
    outputs: Value,
    count: Value,
}

/// Writes changes; the paths of the notebooks that could not be written.
fn write(contents: &Contents, changes: &[Change]) -> Vec<String> {
    let mut failed = Vec::new();
    let mut paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
    paths.dedup();
    for path in paths {
        let of_path = changes.iter().filter(|change| change.path == path);
        let written =
            contents.change_notebook(path, |notebook| of_path.for_each(|change| put(notebook, change)));
        if let Err(error) = written {
            tracing::error!(%error, path, "outputs could not be saved");
            // A notebook that is gone was deleted by its user, and is not made again.
            if error.status != axum::http::StatusCode::NOT_FOUND {
                failed.push(path.to_owned());
            }
        }
    }
    failed
}

fn put(notebook: &mut Value, change: &Change) {
    let mut is_there = false;
    crate::contents::format::for_cells(notebook, |cell| {
        if cell.get("id").and_then(Value::as_str) == Some(change.cell.as_str()) {
            is_there = true;
            cell.insert("outputs".to_owned(), change.outputs.clone());
            cell.insert("execution_count".to_owned(), change.count.clone());
        }
    });
    if is_there {
        return;
    }
    let mut cell = backlot_notebooks_model::Cell::code(change.cell.clone(), &change.code).as_object().clone();
    cell.insert("outputs".to_owned(), change.outputs.clone());
    cell.insert("execution_count".to_owned(), change.count.clone());
    if let Some(Value::Array(cells)) = notebook.as_object_mut().and_then(|notebook| notebook.get_mut("cells"))
    {
        cells.push(Value::Object(cell));
    }
}
