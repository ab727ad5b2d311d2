//! `backlot run SPEC`: submit a run and follow it to its end.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use backlot_department::{CommandContext, CommandError, House};
use backlot_web::console::format;
use backlot_work::{
    RunSpec, RunState, RunStatus, SubmitOptions, TaskFilter, TaskState, Worker, WorkerOptions,
};
use clap::{Arg, ArgAction, ArgMatches, Command};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};

use crate::commands::{text, who};
use crate::follow;
use crate::refusal::fail;

/// A spec is a person's text; what is larger is something else.
const MOST_SPEC_BYTES: u64 = 16 * 1024 * 1024;

/// Failed tasks that are named at the end.
const MOST_FAILURES: u32 = 5;

pub(super) fn command() -> Command {
    Command::new("run")
        .about("Submits a run and follows it to its end")
        .long_about(
            "Submits the run that SPEC describes and follows it to its end.\n\nWhere no worker is alive the command works itself. \
             Interrupting it does not cancel the run: it goes on when a worker is there again.",
        )
        .arg(Arg::new("spec").value_name("SPEC").required(true).help("The spec: a TOML or JSON file, or - for standard input"))
        .arg(
            Arg::new("param")
                .short('p')
                .long("param")
                .value_name("NAME=VALUE")
                .action(ArgAction::Append)
                .help("A parameter of the spec"),
        )
        .arg(Arg::new("priority").long("priority").value_parser(clap::value_parser!(i32)).allow_negative_numbers(true).help("Start before runs of lower priority"))
        .arg(Arg::new("no-cache").long("no-cache").action(ArgAction::SetTrue).help("Do not reuse earlier results"))
        .arg(Arg::new("key").long("key").help("Submissions with the same key are one run"))
        .arg(Arg::new("detach").short('d').long("detach").action(ArgAction::SetTrue).help("Submit, print the id, and leave"))
}

pub(super) async fn run(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let spec = read_spec(text(matches, "spec"))?;
    let given = matches.get_many::<String>("param").into_iter().flatten();
    let params = params(&spec, given.map(String::as_str))?;
    let house = context.open_house().await?;
    let options = SubmitOptions {
        by: who(),
        priority: matches.get_one::<i32>("priority").copied().unwrap_or(0),
        no_cache: matches.get_flag("no-cache"),
        key: matches.get_one::<String>("key").cloned(),
    };
    let id = house.work.submit(spec, params, options, Some(&house.kinds)).await.map_err(fail)?;
    if matches.get_flag("detach") {
        let status = house.work.run(&id).await.map_err(fail)?;
        context.print(&status, |status| status.id.clone())?;
        return Ok(ExitCode::SUCCESS);
    }
    follow_to_end(&house, &id, context).await
}

/// Follows a run to its end, working on it where nobody else does, and prints how it ended.
pub(super) async fn follow_to_end(
    house: &House,
    id: &str,
    context: &CommandContext,
) -> Result<ExitCode, CommandError> {
    let now = house.ledger.now();
    let others = house.work.workers().await.map_err(fail)?;
    let worker = if others.iter().any(|worker| follow::is_alive(worker, now)) {
        None
    } else {
        let options = WorkerOptions::new(house.home.join("scratch"));
        Some(Worker::start(&house.work, house.kinds.clone(), options).await.map_err(fail)?)
    };
    let followed = tokio::select! {
        followed = watch(house, id) => followed.map(Some),
        interrupted = tokio::signal::ctrl_c() => match interrupted {
            Ok(()) => Ok(None),
            Err(error) => Err(CommandError::failed(format!("cannot wait for signals: {error}"), "use --detach")),
        },
    };
    if let Some(worker) = worker {
        worker.stop().await;
    }
    let Some(status) = followed? else {
        return Err(CommandError::new(
            INTERRUPTED,
            format!("stopped following run {id}; it is not cancelled"),
            format!("follow it with `backlot runs follow {id}`, or stop it with `backlot runs cancel {id}`"),
        ));
    };
    context.print(&status, summary)?;
    if status.state == RunState::Succeeded {
        return Ok(ExitCode::SUCCESS);
    }
    name_failures(house, id).await?;
    Ok(ExitCode::FAILURE)
}

/// What shells use for a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

