//! The department signals, as the house sees it.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use backlot_department::{Access, CommandContext, CommandError, Department, Door, Error, House, Kind, Page};
use backlot_series::Source;
use backlot_web::console::Icon;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::alerts::{self, Follower};
use crate::door::{self, Desk};
use crate::live::Gate;
use crate::settings::Settings;
use crate::{command, kinds, pages};

/// Where explanations are asked for and read; links between pages and files use it.
pub(crate) const DOOR: &str = "/signals/api/v1";

const ACCESS: Access = Access::ReadWrite { read: "runs:read", write: "runs:write" };

/// The department.
#[derive(Debug, Default)]
pub struct Signals {
    gate: Gate,
    follower: Mutex<Option<JoinHandle<()>>>,
    stop: Arc<Notify>,
}

impl Signals {
    fn desk(&self, house: &House) -> Desk {
        Desk { house: house.clone(), gate: self.gate.clone() }
    }
}

fn settings(house: &House) -> Result<Settings, Error> {
    let settings: Settings = house.config.section("signals")?;
    settings.check().map_err(|reason| Error::Config { section: "signals".to_owned(), reason })?;
    Ok(settings)
}

#[async_trait]
impl Department for Signals {
    fn name(&self) -> &'static str {
        "signals"
    }

    fn summary(&self) -> &'static str {
        "Which of a thousand metrics explains an alert: change points, lags, clusters, first movers"
    }

    fn kinds(&self) -> Vec<Arc<dyn Kind>> {
        kinds::all()
    }

    async fn start(&self, house: &House) -> Result<(), Error> {
        // A misspelt setting stops every command, not only the server.
        settings(house)?;
        let ledger = house.ledger.clone();
        let migrated =
            tokio::task::spawn_blocking(move || ledger.migrate("signals", alerts::MIGRATIONS)).await;
        migrated
            .map_err(|error| Error::start(self.name(), error))?
            .map_err(|error| Error::start(self.name(), error))
    }

    async fn serve(&self, house: &House) -> Result<(), Error> {
        let settings = settings(house)?;
        if settings.candidates.trim().is_empty() {
            // A group that nobody serves would keep events from being pruned.
            return house.events.remove_consumer(alerts::GROUP).await.map_err(Error::from);
        }
        let source = house.services().require::<dyn Source>()?;
        let member = Follower::member(&house.events).await?;
        let follower = Follower::new(house.clone(), source, settings, self.gate.clone());
        let task = tokio::spawn(follower.follow(member, self.stop.clone()));
        if let Some(earlier) = self.follower.lock().unwrap_or_else(PoisonError::into_inner).replace(task) {
            earlier.abort();
        }
        Ok(())
    }

    async fn stop(&self, _house: &House) {
        let task = self.follower.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // What it was about is in the ledger.
            self.stop.notify_one();
            drop(task.await);
        }
    }

    fn doors(&self, house: &House) -> Vec<Door> {
        vec![
            Door::http("signals", DOOR, door::routes(self.desk(house)))
                .access(ACCESS)
                .body_limit(door::MOST_BODY_BYTES)
                .client("curl, scripts", "BACKLOT_URL"),
        ]
    }

    fn pages(&self, house: &House) -> Vec<Page> {
        vec![Page::new("Signals", "/signals", Icon::Chart, pages::routes(self.desk(house))).access(ACCESS)]
    }

    fn openapi(&self) -> Value {
        let run = json!({ "name": "run", "in": "path", "required": true, "schema": { "type": "string" } });
        let text = |name: &str, required: bool| json!({ "name": name, "in": "query", "required": required, "schema": { "type": "string" } });
        let words = |about: &str| json!({ "type": "string", "description": about });
        let rate = json!({ "name": "rate", "in": "query", "schema": { "type": "number" } });
        json!({
            "tags": [{ "name": "signals", "description": "Explanations of alerts" }],
            "paths": {
                "/signals/api/v1/changes": { "post": {
                    "tags": ["signals"],
                    "summary": "Where each signal of a table (CSV or Parquet) changes",
                    "parameters": [text("signal", false), text("model", false),
                        { "name": "min_size", "in": "query", "schema": { "type": "integer", "minimum": 1 } },
                        { "name": "penalty", "in": "query", "schema": { "type": "number" } }],
                    "requestBody": { "required": true, "content": { "text/csv": {}, "application/vnd.apache.parquet": {} } },
                    "responses": {
                        "200": { "description": "Change points by signal", "content": { "application/json": {} } },
                        "default": { "$ref": "#/components/responses/Error" }
                    }
                } },
                "/signals/api/v1/explanations": { "post": {
                    "tags": ["signals"],
                    "summary": "Ask which signals explain an alert: those of a table (CSV or Parquet; the parameters ask about it), or those of a query of live metrics (JSON)",
                    "parameters": [text("alert", false), text("at", false), text("before", false), text("after", false), text("lags", false), text("season", false), rate],
                    "requestBody": { "required": true, "content": { "text/csv": {}, "application/vnd.apache.parquet": {}, "application/json": { "schema": {
                        "type": "object",
                        "required": ["alert", "candidates"],
                        "properties": {
                            "alert": words("The query of the alert's signal: one series"),
                            "candidates": words("The query of the candidates"),
                            "at": words("When it fired; now unless given"),
                            "before": words("How long before the alert causes are looked for"),
                            "after": words("How long after it"),
                            "lags": words("The longest lag of correlations"),
                            "season": words("After how long signals repeat"),
                            "step": words("The distance of points; 1m unless given"),
                            "history": words("How long before that what is usual is learnt from"),
                            "rate": { "type": "number" },
                            "name": words("What to call the alert")
                        }
                    } } } },
                    "responses": {
                        "202": { "description": "The run that explains it", "content": { "application/json": {} } },
                        "default": { "$ref": "#/components/responses/Error" }
                    }
                } },
                "/signals/api/v1/explanations/{run}": { "get": {
                    "tags": ["signals"],
                    "summary": "The explanation, once its run has succeeded",
                    "parameters": [run, { "name": "wait", "in": "query", "description": "Seconds to wait for it, 30 at most", "schema": { "type": "number" } }],
                    "responses": {
                        "200": { "description": "The explanation", "content": { "application/json": {} } },
                        "default": { "$ref": "#/components/responses/Error" }
                    }
                } },
                "/signals/api/v1/explanations/{run}/files/{name}": { "get": {
                    "tags": ["signals"],
                    "summary": "The explanation as timeline, figure, figure_light, figure_dark, figure_small or figure_small_dark",
                    "parameters": [run, { "name": "name", "in": "path", "required": true, "schema": { "type": "string" } }],
                    "responses": {
                        "200": { "description": "The file" },
                        "default": { "$ref": "#/components/responses/Error" }
                    }
                } }
            }
        })
    }

    fn commands(&self) -> Vec<clap::Command> {
        vec![command::command()]
    }

    async fn run_command(
        &self,
        name: &str,
        matches: &clap::ArgMatches,
        context: &CommandContext,
    ) -> Result<ExitCode, CommandError> {
        if name != "signals" {
            return Err(CommandError::usage(format!("there is no command `{name}`"), "see `backlot help`"));
        }
        command::run(matches, context).await
    }
}
