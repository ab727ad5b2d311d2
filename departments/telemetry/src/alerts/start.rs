//! Putting the parts together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use backlot_alerts::Fingerprint;
use backlot_department::House;
use tokio::task::JoinHandle;

use super::evaluator::{Evaluator, Parts, Progress, StepOutcome};
use super::meters::AlertMeters;
use super::rules::{Compiled, Rule};
use super::service::Setup;
use super::{ALERTMANAGER_DOOR, AlertService, Feed, ServiceError, clock, tables};
use crate::lwc::Hub;
use crate::state::State;

/// Steps whose outcomes may wait for the ledger; the evaluator waits then, and its feed fills.
const WAITING_STEPS: usize = 64;

/// A file of this name in the department's folder is the configuration if the settings name none.
const USUAL_FILE: &str = "alertmanager.yml";

/// The alerts of a server. A cheap handle.
#[derive(Clone)]
pub(crate) struct Alerting {
    pub(crate) service: AlertService,
    pub(crate) feed: Feed,
    pub(crate) hub: Hub,
    rules: Arc<Mutex<HashMap<String, Rule>>>,
    progress: Arc<Mutex<Progress>>,
    errors: Arc<Mutex<HashMap<String, String>>>,
    stopped: Arc<AtomicBool>,
}

impl Alerting {
    /// Starts the evaluator and the engine; what goes on in the background is added to `tasks`.
    pub(crate) async fn start(
        house: &House,
        state: &State,
        tasks: &mut Vec<JoinHandle<()>>,
    ) -> Result<Self, ServiceError> {
        let settings = &state.settings.alerts;
        let usual = house.directory("telemetry").join(USUAL_FILE);
        let config_file = settings.config.clone().or_else(|| usual.is_file().then_some(usual));
        let meters = AlertMeters::new(&house.meters);
        let service = AlertService::open(Setup {
            meters: meters.clone(),
            ledger: house.ledger.clone(),
            events: house.events.clone(),
            config_file,
            external_url: settings.external_url.trim_end_matches('/').to_owned(),
            holder: holder(house),
        })
        .await?;
        let rules = house.ledger.read(tables::rules).await?;
        let (outcomes, mut inbox) = tokio::sync::mpsc::channel::<StepOutcome>(WAITING_STEPS);
        let (progress, errors) =
            (Arc::<Mutex<Progress>>::default(), Arc::<Mutex<HashMap<String, String>>>::default());
        let hub = Hub::new(state.settings.step);
        let evaluator = Evaluator::new(Parts {
            store: state.store.clone(),
            ledger: house.ledger.clone(),
            grace: settings.grace(state.settings.step),
            max_series: state.settings.max_series,
            external_url: service.external_url().to_owned(),
            outcomes,
            progress: progress.clone(),
            errors: errors.clone(),
            feed: state.feed.clone(),
            meters,
        });
        let evaluator = evaluator.map_err(|error| ServiceError::Read {
            path: "the time zones".to_owned(),
            source: std::io::Error::other(error.to_string()),
        })?;
        let alerting = Self {
            feed: state.feed.clone(),
            hub,
            rules: Arc::new(Mutex::new(rules.iter().map(|rule| (rule.id.clone(), rule.clone())).collect())),
            progress,
            errors,
            stopped: Arc::default(),
            service: service.clone(),
        };
        alerting
            .spawn(evaluator)
            .map_err(|source| ServiceError::Read { path: "the evaluator's thread".to_owned(), source })?;
        state.store.set_tap(Arc::new(state.feed.clone()));
        alerting.begin(rules).await?;
        tasks.push(tokio::spawn(service.clone().run()));
        tasks.push(tokio::spawn(alerting.hub.clone().heartbeats(service.ledger().clone())));
        tasks.push(tokio::spawn(async move {
            while let Some(outcome) = inbox.recv().await {
                let changed = service.change(|engine, now| {
                    let (posted, refused) = engine.put(outcome.posted, now);
                    (posted.then(engine.resolve(&outcome.over, now)), refused)
                });
                match changed.await {
                    Ok(refused) => {
                        for error in refused {
                            tracing::warn!(%error, "an alert of a rule was refused");
                        }
                    }
                    Err(error) => tracing::error!(%error, "alerts of rules cannot be kept yet"),
                }
            }
        }));
        Ok(alerting)
    }

    fn spawn(&self, mut evaluator: Evaluator) -> std::io::Result<()> {
        let Some(inbox) = self.feed.take_receiver() else { return Ok(()) };
        evaluator.add_watcher(Box::new(self.hub.clone()));
        let stopped = self.stopped.clone();
        let thread = std::thread::Builder::new().name("alert-evaluator".to_owned());
        thread.spawn(move || evaluator.run(&inbox, &stopped)).map(drop)
    }

