//! Instants as JSON texts.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serializer};

/// An end that only its sender brings: rules say themselves when an alert is over.
pub fn far_future() -> Timestamp {
    Timestamp::from_second(253_370_764_800).expect("invariant: the year 9999 is in range")
}

/// With milliseconds, as the API shows times.
pub fn api(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

pub(crate) fn serialize<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(instant)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// Reads a client's time; Go's zero time is none.
pub(crate) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.starts_with("0001-01-01T") {
        return Ok(None);
    }
    let instant: Timestamp = text
        .parse()
        .map_err(|_| serde::de::Error::custom(format!("`{}` is no date-time", shorten(&text))))?;
    // What lies before computers or beyond the calendars of clients is a slip of units.
    if instant.as_second() < 0 || instant > far_future() {
        return Err(serde::de::Error::custom(format!("`{}` is not between 1970 and 9999", shorten(&text))));
    }
    Ok(Some(instant))
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}
