//! `backlot signals explain`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use backlot_department::{CommandContext, CommandError, House};
use backlot_series::Source;
use backlot_store::Blob;
use backlot_work::{BlobRef, RunState, Span, Worker, WorkerOptions};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::Value;

use crate::changes::{self, ChangesAsked};
use crate::kinds::{self, report};
use crate::live::{Gate, LiveAsked};
use crate::progress::{Progress, told};
use crate::read::Form;
use crate::{Asked, Error, Explanation, Table, TableReader, explain_counted, read, remote, text};

pub(crate) fn command() -> Command {
    Command::new("signals")
        .about("Analyses of signals: which of a thousand metrics explains an alert")
        .subcommand_required(true)
        .subcommand(
            Command::new("explain")
                .about("Tells what changed around an alert, in what order, and what moved together")
                .long_about(
                    "Tells which signals changed around an alert, when, in what order, and what moved together.\n\nThe signals are those of a table, or \
                     those that a query of live metrics gives. A table is CSV (a line of names, the first of which is the time; then one line for each point) or Parquet (a time \
                     and a column for each signal, or a time, texts and a value). Without --submit this process computes; with it, \
                     the workers of the home do, and the answer is the same to the byte.\n\nLive metrics are asked for by --alert-query and --query, in the language of the \
                     house's metrics (Atlas stack expressions). The running server fetches them and its workers compute.",
                )
                .arg(Arg::new("table").value_name("TABLE").value_parser(value_parser!(PathBuf)).help("The signals, CSV or Parquet"))
                .arg(Arg::new("alert").long("alert").value_name("SIGNAL").requires("table").help("The signal of the table that alerted"))
                .arg(Arg::new("query").long("query").value_name("QUERY").conflicts_with("table").requires("alert-query").help("The candidates among live metrics: `nf.app,www,:eq,:all`"))
                .arg(Arg::new("alert-query").long("alert-query").value_name("QUERY").requires("query").help("The signal that alerted, among live metrics: `name,errors,:eq,:sum`"))
                .arg(Arg::new("at").long("at").value_name("TIME").help("When it fired: RFC 3339 or seconds since 1970; the table's end, or now, unless given"))
                .arg(span("before", "How long before the alert causes are looked for; 60 points unless given"))
                .arg(span("after", "How long after it; 30 points unless given"))
                .arg(span("lags", "The longest lag of correlations; as --before unless given"))
                .arg(span("season", "After how long signals repeat; a day unless given, if the signals hold three"))
                .arg(span("step", "The distance of points of live metrics; 1m unless given").requires("query"))
                .arg(span("history", "How long before that live metrics tell what is usual; three days of minutes unless given").requires("query"))
                .arg(Arg::new("rate").long("rate").value_name("SHARE").value_parser(value_parser!(f64)).default_value("0.05").help("The share of false discoveries, at most"))
                .arg(Arg::new("out").long("out").value_name("FOLDER").value_parser(value_parser!(PathBuf)).help("Also write explanation.json, timeline.txt, figure.json and figure.svg there"))
                .arg(Arg::new("threads").long("threads").value_name("N").value_parser(value_parser!(NonZeroUsize)).help("Threads; as many as there are processors unless given"))
                .arg(Arg::new("submit").long("submit").action(ArgAction::SetTrue).conflicts_with("threads").help("Hand the work to the home's workers, before any batch analysis"))
                .group(clap::ArgGroup::new("signals").args(["table", "query"]).required(true)),
        )
        .subcommand(
            Command::new("changes")
                .about("Tells where each signal of a table changes")
                .arg(Arg::new("table").value_name("TABLE").required(true).value_parser(value_parser!(PathBuf)).help("The signals, CSV or Parquet"))
                .arg(Arg::new("signal").long("signal").value_name("SIGNAL").help("Only this one"))
                .arg(Arg::new("model").long("model").value_name("COST").default_value("l2").help("The cost: l1, l2, normal, rbf, cosine, linear, clinear, rank, ml or ar"))
                .arg(Arg::new("min-size").long("min-size").value_name("POINTS").value_parser(value_parser!(usize)).default_value("2").help("The fewest points of a segment"))
                .arg(Arg::new("penalty").long("penalty").value_name("GAIN").value_parser(value_parser!(f64)).help("What a change point must gain; chosen from the noise unless given")),
        )
}

