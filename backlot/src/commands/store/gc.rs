//! `backlot store gc`: deletes blobs that nothing refers to. Mark and sweep.
//!
//! The mark is every digest in the ledger's runs and remembered results, and in the departments' own tables. What makes a sweep dangerous is a blob that is about
//! to be referred to: a task has put it and has not committed yet. A fresh blob is young and spared by the grace; but a blob
//! that was there already keeps its old date when it is put again. So a sweep that deletes runs alone: it holds the home as a
//! server would, and refuses while a worker lives.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use backlot_department::{CommandError, House};
use backlot_store::{BlobInfo, LONGEST_LISTING};
use backlot_web::console::format;
use backlot_work::Span;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use crate::exit;
use crate::home::{self, HomeLock};
use crate::session::{Session, house_failure};

pub(super) fn command() -> Command {
    Command::new("gc")
        .about("Finds blobs that no run refers to, and deletes them when told to")
        .long_about(
            "Finds blobs that no run, no remembered result and no department refers to, and deletes them when told to.\n\nWithout --delete \
             it only says what it would do. With it, no server and no worker may run on this ledger, since a running task may \
             be about to refer to an old blob. Blobs that were put by hand and that no run names count as garbage once they \
             are older than the grace; named objects are never touched.",
        )
        .arg(Arg::new("delete").long("delete").action(ArgAction::SetTrue).help("Delete what is found"))
        .arg(
            Arg::new("grace")
                .long("grace")
                .value_name("SPAN")
                .default_value("7d")
                .value_parser(value_parser!(Span))
                .help("Leave blobs alone that are younger than this"),
        )
}

/// What a sweep found.
#[derive(Default)]
struct Sweep {
    kept: u64,
    /// Unreferenced, but younger than the grace.
    young: u64,
    garbage: Vec<BlobInfo>,
}

pub(super) async fn run(matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    let grace = matches.get_one::<Span>("grace").map_or(Duration::MAX, |span| span.duration());
    let is_real = matches.get_flag("delete");
    home::open(session.home())?;
    let lock = if is_real { Some(HomeLock::acquire(session.home()).await?) } else { None };
    let house = session.require_house().await?;
    if is_real {
        refuse_beside_workers(&house).await?;
    }
    let bar = session.progress(None, "{spinner} {human_pos} blobs looked at {elapsed}");
    let sweep = sweep(&house, session, grace, |looked| bar.set_position(looked)).await;
    bar.finish_and_clear();
    let sweep = sweep?;
    let bytes: u64 = sweep.garbage.iter().map(|blob| blob.size).sum();
    let context = session.context()?;
    for blob in &sweep.garbage {
        if is_real {
            house.store.delete(&blob.digest).await.map_err(|error| exit::store(&error))?;
        }
        let line = json!({ "digest": blob.digest, "size": blob.size, "deleted": is_real });
        context.print_line(&line, |_| format!("{:>9}  {}", format::bytes(blob.size), blob.digest))?;
    }
    drop(lock);
    let (count, size) = (sweep.garbage.len(), format::bytes(bytes));
    let (kept, young) = (sweep.kept, sweep.young);
    let done = if is_real { "deleted" } else { "would delete, with --delete," };
    session.say(format_args!("{done} {count} blobs of {size}; {kept} are in use, {young} too young"));
    Ok(ExitCode::SUCCESS)
}

async fn refuse_beside_workers(house: &House) -> Result<(), CommandError> {
    let workers = house.work.workers().await.map_err(|error| exit::failure(CommandError::FAILED, &error))?;
    let now = house.ledger.now();
    match workers.iter().find(|worker| worker.state == "alive" && worker.alive_until > now) {
        None => Ok(()),
        Some(worker) => Err(CommandError::new(
            exit::IN_USE,
            format!("worker {} ({}, process {}) is alive", worker.worker, worker.name, worker.pid),
            "stop it first; one that was killed counts as alive until its lease runs out, at most 15 s",
        )),
    }
}

async fn sweep(
    house: &House,
    session: &Session,
    grace: Duration,
    mut progress: impl FnMut(u64),
) -> Result<Sweep, CommandError> {
    let referenced = house.referenced_blobs(&session.departments).await.map_err(house_failure)?;
    let now = SystemTime::now();
    let mut sweep = Sweep::default();
    let mut after = None;
    let mut looked = 0;
    loop {
        let page = house
            .store
            .list_blobs(LONGEST_LISTING, after.as_ref())
            .await
            .map_err(|error| exit::store(&error))?;
        looked += page.blobs.len() as u64;
        progress(looked);
        for blob in page.blobs {
            if referenced.contains(&blob.digest.to_string()) {
                sweep.kept += 1;
            } else if now.duration_since(blob.modified).unwrap_or_default() < grace {
                sweep.young += 1;
            } else {
                sweep.garbage.push(blob);
            }
        }
        if page.next.is_none() {
            return Ok(sweep);
        }
        after = page.next;
    }
}
