//! `--help-notebook` and `--inspect`: what a notebook says about its parameters.

use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError};
use backlot_notebooks_model::json::{Object, Value};
use backlot_notebooks_model::parameters::{self, Described};

use super::failed;
use crate::runner::{Request, load};

/// Where help begins beside a short definition, and below a long one.
const COLUMN: usize = 34;

/// The longest definition that has its help beside it.
const SHORT: usize = 30;

pub(super) async fn show(
    request: &Request,
    as_json: bool,
    context: &CommandContext,
) -> Result<ExitCode, CommandError> {
    let (path, notebook) = load(&request.input, &request.parameters).await.map_err(failed)?;
    let found = parameters::inspect(&notebook, request.kernel.as_deref(), request.language.as_deref());
    let found = found.map_err(failed)?;
    found.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    if as_json {
        let all: Object = found.parameters.iter().map(|one| (one.name.clone(), value(one))).collect();
        context.write(&Value::Object(all).to_compact())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!(
        "Usage: backlot notebook run [OPTIONS] NOTEBOOK_PATH [OUTPUT_PATH]\n\nParameters inferred for notebook '{path}':\n"
    );
    if notebook.find_tagged(parameters::TAG).is_none() {
        text.push_str("\n  No cell tagged 'parameters'\n");
        context.write(&text)?;
        return Ok(ExitCode::FAILURE);
    }
    if found.parameters.is_empty() {
        text.push_str(
            "\n  Can't infer anything about this notebook's parameters. It may not have any parameter defined.\n",
        );
    }
    for one in &found.parameters {
        text.push_str(&line(one));
        text.push('\n');
    }
    context.write(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn value(one: &Described) -> Value {
    let members = [
        ("name", one.name.as_str()),
        ("inferred_type_name", one.type_name.as_deref().unwrap_or("None")),
        ("default", &one.default),
        ("help", &one.help),
    ];
    Value::Object(members.into_iter().map(|(key, text)| (key.to_owned(), text.into())).collect())
}

fn line(one: &Described) -> String {
    let type_name = one.type_name.as_deref().unwrap_or("Unknown type");
    let definition = format!("  {}: {type_name} (default {})", one.name, one.default);
    match (definition.chars().count() > SHORT, one.help.is_empty()) {
        (true, true) => definition,
        (true, false) => format!("{definition}\n{:COLUMN$}{}", "", one.help),
        (false, _) => format!("{definition:<COLUMN$}{}", one.help),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_stands_where_papermill_puts_it() {
        let mut one =
            Described { name: "a".into(), type_name: None, default: "1".into(), help: "how many".into() };
        assert_eq!(line(&one), "  a: Unknown type (default 1)     how many");
        one.default = "a long default value".into();
        assert_eq!(
            line(&one),
            format!("  a: Unknown type (default a long default value)\n{}how many", " ".repeat(34))
        );
    }
}
