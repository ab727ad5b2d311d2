//! Reading the event log, for the door, the page and the command alike.

use backlot_events::{Event, Events, Filter, Query};
use backlot_ledger::Timestamp;
use backlot_web::ApiError;
use serde::Deserialize;

/// The most events given at once.
pub(crate) const MAX_EVENTS: u32 = 1000;

/// How far back the newest events that fit a filter are looked for.
const FARTHEST: u64 = 100_000;

/// Events given when nobody says how many.
pub(crate) const DEFAULT_EVENTS: u32 = 100;

/// Which events to read; the form of the door's query and of the page's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wanted {
    /// Only after this sequence number.
    pub(crate) after: Option<u64>,
    /// Only kinds that start so.
    pub(crate) kind: String,
    /// Only from this source.
    pub(crate) source: String,
    /// Only about this subject.
    pub(crate) subject: String,
    /// Only at this moment or later, as RFC 3339.
    pub(crate) since: String,
    /// At most so many.
    pub(crate) limit: Option<u32>,
}

impl Wanted {
    /// As the event log's own query.
    pub(crate) fn query(&self) -> Result<Query, String> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let since = match self.since.as_str() {
            "" => None,
            text => Some(
                text.parse::<Timestamp>()
                    .map_err(|_| format!("{text:?} is no moment; write it like 2026-01-31T12:00:00Z"))?,
            ),
        };
        Ok(Query {
            after: self.after.unwrap_or(0),
            limit: self.limit.unwrap_or(DEFAULT_EVENTS).clamp(1, MAX_EVENTS) as usize,
            kind_prefix: given(&self.kind),
            source: given(&self.source),
            subject: given(&self.subject),
            since,
        })
    }

    /// What a follower of the same events sees; where it begins is said apart.
    pub(crate) fn filter(&self) -> Filter {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Filter { kind_prefix: given(&self.kind), source: given(&self.source), subject: given(&self.subject) }
    }

    /// The same, as a client's mistake.
    pub(crate) fn checked_query(&self) -> Result<Query, ApiError> {
        self.query().map_err(|why| ApiError::bad_request("the query does not fit", why))
    }
}

/// The events that fit, oldest first.
pub(crate) async fn page(events: &Events, query: Query) -> Result<Vec<Event>, backlot_events::Error> {
    events.read(query).await
}

/// The newest events that fit, oldest first.
pub(crate) async fn newest(events: &Events, query: Query) -> Result<Vec<Event>, backlot_events::Error> {
    // Reads go forward only, so this steps back from the end until enough fit, looking at four times as much each time.
    let end = events.last_seq().await?;
    let mut span = query.limit as u64;
    loop {
        let after = end.saturating_sub(span);
        let limit = query.limit;
        let mut found = events.read(Query { after, limit: MAX_EVENTS as usize, ..query.clone() }).await?;
        if found.len() >= limit || after == 0 || span >= FARTHEST {
            found.drain(..found.len().saturating_sub(limit));
            return Ok(found);
        }
        span *= 4;
    }
}

/// The event's place in the log.
pub(crate) fn seq(event: &Event) -> u64 {
    event.seq.unwrap_or_default()
}
