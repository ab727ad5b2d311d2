//! The department, as the house sees it.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backlot_department::{
    Access, CommandContext, CommandError, Department, Door, Error, Health, HealthCheck, House, Page, Services,
};
use backlot_series::Source;
use backlot_spectator::AgentHandle;
use backlot_web::console::Icon;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::alerts::{self, Alerting, ServiceError};
use crate::ingest::LARGEST_BODY;
use crate::prometheus::scrape;
use crate::settings::AgentSettings;
use crate::source::TelemetrySource;
use crate::state::{Slot, State};
use crate::store::Store;
use crate::{Settings, agent, atlas_door, commands, lwc, openapi, own, pages, prometheus};

/// Where Atlas' interface is; pages link to it.
pub(crate) const ATLAS_DOOR: &str = "/atlas";

/// Largest log before a checkpoint is made early: what a restart must play again.
const LARGEST_LOG: u64 = 256 << 20;

/// Largest body of alerts: tens of thousands.
const LARGEST_ALERTS: u64 = 16 << 20;

/// The department.
#[derive(Default)]
pub struct Telemetry {
    slot: Slot,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    agent: tokio::sync::Mutex<Option<AgentHandle>>,
}

#[async_trait]
impl Department for Telemetry {
    fn name(&self) -> &'static str {
        "telemetry"
    }

    fn summary(&self) -> &'static str {
        "Dimensional metrics: taken from Spectator, Atlas and Prometheus clients, queried with the Atlas stack language"
    }

    fn offer(&self, services: &mut Services) -> Result<(), Error> {
        services.offer::<dyn Source>(Arc::new(TelemetrySource { slot: self.slot.clone() }))
    }

    async fn start(&self, house: &House) -> Result<(), Error> {
        // A misspelt setting stops every command, not only the server.
        settings(house)?;
        let ledger = house.ledger.clone();
        let migrated =
            tokio::task::spawn_blocking(move || ledger.migrate(alerts::OWNER, alerts::MIGRATIONS)).await;
        migrated
            .map_err(|error| Error::start(self.name(), error))?
            .map_err(|error| Error::start(self.name(), error))
    }

    async fn serve(&self, house: &House) -> Result<(), Error> {
        let settings = settings(house)?;
        let options = settings.store(Some(house.directory(self.name()).join("series")));
        let now = house.ledger.now().micros().div_euclid(1000);
        let opened = tokio::task::spawn_blocking(move || Store::open(options, now)).await;
        let store = opened
            .map_err(|error| Error::start(self.name(), error))?
            .map_err(|error| Error::start(self.name(), error))?;
        let mut state = State::new(Arc::new(store), settings, house.ledger.clone(), &house.meters);
        let mut begun = Vec::new();
        match Alerting::start(house, &state, &mut begun).await {
            Ok(alerting) => state.alerts = Ok(alerting),
            // Everything else works; who asks for alerts is told where they are.
            Err(error @ ServiceError::NotLeading(_)) => {
                tracing::warn!(%error, "no alerts in this process");
                state.alerts = Err(error.to_string().into());
            }
            Err(error) => return Err(Error::start(self.name(), error)),
        }
        let agent = agent::start(&state, &state.settings.agent).await;
        *self.agent.lock().await = agent;
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.append(&mut begun);
        tasks.push(tokio::spawn(keep_synced(state.clone())));
        tasks.push(tokio::spawn(keep_checkpoints(state.clone())));
        tasks.push(tokio::spawn(own::publish(state.clone(), house.meters.clone(), house.work.clone())));
        for scrape in &state.settings.scrape {
            tasks.extend(
                scrape::targets(scrape).map(|target| tokio::spawn(scrape::keep(state.clone(), target))),
            );
        }
        // A department serves once; a second state would never be seen.
        drop(self.slot.set(state));
        Ok(())
    }

    async fn stop(&self, house: &House) {
        if let Some(agent) = self.agent.lock().await.take() {
            // What clients have sent is in the store before it closes.
            agent.stop().await;
        }
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
        let Some(state) = self.slot.get().cloned() else { return };
        if let Ok(alerting) = &state.alerts {
            alerting.stop().await;
        }
        let now = state.now();
        let registry = house.meters.clone();
        let last = tokio::task::spawn_blocking(move || {
            own::once(&state, &registry, Duration::MAX, &own::common_tags());
            let last = state.store.checkpoint(now).or_else(|_| state.store.sync());
            state.store.release();
            last
        })
        .await;
        if let Ok(Err(error)) = last {
            tracing::error!(%error, "the last metrics could not be written");
        }
    }

    fn doors(&self, house: &House) -> Vec<Door> {
        let mut doors = vec![
            Door::http("atlas", ATLAS_DOOR, atlas_door::routes(self.slot.clone()))
                .access(Access::Open)
                .body_limit(LARGEST_BODY as u64)
                .client(
                    "Spectator clients, spectatord, Atlas dashboards, curl",
                    "the client's uri: http://HOST:PORT/atlas/api/v4/update",
                ),
            Door::http("prometheus", "/prometheus", prometheus::routes(self.slot.clone()))
                .access(Access::Open)
                .body_limit(LARGEST_BODY as u64)
                .client(
                    "Prometheus, vmagent",
                    "remote_write.url, -remoteWrite.url: http://HOST:PORT/prometheus/api/v1/write",
                ),
            Door::http("alertmanager", alerts::ALERTMANAGER_DOOR, alerts::alertmanager_routes(self.slot.clone()))
                .access(Access::Open)
                .body_limit(LARGEST_ALERTS)
                .client(
                    "amtool, Prometheus, vmalert",
                    "amtool --alertmanager.url, vmalert -notifier.url: http://HOST:PORT/alertmanager; Prometheus: alertmanagers with path_prefix /alertmanager",
                ),
            Door::http("lwc", "/telemetry", lwc::routes(self.slot.clone()).merge(alerts::rules_routes(self.slot.clone())))
                .access(Access::Open)
                .body_limit(LARGEST_BODY as u64)
                .client(
                    "Atlas' evaluation library, curl",
                    "base URL of LWC and of the alert rules: http://HOST:PORT/telemetry",
                ),
        ];
        doors.extend(settings(house).map(|settings| agent_doors(&settings.agent)).unwrap_or_default());
        doors
    }

    fn pages(&self, _house: &House) -> Vec<Page> {
        vec![
            Page::new("Metrics", "/metrics", Icon::Chart, pages::routes(self.slot.clone()))
                .access(Access::Authenticated),
            Page::new("Alerts", "/alerts", Icon::Shield, alerts::page_routes(self.slot.clone()))
                .access(Access::Authenticated),
        ]
    }

    fn openapi(&self) -> Value {
        openapi::fragment()
    }

    fn commands(&self) -> Vec<clap::Command> {
        vec![commands::command()]
    }

    async fn run_command(
        &self,
        _name: &str,
        matches: &clap::ArgMatches,
        context: &CommandContext,
    ) -> Result<ExitCode, CommandError> {
        commands::run(matches, context).await
    }

    fn health(&self, _house: &House) -> HealthCheck {
        let slot = self.slot.clone();
        HealthCheck::new(move || {
            let slot = slot.clone();
            async move {
                match slot.get() {
                    Some(_) => Health::Ready,
                    None => Health::Down("the metrics store is not open".to_owned()),
                }
            }
        })
    }
}

