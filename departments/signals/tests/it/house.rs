//! A house with this department, and a table with a known cause.

use std::fmt::Write as _;
use std::path::Path;

use backlot_department::{Config, Department, House};
use backlot_ledger::Ledger;
use backlot_signals::{Asked, Signals};
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
    pub(crate) async fn submit(&self, csv: &str, asked: &Asked) -> String {
        let blob = self.house.store.put(csv.to_owned()).await.unwrap();
        let csv = BlobRef { digest: blob.digest, size: blob.size, media_type: "text/csv".to_owned() };
        let params = Map::from_iter([("csv".to_owned(), json!(csv)), ("asked".to_owned(), json!(asked))]);
        let options = SubmitOptions { no_cache: true, ..SubmitOptions::default() };
        let spec = backlot_signals::kinds::spec();
        self.house.work.submit(spec, params, options, Some(&self.house.kinds)).await.unwrap()
    }

    pub(crate) async fn blob(&self, run: &str, name: &str) -> BlobRef {
        let outputs = self.house.work.outputs(run, "conclude").await.unwrap();
        BlobRef::from_value(&outputs[name]).unwrap()
    }
}

pub(crate) fn open(home: &Path) -> House {
    let ledger = Ledger::open("sqlite::memory:").unwrap();
    let store = Store::open(&format!("file://{}/blobs", home.display())).unwrap();
    let departments: [Box<dyn Department>; 1] = [Box::new(Signals)];
    House::open(home, Config::default(), store, ledger, &departments).unwrap()
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
