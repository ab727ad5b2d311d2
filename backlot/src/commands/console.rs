//! `backlot console`: a link that opens the running server's console.

use std::process::ExitCode;

use backlot_department::{CommandError, Endpoint};
use clap::{ArgMatches, Command};
use serde_json::json;

use crate::session::Session;

pub(super) fn command() -> Command {
    Command::new("console").about("Prints a link that opens the running server's console").long_about(
        "Prints a link that opens the running server's console.\n\nThe link holds a token: whoever has it may do what the \
         token may.",
    )
}

pub(super) fn run(_matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    let context = session.context()?;
    let endpoint = context.require_server()?;
    context.print(&json!({ "url": login(endpoint) }), |_| login(endpoint))?;
    Ok(ExitCode::SUCCESS)
}

/// Where a browser signs in; the console itself where no token is known.
pub(super) fn login(endpoint: &Endpoint) -> String {
    match &endpoint.token {
        Some(token) => format!("{}/login?token={token}", endpoint.url),
        None => format!("{}/", endpoint.url),
    }
}
