//! Who subscribed to what.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backlot_atlas::stream::DataId;
use backlot_atlas::{DataExpr, parse};
use backlot_ledger::Ledger;
use backlot_series::Tags;
use sha1::{Digest, Sha1};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::message::{Message, Part};
use crate::alerts::{Feed, Watcher};

/// Most subscribers.
pub(crate) const MOST_STREAMS: usize = 1000;

/// Most expressions of one subscriber.
pub(crate) const MOST_EXPRESSIONS: usize = 10_000;

/// Batches that may wait for one subscriber; a slow one loses the newest, and is counted.
const WAITING: usize = 256;

/// Datapoints of one batch.
const BATCH: usize = 1000;

/// Between heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The kind of expression that is evaluated here.
pub(crate) const TIME_SERIES: &str = "TIME_SERIES";

/// An expression that a subscriber asks for.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Wanted {
    pub(crate) expression: String,
    #[serde(default = "time_series", rename = "exprType")]
    pub(crate) kind: String,
    #[serde(default, alias = "frequency")]
    pub(crate) step: Option<i64>,
}

fn time_series() -> String {
    TIME_SERIES.to_owned()
}

/// The subscribers. A cheap handle.
#[derive(Clone)]
pub(crate) struct Hub {
    inner: Arc<Mutex<Inner>>,
    dropped: Arc<AtomicU64>,
    step: i64,
}

#[derive(Default)]
struct Inner {
    streams: BTreeMap<String, Stream>,
    expressions: BTreeMap<String, Expression>,
    by_data: HashMap<DataId, String>,
    closed: bool,
    /// Grows with each change of the expressions: their ETag.
    generation: u64,
    next_connection: u64,
}

struct Stream {
    connection: u64,
    address: String,
    since: i64,
    sender: Sender<Vec<Message>>,
    ids: BTreeSet<String>,
}

struct Expression {
    text: String,
    frequency: i64,
    streams: BTreeSet<String>,
    data: Option<DataId>,
}

/// A subscriber's end; it is forgotten when this is dropped.
pub(crate) struct Subscriber {
    hub: Hub,
    feed: Feed,
    name: String,
    connection: u64,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let gone = self.hub.leave(&self.name, self.connection);
        if !gone.is_empty() {
            // The feed may be full, and this may be a server's thread.
            let feed = self.feed.clone();
            std::thread::spawn(move || {
                feed.edit(move |evaluator| gone.into_iter().for_each(|id| evaluator.unwatch(id)))
            });
        }
    }
}

