//! The department's commands.

mod compare;
mod mezz;
mod vmaf;

use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError};
use clap::{ArgMatches, Command};

use crate::kinds::Tools;

pub(crate) fn all() -> Vec<Command> {
    vec![mezz::command(), vmaf::command()]
}

pub(crate) async fn run(
    name: &str,
    matches: &ArgMatches,
    context: &CommandContext,
    tools: &Tools,
) -> Result<ExitCode, CommandError> {
    match name {
        "mezz" => mezz::run(matches, context).await,
        "vmaf" => vmaf::run(matches, context, tools).await,
        _ => Err(CommandError::usage(format!("there is no command `{name}`"), "see `backlot help`")),
    }
}
