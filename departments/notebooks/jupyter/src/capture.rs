//! Output survives a closed tab: the server binds what a kernel publishes to the notebook itself, by cell id.
//!
//! JupyterLab names the cell in the metadata of each `execute_request`. While the client that asked is connected it shows and saves
//! the outputs, and writing the same file beside it would only make it ask which to keep; so the outputs are gathered here and not written. When that
//! client is gone, its runs are ours: what they have put out so far and what follows goes into the notebook's file, saved in one step at most
//! four times a second, also when another client has come meanwhile. A cell that was not in the file yet is added with its code. When
//! all runs of a notebook that are ours are over, the file becomes a version. A page that shows such a run ([`Capture::adopt`]) takes it over: it is
//! then that page's, as if it had asked for it.

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
    /// Who asked for it.
    user: String,
    path: String,
    cell: String,
    code: String,
    /// A notebook of this one cell, in which its outputs gather.
    gathered: Notebook,
    binder: Binder,
    is_orphaned: bool,
    /// Another client shows it from now on, which will read the file: what was put out until now is still to be written.
    is_handed_over: bool,
    is_dirty: bool,
    is_idle: bool,
    is_replied: bool,
}

/// What all kernels' runs have put out.
pub(crate) struct Capture {
    contents: Arc<Contents>,
    kernels: Mutex<HashMap<String, Followed>>,
}

impl Run {
    fn is_over(&self) -> bool {
        self.is_idle && self.is_replied
    }

    /// Its outputs and its number.
    fn result(&self) -> (Value, Value) {
        let cell = &self.gathered.cells[0];
        let count = cell.execution_count().map_or(Value::Null, Value::from);
        (Value::Array(cell.outputs().to_vec()), count)
    }
}

#[derive(Default)]
struct Followed {
    path: Option<String>,
    runs: Vec<Run>,
    /// Held while its notebooks are saved, so that an older state is never written after a newer one.
    saving: Arc<Mutex<()>>,
}