fn span(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("SPAN").help(help)
}

pub(crate) async fn run(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    match matches.subcommand() {
        Some(("explain", matches)) => run_explain(matches, context).await,
        Some(("changes", matches)) => run_changes(matches, context).await,
        _ => Err(CommandError::usage("`signals` needs a subcommand", "see `backlot signals --help`")),
    }
}

async fn run_changes(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let path = matches.get_one::<PathBuf>("table").cloned().unwrap_or_default();
    let usual = ChangesAsked::default();
    let asked = ChangesAsked {
        signal: given(matches, "signal"),
        model: given(matches, "model").unwrap_or(usual.model),
        min_size: matches.get_one("min-size").copied().unwrap_or(usual.min_size),
        penalty: matches.get_one("penalty").copied(),
    };
    let progress = Arc::new(Progress::default());
    let counted = progress.clone();
    let finding = tokio::task::spawn_blocking(move || {
        changes::find(&read::table(&path)?, &asked, processors(), &counted)
    });
    let found = told(finding, progress).await.map_err(|error| failed(&error))?.map_err(refuse)?;
    context.print(&found, |found| changes::text(found))?;
    Ok(ExitCode::SUCCESS)
}

/// Every form of an explanation that is written to a folder: its name, and the file's.
const FORMS: [(&str, &str); 3] =
    [("timeline", "timeline.txt"), ("figure", "figure.json"), ("figure_light", "figure.svg")];

async fn run_explain(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let out = matches.get_one::<PathBuf>("out");
    let answer = match matches.get_one::<PathBuf>("table") {
        Some(path) => from_table(matches, context, path).await?,
        None => from_live(matches, context).await?,
    };
    let explanation = match answer {
        Answer::Here(explanation, mut reader) => {
            if let Some(folder) = out {
                write_files(folder, &explanation, &mut reader).map_err(refuse)?;
            }
            *explanation
        }
        Answer::Server(explained) => {
            if let Some(folder) = out {
                let write = |name: &str, content: &[u8]| {
                    let path = folder.join(name);
                    std::fs::write(&path, content).map_err(at("write", &path)).map_err(refuse)
                };
                std::fs::create_dir_all(folder).map_err(at("make", folder)).map_err(refuse)?;
                write("explanation.json", explained.explanation.to_json().as_bytes())?;
                for (form, file) in FORMS {
                    write(file, explained.files.get(form).map_or(&[][..], Vec::as_slice))?;
                }
            }
            explained.explanation
        }
    };
    context.print(&explanation, text::timeline)?;
    Ok(ExitCode::SUCCESS)
}

type Reader = TableReader<std::io::Cursor<Vec<u8>>>;

/// Where the answer was made.
enum Answer {
    /// In this home; with the table, from which figures are drawn.
    Here(Box<Explanation>, Reader),
    /// By a server, which has drawn them.
    Server(remote::Explained),
}

async fn from_table(
    matches: &ArgMatches,
    context: &CommandContext,
    path: &Path,
) -> Result<Answer, CommandError> {
    let asked = asked(matches)?;
    if asked.alert.is_empty() {
        return Err(CommandError::usage("no alert is named", "add --alert SIGNAL"));
    }
    if matches.get_flag("submit") {
        let house = context.open_house().await?;
        let form = read::form(path).map_err(refuse)?;
        let table = house.store.put_file(path).await.map_err(|error| failed(&error))?;
        return submitted(&house, table, form, &asked).await;
    }
    let path = path.to_owned();
    compute(matches, move || read::table(&path), asked).await
}

async fn from_live(matches: &ArgMatches, context: &CommandContext) -> Result<Answer, CommandError> {
    let asked = live_asked(matches)?;
    if let Some(server) = context.server().cloned() {
        let forms: Vec<&'static str> = if matches.contains_id("out") {
            FORMS.iter().map(|(form, _)| *form).collect()
        } else {
            Vec::new()
        };
        let answered = tokio::task::spawn_blocking(move || remote::explain(&server, &asked, &forms)).await;
        return answered.map_err(|error| failed(&error))?.map(Answer::Server);
    }
    let house = context.open_house().await?;
    let source = house.services().get::<dyn Source>().ok_or_else(|| {
        CommandError::failed("no department of this binary keeps metrics", "give a table instead")
    })?;
    let now = house.ledger.now().micros().div_euclid(1000);
    let gathered = Gate::default().gather(&*source, &asked, now).await.map_err(refuse)?;
    if matches.get_flag("submit") {
        let table = house.store.put(gathered.table.to_bytes()).await.map_err(|error| failed(&error))?;
        return submitted(&house, table, Form::Own, &gathered.asked).await;
    }
    compute(matches, move || Ok(gathered.table), gathered.asked).await
}

