//! The command `backlot archer`: run a job, list jobs and runs, fetch results.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use backlot_department::{CommandContext, CommandError, House};
use backlot_frames::Rate;
use backlot_store::{Digest, Store};
use backlot_work::{
    BlobRef, MAX_PAGE, RunFilter, RunState, RunStatus, SubmitOptions, TaskFilter, TaskState, Worker,
    WorkerOptions,
};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::durable::{self, Delivery, Outcome, Submission, result_bytes};
use crate::host::Failure;
use crate::local::{Listener, LocalRun};
use crate::media::Media;
use crate::native::Natives;
use crate::python::{self, PythonJob};
use crate::{Crop, Encoding, Job, Scale, Split};

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(150);

/// Failed tasks that are named at the end.
const MOST_FAILURES: u32 = 5;

/// A job is a person's text; what is larger is something else.
const MOST_JOB_BYTES: u64 = 4 << 20;

/// What shells use for a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// The command line.
pub fn command() -> Command {
    let out = Arg::new("out")
        .long("out")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .help("Write result.json and the job's files there; DIR must not exist");
    Command::new("archer")
        .about("Split, map and collect over the frames of a clip")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("run")
                .about("Runs a job on a clip")
                .long_about(
                    "Runs a job on a clip and follows it to its end.\n\nJOB is a file (TOML, JSON, or Python that ends with archer.main()) or \
                     the name of a shipped job. CLIP is a file, or store:NAME of one in the store. Where no worker is alive the command \
                     works itself. With --local nothing is kept: no ledger, no store, the same result.",
                )
                .arg(Arg::new("job").value_name("JOB").required(true).help("A job's file, or the name of a shipped job"))
                .arg(Arg::new("clip").value_name("CLIP").required(true).help("Any file that ffmpeg can read, or store:NAME"))
                .arg(Arg::new("param").short('p').long("param").value_name("NAME=VALUE").action(ArgAction::Append).help("A parameter of the job"))
                .arg(Arg::new("split").long("split").value_name("SPLIT").value_parser(split_of).help("shots, whole, frames=N or seconds=S, instead of the job's own"))
                .arg(Arg::new("encoding").long("encoding").value_name("FORMAT").value_parser(["png", "jpeg", "raw"]).help("Deliver frames like this"))
                .arg(Arg::new("crop").long("crop").value_name("WxH+X+Y").value_parser(crop_of).help("Deliver only this part of the picture"))
                .arg(Arg::new("scale").long("scale").value_name("WxH").value_parser(scale_of).help("Deliver frames of this size; one side may be left out: 320x"))
                .arg(Arg::new("format").long("format").value_name("PIXELS").help("Deliver frames in this pixel format: gray, rgb24, yuv420p10le"))
                .arg(Arg::new("every").long("every").value_name("N").value_parser(value_parser!(u64).range(1..)).help("Deliver only each Nth frame"))
                .arg(Arg::new("fps").long("fps").value_name("RATE").value_parser(|text: &str| text.parse::<Rate>().map_err(|error| error.to_string())).help("Make the frame rate constant: 25, 30000/1001"))
                .arg(Arg::new("local").long("local").action(ArgAction::SetTrue).help("Run in this process; nothing is kept"))
                .arg(Arg::new("jobs").short('j').long("jobs").value_name("N").requires("local").value_parser(value_parser!(u64).range(1..=4096)).help("With --local: parts at work at once; one for each processor unless said"))
                .arg(Arg::new("no-cache").long("no-cache").action(ArgAction::SetTrue).conflicts_with("local").help("Do not reuse earlier results"))
                .arg(Arg::new("detach").short('d').long("detach").action(ArgAction::SetTrue).conflicts_with_all(["local", "out"]).help("Submit, print the id, and leave"))
                .arg(out.clone()),
        )
        .subcommand(Command::new("jobs").about("Lists the jobs that are shipped"))
        .subcommand(
            Command::new("show")
                .about("Shows what a job is: its parameters, split, frames and limits")
                .arg(Arg::new("job").value_name("JOB").required(true)),
        )
        .subcommand(Command::new("runs").about("Lists runs of Archer, and whether their clip was delivered anew since"))
        .subcommand(
            Command::new("result")
                .about("Prints a run's result, or writes it with its files")
                .arg(Arg::new("run").value_name("RUN").required(true))
                .arg(out),
        )
}

