//! `backlot`: the back office of a streaming service in one binary.
//!
//! This crate is the command line and the list of departments, and no logic of its own: a command here opens the house, asks
//! the foundation or a department, and writes the answer. What it adds is how a process behaves: settings from four places
//! ([`settings`]), exit codes ([`exit`]), one server per home ([`home`]), an orderly end ([`signals`]).
//!
//! | to add | where |
//! |---|---|
//! | a department | one line in `departments.rs` |
//! | a command of the house itself | a file under `commands/`, one line in [`commands::ALL`] |
//! | a setting | one line in `settings/keys.rs`, one in [`settings::Settings`] |

mod cli;
mod commands;
mod departments;
mod exit;
mod home;
mod premiere;
mod premiere_report;
mod sample;
mod session;
mod settings;
mod signals;
mod table;
mod version;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use backlot_department::{CommandError, OutputFormat};
use clap::ArgMatches;
use tracing_subscriber::EnvFilter;

use crate::session::Session;
use crate::settings::{Settings, Surroundings};

fn main() -> ExitCode {
    let started = Instant::now();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let departments = departments::all();
    let early_format = cli::early_format(&arguments);
    let matches = match cli::command(&departments).try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => return cli::answer(&error, early_format),
    };
    let names: Vec<&str> = departments.iter().map(|department| department.name()).collect();
    let settings = match settings(&matches, &names) {
        Ok(settings) => settings,
        Err(error) => return cli::report(&error, early_format),
    };
    cli::set_color(settings.color.value);
    home::bring_tools_within_reach(&settings.home.value);
    let format = settings.output.value;
    let verbosity = cli::verbosity(&matches);
    let session = Session {
        settings: Arc::new(settings),
        departments: Arc::new(departments),
        is_quiet: verbosity < 0,
        started,
    };
    let outcome = start_log(&matches, verbosity, format).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
            CommandError::failed(
                format!("cannot start threads: {error}"),
                "raise the limit of processes (ulimit -u)",
            )
        })?;
        let outcome = runtime.block_on(run(&matches, &session));
        // What is still blocked, such as a read of standard input, has nothing left to say.
        runtime.shutdown_background();
        outcome
    });
    outcome.unwrap_or_else(|error| cli::report(&error, format))
}

fn settings(matches: &ArgMatches, departments: &[&str]) -> Result<Settings, CommandError> {
    let directory = std::env::current_dir().map_err(|error| {
        CommandError::failed(format!("the working directory is gone: {error}"), "change to another one")
    })?;
    let surroundings =
        Surroundings { variable: &|name| std::env::var(name).ok(), directory: &directory, departments };
    Settings::resolve(&cli::flags(matches), cli::config_flag(matches), &surroundings)
}

/// Runs the command: the binary's own, or the department's that has it.
async fn run(matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    let (name, matches) = matches.subcommand().expect("invariant: the command line demands a command");
    if let Some(builtin) = commands::find(name) {
        return (builtin.run)(matches, session).await;
    }
    let has_it = |commands: Vec<clap::Command>| commands.iter().any(|command| command.get_name() == name);
    let department = session.departments.iter().find(|department| has_it(department.commands()));
    let department = department.expect("invariant: every command is the binary's or a department's");
    department.run_command(name, matches, &session.context()?).await
}

/// Logs go to standard error: of servers and workers what happens, of other commands what goes wrong.
fn start_log(matches: &ArgMatches, verbosity: i16, format: OutputFormat) -> Result<(), CommandError> {
    let is_service = matches.subcommand_name().is_some_and(|name| matches!(name, "up" | "worker"));
    let level = match (verbosity, is_service) {
        (..0, _) => "error",
        (0, false) => "warn",
        (0, true) | (1, false) => "info",
        (1, true) => "debug,hyper=info",
        (2.., _) => "trace,hyper=debug",
    };
    let wanted = std::env::var("BACKLOT_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(level)).map_err(|error| {
        CommandError::usage(
            format!("BACKLOT_LOG is no filter: {error}"),
            "write it like `info` or `backlot_work=debug`",
        )
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        OutputFormat::Json => log.json().init(),
        OutputFormat::Text => {
            let has_color = match anstream::ColorChoice::global() {
                anstream::ColorChoice::Auto => {
                    std::io::stderr().is_terminal()
                        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                }
                anstream::ColorChoice::Never => false,
                _ => true,
            };
            log.with_ansi(has_color).with_target(false).init();
        }
    }
    Ok(())
}
