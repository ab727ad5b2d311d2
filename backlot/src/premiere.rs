//! `backlot premiere CLIP`: one title through the whole house.
//!
//! The run is composed in `premiere.toml` from the task kinds of the departments; this file gives it a clip, follows it
//! and shows the result. The run is durable work like any other: when this process is killed, the next `backlot premiere`
//! of the same clip (or any worker) goes on where it stood.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use backlot_department::{CommandContext, CommandError, House, OutputFormat};
use backlot_media::plan::{LadderRules, Target};
use backlot_media::{Report, report};
use backlot_work::{BlobRef, RunFilter, RunSpec, RunState, RunStatus, StepState, SubmitOptions};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::premiere_report::{self, Scene};
use crate::sample::Sample;

/// The composition.
const SPEC: &str = include_str!("premiere.toml");

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(150);

/// How long the ledger may refuse results before the command gives up; what is done is kept.
const TROUBLE: Duration = Duration::from_secs(3);

/// The spec of the premiere.
pub(crate) fn spec() -> RunSpec {
    RunSpec::from_toml(SPEC).expect("invariant: the composition is checked by a test")
}

/// The command line.
pub(crate) fn command() -> Command {
    Command::new("premiere")
        .about("Takes one clip through the whole house: shots, trial encodes, quality, a ladder, a playable package")
        .long_about(
            "Takes one clip through the whole house: it is probed, cut into shots, encoded at many sizes and qualities in \
             parallel, measured; the convex hull gives the ladder, whose rungs are stitched and packaged as CMAF and HLS.\n\n\
             Without CLIP a sample is used. An unfinished premiere of the same clip and settings is taken up again, also \
             after a crash; what was encoded is not encoded again.",
        )
        .arg(Arg::new("clip").value_name("CLIP").value_parser(value_parser!(PathBuf)).help("The clip: any file that ffmpeg can read"))
        .arg(Arg::new("sample").long("sample").value_parser(value_parser!(Sample)).default_value("bikes").conflicts_with("clip").help("Which sample, when there is no CLIP"))
        .arg(Arg::new("name").long("name").help("What the title is called; the file's name unless given"))
        .arg(Arg::new("fps").long("fps").value_name("RATE").help("Make the frame rate constant: 25, 30000/1001"))
        .arg(Arg::new("codecs").long("codecs").value_delimiter(',').value_parser(["x264", "x265", "svt_av1"]).default_value("x264,svt_av1").help("Codecs to try"))
        .arg(Arg::new("effort").long("effort").value_parser(["fast", "medium", "slow"]).default_value("fast").help("How hard the encoders try"))
        .arg(Arg::new("max-height").long("max-height").value_name("LINES").value_parser(value_parser!(u32).range(64..=4320)).default_value("1080").help("Do not try larger pictures"))
        .arg(Arg::new("quality").long("quality").value_name("METRIC").value_parser(["auto", "vmaf", "vmaf_v0", "psnr"]).default_value("auto").help("What quality is measured with: vmaf is v1, vmaf_v0 is v0.6.1; auto is the first of them whose model is found, else PSNR"))
        .arg(Arg::new("rungs").long("rungs").value_name("N").value_parser(value_parser!(u32).range(1..=64)).default_value("6").help("The most rungs for each codec"))
        .arg(Arg::new("target").long("target").value_name("TARGET").value_parser(value_parser!(Target)).action(ArgAction::Append).help("A rung with the least bits for a quality or the best quality for a rate: vmaf=93, psnr=40, rate=1500k; may be repeated, and is instead of a whole ladder"))
        .arg(Arg::new("out").long("out").value_name("DIR").value_parser(value_parser!(PathBuf)).help("Write the package, report.json and the report's notebook there; DIR must not exist"))
        .arg(Arg::new("no-cache").long("no-cache").action(ArgAction::SetTrue).help("Encode everything anew"))
        .arg(Arg::new("detach").short('d').long("detach").action(ArgAction::SetTrue).help("Submit and leave the work to a running server"))
        .arg(Arg::new("exit").long("exit").action(ArgAction::SetTrue).help("Do not stay to serve the report, even at a terminal"))
}

/// Submits the premiere, or finds the unfinished one of the same clip; gives the run's id.
pub(crate) async fn begin(
    matches: &ArgMatches,
    context: &CommandContext,
    house: &House,
) -> Result<String, CommandError> {
    let clip = match matches.get_one::<PathBuf>("clip") {
        Some(clip) => clip.clone(),
        None => {
            let sample = *matches.get_one::<Sample>("sample").expect("invariant: it has a default");
            sample.fetch(&context.home.join("samples")).await?
        }
    };
    let params = params(matches, house, &clip).await?;
    let no_cache = matches.get_flag("no-cache");
    if !no_cache && let Some(run) = unfinished(house, &params).await? {
        if house.work.run(&run).await.map_err(failed)?.state == RunState::Paused {
            house.work.resume(&run, "premiere").await.map_err(failed)?;
        }
        return Ok(run);
    }
    let options = SubmitOptions { by: "premiere".to_owned(), no_cache, ..SubmitOptions::default() };
    house
        .work
        .submit(Scene::here().compose(spec()), params, options, Some(&house.kinds))
        .await
        .map_err(failed)
}