    /// Hands the rules over, and ends alerts whose rule is gone.
    async fn begin(&self, rules: Vec<Rule>) -> Result<(), ServiceError> {
        let mut of_rule: HashMap<String, Vec<Fingerprint>> = HashMap::new();
        let now = self.service.now();
        for alert in self.service.look().alerts().filter(|alert| !alert.is_resolved(now)) {
            if let Some(origin) = &alert.origin {
                of_rule.entry(origin.rule.clone()).or_default().push(alert.fingerprint());
            }
        }
        for rule in rules.into_iter().filter(|rule| rule.spec.enabled) {
            match rule.spec.compile() {
                Ok(compiled) => {
                    let firing = of_rule.remove(&rule.id).unwrap_or_default();
                    self.edit(move |evaluator| evaluator.set_rule(rule, compiled, firing)).await;
                }
                Err(reason) => {
                    tracing::error!(rule = rule.spec.name, reason, "an alert rule cannot be evaluated");
                }
            }
        }
        let orphans: Vec<Fingerprint> = of_rule.into_values().flatten().collect();
        self.service.change(|engine, now| (engine.resolve(&orphans, now), ())).await
    }

    /// Changes what is evaluated, from an async task.
    pub(crate) async fn edit(&self, edit: impl FnOnce(&mut Evaluator) + Send + 'static) {
        let feed = self.feed.clone();
        // A full feed makes this wait, but not the server's threads.
        drop(tokio::task::spawn_blocking(move || feed.edit(edit)).await);
    }

    pub(crate) fn progress(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rules(&self) -> std::sync::MutexGuard<'_, HashMap<String, Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a rule could not be evaluated at the last step.
    pub(crate) fn error_of(&self, rule: &str) -> Option<String> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).get(rule).cloned()
    }

    /// Keeps rules and evaluates them from the next step on.
    ///
    /// # Errors
    /// The ledger's.
    pub(crate) async fn set_rules(&self, rules: Vec<(Rule, Compiled)>) -> Result<(), ServiceError> {
        let row = |(rule, _): &(Rule, Compiled)| {
            let body = serde_json::to_string(rule)
                .map_err(|error| backlot_events::Error::Json { problem: error.to_string() })?;
            Ok(vec![rule.id.as_str().into(), body.into()])
        };
        let rows = rules.iter().map(row).collect::<Result<Vec<_>, backlot_events::Error>>()?;
        let sql = "INSERT INTO telemetry_rules (id, body) VALUES ($1, $2)
                   ON CONFLICT (id) DO UPDATE SET body = excluded.body";
        self.service
            .ledger()
            .write(move |tx| tx.execute_many(sql, &rows))
            .await
            .map_err(ServiceError::Ledger)?;
        self.rules().extend(rules.iter().map(|(rule, _)| (rule.id.clone(), rule.clone())));
        self.edit(move |evaluator| {
            for (rule, compiled) in rules {
                if rule.spec.enabled {
                    evaluator.set_rule(rule, compiled, Vec::new());
                } else {
                    evaluator.remove_rule(&rule.id);
                }
            }
        })
        .await;
        Ok(())
    }

    /// Forgets a rule; its alerts are over.
    ///
    /// # Errors
    /// The ledger's.
    pub(crate) async fn remove_rule(&self, id: String) -> Result<bool, ServiceError> {
        let row = id.clone();
        self.service
            .ledger()
            .write(move |tx| {
                tx.execute("DELETE FROM telemetry_rules WHERE id = $1", backlot_ledger::params![row])
            })
            .await
            .map_err(ServiceError::Ledger)?;
        let was_there = self.rules().remove(&id).is_some();
        self.edit(move |evaluator| evaluator.remove_rule(&id)).await;
        Ok(was_there)
    }

    /// A rule's alerts, and the lines that hold but are not alerts yet.
    pub(crate) async fn counts(&self, rules: Vec<String>) -> HashMap<String, (usize, usize)> {
        let (send, answer) = tokio::sync::oneshot::channel();
        self.edit(move |evaluator| {
            let counts = rules.into_iter().filter_map(|id| evaluator.counts(&id).map(|counts| (id, counts)));
            // Whoever asked may be gone.
            drop(send.send(counts.collect()));
        })
        .await;
        let within = tokio::time::timeout(std::time::Duration::from_secs(2), answer).await;
        within.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// Ends what was started.
    pub(crate) async fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.hub.close();
        self.service.stop().await;
    }

    /// The present in milliseconds.
    pub(crate) fn now_millis(&self) -> i64 {
        clock::micros(self.service.now()).micros().div_euclid(1000)
    }
}

/// Who this server is: the same after a restart, so that a server that was killed need not wait for itself.
fn holder(house: &House) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}:{}", house.home.display())
}

/// Where the interface is, for settings that do not say.
pub(crate) fn usual_url() -> String {
    format!("http://127.0.0.1:{}{ALERTMANAGER_DOOR}", backlot_web::DEFAULT_PORT)
}