/// `sha1(frequency~kind~expression)` in hexadecimal, as Atlas' clients know expressions.
pub(crate) fn expression_id(expression: &str, frequency: i64) -> String {
    let hash = Sha1::digest(format!("{frequency}~{TIME_SERIES}~{expression}"));
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Hub {
    pub(crate) fn new(step: i64) -> Self {
        Self { inner: Arc::default(), dropped: Arc::default(), step }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new subscriber; one that has the same name is sent away.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn join(
        &self,
        name: &str,
        address: String,
        since: i64,
        feed: Feed,
    ) -> Result<(Subscriber, Receiver<Vec<Message>>), String> {
        let (sender, receiver) = channel(WAITING);
        let mut inner = self.lock();
        if inner.closed {
            return Err("the server is stopping".to_owned());
        }
        if inner.streams.len() >= MOST_STREAMS && !inner.streams.contains_key(name) {
            return Err(format!("there are {MOST_STREAMS} subscribers already"));
        }
        inner.next_connection += 1;
        let connection = inner.next_connection;
        let stream = Stream { connection, address, since, sender, ids: BTreeSet::new() };
        let before = inner.streams.insert(name.to_owned(), stream);
        if let Some(before) = before {
            let text = format!("dropped: another connection is using id: {name}");
            // It is on its way out.
            drop(before.sender.try_send(vec![Message::Diagnostic { kind: "info", text }]));
            if let Some(stream) = inner.streams.get_mut(name) {
                stream.ids = before.ids;
            }
        }
        drop(inner);
        Ok((Subscriber { hub: self.clone(), feed, name: name.to_owned(), connection }, receiver))
    }

    fn leave(&self, name: &str, connection: u64) -> Vec<DataId> {
        let mut inner = self.lock();
        if inner.streams.get(name).is_none_or(|stream| stream.connection != connection) {
            return Vec::new();
        }
        let ids = inner.streams.remove(name).map(|stream| stream.ids).unwrap_or_default();
        ids.iter().filter_map(|id| inner.unsubscribe(name, id)).collect()
    }

    /// Sends every subscriber a heartbeat now and then, until it is aborted.
    pub(crate) async fn heartbeats(self, ledger: Ledger) {
        let mut ticks = tokio::time::interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = ledger.now().micros().div_euclid(1000);
            // One step late, for data that is on its way.
            let beat = |step: i64| Message::Heartbeat { timestamp: now - now.rem_euclid(step) - step, step };
            let inner = self.lock();
            for stream in inner.streams.values() {
                let step = if stream.ids.is_empty() { 5000 } else { self.step };
                drop(stream.sender.try_send(vec![beat(step)]));
            }
        }
    }

    /// Sends everybody away.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.streams.clear();
    }

    /// All subscribed expressions, and a number that changes with them.
    pub(crate) fn expressions(&self) -> (u64, Vec<(String, String, i64)>) {
        let inner = self.lock();
        let all = inner.expressions.iter();
        (inner.generation, all.map(|(id, of)| (id.clone(), of.text.clone(), of.frequency)).collect())
    }

    /// The subscribers: name, address, since when, their expressions.
    pub(crate) fn streams(&self) -> Vec<(String, String, i64, Vec<(String, String, i64)>)> {
        let inner = self.lock();
        let expressions = |ids: &BTreeSet<String>| {
            let of =
                |id: &String| inner.expressions.get(id).map(|of| (id.clone(), of.text.clone(), of.frequency));
            ids.iter().filter_map(of).collect()
        };
        let all = inner.streams.iter();
        all.map(|(name, of)| (name.clone(), of.address.clone(), of.since, expressions(&of.ids))).collect()
    }

    /// Sends messages to those who subscribed to an expression; whether anybody has.
    pub(crate) fn deliver(&self, id: &str, messages: &[Message]) -> bool {
        let inner = self.lock();
        let Some(expression) = inner.expressions.get(id) else { return false };
        for stream in expression.streams.iter().filter_map(|name| inner.streams.get(name)) {
            for batch in messages.chunks(BATCH) {
                if stream.sender.try_send(batch.to_vec()).is_err() {
                    self.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                }
            }
        }
        true
    }

    /// Messages that subscribers were too slow for.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// Gives back what nobody wants any more.
    fn unsubscribe(&mut self, name: &str, id: &str) -> Option<DataId> {
        let expression = self.expressions.get_mut(id)?;
        expression.streams.remove(name);
        if !expression.streams.is_empty() {
            return None;
        }
        let data = self.expressions.remove(id).and_then(|expression| expression.data);
        self.generation += 1;
        if let Some(data) = data {
            self.by_data.remove(&data);
        }
        data
    }
}

