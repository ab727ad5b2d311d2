//! An alert that fires is explained once, whatever happens meanwhile.

use std::time::Duration;

use backlot_department::{Config, Department, House};
use backlot_events::{Event, NewEvent, Query};
use backlot_signals::Signals;
use backlot_signals::alerts::{EXPLAINED, FIRING, NOT_EXPLAINED};
use backlot_web::testing::in_time;
use backlot_work::RunFilter;
use serde_json::{Value, json};

use crate::house::{Lot, fired_ms, open_with};

const PATIENCE: Duration = Duration::from_secs(60);

fn config(more: Value) -> Config {
    let mut section = json!({ "candidates": "all", "history": "10h", "before": "1h" });
    for (key, value) in more.as_object().unwrap() {
        section[key] = value.clone();
    }
    Config::new(json!({ "signals": section }).as_object().unwrap().clone())
}

/// A house whose ledger is a file, so that a second process can be played.
fn lot(more: Value) -> Lot {
    let home = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/ledger.db", home.path().display());
    let house = open_with(home.path(), &url, config(more), Box::new(Signals::default()));
    Lot { house, home }
}

fn firing(lot: &Lot, name: &str, expression: Option<&str>) -> NewEvent {
    let at = fired_ms(lot.house.ledger.now().micros());
    let starts_at = jiff::Timestamp::from_millisecond(at).unwrap().to_string();
    NewEvent::new("/telemetry/alerts", FIRING).subject(name).data(json!({
        "name": name, "labels": { "app": "www", "severity": "page" }, "annotations": {}, "fingerprint": name,
        "expression": expression, "starts_at": starts_at, "ends_at": null, "value": 1.0, "step_ms": 60_000
    }))
}

/// The events of explanations, once there are so many.
async fn told(lot: &Lot, count: usize) -> Vec<Event> {
    let mut changes = lot.house.ledger.changes();
    tokio::time::timeout(PATIENCE, async {
        loop {
            changes.borrow_and_update();
            let query =
                Query { kind_prefix: Some("backlot.signals.".to_owned()), limit: 500, ..Query::default() };
            let events = lot.house.events.read(query).await.unwrap();
            if events.len() >= count {
                return events;
            }
            let _ = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
        }
    })
    .await
    .unwrap()
}

