//! The command line: global flags, the binary's commands, the departments' commands.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use backlot_department::{CommandError, Department, OutputFormat};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::settings::keys::{self, Key};
use crate::settings::{Color, Flags};
use crate::{commands, exit, version};

const CONFIG: &str = "config-file";
const VERBOSE: &str = "verbose";
const QUIET: &str = "quiet";

/// The whole command line.
pub(crate) fn command(departments: &[Box<dyn Department>]) -> Command {
    let config = Arg::new(CONFIG)
        .long("config")
        .value_name("FILE")
        .help("The configuration file [env: BACKLOT_CONFIG] [default: $XDG_CONFIG_HOME/backlot/config.toml]");
    let verbose = Arg::new(VERBOSE)
        .short('v')
        .long("verbose")
        .action(ArgAction::Count)
        .help("Log more to standard error; twice for everything [env: BACKLOT_LOG=FILTER]");
    let quiet = Arg::new(QUIET)
        .short('q')
        .long("quiet")
        .action(ArgAction::SetTrue)
        .conflicts_with(VERBOSE)
        .help("Say nothing but results and errors");
    let own = [config, verbose, quiet].into_iter();
    let globals = keys::GLOBAL
        .iter()
        .map(|key| key.arg())
        .chain(own)
        .map(|arg| arg.global(true).help_heading("Global options"));
    let own_commands = commands::ALL.iter().map(|builtin| (builtin.command)());
    let departments_commands = departments.iter().flat_map(|department| department.commands());
    Command::new("backlot")
        .about("The back office of a streaming service in one binary")
        .version(version::SHORT)
        .disable_help_subcommand(false)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(globals)
        .subcommands(own_commands.chain(departments_commands))
        .after_long_help(exit::help())
}

/// The setting flags that were given, at whichever level.
pub(crate) fn flags(matches: &ArgMatches) -> Flags {
    let below = matches.subcommand().map(|(_, below)| below);
    let given = |key: &Key| {
        let at = |matches: &ArgMatches| matches.try_get_one::<String>(key.name).ok().flatten().cloned();
        let value = below.and_then(at).or_else(|| at(matches))?;
        Some((key.name, value))
    };
    keys::ALL.iter().filter_map(given).collect::<BTreeMap<_, _>>()
}

/// The configuration file that was named.
pub(crate) fn config_flag(matches: &ArgMatches) -> Option<&str> {
    matches.get_one::<String>(CONFIG).map(String::as_str)
}

/// How much to tell: below zero for only errors.
pub(crate) fn verbosity(matches: &ArgMatches) -> i16 {
    if matches.get_flag(QUIET) { -1 } else { i16::from(matches.get_count(VERBOSE)) }
}

/// Sets the colours of this process, as the flag or variable says; `auto` leaves it to the terminal and `NO_COLOR`.
pub(crate) fn set_color(color: Color) {
    match color {
        Color::Auto => anstream::ColorChoice::Auto.write_global(),
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
}

/// The format of errors that come before the settings are known.
pub(crate) fn early_format(arguments: &[OsString]) -> OutputFormat {
    let is_json = |value: &OsString| value == "json";
    let by_flag = arguments.iter().any(|argument| argument == "--output=json")
        || arguments.windows(2).any(|pair| pair[0] == "--output" && is_json(&pair[1]));
    let by_variable = std::env::var_os(keys::OUTPUT.variable).is_some_and(|value| is_json(&value));
    if by_flag || by_variable { OutputFormat::Json } else { OutputFormat::Text }
}

/// Answers a command line that is not to be run: help and version on standard output, a mistake as an error.
pub(crate) fn answer(error: &clap::Error, format: OutputFormat) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that has closed the pipe has seen enough.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if format == OutputFormat::Text => {
            let _ = error.print();
            ExitCode::from(CommandError::USAGE)
        }
        _ => report(&mistake(&error.render().to_string()), format),
    }
}

/// clap's explanation in one line: what is wrong and its tips, without the usage that `--help` shows.
fn mistake(rendered: &str) -> CommandError {
    let is_told_elsewhere = |part: &&str| {
        part.starts_with("Usage:") || part.starts_with("For more information") || part.is_empty()
    };
    let parts = rendered.split("\n\n").map(str::trim).filter(|part| !is_told_elsewhere(part));
    let one_line = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut parts = parts.map(one_line);
    let message = parts.next().unwrap_or_else(|| "the command is not right".to_owned());
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    let mut mends: Vec<String> =
        parts.map(|part| part.strip_prefix("tip: ").unwrap_or(&part).to_owned()).collect();
    mends.push("see --help".to_owned());
    CommandError::usage(message, mends.join("; "))
}

/// Writes an error to standard error and gives its exit code.
pub(crate) fn report(error: &CommandError, format: OutputFormat) -> ExitCode {
    if error.is_silent() {
        return error.exit_code();
    }
    match format {
        OutputFormat::Json => {
            let CommandError { code, message, mend } = error;
            let value = serde_json::json!({ "error": { "code": code, "message": message, "mend": mend } });
            eprintln!("{value}");
        }
        OutputFormat::Text => {
            let red = anstyle::AnsiColor::Red.on_default().bold();
            anstream::eprintln!("{red}error{red:#}: {error}");
        }
    }
    error.exit_code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        // clap's own check: no two arguments or commands of one name, at any level.
        command(&crate::departments::all()).debug_assert();
    }

    #[test]
    fn no_two_commands_share_a_name() {
        let command = command(&crate::departments::all());
        let mut names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn mistakes_are_one_line_with_the_tip() {
        let departments = crate::departments::all();
        for (line, what, mend) in [
            (&["backlot", "--hom", "x", "up"][..], "'--hom'", "'--home'"),
            (&["backlot", "upp"], "'upp'", "'up'"),
            (&["backlot", "up", "--bind"], "'--bind", "--help"),
            (&["backlot", "completions", "tcl"], "'tcl'", "--help"),
            (&["backlot", "-q", "-v", "up"], "cannot be used with", "--help"),
        ] {
            let error = command(&departments).try_get_matches_from(line).unwrap_err();
            let mistake = mistake(&error.render().to_string());
            assert!(!mistake.to_string().contains('\n'));
            assert!(mistake.message.contains(what) && mistake.mend.contains(mend), "{line:?}: {mistake}");
        }
    }

    #[test]
    fn flags_count_before_and_after_the_command() {
        let departments = crate::departments::all();
        let parse = |line: &[&str]| flags(&command(&departments).try_get_matches_from(line).unwrap());
        let flags = parse(&["backlot", "--home", "/a", "up", "--store", "file:///s", "--cpus", "1"]);
        let flags: Vec<(&str, &str)> = flags.iter().map(|(key, value)| (*key, value.as_str())).collect();
        assert_eq!(flags, [("home", "/a"), ("store", "file:///s"), ("workers.cpus", "1")]);
    }
}
