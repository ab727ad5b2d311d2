//! The handle of durable work: submit, look, steer. Cheap to clone; it needs no worker in this process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backlot_events::Events;
use backlot_ledger::Ledger;
use backlot_store::Store;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::kind::Kinds;
use crate::opener::{self, OpenerState};
use crate::plan::Plans;
use crate::query::RunStatus;
use crate::schema::{MIGRATIONS, OWNER};
use crate::spec::RunSpec;
use crate::state::RunState;
use crate::transition::submit::Submission;
use crate::transition::{Effects, Transition};

/// Durable work on a ledger and a store.
#[derive(Clone)]
pub struct Work(Arc<Shared>);

struct Shared {
    ledger: Ledger,
    store: Store,
    events: Events,
    plans: Plans,
    inputs: Inputs,
    opener: OpenerState,
    nudge: watch::Sender<u64>,
    trouble: watch::Sender<Option<String>>,
    mark: String,
}

/// What a submission may say besides its parameters.
#[derive(Clone, Debug, Default)]
pub struct SubmitOptions {
    /// Who submits; written to the run and its events.
    pub by: String,
    /// Added to the spec's priority.
    pub priority: i32,
    /// Do not reuse earlier results, whatever the spec says.
    pub no_cache: bool,
    /// Submissions with the same key are one run: a client that lost the answer can ask again.
    pub key: Option<String>,
}

