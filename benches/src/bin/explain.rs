//! From a file of metrics to the explanation of an alert: how long, where the time goes, and how it grows.
//!
//! `cargo xtask bench explain [--quick]`. The metrics are made from a seed (a service graph, delays, noise of four kinds, seasons, missing points, decoys) and written as CSV,
//! as Parquet and in the house's own form, in which live metrics come. Each is then explained as an incident would be: stored, submitted as a run, read, examined in parts by
//! two workers of one processor each, concluded about, drawn. Every answer is compared with that of one thread in one process before a figure counts. Processor time
//! is that of the whole process.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use backlot_benches::house::AnyError;
use backlot_benches::statistics::median;
use backlot_department::{Config, Department, House};
use backlot_ledger::Ledger;
use backlot_signals::read::{self, Form};
use backlot_signals::{Asked, Signals, Table, explain, kinds};
use backlot_signals_kernels::incident::Plan;
use backlot_store::Store;
use backlot_work::{BlobRef, RunState, SubmitOptions, Worker, WorkerOptions};
use clap::Parser;
use parquet::data_type::{DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Map, Value, json};

/// Explanations of alerts.
#[derive(Parser)]
struct Arguments {
    /// Fewer signals and runs: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// How often each is run.
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// Five days of five minutes.
const POINTS: usize = 1440;

/// Seconds from point to point.
const STEP: i64 = 300;

/// What is to be reached: signals, and milliseconds.
const TARGETS: [(usize, f64); 2] = [(1_000, 250.0), (10_000, 2_500.0)];

/// More signals than these are those again under other names: making them takes longer than explaining them.
const MADE: usize = 10_000;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let measured = runtime.map_err(AnyError::from).and_then(|runtime| runtime.block_on(measure()));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    let (runs, most) = if arguments.quick { (1, 3_000) } else { (arguments.runs, 100_000) };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "load before: {}; {} processors",
        load.trim(),
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    let incident = Plan { signals: most.min(MADE), points: POINTS, ..Plan::default() }.make(1);
    println!(
        "\nend to end: file, run, two workers of one processor each; medians of {runs}, every answer equal to one thread's"
    );
    println!(
        "{:>8}  {:24} {:>9} {:>9}   steps: read, examine, conclude",
        "signals", "from", "wall", "processor"
    );
    for (signals, target) in TARGETS.into_iter().filter(|(signals, _)| *signals <= most) {
        let (table, asked) = table(&incident, signals)?;
        let expected = explain(&table, &asked, NonZeroUsize::MIN)?.to_json();
        let forms = [
            ("Parquet", Form::Parquet, parquet(&table)?),
            ("CSV", Form::Csv, csv(&table)),
            ("live (own form)", Form::Own, table.to_bytes()),
        ];
        drop(table);
        for (name, form, bytes) in forms {
            let mut walls = Vec::new();
            let mut cpus = Vec::new();
            let mut steps = String::new();
            for _ in 0..runs {
                let bench = Bench::open().await?;
                let (cpu, began) = (processor_time(), Instant::now());
                let (answer, run) = bench.explain(&bytes, form, &asked).await?;
                walls.push(began.elapsed().as_secs_f64() * 1e3);
                cpus.push((processor_time() - cpu) * 1e3);
                if answer != expected {
                    return Err(
                        format!("{signals} signals from {name} give another answer than one thread").into()
                    );
                }
                steps = bench.steps(&run).await?;
                bench.close().await;
            }
            let (wall, cpu) = (median(&walls), median(&cpus));
            let met = if wall <= target { "met" } else { "MISSED" };
            println!(
                "{signals:>8}  {name:24} {wall:>6.0} ms {cpu:>6.0} ms   {steps}  (target {target:.0} ms: {met})"
            );
        }
    }

    println!("\nhow the cost grows: reading Parquet, and explaining in one process with two threads");
    println!(
        "{:>8} {:>12} {:>12} {:>14} {:>18}",
        "signals", "read", "explain", "processor", "explain per 1,000"
    );
    let two = NonZeroUsize::new(2).unwrap_or(NonZeroUsize::MIN);
    for signals in [1_000, 3_000, 10_000, 30_000, 100_000].into_iter().filter(|signals| *signals <= most) {
        let (table, asked) = table(&incident, signals)?;
        let read_seconds = if signals <= MADE {
            let bytes = parquet(&table)?;
            let began = Instant::now();
            let again = read::table_from(bytes)?;
            let seconds = began.elapsed().as_secs_f64();
            if again.header.names != table.header.names {
                return Err("the Parquet file does not come back".into());
            }
            format!("{:>9.0} ms", seconds * 1e3)
        } else {
            format!("{:>12}", "–")
        };
        let (cpu, began) = (processor_time(), Instant::now());
        let explanation = explain(&table, &asked, two)?;
        let (wall, cpu) = (began.elapsed().as_secs_f64(), processor_time() - cpu);
        if explanation.tested == 0 {
            return Err("nothing was tested".into());
        }
        let per = wall * 1e3 / (signals as f64 / 1e3);
        println!("{signals:>8} {read_seconds} {:>9.0} ms {:>11.0} ms {per:>15.1} ms", wall * 1e3, cpu * 1e3);
    }
    Ok(())
}

