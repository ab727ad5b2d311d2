//! A house with this department, and a table with a known cause.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use backlot_department::{Config, Department, Error, House, Services};
use backlot_ledger::Ledger;
use backlot_series::{Grid, Series, Source, SourceError, Tags};
use backlot_signals::{Asked, Signals, Table};
use backlot_signals_kernels::incident::{Incident, Plan};
use backlot_store::Store;
use backlot_work::{BlobRef, SubmitOptions, Worker, WorkerOptions};
use serde_json::{Map, json};

/// Step of the table: five minutes, so that a day is a season of 288 points.
pub(crate) const STEP: usize = 300;

pub(crate) struct Lot {
    pub(crate) house: House,
    pub(crate) home: tempfile::TempDir,
}

impl Lot {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { house: open(home.path()), home }
    }

    pub(crate) async fn worker(&self, number: usize) -> Worker {
        let mut options = WorkerOptions::new(self.home.path().join(format!("scratch-{number}")));
        options.name = format!("worker-{number}");
        options.cpus = 1.0;
        Worker::start(&self.house.work, self.house.kinds.clone(), options).await.unwrap()
    }

    /// Submits without reuse of earlier results.
    pub(crate) async fn submit(&self, table: impl Into<Vec<u8>>, asked: &Asked) -> String {
        let blob = self.house.store.put(table.into()).await.unwrap();
        let source = BlobRef { digest: blob.digest, size: blob.size, media_type: "text/csv".to_owned() };
        let params =
            Map::from_iter([("source".to_owned(), json!(source)), ("asked".to_owned(), json!(asked))]);
        let options = SubmitOptions { no_cache: true, ..SubmitOptions::default() };
        let spec = backlot_signals::kinds::spec();
        self.house.work.submit(spec, params, options, Some(&self.house.kinds)).await.unwrap()
    }

    pub(crate) async fn blob(&self, run: &str, name: &str) -> BlobRef {
        let outputs = self.house.work.outputs(run, "conclude").await.unwrap();
        BlobRef::from_value(&outputs[name]).unwrap()
    }
}

/// A house with metrics that show an incident; see [`Metrics`].
pub(crate) fn open(home: &Path) -> House {
    open_with(home, "sqlite::memory:", Config::default(), Box::new(Signals::default()))
}

pub(crate) fn open_with(home: &Path, ledger: &str, config: Config, signals: Box<dyn Department>) -> House {
    let ledger = Ledger::open(ledger).unwrap();
    let store = Store::open(&format!("file://{}/blobs", home.display())).unwrap();
    let departments: [Box<dyn Department>; 2] = [Box::new(Metrics), signals];
    let house = House::open(home, config, store, ledger, &departments).unwrap();
    // What `House::start` does, for code that is not async.
    let starting = house.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(starting.start(&departments)).unwrap();
    })
    .join()
    .unwrap();
    house
}

/// A department that keeps metrics: `alert` is one series, `all` many with a known cause, `none` nothing; the incident's step is a minute, and its
/// alert fires at [`fired_ms`].
pub(crate) struct Metrics;

impl Department for Metrics {
    fn name(&self) -> &'static str {
        "metrics"
    }

    fn summary(&self) -> &'static str {
        "An incident"
    }

    fn offer(&self, services: &mut Services) -> Result<(), Error> {
        services.offer::<dyn Source>(Arc::new(Metrics))
    }
}

pub(crate) const MINUTE_MS: i64 = 60_000;

pub(crate) fn live_incident() -> Incident {
    Plan { signals: 60, points: 900, ..Plan::default() }.make(11)
}

/// When the live incident's alert fires: a quarter of an hour ago, so that what is known after it is there.
pub(crate) fn fired_ms(now_micros: i64) -> i64 {
    (now_micros / 1000 / MINUTE_MS - 15) * MINUTE_MS
}

#[async_trait]
impl Source for Metrics {
    fn language(&self) -> &'static str {
        "incident"
    }

    async fn fetch(&self, query: &str, grid: Grid) -> Result<Vec<Series>, SourceError> {
        if grid.step != MINUTE_MS {
            return Err(SourceError::Grid { step: grid.step, reason: "it must be 60000 ms".to_owned() });
        }
        let incident = live_incident();
        let now = backlot_ledger::Timestamp::from_system_time(std::time::SystemTime::now());
        let start = fired_ms(now.micros()) - incident.fired as i64 * MINUTE_MS;
        let series = |name: &str, values: &[f64]| {
            let at = |time: i64| usize::try_from((time - start).div_euclid(MINUTE_MS)).ok();
            let value = |time: i64| at(time).and_then(|at| values.get(at)).copied().unwrap_or(f64::NAN);
            Series {
                tags: Tags::new([("name", name), ("app", "www")]),
                values: grid.times().map(value).collect(),
            }
        };
        let all = || incident.names.iter().zip(&incident.signals).map(|(name, values)| series(name, values));
        match query {
            "alert" => Ok(vec![series("starts", &incident.alert)]),
            "all" => Ok(all().collect()),
            "none" => Ok(Vec::new()),
            "down" => Err(SourceError::Unavailable("the store is not open yet".to_owned())),
            other => Err(SourceError::query(other, "there is no such query")),
        }
    }
}

/// The bytes of a table of so many signals, as a store keeps it.
pub(crate) fn table_bytes(incident: &Incident) -> (Table, Vec<u8>) {
    let names = std::iter::once("starts".to_owned()).chain(incident.names.iter().cloned()).collect();
    let signals = std::iter::once(incident.alert.clone()).chain(incident.signals.iter().cloned()).collect();
    let table = Table::new(0, STEP as i64 * 1000, names, signals).unwrap();
    let bytes = table.to_bytes();
    (table, bytes)
}

/// An incident of 700 signals, which are three parts, as CSV.
pub(crate) fn table() -> (Incident, String, Asked) {
    let incident = Plan { signals: 700, points: 900, ..Plan::default() }.make(3);
    let csv = csv(&incident);
    let at = Some((incident.fired * STEP).to_string());
    (incident, csv, Asked { alert: "starts".to_owned(), at, ..Asked::default() })
}

pub(crate) fn csv(incident: &Incident) -> String {
    let mut text = format!("time,starts,{}\n", incident.names.join(","));
    for point in 0..incident.alert.len() {
        write!(text, "{},{}", point * STEP, incident.alert[point]).unwrap();
        for signal in &incident.signals {
            if signal[point].is_nan() {
                text.push(',');
            } else {
                write!(text, ",{}", signal[point]).unwrap();
            }
        }
        text.push('\n');
    }
    text
}
