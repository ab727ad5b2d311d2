//! Firings in the ledger: each function is one transaction, or a part of one.

use std::fmt;
use std::time::Duration;

use backlot_events::{Error, Events, NewEvent};
use backlot_ledger::{Row, Timestamp, Tx, params};
use serde_json::{Value, json};

use super::firing::{Seen, labels_json};
use super::{EXPLAINED, NOT_EXPLAINED, SOURCE};
use crate::department::DOOR;
use crate::live::LiveAsked;
use crate::settings::Settings;

/// Firings that are worked on at once; the others wait their turn.
const MOST_OPEN: i64 = 16;

/// Firings that end by another's end in one transaction.
const MOST_SETTLED: i64 = 200;

/// Firings shown with an explanation.
const MOST_SHOWN: i64 = 50;

/// Where a firing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its metrics are not fetched yet.
    Waiting,
    /// Its run is submitted.
    Running,
    /// It shares the explanation of another.
    Joined,
    /// Done.
    Explained,
    /// There is no explanation.
    Failed,
    /// Not explained, because there were too many.
    Refused,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Joined => "joined",
            Self::Explained => "explained",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }

    fn of(text: &str) -> Self {
        let all = [Self::Waiting, Self::Running, Self::Joined, Self::Explained, Self::Refused];
        all.into_iter().find(|state| state.as_str() == text).unwrap_or(Self::Failed)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A firing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Firing {
    pub(crate) id: i64,
    pub(crate) fingerprint: String,
    pub(crate) starts_at: String,
    pub(crate) name: String,
    pub(crate) labels: Value,
    pub(crate) asked: LiveAsked,
    pub(crate) state: State,
    pub(crate) run: Option<String>,
    /// What was found, as JSON; or why there is no explanation.
    pub(crate) outcome: Option<String>,
}

/// What an explanation found, in few words.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) changed: Value,
    pub(super) tested: Value,
    pub(super) first: Value,
}

const COLUMNS: &str = "id, fingerprint, starts_at, name, labels, asked, state, run, outcome";

fn firing(row: &Row) -> Result<Firing, Error> {
    let (labels, asked, state): (String, String, String) = (row.get(4)?, row.get(5)?, row.get(6)?);
    Ok(Firing {
        id: row.get(0)?,
        fingerprint: row.get(1)?,
        starts_at: row.get(2)?,
        name: row.get(3)?,
        labels: serde_json::from_str(&labels).unwrap_or_default(),
        // A later version may ask otherwise; what it cannot say then fails with its reason.
        asked: serde_json::from_str(&asked).unwrap_or_default(),
        state: State::of(&state),
        run: row.get(7)?,
        outcome: row.get(8)?,
    })
}

/// Takes a firing in, unless it is known: it begins an explanation, joins one, or is refused.
pub(super) fn take(tx: &mut Tx<'_>, seen: &Seen, settings: &Settings) -> Result<(), Error> {
    let now = tx.now();
    let since = |span: Duration| now.checked_sub(span).unwrap_or(Timestamp::from_micros(0));
    let lead: Option<i64> = tx
        .query_opt(
            "SELECT id FROM signals_firings WHERE state IN ('waiting', 'running', 'explained') AND lead IS NULL AND candidates = $1 AND seen > $2 \
             ORDER BY id DESC LIMIT 1",
            params![seen.asked.candidates.as_str(), since(settings.together.duration())],
        )?
        .map(|row| row.get(0))
        .transpose()?;
    let begun: i64 = tx
        .query_one(
            "SELECT COUNT(*) FROM signals_firings WHERE lead IS NULL AND state <> 'refused' AND seen >= $1",
            params![since(Duration::from_secs(3600))],
        )?
        .get(0)?;
    let (state, reason) = match lead {
        Some(_) => (State::Joined, None),
        None if begun >= i64::from(settings.most_an_hour) => {
            let reason = format!(
                "{begun} alerts were explained within the hour; ask by hand, or raise `most_an_hour` in [signals]"
            );
            (State::Refused, Some(reason))
        }
        None => (State::Waiting, None),
    };
    let asked = serde_json::to_string(&seen.asked).expect("invariant: a question is plain JSON");
    tx.execute(
        "INSERT INTO signals_firings (fingerprint, starts_at, name, labels, asked, candidates, state, lead, outcome, seen) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (fingerprint, starts_at) DO NOTHING",
        params![
            seen.fingerprint.as_str(),
            seen.starts_at.as_str(),
            seen.name.as_str(),
            labels_json(&seen.labels),
            asked,
            seen.asked.candidates.as_str(),
            state.as_str(),
            lead,
            reason,
            now
        ],
    )?;
    Ok(())
}

