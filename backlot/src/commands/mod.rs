//! The commands of the house itself; departments bring their own.

mod completions;
mod config;
mod console;
mod doctor;
mod doors;
mod ledger;
mod premiere;
mod store;
mod token;
mod up;
mod version;
mod worker;

use std::process::ExitCode;

use backlot_department::CommandError;
use clap::{Arg, ArgMatches, Command};
use futures::future::LocalBoxFuture;

use crate::session::Session;

/// What a command's function returns. It runs on the main thread, so it need not be `Send`.
pub(crate) type Running<'a> = LocalBoxFuture<'a, Result<ExitCode, CommandError>>;

/// A command of the binary.
pub(crate) struct Builtin {
    /// How it is called.
    pub(crate) command: fn() -> Command,
    /// Does it.
    pub(crate) run: for<'a> fn(&'a ArgMatches, &'a Session) -> Running<'a>,
}

/// Every command, in the order of `--help`.
pub(crate) const ALL: &[Builtin] = &[
    Builtin { command: up::command, run: |matches, session| Box::pin(up::run(matches, session)) },
    Builtin { command: premiere::command, run: |matches, session| Box::pin(premiere::run(matches, session)) },
    Builtin { command: worker::command, run: |matches, session| Box::pin(worker::run(matches, session)) },
    Builtin { command: console::command, run: |matches, session| at_once(console::run(matches, session)) },
    Builtin { command: doors::command, run: |matches, session| Box::pin(doors::run(matches, session)) },
    Builtin { command: doctor::command, run: |matches, session| Box::pin(doctor::run(matches, session)) },
    Builtin { command: store::command, run: |matches, session| Box::pin(store::run(matches, session)) },
    Builtin { command: ledger::command, run: |matches, session| Box::pin(ledger::run(matches, session)) },
    Builtin { command: token::command, run: |matches, session| at_once(token::run(matches, session)) },
    Builtin { command: config::command, run: |matches, session| at_once(config::run(matches, session)) },
    Builtin {
        command: completions::command,
        run: |matches, session| at_once(completions::run(matches, session)),
    },
    Builtin { command: version::command, run: |matches, session| at_once(version::run(matches, session)) },
];

/// The answer of a command that waits for nothing.
fn at_once<'a>(answer: Result<ExitCode, CommandError>) -> Running<'a> {
    Box::pin(std::future::ready(answer))
}

/// The binary's command of this name.
pub(crate) fn find(name: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|builtin| (builtin.command)().get_name() == name)
}

/// An argument's text, or nothing.
fn text<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}

/// A required argument by position.
fn positional(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(value_name).required(true).help(help)
}

/// The subcommand that clap has made sure of.
fn subcommand(matches: &ArgMatches) -> (&str, &ArgMatches) {
    matches.subcommand().expect("invariant: the command line demands a subcommand")
}
