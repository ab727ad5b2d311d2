//! The ledger's time as the engine's.

use backlot_ledger::{Ledger, Timestamp as Micros};
use jiff::Timestamp;

/// The ledger's present.
pub(crate) fn now(ledger: &Ledger) -> Timestamp {
    instant(ledger.now())
}

/// An instant of the ledger; what no calendar has is its end.
pub(crate) fn instant(micros: Micros) -> Timestamp {
    Timestamp::from_microsecond(micros.micros()).unwrap_or(Timestamp::MAX)
}

/// An instant for the ledger.
pub(crate) fn micros(instant: Timestamp) -> Micros {
    Micros::from_micros(instant.as_microsecond())
}

/// Milliseconds since 1970 as an instant.
pub(crate) fn from_millis(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}