async fn runs(lot: &Lot) -> usize {
    lot.house.work.runs(RunFilter { limit: 100, ..RunFilter::default() }).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_alerts_makes_one_run_and_every_alert_hears_of_it() {
    let lot = lot(json!({}));
    let signals = Signals::default();
    signals.serve(&lot.house).await.unwrap();
    let worker = lot.worker(0).await;
    let storm: Vec<NewEvent> =
        (0..40).map(|index| firing(&lot, &format!("a{index}"), Some("alert,0.5,:gt"))).collect();
    lot.house.events.publish(&storm).await.unwrap();
    // A repetition of an alert that still fires is no firing of its own.
    lot.house.events.publish(&storm[..5]).await.unwrap();
    let events = told(&lot, 40).await;
    assert_eq!((events.len(), runs(&lot).await), (40, 1));
    let mut subjects: Vec<&str> = events.iter().map(|event| event.subject.as_deref().unwrap()).collect();
    subjects.sort_unstable();
    subjects.dedup();
    assert_eq!(subjects.len(), 40);
    let data = events[0].json().unwrap();
    assert_eq!((events[0].kind.as_str(), events[0].source.as_str()), (EXPLAINED, "/signals"));
    let run = data["run"].as_str().unwrap();
    assert_eq!(data["page"], format!("/signals/{run}"));
    assert!(data["changed"].as_u64().unwrap() > 0 && data["first"][0]["signal"].is_string(), "{data}");
    // The storm goes on: what fires now joins what is explained already.
    lot.house.events.publish(&[firing(&lot, "late", Some("alert"))]).await.unwrap();
    let events = told(&lot, 41).await;
    assert_eq!((events[40].json().unwrap()["run"].as_str().unwrap(), runs(&lot).await), (run, 1));
    worker.stop().await;
    signals.stop(&lot.house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_open_at_a_restart_is_explained_once() {
    let lot = lot(json!({ "together": 0 }));
    let signals = Signals::default();
    signals.serve(&lot.house).await.unwrap();
    lot.house.events.publish(&[firing(&lot, "a", Some("alert"))]).await.unwrap();
    // No worker lives: the run is submitted and stays.
    let mut changes = lot.house.ledger.changes();
    in_time("the run", async {
        while runs(&lot).await == 0 {
            let _ = tokio::time::timeout(Duration::from_millis(200), changes.changed()).await;
        }
    })
    .await;
    // The server dies; it comes back, twice, and hears of another alert that fired meanwhile.
    signals.stop(&lot.house).await;
    lot.house.events.publish(&[firing(&lot, "b", Some("alert"))]).await.unwrap();
    for _ in 0..2 {
        let again = Signals::default();
        again.serve(&lot.house).await.unwrap();
        again.stop(&lot.house).await;
    }
    let last = Signals::default();
    last.serve(&lot.house).await.unwrap();
    let worker = lot.worker(0).await;
    let events = told(&lot, 2).await;
    assert_eq!((events.len(), runs(&lot).await), (2, 2));
    assert!(events.iter().all(|event| event.kind == EXPLAINED), "{events:?}");
    worker.stop().await;
    last.stop(&lot.house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_alerts_and_odd_ones_are_told_not_lost() {
    let lot = lot(json!({ "together": 0, "most_an_hour": 3 }));
    let signals = Signals::default();
    signals.serve(&lot.house).await.unwrap();
    let worker = lot.worker(0).await;
    let alerts = [
        firing(&lot, "silent", None),
        firing(&lot, "wrong", Some("no such")),
        firing(&lot, "right", Some("alert")),
        firing(&lot, "too-many", Some("alert")),
        NewEvent::new("/telemetry/alerts", FIRING).data(json!({ "nothing": 1 })),
        NewEvent::new("/elsewhere", "other.kind").data(json!({})),
    ];
    lot.house.events.publish(&alerts).await.unwrap();
    let events = told(&lot, 3).await;
    let of = |name: &str| events.iter().find(|event| event.subject.as_deref() == Some(name)).unwrap();
    assert_eq!((of("silent").kind.as_str(), of("right").kind.as_str()), (EXPLAINED, EXPLAINED));
    let wrong = of("wrong");
    let reason = wrong.json().unwrap()["reason"].as_str().unwrap();
    assert!(wrong.kind == NOT_EXPLAINED && reason.contains("there is no such query"), "{reason}");
    assert_eq!((events.len(), runs(&lot).await), (3, 2));
    let refused: Vec<(String, String)> = lot
        .house
        .ledger
        .read(|tx| -> Result<_, backlot_ledger::Error> {
            let rows = tx.query("SELECT name, outcome FROM signals_firings WHERE state = 'refused'", &[])?;
            rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
        })
        .await
        .unwrap();
    assert!(
        refused.len() == 1 && refused[0].0 == "too-many" && refused[0].1.contains("most_an_hour"),
        "{refused:?}"
    );
    worker.stop().await;
    signals.stop(&lot.house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_candidates_no_alert_is_followed_and_no_event_kept_for_it() {
    let lot = lot(json!({}));
    let signals = Signals::default();
    signals.serve(&lot.house).await.unwrap();
    signals.stop(&lot.house).await;
    assert_eq!(lot.house.events.consumers().await.unwrap().len(), 1);
    let url = format!("sqlite://{}/ledger.db", lot.home.path().display());
    let off = open_with(lot.home.path(), &url, Config::default(), Box::new(Signals::default()));
    Signals::default().serve(&off).await.unwrap();
    assert!(off.events.consumers().await.unwrap().is_empty());
    let wrong = Config::new(json!({ "signals": { "most_an_hour": 0 } }).as_object().unwrap().clone());
    let departments: [Box<dyn Department>; 0] = [];
    let (store, ledger) = (lot.house.store.clone(), lot.house.ledger.clone());
    let house = House::open(lot.home.path(), wrong, store, ledger, &departments).unwrap();
    let refused = Signals::default().start(&house).await.unwrap_err().to_string();
    assert!(refused.contains("[signals]") && refused.contains("most_an_hour"), "{refused}");
}
