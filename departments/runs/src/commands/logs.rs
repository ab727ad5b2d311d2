//! `backlot logs RUN [TASK]`: what tasks wrote.

use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError, House};
use backlot_work::{LogPiece, TaskFilter, TaskStatus};
use clap::{Arg, ArgAction, ArgMatches, Command};
use futures::StreamExt;

use crate::commands::text;
use crate::follow::{self, LogCursor, Watch};
use crate::refusal::fail;

/// Tasks whose logs are printed when none is named.
const MOST_TASKS: u32 = 1000;

pub(super) fn command() -> Command {
    Command::new("logs")
        .about("Prints what the tasks of a run wrote")
        .arg(
            Arg::new("run")
                .value_name("RUN")
                .required(true)
                .help("The run's id, or an unambiguous start of it"),
        )
        .arg(Arg::new("task").value_name("STEP[/INDEX]").help("Only this step, or this task of it"))
        .arg(
            Arg::new("follow")
                .short('f')
                .long("follow")
                .action(ArgAction::SetTrue)
                .help("Go on until the end"),
        )
}

pub(super) async fn run(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let house = context.open_house().await?;
    let run = house.work.run(text(matches, "run")).await.map_err(fail)?.id;
    let (step, index) = wanted(text(matches, "task"))?;
    let follows = matches.get_flag("follow");
    match (step, index) {
        (Some(step), Some(index)) => {
            let task = house.work.task(&run, step, index).await.map_err(fail)?;
            one(&house, task, follows, context).await?;
        }
        (step, _) => many(&house, &run, step, follows, context).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn wanted(text: &str) -> Result<(Option<&str>, Option<i64>), CommandError> {
    match text.split_once('/') {
        None if text.is_empty() => Ok((None, None)),
        None => Ok((Some(text), None)),
        Some((step, index)) => {
            let mend = "write it as STEP/INDEX, with an index from 0";
            let index =
                index.parse().map_err(|_| CommandError::usage(format!("{text:?} is no task"), mend))?;
            Ok((Some(step), Some(index)))
        }
    }
}

async fn one(
    house: &House,
    task: TaskStatus,
    follows: bool,
    context: &CommandContext,
) -> Result<(), CommandError> {
    if follows {
        let mut pieces = Box::pin(follow::log(house.clone(), task, None));
        while let Some(piece) = pieces.next().await {
            write(&piece.map_err(fail)?, "", context)?;
        }
        return Ok(());
    }
    let mut cursor = None;
    while print_new(house, &task, "", &mut cursor, context).await? {}
    Ok(())
}

/// Every task's lines under its name, in the order of the tasks; while following, in the order of looking.
async fn many(
    house: &House,
    run: &str,
    step: Option<&str>,
    follows: bool,
    context: &CommandContext,
) -> Result<(), CommandError> {
    let mut watch = Watch::new(house);
    let mut cursors = std::collections::HashMap::new();
    loop {
        watch.mark();
        // The state first: in a run that has ended by now, nothing is written after the pieces read next.
        let is_final = house.work.run(run).await.map_err(fail)?.state.is_final();
        let filter = TaskFilter { step: step.map(str::to_owned), limit: MOST_TASKS, ..TaskFilter::default() };
        for task in house.work.tasks(run, filter).await.map_err(fail)? {
            let prefix = format!("{}/{}: ", task.step, task.index);
            let cursor = cursors.entry(task.task).or_insert(None);
            while print_new(house, &task, &prefix, cursor, context).await? {}
        }
        if is_final || !follows {
            return Ok(());
        }
        watch.changed().await;
    }
}

/// Prints the pieces after the cursor; says whether there were any.
async fn print_new(
    house: &House,
    task: &TaskStatus,
    prefix: &str,
    cursor: &mut Option<LogCursor>,
    context: &CommandContext,
) -> Result<bool, CommandError> {
    let pieces =
        house.work.logs(task.task, cursor.map(LogCursor::pair), follow::PIECES).await.map_err(fail)?;
    for piece in &pieces {
        write(piece, prefix, context)?;
        *cursor = Some(LogCursor::of(piece));
    }
    Ok(!pieces.is_empty())
}

fn write(piece: &LogPiece, prefix: &str, context: &CommandContext) -> Result<(), CommandError> {
    context.print_line(piece, |piece| piece.text.lines().flat_map(|line| [prefix, line, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_named_by_step_and_index() {
        assert_eq!(wanted("").unwrap(), (None, None));
        assert_eq!(wanted("encode").unwrap(), (Some("encode"), None));
        assert_eq!(wanted("encode/3").unwrap(), (Some("encode"), Some(3)));
        assert_eq!(wanted("encode/x").unwrap_err().code, CommandError::USAGE);
    }
}
