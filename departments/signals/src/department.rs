//! The department signals, as the house sees it.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use backlot_department::{Access, CommandContext, CommandError, Department, Door, House, Kind, Page};
use backlot_web::console::Icon;
use serde_json::{Value, json};

use crate::{command, kinds, pages};

/// Where explanations are asked for and read; links between pages and files use it.
pub(crate) const DOOR: &str = "/signals/api/v1";

const ACCESS: Access = Access::ReadWrite { read: "runs:read", write: "runs:write" };

/// The department.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signals;

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

    fn doors(&self, house: &House) -> Vec<Door> {
        vec![
            Door::http("signals", DOOR, pages::door(house.clone()))
                .access(ACCESS)
                .body_limit(pages::MOST_BODY_BYTES)
                .client("curl, scripts", "BACKLOT_URL"),
        ]
    }

    fn pages(&self, house: &House) -> Vec<Page> {
        vec![Page::new("Signals", "/signals", Icon::Chart, pages::pages(house.clone())).access(ACCESS)]
    }

    fn openapi(&self) -> Value {
        let run = json!({ "name": "run", "in": "path", "required": true, "schema": { "type": "string" } });
        let text = |name: &str, required: bool| json!({ "name": name, "in": "query", "required": required, "schema": { "type": "string" } });
        let rate = json!({ "name": "rate", "in": "query", "schema": { "type": "number" } });
        json!({
            "tags": [{ "name": "signals", "description": "Explanations of alerts" }],
            "paths": {
                "/signals/api/v1/explanations": { "post": {
                    "tags": ["signals"],
                    "summary": "Ask which signals of a CSV table explain an alert",
                    "parameters": [text("alert", true), text("at", false), text("before", false), text("after", false), text("lags", false), text("season", false), rate],
                    "requestBody": { "required": true, "content": { "text/csv": {} } },
                    "responses": {
                        "202": { "description": "The run that explains it", "content": { "application/json": {} } },
                        "default": { "$ref": "#/components/responses/Error" }
                    }
                } },
                "/signals/api/v1/explanations/{run}": { "get": {
                    "tags": ["signals"],
                    "summary": "The explanation, once its run has succeeded",
                    "parameters": [run],
                    "responses": {
                        "200": { "description": "The explanation", "content": { "application/json": {} } },
                        "default": { "$ref": "#/components/responses/Error" }
                    }
                } },
                "/signals/api/v1/explanations/{run}/files/{name}": { "get": {
                    "tags": ["signals"],
                    "summary": "The explanation as timeline, figure, figure_light or figure_dark",
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
