//! The time.

use jiff::Timestamp;

/// Now, to the microsecond.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// Now, as headers of messages have it.
pub(crate) fn now_z() -> String {
    now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
