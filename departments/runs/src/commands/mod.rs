//! The commands `run`, `runs`, `tasks`, `logs` and `events`.
//!
//! They work on the home's ledger and store themselves, beside a running server if there is one: the ledger is made for several
//! processes, and whoever may read its files may do what the commands do. So they work just as well when no server runs.

mod events;
mod logs;
mod look;
mod run;
mod table;

use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError};
use clap::{ArgMatches, Command};

pub(crate) fn all() -> Vec<Command> {
    vec![run::command(), look::runs_command(), look::tasks_command(), logs::command(), events::command()]
}

pub(crate) async fn run(
    name: &str,
    matches: &ArgMatches,
    context: &CommandContext,
) -> Result<ExitCode, CommandError> {
    match name {
        "run" => run::run(matches, context).await,
        "runs" => look::runs(matches, context).await,
        "tasks" => look::tasks(matches, context).await,
        "logs" => logs::run(matches, context).await,
        "events" => events::run(matches, context).await,
        _ => Err(CommandError::usage(format!("there is no command `{name}`"), "see `backlot help`")),
    }
}

/// Who gives the order, for journals: the user of this machine.
fn who() -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    format!("cli:{}", user.as_deref().unwrap_or("unknown"))
}

/// An argument's text, or nothing.
fn text<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}