async fn watch(house: &House, id: &str) -> Result<RunStatus, CommandError> {
    // Draws on standard error, and only if that is a terminal.
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len} tasks {elapsed}");
    bar.set_style(style.expect("invariant: the template is well-formed"));
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut states = Box::pin(follow::run(house.clone(), id.to_owned()));
    let mut last = None;
    while let Some(status) = states.next().await {
        let status = status.map_err(fail)?;
        bar.set_length(status.tasks.total.max(0) as u64);
        bar.set_position(
            (status.tasks.succeeded + status.tasks.failed + status.tasks.cancelled).max(0) as u64
        );
        bar.set_message(format!(
            "{} {} ({} of {} steps)",
            status.name, status.state, status.steps_ended, status.steps
        ));
        last = Some(status);
    }
    bar.finish_and_clear();
    last.ok_or_else(|| {
        CommandError::failed(format!("run {id} cannot be followed"), "look at it with `backlot runs show`")
    })
}

fn summary(status: &RunStatus) -> String {
    let took = match (status.started, status.finished) {
        (Some(started), Some(finished)) => {
            format!(" in {}", format::duration(finished.saturating_since(started)))
        }
        _ => String::new(),
    };
    let cached = if status.tasks.cached > 0 {
        format!(", {} of them cached", status.tasks.cached)
    } else {
        String::new()
    };
    format!(
        "{} {} {}{took}: {} of {} tasks succeeded{cached}",
        status.id, status.name, status.state, status.tasks.succeeded, status.tasks.total
    )
}

async fn name_failures(house: &House, id: &str) -> Result<(), CommandError> {
    let failed =
        TaskFilter { states: vec![TaskState::Failed], limit: MOST_FAILURES, ..TaskFilter::default() };
    for task in house.work.tasks(id, failed).await.map_err(fail)? {
        let why = task.error.as_deref().unwrap_or("no reason was given");
        eprintln!("{}/{}: {why}", task.step, task.index);
    }
    Ok(())
}

fn read_spec(place: &str) -> Result<RunSpec, CommandError> {
    let unreadable = |error: std::io::Error| {
        CommandError::usage(
            format!("cannot read the spec {place}: {error}"),
            "name a TOML or JSON file, or - for standard input",
        )
    };
    let mut text = String::new();
    let source: Box<dyn Read> = if place == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(place).map_err(unreadable)?)
    };
    source.take(MOST_SPEC_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    let is_json = match Path::new(place).extension().and_then(|extension| extension.to_str()) {
        Some("json") => true,
        Some("toml") => false,
        _ => text.trim_start().starts_with('{'),
    };
    let spec = if is_json { RunSpec::from_json(&text) } else { RunSpec::from_toml(&text) };
    spec.map_err(|error| {
        CommandError::usage(format!("the spec {place} cannot be read: {error}"), "correct that place")
    })
}

fn params<'a>(
    spec: &RunSpec,
    given: impl Iterator<Item = &'a str>,
) -> Result<Map<String, Value>, CommandError> {
    let mut params = Map::new();
    for pair in given {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            CommandError::usage(format!("`-p {pair}` has no value"), "write it as -p NAME=VALUE")
        })?;
        if !spec.params.contains_key(name) {
            let known = spec.params.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let mend =
                if known.is_empty() { "it takes none".to_owned() } else { format!("it takes {known}") };
            return Err(CommandError::usage(format!("the spec has no parameter `{name}`"), mend));
        }
        let value = spec
            .param_from_text(name, value)
            .map_err(|error| CommandError::usage(error.to_string(), "see the spec's params"))?;
        params.insert(name.to_owned(), value);
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use backlot_work::ParamType;
    use serde_json::json;

    #[test]
    fn parameters_take_the_specs_types() {
        let spec =
            RunSpec::new("x").param("count", ParamType::Integer, None).param("name", ParamType::String, None);
        let read = params(&spec, ["count=3", "name=a=b"].into_iter()).unwrap();
        assert_eq!(Value::Object(read), json!({ "count": 3, "name": "a=b" }));
        for bad in ["count", "count=x", "other=1"] {
            let error = params(&spec, [bad].into_iter()).unwrap_err();
            assert_eq!(error.code, CommandError::USAGE, "{error}");
        }
    }

    #[test]
    fn a_spec_is_read_by_its_extension_or_its_look() {
        let home = tempfile::tempdir().unwrap();
        let toml = "name = \"x\"\n[[step]]\nname = \"a\"\nkind = \"k\"\n";
        let json = r#" {"name": "x", "steps": [{"name": "a", "kind": "k"}]}"#;
        for (name, text) in [("a.toml", toml), ("a.json", json), ("a", toml), ("b", json)] {
            let path = home.path().join(name);
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_spec(path.to_str().unwrap()).unwrap().name, "x");
        }
        let missing = read_spec("/no/such/spec").unwrap_err();
        assert!(missing.to_string().contains("/no/such/spec"), "{missing}");
    }
}
