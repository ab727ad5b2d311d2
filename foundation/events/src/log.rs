//! The log: one table of events in the order of their commits.
//!
//! The sequence number is the table's identity column. All writers of a ledger take turns, so numbers are given in
//! the order of the commits: a reader that has seen number n will never find a smaller one later. Appending is one
//! `execute_many` without a unique index besides the number's own.

use std::time::Duration;

use backlot_ledger::{Ledger, Migration, Row, Timestamp, Tx, Value, params};
use serde_json::{Value as Json, json};

use crate::event::MAX_EVENT_BYTES;
use crate::{Data, Error, Event, NewEvent};

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "log",
        sql: "CREATE TABLE events (
                  seq {identity},
                  id TEXT,
                  source TEXT NOT NULL,
                  kind TEXT NOT NULL,
                  subject TEXT,
                  time BIGINT NOT NULL,
                  attributes TEXT,
                  data TEXT,
                  data_bytes BYTEA
              );
              CREATE INDEX events_subject ON events (subject, seq);
              CREATE INDEX events_time ON events (time);
              CREATE TABLE events_external (
                  source TEXT NOT NULL,
                  id TEXT NOT NULL,
                  received_at BIGINT NOT NULL,
                  PRIMARY KEY (source, id)
              );
              CREATE INDEX events_external_received ON events_external (received_at);",
    },
    Migration {
        version: 2,
        name: "consumer groups",
        sql: "CREATE TABLE events_consumers (
                  name TEXT NOT NULL PRIMARY KEY,
                  committed BIGINT NOT NULL,
                  committed_at BIGINT NOT NULL
              );",
    },
];

/// The owner of the migrations.
const OWNER: &str = "events";
/// Rows deleted in one transaction when pruning, so that other writers are not held up for long.
const PRUNE_CHUNK: i64 = 5_000;
/// Events that one [`Events::read`] returns at most.
pub const MAX_READ: usize = 10_000;

/// The event log of a ledger. A cheap handle: clone it freely.
#[derive(Clone)]
pub struct Events {
    ledger: Ledger,
}

/// Which events to read; the default is all, from the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Only events with a greater sequence number.
    pub after: u64,
    /// At most this many, and at most [`MAX_READ`].
    pub limit: usize,
    /// Only kinds that begin with this.
    pub kind_prefix: Option<String>,
    /// Only this source.
    pub source: Option<String>,
    /// Only this subject.
    pub subject: Option<String>,
    /// Only events whose time is not before this.
    pub since: Option<Timestamp>,
}

impl Default for Query {
    fn default() -> Query {
        Query { after: 0, limit: 1000, kind_prefix: None, source: None, subject: None, since: None }
    }
}

/// What [`Events::append_external`] did with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It was appended.
    Appended,
    /// An event with its source and id was received before; it was left out.
    Duplicate,
}

/// What to keep when pruning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// At most this many events, the newest.
    pub rows: Option<u64>,
    /// Only events whose time is not longer ago than this.
    pub age: Option<Duration>,
}

/// What [`Events::prune`] did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Pruned {
    /// Events deleted.
    pub deleted: u64,
    /// The consumer group that has yet to read events which would have gone otherwise.
    pub held_back_by: Option<String>,
}

impl Events {
    /// The event log of `ledger`; creates its tables when need be. Blocks.
    pub fn open(ledger: &Ledger) -> Result<Events, Error> {
        ledger.migrate(OWNER, MIGRATIONS)?;
        Ok(Events { ledger: ledger.clone() })
    }

