//! Rows of the ledger.
//!
//! Every row carries the engine's version of when it was made. Two changes of one row may reach the ledger in either order; the
//! later version holds.

use backlot_alerts::Fingerprint;
use backlot_alerts::engine::{Changes, Decision, Kept, LogKey, Transition};
use backlot_events::{Events, NewEvent};
use backlot_ledger::{Migration, Tx, Value, params};
use serde_json::json;

use super::clock;
use super::rules::Rule;

/// Decisions that are kept: weeks of a house whose alerts are worth reading.
const MOST_DECISIONS: i64 = 10_000;

pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "alerts",
    sql: "CREATE TABLE telemetry_alerts (
              fingerprint TEXT NOT NULL PRIMARY KEY,
              version BIGINT NOT NULL,
              body TEXT NOT NULL
          );
          CREATE TABLE telemetry_silences (
              id TEXT NOT NULL PRIMARY KEY,
              version BIGINT NOT NULL,
              body TEXT NOT NULL
          );
          CREATE TABLE telemetry_notified (
              group_key TEXT NOT NULL,
              receiver TEXT NOT NULL,
              integration TEXT NOT NULL,
              version BIGINT NOT NULL,
              body TEXT NOT NULL,
              PRIMARY KEY (group_key, receiver, integration)
          );
          CREATE TABLE telemetry_decisions (
              seq {identity},
              at BIGINT NOT NULL,
              body TEXT NOT NULL
          );
          CREATE TABLE telemetry_rules (
              id TEXT NOT NULL PRIMARY KEY,
              body TEXT NOT NULL
          );",
}];

/// Reads what was kept. A row that cannot be read any more is left out, and said.
pub(crate) fn load(tx: &mut Tx<'_>) -> Result<Kept, backlot_ledger::Error> {
    fn body<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Option<T> {
        serde_json::from_str(text)
            .inspect_err(
                |error| tracing::error!(%error, what, "a row of the alerts cannot be read, and is left out"),
            )
            .ok()
    }
    let mut kept = Kept::default();
    for row in tx.query("SELECT version, body FROM telemetry_alerts", &[])? {
        kept.version = kept.version.max(row.get(0)?);
        kept.alerts.extend(body(&row.get::<String>(1)?, "alert"));
    }
    for row in tx.query("SELECT version, body FROM telemetry_silences", &[])? {
        kept.version = kept.version.max(row.get(0)?);
        kept.silences.extend(body(&row.get::<String>(1)?, "silence"));
    }
    let sql = "SELECT group_key, receiver, integration, version, body FROM telemetry_notified";
    for row in tx.query(sql, &[])? {
        kept.version = kept.version.max(row.get(3)?);
        let key = LogKey { group_key: row.get(0)?, receiver: row.get(1)?, integration: row.get(2)? };
        kept.log.extend(body(&row.get::<String>(4)?, "notification").map(|entry| (key, entry)));
    }
    Ok(kept)
}

