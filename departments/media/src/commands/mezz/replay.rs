//! `backlot mezz replay`: look at a recording, run it again, judge many.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError};
use backlot_mezzfs::replay::rerun::{self, Outcome};
use backlot_mezzfs::replay::{Replay, Summary, picture};
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::json;

use super::{failed, flag, path, policy, reading, settings, size, text};

/// Columns and rows of the picture in a terminal.
const COLUMNS: u64 = 96;
const ROWS: u64 = 16;
/// The most replays of a batch; a folder with more is not one of replays.
const MOST_REPLAYS: usize = 10_000;

pub(super) fn command() -> Command {
    let file = || Arg::new("file").value_name("REPLAY").required(true).value_parser(value_parser!(PathBuf));
    Command::new("replay")
        .about("Look at a recording, run it again, judge a folder of them")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("show")
                .about("The figures of a recording, and its picture in the console")
                .arg(file()),
        )
        .subcommand(
            Command::new("viz")
                .about("The picture of a recording as PNG: each cell is bytes of the object")
                .arg(file())
                .arg(flag("out", "FILE", "Where the PNG is written").required(true))
                .arg(
                    flag("object", "NUMBER", "Which object of the mount")
                        .default_value("0")
                        .value_parser(value_parser!(u32)),
                )
                .arg(
                    flag("at", "SECONDS", "The moment that is shown; the end without it")
                        .value_parser(value_parser!(f64)),
                ),
        )
        .subcommand(reading(
            Command::new("rerun")
                .about("Read the same bytes in the same order again, with this buffering")
                .arg(file()),
        ))
        .subcommand(reading(
            Command::new("batch")
                .about("Run every recording of a folder again; fails on an error or below a threshold")
                .arg(Arg::new("dir").value_name("DIR").required(true).value_parser(value_parser!(PathBuf)))
                .arg(
                    flag("min-rate", "MB/S", "Fail below this many MB read in a second")
                        .value_parser(threshold),
                )
                .arg(
                    flag(
                        "max-fetched",
                        "RATIO",
                        "Fail when more bytes than this are fetched for each byte read",
                    )
                    .value_parser(threshold),
                ),
        ))
        .subcommand(
            Command::new("plan")
                .about("What the buffering alone would fetch for a recording; reads nothing")
                .arg(file())
                .arg(flag("buffer", "POLICY", "adaptive, or fixed:SIZE").default_value("adaptive"))
                .arg(flag("max-buffer", "SIZE", "The most that is buffered").default_value("64M")),
        )
}

/// A threshold: one that is no number would never be missed.
fn threshold(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "write a number such as 1.5".to_owned())?;
    if number.is_finite() && number >= 0.0 {
        Ok(number)
    } else {
        Err("write a number of at least 0".to_owned())
    }
}

pub(super) async fn run(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    match matches.subcommand() {
        Some(("show", matches)) => show(matches, context)?,
        Some(("viz", matches)) => draw(matches)?,
        Some(("plan", matches)) => plan(matches, context)?,
        Some(("rerun", matches)) => {
            let outcome = rerun_one(path(matches, "file")?, matches, context).await?;
            context.print(&outcome, told)?;
        }
        Some(("batch", matches)) => return batch(matches, context).await,
        _ => return Err(CommandError::usage("`backlot mezz replay` has no such command", "see --help")),
    }
    Ok(ExitCode::SUCCESS)
}

fn show(matches: &ArgMatches, context: &CommandContext) -> Result<(), CommandError> {
    let replay = Replay::open(path(matches, "file")?).map_err(failed)?;
    let summary = Summary::of(&replay);
    let value = json!({ "metadata": replay.metadata, "summary": summary, "counters": replay.counters });
    context.print(&value, |_| {
        let metadata = &replay.metadata;
        let mut out = format!(
            "{}, {}, buffer {}\n{summary}\n",
            metadata.program, metadata.environment, metadata.buffer
        );
        for (object, number) in metadata.objects.iter().zip(0..) {
            let end = picture::end(&replay);
            out.push_str(&format!("\n{} ({} bytes, {})\n", object.name, object.size, object.place));
            out.push_str(&picture::text(&replay, number, end, COLUMNS, ROWS));
            out.push('\n');
        }
        out
    })
}

fn draw(matches: &ArgMatches) -> Result<(), CommandError> {
    let replay = Replay::open(path(matches, "file")?).map_err(failed)?;
    let object = matches.get_one::<u32>("object").copied().unwrap_or_default();
    if object as usize >= replay.metadata.objects.len() {
        let count = replay.metadata.objects.len();
        return Err(CommandError::usage(
            format!("there is no object {object}"),
            format!("the recording has {count}, from 0 on"),
        ));
    }
    let moment = match matches.get_one::<f64>("at") {
        Some(seconds) => (seconds * 1e6) as u64,
        None => picture::end(&replay),
    };
    let out = text(matches, "out").unwrap_or_default();
    std::fs::write(out, picture::png(&replay, object, moment))
        .map_err(|error| CommandError::failed(format!("cannot write {out}: {error}"), "check the path"))
}

