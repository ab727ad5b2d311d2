//! The smaller commands: parameters as code, path templates, scraps, differences.

use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError, OutputFormat};
use backlot_notebooks_model::diff::{self, Change, Line, Part};
use backlot_notebooks_model::json::{Object, Value};
use backlot_notebooks_model::{Language, Notebook, Param, Parameters, scraps as scrap};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{failed, given, parameter_args, versions};
use crate::chance;
use crate::runner::{Place, filled_path};

pub(super) fn word(matches: &ArgMatches, name: &str) -> String {
    matches.get_one::<String>(name).cloned().unwrap_or_default()
}

pub(super) async fn read(place: &str) -> Result<Notebook, CommandError> {
    let bytes = Place::parse(place).map_err(failed)?.read().await.map_err(failed)?;
    Notebook::read(&bytes, &mut chance::new_cell_id).map_err(failed)
}

pub(super) fn translate_command() -> Command {
    Command::new("translate")
        .about("Show parameters as the code that a notebook would get")
        .arg(
            Arg::new("language")
                .required(true)
                .value_name("LANGUAGE")
                .help("A kernel or language, such as python or scala"),
        )
        .args(parameter_args())
        .arg(
            Arg::new("comment").long("comment").default_value("Parameters").help("The comment over the code"),
        )
        .arg(
            Arg::new("expression")
                .long("expression")
                .action(ArgAction::SetTrue)
                .help("Show only the expression of each value"),
        )
        .arg(
            Arg::new("assign")
                .long("assign")
                .num_args(2)
                .value_names(["NAME", "EXPRESSION"])
                .help("Show how the language assigns an expression"),
        )
}

pub(super) async fn translate(
    matches: &ArgMatches,
    context: &CommandContext,
) -> Result<ExitCode, CommandError> {
    let name = word(matches, "language");
    let language = Language::find(&name, &name).map_err(failed)?;
    let parameters = given(matches).await.map_err(failed)?;
    let assigned: Vec<&String> = matches.get_many("assign").into_iter().flatten().collect();
    if let [name, expression] = assigned[..] {
        context.write(&language.assign(name, expression))?;
    } else if matches.get_flag("expression") {
        for (_, value) in parameters.iter() {
            context.write(&format!("{}\n", language.expression(value).map_err(failed)?))?;
        }
    } else {
        context.write(&language.code(&parameters, &word(matches, "comment")).map_err(failed)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn path_command() -> Command {
    Command::new("path")
        .about("Show what a path template becomes with these parameters")
        .arg(
            Arg::new("template")
                .required(true)
                .value_name("TEMPLATE")
                .help("A path such as out_{n:03d}.ipynb"),
        )
        .args(parameter_args())
}

pub(super) async fn path(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let parameters: Parameters = given(matches).await.map_err(failed)?;
    context.write(&filled_path(&word(matches, "template"), &parameters).map_err(failed)?)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn scraps_command() -> Command {
    Command::new("scraps")
        .about("Show the values that a notebook has glued, as scrapbook reads them")
        .arg(Arg::new("notebook").required(true).value_name("NOTEBOOK").help("The notebook"))
        .arg(Arg::new("name").value_name("NAME").help("Only this one's value"))
}

pub(super) async fn scraps(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let found = scrap::read(&read(&word(matches, "notebook")).await?);
    if let Some(name) = matches.get_one::<String>("name") {
        let Some(found) = found.get(name) else {
            return Err(CommandError::failed(
                format!("the notebook has no scrap `{name}`"),
                "leave the name out to see all",
            ));
        };
        context.write(&found.data.as_ref().unwrap_or(&Value::Null).to_compact())?;
        return Ok(ExitCode::SUCCESS);
    }
    let all: Object = found.into_iter().map(|(name, scrap)| (name, scrap_value(scrap))).collect();
    match context.format {
        OutputFormat::Json => context.write(&Value::Object(all).to_compact())?,
        OutputFormat::Text => {
            for (name, scrap) in &all {
                let data = scrap.get("data").map(|data| match data {
                    Value::Null => "(display)".to_owned(),
                    data => Param::from_json(data).to_repr(),
                });
                context.write(&format!("{name}\t{}\n", data.unwrap_or_default()))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn scrap_value(scrap: scrap::Scrap) -> Value {
    let members = [
        ("data", scrap.data.unwrap_or(Value::Null)),
        ("encoder", scrap.encoder.map_or(Value::Null, Value::from)),
        ("display", scrap.display.unwrap_or(Value::Null)),
    ];
    Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

pub(super) fn diff_command() -> Command {
    Command::new("diff")
        .about("Show what changed between two notebooks, cell by cell")
        .arg(
            Arg::new("old")
                .required(true)
                .value_name("OLD")
                .help("A file, or a path with its version: report.ipynb@3"),
        )
        .arg(
            Arg::new("new")
                .value_name("NEW")
                .help("Another; without it, the newest version of the same path"),
        )
}

pub(super) async fn diff(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let given = word(matches, "old");
    let old = versions::read(&given, context).await?;
    let new = match matches.get_one::<String>("new") {
        Some(new) => versions::read(new, context).await?,
        None => versions::newest(&given, context).await?,
    };
    let text = describe(&old, &new);
    context.write(&text)?;
    Ok(if text.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The differences as text; empty if there are none. Cells are numbered from 1.
pub(crate) fn describe(old: &Notebook, new: &Notebook) -> String {
    let mut text = String::new();
    for change in diff::diff(old, new) {
        let place = |at: Option<usize>| at.map_or_else(|| "-".to_owned(), |at| (at + 1).to_string());
        let source = |notebook: &Notebook, at: Option<usize>| {
            at.and_then(|at| notebook.cells.get(at)).map(|cell| cell.source().to_owned()).unwrap_or_default()
        };
        let (before, after) = (source(old, change.old), source(new, change.new));
        let places = format!("{} → {}", place(change.old), place(change.new));
        match change.change {
            Change::Added => text.push_str(&format!("cell {places} added\n{}", with_sign("+", &after))),
            Change::Removed => text.push_str(&format!("cell {places} removed\n{}", with_sign("-", &before))),
            Change::Moved => text.push_str(&format!("cell {places} moved\n")),
            Change::Changed(parts) => {
                let words: Vec<&str> = parts.iter().copied().map(part_word).collect();
                text.push_str(&format!("cell {places} changed: {}\n", words.join(", ")));
                if parts.contains(&Part::Source) {
                    for line in diff::lines(&before, &after) {
                        let (sign, line) = match line {
                            Line::Same(line) => (' ', line),
                            Line::Old(line) => ('-', line),
                            Line::New(line) => ('+', line),
                        };
                        text.push_str(&format!("  {sign} {line}\n"));
                    }
                }
            }
        }
    }
    text
}

fn with_sign(sign: &str, source: &str) -> String {
    source.lines().flat_map(|line| ["  ", sign, " ", line, "\n"]).collect()
}

pub(crate) fn part_word(part: Part) -> &'static str {
    match part {
        Part::Source => "source",
        Part::Kind => "kind",
        Part::Outputs => "outputs",
        Part::Metadata => "metadata",
    }
}