/// Runs `backlot archer`. `media` decodes for local runs.
pub async fn run(
    matches: &ArgMatches,
    context: &CommandContext,
    media: Arc<dyn Media>,
    natives: Natives,
) -> Result<ExitCode, CommandError> {
    match matches.subcommand() {
        Some(("run", matches)) if matches.get_flag("local") => {
            run_here(matches, context, media, natives).await
        }
        Some(("run", matches)) => run_durably(matches, context, &natives).await,
        Some(("jobs", _)) => {
            let jobs: Vec<Job> = natives.all().map(|native| native.job()).collect();
            context.print(&jobs, |jobs| {
                let line = |job: &Job| format!("{:<16} {}", job.name, job.description);
                jobs.iter().map(line).collect::<Vec<_>>().join("\n")
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Some(("show", matches)) => {
            let loaded = load(text(matches, "job"), &natives).await?;
            context.print(&loaded.job, |job| toml::to_string(job).unwrap_or_default())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(("runs", _)) => list_runs(context).await,
        Some(("result", matches)) => {
            let house = context.open_house().await?;
            let status = house.work.run(text(matches, "run")).await.map_err(failed)?;
            conclude(matches, context, &house, &status).await
        }
        _ => Err(CommandError::usage("which one?", "see `backlot archer --help`")),
    }
}

/// A job, the directory that its files are seen from, and what must live until they are taken.
struct Loaded {
    job: Job,
    base: PathBuf,
    _python: Option<PythonJob>,
}

async fn load(named: &str, natives: &Natives) -> Result<Loaded, CommandError> {
    let path = Path::new(named);
    let base =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let wrong = |error: crate::JobError| {
        CommandError::usage(format!("the job {named}: {error}"), "see docs/archer.md")
    };
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("py") if path.is_file() => {
            let python = python::describe(path).await.map_err(wrong)?;
            Ok(Loaded { job: python.job.clone(), base, _python: Some(python) })
        }
        Some("toml" | "json") => {
            let unreadable = |reason: String| {
                CommandError::usage(
                    format!("the job {named} cannot be read: {reason}"),
                    "give the path of a job's file",
                )
            };
            let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
            if size > MOST_JOB_BYTES {
                return Err(unreadable(format!("{size} bytes are too many for a job")));
            }
            let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
            let is_json = path.extension().is_some_and(|ending| ending == "json");
            let job = if is_json { Job::from_json(&text) } else { Job::from_toml(&text) };
            Ok(Loaded { job: job.map_err(wrong)?, base, _python: None })
        }
        _ => match natives.get(named) {
            Ok(native) => Ok(Loaded { job: native.job(), base, _python: None }),
            Err(_) => {
                let known: Vec<String> = natives.all().map(|native| native.job().name).collect();
                Err(CommandError::usage(
                    format!("there is no job `{named}`"),
                    format!("give a job's file (.toml, .json, .py) or one of {}", known.join(", ")),
                ))
            }
        },
    }
}

/// The job with what the command line says in place of its own, and its parameters.
async fn prepare(
    matches: &ArgMatches,
    natives: &Natives,
) -> Result<(Loaded, Map<String, Value>), CommandError> {
    let mut loaded = load(text(matches, "job"), natives).await?;
    let job = &mut loaded.job;
    if let Some(split) = matches.get_one::<Split>("split") {
        job.split = split.clone();
    }
    let asked = ["encoding", "crop", "scale", "format", "every"];
    if asked.iter().any(|name| matches.contains_id(name)) {
        let mut frames = job.frames.clone().unwrap_or_default();
        if let Some(encoding) = matches.get_one::<String>("encoding") {
            let before = frames.encoding;
            frames.encoding = match encoding.as_str() {
                "jpeg" => Encoding::Jpeg,
                "raw" => Encoding::Raw,
                _ => Encoding::Png,
            };
            if frames.encoding != before {
                frames.format = None; // it was chosen for the other encoding
            }
        }
        frames.crop = matches.get_one::<Crop>("crop").copied().or(frames.crop);
        frames.scale = matches.get_one::<Scale>("scale").copied().or(frames.scale);
        frames.format = matches.get_one::<String>("format").cloned().or(frames.format);
        frames.every = matches.get_one::<u64>("every").copied().unwrap_or(frames.every);
        job.frames = Some(frames);
    }
    let wrong =
        |error: crate::JobError| CommandError::usage(error.to_string(), "see `backlot archer show JOB`");
    job.check().map_err(wrong)?;
    let mut given = Map::new();
    for pair in matches.get_many::<String>("param").into_iter().flatten() {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            CommandError::usage(format!("`-p {pair}` has no value"), "write it as -p NAME=VALUE")
        })?;
        given.insert(name.to_owned(), job.param_from_text(name, value).map_err(wrong)?);
    }
    let params = job.bind(given).map_err(wrong)?;
    Ok((loaded, params))
}

async fn run_here(
    matches: &ArgMatches,
    context: &CommandContext,
    media: Arc<dyn Media>,
    natives: Natives,
) -> Result<ExitCode, CommandError> {
    let (loaded, params) = prepare(matches, &natives).await?;
    let clip = text(matches, "clip");
    if clip.starts_with("store:") {
        return Err(CommandError::usage("a local run reads no store", "give a file, or leave --local out"));
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let run = LocalRun {
        job: loaded.job.clone(),
        base: loaded.base.clone(),
        params,
        clip: PathBuf::from(clip),
        fps: matches.get_one::<Rate>("fps").copied(),
        at_once: matches.get_one::<u64>("jobs").map_or(processors, |jobs| *jobs as usize),
    };
    let bar = progress_bar();
    let listener = Arc::new(Shown { bar: bar.clone() });
    let ran = tokio::select! {
        ran = run.run(media, natives, listener) => ran,
        _ = tokio::signal::ctrl_c() => {
            bar.finish_and_clear();
            return Err(CommandError::new(INTERRUPTED, "the job was interrupted", "run it again"));
        }
    };
    bar.finish_and_clear();
    let (made, _scratch) = ran.map_err(|failure| refused(&failure))?;
    if let Some(out) = matches.get_one::<PathBuf>("out") {
        let files =
            made.files.iter().map(|(name, path)| (name.clone(), Content::File(path.clone()))).collect();
        export(out, &made.result, files).await?;
    }
    print_result(context, &made.result)?;
    Ok(ExitCode::SUCCESS)
}

fn refused(failure: &Failure) -> CommandError {
    let text = failure.to_string();
    let (message, mend) = text.rsplit_once("; ").unwrap_or((&text, "see what it printed"));
    CommandError::failed(message, mend)
}

/// Programs' lines on standard error, below a bar.
struct Shown {
    bar: ProgressBar,
}

impl Listener for Shown {
    fn line(&self, who: &str, line: &str) {
        self.bar.suspend(|| eprintln!("{who}: {line}"));
    }

    fn parts(&self, done: usize, of: usize) {
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
    }
}

fn progress_bar() -> ProgressBar {
    let shown = std::io::stderr().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} parts {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(1), target).with_style(style)
}

async fn run_durably(
    matches: &ArgMatches,
    context: &CommandContext,
    natives: &Natives,
) -> Result<ExitCode, CommandError> {
    let (loaded, params) = prepare(matches, natives).await?;
    let house = context.open_house().await?;
    let delivery = Delivery::take(&house.store, text(matches, "clip")).await.map_err(unusable)?;
    let files = durable::take_files(&house.store, &loaded.job, &loaded.base).await.map_err(unusable)?;
    let fps = matches.get_one::<Rate>("fps").copied();
    let submission = Submission { job: loaded.job.clone(), files, params, delivery, fps };
    let user =
        std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "unknown".to_owned());
    let options = SubmitOptions {
        by: format!("cli:{user}"),
        no_cache: matches.get_flag("no-cache"),
        ..SubmitOptions::default()
    };
    let (id, superseded) = submission.submit(&house.work, options).await.map_err(unusable)?;
    for old in superseded {
        eprintln!("run {old} is cancelled: its clip was delivered anew");
    }
    if matches.get_flag("detach") {
        let status = house.work.run(&id).await.map_err(failed)?;
        context.print(&status, |status| status.id.clone())?;
        return Ok(ExitCode::SUCCESS);
    }
    let now = house.ledger.now();
    let others = house.work.workers().await.map_err(failed)?;
    let worker = if others.iter().any(|worker| worker.state == "alive" && worker.alive_until > now) {
        None
    } else {
        let options = WorkerOptions::new(house.home.join("scratch"));
        Some(Worker::start(&house.work, house.kinds.clone(), options).await.map_err(failed)?)
    };
    let followed = tokio::select! {
        followed = follow(&house, &id) => followed.map(Some),
        _ = tokio::signal::ctrl_c() => Ok(None),
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
    conclude(matches, context, &house, &status).await
}

async fn follow(house: &House, id: &str) -> Result<RunStatus, CommandError> {
    let bar = progress_bar();
    let mut changes = house.ledger.changes();
    loop {
        changes.borrow_and_update();
        let status = house.work.run(id).await.map_err(failed)?;
        let steps = house.work.steps(id).await.map_err(failed)?;
        if let Some(map) = steps.iter().find(|step| step.name == "map") {
            bar.set_length(map.tasks.total.max(1) as u64);
            bar.set_position(map.tasks.succeeded.max(0) as u64);
        }
        if status.state.is_final() {
            bar.finish_and_clear();
            return Ok(status);
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
        tokio::time::sleep(LOOK).await;
    }
}

/// Prints the result of a run that succeeded, or why it did not.
async fn conclude(
    matches: &ArgMatches,
    context: &CommandContext,
    house: &House,
    status: &RunStatus,
) -> Result<ExitCode, CommandError> {
    if status.state != RunState::Succeeded {
        let filter =
            TaskFilter { states: vec![TaskState::Failed], limit: MOST_FAILURES, ..TaskFilter::default() };
        for task in house.work.tasks(&status.id, filter).await.map_err(failed)? {
            eprintln!(
                "{}/{}: {}",
                task.step,
                task.index,
                task.error.as_deref().unwrap_or("no reason was given")
            );
        }
        let why = status.error.clone().unwrap_or_else(|| format!("it is {}", status.state));
        return Err(CommandError::failed(
            format!("run {} of {}: {why}", status.id, status.name),
            format!("see `backlot tasks {}` and `backlot logs {}/map/N`", status.id, status.id),
        ));
    }
    let outcome = durable::outcome(&house.work, status).await.map_err(unusable)?;
    if let Some(out) = matches.get_one::<PathBuf>("out") {
        write_outcome(house, &outcome, out).await?;
    }
    if status.tasks.cached > 0 {
        eprintln!("run {}: {} of {} tasks reused", status.id, status.tasks.cached, status.tasks.total);
    }
    print_result(context, &outcome.result)?;
    Ok(ExitCode::SUCCESS)
}

/// The same text for people and programs: a result is its job's own, and JSON.
fn print_result(context: &CommandContext, result: &Value) -> Result<(), CommandError> {
    context.write(&String::from_utf8_lossy(&result_bytes(result)))
}

async fn write_outcome(house: &House, outcome: &Outcome, out: &Path) -> Result<(), CommandError> {
    let content = |blob: &BlobRef| Content::Blob(house.store.clone(), blob.digest);
    let files = outcome.files.iter().map(|(name, blob)| (name.clone(), content(blob))).collect();
    export(out, &outcome.result, files).await
}

/// Where a file's bytes are.
enum Content {
    File(PathBuf),
    Blob(Store, Digest),
}

impl Content {
    async fn write_to(self, to: &Path) -> Result<(), String> {
        match self {
            Self::File(path) => std::fs::copy(path, to).map(drop).map_err(|error| error.to_string()),
            Self::Blob(store, digest) => {
                store.fetch_to(&digest, to).await.map(drop).map_err(|error| error.to_string())
            }
        }
    }
}

/// Writes a result and its files; the directory appears only when it is complete.
async fn export(directory: &Path, result: &Value, files: Vec<(String, Content)>) -> Result<(), CommandError> {
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
    let written = async {
        std::fs::create_dir_all(&partial).map_err(|error| error.to_string())?;
        for (name, file) in files {
            let to = partial.join("files").join(name);
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent).map_err(|error| error.to_string())?;
            }
            file.write_to(&to).await?;
        }
        std::fs::write(partial.join("result.json"), result_bytes(result))
            .map_err(|error| error.to_string())?;
        std::fs::rename(&partial, directory).map_err(|error| error.to_string())
    }
    .await;
    written.map_err(|error| {
        let _ = std::fs::remove_dir_all(&partial);
        fail(error)
    })
}