/// A table of the incident's first signals, again and again until there are so many, and what is asked about it.
fn table(
    incident: &backlot_signals_kernels::incident::Incident,
    signals: usize,
) -> Result<(Table, Asked), AnyError> {
    let mut names = vec!["starts".to_owned()];
    let mut values = vec![incident.alert.clone()];
    for signal in 0..signals {
        let place = signal % incident.signals.len();
        let round = signal / incident.signals.len();
        names.push(if round == 0 {
            incident.names[place].clone()
        } else {
            format!("{}.{round}", incident.names[place])
        });
        values.push(incident.signals[place].clone());
    }
    let at = Some((incident.fired as i64 * STEP).to_string());
    let asked = Asked { alert: "starts".to_owned(), at, ..Asked::default() };
    Ok((Table::new(0, STEP * 1000, names, values)?, asked))
}

fn csv(table: &Table) -> Vec<u8> {
    use std::fmt::Write as _;
    let mut text = format!("time,{}\n", table.header.names.join(","));
    for point in 0..table.header.points {
        let _ = write!(text, "{}", table.header.time_ms(point) / 1000);
        for signal in &table.signals {
            let value = signal[point];
            let _ = if value.is_nan() { write!(text, ",") } else { write!(text, ",{value}") };
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// As pandas would write it: doubles, a column a signal, snappy.
fn parquet(table: &Table) -> Result<Vec<u8>, AnyError> {
    let mut schema = String::from("message signals { REQUIRED INT64 time (TIMESTAMP(MILLIS, true)); ");
    for name in 0..table.signals.len() {
        schema += &format!("REQUIRED DOUBLE s{name}; ");
    }
    schema.push('}');
    let schema = parse_message_type(&schema)?;
    // The names hold dots, which the text of a schema cannot say.
    let mut fields = schema.get_fields().to_vec();
    for (field, name) in fields.iter_mut().skip(1).zip(&table.header.names) {
        let renamed =
            parquet::schema::types::Type::primitive_type_builder(name, parquet::basic::Type::DOUBLE)
                .with_repetition(parquet::basic::Repetition::REQUIRED)
                .build()?;
        *field = Arc::new(renamed);
    }
    let schema = parquet::schema::types::Type::group_type_builder("signals").with_fields(fields).build()?;
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .set_dictionary_enabled(false)
        .build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let times: Vec<i64> = (0..table.header.points).map(|point| table.header.time_ms(point)).collect();
    if let Some(mut column) = group.next_column()? {
        column.typed::<Int64Type>().write_batch(&times, None, None)?;
        column.close()?;
    }
    for signal in &table.signals {
        if let Some(mut column) = group.next_column()? {
            column.typed::<DoubleType>().write_batch(signal, None, None)?;
            column.close()?;
        }
    }
    group.close()?;
    writer.close()?;
    Ok(bytes)
}

struct Bench {
    house: House,
    workers: Vec<Worker>,
    _home: tempfile::TempDir,
}

impl Bench {
    async fn open() -> Result<Self, AnyError> {
        let home = tempfile::tempdir()?;
        let ledger = Ledger::open(&format!("sqlite://{}/ledger.db", home.path().display()))?;
        let store = Store::open(&format!("file://{}/blobs", home.path().display()))?;
        let departments: [Box<dyn Department>; 1] = [Box::<Signals>::default()];
        let house = House::open(home.path(), Config::default(), store, ledger, &departments)?;
        let mut workers = Vec::new();
        for number in 0..2 {
            let mut options = WorkerOptions::new(home.path().join(format!("scratch-{number}")));
            options.name = format!("worker-{number}");
            options.cpus = 1.0;
            workers.push(Worker::start(&house.work, house.kinds.clone(), options).await?);
        }
        Ok(Self { house, workers, _home: home })
    }

    /// The explanation as JSON, and the run.
    async fn explain(&self, bytes: &[u8], form: Form, asked: &Asked) -> Result<(String, String), AnyError> {
        let blob = self.house.store.put(bytes.to_vec()).await?;
        let source =
            BlobRef { digest: blob.digest, size: blob.size, media_type: form.media_type().to_owned() };
        let params =
            Map::from_iter([("source".to_owned(), json!(source)), ("asked".to_owned(), json!(asked))]);
        let run = self.house.work.submit(kinds::spec(), params, SubmitOptions::default(), None).await?;
        let ended = self.house.work.wait(&run).await?;
        if ended.state != RunState::Succeeded {
            return Err(format!("the run ended as {}: {:?}", ended.state, ended.error).into());
        }
        let outputs: Value = self.house.work.outputs(&run, "conclude").await?;
        let blob = BlobRef::from_value(&outputs["explanation"]).ok_or("the run has no explanation")?;
        let answer = self.house.store.get(&blob.digest, 1 << 30).await?;
        Ok((String::from_utf8(answer.to_vec())?, run))
    }

    /// The milliseconds of each step.
    async fn steps(&self, run: &str) -> Result<String, AnyError> {
        let mut spans = Vec::new();
        for step in self.house.work.steps(run).await? {
            let (Some(started), Some(finished)) = (step.started, step.finished) else { continue };
            spans.push(format!("{:.0}", finished.saturating_since(started).as_secs_f64() * 1e3));
        }
        Ok(format!("{} ms", spans.join(", ")))
    }

    async fn close(self) {
        for worker in self.workers {
            worker.stop().await;
        }
    }
}

/// Seconds that this process has had a processor.
fn processor_time() -> f64 {
    /// The kernel's clock ticks a second in /proc, on every Linux of today.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(Path::new("/proc/self/stat")).unwrap_or_default();
    // The second field is the program's name in parentheses, which may hold anything.
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    (fields.get(11).unwrap_or(&0.0) + fields.get(12).unwrap_or(&0.0)) / TICKS
}
