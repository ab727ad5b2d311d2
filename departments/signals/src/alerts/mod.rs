//! An alert fires, and is explained before a person asks.
//!
//! A durable consumer group follows the house's events. Everything that happens to a firing is a state of its row, and each change of state is one
//! transaction:
//!
//! ```text
//! event ──► waiting ──► running ──► explained          the event's place in the log, the row and its decision commit together;
//!      │        └──────────┴──────► failed             the run's key is the firing's, so it is one run however often it is submitted;
//!      ├──► joined ───────────────► explained, failed  the last state and the event that tells of it commit together
//!      └──► refused
//! ```
//!
//! So a firing is explained exactly once, wherever the process was killed: what was waiting or running is found again by its state. Alerts that fire soon after
//! another *join* its explanation, because they are most likely the same incident; beyond a number of explanations an hour firings are *refused*, and
//! told on the page: a storm of alerts makes neither a storm of runs nor a silence.

mod firing;
mod rows;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backlot_department::House;
use backlot_events::{Consumer, Events};
use backlot_ledger::Migration;
use backlot_series::Source;
use backlot_work::RunState;
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};

use crate::live::Gate;
use crate::read::Form;
use crate::settings::Settings;
use crate::{Error, kinds};

pub(crate) use rows::{Firing, State, firings_of, refused_since};

/// The kind of event that is followed.
pub const FIRING: &str = "backlot.telemetry.alert.firing";

/// The kind of event that tells of an explanation.
pub const EXPLAINED: &str = "backlot.signals.explained";

/// The kind of event that tells why there is none.
pub const NOT_EXPLAINED: &str = "backlot.signals.not_explained";

/// Where these events come from.
pub const SOURCE: &str = "/signals";

/// The consumer group.
pub const GROUP: &str = "signals.alerts";

/// An alert that began longer ago than this when it is seen is history: somebody has looked already, or never will.
const STALE: Duration = Duration::from_secs(3600);

/// Events read at once.
const PAGE: usize = 500;

/// The position is committed at least once in so many events, so that it is not a transaction for each page of other events.
const COMMIT_EVERY: u64 = 5_000;

/// How long to gather changes of the ledger before looking: a busy engine changes it hundreds of times a second.
const COALESCE: Duration = Duration::from_millis(50);

/// How long without news before looking all the same, which also keeps the group's lease.
const LOOK: Duration = Duration::from_secs(5);

/// Pauses between tries to read metrics that cannot be read now; then the firing has failed.
const RETRIES: [u64; 4] = [1, 5, 20, 60];

/// The tables of this department.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "firings",
    sql: "CREATE TABLE signals_firings (
    id {identity},
    fingerprint TEXT NOT NULL,
    starts_at TEXT NOT NULL,
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    asked TEXT NOT NULL,
    candidates TEXT NOT NULL,
    state TEXT NOT NULL,
    lead BIGINT,
    run TEXT,
    outcome TEXT,
    seen BIGINT NOT NULL,
    UNIQUE (fingerprint, starts_at)
);
CREATE INDEX signals_firings_open ON signals_firings (id) WHERE state IN ('waiting', 'running');
CREATE INDEX signals_firings_joined ON signals_firings (id) WHERE state = 'joined';
CREATE INDEX signals_firings_run ON signals_firings (run);
CREATE INDEX signals_firings_seen ON signals_firings (seen);",
}];

/// Follows the alerts of a house.
#[derive(Clone)]
pub(crate) struct Follower {
    house: House,
    source: Arc<dyn Source>,
    settings: Arc<Settings>,
    gate: Gate,
}

impl Follower {
    pub(crate) fn new(house: House, source: Arc<dyn Source>, settings: Settings, gate: Gate) -> Self {
        Self { house, source, settings: Arc::new(settings), gate }
    }

    /// A member of the group; a group that is new begins with what comes from now on.
    pub(crate) async fn member(events: &Events) -> Result<Consumer, backlot_events::Error> {
        let is_new = events.consumers().await?.iter().all(|group| group.name != GROUP);
        let newest = events.last_seq().await?;
        let mut consumer = events.consumer(GROUP)?;
        if is_new {
            consumer.seek(newest).await?;
        }
        Ok(consumer)
    }

