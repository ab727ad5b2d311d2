//! The fields of the file, with every scalar a text.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::config::{ConfigError, field};
use crate::interval::IntervalText;

/// Reads a section; what is wrong is told with its place.
pub(crate) fn read<T: DeserializeOwned>(place: &str, value: Value) -> Result<T, ConfigError> {
    serde_json::from_value(value).map_err(|error| field(place, error.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) global: Option<Global>,
    pub(crate) route: Option<Route>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) receivers: Vec<Value>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) inhibit_rules: Vec<InhibitRule>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) time_intervals: Vec<NamedIntervals>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) mute_time_intervals: Vec<NamedIntervals>,
    /// Files of Go templates: taken and not used, for the templates that are taken need none.
    #[serde(default, deserialize_with = "null_is_default", rename = "templates")]
    pub(crate) _templates: Vec<String>,
}

#[derive(Default, Deserialize)]
pub(crate) struct Global {
    pub(crate) resolve_timeout: Option<String>,
    pub(crate) smtp_smarthost: Option<String>,
    pub(crate) smtp_from: Option<String>,
    pub(crate) smtp_hello: Option<String>,
    pub(crate) smtp_auth_username: Option<String>,
    pub(crate) smtp_auth_password: Option<String>,
    pub(crate) smtp_auth_password_file: Option<String>,
    pub(crate) smtp_require_tls: Option<String>,
    /// Settings of receivers that are not here (Slack, PagerDuty, …) change nothing.
    #[serde(flatten)]
    pub(crate) _others: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedIntervals {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) time_intervals: Vec<IntervalText>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Route {
    pub(crate) receiver: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) group_by: Option<Vec<String>>,
    #[serde(rename = "match", deserialize_with = "null_is_default")]
    pub(crate) equal: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) match_re: BTreeMap<String, String>,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) matchers: Vec<String>,
    #[serde(rename = "continue")]
    pub(crate) goes_on: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) mute_time_intervals: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) active_time_intervals: Vec<String>,
    pub(crate) group_wait: Option<String>,
    pub(crate) group_interval: Option<String>,
    pub(crate) repeat_interval: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) routes: Vec<Route>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct InhibitRule {
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) source_match: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) source_match_re: BTreeMap<String, String>,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) source_matchers: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) target_match: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) target_match_re: BTreeMap<String, String>,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) target_matchers: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) equal: Vec<String>,
}

pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A list, or one text for a list of one.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Many(Vec<String>),
        One(String),
    }
    Ok(match Option::<Form>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Form::One(text)) => vec![text],
        Some(Form::Many(texts)) => texts,
    })
}

/// A boolean as YAML 1.1 writes it.
pub(crate) fn flag(place: &str, text: Option<&str>, default: bool) -> Result<bool, ConfigError> {
    match text {
        None => Ok(default),
        Some("true" | "True" | "TRUE" | "yes" | "Yes" | "on" | "On") => Ok(true),
        Some("false" | "False" | "FALSE" | "no" | "No" | "off" | "Off") => Ok(false),
        Some(other) => Err(field(place, format!("`{other}` is no boolean; write true or false"))),
    }
}

/// A duration as Prometheus writes it: `1h30m`, `30s`, `500ms`, `2d`.
pub(crate) fn duration(place: &str, text: &str) -> Result<Duration, ConfigError> {
    let wrong = || field(place, format!("`{text}` is no duration; write 30s, 5m, 1h30m, 2d"));
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total: u64 = 0;
    let mut rest = text;
    let mut last_unit = u64::MAX;
    if text.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return Err(wrong()),
        };
        // Units come from the largest on, each once.
        if unit >= last_unit {
            return Err(wrong());
        }
        last_unit = unit;
        rest = &rest[letters..];
        total = number.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
    }
    // A century is beyond every use, and within every calendar.
    if total > 100 * 365 * 86_400_000 {
        return Err(wrong());
    }
    Ok(Duration::from_millis(total))
}

pub(crate) fn duration_or(
    place: &str,
    text: Option<&str>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    text.map_or(Ok(default), |text| duration(place, text))
}
