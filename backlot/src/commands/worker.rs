//! `backlot worker`: a process that does tasks for a ledger and a store, on this machine or another.

use std::path::Path;
use std::process::ExitCode;

use backlot_department::{CommandError, House};
use backlot_work::{Worker, WorkerOptions};
use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use crate::exit;
use crate::session::Session;
use crate::settings::{Settings, keys, redact};
use crate::signals::Stop;

pub(super) fn command() -> Command {
    Command::new("worker")
        .about("Works on tasks until it is told to stop")
        .long_about(
            "Works on tasks until it is told to stop.\n\nIt needs to reach the ledger and the store: on the server's own \
             machine its home is enough, elsewhere give --ledger postgres://… and --store s3://…. On SIGTERM or SIGINT it \
             gives its running tasks back and ends; a second signal ends it at once.",
        )
        .arg(Arg::new("name").long("name").help("What it is called in lists [default: the machine's name]"))
        .args([keys::CPUS.arg(), keys::MEMORY.arg()])
}

pub(super) async fn run(matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    let stop = Stop::on_signals()?;
    session.require_local()?;
    refuse_an_empty_home(&session.settings)?;
    let house = session.require_house().await?;
    let worker = start(&house, &session.settings, matches.get_one::<String>("name")).await?;
    let place = redact(&session.settings.ledger.value);
    let answer = json!({ "worker": worker.id(), "ledger": place, "pid": std::process::id() });
    session.context()?.print_line(&answer, |_| format!("worker {} works for {place}", worker.id()))?;
    stop.wait().await;
    worker.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Starts a worker that does the kinds of all departments.
pub(super) async fn start(
    house: &House,
    settings: &Settings,
    name: Option<&String>,
) -> Result<Worker, CommandError> {
    let mut options = WorkerOptions::new(house.home.join("scratch"));
    options.cpus = settings.cpus.value;
    options.memory = settings.memory.value;
    options.meters = Some(house.meters.clone());
    if let Some(name) = name {
        options.name.clone_from(name);
    }
    Worker::start(&house.work, house.kinds.clone(), options)
        .await
        .map_err(|error| exit::failure(CommandError::FAILED, &error))
}

/// A worker that made a new, empty ledger because its home was misspelt would wait for ever and look well.
fn refuse_an_empty_home(settings: &Settings) -> Result<(), CommandError> {
    let Some(file) = settings.ledger.value.strip_prefix("sqlite://") else { return Ok(()) };
    if Path::new(file).is_file() {
        return Ok(());
    }
    Err(CommandError::new(
        exit::MISSING,
        format!("there is no ledger {file}"),
        "start `backlot up` there first, or name another --home or --ledger",
    ))
}