    /// Follows until it is told to stop, and leaves the group then, so that another server need not wait for the lease to run out.
    pub(crate) async fn follow(self, mut consumer: Consumer, stop: Arc<Notify>) {
        let mut changes = self.house.ledger.changes();
        let mut at_work = AtWork::default();
        loop {
            changes.borrow_and_update();
            match self.turn(&mut consumer, &mut at_work).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "alerts cannot be followed right now; it is tried again");
                }
            }
            tokio::select! {
                () = stop.notified() => break,
                _ = tokio::time::timeout(LOOK, changes.changed()) => {}
                Some(ended) = at_work.tasks.join_next_with_id() => at_work.ended(ended),
            }
            tokio::time::sleep(COALESCE).await;
        }
        if let Err(error) = consumer.close().await {
            tracing::warn!(%error, "the group of alerts could not be left; another server takes over in half a minute");
        }
    }

    /// Takes what is new, and goes on with what is open; whether there may be more at once.
    async fn turn(
        &self,
        consumer: &mut Consumer,
        at_work: &mut AtWork,
    ) -> Result<bool, backlot_events::Error> {
        let page = consumer.poll(PAGE).await?;
        if !consumer.is_active() {
            return Ok(false);
        }
        if let Some(last) = page.last().and_then(|event| event.seq) {
            let now = self.house.ledger.now();
            let firings: Vec<_> = page
                .iter()
                .filter(|event| event.kind == FIRING)
                .filter_map(|event| firing::read(event, &self.settings, now))
                .collect();
            if !firings.is_empty() || last >= at_work.committed + COMMIT_EVERY {
                let (ticket, settings) = (consumer.ticket()?, self.settings.clone());
                self.house
                    .ledger
                    .write(move |tx| {
                        for firing in &firings {
                            rows::take(tx, firing, &settings)?;
                        }
                        ticket.commit_in(tx, last)
                    })
                    .await?;
                at_work.committed = last;
            }
        }
        if self.house.ledger.read(rows::can_settle).await? {
            let events = self.house.events.clone();
            self.house.ledger.write(move |tx| rows::settle_joined(tx, &events)).await?;
        }
        for firing in self.house.ledger.read(rows::open).await? {
            let id = firing.id;
            if at_work.firings.values().all(|known| *known != id) {
                let own = self.clone();
                let task = at_work.tasks.spawn(async move {
                    if let Err(error) = own.explain(firing).await {
                        tracing::error!(%error, "an alert's explanation is interrupted; it is taken up again");
                    }
                });
                at_work.firings.insert(task.id(), id);
            }
        }
        Ok(page.len() == PAGE)
    }

    /// Brings a firing from its state to its end.
    async fn explain(&self, firing: Firing) -> Result<(), backlot_events::Error> {
        let run = match firing.run.clone() {
            Some(run) => run,
            None => match self.submit(&firing).await {
                Ok(run) => run,
                Err(error) => return self.end(&firing, Err(error.to_string())).await,
            },
        };
        let (id, named) = (firing.id, run.clone());
        self.house.ledger.write(move |tx| rows::run(tx, id, &named)).await?;
        let ended = match self.house.work.wait(&run).await {
            Ok(ended) => ended,
            Err(error) => return self.end(&firing, Err(error.to_string())).await,
        };
        if ended.state != RunState::Succeeded {
            let why = ended.error.unwrap_or_else(|| format!("its run was {}", ended.state));
            return self.end(&firing, Err(why)).await;
        }
        let outputs = self.house.work.outputs(&run, "conclude").await;
        let facts = outputs.map(|outputs| rows::Facts {
            changed: outputs["changed"].clone(),
            tested: outputs["tested"].clone(),
            first: outputs["first"].clone(),
        });
        let firing = Firing { run: Some(run), ..firing };
        self.end(&firing, facts.map_err(|error| error.to_string())).await
    }

    async fn end(
        &self,
        firing: &Firing,
        how: Result<rows::Facts, String>,
    ) -> Result<(), backlot_events::Error> {
        let (events, firing) = (self.house.events.clone(), firing.clone());
        self.house.ledger.write(move |tx| rows::end(tx, &events, &firing, &how)).await
    }

    /// Fetches the metrics and submits the run.
    async fn submit(&self, firing: &Firing) -> Result<String, Error> {
        let now = || self.house.ledger.now().micros().div_euclid(1000);
        let mut pauses = RETRIES.iter();
        let gathered = loop {
            match self.gate.gather(&*self.source, &firing.asked, now()).await {
                Err(error @ (Error::Busy(_) | Error::Unavailable(_))) => match pauses.next() {
                    Some(&seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                    None => return Err(error),
                },
                done => break done?,
            }
        };
        let failed = |error: &dyn std::fmt::Display| Error::Unavailable(error.to_string());
        let table = self.house.store.put(gathered.table.to_bytes()).await.map_err(|error| failed(&error))?;
        let key = format!("signals/firing/{}/{}", firing.fingerprint, firing.starts_at);
        let run = kinds::submit(&self.house, table, Form::Own, &gathered.asked, Some(key)).await;
        run.map_err(|error| failed(&error))
    }
}

/// What goes on in this process.
#[derive(Default)]
struct AtWork {
    tasks: JoinSet<()>,
    /// The firing that each task is about.
    firings: HashMap<Id, i64>,
    /// The group's position.
    committed: u64,
}

impl AtWork {
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let task = match ended {
            Ok((task, ())) => task,
            Err(error) => {
                tracing::error!(%error, "an alert's explanation ended early; it is taken up again");
                error.id()
            }
        };
        self.firings.remove(&task);
    }
}