    /// The ledger that holds the log.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Appends `events` in the caller's transaction, so that a change of state and the event that tells of it are
    /// committed together or not at all.
    pub fn append(&self, tx: &mut Tx<'_>, events: &[NewEvent]) -> Result<(), Error> {
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            event.validate()?;
            rows.push(to_row(event, tx.now())?);
        }
        tx.execute_many(
            "INSERT INTO events (id, source, kind, subject, time, attributes, data, data_bytes)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &rows,
        )?;
        Ok(())
    }

    /// Appends events that come from outside, each at most once: one whose source and id were received before is
    /// left out. The answers are in the order of `events`. An event without an id cannot be told from another and is
    /// refused.
    ///
    /// Remembered ids are forgotten by [`Events::prune`] together with events of their age.
    pub fn append_external(&self, tx: &mut Tx<'_>, events: &[NewEvent]) -> Result<Vec<Received>, Error> {
        let mut answers = Vec::with_capacity(events.len());
        for event in events {
            let Some(id) = &event.id else {
                return Err(Error::invalid("id is missing; an event from outside needs one"));
            };
            event.validate()?;
            let is_new = tx.execute(
                "INSERT INTO events_external (source, id, received_at) VALUES ($1, $2, $3)
                 ON CONFLICT (source, id) DO NOTHING",
                params![&event.source, id, tx.now()],
            )?;
            if is_new == 0 {
                answers.push(Received::Duplicate);
                continue;
            }
            self.append(tx, std::slice::from_ref(event))?;
            answers.push(Received::Appended);
        }
        Ok(answers)
    }

    /// Appends `events` in a transaction of their own; durable when it returns.
    pub async fn publish(&self, events: &[NewEvent]) -> Result<(), Error> {
        let (this, events) = (self.clone(), events.to_vec());
        self.ledger.write(move |tx| this.append(tx, &events)).await
    }

    /// The events that match `query`, oldest first.
    pub async fn read(&self, query: Query) -> Result<Vec<Event>, Error> {
        self.ledger.read(move |tx| select(tx, &query)).await
    }

    /// The sequence number of the newest event; 0 when there was never one.
    pub async fn last_seq(&self) -> Result<u64, Error> {
        self.ledger.read(last_seq).await
    }

    /// Deletes the events that `keep` does not ask to keep, in small transactions. Events that a consumer group has
    /// not committed yet stay; a group that is no longer used is removed with [`Events::remove_consumer`].
    pub async fn prune(&self, keep: Keep) -> Result<Pruned, Error> {
        let mut pruned = Pruned { deleted: 0, held_back_by: None };
        loop {
            let chunk = self.ledger.write(move |tx| prune_chunk(tx, keep)).await?;
            pruned.deleted += chunk.deleted;
            pruned.held_back_by = chunk.held_back_by;
            if !chunk.more {
                return Ok(pruned);
            }
        }
    }
}

pub(crate) fn last_seq(tx: &mut Tx<'_>) -> Result<u64, Error> {
    let newest: Option<u64> = tx.query_one("SELECT MAX(seq) FROM events", &[])?.get(0)?;
    Ok(newest.unwrap_or(0))
}

/// What one transaction of a pruning did.
struct PrunedChunk {
    deleted: u64,
    held_back_by: Option<String>,
    /// Another transaction has more to do.
    more: bool,
}

fn prune_chunk(tx: &mut Tx<'_>, keep: Keep) -> Result<PrunedChunk, Error> {
    let slowest = tx
        .query_opt("SELECT name, committed FROM events_consumers ORDER BY committed LIMIT 1", &[])?
        .map(|row| Ok::<_, Error>((row.get::<String>(0)?, row.get::<i64>(1)?)))
        .transpose()?;
    let consumed = slowest.as_ref().map_or(i64::MAX, |(_, committed)| *committed);
    let mut chunk = PrunedChunk { deleted: 0, held_back_by: None, more: false };
    let mut held_back = false;

    if let Some(rows) = keep.rows {
        let offset = i64::try_from(rows).unwrap_or(i64::MAX);
        let newest_to_go =
            tx.query_opt("SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET $1", params![offset])?;
        if let Some(row) = newest_to_go {
            let up_to: i64 = row.get(0)?;
            held_back |= up_to > consumed;
            let deleted = tx.execute(
                "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE seq <= $1 ORDER BY seq LIMIT $2)",
                params![up_to.min(consumed), PRUNE_CHUNK],
            )?;
            chunk.deleted += deleted;
            chunk.more |= deleted == PRUNE_CHUNK as u64;
        }
    }
    if let Some(before) = keep.age.and_then(|age| tx.now().checked_sub(age)) {
        let deleted = tx.execute(
            "DELETE FROM events WHERE seq IN
                 (SELECT seq FROM events WHERE time < $1 AND seq <= $2 ORDER BY time LIMIT $3)",
            params![before, consumed, PRUNE_CHUNK],
        )?;
        let stays =
            tx.query("SELECT 1 FROM events WHERE time < $1 AND seq > $2 LIMIT 1", params![before, consumed])?;
        held_back |= !stays.is_empty();
        let forgotten = tx.execute(
            "DELETE FROM events_external WHERE (source, id) IN
                 (SELECT source, id FROM events_external WHERE received_at < $1 ORDER BY received_at LIMIT $2)",
            params![before, PRUNE_CHUNK],
        )?;
        chunk.deleted += deleted;
        chunk.more |= deleted == PRUNE_CHUNK as u64 || forgotten == PRUNE_CHUNK as u64;
    }
    chunk.held_back_by = slowest.filter(|_| held_back).map(|(name, _)| name);
    Ok(chunk)
}