/// Keeps changes, and appends the events of what they tell.
pub(crate) fn save(tx: &mut Tx<'_>, events: &Events, changes: &Changes) -> Result<(), backlot_events::Error> {
    let text = |value: serde_json::Result<String>| value.map_err(|error| broken(&error));
    let version = changes.version;
    let (mut kept, mut gone): (Vec<Vec<Value>>, Vec<Vec<Value>>) = Default::default();
    for (fingerprint, alert) in &changes.alerts {
        match alert {
            Some(alert) => {
                let body = text(serde_json::to_string(alert))?;
                kept.push(vec![fingerprint.to_string().into(), version.into(), body.into()]);
            }
            None => gone.push(vec![fingerprint.to_string().into(), version.into()]),
        }
    }
    tx.execute_many(
        "INSERT INTO telemetry_alerts (fingerprint, version, body) VALUES ($1, $2, $3)
         ON CONFLICT (fingerprint) DO UPDATE SET version = excluded.version, body = excluded.body
         WHERE excluded.version >= telemetry_alerts.version",
        &kept,
    )?;
    tx.execute_many("DELETE FROM telemetry_alerts WHERE fingerprint = $1 AND version <= $2", &gone)?;
    for (id, silence) in &changes.silences {
        match silence {
            Some(silence) => {
                let body = text(serde_json::to_string(silence))?;
                tx.execute(
                    "INSERT INTO telemetry_silences (id, version, body) VALUES ($1, $2, $3)
                     ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body
                     WHERE excluded.version >= telemetry_silences.version",
                    params![id, version, body],
                )?;
            }
            None => {
                tx.execute(
                    "DELETE FROM telemetry_silences WHERE id = $1 AND version <= $2",
                    params![id, version],
                )?;
            }
        }
    }
    for (key, entry) in &changes.log {
        let LogKey { group_key, receiver, integration } = key;
        match entry {
            Some(entry) => {
                let body = text(serde_json::to_string(entry))?;
                tx.execute(
                    "INSERT INTO telemetry_notified (group_key, receiver, integration, version, body) VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (group_key, receiver, integration) DO UPDATE SET version = excluded.version, body = excluded.body
                     WHERE excluded.version >= telemetry_notified.version",
                    params![group_key, receiver, integration, version, body],
                )?;
            }
            None => {
                tx.execute(
                    "DELETE FROM telemetry_notified WHERE group_key = $1 AND receiver = $2 AND integration = $3 AND version <= $4",
                    params![group_key, receiver, integration, version],
                )?;
            }
        }
    }
    if !changes.decisions.is_empty() {
        let row = |decision: &Decision| {
            let body = text(serde_json::to_string(decision))?;
            Ok::<_, backlot_events::Error>(vec![clock::micros(decision.at).into(), body.into()])
        };
        let rows = changes.decisions.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        tx.execute_many("INSERT INTO telemetry_decisions (at, body) VALUES ($1, $2)", &rows)?;
        tx.execute(
            "DELETE FROM telemetry_decisions WHERE seq <= (SELECT MAX(seq) FROM telemetry_decisions) - $1",
            params![MOST_DECISIONS],
        )?;
    }
    let told: Vec<NewEvent> = changes.transitions.iter().map(event).collect();
    events.append(tx, &told)
}

fn broken(error: &serde_json::Error) -> backlot_events::Error {
    backlot_events::Error::Json { problem: error.to_string() }
}

/// The event of an alert that began or ended.
fn event(transition: &Transition) -> NewEvent {
    let alert = &transition.alert;
    let kind =
        if transition.firing { "backlot.telemetry.alert.firing" } else { "backlot.telemetry.alert.resolved" };
    let origin = alert.origin.as_ref();
    let mut data = json!({
        "name": alert.name(),
        "labels": alert.labels,
        "annotations": alert.annotations,
        "fingerprint": alert.fingerprint(),
        "starts_at": alert.starts_at.to_string(),
        "ends_at": (!transition.firing).then(|| alert.ends_at.to_string()),
        "value": origin.and_then(|origin| origin.value).filter(|value| value.is_finite()),
        "step_ms": origin.map(|origin| origin.step_ms),
    });
    if let Some(origin) = origin {
        data["expression"] = origin.expression.as_str().into();
    }
    let at = if transition.firing { alert.updated_at } else { alert.ends_at };
    NewEvent::new("/telemetry/alerts", kind)
        .subject(alert.fingerprint().to_string())
        .time(clock::micros(at))
        .data(data)
}

/// The latest decisions, the latest first.
pub(crate) fn decisions(
    tx: &mut Tx<'_>,
    about: Option<Fingerprint>,
    most: usize,
) -> Result<Vec<Decision>, backlot_ledger::Error> {
    let rows = tx.query("SELECT body FROM telemetry_decisions ORDER BY seq DESC", &[])?;
    let mut found = Vec::new();
    for row in rows {
        let Ok(decision) = serde_json::from_str::<Decision>(&row.get::<String>(0)?) else { continue };
        if about.is_none_or(|fingerprint| decision.alerts.contains(&fingerprint)) {
            found.push(decision);
            if found.len() == most {
                break;
            }
        }
    }
    Ok(found)
}

/// All rules.
pub(crate) fn rules(tx: &mut Tx<'_>) -> Result<Vec<Rule>, backlot_ledger::Error> {
    let mut rules = Vec::new();
    for row in tx.query("SELECT body FROM telemetry_rules", &[])? {
        match serde_json::from_str(&row.get::<String>(0)?) {
            Ok(rule) => rules.push(rule),
            Err(error) => tracing::error!(%error, "an alert rule cannot be read, and is left out"),
        }
    }
    Ok(rules)
}
