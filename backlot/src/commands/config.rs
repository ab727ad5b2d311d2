//! `backlot config show`: every setting, its value, and who gave it.

use std::process::ExitCode;

use anstyle::Style;
use backlot_department::{CommandError, OutputFormat};
use clap::{ArgMatches, Command};
use serde::Serialize;
use serde_json::{Value, json};

use super::subcommand;
use crate::session::Session;
use crate::settings::keys::{self, Key};
use crate::settings::{Color, Origin, Setting, Settings, redact};
use crate::table::{Cell, Table};

pub(super) fn command() -> Command {
    Command::new("config")
        .about("Shows the configuration")
        .long_about(
            "Shows the configuration.\n\nA flag goes before an environment variable, a variable before the file, the file \
             before the default. The file is TOML: the keys below at the top, `cpus` and `memory` under [workers], and a table \
             for each department.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("show").about("Shows every setting, its value, and where it came from"))
}

/// A line of the answer.
#[derive(Debug, Serialize)]
struct Shown {
    key: String,
    value: Value,
    /// `default`, a file, a variable or a flag.
    origin: String,
    /// The variable that sets it, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<&'static str>,
}

pub(super) fn run(matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    let ("show", _) = subcommand(matches) else {
        return Err(CommandError::usage("there is no such command", "see `backlot config --help`"));
    };
    session.context()?.print(&shown(&session.settings), table)?;
    Ok(ExitCode::SUCCESS)
}

fn shown(settings: &Settings) -> Vec<Shown> {
    fn line<T>(key: Key, setting: &Setting<T>, value: Value) -> Shown {
        Shown {
            key: key.name.into(),
            value,
            origin: setting.origin.to_string(),
            variable: Some(key.variable),
        }
    }
    let word = |format| if format == OutputFormat::Json { "json" } else { "text" };
    let color = match settings.color.value {
        Color::Auto => "auto",
        Color::Always => "always",
        Color::Never => "never",
    };
    let mut shown = vec![
        Shown {
            key: "config".into(),
            value: json!(settings.file.value),
            origin: settings.file.origin.to_string(),
            variable: Some(keys::CONFIG_VARIABLE),
        },
        line(keys::HOME, &settings.home, json!(settings.home.value)),
        line(keys::LEDGER, &settings.ledger, json!(redact(&settings.ledger.value))),
        line(keys::STORE, &settings.store, json!(settings.store.value)),
        match &settings.url {
            Some(url) => line(keys::URL, url, json!(url.value)),
            None => line(keys::URL, &Setting { value: (), origin: Origin::Default }, Value::Null),
        },
        Shown {
            key: "token".into(),
            value: settings.token.as_ref().map_or(Value::Null, |_| json!("(set)")),
            origin: settings.token.as_ref().map_or_else(|| "default".into(), |_| keys::TOKEN_VARIABLE.into()),
            variable: Some(keys::TOKEN_VARIABLE),
        },
        line(keys::BIND, &settings.bind, json!(settings.bind.value)),
        line(keys::HOSTS, &settings.hosts, json!(settings.hosts.value)),
        line(keys::CPUS, &settings.cpus, json!(settings.cpus.value)),
        line(keys::MEMORY, &settings.memory, json!(settings.memory.value)),
        line(keys::OUTPUT, &settings.output, json!(word(settings.output.value))),
        line(keys::COLOR, &settings.color, json!(color)),
    ];
    for (section, values) in &settings.sections {
        for (name, value) in values.as_object().into_iter().flatten() {
            let value = if is_secret(name) { json!("(set)") } else { value.clone() };
            let origin = settings.file.value.display().to_string();
            shown.push(Shown { key: format!("{section}.{name}"), value, origin, variable: None });
        }
    }
    shown
}

/// Whether a department's setting is better not shown.
fn is_secret(name: &str) -> bool {
    ["secret", "password", "token", "credential"].iter().any(|word| name.to_lowercase().contains(word))
}

fn table(shown: &Vec<Shown>) -> String {
    let faint = Style::new().dimmed();
    let mut table = Table::new(["KEY", "VALUE", "FROM", "VARIABLE"]);
    for line in shown {
        let value = match &line.value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            Value::Array(items) if items.is_empty() => "-".to_owned(),
            other => other.to_string(),
        };
        let origin = if line.origin == "default" {
            Cell::styled("default", faint)
        } else {
            line.origin.clone().into()
        };
        let variable = line.variable.unwrap_or_default();
        table.row([line.key.clone().into(), value.into(), origin, Cell::styled(variable, faint)]);
    }
    table.render()
}
