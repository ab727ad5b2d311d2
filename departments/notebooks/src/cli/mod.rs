//! `backlot notebook …`: papermill's command line, and what lies beside it.

mod help;
mod run;
mod tools;
mod versions;

use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError};
use backlot_notebooks_model::yaml;
use backlot_notebooks_model::{Param, Parameters};
use base64::Engine;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::runner::{Place, RunError};

pub(crate) use tools::part_word;

/// The commands of the department.
pub(crate) fn all() -> Vec<Command> {
    vec![
        Command::new("notebook")
            .about("Run notebooks with parameters, as papermill does; look into them")
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommand(run::command())
            .subcommand(tools::translate_command())
            .subcommand(tools::path_command())
            .subcommand(tools::scraps_command())
            .subcommand(tools::diff_command())
            .subcommands(versions::commands()),
    ]
}

/// Runs one of them.
pub(crate) async fn run(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    match matches.subcommand() {
        Some(("run", matches)) => run::run(matches, context).await,
        Some(("translate", matches)) => tools::translate(matches, context).await,
        Some(("path", matches)) => tools::path(matches, context).await,
        Some(("scraps", matches)) => tools::scraps(matches, context).await,
        Some(("diff", matches)) => tools::diff(matches, context).await,
        Some(("versions", matches)) => versions::versions(matches, context).await,
        Some(("keep", matches)) => versions::keep(matches, context).await,
        Some(("restore", matches)) => versions::restore(matches, context).await,
        Some(("publish", matches)) => versions::publish(matches, context).await,
        Some(("clone", matches)) => versions::clone(matches, context).await,
        _ => Err(CommandError::usage("there is no such notebook command", "see `backlot notebook --help`")),
    }
}

/// The options by which parameters are given, papermill's and `--parameters_json`.
fn parameter_args() -> [Arg; 6] {
    let pair = |long: &'static str, short: char, help: &'static str| {
        Arg::new(long)
            .long(long)
            .short(short)
            .num_args(2)
            .value_names(["NAME", "VALUE"])
            .action(ArgAction::Append)
            .allow_hyphen_values(true)
            .help(help)
    };
    let one = |long: &'static str, short: char, name: &'static str, help: &'static str| {
        Arg::new(long)
            .long(long)
            .short(short)
            .value_name(name)
            .action(ArgAction::Append)
            .allow_hyphen_values(true)
            .help(help)
    };
    [
        pair("parameters", 'p', "A parameter; numbers, True, False and None are recognised"),
        pair("parameters_raw", 'r', "A parameter, as text"),
        one("parameters_file", 'f', "FILE", "A YAML or JSON file of parameters"),
        one("parameters_yaml", 'y', "YAML", "Parameters as YAML"),
        one("parameters_base64", 'b', "BASE64", "Parameters as YAML in base64"),
        one("parameters_json", 'j', "JSON", "Parameters as JSON, NaN and Infinity included"),
    ]
}

/// The parameters that were given; later kinds count over earlier ones, as with papermill.
async fn given(matches: &ArgMatches) -> Result<Parameters, RunError> {
    let many = |name: &str| matches.get_many::<String>(name).into_iter().flatten();
    let pairs = |name: &str| {
        let occurrences = matches.get_occurrences::<String>(name).into_iter().flatten();
        occurrences.filter_map(|mut pair| Some((pair.next()?.clone(), pair.next()?.clone())))
    };
    let mut all = Parameters::new();
    for text in many("parameters_base64") {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim());
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| {
            yaml::YamlError::Unreadable("--parameters_base64: no base64 of UTF-8".to_owned())
        })?;
        all.update(yaml::parameters(&text)?);
    }
    for file in many("parameters_file") {
        let bytes = Place::parse(file)?.read().await?;
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| yaml::YamlError::Unreadable(format!("{file} is not UTF-8")))?;
        all.update(yaml::parameters(&text)?);
    }
    for text in many("parameters_yaml") {
        all.update(yaml::parameters(text)?);
    }
    for text in many("parameters_json") {
        let value = backlot_notebooks_model::json::parse(text);
        let value =
            value.map_err(|error| yaml::YamlError::Unreadable(format!("--parameters_json: {error}")))?;
        let Param::Dict(members) = Param::from_json(&value) else {
            return Err(yaml::YamlError::NoMapping.into());
        };
        all.update(members.into_iter().map(|(key, value)| (key.text(), value)).collect());
    }
    for (name, word) in pairs("parameters") {
        all.set(name, Param::from_word(&word));
    }
    for (name, word) in pairs("parameters_raw") {
        all.set(name, Param::Str(word));
    }
    Ok(all)
}

/// A failure of a command in one line. Errors of the crate name their mend themselves, after the last semicolon.
fn failed(error: impl std::fmt::Display) -> CommandError {
    let text = error.to_string();
    let (message, mend) = text.rsplit_once("; ").unwrap_or((&text, "see `backlot notebook --help`"));
    CommandError::failed(message, mend)
}
