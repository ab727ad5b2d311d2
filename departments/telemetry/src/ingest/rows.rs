//! From the rows of a message into the store.
//!
//! A message is read without the store's lock into rows: the sender's own name of a series, a time, a sample. Then the names are looked
//! up (shared lock), those that are new are parsed and checked (no lock), and only the values are put under the exclusive lock, so
//! that messages are read on all processors. A message that cannot be read changes nothing: all its names are read before.

use std::borrow::Cow;

use backlot_atlas::wire::Outcome;

use crate::state::State;
use crate::store::{Alias, Sample, StoreError};

/// Keys and values.
pub(crate) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// One sample of a message.
pub(crate) struct Row<'a> {
    pub(crate) alias: Alias<'a>,
    pub(crate) time: i64,
    pub(crate) sample: Sample,
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
    rows: &[Row<'_>],
    outcome: &mut Outcome,
    mut tags: impl FnMut(usize) -> Result<Pairs<'a>, NoTags<'a, E>>,
) -> Result<(), E> {
    let store = &*state.store;
    let known = store.known(rows.iter().map(|row| row.alias));
    let mut new: Vec<(usize, Pairs<'a>)> = Vec::new();
    let mut named = |number: usize, outcome: &mut Outcome| match tags(number) {
        Ok(pairs) => Ok(Some(pairs)),
        Err(NoTags::Malformed(error)) => Err(error),
        Err(NoTags::Refused(reason, pairs)) => {
            outcome.refuse(reason, &pairs);
            Ok(None)
        }
    };
    for (number, _) in known.iter().enumerate().filter(|(_, known)| known.is_none()) {
        if let Some(pairs) = named(number, outcome)? {
            new.push((number, pairs));
        }
    }
    let mut batch = store.batch();
    let mut new = new.into_iter().peekable();
    for (number, (row, known)) in rows.iter().zip(&known).enumerate() {
        if let Some(id) = *known {
            if batch.put(id, row.time, row.sample) {
                outcome.taken += 1;
                continue;
            }
        } else if new.peek().is_none_or(|(next, _)| *next != number) {
            continue;
        }
        let pairs = match new.next_if(|(next, _)| *next == number) {
            Some((_, pairs)) => pairs,
            // It was forgotten since it was looked up.
            None => match named(number, outcome)? {
                Some(pairs) => pairs,
                None => continue,
            },
        };
        let id = batch.known(row.alias).or_else(|| {
            let tags: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
            batch.learn(row.alias, &tags)
        });
        match id {
            Some(id) if batch.put(id, row.time, row.sample) => outcome.taken += 1,
            _ => outcome.refuse(
                "too many series; raise `max_series`, or send fewer distinct tags".to_owned(),
                &pairs,
            ),
        }
    }
    batch.commit()?;
    Ok(())
}
