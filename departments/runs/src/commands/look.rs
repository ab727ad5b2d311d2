//! `backlot runs` and `backlot tasks`: look at runs and steer them.

use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError, House};
use backlot_web::console::format;
use backlot_work::{RunFilter, RunState, RunStatus, StepStatus, TaskFilter, TaskState, TaskStatus};
use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use crate::commands::run::follow_to_end;
use crate::commands::table::columns;
use crate::commands::{text, who};
use crate::refusal::fail;

fn run_argument() -> Arg {
    Arg::new("run").value_name("RUN").required(true).help("The run's id, or an unambiguous start of it")
}

fn state_argument() -> Arg {
    Arg::new("state").long("state").value_name("STATE,…").help("Only these states")
}

fn limit_argument() -> Arg {
    Arg::new("limit")
        .long("limit")
        .value_parser(clap::value_parser!(u32))
        .default_value("20")
        .help("At most so many")
}

pub(super) fn runs_command() -> Command {
    let one = |name: &'static str, about: &'static str| Command::new(name).about(about).arg(run_argument());
    Command::new("runs")
        .about("Lists runs, newest first; shows and steers one")
        .args_conflicts_with_subcommands(true)
        .arg(state_argument())
        .arg(Arg::new("name").long("name").help("Only runs of this name"))
        .arg(Arg::new("before").long("before").value_name("RUN").help("Only runs older than this one"))
        .arg(limit_argument())
        .subcommand(one("show", "Shows a run and its steps"))
        .subcommand(one("spec", "Prints the spec of a run as JSON"))
        .subcommand(one("follow", "Follows a run to its end"))
        .subcommand(
            one("outputs", "Prints what a step gave, as JSON")
                .arg(Arg::new("step").value_name("STEP").required(true).help("The step's name")),
        )
        .subcommand(
            one("cancel", "Stops a run; running tasks are ended")
                .arg(Arg::new("reason").long("reason").help("Why, for the journal")),
        )
        .subcommand(one("pause", "Lets no further task of a run start"))
        .subcommand(one("resume", "Lets a paused run go on"))
        .subcommand(
            one("retry", "Runs again what did not succeed").arg(
                Arg::new("from").long("from").value_name("STEP").help("This step and all after it as well"),
            ),
        )
}

pub(super) fn tasks_command() -> Command {
    Command::new("tasks")
        .about("Lists the tasks of a run")
        .arg(run_argument())
        .arg(Arg::new("step").long("step").help("Only this step"))
        .arg(state_argument())
        .arg(
            Arg::new("after")
                .long("after")
                .value_name("NUMBER")
                .value_parser(clap::value_parser!(i64))
                .help("Only tasks after this one"),
        )
        .arg(limit_argument().default_value("100"))
}

