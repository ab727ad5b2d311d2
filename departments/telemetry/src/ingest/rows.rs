//! From the rows of a message into the store.
//!
//! A message is read without the store's lock into rows: a series, a time, a sample. What a sender calls its series is looked
//! up as the message is read; names that are new are parsed and checked then, and only the values are put under the exclusive lock, so
//! that messages are read on all processors. A message that cannot be read changes nothing: all its names are read before.

use std::borrow::Cow;

use backlot_atlas::wire::Outcome;

use crate::state::State;
use crate::store::{Names, Sample, SeriesId, StoreError};

/// Keys and values.
pub(crate) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// The samples of a message.
pub(crate) struct Rows<'a> {
    names: Names<'a>,
    samples: Vec<Row>,
    unknown: Vec<Unknown<'a>>,
}

/// A sample of a message.
struct Row {
    /// `None` for a name that is not known.
    series: Option<SeriesId>,
    time: i64,
    sample: Sample,
}

/// A name that is not known: the number of its row, its context and bytes.
struct Unknown<'a> {
    row: usize,
    context: u64,
    name: &'a [u8],
}

impl<'a> Rows<'a> {
    /// Begins a message, of about so many samples. Nothing else is learnt of names until it is written.
    pub(crate) fn new(state: &'a State, samples: usize) -> Self {
        Self {
            names: state.store.naming().names(),
            samples: Vec::with_capacity(samples),
            unknown: Vec::new(),
        }
    }

    /// Adds a sample of the series that the sender calls by a name.
    #[inline]
    pub(crate) fn push(&mut self, context: u64, name: &'a [u8], time: i64, sample: Sample) {
        let series = self.find(context, name);
        self.push_found(series, (context, name), time, sample);
    }

    /// The series that the sender calls by a name, if it is known.
    #[inline]
    pub(crate) fn find(&mut self, context: u64, name: &[u8]) -> Option<SeriesId> {
        self.names.find(context, name)
    }

    /// The name that is expected next, if these bytes begin with it: see [`Names::expected`].
    #[inline]
    pub(crate) fn expected(&mut self, context: u64, bytes: &[u8]) -> Option<(usize, SeriesId)> {
        self.names.expected(context, bytes)
    }

    /// Adds a sample of a series whose name has been looked up.
    #[inline]
    pub(crate) fn push_found(
        &mut self,
        series: Option<SeriesId>,
        (context, name): (u64, &'a [u8]),
        time: i64,
        sample: Sample,
    ) {
        if series.is_none() {
            self.unknown.push(Unknown { row: self.samples.len(), context, name });
        }
        self.samples.push(Row { series, time, sample });
    }
}

/// Why a row has no tags.
pub(crate) enum NoTags<'a, E> {
    /// They break a rule.
    Refused(String, Pairs<'a>),
    /// The message cannot be read.
    Malformed(E),
}

/// Sorts pairs by key; of two with one key the first holds.
pub(crate) fn sort(pairs: &mut Pairs<'_>) {
    pairs.sort_by(|left, right| left.0.cmp(&right.0));
    pairs.dedup_by(|later, earlier| later.0 == earlier.0);
}

/// Writes rows. `tags` gives the sorted tags of the row with this number; it is asked only for names that the store does not know.
pub(crate) fn write<'a, E: From<StoreError>>(
    state: &State,
    rows: Rows<'_>,
    outcome: &mut Outcome,
    mut tags: impl FnMut(usize) -> Result<Pairs<'a>, NoTags<'a, E>>,
) -> Result<(), E> {
    let Rows { names, samples, unknown } = rows;
    // Who learns names waits for it, and who writes may forget some.
    drop(names);
    let mut named = |number: usize, outcome: &mut Outcome| match tags(number) {
        Ok(pairs) => Ok(Some(pairs)),
        Err(NoTags::Malformed(error)) => Err(error),
        Err(NoTags::Refused(reason, pairs)) => {
            outcome.refuse(reason, &pairs);
            Ok(None)
        }
    };
    let mut new = Vec::with_capacity(unknown.len());
    for unknown in &unknown {
        if let Some(pairs) = named(unknown.row, outcome)? {
            new.push((unknown, pairs));
        }
    }
    let (mut learnt, mut gone) = (Vec::with_capacity(new.len()), Vec::new());
    let mut new = new.into_iter().peekable();
    let mut batch = state.store.batch();
    for (number, row) in samples.iter().enumerate() {
        let pairs = match row.series {
            Some(id) if batch.put(id, row.time, row.sample) => {
                outcome.taken += 1;
                continue;
            }
            // It was forgotten since it was looked up.
            Some(id) => {
                gone.push(id);
                named(number, outcome)?.map(|pairs| (None, pairs))
            }
            None => new
                .next_if(|(unknown, _)| unknown.row == number)
                .map(|(unknown, pairs)| (Some(unknown), pairs)),
        };
        let Some((unknown, pairs)) = pairs else { continue };
        let tags: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
        match batch.find_or_insert(&tags) {
            Some(id) if batch.put(id, row.time, row.sample) => {
                outcome.taken += 1;
                learnt.extend(unknown.map(|unknown| (unknown.context, unknown.name, id)));
            }
            _ => outcome.refuse(
                "too many series; raise `max_series`, or send fewer distinct tags".to_owned(),
                &pairs,
            ),
        }
    }
    batch.commit()?;
    let naming = state.store.naming();
    naming.forget(gone);
    if !learnt.is_empty() {
        naming.remember(learnt);
    }
    Ok(())
}
