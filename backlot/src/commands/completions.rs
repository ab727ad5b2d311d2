//! `backlot completions SHELL`: a script that completes commands and flags.

use std::process::ExitCode;

use backlot_department::CommandError;
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use crate::session::Session;

pub(super) fn command() -> Command {
    Command::new("completions")
        .about("Prints a script that completes commands in a shell")
        .long_about(
            "Prints a script that completes commands in a shell.\n\nFor bash: backlot completions bash > \
             ~/.local/share/bash-completion/completions/backlot",
        )
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(value_parser!(Shell))
                .help("The shell"),
        )
}

pub(super) fn run(matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    let shell = *matches.get_one::<Shell>("shell").expect("invariant: the argument is required");
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::cli::command(&session.departments), "backlot", &mut script);
    session.context()?.write(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
