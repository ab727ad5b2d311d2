//! What an event tells of an alert.

use std::collections::BTreeMap;

use backlot_events::Event;
use backlot_ledger::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::STALE;
use crate::live::LiveAsked;
use crate::settings::Settings;
use crate::table::parse_time;

/// The annotation with which an alert chooses its own candidates.
const CANDIDATES: &str = "backlot_candidates";

/// The name of an alert that has none.
const NAMELESS: &str = "alert";

/// An alert, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) fingerprint: String,
    pub(super) starts_at: String,
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) asked: LiveAsked,
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    fingerprint: String,
    #[serde(default)]
    expression: Option<String>,
    starts_at: String,
    #[serde(default)]
    step_ms: Option<u64>,
}

/// Reads an event; `None` for one that is none of ours or too old.
pub(super) fn read(event: &Event, settings: &Settings, now: Timestamp) -> Option<Seen> {
    let told: Told = match event.json().map(Told::deserialize) {
        Some(Ok(told)) => told,
        Some(Err(error)) => {
            tracing::warn!(seq = event.seq, %error, "an event of an alert cannot be read and is left out");
            return None;
        }
        None => return None,
    };
    let Some(began) = parse_time(&told.starts_at) else {
        tracing::warn!(seq = event.seq, starts_at = told.starts_at, "an alert without a time is left out");
        return None;
    };
    let age = now.micros().div_euclid(1000).saturating_sub(began);
    if age > STALE.as_millis() as i64 {
        return None;
    }
    let expression = told.expression.filter(|expression| !expression.trim().is_empty());
    let name =
        told.name.or_else(|| told.labels.get("alertname").cloned()).unwrap_or_else(|| NAMELESS.to_owned());
    let mut asked = settings.asked();
    if let Some(own) = told.annotations.get(CANDIDATES) {
        asked.candidates.clone_from(own);
    }
    if let (None, Some(step)) = (asked.step, told.step_ms.filter(|step| *step >= 1000)) {
        asked.step = Some(backlot_work::Span::millis(step));
    }
    asked.unseen = expression.is_none();
    asked.alert = expression.as_deref().map(underlying).unwrap_or_default();
    asked.at = Some(told.starts_at.clone());
    asked.name = Some(name.clone());
    asked.tags.clone_from(&told.labels);
    Some(Seen { fingerprint: told.fingerprint, starts_at: told.starts_at, name, labels: told.labels, asked })
}

/// The signal that an alert's expression compares with a threshold: `…,80,:gt` without the last two words. It says more about when something
/// began than ones and noughts do.
fn underlying(expression: &str) -> String {
    const COMPARISONS: [&str; 4] = [":gt", ":ge", ":lt", ":le"];
    let trimmed = expression.trim();
    let cut = trimmed.rsplit_once(',').filter(|(_, word)| COMPARISONS.contains(&word.trim()));
    let cut = cut.and_then(|(rest, _)| rest.rsplit_once(','));
    match cut {
        Some((signal, threshold)) if threshold.trim().parse::<f64>().is_ok() => signal.trim().to_owned(),
        _ => trimmed.to_owned(),
    }
}

/// What of an event's data is shown.
pub(super) fn labels_json(labels: &BTreeMap<String, String>) -> String {
    let pairs = labels.iter().map(|(key, value)| (key.clone(), Value::from(value.clone())));
    pairs.collect::<Value>().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use backlot_events::{Data, Event};
    use serde_json::json;

    fn event(data: Value) -> Event {
        Event {
            seq: Some(1),
            id: "1".into(),
            source: "/telemetry/alerts".into(),
            kind: super::super::FIRING.into(),
            subject: None,
            time: Timestamp::from_micros(0),
            datacontenttype: None,
            dataschema: None,
            data: Some(Data::Json(data)),
            extensions: BTreeMap::new(),
        }
    }

    #[test]
    fn an_alert_is_asked_about_as_it_fired() {
        let settings = Settings { candidates: "all".into(), ..Settings::default() };
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let told = json!({
            "name": "Slow", "labels": {"app": "www"}, "annotations": {"backlot_candidates": "mine"}, "fingerprint": "f",
            "expression": "name,latency,:eq,:avg,(,app,),:by,0.5,:gt", "starts_at": "2027-01-15T07:59:00Z", "ends_at": null, "value": 0.7, "step_ms": 5000
        });
        let seen = read(&event(told.clone()), &settings, now).unwrap();
        assert_eq!(
            (seen.asked.alert.as_str(), seen.asked.candidates.as_str()),
            ("name,latency,:eq,:avg,(,app,),:by", "mine")
        );
        assert_eq!((seen.asked.step.unwrap().to_string().as_str(), seen.asked.unseen), ("5s", false));
        assert_eq!(seen.asked.tags["app"], "www");
        let mut old = told.clone();
        old["starts_at"] = json!("2027-01-15T06:00:00Z");
        assert_eq!(read(&event(old), &settings, now), None);
        let mut silent = told;
        silent["expression"] = Value::Null;
        assert!(read(&event(silent), &settings, now).unwrap().asked.unseen);
        for odd in [
            json!({}),
            json!([]),
            json!({"fingerprint": "f", "starts_at": "soon"}),
            json!({"fingerprint": 1, "starts_at": "2027-01-15T07:59:00Z"}),
        ] {
            assert_eq!(read(&event(odd), &settings, now), None);
        }
    }

    #[test]
    fn a_threshold_is_taken_off_and_nothing_else() {
        for (expression, signal) in [
            ("name,cpu,:eq,:sum,80,:gt", "name,cpu,:eq,:sum"),
            (" name,cpu,:eq,:sum, 1e3 , :le ", "name,cpu,:eq,:sum"),
            ("a,:sum,b,:sum,:gt", "a,:sum,b,:sum,:gt"),
            ("name,cpu,:eq,:sum", "name,cpu,:eq,:sum"),
            (":gt", ":gt"),
            ("5,:gt", "5,:gt"),
        ] {
            assert_eq!(underlying(expression), signal);
        }
    }
}