fn to_row(event: &NewEvent, now: Timestamp) -> Result<Vec<Value>, Error> {
    let mut attributes = serde_json::Map::new();
    if let Some(media_type) = &event.datacontenttype {
        attributes.insert("datacontenttype".to_owned(), json!(media_type));
    }
    if let Some(schema) = &event.dataschema {
        attributes.insert("dataschema".to_owned(), json!(schema));
    }
    if !event.extensions.is_empty() {
        attributes.insert("extensions".to_owned(), json!(event.extensions));
    }
    let attributes = (!attributes.is_empty()).then(|| Json::Object(attributes).to_string());
    let (data, data_bytes) = match &event.data {
        None => (None, None),
        Some(Data::Json(json)) => (Some(json.to_string()), None),
        Some(Data::Binary(bytes)) => (None, Some(bytes.clone())),
    };
    let size = data.as_ref().map_or(0, String::len) + data_bytes.as_ref().map_or(0, Vec::len);
    if size > MAX_EVENT_BYTES {
        return Err(Error::TooLarge { what: "event size in bytes", found: size, limit: MAX_EVENT_BYTES });
    }
    Ok(params![
        event.id.as_deref(),
        &event.source,
        &event.kind,
        event.subject.as_deref(),
        event.time.unwrap_or(now),
        attributes,
        data,
        data_bytes
    ]
    .to_vec())
}

/// The events that match `query`, oldest first.
pub(crate) fn select(tx: &mut Tx<'_>, query: &Query) -> Result<Vec<Event>, Error> {
    let after = i64::try_from(query.after).unwrap_or(i64::MAX);
    let mut values = vec![Value::from(after)];
    let mut conditions = String::from("seq > $1");
    let mut and = |condition: &str, value: Value| {
        values.push(value);
        conditions.push_str(" AND ");
        conditions.push_str(&condition.replace("$n", &format!("${}", values.len())));
    };
    if let Some(prefix) = query.kind_prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        and("SUBSTR(kind, 1, LENGTH(CAST($n AS TEXT))) = $n", prefix.into());
    }
    if let Some(source) = &query.source {
        and("source = $n", source.into());
    }
    if let Some(subject) = &query.subject {
        and("subject = $n", subject.into());
    }
    if let Some(since) = query.since {
        and("time >= $n", since.into());
    }
    let limit = query.limit.min(MAX_READ);
    values.push(Value::from(limit as i64));
    let sql = format!(
        "SELECT seq, id, source, kind, subject, time, attributes, data, data_bytes FROM events
         WHERE {conditions} ORDER BY seq LIMIT ${}",
        values.len()
    );
    tx.query(&sql, &values)?.iter().map(from_row).collect()
}

fn from_row(row: &Row) -> Result<Event, Error> {
    let seq: u64 = row.get(0)?;
    let damaged = |e: serde_json::Error| Error::Damaged { seq, problem: e.to_string() };
    let mut attributes = Attributes::default();
    if let Some(text) = row.get::<Option<String>>(6)? {
        attributes = serde_json::from_str(&text).map_err(damaged)?;
    }
    let data = match (row.get::<Option<String>>(7)?, row.get::<Option<Vec<u8>>>(8)?) {
        (Some(text), _) => Some(Data::Json(serde_json::from_str(&text).map_err(damaged)?)),
        (None, Some(bytes)) => Some(Data::Binary(bytes)),
        (None, None) => None,
    };
    Ok(Event {
        seq: Some(seq),
        id: row.get::<Option<String>>(1)?.unwrap_or_else(|| seq.to_string()),
        source: row.get(2)?,
        kind: row.get(3)?,
        subject: row.get(4)?,
        time: row.get(5)?,
        datacontenttype: attributes.datacontenttype,
        dataschema: attributes.dataschema,
        data,
        extensions: attributes.extensions,
    })
}

/// The seldom attributes, kept as one JSON object.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Attributes {
    datacontenttype: Option<String>,
    dataschema: Option<String>,
    extensions: std::collections::BTreeMap<String, Json>,
}