impl Subscriber {
    /// Replaces what it is subscribed to.
    pub(crate) async fn subscribe(&self, wanted: Vec<Wanted>) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut ids: BTreeMap<String, DataExpr> = BTreeMap::new();
        if wanted.len() > MOST_EXPRESSIONS {
            let text =
                format!("{} expressions are more than {MOST_EXPRESSIONS}; nothing was changed", wanted.len());
            return vec![Message::Diagnostic { kind: "error", text }];
        }
        for one in wanted {
            match self.split(&one) {
                Ok(parts) => {
                    let show = |(id, data): &(String, DataExpr)| Part {
                        id: id.clone(),
                        expression: data.to_string(),
                        frequency: self.hub.step,
                    };
                    messages.push(Message::Subscription {
                        expression: one.expression,
                        kind: TIME_SERIES.to_owned(),
                        parts: parts.iter().map(show).collect(),
                    });
                    ids.extend(parts);
                }
                Err(reason) => {
                    let expression: String = one.expression.chars().take(500).collect();
                    messages.push(Message::Diagnostic {
                        kind: "error",
                        text: format!("[{expression}] {reason}"),
                    });
                }
            }
        }
        let (new, gone) = self.replace(&ids);
        let hub = self.hub.clone();
        let edit = move |evaluator: &mut crate::alerts::Evaluator| {
            gone.into_iter().for_each(|id| evaluator.unwatch(id));
            for (id, data) in new {
                let watched = evaluator.watch(data);
                let mut inner = hub.lock();
                match inner.expressions.get_mut(&id).filter(|expression| expression.data.is_none()) {
                    Some(expression) => {
                        expression.data = Some(watched);
                        inner.by_data.insert(watched, id);
                    }
                    // Its subscriber left while this waited.
                    None => {
                        drop(inner);
                        evaluator.unwatch(watched);
                    }
                }
            }
        };
        let feed = self.feed.clone();
        drop(tokio::task::spawn_blocking(move || feed.edit(edit)).await);
        messages
    }

    fn split(&self, wanted: &Wanted) -> Result<Vec<(String, DataExpr)>, String> {
        if wanted.kind != TIME_SERIES {
            return Err(format!(
                "expressions of the kind {} are not evaluated here; {TIME_SERIES} are",
                wanted.kind
            ));
        }
        let step = self.hub.step;
        if wanted.step.is_some_and(|asked| asked != step) {
            return Err(format!("the step must be {step} ms, this server's own"));
        }
        let mut parts = Vec::new();
        for styled in parse(&wanted.expression).map_err(|error| error.to_string())? {
            for data in styled.expr.data() {
                if data.offset != 0 {
                    return Err(":offset looks back, which a stream does not".to_owned());
                }
                parts.push((expression_id(&data.to_string(), step), data.clone()));
            }
        }
        if parts.is_empty() {
            return Err("the expression reads no data".to_owned());
        }
        Ok(parts)
    }

    /// Notes what it wants now; gives what is to be watched, and what no longer.
    fn replace(&self, wanted: &BTreeMap<String, DataExpr>) -> (Vec<(String, DataExpr)>, Vec<DataId>) {
        let mut inner = self.hub.lock();
        let Some(stream) =
            inner.streams.get_mut(&self.name).filter(|stream| stream.connection == self.connection)
        else {
            return (Vec::new(), Vec::new());
        };
        let before = std::mem::replace(&mut stream.ids, wanted.keys().cloned().collect());
        let mut new = Vec::new();
        for (id, data) in wanted {
            let step = self.hub.step;
            if !inner.expressions.contains_key(id) {
                inner.generation += 1;
                let text = data.to_string();
                let expression = Expression { text, frequency: step, streams: BTreeSet::new(), data: None };
                inner.expressions.insert(id.clone(), expression);
                new.push((id.clone(), data.clone()));
            }
            if let Some(expression) = inner.expressions.get_mut(id) {
                expression.streams.insert(self.name.clone());
            }
        }
        let old: Vec<String> = before.into_iter().filter(|id| !wanted.contains_key(id)).collect();
        let gone = old.iter().filter_map(|id| inner.unsubscribe(&self.name, id)).collect();
        (new, gone)
    }
}

impl Watcher for Hub {
    fn wanted(&self) -> Vec<DataId> {
        self.lock().by_data.keys().copied().collect()
    }

    fn values(&mut self, data: DataId, at: i64, values: &mut dyn Iterator<Item = (&Tags, f64)>) {
        let Some(id) = self.lock().by_data.get(&data).cloned() else { return };
        let datapoint = |(tags, value): (&Tags, f64)| Message::Datapoint {
            timestamp: at,
            id: id.clone(),
            tags: tags.clone(),
            value,
        };
        let messages: Vec<Message> = values.map(datapoint).collect();
        if !messages.is_empty() {
            self.deliver(&id, &messages);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_atlas() {
        let id = expression_id("name,foo,:eq,:sum", 60_000);
        assert_eq!(id.len(), 40);
        assert_ne!(id, expression_id("name,foo,:eq,:sum", 5000));
    }
}
