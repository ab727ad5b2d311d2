//! `backlot signals explain`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError, House};
use backlot_work::{BlobRef, RunState, SubmitOptions, Worker, WorkerOptions};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Map, Value, json};

use crate::kinds::{report, spec};
use crate::{Asked, Error, Explanation, Table, TableReader, explain, text};

pub(crate) fn command() -> Command {
    Command::new("signals")
        .about("Analyses of signals: which of a thousand metrics explains an alert")
        .subcommand_required(true)
        .subcommand(
            Command::new("explain")
                .about("Tells what changed around an alert, in what order, and what moved together")
                .long_about(
                    "Tells which signals of a table changed around an alert, when, in what order, and what moved together.\n\nThe table is CSV: a line of \
                     names, the first of which is the time; then one line for each point. Without --submit this process computes; with it, \
                     the workers of the home do, and the answer is the same to the byte.",
                )
                .arg(Arg::new("table").value_name("CSV").required(true).value_parser(value_parser!(PathBuf)).help("The signals"))
                .arg(Arg::new("alert").long("alert").value_name("SIGNAL").required(true).help("The signal that alerted"))
                .arg(Arg::new("at").long("at").value_name("TIME").help("When it fired: RFC 3339 or seconds since 1970; the table's end unless given"))
                .arg(span("before", "How long before the alert causes are looked for; 60 points unless given"))
                .arg(span("after", "How long after it; 30 points unless given"))
                .arg(span("lags", "The longest lag of correlations; as --before unless given"))
                .arg(span("season", "After how long signals repeat; a day unless given, if the table holds three"))
                .arg(Arg::new("rate").long("rate").value_name("SHARE").value_parser(value_parser!(f64)).default_value("0.05").help("The share of false discoveries, at most"))
                .arg(Arg::new("out").long("out").value_name("FOLDER").value_parser(value_parser!(PathBuf)).help("Also write explanation.json, timeline.txt, figure.json and figure.svg there"))
                .arg(Arg::new("threads").long("threads").value_name("N").value_parser(value_parser!(NonZeroUsize)).help("Threads; as many as there are processors unless given"))
                .arg(Arg::new("submit").long("submit").action(ArgAction::SetTrue).conflicts_with("threads").help("Hand the work to the home's workers, before any batch analysis")),
        )
}

fn span(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("SPAN").help(help)
}

pub(crate) async fn run(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    match matches.subcommand() {
        Some(("explain", matches)) => run_explain(matches, context).await,
        _ => Err(CommandError::usage("`signals` needs a subcommand", "see `backlot signals --help`")),
    }
}

async fn run_explain(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let path = matches.get_one::<PathBuf>("table").cloned().unwrap_or_default();
    let asked = asked(matches)?;
    let (explanation, mut reader) = if matches.get_flag("submit") {
        submitted(context, &path, &asked).await?
    } else {
        let threads = matches
            .get_one::<NonZeroUsize>("threads")
            .copied()
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN);
        let computed = tokio::task::spawn_blocking(move || -> Result<_, Error> {
            let text = std::fs::read_to_string(&path).map_err(at("read", &path))?;
            let table = Table::from_csv(&text)?;
            let explanation = explain(&table, &asked, threads)?;
            let reader = TableReader::open(std::io::Cursor::new(table.to_bytes()))?;
            Ok((explanation, reader))
        });
        computed
            .await
            .map_err(|error| CommandError::failed(error.to_string(), "please report this"))?
            .map_err(refuse)?
    };
    if let Some(folder) = matches.get_one::<PathBuf>("out") {
        write_files(folder, &explanation, &mut reader).map_err(refuse)?;
    }
    context.print(&explanation, text::timeline)?;
    Ok(ExitCode::SUCCESS)
}

fn asked(matches: &ArgMatches) -> Result<Asked, CommandError> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let span = |name: &str| {
        text(name)
            .map(|text| {
                text.parse().map_err(|error: String| {
                    CommandError::usage(format!("--{name}: {error}"), "write for example 90m")
                })
            })
            .transpose()
    };
    Ok(Asked {
        alert: text("alert").unwrap_or_default(),
        at: text("at"),
        before: span("before")?,
        after: span("after")?,
        lags: span("lags")?,
        season: span("season")?,
        rate: matches.get_one::<f64>("rate").copied().unwrap_or(0.05),
    })
}

