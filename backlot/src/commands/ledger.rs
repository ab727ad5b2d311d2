//! `backlot ledger`: back up, examine, and read the journal of the SQL state.

use std::path::Path;
use std::process::ExitCode;

use backlot_department::CommandError;
use backlot_ledger::{CheckReport, JournalRecord};
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::json;

use super::{positional, subcommand, text};
use crate::exit;
use crate::session::{Session, blocking, verdict};
use crate::table::Table;

/// The most journal records that one call reads.
const MOST_RECORDS: u32 = 10_000;

pub(super) fn command() -> Command {
    Command::new("ledger")
        .about("Backs up and examines the SQL state")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("backup")
                .about("Copies the ledger to a file while it is in use")
                .long_about(
                    "Copies the ledger to a file while it is in use.\n\nThe copy is a ledger itself: to restore it, stop the \
                     server and the workers and put it where the old one was, without that one's -wal and -shm files; or \
                     start with --ledger sqlite:///FILE.",
                )
                .arg(positional("file", "FILE", "Where to; an older file there is replaced when the copy is complete")),
        )
        .subcommand(Command::new("check").about("Examines the database, its keys and its migrations"))
        .subcommand(
            Command::new("journal")
                .about("Prints the audit journal: who did what to which subject")
                .arg(Arg::new("subject").long("subject").help("Only about this subject, such as run/ID"))
                .arg(
                    Arg::new("after")
                        .long("after")
                        .value_name("NUMBER")
                        .value_parser(value_parser!(i64).range(0..))
                        .default_value("0")
                        .help("Only records after this one"),
                )
                .arg(
                    Arg::new("limit")
                        .long("limit")
                        .value_parser(value_parser!(u32).range(1..=i64::from(MOST_RECORDS)))
                        .default_value("100")
                        .help("At most so many"),
                ),
        )
}

pub(super) async fn run(matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    session.require_local()?;
    refuse_a_missing_ledger(session)?;
    match subcommand(matches) {
        ("backup", matches) => backup(text(matches, "file"), session).await,
        ("check", _) => check(session).await,
        (_, matches) => journal(matches, session).await,
    }
}

/// None of these commands is meant to make a ledger.
fn refuse_a_missing_ledger(session: &Session) -> Result<(), CommandError> {
    let url = &session.settings.ledger.value;
    match url.strip_prefix("sqlite://") {
        Some(file) if !Path::new(file).is_file() => Err(CommandError::new(
            exit::MISSING,
            format!("there is no ledger {file}"),
            "name another --home or --ledger; `backlot up` makes one",
        )),
        _ => Ok(()),
    }
}

async fn backup(file: &str, session: &Session) -> Result<ExitCode, CommandError> {
    let ledger = session.open_ledger().await?;
    let bar = session.progress(None, "{spinner} copying the ledger {elapsed}");
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    let to = std::path::absolute(file)
        .map_err(|error| CommandError::usage(format!("{file:?} is no path: {error}"), "name a file"))?;
    let target = to.clone();
    let copied = blocking(move || ledger.backup(&target)).await;
    bar.finish_and_clear();
    copied.map_err(|error| exit::ledger(&error))?;
    let size = std::fs::metadata(&to).map(|meta| meta.len()).unwrap_or_default();
    session.context()?.print(&json!({ "file": to, "bytes": size }), |_| {
        format!("{} {}", to.display(), backlot_web::console::format::bytes(size))
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn check(session: &Session) -> Result<ExitCode, CommandError> {
    // The house knows every owner's migrations, so that they can be judged.
    let house = session.require_house().await?;
    let bar = session.progress(None, "{spinner} examining the ledger {elapsed}");
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    let ledger = house.ledger.clone();
    let report = blocking(move || ledger.check()).await;
    bar.finish_and_clear();
    let report = report.map_err(|error| exit::ledger(&error))?;
    session.context()?.print(&report, report_text)?;
    Ok(verdict(report.problems.is_empty()))
}

fn report_text(report: &CheckReport) -> String {
    let mut owners: Vec<(&str, usize)> = Vec::new();
    for migration in &report.migrations {
        match owners.iter_mut().find(|(owner, _)| *owner == migration.owner) {
            Some((_, count)) => *count += 1,
            None => owners.push((&migration.owner, 1)),
        }
    }
    let owners: Vec<String> = owners.iter().map(|(owner, count)| format!("{owner} {count}")).collect();
    let mut text = format!("{}; migrations: {}\n", report.engine, owners.join(", "));
    if report.problems.is_empty() {
        text.push_str(
            "no problems
",
        );
    }
    for problem in &report.problems {
        text.extend([
            "problem: ",
            problem,
            "
",
        ]);
    }
    text
}

async fn journal(matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    let ledger = session.open_ledger().await?;
    let subject = matches.get_one::<String>("subject").cloned();
    let after = matches.get_one::<i64>("after").copied().unwrap_or(0);
    let limit = matches.get_one::<u32>("limit").copied().unwrap_or(100);
    let records = ledger
        .read(move |tx| -> Result<Vec<JournalRecord>, backlot_ledger::Error> {
            tx.journal_after(after, subject.as_deref(), limit)
        })
        .await
        .map_err(|error| exit::ledger(&error))?;
    session.context()?.print(&records, |records| {
        if records.is_empty() {
            return String::new();
        }
        let mut table = Table::new(["NUMBER", "WHEN", "WHO", "WHAT", "SUBJECT", "AFTER"]);
        for record in records {
            table.row([
                record.id.to_string().into(),
                record.at.to_string().into(),
                record.actor.as_str().into(),
                record.action.as_str().into(),
                record.subject.as_str().into(),
                record.after.as_ref().map(ToString::to_string).unwrap_or_default().into(),
            ]);
        }
        table.render()
    })?;
    Ok(ExitCode::SUCCESS)
}