/// The sockets of the agent inside the server, as they are configured.
fn agent_doors(agent: &AgentSettings) -> Vec<Door> {
    if !agent.enabled {
        return Vec::new();
    }
    let lines = agent.lines.map(|address| {
        Door::socket("spectatord", format!("udp://{address}"))
            .client("spectator-py, -go, -cpp, -js, a shell", "their default, udp://127.0.0.1:1234")
    });
    let unix = agent.unix.as_ref().map(|path| {
        Door::socket("spectatord-unix", format!("unix://{}", path.display()))
            .client("spectator-py, -go, -cpp, -js", "SPECTATOR_OUTPUT_LOCATION=unix://PATH")
    });
    let statsd = agent.statsd.map(|address| {
        Door::socket("dogstatsd", format!("udp://{address}"))
            .client("hot-shots and other DogStatsD clients", "DD_AGENT_HOST=127.0.0.1")
    });
    [lines, unix, statsd].into_iter().flatten().collect()
}

fn settings(house: &House) -> Result<Settings, Error> {
    let settings: Settings = house.config.section("telemetry")?;
    settings.check().map_err(|reason| Error::Config { section: "telemetry".to_owned(), reason })?;
    Ok(settings)
}

async fn keep_synced(state: State) {
    let interval = Duration::from_millis(state.settings.sync_interval.unsigned_abs());
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let store = state.store.clone();
        match tokio::task::spawn_blocking(move || store.sync()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the log of metrics cannot be synced"),
            Err(_) => return,
        }
    }
}

async fn keep_checkpoints(state: State) {
    let interval = Duration::from_millis(state.settings.checkpoint_interval.unsigned_abs());
    let look = interval.min(Duration::from_secs(10));
    let mut ticks = tokio::time::interval(look);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = tokio::time::Instant::now();
    loop {
        ticks.tick().await;
        if last.elapsed() < interval && state.store.size().log_bytes < LARGEST_LOG {
            continue;
        }
        last = tokio::time::Instant::now();
        let (store, now) = (state.store.clone(), state.now());
        match tokio::task::spawn_blocking(move || store.checkpoint(now)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "a checkpoint of the metrics failed; it is tried again");
            }
            Err(_) => return,
        }
    }
}
