//! Department runs: the doors, pages and commands of durable work and of the events it leaves behind.
//!
//! `backlot-work` keeps runs; this department shows and steers them. For programs there are two doors, `/runs/api/v1` and
//! `/events/api/v1`, with JSON and server-sent events; for people the console pages Runs and Events; for the shell the commands
//! `run`, `runs`, `tasks`, `logs` and `events`.
//!
//! The central idea: **all three are views of the same reads.** A page shows what the door tells, a command prints it, and
//! each follows changes by waiting on the ledger, so a state is seen everywhere at once and nothing is kept twice.
//!
//! ```no_run
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! use backlot_department::{Config, Department, House, shell_part};
//!
//! let departments: [Box<dyn Department>; 1] = [Box::new(backlot_runs::Runs)];
//! let ledger = backlot_ledger::Ledger::open("sqlite:///srv/backlot/ledger.db")?;
//! let store = backlot_store::Store::open("file:///srv/backlot/blobs")?;
//! let house = House::open("/srv/backlot", Config::default(), store, ledger, &departments)?;
//! let part = shell_part(&*departments[0], &house);
//! assert_eq!(part.doors.len(), 2);
//! # Ok(()) }
//! ```

mod api;
mod artifact;
mod commands;
mod feed;
mod follow;
mod openapi;
mod pages;
mod refusal;

use std::process::ExitCode;

use async_trait::async_trait;
use backlot_department::{
    Access, CommandContext, CommandError, Department, Door, Health, HealthCheck, House, OverviewCard, Page,
};
use backlot_web::console::Icon;
use serde_json::Value;

/// Where the doors are; links between pages and doors use these.
pub(crate) const RUNS_DOOR: &str = "/runs/api/v1";
pub(crate) const EVENTS_DOOR: &str = "/events/api/v1";

pub(crate) const RUNS_WRITE: &str = "runs:write";

const RUNS_ACCESS: Access = Access::ReadWrite { read: "runs:read", write: RUNS_WRITE };
const EVENTS_ACCESS: Access = Access::ReadWrite { read: "events:read", write: "events:write" };

/// The department.
#[derive(Clone, Copy, Debug, Default)]
pub struct Runs;

#[async_trait]
impl Department for Runs {
    fn name(&self) -> &'static str {
        "runs"
    }

    fn summary(&self) -> &'static str {
        "Durable work: submit, follow and steer runs of tasks, and see every event they leave"
    }

    fn doors(&self, house: &House) -> Vec<Door> {
        let client = "the Python package, curl";
        vec![
            Door::http("runs", RUNS_DOOR, api::runs::routes(house.clone()))
                .access(RUNS_ACCESS)
                .client(client, "BACKLOT_URL"),
            Door::http("events", EVENTS_DOOR, api::events::routes(house.clone()))
                .access(EVENTS_ACCESS)
                .client("curl, CloudEvents SDKs", "BACKLOT_URL"),
        ]
    }

    fn pages(&self, house: &House) -> Vec<Page> {
        vec![
            Page::new("Runs", "/runs", Icon::Runs, pages::runs_routes(house.clone())).access(RUNS_ACCESS),
            Page::new("Events", "/events", Icon::Events, pages::events_routes(house.clone()))
                .access(EVENTS_ACCESS),
        ]
    }

    fn cards(&self, house: &House) -> Vec<OverviewCard> {
        let (for_runs, for_workers) = (house.clone(), house.clone());
        vec![
            OverviewCard::new("Newest runs", Some("runs:read"), move || pages::newest_runs(for_runs.clone())),
            OverviewCard::new("Workers", Some("runs:read"), move || pages::workers(for_workers.clone())),
        ]
    }

    fn openapi(&self) -> Value {
        openapi::fragment()
    }

    fn health(&self, house: &House) -> HealthCheck {
        let house = house.clone();
        HealthCheck::new(move || health(house.clone()))
    }

    fn commands(&self) -> Vec<clap::Command> {
        commands::all()
    }

    async fn run_command(
        &self,
        name: &str,
        matches: &clap::ArgMatches,
        context: &CommandContext,
    ) -> Result<ExitCode, CommandError> {
        commands::run(name, matches, context).await
    }
}

/// The ledger answers, and somebody does the work.
async fn health(house: House) -> Health {
    match house.work.workers().await {
        Err(error) => Health::Down(error.to_string()),
        Ok(workers) if workers.iter().any(|worker| follow::is_alive(worker, house.ledger.now())) => {
            Health::Ready
        }
        Ok(_) => Health::Degraded("no worker is alive; start `backlot up` or `backlot worker`".to_owned()),
    }
}
