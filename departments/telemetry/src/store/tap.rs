//! Values as they are applied, for who evaluates them as they arrive.
//!
//! A tap sees what the store sees after rates were made and spread over steps, by the store's own numbers for series, so that
//! it need not know of kinds and names and adds up in the same order. It is told after each batch and must not wait: the
//! store is locked.

use std::sync::Arc;

use backlot_series::Tags;

use super::{Effect, Store};

/// A value that was applied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Applied {
    /// The store's number for the series.
    pub series: u32,
    /// The end of its step in milliseconds.
    pub end: i64,
    /// What it did.
    pub effect: Effect,
    /// The value.
    pub value: f64,
}

/// Who is told of values.
pub trait Tap: Send + Sync {
    /// Whether anything is wanted now.
    fn wants(&self) -> bool;

    /// Takes the values of a batch. It does not wait.
    fn take(&self, applied: Vec<Applied>);
}

/// Values between two hand-overs. A huge batch is handed over in parts.
const MOST_AT_ONCE: usize = 100_000;

pub(super) struct Tapped {
    tap: Arc<dyn Tap>,
    waiting: Vec<Applied>,
    /// Whether it wanted values as the batch began.
    is_wanted: bool,
}

impl Tapped {
    pub(super) fn begin(&mut self) {
        self.is_wanted = self.tap.wants();
    }

    #[inline]
    pub(super) fn note(&mut self, series: u32, end: i64, effect: Effect, value: f64) {
        if !self.is_wanted {
            return;
        }
        self.waiting.push(Applied { series, end, effect, value });
        if self.waiting.len() >= MOST_AT_ONCE {
            self.hand_on();
        }
    }

    pub(super) fn hand_on(&mut self) {
        if !self.waiting.is_empty() {
            self.tap.take(std::mem::take(&mut self.waiting));
        }
    }
}

impl Store {
    /// Tells somebody of every value from now on.
    pub fn set_tap(&self, tap: Arc<dyn Tap>) {
        self.write_lock().tap = Some(Tapped { tap, waiting: Vec::new(), is_wanted: false });
    }

    /// What a series is, by the number that a tap was told.
    pub fn tags_of(&self, series: u32) -> Option<Tags> {
        self.read().series.get(series as usize).and_then(Option::as_ref).map(|series| series.tags.clone())
    }
}
