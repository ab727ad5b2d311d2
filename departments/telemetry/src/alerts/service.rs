//! The engine with its ledger, its clock and its receivers.
//!
//! A change is made in the engine under a lock held for moments, and its rows are written after the lock is let go; the caller is
//! answered after the commit. If the ledger fails, the caller hears so, and the rows go with the next write: memory is never
//! behind what was told, only ahead. One server of a ledger runs the engine; a lease says which, so that two never tell twice.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backlot_alerts::config::{Config, ConfigError};
use backlot_alerts::engine::{Changes, Decision, Engine};
use backlot_alerts::{Fingerprint, SilenceError};
use backlot_events::Events;
use backlot_ledger::{Lease, Ledger};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::dispatch::Receivers;
use super::meters::AlertMeters;
use super::{clock, tables};

/// The right to decide about alerts.
const LEASE: &str = "telemetry.alerts";

/// How long it lasts; renewed at every third of it.
const LEASE_TIME: Duration = Duration::from_secs(30);

/// The ticker looks at least this often, should a clock jump.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// How long a server that stops waits for what is on its way.
const FAREWELL: Duration = Duration::from_secs(5);

/// What keeps the alerts from working.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ServiceError {
    #[error(transparent)]
    Ledger(#[from] backlot_ledger::Error),
    #[error(transparent)]
    Events(#[from] backlot_events::Error),
    #[error("{path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path}: {source}")]
    Config { path: String, source: ConfigError },
    #[error(transparent)]
    Silence(#[from] SilenceError),
    #[error(
        "another server of this ledger, {0}, decides about alerts; send them there, or stop it and start this one again"
    )]
    NotLeading(String),
}

/// The alerts of a house. A cheap handle.
#[derive(Clone)]
pub(crate) struct AlertService(Arc<Inner>);

struct Inner {
    engine: Mutex<Engine>,
    /// What a write that failed has left.
    unsaved: Mutex<Changes>,
    ledger: Ledger,
    events: Events,
    config_file: Option<PathBuf>,
    external_url: String,
    started: Timestamp,
    wake: Notify,
    receivers: Receivers,
    lease: Mutex<Option<Lease>>,
    /// Set when another server has taken over.
    deposed: std::sync::atomic::AtomicBool,
    sending: tokio::sync::Mutex<JoinSet<()>>,
    meters: AlertMeters,
}

/// How the service is set up.
pub(crate) struct Setup {
    pub(crate) meters: AlertMeters,
    pub(crate) ledger: Ledger,
    pub(crate) events: Events,
    /// Alertmanager's configuration; the default one without it.
    pub(crate) config_file: Option<PathBuf>,
    /// Where people find the alerts.
    pub(crate) external_url: String,
    /// Who we are, the same after a restart.
    pub(crate) holder: String,
}

fn read_config(file: Option<&PathBuf>) -> Result<Config, ServiceError> {
    let Some(file) = file else { return Ok(Config::default()) };
    let path = file.display().to_string();
    let text =
        std::fs::read_to_string(file).map_err(|source| ServiceError::Read { path: path.clone(), source })?;
    Config::parse(&text).map_err(|source| ServiceError::Config { path, source })
}

impl AlertService {
    /// Reads the configuration and what was kept.
    ///
    /// # Errors
    /// A configuration that is none, a ledger that cannot be read, another server that leads.
    pub(crate) async fn open(setup: Setup) -> Result<Self, ServiceError> {
        let config = read_config(setup.config_file.as_ref())?;
        let holder = setup.holder.clone();
        let lease = setup
            .ledger
            .write(move |tx| -> Result<_, backlot_ledger::Error> {
                let lease = tx.lease_acquire(LEASE, &holder, LEASE_TIME)?;
                if lease.is_some() {
                    return Ok(Ok(lease));
                }
                let row = tx.query_opt(
                    "SELECT holder FROM ledger_leases WHERE name = $1",
                    backlot_ledger::params![LEASE],
                )?;
                Ok(Err(row.map_or_else(|| Ok(String::new()), |row| row.get(0))?))
            })
            .await?
            .map_err(ServiceError::NotLeading)?;
        let kept = setup.ledger.read(tables::load).await?;
        let now = clock::now(&setup.ledger);
        let engine = Engine::new(Arc::new(config), kept, now);
        Ok(Self(Arc::new(Inner {
            engine: Mutex::new(engine),
            unsaved: Mutex::default(),
            ledger: setup.ledger,
            events: setup.events,
            config_file: setup.config_file,
            external_url: setup.external_url,
            started: now,
            wake: Notify::new(),
            receivers: Receivers::default(),
            lease: Mutex::new(lease),
            deposed: std::sync::atomic::AtomicBool::new(false),
            sending: tokio::sync::Mutex::default(),
            meters: setup.meters,
        })))
    }

    /// The present.
    pub(crate) fn now(&self) -> Timestamp {
        clock::now(&self.0.ledger)
    }

    pub(crate) fn started(&self) -> Timestamp {
        self.0.started
    }

    pub(crate) fn external_url(&self) -> &str {
        &self.0.external_url
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// The engine, to look at. The lock is not held across waits.
    pub(crate) fn look(&self) -> MutexGuard<'_, Engine> {
        // A panic in the engine would leave at worst one call half done; the rest is as good as before.
        self.0.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the engine, and answers once that is durable.
    ///
    /// # Errors
    /// The ledger's. The change holds all the same, and is kept with the next one.
    pub(crate) async fn change<T>(
        &self,
        change: impl FnOnce(&mut Engine, Timestamp) -> (Changes, T),
    ) -> Result<T, ServiceError> {
        if self.0.deposed.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(ServiceError::NotLeading("which took over".to_owned()));
        }
        let now = self.now();
        let (changes, value) = change(&mut self.look(), now);
        self.save(changes).await?;
        self.0.wake.notify_one();
        Ok(value)
    }

