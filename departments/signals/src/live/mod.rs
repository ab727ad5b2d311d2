//! Tables from live metrics: the alert and its candidates by query, through [`backlot_series::Source`].
//!
//! A query says which signals; [`LiveAsked::window`] says which points, on a grid whose steps end at whole multiples of the step:
//!
//! ```text
//!      history               before         after
//! |-----------------------|-------------|-----------|
//! what is usual, seasons   where causes  alert       the last step that is whole
//!                          are looked for
//! ```
//!
//! The window ends with the last whole step: the one that goes on is left out, because not every publisher has reported for it yet, and a sum over half
//! the hosts is a false fall. It begins where the data begin: leading steps for which three quarters of the signals have nothing are cut off, and told.
//!
//! What a query may bring in is bounded ([`MOST_SIGNALS`], [`MOST_VALUES`], [`PATIENCE`]), and so are the queries at once ([`Gate`]).

mod names;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backlot_series::{Grid, Series, Source, SourceError};
use backlot_signals_kernels::explain::Reference;
use backlot_work::Span;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::Error;
use crate::question::{Asked, show_time};
use crate::table::Table;

pub(crate) use names::name_of;
pub use window::Window;

/// Candidates at once: as many as a source gives lines for one expression.
pub const MOST_SIGNALS: usize = 100_000;

/// Values at once, half a gigabyte: ten thousand signals over three days of minutes.
pub const MOST_VALUES: usize = 64 << 20;

/// How long a source may take. A second or two is usual; beyond a minute nobody waits for an explanation.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Fetches at once, each of which may hold a table of [`MOST_VALUES`] twice.
const AT_ONCE: usize = 2;

/// Fetches that wait behind those; further ones are refused, because they would run out of patience.
const WAITING: usize = 16;

/// What is asked about live metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveAsked {
    /// The query of the alert's signal: one series.
    pub alert: String,
    /// The query of the candidates.
    pub candidates: String,
    /// When it fired: RFC 3339, or seconds since 1970. Without it, now.
    pub at: Option<String>,
    /// How long before the alert causes are looked for.
    pub before: Option<Span>,
    /// How long after it.
    pub after: Option<Span>,
    /// Correlations are taken over lags up to this.
    pub lags: Option<Span>,
    /// After how long signals repeat. Without it a day, when the history holds three.
    pub season: Option<Span>,
    /// The distance of points; a minute unless given.
    pub step: Option<Span>,
    /// How long before that what is usual is learnt from.
    pub history: Option<Span>,
    /// The share of false discoveries, at most.
    pub rate: f64,
    /// What to call the alert; its series' name unless given.
    pub name: Option<String>,
    /// Of an alert query that gives several series, the one that has these tags (where it has the key).
    pub tags: BTreeMap<String, String>,
    /// Without an alert query: the alert is a step at the time when it fired.
    pub unseen: bool,
}

impl Default for LiveAsked {
    fn default() -> Self {
        Self {
            alert: String::new(),
            candidates: String::new(),
            at: None,
            before: None,
            after: None,
            lags: None,
            season: None,
            step: None,
            history: None,
            rate: Asked::default().rate,
            name: None,
            tags: BTreeMap::new(),
            unseen: false,
        }
    }
}

/// A table of live metrics, and what is asked about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Gathered {
    /// The alert first, then the candidates.
    pub table: Table,
    /// The question about it.
    pub asked: Asked,
}

/// Lets few fetches through at once.
#[derive(Clone, Debug)]
pub struct Gate {
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            running: Arc::new(Semaphore::new(AT_ONCE)),
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
        }
    }
}

impl Gate {
    /// Fetches what is asked, at `now` (milliseconds since 1970).
    ///
    /// # Errors
    /// [`Error::Busy`]; queries that the source refuses ([`Error::Query`]); a source that cannot be read or is too slow ([`Error::Unavailable`]); an alert that
    /// is not one series, no candidates, more than the limits, times that do not fit ([`Error::Time`]).
    pub async fn gather(&self, source: &dyn Source, asked: &LiveAsked, now: i64) -> Result<Gathered, Error> {
        let window = asked.window(now)?;
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Error::Busy(WAITING));
        };
        let fetched = tokio::time::timeout(PATIENCE, async {
            let _running = self.running.acquire().await;
            let alert = if asked.unseen {
                Vec::new()
            } else {
                fetch(source, "alert", &asked.alert, window.grid).await?
            };
            let candidates = fetch(source, "candidates", &asked.candidates, window.grid).await?;
            Ok::<_, Error>((alert, candidates))
        });
        let (alert, candidates) = fetched.await.unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            Err(Error::Unavailable(format!(
                "the metrics took longer than {seconds} s; ask for fewer candidates or a shorter history"
            )))
        })?;
        let (asked, window) = (asked.clone(), window);
        tokio::task::spawn_blocking(move || assemble(&asked, &window, alert, candidates))
            .await
            .unwrap_or_else(|error| {
                Err(Error::Unavailable(format!(
                    "the metrics could not be put together: {error}; please report this"
                )))
            })
    }
}