pub(super) async fn runs(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let house = context.open_house().await?;
    let Some((word, matches)) = matches.subcommand() else {
        list(&house, matches, context).await?;
        return Ok(ExitCode::SUCCESS);
    };
    let run = text(matches, "run");
    match word {
        "show" => show(&house, run, context).await?,
        "spec" => {
            let spec = house.work.spec(run).await.map_err(fail)?;
            context.print(&spec, |spec| json!(spec).to_string())?;
        }
        "follow" => {
            let id = house.work.run(run).await.map_err(fail)?.id;
            return follow_to_end(&house, &id, context).await;
        }
        "outputs" => {
            let outputs = house.work.outputs(run, text(matches, "step")).await.map_err(fail)?;
            context.print(&outputs, |outputs| format!("{outputs:#}"))?;
        }
        steer => {
            let reason = matches.try_get_one::<String>("reason").ok().flatten();
            let from = matches.try_get_one::<String>("from").ok().flatten();
            let ordered = match steer {
                "cancel" => house.work.cancel(run, &who(), reason.map(String::as_str)).await,
                "pause" => house.work.pause(run, &who()).await,
                "resume" => house.work.resume(run, &who()).await,
                "retry" => house.work.retry(run, from.map(String::as_str), &who()).await,
                other => {
                    return Err(CommandError::usage(
                        format!("there is no order `{other}`"),
                        "see `backlot runs --help`",
                    ));
                }
            };
            ordered.map_err(fail)?;
            let status = house.work.run(run).await.map_err(fail)?;
            context.print(&status, |status| format!("{} {} is {}", status.id, status.name, status.state))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(house: &House, matches: &ArgMatches, context: &CommandContext) -> Result<(), CommandError> {
    let filter = RunFilter {
        states: states(matches, RunState::from_word)?,
        name: matches.get_one::<String>("name").cloned(),
        before: matches.get_one::<String>("before").cloned(),
        limit: matches.get_one::<u32>("limit").copied().unwrap_or(0),
    };
    let runs = house.work.runs(filter).await.map_err(fail)?;
    if runs.is_empty() {
        eprintln!("no runs; start one with `backlot run SPEC`");
    }
    context.print(&runs, |runs| run_table(runs))
}

fn run_table(runs: &[RunStatus]) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let mut rows = vec![words(["RUN", "NAME", "STATE", "TASKS", "SUBMITTED", "TOOK"])];
    for run in runs {
        rows.push(vec![
            run.id.clone(),
            run.name.clone(),
            run.state.to_string(),
            format!("{}/{}", run.tasks.succeeded, run.tasks.total),
            run.created.to_string(),
            took(run.started, run.finished),
        ]);
    }
    columns(&rows)
}

async fn show(house: &House, run: &str, context: &CommandContext) -> Result<(), CommandError> {
    let status = house.work.run(run).await.map_err(fail)?;
    let steps = house.work.steps(&status.id).await.map_err(fail)?;
    context.print(&json!({ "run": status, "steps": steps }), |_| {
        let error = status.error.as_deref().map(|error| format!("error: {error}\n")).unwrap_or_default();
        format!("{}{error}{}", run_table(std::slice::from_ref(&status)), step_table(&steps))
    })
}

fn step_table(steps: &[StepStatus]) -> String {
    let mut rows = vec![words(["", "STEP", "STATE", "TASKS", "TOOK", "ERROR"])];
    for step in steps {
        rows.push(vec![
            String::new(),
            step.name.clone(),
            step.state.to_string(),
            format!("{}/{}", step.tasks.succeeded, step.tasks.total),
            took(step.started, step.finished),
            step.error.clone().unwrap_or_default(),
        ]);
    }
    columns(&rows)
}

pub(super) async fn tasks(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let house = context.open_house().await?;
    let filter = TaskFilter {
        step: matches.get_one::<String>("step").cloned(),
        index: None,
        states: states(matches, TaskState::from_word)?,
        after: matches.get_one::<i64>("after").copied(),
        limit: matches.get_one::<u32>("limit").copied().unwrap_or(0),
    };
    let tasks = house.work.tasks(text(matches, "run"), filter).await.map_err(fail)?;
    context.print(&tasks, |tasks| task_table(tasks))?;
    Ok(ExitCode::SUCCESS)
}

fn task_table(tasks: &[TaskStatus]) -> String {
    let mut rows = vec![words(["TASK", "NUMBER", "STATE", "ATTEMPT", "TOOK", "WHAT"])];
    for task in tasks {
        let state = if task.cached { "cached".to_owned() } else { task.state.to_string() };
        rows.push(vec![
            format!("{}/{}", task.step, task.index),
            task.task.to_string(),
            state,
            task.attempt.to_string(),
            took(task.started, task.finished),
            task.error.clone().or_else(|| task.message.clone()).unwrap_or_default(),
        ]);
    }
    columns(&rows)
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

fn took(started: Option<backlot_ledger::Timestamp>, finished: Option<backlot_ledger::Timestamp>) -> String {
    match (started, finished) {
        (Some(started), Some(finished)) => format::duration(finished.saturating_since(started)),
        _ => "–".to_owned(),
    }
}

fn states<T>(matches: &ArgMatches, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, CommandError> {
    crate::api::runs::words(text(matches, "state"), "state", read)
        .map_err(|error| CommandError::usage(error.message, "see the STATE column for the words"))
}