type Answer = (Explanation, TableReader<std::io::Cursor<Vec<u8>>>);

/// Hands the work to the home's workers, or does it here where none lives, and reads the answer from the store.
async fn submitted(context: &CommandContext, path: &Path, asked: &Asked) -> Result<Answer, CommandError> {
    let house = context.open_house().await?;
    let failed =
        |error: &dyn std::fmt::Display| CommandError::failed(error.to_string(), "see `backlot doctor`");
    let blob = house.store.put_file(path).await.map_err(|error| failed(&error))?;
    let csv = BlobRef { digest: blob.digest, size: blob.size, media_type: "text/csv".to_owned() };
    let params = Map::from_iter([("csv".to_owned(), json!(csv)), ("asked".to_owned(), json!(asked))]);
    let options = SubmitOptions { by: "signals".to_owned(), ..SubmitOptions::default() };
    let run = house
        .work
        .submit(spec(), params, options, Some(&house.kinds))
        .await
        .map_err(|error| failed(&error))?;
    let now = house.ledger.now();
    let workers = house.work.workers().await.map_err(|error| failed(&error))?;
    let is_alive = workers.iter().any(|worker| worker.state == "alive" && worker.alive_until > now);
    let own = if is_alive {
        None
    } else {
        let options = WorkerOptions::new(house.home.join("scratch"));
        Some(Worker::start(&house.work, house.kinds.clone(), options).await.map_err(|error| failed(&error))?)
    };
    let ended = house.work.wait(&run).await;
    if let Some(worker) = own {
        worker.stop().await;
    }
    let ended = ended.map_err(|error| failed(&error))?;
    if ended.state != RunState::Succeeded {
        let why = ended.error.unwrap_or_else(|| ended.state.to_string());
        return Err(CommandError::failed(why, format!("see `backlot runs show {run}`")));
    }
    let explanation = fetch(&house, &run, "conclude", "explanation").await?;
    let table = fetch(&house, &run, "table", "table").await?;
    let explanation = serde_json::from_slice(&explanation).map_err(|error| failed(&error))?;
    Ok((explanation, TableReader::open(std::io::Cursor::new(table)).map_err(refuse)?))
}

/// As large as a table may be.
const MOST_BYTES: u64 = 16 << 30;

async fn fetch(house: &House, run: &str, step: &str, output: &str) -> Result<Vec<u8>, CommandError> {
    let failed =
        |error: &dyn std::fmt::Display| CommandError::failed(error.to_string(), "see `backlot doctor`");
    let outputs: Value = house.work.outputs(run, step).await.map_err(|error| failed(&error))?;
    let blob = BlobRef::from_value(&outputs[output])
        .ok_or_else(|| failed(&format!("the step {step} of run {run} has no {output}")))?;
    Ok(house.store.get(&blob.digest, MOST_BYTES).await.map_err(|error| failed(&error))?.to_vec())
}

fn write_files<R: std::io::Read + std::io::Seek>(
    folder: &Path,
    explanation: &Explanation,
    reader: &mut TableReader<R>,
) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(at("make", folder))?;
    let mut report = report(reader, explanation)?;
    for (name, file) in [
        ("explanation", "explanation.json"),
        ("timeline", "timeline.txt"),
        ("figure", "figure.json"),
        ("figure_light", "figure.svg"),
    ] {
        let path = folder.join(file);
        let (content, _) = report.files.remove(name).unwrap_or_default();
        std::fs::write(&path, content).map_err(at("write", &path))?;
    }
    Ok(())
}

fn at<'a>(action: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> Error + 'a {
    move |error| Error::File { action, path: path.to_owned(), reason: error.to_string() }
}

/// The errors name their mend in their own text.
fn refuse(error: Error) -> CommandError {
    let text = error.to_string();
    let (message, mend) = text.rsplit_once("; ").unwrap_or((&text, "see `backlot signals explain --help`"));
    CommandError::usage(message, mend)
}
