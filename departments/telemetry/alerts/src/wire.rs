//! The JSON of Alertmanager: its API version 2, and the body of its webhook.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::alert::Alert;
use crate::config::Config;
use crate::engine::{AlertState, GroupView, Notification, Posted};
use crate::interval::IntervalText;
use crate::silence::Silence;
use crate::{Labels, Matcher, stamp};

/// An alert as clients post it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostedAlert {
    /// What identifies it.
    pub labels: Labels,
    /// What explains it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub annotations: Labels,
    /// Since when.
    #[serde(default, deserialize_with = "stamp::optional")]
    pub starts_at: Option<Timestamp>,
    /// Until when.
    #[serde(default, deserialize_with = "stamp::optional")]
    pub ends_at: Option<Timestamp>,
    /// Where it comes from.
    #[serde(default, rename = "generatorURL", deserialize_with = "null_is_default")]
    pub generator_url: String,
}

fn null_is_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl From<PostedAlert> for Posted {
    fn from(alert: PostedAlert) -> Self {
        Self {
            labels: alert.labels,
            annotations: alert.annotations,
            starts_at: alert.starts_at,
            ends_at: alert.ends_at,
            generator_url: alert.generator_url,
            origin: None,
        }
    }
}

/// A silence as clients post it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostedSilence {
    /// The id of the one that is changed.
    #[serde(default, deserialize_with = "null_is_default")]
    pub id: String,
    /// Which alerts.
    pub matchers: Option<Vec<Matcher>>,
    /// From when.
    #[serde(default, deserialize_with = "stamp::optional")]
    pub starts_at: Option<Timestamp>,
    /// Until when.
    #[serde(default, deserialize_with = "stamp::optional")]
    pub ends_at: Option<Timestamp>,
    /// By whom.
    pub created_by: Option<String>,
    /// Why.
    pub comment: Option<String>,
    /// At which times only: ours.
    #[serde(default, deserialize_with = "null_is_default")]
    pub time_intervals: Vec<IntervalText>,
}

impl PostedSilence {
    /// The silence.
    ///
    /// # Errors
    /// The field that is missing.
    pub fn into_silence(self, now: Timestamp) -> Result<Silence, &'static str> {
        Ok(Silence {
            id: self.id,
            matchers: self.matchers.ok_or("matchers")?,
            starts_at: self.starts_at.ok_or("startsAt")?,
            ends_at: self.ends_at.ok_or("endsAt")?,
            updated_at: now,
            created_by: self.created_by.ok_or("createdBy")?,
            comment: self.comment.ok_or("comment")?,
            time_intervals: self.time_intervals,
        })
    }
}

/// An alert as the API shows it.
pub fn alert(alert: &Alert, receivers: &[String], state: &AlertState, muted_by: &[String]) -> Value {
    let receivers: Vec<Value> = receivers.iter().map(|name| json!({ "name": name })).collect();
    let inhibited_by: Vec<String> = state.inhibited_by.iter().map(ToString::to_string).collect();
    json!({
        "annotations": alert.annotations,
        "endsAt": stamp::api(alert.ends_at),
        "fingerprint": alert.fingerprint(),
        "receivers": receivers,
        "startsAt": stamp::api(alert.starts_at),
        "status": { "inhibitedBy": inhibited_by, "mutedBy": muted_by, "silencedBy": state.silenced_by, "state": state.name() },
        "updatedAt": stamp::api(alert.updated_at),
        "generatorURL": alert.generator_url,
        "labels": alert.labels,
    })
}

/// A group as the API shows it, its alerts shown already.
pub fn group(group: &GroupView, alerts: Vec<Value>) -> Value {
    json!({ "alerts": alerts, "labels": group.labels, "receiver": { "name": group.receiver } })
}

/// A silence as the API shows it.
pub fn silence(silence: &Silence, now: Timestamp) -> Value {
    let mut shown = json!({
        "id": silence.id,
        "status": { "state": silence.state(now).name() },
        "updatedAt": stamp::api(silence.updated_at),
        "comment": silence.comment,
        "createdBy": silence.created_by,
        "endsAt": stamp::api(silence.ends_at),
        "matchers": silence.matchers,
        "startsAt": stamp::api(silence.starts_at),
    });
    if !silence.time_intervals.is_empty() {
        shown["timeIntervals"] = json!(silence.time_intervals);
    }
    shown
}