async fn params(
    matches: &ArgMatches,
    house: &House,
    clip: &Path,
) -> Result<Map<String, Value>, CommandError> {
    let named = clip.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = matches.get_one::<String>("name").cloned().or(named).unwrap_or_else(|| "clip".to_owned());
    let fps = match matches.get_one::<String>("fps") {
        Some(text) => {
            let rate: backlot_media::Rate = text.parse().map_err(|error| {
                CommandError::usage(format!("--fps {text}: {error}"), "write a rate such as 25 or 30000/1001")
            })?;
            json!(rate)
        }
        None => Value::Null,
    };
    if !clip.is_file() {
        let what = if clip.exists() { "is not a file" } else { "does not exist" };
        return Err(CommandError::usage(
            format!("the clip {} {what}", clip.display()),
            "give the path of a video file",
        ));
    }
    let blob = house
        .store
        .put_file(clip)
        .await
        .map_err(|error| CommandError::failed(error.to_string(), "see `backlot doctor`"))?;
    let clip = BlobRef { digest: blob.digest, size: blob.size, media_type: "video/mp4".to_owned() };
    let codecs: Vec<&String> = matches.get_many("codecs").into_iter().flatten().collect();
    let targets = matches.get_many("target").into_iter().flatten().copied().collect();
    let ladder = LadderRules { targets, ..LadderRules::default() };
    let given = json!({
        "clip": clip,
        "name": name,
        "fps": fps,
        "codecs": codecs,
        "effort": matches.get_one::<String>("effort"),
        "max_height": matches.get_one::<u32>("max-height"),
        "rungs": matches.get_one::<u32>("rungs"),
        "quality": matches.get_one::<String>("quality"),
        "ladder": ladder,
    });
    match given {
        Value::Object(given) => spec()
            .bind(given)
            .map_err(|error| CommandError::usage(error.to_string(), "see `backlot premiere --help`")),
        _ => Err(CommandError::usage("the parameters are no object", "see `backlot premiere --help`")),
    }
}

/// The newest premiere with these parameters that has not ended.
async fn unfinished(house: &House, params: &Map<String, Value>) -> Result<Option<String>, CommandError> {
    let states = vec![RunState::Queued, RunState::Running, RunState::Paused];
    let filter = RunFilter { states, name: Some("premiere".to_owned()), limit: 100, ..RunFilter::default() };
    let runs = house.work.runs(filter).await.map_err(failed)?;
    Ok(runs.into_iter().find(|run| run.params == *params).map(|run| run.id))
}

/// Follows the run to its end, with progress on standard error.
pub(crate) async fn follow(house: &House, run: &str, say: impl Fn(&str)) -> Result<RunStatus, CommandError> {
    let bar = progress_bar();
    let mut announced = BTreeSet::new();
    let mut changes = house.ledger.changes();
    let mut troubled_since = None;
    loop {
        changes.borrow_and_update();
        if let Some(trouble) = house.work.trouble() {
            // A server waits for better times; somebody at a command line wants to know.
            if troubled_since.get_or_insert_with(Instant::now).elapsed() > TROUBLE {
                bar.finish_and_clear();
                let (message, mend) = trouble.split_once("; ").unwrap_or((&trouble, "see `backlot doctor`"));
                return Err(CommandError::failed(
                    message,
                    format!("{mend}; the same command goes on where this one stopped"),
                ));
            }
        } else {
            troubled_since = None;
        }
        let status = house.work.run(run).await.map_err(failed)?;
        let steps = house.work.steps(run).await.map_err(failed)?;
        let mut at_work = Vec::new();
        for step in &steps {
            if step.state == StepState::Running && step.tasks.total > 0 {
                at_work.push(format!("{} {}/{}", step.name, step.tasks.succeeded, step.tasks.total));
            }
            let ended = matches!(step.state, StepState::Succeeded | StepState::Failed);
            if ended && announced.insert(step.name.clone()) {
                let again = if step.tasks.cached > 0 {
                    format!(", {} reused", step.tasks.cached)
                } else {
                    String::new()
                };
                let line = format!("  {:<13} {} ({} tasks{again})", step.name, step.state, step.tasks.total);
                bar.suspend(|| say(&line));
            }
        }
        bar.set_length(status.tasks.total.max(1) as u64);
        bar.set_position(status.tasks.succeeded as u64);
        bar.set_message(at_work.join(" · "));
        if status.state.is_final() {
            bar.finish_and_clear();
            return Ok(status);
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
        tokio::time::sleep(LOOK).await;
    }
}

fn progress_bar() -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(1), target).with_style(style)
}

