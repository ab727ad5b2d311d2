//! A whole department in one file: a door, a page, a task kind, a service for its neighbours, a command, a check.
//!
//! `cargo run --example hello` serves it; `tests/it/main.rs` runs every part of it. To add a department to the house, make a
//! crate like this one under `departments/` and name it in the binary's list.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use backlot_department::{
    Access, Check, CommandContext, CommandError, Config, Department, Door, Error, House, Install, Kind, Need,
    Page, Services, shell_part,
};
use backlot_ledger::Ledger;
use backlot_store::Store;
use backlot_web::console::{self, Frame, Icon, widgets};
use backlot_web::{ApiError, Shell, Tokens, WebConfig, extract};
use backlot_work::{Outputs, TaskContext, TaskError};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What this department offers its neighbours. In the house such a trait lives in `foundation/`.
pub trait Greeter: Send + Sync {
    /// A greeting for this name.
    fn greet(&self, name: &str) -> Greeting;
}

/// A greeting, as the door and the command give it out.
#[derive(Debug, Serialize)]
pub struct Greeting {
    text: String,
}

struct English;

impl Greeter for English {
    fn greet(&self, name: &str) -> Greeting {
        Greeting { text: format!("Hello, {name}!") }
    }
}

/// The task kind `hello.greet`: its input is `{"name": …}`, its output `greeting`.
struct GreetTask;

#[async_trait]
impl Kind for GreetTask {
    fn name(&self) -> &'static str {
        "hello.greet"
    }

    fn version(&self) -> u32 {
        1
    }

    async fn run(&self, task: TaskContext) -> Result<Outputs, TaskError> {
        let settings: Settings = task.parse()?;
        task.log(format!("greeting {}", settings.name));
        Outputs::new().value("greeting", English.greet(&settings.name).text)
    }
}

/// The section `[hello]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Whom to greet when nobody is named.
    name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { name: "lot".to_owned() }
    }
}

/// The department.
pub struct Hello;

#[async_trait]
impl Department for Hello {
    fn name(&self) -> &'static str {
        "hello"
    }

    fn summary(&self) -> &'static str {
        "Greets those who come by"
    }

    fn offer(&self, services: &mut Services) -> Result<(), Error> {
        services.offer::<dyn Greeter>(Arc::new(English))
    }

    fn kinds(&self) -> Vec<Arc<dyn Kind>> {
        vec![Arc::new(GreetTask)]
    }

    async fn start(&self, house: &House) -> Result<(), Error> {
        // A misspelt setting stops the start, not the first request.
        house.config.section::<Settings>(self.name()).map(drop)
    }

    fn doors(&self, house: &House) -> Vec<Door> {
        let routes = Router::new().route("/greetings/{name}", get(greeting)).with_state(house.clone());
        vec![Door::http("hello", "/hello/api", routes).client("curl", "HELLO_URL").access(Access::Open)]
    }

    fn pages(&self, house: &House) -> Vec<Page> {
        let routes = Router::new().route("/", get(page)).with_state(house.clone());
        vec![Page::new("Hello", "/hello", Icon::Tile, routes).access(Access::Scope("hello:read"))]
    }

    fn openapi(&self) -> Value {
        json!({
            "tags": [{ "name": "hello" }],
            "paths": { "/hello/api/greetings/{name}": { "get": {
                "tags": ["hello"], "summary": "A greeting", "operationId": "greeting",
                "parameters": [{ "name": "name", "in": "path", "required": true, "schema": { "type": "string" } }],
                "responses": {
                    "200": { "description": "The greeting", "content": { "application/json": {
                        "schema": { "type": "object", "properties": { "text": { "type": "string" } } } } } },
                    "default": { "$ref": "#/components/responses/Error" }
                }
            } } }
        })
    }

    fn commands(&self) -> Vec<clap::Command> {
        vec![clap::Command::new("greet").about("Greets someone").arg(clap::Arg::new("name").required(true))]
    }

    async fn run_command(
        &self,
        name: &str,
        matches: &clap::ArgMatches,
        context: &CommandContext,
    ) -> Result<ExitCode, CommandError> {
        if name != "greet" {
            return Err(CommandError::usage(format!("there is no command `{name}`"), "use `greet`"));
        }
        let house = context.open_house().await?;
        let greeter = house.services().require::<dyn Greeter>()?;
        let whom = matches.get_one::<String>("name").map_or("", String::as_str);
        context.print(&greeter.greet(whom), |greeting| greeting.text.clone())?;
        Ok(ExitCode::SUCCESS)
    }

    fn checks(&self) -> Vec<Check> {
        vec![
            Check::program(
                "sh",
                &["-c", "echo POSIX shell"],
                "shows what a check looks like",
                Need::Optional,
            )
            .install(Install::Apt(vec!["dash".to_owned()])),
        ]
    }
}

async fn greeting(
    State(house): State<House>,
    name: extract::Path<String>,
) -> Result<extract::Json<Greeting>, ApiError> {
    if name.0.len() > 100 {
        return Err(ApiError::bad_request("that name is too long", "send at most 100 bytes"));
    }
    let greeter = house.services().require::<dyn Greeter>().map_err(|error| ApiError::internal(&error))?;
    Ok(extract::Json(greeter.greet(&name.0)))
}

async fn page(State(house): State<House>, frame: Frame) -> Result<Markup, ApiError> {
    let settings: Settings = house.config.section("hello").map_err(|error| ApiError::internal(&error))?;
    let greeter = house.services().require::<dyn Greeter>().map_err(|error| ApiError::internal(&error))?;
    let body =
        html! { (widgets::card("Today's greeting", html! { p { (greeter.greet(&settings.name).text) } })) };
    Ok(console::page(&frame, "Hello", body))
}

/// A house of this one department on a ledger in memory and blobs under `home`, as the binary opens one of all departments.
///
/// # Errors
/// Storage that cannot be opened, a setting that does not fit.
pub async fn open(home: &Path, config: Config) -> Result<House, Box<dyn std::error::Error + Send + Sync>> {
    let ledger = Ledger::open("sqlite::memory:")?;
    let store = Store::open(&format!("file://{}/blobs", home.display()))?;
    let departments: [Box<dyn Department>; 1] = [Box::new(Hello)];
    let house = House::open(home, config, store, ledger, &departments)?;
    house.start(&departments).await?;
    Ok(house)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let home = std::env::temp_dir().join("backlot-hello");
    let house = open(&home, Config::default()).await?;
    let tokens = Tokens::open(&home)?;
    let shell = Shell::builder(WebConfig::new(tokens)).department(shell_part(&Hello, &house)).build()?;
    let listener = shell.bind().await?;
    let token = Tokens::admin_token(&home)?.unwrap_or_default();
    println!("http://{}/login?token={token}", listener.local_addr()?);
    shell.serve(listener, async { drop(tokio::signal::ctrl_c().await) }).await?;
    Ok(())
}