/// What is not at its end, oldest first.
pub(super) fn open(tx: &mut Tx<'_>) -> Result<Vec<Firing>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM signals_firings WHERE state IN ('waiting', 'running') ORDER BY id LIMIT $1"
    );
    tx.query(&sql, params![MOST_OPEN])?.iter().map(firing).collect()
}

/// Its run is this one.
pub(super) fn run(tx: &mut Tx<'_>, id: i64, run: &str) -> Result<(), Error> {
    tx.execute(
        "UPDATE signals_firings SET state = 'running', run = $2 WHERE id = $1 AND state = 'waiting'",
        params![id, run],
    )?;
    Ok(())
}

/// A firing's end, and the event that tells of it.
pub(super) fn end(
    tx: &mut Tx<'_>,
    events: &Events,
    firing: &Firing,
    how: &Result<Facts, String>,
) -> Result<(), Error> {
    let (state, outcome) = match how {
        Ok(facts) => {
            let facts = json!({ "changed": facts.changed, "tested": facts.tested, "first": facts.first });
            (State::Explained, facts.to_string())
        }
        Err(reason) => (State::Failed, reason.clone()),
    };
    let ended = tx.execute(
        "UPDATE signals_firings SET state = $2, outcome = $3 WHERE id = $1 AND state IN ('waiting', 'running')",
        params![firing.id, state.as_str(), outcome.as_str()],
    )?;
    if ended == 1 {
        events.append(tx, &[told(firing, state, &outcome)])?;
    }
    Ok(())
}

/// Whether [`settle_joined`] has something to do.
pub(super) fn can_settle(tx: &mut Tx<'_>) -> Result<bool, Error> {
    let row = tx.query_opt(
        "SELECT own.id FROM signals_firings own JOIN signals_firings lead ON lead.id = own.lead \
         WHERE own.state = 'joined' AND lead.state IN ('explained', 'failed') LIMIT 1",
        &[],
    )?;
    Ok(row.is_some())
}

/// Firings that share an explanation end when it has.
pub(super) fn settle_joined(tx: &mut Tx<'_>, events: &Events) -> Result<(), Error> {
    let columns = COLUMNS.split(", ").map(|column| format!("own.{column}")).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT {columns}, lead.state, lead.run, lead.outcome FROM signals_firings own JOIN signals_firings lead ON lead.id = own.lead \
         WHERE own.state = 'joined' AND lead.state IN ('explained', 'failed') ORDER BY own.id LIMIT $1"
    );
    for row in tx.query(&sql, params![MOST_SETTLED])? {
        let (state, run, outcome): (String, Option<String>, Option<String>) =
            (row.get(9)?, row.get(10)?, row.get(11)?);
        let (state, outcome) = (State::of(&state), outcome.unwrap_or_default());
        let own = Firing { run: run.clone(), ..firing(&row)? };
        tx.execute(
            "UPDATE signals_firings SET state = $2, run = $3, outcome = $4 WHERE id = $1",
            params![own.id, state.as_str(), run, outcome.as_str()],
        )?;
        events.append(tx, &[told(&own, state, &outcome)])?;
    }
    Ok(())
}

/// The event. `facts` is JSON for an explanation, else the reason.
fn told(firing: &Firing, state: State, facts: &str) -> NewEvent {
    let mut data = json!({
        "name": firing.name,
        "labels": firing.labels,
        "fingerprint": firing.fingerprint,
        "starts_at": firing.starts_at,
        "run": firing.run,
    });
    let kind = if state == State::Explained {
        let run = firing.run.as_deref().unwrap_or_default();
        data["page"] = json!(format!("/signals/{run}"));
        data["explanation"] = json!(format!("{DOOR}/explanations/{run}"));
        let facts: Value = serde_json::from_str(facts).unwrap_or_default();
        for key in ["changed", "tested", "first"] {
            data[key] = facts[key].clone();
        }
        EXPLAINED
    } else {
        data["reason"] = json!(facts);
        NOT_EXPLAINED
    };
    NewEvent::new(SOURCE, kind).subject(firing.fingerprint.clone()).data(data)
}

/// The firings that a run explains: the one it was made for, then those that joined.
pub(crate) fn firings_of(tx: &mut Tx<'_>, run: &str) -> Result<Vec<Firing>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM signals_firings WHERE run = $1 OR lead IN (SELECT id FROM signals_firings WHERE run = $1) ORDER BY id LIMIT $2"
    );
    tx.query(&sql, params![run, MOST_SHOWN])?.iter().map(firing).collect()
}

/// The firings refused since a time, newest first.
pub(crate) fn refused_since(tx: &mut Tx<'_>, since: Timestamp) -> Result<Vec<Firing>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM signals_firings WHERE state IN ('refused', 'failed') AND seen >= $1 ORDER BY id DESC LIMIT $2"
    );
    tx.query(&sql, params![since, MOST_SHOWN])?.iter().map(firing).collect()
}