/// Prints the end of the premiere; writes the package when asked to. `address` is the console's, when one is served.
pub(crate) async fn conclude(
    matches: &ArgMatches,
    context: &CommandContext,
    house: &House,
    status: &RunStatus,
    address: Option<&str>,
) -> Result<ExitCode, CommandError> {
    if status.state != RunState::Succeeded {
        let error = status.error.clone().unwrap_or_else(|| format!("the premiere was {}", status.state));
        let (message, mend) = match error.rsplit_once("; ") {
            Some((message, mend)) => (message.to_owned(), mend.to_owned()),
            None => (error, format!("see `backlot logs {}`", status.id)),
        };
        return Err(CommandError::failed(message, mend));
    }
    let report = report(house, status).await.map_err(failed)?;
    if let Some(directory) = matches.get_one::<PathBuf>("out") {
        export(house, status, &report, directory).await?;
    }
    let link = address.map(|address| format!("{address}/titles/{}", status.id));
    let out = matches.get_one::<PathBuf>("out");
    let has_notebook = premiere_report::notebook(house, status).await.map_err(failed)?.is_some();
    let notebook =
        has_notebook.then(|| premiere_report::place(out.map(PathBuf::as_path), address, &status.id));
    match context.format {
        OutputFormat::Json => context
            .print(&json!({"report": report, "url": link, "out": out, "notebook": notebook}), |_| {
                String::new()
            })?,
        OutputFormat::Text => context.print(&report, |report| {
            let mut text = summary(report, status, link.as_deref(), out);
            if let Some(notebook) = &notebook {
                text.push_str(&format!("{:<9} {notebook}\n", "notebook"));
            }
            text
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(report: &Report, status: &RunStatus, link: Option<&str>, out: Option<&PathBuf>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<9} {value}\n"));
    if let Some(probe) = &report.probe {
        line(
            "title",
            format!(
                "{}, {}, {:.2} s, {} frames, {} shots",
                report.name,
                probe.size,
                probe.duration,
                probe.frames,
                report.shots.len()
            ),
        );
    }
    if let Some(title) = &report.title {
        for rung in &title.ladder {
            line(
                "rung",
                format!(
                    "{:<18} {:>8.0} kbit/s  {}PSNR {:.2} dB  SSIM {:.4}",
                    rung.name,
                    rung.rate / 1000.0,
                    rung.vmaf.map_or_else(String::new, |vmaf| format!("VMAF {vmaf:.2}  ")),
                    rung.psnr,
                    rung.ssim
                ),
            );
        }
        for saving in &title.savings {
            if let Some(mean) = saving.mean {
                line(
                    "saving",
                    format!(
                        "{} {:+.1} % bits against the fixed ladder at equal {}",
                        saving.codec.encoder(),
                        mean * 100.0,
                        title.model.as_deref().unwrap_or_else(|| title.metric.name())
                    ),
                );
            }
        }
    }
    for per_shot in report.title.iter().flat_map(|title| &title.per_shot) {
        if let Some(bd_rate) = per_shot.bd_rate {
            let encoder = per_shot.codec.encoder();
            line(
                "per shot",
                format!(
                    "{encoder} {:+.1} % bits (BD-rate) against the best of one CRF for all shots",
                    bd_rate * 100.0
                ),
            );
        }
    }
    if status.tasks.cached > 0 {
        line("reused", format!("{} of {} tasks", status.tasks.cached, status.tasks.total));
    }
    if let Some(out) = out {
        line("package", format!("{}", out.join("master.m3u8").display()));
    }
    match link {
        Some(link) => line("report", link.to_owned()),
        None => line("report", format!("start `backlot up` and open /titles/{}", status.id)),
    }
    text
}

/// Writes the package's files and the report; the directory appears only when it is complete.
async fn export(
    house: &House,
    status: &RunStatus,
    report: &Report,
    directory: &Path,
) -> Result<(), CommandError> {
    let fail = |error: String| {
        CommandError::failed(
            format!("cannot write {}: {error}", directory.display()),
            "give --out a new directory on a disk with room",
        )
    };
    if directory.exists() {
        return Err(fail("it exists already".to_owned()));
    }
    let mut partial = directory.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let _ = std::fs::remove_dir_all(&partial); // of an export that was interrupted
    let result = async {
        std::fs::create_dir_all(&partial).map_err(|error| error.to_string())?;
        for file in &report.files {
            let path = partial.join(&file.path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(|error| error.to_string())?;
            }
            house.store.fetch_to(&file.file.digest, &path).await.map_err(|error| error.to_string())?;
        }
        let text = serde_json::to_vec_pretty(report).map_err(|error| error.to_string())?;
        std::fs::write(partial.join("report.json"), text).map_err(|error| error.to_string())?;
        premiere_report::export(house, status, &partial).await?;
        std::fs::rename(&partial, directory).map_err(|error| error.to_string())
    }
    .await;
    result.map_err(|error: String| {
        let _ = std::fs::remove_dir_all(&partial);
        fail(error)
    })
}

fn failed(error: backlot_work::Error) -> CommandError {
    CommandError::failed(error.to_string(), "see `backlot doctor`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_composition_is_sound_and_its_kinds_are_registered() {
        let spec = spec();
        spec.check().unwrap();
        let media = backlot_media::Media::default();
        let kinds: BTreeSet<String> =
            backlot_department::Department::kinds(&media).iter().map(|kind| kind.name().to_owned()).collect();
        for step in &spec.steps {
            assert!(kinds.contains(step.kind_name()), "{}", step.kind_name());
        }
    }
}