/// What a run has put out so far.
pub(crate) struct Shown {
    pub(crate) request: String,
    pub(crate) path: String,
    pub(crate) cell: String,
    pub(crate) outputs: Value,
    pub(crate) count: Value,
    pub(crate) is_over: bool,
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
    pub(crate) fn executes(
        &self,
        kernel: &str,
        client: ClientId,
        user: &str,
        request: &str,
        message: &Message,
    ) {
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
            user: user.to_owned(),
            path,
            cell: cell.to_owned(),
            code,
            gathered,
            binder: Binder::new(),
            is_orphaned: false,
            is_handed_over: false,
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
        // The latest is nearly always the one.
        let Some(run) = followed.runs.iter_mut().rev().find(|run| run.request == parent) else { return };
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

    /// A client has come back under another number.
    pub(crate) fn client_is_now(&self, kernel: &str, earlier: ClientId, now: ClientId) {
        if let Some(followed) = self.lock().get_mut(kernel) {
            followed.runs.iter_mut().filter(|run| run.client == earlier).for_each(|run| run.client = now);
        }
    }

    /// This client shows the runs whose own client has gone, as if it had asked for them: their requests. What they have put out until
    /// now is written with the next [`Capture::save`], and nothing after it.
    pub(crate) fn adopt(&self, kernel: &str, client: ClientId) -> Vec<String> {
        let mut kernels = self.lock();
        let Some(followed) = kernels.get_mut(kernel) else { return Vec::new() };
        let orphans = followed.runs.iter_mut().filter(|run| run.is_orphaned && !run.is_over());
        let adopted = orphans.map(|run| {
            (run.client, run.is_orphaned, run.is_handed_over) = (client, false, run.is_dirty);
            run.request.clone()
        });
        adopted.collect()
    }

    /// What the run of a request has put out.
    pub(crate) fn shown(&self, kernel: &str, request: &str) -> Option<Shown> {
        let kernels = self.lock();
        let run = kernels.get(kernel)?.runs.iter().find(|run| run.request == request)?;
        let (outputs, count) = run.result();
        Some(Shown {
            request: run.request.clone(),
            path: run.path.clone(),
            cell: run.cell.clone(),
            outputs,
            count,
            is_over: run.is_over(),
        })
    }

    /// A kernel died: its cells stopped, and say so.
    pub(crate) async fn kernel_died(self: &Arc<Capture>, kernel: &str) {
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

    /// A kernel was ended: what it had begun is over.
    pub(crate) async fn kernel_ended(self: &Arc<Capture>, kernel: &str) {
        if let Some(followed) = self.lock().get_mut(kernel) {
            followed.runs.iter_mut().for_each(|run| (run.is_idle, run.is_replied) = (true, true));
        }
        self.save(kernel).await;
        self.lock().remove(kernel);
    }

    /// Saves what is ours and has changed. A notebook whose runs are all over becomes a version.
    pub(crate) async fn save(self: &Arc<Capture>, kernel: &str) {
        let Some(saving) = self
            .lock()
            .get(kernel)
            .filter(|followed| followed.is_ours())
            .map(|followed| followed.saving.clone())
        else {
            return;
        };
        let (capture, kernel) = (self.clone(), kernel.to_owned());
        let saved = tokio::task::spawn_blocking(move || {
            let _turn = saving.lock().unwrap_or_else(PoisonError::into_inner);
            capture.save_now(&kernel);
        });
        if let Err(error) = saved.await {
            tracing::error!(%error, "outputs could not be saved");
        }
    }

    fn save_now(&self, kernel: &str) {
        let changes = self.lock().get_mut(kernel).map(Followed::take_changes).unwrap_or_default();
        let failed = if changes.is_empty() { Vec::new() } else { write(&self.contents, &changes) };
        let over = {
            let mut kernels = self.lock();
            let Some(followed) = kernels.get_mut(kernel) else { return };
            // A full disk may have room later: what could not be saved is tried again.
            let unsaved =
                followed.runs.iter_mut().filter(|run| run.is_orphaned && failed.contains(&run.path));
            unsaved.for_each(|run| run.is_dirty = true);
            // One whose notebook got another name meanwhile was written to none.
            for change in &changes {
                let moved = |run: &&mut Run| run.request == change.request && run.path != change.path;
                followed.runs.iter_mut().filter(moved).for_each(|run| run.is_dirty = true);
            }
            followed.take_over()
        };
        for (path, user) in over {
            self.contents.keep(&path, &user);
        }
    }
}

impl Followed {
    /// Whether there is something to save or to be done with.
    fn is_ours(&self) -> bool {
        self.runs.iter().any(|run| run.is_orphaned || run.is_handed_over)
    }

    /// What has changed since it was taken last.
    fn take_changes(&mut self) -> Vec<Change> {
        let ours = self.runs.iter_mut().filter(|run| (run.is_orphaned || run.is_handed_over) && run.is_dirty);
        let changes = ours.map(|run| {
            (run.is_dirty, run.is_handed_over) = (false, false);
            let (outputs, count) = run.result();
            Change {
                request: run.request.clone(),
                path: run.path.clone(),
                cell: run.cell.clone(),
                code: run.code.clone(),
                outputs,
                count,
            }
        });
        changes.collect()
    }

    /// The notebooks of which all that is ours is over and saved, each with its user; it is done with.
    fn take_over(&mut self) -> Vec<(String, String)> {
        let is_open = |run: &Run| run.is_orphaned && (!run.is_over() || run.is_dirty);
        let open: Vec<String> =
            self.runs.iter().filter(|run| is_open(run)).map(|run| run.path.clone()).collect();
        let mut over: Vec<(String, String)> = Vec::new();
        self.runs.retain(|run| {
            let is_over = run.is_orphaned && !open.contains(&run.path);
            if is_over && over.iter().all(|(path, _)| *path != run.path) {
                over.push((run.path.clone(), run.user.clone()));
            }
            !is_over
        });
        over
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
    request: String,
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
