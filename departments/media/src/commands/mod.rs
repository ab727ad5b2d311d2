//! The department's commands.

mod vmaf;

use std::process::ExitCode;

use backlot_department::CommandError;
use clap::{ArgMatches, Command};

pub(crate) fn all() -> Vec<Command> {
    vec![vmaf::command()]
}

pub(crate) async fn run(name: &str, matches: &ArgMatches) -> Result<ExitCode, CommandError> {
    match name {
        "vmaf" => vmaf::run(matches).await,
        _ => Err(CommandError::usage(format!("there is no command `{name}`"), "see `backlot help`")),
    }
}
