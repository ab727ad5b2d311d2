//! The execution of one task that a worker has claimed: its input, its kind under the step's timeout, its outputs.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::hub::Hub;
use crate::inputs::{Prepared, spill_large};
use crate::kind::{Inner, Kinds, TaskContext, TaskError};
use crate::meters::TaskMeters;
use crate::placement::Done;
use crate::transition::claim::Claimed;
use crate::transition::finish::Outcome;
use crate::work::Work;

/// How long a task that was told to stop may take before its future is dropped.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);

/// What a task's execution reports.
pub(crate) struct Report {
    pub(crate) task: i64,
    pub(crate) attempt: i64,
    pub(crate) outcome: Outcome,
    pub(crate) seconds: f64,
}

/// Runs one task and reports its end.
pub(crate) struct Execution {
    pub(crate) kinds: Kinds,
    pub(crate) work: Work,
    pub(crate) hub: Hub,
    pub(crate) scratch: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) tag: String,
    pub(crate) stop: CancellationToken,
    pub(crate) meters: Option<Arc<TaskMeters>>,
    pub(crate) finished: mpsc::UnboundedSender<Report>,
}

impl Execution {
    pub(crate) async fn run(self, prepared: Prepared) -> Done {
        let started = Instant::now();
        let (task, attempt) = (prepared.claimed.task, prepared.claimed.attempt);
        let kind = self.meters.is_some().then(|| prepared.claimed.kind.clone());
        let outcome = self.outcome(prepared).await;
        let took = started.elapsed();
        if let (Some(meters), Some(kind)) = (&self.meters, kind) {
            meters.ended(&kind, &outcome, took);
        }
        let seconds = took.as_secs_f64();
        Done::new(move || {
            let _ = self.finished.send(Report { task, attempt, outcome, seconds });
        })
    }

    async fn outcome(&self, prepared: Prepared) -> Outcome {
        let Prepared { claimed, plan, input, cache_key, hit } = prepared;
        let spec = &plan.spec.steps[claimed.step];
        let input = match input {
            Ok(input) => input,
            Err(error) => return Outcome::Failed { error, retry: None },
        };
        if let Some(outputs) = hit
            && self.blobs_exist(&outputs).await
        {
            return Outcome::Succeeded { outputs, cache_key: None, cached: true };
        }
        let Some(kind) = self.kinds.get(&claimed.kind).cloned() else {
            return Outcome::Returned; // claims name the kinds there are, so this cannot be
        };
        let scratch = self.scratch.join(format!("task-{}-{}", claimed.task, claimed.attempt));
        let context = TaskContext(Arc::new(Inner {
            run: plan.public_id.clone(),
            step: spec.name.clone(),
            index: claimed.index,
            attempt: claimed.attempt,
            input,
            store: self.work.store().clone(),
            scratch: scratch.clone(),
            scratch_made: OnceLock::new(),
            cache: self.cache.clone(),
            hub: self.hub.task(claimed.task, claimed.attempt),
            stop: self.stop.child_token(), // a timeout stops this attempt without looking like a cancel
            worker_tag: self.tag.clone(),
        }));
        let result =
            self.attempt(kind, context.clone(), spec.timeout.map(crate::units::Span::duration)).await;
        let outcome = match result {
            Ok(outputs) => match spill_large(self.work.store(), outputs.0).await {
                Ok(outputs) => Outcome::Succeeded { outputs, cache_key, cached: false },
                Err(error) => failed(
                    spec,
                    &claimed,
                    TaskError::Retryable(format!("the outputs could not be stored: {error}")),
                ),
            },
            Err(TaskError::Stopped) => Outcome::Stopped,
            Err(_) if self.stop.is_cancelled() => Outcome::Stopped,
            Err(error) => {
                context.log(format!("failed: {error}"));
                failed(spec, &claimed, error)
            }
        };
        if context.0.scratch_made.get().is_some() {
            let _ = tokio::fs::remove_dir_all(&scratch).await;
        }
        outcome
    }

    /// Runs the kind under the step's timeout, in a task of its own so that a panic is a failure of this task only.
    async fn attempt(
        &self,
        kind: Arc<dyn crate::kind::Kind>,
        context: TaskContext,
        timeout: Option<Duration>,
    ) -> Result<crate::kind::Outputs, TaskError> {
        let stop = context.0.stop.clone();
        let mut handle = tokio::spawn(async move { kind.run(context).await });
        let until = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let timed_out = tokio::select! {
            result = &mut handle => return flatten(result),
            () = stop.cancelled() => false,
            () = until => true,
        };
        // Told to stop: the kind may end its children and tidy up, for a while.
        stop.cancel();
        let ended = tokio::time::timeout(STOP_GRACE, &mut handle).await;
        if ended.is_err() {
            handle.abort();
            let _ = handle.await;
        }
        if timed_out {
            let limit = timeout.unwrap_or_default().as_secs_f64();
            return Err(TaskError::Retryable(format!(
                "did not end within its timeout of {limit} s; raise `timeout`"
            )));
        }
        match ended {
            Ok(Ok(Ok(outputs))) => Ok(outputs), // it finished all the same; finished work is not thrown away
            _ => Err(TaskError::Stopped),
        }
    }

    /// Whether every blob that the remembered outputs name is still there.
    async fn blobs_exist(&self, outputs: &str) -> bool {
        let Ok(outputs) = serde_json::from_str::<Value>(outputs) else { return false };
        let mut open = vec![&outputs];
        while let Some(value) = open.pop() {
            if let Some(blob) = crate::kind::BlobRef::from_value(value) {
                if !self.work.store().exists(&blob.digest).await.unwrap_or(false) {
                    return false;
                }
                continue;
            }
            match value {
                Value::Array(items) => open.extend(items),
                Value::Object(fields) => open.extend(fields.values()),
                _ => {}
            }
        }
        true
    }
}

fn flatten(
    result: Result<Result<crate::kind::Outputs, TaskError>, tokio::task::JoinError>,
) -> Result<crate::kind::Outputs, TaskError> {
    match result {
        Ok(result) => result,
        Err(error) if error.is_panic() => {
            let panic = error.into_panic();
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned());
            Err(TaskError::Permanent(format!("the task kind panicked, a defect of the kind: {text}")))
        }
        Err(_) => Err(TaskError::Stopped),
    }
}

fn failed(spec: &crate::spec::StepSpec, claimed: &Claimed, error: TaskError) -> Outcome {
    let failures = claimed.failures as u32 + 1;
    let retry = match &error {
        TaskError::Retryable(_) if failures <= spec.retry.max => {
            Some(spec.retry.wait(failures, fastrand::f64()))
        }
        _ => None,
    };
    // PostgreSQL's text cannot hold NUL; a row should not hold megabytes of somebody's error.
    let mut error = error.to_string().replace('\0', "\u{fffd}");
    error.truncate(error.floor_char_boundary(4096));
    Outcome::Failed { error, retry }
}