/// Computes in this process.
async fn compute(
    matches: &ArgMatches,
    table: impl FnOnce() -> Result<Table, Error> + Send + 'static,
    asked: Asked,
) -> Result<Answer, CommandError> {
    let threads = matches.get_one::<NonZeroUsize>("threads").copied().unwrap_or_else(processors);
    let is_drawn = matches.contains_id("out");
    let progress = Arc::new(Progress::default());
    let counted = progress.clone();
    let computed = tokio::task::spawn_blocking(move || -> Result<_, Error> {
        let table = table()?;
        let explanation = explain_counted(&table, &asked, threads, &counted)?;
        // Only figures need the table again.
        let table = if is_drawn { table } else { Table { signals: Vec::new(), ..table } };
        let reader = TableReader::open(std::io::Cursor::new(table.to_bytes()))?;
        Ok(Answer::Here(Box::new(explanation), reader))
    });
    told(computed, progress).await.map_err(|error| failed(&error))?.map_err(refuse)
}

fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn failed(error: &dyn std::fmt::Display) -> CommandError {
    CommandError::failed(error.to_string(), "see `backlot doctor`")
}

fn given(matches: &ArgMatches, name: &str) -> Option<String> {
    matches.get_one::<String>(name).cloned()
}

fn span_of(matches: &ArgMatches, name: &str) -> Result<Option<Span>, CommandError> {
    given(matches, name)
        .map(|text| {
            text.parse().map_err(|error: String| {
                CommandError::usage(format!("--{name}: {error}"), "write for example 90m")
            })
        })
        .transpose()
}

fn asked(matches: &ArgMatches) -> Result<Asked, CommandError> {
    Ok(Asked {
        alert: given(matches, "alert").unwrap_or_default(),
        at: given(matches, "at"),
        before: span_of(matches, "before")?,
        after: span_of(matches, "after")?,
        lags: span_of(matches, "lags")?,
        season: span_of(matches, "season")?,
        rate: matches.get_one::<f64>("rate").copied().unwrap_or(0.05),
    })
}

fn live_asked(matches: &ArgMatches) -> Result<LiveAsked, CommandError> {
    let Asked { at, before, after, lags, season, rate, .. } = asked(matches)?;
    Ok(LiveAsked {
        alert: given(matches, "alert-query").unwrap_or_default(),
        candidates: given(matches, "query").unwrap_or_default(),
        at,
        before,
        after,
        lags,
        season,
        rate,
        step: span_of(matches, "step")?,
        history: span_of(matches, "history")?,
        ..LiveAsked::default()
    })
}

/// Hands the work to the home's workers, or does it here where none lives, and reads the answer from the store.
async fn submitted(house: &House, table: Blob, form: Form, asked: &Asked) -> Result<Answer, CommandError> {
    let run = kinds::submit(house, table, form, asked, None).await.map_err(|error| failed(&error))?;
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
    let explanation = fetch(house, &run, "conclude", "explanation").await?;
    let table = fetch(house, &run, "table", "table").await?;
    let explanation = serde_json::from_slice(&explanation).map_err(|error| failed(&error))?;
    let reader = TableReader::open(std::io::Cursor::new(table)).map_err(refuse)?;
    Ok(Answer::Here(explanation, reader))
}

/// As large as a table may be.
const MOST_BYTES: u64 = 16 << 30;

async fn fetch(house: &House, run: &str, step: &str, output: &str) -> Result<Vec<u8>, CommandError> {
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
    for (name, file) in [("explanation", "explanation.json")].into_iter().chain(FORMS) {
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
    let (message, mend) = error.halves();
    match error {
        Error::Unavailable(_) => CommandError::new(CommandError::UNREACHABLE, message, mend),
        Error::Busy(_) => CommandError::failed(message, mend),
        _ => CommandError::usage(message, mend),
    }
}
