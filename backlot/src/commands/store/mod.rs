//! `backlot store`: look at blobs and named objects, move them in and out, prove them, and collect garbage.

mod gc;
mod transfer;

use std::process::ExitCode;
use std::time::SystemTime;

use backlot_department::{CommandError, OutputFormat};
use backlot_ledger::Timestamp;
use backlot_store::{LONGEST_LISTING, Store};
use backlot_web::console::format;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use super::{positional, subcommand};
use crate::exit;
use crate::session::{Session, verdict};

pub(super) fn command() -> Command {
    Command::new("store")
        .about("Works with blobs and named objects")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("ls")
                .about("Lists named objects, or all blobs")
                .arg(
                    Arg::new("prefix")
                        .value_name("PREFIX")
                        .default_value("")
                        .help("Only names that begin so"),
                )
                .arg(
                    Arg::new("blobs")
                        .long("blobs")
                        .action(ArgAction::SetTrue)
                        .conflicts_with("prefix")
                        .help("List blobs by their digests instead"),
                ),
        )
        .subcommand(
            Command::new("get")
                .about("Writes a blob or a named object to a file or to standard output")
                .arg(positional("what", "DIGEST|NAME", "The blob's digest (blake3:…) or the object's name"))
                .arg(
                    Arg::new("file")
                        .value_name("FILE")
                        .default_value("-")
                        .help("Where to; - is standard output"),
                ),
        )
        .subcommand(
            Command::new("put")
                .about("Stores a file as a blob and prints its digest, or under a name")
                .arg(positional("file", "FILE", "The file; - is standard input"))
                .arg(Arg::new("name").long("name").help("Store it under this name, replacing what is there"))
                .arg(
                    Arg::new("type")
                        .long("type")
                        .value_name("MEDIA-TYPE")
                        .requires("name")
                        .help("What a named object is [default: application/octet-stream]"),
                ),
        )
        .subcommand(Command::new("verify").about("Reads every blob and compares it with its digest"))
        .subcommand(gc::command())
}

pub(super) async fn run(matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    session.require_local()?;
    let (name, matches) = subcommand(matches);
    if name == "gc" {
        return gc::run(matches, session).await;
    }
    let store = session.open_store().await?;
    match name {
        "ls" if matches.get_flag("blobs") => list_blobs(&store, session).await,
        "ls" => list_named(&store, super::text(matches, "prefix"), session).await,
        "get" => transfer::get(&store, matches, session).await,
        "put" => transfer::put(&store, matches, session).await,
        _ => verify(&store, session).await,
    }
}

/// Lists page by page, so that a store of any size needs the memory of one page.
async fn list_blobs(store: &Store, session: &Session) -> Result<ExitCode, CommandError> {
    let context = session.context()?;
    let mut after = None;
    loop {
        let page =
            store.list_blobs(LONGEST_LISTING, after.as_ref()).await.map_err(|error| exit::store(&error))?;
        for blob in &page.blobs {
            let line = json!({ "digest": blob.digest, "size": blob.size, "modified": moment(blob.modified) });
            context.print_line(&line, |_| line_of(blob.modified, blob.size, &blob.digest.to_string()))?;
        }
        if page.next.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
        after = page.next;
    }
}

async fn list_named(store: &Store, prefix: &str, session: &Session) -> Result<ExitCode, CommandError> {
    let context = session.context()?;
    let mut after: Option<String> = None;
    loop {
        let page = store
            .list_named(prefix, LONGEST_LISTING, after.as_deref())
            .await
            .map_err(|error| exit::store(&error))?;
        for object in &page.objects {
            let line =
                json!({ "name": object.name, "size": object.size, "modified": moment(object.modified) });
            context.print_line(&line, |_| line_of(object.modified, object.size, &object.name))?;
        }
        if page.next.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
        after = page.next;
    }
}

/// Columns of fixed width: the lines are written as they come.
fn line_of(modified: SystemTime, size: u64, name: &str) -> String {
    format!("{:<28} {:>9}  {name}", moment(modified), format::bytes(size))
}

fn moment(time: SystemTime) -> String {
    Timestamp::from_system_time(time).to_string()
}

async fn verify(store: &Store, session: &Session) -> Result<ExitCode, CommandError> {
    let bar = session.progress(None, "{spinner} {human_pos} blobs, {msg} {elapsed}");
    let report = store
        .verify(|progress| {
            bar.set_position(progress.blobs);
            bar.set_message(format!("{}, {} damaged", format::bytes(progress.bytes), progress.damaged));
        })
        .await;
    bar.finish_and_clear();
    let report = report.map_err(|error| exit::store(&error))?;
    let damaged: Vec<_> = report
        .damaged
        .iter()
        .map(|(digest, damage)| json!({ "digest": digest, "damage": damage.to_string() }))
        .collect();
    let total = report.total;
    let answer = json!({
        "blobs": total.blobs, "bytes": total.bytes, "damaged": total.damaged, "damage": damaged, "strays": report.strays,
    });
    let context = session.context()?;
    context.print(&answer, |_| {
        let mut lines: Vec<String> =
            report.damaged.iter().map(|(digest, damage)| format!("damaged: {digest}: {damage}")).collect();
        lines.extend(report.strays.iter().map(|stray| format!("not a blob: {stray}")));
        let (blobs, bytes) = (total.blobs, format::bytes(total.bytes));
        lines.push(format!("{blobs} blobs, {bytes}, {} damaged", total.damaged));
        lines.join("\n")
    })?;
    if total.damaged > 0 && context.format == OutputFormat::Text {
        session.say("delete a damaged blob and put it again from its source, or retry the run that made it");
    }
    Ok(verdict(total.damaged == 0))
}