    async fn save(&self, changes: Changes) -> Result<(), ServiceError> {
        let left = std::mem::take(&mut *self.0.unsaved.lock().unwrap_or_else(PoisonError::into_inner));
        let all = Arc::new(left.then(changes));
        if all.is_empty() {
            return Ok(());
        }
        let (rows, events) = (all.clone(), self.0.events.clone());
        let saved = self.0.ledger.write(move |tx| tables::save(tx, &events, &rows)).await;
        if let Err(error) = saved {
            let mut unsaved = self.0.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
            // What came in the meantime is later.
            *unsaved = (*all).clone().then(std::mem::take(&mut *unsaved));
            return Err(error.into());
        }
        Ok(())
    }

    /// Reads the configuration again. A file with a slip changes nothing.
    ///
    /// # Errors
    /// The slip.
    pub(crate) async fn reload(&self) -> Result<(), ServiceError> {
        let file = self.0.config_file.clone();
        let read = tokio::task::spawn_blocking(move || read_config(file.as_ref())).await;
        let config = read.unwrap_or_else(|error| {
            let source = std::io::Error::other(error.to_string());
            Err(ServiceError::Read { path: "the configuration".to_owned(), source })
        })?;
        self.look().reload(Arc::new(config), self.now());
        self.0.wake.notify_one();
        Ok(())
    }

    /// The latest decisions, about one alert or all.
    ///
    /// # Errors
    /// The ledger's.
    pub(crate) async fn decisions(
        &self,
        about: Option<Fingerprint>,
        most: usize,
    ) -> Result<Vec<Decision>, ServiceError> {
        Ok(self.0.ledger.read(move |tx| tables::decisions(tx, about, most)).await?)
    }

    /// Decides and sends, until it is aborted.
    pub(crate) async fn run(self) {
        loop {
            if !self.still_leading().await {
                tracing::error!("another server decides about alerts now; this one has stopped to");
                self.0.deposed.store(true, std::sync::atomic::Ordering::Relaxed);
                return;
            }
            let (changes, notifications) = self.look().tick(self.now());
            let config = self.look().config().clone();
            if let Err(error) = self.save(changes).await {
                tracing::error!(%error, "changes of alerts cannot be kept; they are tried again");
            }
            for notification in notifications {
                let way = config
                    .receivers
                    .get(&notification.key.receiver)
                    .and_then(|receiver| receiver.integrations.get(notification.integration));
                let Some(way) = way else {
                    // The configuration changed between the decision and here.
                    let changes = self.look().delivered(
                        notification.id,
                        Err("the receiver is gone".to_owned()),
                        self.now(),
                    );
                    drop(self.save(changes).await);
                    continue;
                };
                let (service, target) = (self.clone(), way.target.clone());
                let decided = tokio::time::Instant::now();
                let mut sending = self.0.sending.lock().await;
                while sending.try_join_next().is_some() {}
                sending.spawn(async move {
                    let outcome = service.0.receivers.send(&target, &notification, &service.0.external_url, service.now()).await;
                    service.0.meters.notified(&notification.key.receiver, outcome.is_ok(), decided.elapsed());
                    if let Err(error) = &outcome {
                        tracing::warn!(receiver = notification.key.receiver, way = notification.key.integration, %error, "a notification could not be sent");
                    }
                    let changes = service.look().delivered(notification.id, outcome, service.now());
                    if let Err(error) = service.save(changes).await {
                        tracing::error!(%error, "that a notification was sent cannot be kept; it is tried again");
                    }
                    service.0.wake.notify_one();
                });
            }
            let next = self.look().next_deadline();
            let wait = next.map_or(LONGEST_SLEEP, |next| {
                Duration::try_from(next.duration_since(self.now()))
                    .unwrap_or(Duration::ZERO)
                    .min(LONGEST_SLEEP)
            });
            // A little late rather than a little early: an early look would find nothing due.
            let wait = wait + Duration::from_millis(1);
            drop(tokio::time::timeout(wait, self.0.wake.notified()).await);
        }
    }

    async fn still_leading(&self) -> bool {
        let lease = self.0.lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(lease) = lease else { return false };
        let left = lease.expires.saturating_since(self.0.ledger.now());
        if left > LEASE_TIME * 2 / 3 {
            return true;
        }
        let renewed = self
            .0
            .ledger
            .write(move |tx| match tx.attempt(|tx| tx.lease_renew(&lease, LEASE_TIME)) {
                Ok(lease) => Ok(Some(lease)),
                // A process that was paused may take it again if nobody else did.
                Err(backlot_ledger::Error::StaleLease { .. }) => {
                    tx.lease_acquire(LEASE, &lease.holder, LEASE_TIME)
                }
                Err(error) => Err(error),
            })
            .await;
        match renewed {
            Ok(Some(lease)) => {
                *self.0.lease.lock().unwrap_or_else(PoisonError::into_inner) = Some(lease);
                true
            }
            Ok(None) => false,
            // A ledger that does not answer lets nobody else lead either.
            Err(error) => {
                tracing::error!(%error, "the right to decide about alerts cannot be renewed; it is tried again");
                true
            }
        }
    }

    /// Lets what is on its way arrive, and gives the right to decide back.
    pub(crate) async fn stop(&self) {
        let farewell = async {
            let mut sending = self.0.sending.lock().await;
            while sending.join_next().await.is_some() {}
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("notifications were still on their way; they are sent again after the next start");
        }
        let lease = self.0.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(lease) = lease {
            // It runs out by itself otherwise.
            drop(self.0.ledger.write(move |tx| tx.lease_release(&lease)).await);
        }
    }
}