impl Work {
    /// Opens durable work, making its tables when they are not there.
    pub fn open(ledger: &Ledger, store: &Store, events: &Events) -> Result<Work> {
        ledger.migrate(OWNER, MIGRATIONS)?;
        let fresh = random_name(8);
        let mark: String = ledger.write_blocking(move |tx| -> Result<String> {
            tx.execute(
                "INSERT INTO work_meta (name, value) VALUES ('mark', $1) ON CONFLICT (name) DO NOTHING",
                backlot_ledger::params![fresh],
            )?;
            Ok(tx.query_one("SELECT value FROM work_meta WHERE name = 'mark'", &[])?.get(0)?)
        })?;
        Ok(Work(Arc::new(Shared {
            ledger: ledger.clone(),
            store: store.clone(),
            events: events.clone(),
            plans: Plans::default(),
            inputs: Inputs::default(),
            opener: OpenerState::default(),
            nudge: watch::channel(0).0,
            trouble: watch::channel(None).0,
            mark,
        })))
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The events of all state changes.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    pub(crate) fn plans(&self) -> &Plans {
        &self.0.plans
    }

    pub(crate) fn inputs(&self) -> &Inputs {
        &self.0.inputs
    }

    pub(crate) fn opener(&self) -> &OpenerState {
        &self.0.opener
    }

    /// Names this ledger among others on the same machine.
    pub(crate) fn ledger_mark(&self) -> &str {
        &self.0.mark
    }

    pub(crate) fn nudges(&self) -> watch::Receiver<u64> {
        self.0.nudge.subscribe()
    }

    /// Tells the workers of this process that something is ready.
    pub(crate) fn nudge(&self) {
        self.0.nudge.send_modify(|count| *count += 1);
    }

    /// Why the workers of this process cannot commit their results right now, such as a full disk; they keep trying.
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble.borrow().clone()
    }

    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        self.0.trouble.send_if_modified(|current| {
            let changed = *current != trouble;
            *current = trouble;
            changed
        });
    }

    /// One transition of the state machine, and what should follow from it in this process.
    pub(crate) async fn transition<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Transition<'_, '_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (value, effects) = self.transition_with_effects(body).await?;
        if effects.ready {
            self.nudge();
        }
        if effects.opening {
            opener::start(self);
        }
        Ok(value)
    }

    pub(crate) async fn transition_with_effects<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Transition<'_, '_>) -> Result<T> + Send + 'static,
    ) -> Result<(T, Effects)> {
        let shared = self.0.clone();
        self.0.ledger.write(move |tx| Transition::run(tx, &shared.plans, &shared.events, body)).await
    }

    /// Submits a run; when this returns the run is durable. `kinds` are checked against the spec when given.
    pub async fn submit(
        &self,
        spec: RunSpec,
        params: Map<String, Value>,
        options: SubmitOptions,
        kinds: Option<&Kinds>,
    ) -> Result<String> {
        let graph = spec.check()?;
        if let Some(kinds) = kinds {
            let unknown = spec.steps.iter().find(|step| kinds.get(step.kind_name()).is_none());
            if let Some(step) = unknown {
                return Err(Error::NoSuchKind {
                    step: step.name.clone(),
                    kind: step.kind_name().to_owned(),
                    known: kinds.names().collect::<Vec<_>>().join(", "),
                });
            }
        }
        let params = spec.bind(params)?;
        let submission = Submission {
            public_id: new_run_id(self.0.ledger.now().micros()),
            cache: spec.cache && !options.no_cache,
            priority: i64::from(spec.priority) + i64::from(options.priority),
            graph,
            params,
            spec,
            submitted_by: options.by,
            key: options.key,
        };
        self.transition(move |transition| transition.submit(&submission)).await
    }

    /// Stops a run.
    pub async fn cancel(&self, run: &str, who: &str, reason: Option<&str>) -> Result<RunState> {
        let number = self.run_number(run).await?;
        let (who, reason) = (who.to_owned(), reason.map(str::to_owned));
        self.transition(move |transition| transition.cancel(number, &who, reason.as_deref())).await
    }

    /// Lets no further task of a run start until it is resumed; running tasks go on to their end.
    pub async fn pause(&self, run: &str, who: &str) -> Result<RunState> {
        let number = self.run_number(run).await?;
        let who = who.to_owned();
        self.transition(move |transition| transition.pause(number, &who)).await
    }

    /// Lets a paused run go on.
    pub async fn resume(&self, run: &str, who: &str) -> Result<RunState> {
        let number = self.run_number(run).await?;
        let who = who.to_owned();
        self.transition(move |transition| transition.resume(number, &who)).await
    }

    /// Runs again what did not succeed in an ended run; with `from`, that step and everything after it as well.
    pub async fn retry(&self, run: &str, from: Option<&str>, who: &str) -> Result<RunState> {
        let number = self.run_number(run).await?;
        let (who, from, run) = (who.to_owned(), from.map(str::to_owned), run.to_owned());
        self.transition(move |transition| {
            let plan = transition.plan(number)?;
            let from = from.map(|name| step_number(&plan, &run, &name)).transpose()?;
            transition.retry(number, from, &who)
        })
        .await
    }

    /// Waits until a run has ended.
    pub async fn wait(&self, run: &str) -> Result<RunStatus> {
        let mut changes = self.0.ledger.changes();
        loop {
            changes.borrow_and_update();
            let status = self.run(run).await?;
            if status.state.is_final() {
                return Ok(status);
            }
            // A change is the rule; the timeout is for a ledger whose news got lost.
            let _ = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
        }
    }

    /// Sets how many tasks may hold a key at once; 0 stops all of them.
    pub async fn set_limit(&self, key: &str, capacity: u32) -> Result<()> {
        let key = key.to_owned();
        self.transition(move |transition| {
            let row = transition.tx.query_one(
                "INSERT INTO work_limits (name, capacity, held) VALUES ($1, $2, 0) \
                 ON CONFLICT (name) DO UPDATE SET capacity = excluded.capacity RETURNING capacity - held",
                backlot_ledger::params![key.as_str(), i64::from(capacity)],
            )?;
            transition.unpark(&key, row.get(0)?)
        })
        .await
    }

    /// Every digest that a task's outputs or a remembered result name: what a clean-up of the store must keep.
    pub async fn referenced_blobs(&self) -> Result<BTreeSet<String>> {
        self.0
            .ledger
            .read(|tx| -> Result<BTreeSet<String>> {
                let mut found = BTreeSet::new();
                for sql in [
                    "SELECT outputs FROM work_tasks WHERE outputs IS NOT NULL",
                    "SELECT outputs FROM work_cache",
                    "SELECT item FROM work_tasks WHERE item LIKE '%$blob%'",
                    "SELECT params FROM work_runs",
                    "SELECT spec FROM work_runs",
                ] {
                    for row in tx.query(sql, &[])? {
                        let text: String = row.get(0)?;
                        let mut rest = text.as_str();
                        while let Some(at) = rest.find("blake3:") {
                            let digest: String = rest[at..].chars().take("blake3:".len() + 64).collect();
                            rest = &rest[at + "blake3:".len()..];
                            found.insert(digest);
                        }
                    }
                }
                Ok(found)
            })
            .await
    }
}

pub(crate) fn step_number(plan: &crate::plan::Plan, run: &str, name: &str) -> Result<usize> {
    plan.spec.steps.iter().position(|step| step.name == name).ok_or_else(|| Error::NoSuchStep {
        run: run.to_owned(),
        step: name.to_owned(),
        known: plan.spec.steps.iter().map(|step| step.name.as_str()).take(20).collect::<Vec<_>>().join(", "),
    })
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn random_name(length: usize) -> String {
    (0..length).map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())])).collect()
}

/// Ids sort by the time of submission: nine characters of milliseconds, four of chance. A clash, one in a million
/// for two runs of the same millisecond, is refused by the ledger.
fn new_run_id(now_micros: i64) -> String {
    let millis = (now_micros / 1000) as u64;
    let time: String =
        (0..9).rev().map(|place| char::from(ALPHABET[((millis >> (5 * place)) & 31) as usize])).collect();
    format!("{time}{}", random_name(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_sort_by_time() {
        let early = new_run_id(1_700_000_000_000_000);
        let late = new_run_id(1_700_000_000_001_000);
        assert!(early < late && early.len() == 13);
    }
}
