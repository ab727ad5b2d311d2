//! `backlot version`: which build this is.

use std::process::ExitCode;

use backlot_department::CommandError;
use clap::{ArgMatches, Command};

use crate::session::Session;
use crate::version::Build;

pub(super) fn command() -> Command {
    Command::new("version").about("Says which build this is")
}

pub(super) fn run(_matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    let build = Build::new(session.departments.iter().map(|department| department.name()));
    session.context()?.print(&build, Build::text)?;
    Ok(ExitCode::SUCCESS)
}