async fn fetch(
    source: &dyn Source,
    what: &'static str,
    query: &str,
    grid: Grid,
) -> Result<Vec<Series>, Error> {
    let language = source.language();
    let series = source.fetch(query, grid).await.map_err(|error| match error {
        SourceError::Query { reason, .. } => {
            Error::Query { what, reason: format!("{reason}; write an {language} expression") }
        }
        SourceError::Grid { step, reason } => Error::Query {
            what,
            reason: format!(
                "a step of {} s cannot be served, {reason}; give such a --step",
                step as f64 / 1000.0
            ),
        },
        other => Error::Unavailable(format!("{other}; start the server with `backlot up`, and ask it")),
    })?;
    if series.len() > MOST_SIGNALS {
        let found = series.len();
        return Err(Error::Query {
            what,
            reason: format!(
                "it gives {found} series, more than {MOST_SIGNALS}; narrow it, or group by fewer keys"
            ),
        });
    }
    if series.len().saturating_mul(grid.len) > MOST_VALUES {
        let (found, points) = (series.len(), grid.len);
        return Err(Error::Query {
            what,
            reason: format!(
                "{found} series of {points} points are more than {MOST_VALUES} values; narrow it, give a shorter --history or a wider --step"
            ),
        });
    }
    if let Some(odd) = series.iter().find(|series| series.values.len() != grid.len) {
        return Err(Error::Unavailable(format!(
            "the source gave {} points instead of {}; please report this",
            odd.values.len(),
            grid.len
        )));
    }
    Ok(series)
}

/// Makes the table: the alert first, then the candidates in the order of their names.
///
/// # Errors
/// An alert that is not one series, no candidates, data too short for the question.
pub fn assemble(
    asked: &LiveAsked,
    window: &Window,
    alert: Vec<Series>,
    mut candidates: Vec<Series>,
) -> Result<Gathered, Error> {
    let mut notes = Vec::new();
    let alert = if asked.unseen { unseen_alert(window, &mut notes) } else { the_one(alert, asked)? };
    // Under whatever tags: a candidate that is the alert's signal to the last bit explains nothing.
    let is_alert =
        |one: &Series| one.values.iter().zip(&alert.values).all(|(a, b)| a.to_bits() == b.to_bits());
    candidates.retain(|one| !is_alert(one));
    if candidates.is_empty() {
        let reason =
            "it gives no series but the alert's own; widen it, and see /metrics for what there is".to_owned();
        return Err(Error::Query { what: "candidates", reason });
    }
    let alert_name = asked.name.clone().unwrap_or_else(|| name_of(&alert.tags, &asked.alert));
    let (named, shared) = names::name_all(&alert_name, &candidates);
    notes.extend(shared);
    let mut named: Vec<(String, Vec<f64>)> =
        named.into_iter().zip(candidates.into_iter().map(|one| one.values)).collect();
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    let (mut columns, mut values) = (vec![alert_name], vec![alert.values]);
    for (name, signal) in named {
        columns.push(name);
        values.push(signal);
    }
    let cut = begin_of_data(&values[1..]);
    if cut > 0 {
        let begin = window.grid.time(cut);
        let fired_after = (window.fired - begin).max(0) as f64 / 60_000.0;
        notes.push(format!("the data begin at {}, {fired_after:.0} min before the alert; what is usual is learnt from what there is", show_time(begin)));
        for signal in &mut values {
            signal.drain(..cut);
        }
    }
    let mut table = Table::new(window.grid.time(cut), window.grid.step, columns, values)?;
    table.header.notes = notes;
    let asked = Asked {
        alert: table.header.names[0].clone(),
        at: Some(show_time(window.fired)),
        before: asked.before,
        after: asked.after,
        lags: asked.lags,
        season: asked.season,
        rate: asked.rate,
    };
    // Refuses here, where somebody waits, what the run would refuse.
    let question = asked.question(&table.header)?;
    Reference::new(&table.signals[0], question)?;
    Ok(Gathered { table, asked })
}

/// An alert of which only the time is known: 0 before it and 1 from it on.
fn unseen_alert(window: &Window, notes: &mut Vec<String>) -> Series {
    notes.push("the alert's own signal is not known; it is taken as a step when the alert fired, and there are no correlations".to_owned());
    let values = window.grid.times().map(|time| f64::from(u8::from(time >= window.fired))).collect();
    Series { tags: backlot_series::Tags::default(), values }
}

fn the_one(mut alert: Vec<Series>, asked: &LiveAsked) -> Result<Series, Error> {
    if !asked.tags.is_empty() {
        // An alert's labels have `_` where a tag's key has what a label's name cannot.
        let label = |key: &str| {
            asked
                .tags
                .get(key)
                .or_else(|| asked.tags.get(&key.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")))
        };
        alert.retain(|one| {
            one.tags.iter().all(|(key, value)| label(key).is_none_or(|wanted| wanted == value))
        });
    }
    let wrong = |reason: String| Error::Query { what: "alert", reason };
    if alert.len() > 1 {
        let some: Vec<String> = alert.iter().take(3).map(|one| name_of(&one.tags, &asked.alert)).collect();
        return Err(wrong(format!(
            "it gives {} series, among them {}; aggregate it to one, for example with :sum",
            alert.len(),
            some.join(", ")
        )));
    }
    let one = alert.pop().ok_or_else(|| {
        wrong("it gives no series; check its names, and see /metrics for what there is".to_owned())
    })?;
    if one.values.iter().all(|value| value.is_nan()) {
        return Err(wrong(
            "its series has no value in this time; check --at, or give a longer --history".to_owned(),
        ));
    }
    Ok(one)
}

/// The first point at which at least a quarter of the signals that have data at all have some already.
fn begin_of_data(signals: &[Vec<f64>]) -> usize {
    let mut first: Vec<usize> =
        signals.iter().filter_map(|signal| signal.iter().position(|value| !value.is_nan())).collect();
    first.sort_unstable();
    first.get(first.len() / 4).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
