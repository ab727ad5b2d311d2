//! The department's commands.

mod mezz;
mod vmaf;

use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError};
use clap::{ArgMatches, Command};

pub(crate) fn all() -> Vec<Command> {
    vec![mezz::command(), vmaf::command()]
}

pub(crate) async fn run(
    name: &str,
    matches: &ArgMatches,
    context: &CommandContext,
) -> Result<ExitCode, CommandError> {
    match name {
        "mezz" => mezz::run(matches, context).await,
        "vmaf" => vmaf::run(matches).await,
        _ => Err(CommandError::usage(format!("there is no command `{name}`"), "see `backlot help`")),
    }
}
