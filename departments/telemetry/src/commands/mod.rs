//! `backlot telemetry`: the agent.

use std::process::ExitCode;
use std::sync::Arc;

use backlot_department::{CommandContext, CommandError};
use backlot_spectator::{Agent, AgentArgs, HttpPublisher, HttpTarget};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::department::ATLAS_DOOR;

/// Where the agent publishes when it is told nothing and no server of this home runs: a server's default address.
const USUAL_SERVER: &str = "http://127.0.0.1:7700";

pub(crate) fn command() -> Command {
    // Said after the arguments, which bring a description of their own type along.
    let agent = AgentArgs::augment_args(Command::new("agent"));
    let agent = agent.about("Takes metrics of this host's programs by spectatord's line protocol").long_about(
        "Takes metrics of this host's programs by spectatord's line protocol, puts together what they sent in each interval, and \
         publishes it.\n\nWithout --uri it publishes to the server of this home, else to http://127.0.0.1:7700. SIGTERM and SIGINT \
         end it after a last publishing.",
    );
    Command::new("telemetry")
        .about("Runs the agent that takes metrics on each host")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(agent)
}

pub(crate) async fn run(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let Some(("agent", matches)) = matches.subcommand() else {
        return Err(CommandError::usage("there is no such command", "see `backlot telemetry --help`"));
    };
    let arguments = AgentArgs::from_arg_matches(matches)
        .map_err(|error| CommandError::usage(error.to_string(), "see `backlot telemetry agent --help`"))?;
    let own = || {
        let server = context.server().map_or(USUAL_SERVER, |server| server.url.as_str());
        HttpTarget::new(format!("{server}{ATLAS_DOOR}/api/v4/update"))
    };
    let target = arguments.target().unwrap_or_else(own);
    match Agent::run(arguments.config(), Arc::new(HttpPublisher::new(target))).await {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(CommandError::failed(
            error.to_string(),
            "choose other ports with --port and --admin-port, or stop what has them",
        )),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn help_tells_of_the_agent_and_not_of_its_type() {
        let help = super::command().find_subcommand_mut("agent").unwrap().render_long_help().to_string();
        assert!(
            help.starts_with("Takes metrics of this host's programs") && help.contains("--uri"),
            "{help}"
        );
        assert!(!help.contains("try_parse_from"), "{help}");
    }
}