/// The body of a webhook, version 4. Fields stand in Alertmanager's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookBody {
    receiver: String,
    status: &'static str,
    alerts: Vec<WebhookAlert>,
    group_labels: Labels,
    common_labels: Labels,
    common_annotations: Labels,
    #[serde(rename = "externalURL")]
    external_url: String,
    version: &'static str,
    group_key: String,
    truncated_alerts: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WebhookAlert {
    status: &'static str,
    labels: Labels,
    annotations: Labels,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

/// Go's zero time: the end of what fires.
const NO_END: &str = "0001-01-01T00:00:00Z";

fn status(is_over: bool) -> &'static str {
    if is_over { "resolved" } else { "firing" }
}

impl WebhookBody {
    /// The body of a notification.
    pub fn new(notification: &Notification, external_url: &str, max_alerts: usize) -> Self {
        let (at, alerts) = (notification.at, &notification.alerts);
        let shown = if max_alerts == 0 { alerts.len() } else { max_alerts.min(alerts.len()) };
        let show = |alert: &Alert| {
            let is_over = alert.is_resolved(at);
            WebhookAlert {
                status: status(is_over),
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at: alert.starts_at.to_string(),
                ends_at: if is_over { alert.ends_at.to_string() } else { NO_END.to_owned() },
                generator_url: alert.generator_url.clone(),
                fingerprint: alert.fingerprint().to_string(),
            }
        };
        Self {
            // Alertmanager writes the name as a pattern that matches it.
            receiver: regex::escape(&notification.key.receiver).replace("\\-", "-"),
            status: status(alerts.iter().all(|alert| alert.is_resolved(at))),
            alerts: alerts[..shown].iter().map(show).collect(),
            group_labels: notification.group_labels.clone(),
            common_labels: common(&alerts[..shown], |alert| &alert.labels),
            common_annotations: common(&alerts[..shown], |alert| &alert.annotations),
            external_url: external_url.to_owned(),
            version: "4",
            group_key: notification.key.group_key.clone(),
            truncated_alerts: alerts.len() - shown,
        }
    }

    /// `firing` or `resolved`.
    pub fn status(&self) -> &'static str {
        self.status
    }

    /// Labels that all alerts share.
    pub fn common_labels(&self) -> &Labels {
        &self.common_labels
    }

    /// Annotations that all alerts share.
    pub fn common_annotations(&self) -> &Labels {
        &self.common_annotations
    }
}

fn common(alerts: &[Alert], of: impl Fn(&Alert) -> &Labels) -> Labels {
    let Some(first) = alerts.first() else { return Labels::default() };
    let mut shared = of(first).clone();
    shared.0.retain(|name, value| alerts.iter().all(|alert| of(alert).0.get(name) == Some(value)));
    shared
}

/// The configuration and version as the API shows them. The version is that of the Alertmanager whose API this is.
pub fn status_body(config: &Config, started: Timestamp) -> Value {
    json!({
        "cluster": { "name": "", "peers": [], "status": "disabled" },
        "config": { "original": config.original },
        "uptime": stamp::api(started),
        "versionInfo": {
            "branch": "", "buildDate": "", "buildUser": "", "goVersion": "",
            "revision": concat!("backlot ", env!("CARGO_PKG_VERSION")), "version": "0.25.0",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posted_alerts_are_read_as_clients_write_them() {
        let read: Vec<PostedAlert> = serde_json::from_str(
            r#"[{"labels":{"alertname":"a"},"annotations":null,"startsAt":"2026-11-29T10:00:00.123+02:00","endsAt":"0001-01-01T00:00:00.000Z","generatorURL":"http://x"},{"labels":{"a":"b"}}]"#,
        )
        .unwrap();
        assert_eq!(read[0].starts_at.unwrap().to_string(), "2026-11-29T08:00:00.123Z");
        assert_eq!((read[0].ends_at, read[1].starts_at), (None, None));
        for bad in [
            r#"{"labels":{"a":1}}"#,
            r#"{"labels":{"a":"b"},"startsAt":"yesterday"}"#,
            r#"{"labels":{"a":"b"},"endsAt":"99999-01-01T00:00:00Z"}"#,
            r#"{"annotations":{}}"#,
        ] {
            assert!(serde_json::from_str::<PostedAlert>(bad).is_err(), "{bad}");
        }
    }
}
