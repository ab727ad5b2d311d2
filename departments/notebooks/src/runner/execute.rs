//! The loop over cells: each is sent to the kernel, and what comes back is bound until the kernel is idle and has replied.

use std::time::Duration;

use backlot_notebooks_model::json::Value;
use backlot_notebooks_model::markers::CellError;
use backlot_notebooks_model::outputs::{Binder, Effect, Published};
use backlot_notebooks_model::record::{self, Status};
use backlot_notebooks_model::{CellKind, Notebook};
use tokio::time::{Instant, sleep_until};

use super::log::Log;
use super::save::Saver;
use super::{RUN_AGAIN_TAGS, Request, RunError};
use crate::clock;
use crate::kernel::{Event, Kernel, Message, OnError};

/// How long a kernel may be silent on iopub after it has replied: whatever it still has to say follows at once.
const QUIET: Duration = Duration::from_secs(10);

/// A wait without an end, for a deadline that was not given.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Runs the cells from `first` on, and before it those that later ones cannot do without.
pub(super) async fn cells(
    notebook: &mut Notebook,
    first: usize,
    kernel: &mut Kernel,
    request: &Request,
    saver: &mut Saver,
    log: &Log,
) -> Result<(), RunError> {
    let mut binder = Binder::new();
    log.begin(notebook.cells.len());
    let ran = in_order(notebook, first, &mut binder, kernel, request, saver, log).await;
    binder.finish(notebook);
    log.end();
    ran
}

async fn in_order(
    notebook: &mut Notebook,
    first: usize,
    binder: &mut Binder,
    kernel: &mut Kernel,
    request: &Request,
    saver: &mut Saver,
    log: &Log,
) -> Result<(), RunError> {
    for index in 0..notebook.cells.len() {
        let cell = &notebook.cells[index];
        if index < first && !RUN_AGAIN_TAGS.iter().any(|tag| cell.has_tag(tag)) {
            log.cell_done();
            continue;
        }
        let began = clock::now();
        log.cell_begins(index, notebook.cells[index].source());
        record::cell_begins(&mut notebook.cells[index], began);
        saver.touch(index);
        saver.step(Instant::now());
        saver.save_if_due(notebook, log).await;
        let ran = one(notebook, index, binder, kernel, request, saver, log).await;
        let status = if ran.is_ok() { Status::Completed } else { Status::Failed };
        record::cell_ends(&mut notebook.cells[index], began, clock::now(), status);
        saver.touch(index);
        for touched in binder.take_touched() {
            saver.touch(touched);
        }
        log.cell_ends(index);
        ran?;
        saver.step(Instant::now());
        saver.save_if_due(notebook, log).await;
        log.cell_done();
    }
    Ok(())
}

async fn one(
    notebook: &mut Notebook,
    index: usize,
    binder: &mut Binder,
    kernel: &mut Kernel,
    request: &Request,
    saver: &mut Saver,
    log: &Log,
) -> Result<(), RunError> {
    let cell = &notebook.cells[index];
    if cell.kind() != CellKind::Code || cell.source().trim().is_empty() || cell.has_tag("skip-execution") {
        return Ok(());
    }
    let may_raise = cell.has_tag("raises-exception");
    let source = cell.source().to_owned();
    let on_error = if may_raise { OnError::Continue } else { OnError::Stop };
    binder.cell_begins(notebook, index);
    let id = kernel.execute(&source, on_error).await?;
    let deadline = Instant::now() + request.cell_timeout.unwrap_or(FOREVER);
    let mut reply: Option<Message> = None;
    let mut is_idle = false;
    let mut last_heard = Instant::now();
    while reply.is_none() || !is_idle {
        let quiet = if reply.is_some() { last_heard + QUIET } else { deadline };
        let save = saver.due().unwrap_or_else(|| Instant::now() + FOREVER);
        let event = tokio::select! {
            biased;
            () = sleep_until(save) => {
                saver.touch(index);
                saver.save_if_due(notebook, log).await;
                continue;
            }
            event = kernel.next() => event?,
            () = sleep_until(quiet) => {
                if reply.is_some() {
                    return Err(RunError::NoOutput { cell: index + 1 });
                }
                kernel.interrupt().await;
                let seconds = request.cell_timeout.map_or(0, |limit| limit.as_secs());
                return Err(RunError::TimedOut { cell: index + 1, seconds });
            }
            () = log.stopped() => {
                kernel.interrupt().await;
                return Err(RunError::Stopped { cell: index + 1 });
            }
        };
        last_heard = Instant::now();
        match event {
            Event::Reply(message) if message.parent == id => {
                Binder::replied(notebook, index, &message.date);
                reply = Some(message);
            }
            Event::Published(message) if message.parent == id => {
                let buffers = message.encoded_buffers();
                let published = Published {
                    kind: &message.kind,
                    content: &message.content,
                    date: &message.date,
                    buffers: &buffers,
                };
                match binder.apply(notebook, index, &published) {
                    Effect::Idle => is_idle = true,
                    Effect::NewOutput => {
                        saver.output();
                        log.output(notebook.cells[index].outputs().last());
                    }
                    Effect::Changed => saver.output(),
                    Effect::None => {}
                }
            }
            _ => {}
        }
    }
    match reply {
        Some(reply) if reply.text("status") == "error" && !may_raise => {
            Err(RunError::Cell(raised(notebook, index, &reply)))
        }
        _ => Ok(()),
    }
}

fn raised(notebook: &Notebook, index: usize, reply: &Message) -> CellError {
    let traceback = reply.content.get("traceback").and_then(Value::as_array).unwrap_or_default();
    CellError {
        cell: index,
        count: notebook.cells[index].execution_count(),
        name: reply.text("ename").to_owned(),
        message: reply.text("evalue").to_owned(),
        traceback: traceback.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}