fn plan(matches: &ArgMatches, context: &CommandContext) -> Result<(), CommandError> {
    let replay = Replay::open(path(matches, "file")?).map_err(failed)?;
    let policy = policy(text(matches, "buffer").unwrap_or("adaptive"))?;
    let outcome = rerun::foretell(&replay, policy, size(text(matches, "max-buffer").unwrap_or("64M"))?)
        .map_err(failed)?;
    let value = json!({
        "read_bytes": outcome.read,
        "fetched_bytes": outcome.fetched,
        "requests": outcome.fetches.len(),
        "hits": outcome.hits,
        "peak_bytes": outcome.peak,
    });
    context.print(&value, |_| {
        let ratio = outcome.fetched as f64 / outcome.read.max(1) as f64;
        let requests = outcome.fetches.len();
        format!(
            "{requests} requests, {ratio:.3} bytes fetched for each byte read, at most {} bytes buffered",
            outcome.peak
        )
    })
}

async fn rerun_one(
    file: &Path,
    matches: &ArgMatches,
    context: &CommandContext,
) -> Result<Outcome, CommandError> {
    let replay = Replay::open(file).map_err(failed)?;
    let settings = settings(matches)?;
    let is_ours = |place: &str| place.starts_with("named:") || place.starts_with("blob:");
    let needs_store =
        replay.metadata.objects.iter().any(|object| is_ours(&object.place) || object.is_manifest);
    let store = if needs_store { Some(context.open_house().await?.store) } else { None };
    let opener = settings.opener(store).map_err(failed)?;
    rerun::run(&replay, &opener, settings.policy, settings.max_buffer).await.map_err(failed)
}

fn told(outcome: &Outcome) -> String {
    format!(
        "{} reads, {} failed, {:.1} MB in {:.3} s: {:.1} MB/s, {} requests, {:.3} bytes fetched for each byte read, {} at a time",
        outcome.reads,
        outcome.failed,
        outcome.read_bytes as f64 / 1e6,
        outcome.seconds,
        outcome.megabytes_per_second,
        outcome.fetches,
        outcome.amplification,
        outcome.concurrency
    )
}

async fn batch(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let dir = path(matches, "dir")?;
    let listed = std::fs::read_dir(dir).map_err(|error| {
        CommandError::failed(format!("cannot read {}: {error}", dir.display()), "check the path")
    })?;
    let mut files: Vec<PathBuf> = listed
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "replay"))
        .collect();
    files.sort();
    if files.is_empty() || files.len() > MOST_REPLAYS {
        let message = format!("{} has {} files that end in .replay", dir.display(), files.len());
        return Err(CommandError::usage(message, format!("name a folder of 1 to {MOST_REPLAYS} recordings")));
    }
    // What is wrong with the command line is wrong once, not with every recording.
    settings(matches)?;
    let least_rate = matches.get_one::<f64>("min-rate").copied().unwrap_or_default();
    let most_fetched = matches.get_one::<f64>("max-fetched").copied().unwrap_or(f64::INFINITY);
    let mut fallen = 0_usize;
    for file in &files {
        let ran = rerun_one(file, matches, context).await;
        let (fault, outcome) = match ran {
            Err(error) => (Some(error.to_string()), None),
            Ok(outcome) if outcome.failed > 0 => {
                (Some(format!("{} reads failed", outcome.failed)), Some(outcome))
            }
            Ok(outcome) if outcome.megabytes_per_second < least_rate => {
                (Some(format!("slower than {least_rate} MB/s")), Some(outcome))
            }
            Ok(outcome) if outcome.amplification > most_fetched => {
                (Some(format!("more than {most_fetched} bytes fetched for each byte read")), Some(outcome))
            }
            Ok(outcome) => (None, Some(outcome)),
        };
        fallen += usize::from(fault.is_some());
        let line = json!({ "replay": file.display().to_string(), "fault": fault, "outcome": outcome });
        context.print_line(&line, |_| {
            let verdict = fault.as_deref().map_or("ok".to_owned(), |fault| format!("FAILED: {fault}"));
            let figures = outcome.as_ref().map(told).unwrap_or_default();
            format!("{}: {verdict}; {figures}", file.display())
        })?;
    }
    if fallen == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let message = format!("{fallen} of {} replays failed", files.len());
    Err(CommandError::failed(message, "see the lines above, and `backlot mezz replay show`"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_a_number_that_can_be_missed() {
        assert!((threshold("1.5").unwrap() - 1.5).abs() < f64::EPSILON);
        for wrong in ["nan", "-1", "inf", "", "1,5"] {
            assert!(threshold(wrong).is_err(), "{wrong}");
        }
    }
}