/// A run, as `backlot archer runs` lists it.
#[derive(Serialize)]
struct Listed {
    id: String,
    job: String,
    state: RunState,
    clip: String,
    /// Whether what is at the clip's place now is still what the run looked at.
    delivered: &'static str,
}

async fn list_runs(context: &CommandContext) -> Result<ExitCode, CommandError> {
    let house = context.open_house().await?;
    let filter = RunFilter { limit: MAX_PAGE, ..RunFilter::default() };
    let mut listed = Vec::new();
    let mut newest = std::collections::BTreeMap::new();
    for run in house.work.runs(filter).await.map_err(failed)? {
        let (Some(job), Some(delivery)) = (durable::job_name(&run), durable::delivery(&run)) else {
            continue;
        };
        let last = newest.entry(delivery.origin.clone()).or_insert(delivery.clip.digest);
        let delivered =
            if *last == delivery.clip.digest { here(&house, &delivery).await } else { "anew since" };
        listed.push(Listed {
            id: run.id.clone(),
            job: job.to_owned(),
            state: run.state,
            clip: delivery.origin,
            delivered,
        });
    }
    context.print(&listed, |listed| {
        let line = |run: &Listed| {
            format!(
                "{}  {:<16} {:<10} {:<12} {}",
                run.id,
                run.job,
                run.state.to_string(),
                run.delivered,
                run.clip
            )
        };
        listed.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What is at the clip's place now, told by its size: reading all of every clip would be too much for a list.
async fn here(house: &House, delivery: &Delivery) -> &'static str {
    let size = match delivery.origin.strip_prefix("store:") {
        Some(name) => house.store.head_named(name).await.ok().flatten().map(|info| info.size),
        None => std::fs::metadata(&delivery.origin).ok().map(|metadata| metadata.len()),
    };
    match size {
        None => "gone",
        Some(size) if size != delivery.clip.size => "anew since",
        Some(_) => "as it was",
    }
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}

fn failed(error: backlot_work::Error) -> CommandError {
    CommandError::failed(error.to_string(), "see `backlot doctor`")
}

fn unusable(error: durable::Error) -> CommandError {
    let text = error.to_string();
    let (message, mend) = text.rsplit_once("; ").unwrap_or((&text, "see `backlot doctor`"));
    CommandError::failed(message, mend)
}

fn split_of(text: &str) -> Result<Split, String> {
    let wrong = || format!("`{text}` is no split; write shots, whole, frames=N or seconds=S");
    match text.split_once('=') {
        None if text == "shots" => Ok(Split::Shots),
        None if text == "whole" => Ok(Split::Whole),
        Some(("frames", number)) => number.parse().map(Split::Frames).map_err(|_| wrong()),
        Some(("seconds", number)) => number.parse().map(Split::Seconds).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

fn crop_of(text: &str) -> Result<Crop, String> {
    let wrong = || format!("`{text}` is no rectangle; write WxH+X+Y, such as 640x360+0+180");
    let mut numbers = text.split(['x', '+']).map(|number| number.parse::<u32>().map_err(|_| wrong()));
    let mut next = || numbers.next().unwrap_or_else(|| Err(wrong()));
    let crop = Crop { width: next()?, height: next()?, x: next()?, y: next()? };
    if numbers.next().is_some() { Err(wrong()) } else { Ok(crop) }
}

fn scale_of(text: &str) -> Result<Scale, String> {
    let wrong = || format!("`{text}` is no size; write WxH, Wx or xH");
    let (width, height) = text.split_once('x').ok_or_else(wrong)?;
    let side =
        |text: &str| if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| wrong()) };
    Ok(Scale { width: side(width)?, height: side(height)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_command_line_says_is_read_or_refused() {
        command().debug_assert();
        assert_eq!(split_of("frames=48").unwrap(), Split::Frames(48));
        assert_eq!(split_of("seconds=1.5").unwrap(), Split::Seconds(1.5));
        assert!(split_of("frames").is_err() && split_of("frames=x").is_err());
        assert_eq!(crop_of("64x32+5+6").unwrap(), Crop { width: 64, height: 32, x: 5, y: 6 });
        assert!(crop_of("64x32").is_err() && crop_of("64x32+1+2+3").is_err());
        assert_eq!(scale_of("320x").unwrap(), Scale { width: Some(320), height: None });
        assert_eq!(scale_of("x8").unwrap(), Scale { width: None, height: Some(8) });
        assert!(scale_of("320").is_err());
    }
}
