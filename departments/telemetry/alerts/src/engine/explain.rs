//! Why an alert was told, or was not.

use jiff::Timestamp;
use serde::Serialize;

use super::groups::Group;
use super::{Decision, Engine, LogEntry, Verdict};
use crate::alert::Alert;
use crate::labels::Fingerprint;
use crate::silence::Silence;
use crate::{Labels, stamp};

/// Whether an alert is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertState {
    /// The silences that hold.
    pub silenced_by: Vec<String>,
    /// The alert that inhibits it.
    pub inhibited_by: Option<Fingerprint>,
}

impl AlertState {
    /// `active` or `suppressed`.
    pub fn name(&self) -> &'static str {
        if self.silenced_by.is_empty() && self.inhibited_by.is_none() { "active" } else { "suppressed" }
    }
}

/// All that bears on an alert.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The alert.
    pub alert: Alert,
    /// Whether it is over.
    pub resolved: bool,
    /// Whether it is suppressed.
    pub state: AlertState,
    /// The silences behind that.
    pub silences: Vec<Silence>,
    /// The alert behind that.
    pub inhibitor: Option<Alert>,
    /// Its ways: one for each route that it takes.
    pub routes: Vec<RouteView>,
}

/// A route that an alert takes.
#[derive(Clone, Debug, Serialize)]
pub struct RouteView {
    /// The matchers from the root down.
    pub route: String,
    /// To whom.
    pub receiver: String,
    /// The group's key.
    pub group_key: String,
    /// The group's labels.
    pub group_labels: Labels,
    /// When the group is looked at next; `None` if the alert has left its group.
    pub next: Option<String>,
    /// Whether the group waits for the first time.
    pub waiting_first: bool,
    /// Whether a time interval keeps the route quiet now.
    pub quiet: Option<Verdict>,
    /// The receiver's ways.
    pub integrations: Vec<IntegrationView>,
    /// What was decided about the group, the latest last.
    pub history: Vec<Decision>,
}

/// A way to a receiver, and what it was told.
#[derive(Clone, Debug, Serialize)]
pub struct IntegrationView {
    /// `webhook[0]`
    pub integration: String,
    /// What it was told last about the group.
    pub told: Option<LogEntry>,
    /// Whether that was that this alert fires.
    pub knows: bool,
}

/// A group with its alerts.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Its labels.
    pub labels: Labels,
    /// Its receiver.
    pub receiver: String,
    /// The intervals that mute it now.
    pub muted_by: Vec<String>,
    /// Its alerts that are not over.
    pub alerts: Vec<Alert>,
}

impl Engine {
    /// Whether labels are suppressed now.
    pub fn state(&self, labels: &Labels, now: Timestamp) -> AlertState {
        AlertState {
            silenced_by: self.silences.silencing(labels, now),
            inhibited_by: self.inhibitor.inhibiting(labels),
        }
    }

    /// The receivers of alerts with these labels, in the order of their routes.
    pub fn receivers(&self, labels: &Labels) -> Vec<String> {
        self.config
            .matching(labels)
            .into_iter()
            .map(|route| self.config.routes[route].receiver.clone())
            .collect()
    }

    /// The groups, by their labels.
    pub fn groups(&self, now: Timestamp) -> Vec<GroupView> {
        let view = |group: &Group| {
            let mut alerts: Vec<Alert> = group
                .members
                .iter()
                .filter_map(|fingerprint| self.alerts.get(fingerprint))
                .filter(|alert| !alert.is_resolved(now))
                .cloned()
                .collect();
            alerts.sort_by(|left, right| left.labels.notification_order(&right.labels));
            let muted_by = match self.muted_now(Some(group.route), now) {
                Some(Verdict::Muted { interval }) => vec![interval],
                Some(Verdict::Inactive { intervals }) => intervals,
                _ => Vec::new(),
            };
            let receiver = self.config.routes[group.route].receiver.clone();
            GroupView { labels: group.labels.clone(), receiver, muted_by, alerts }
        };
        self.groups
            .sorted(&self.config)
            .into_iter()
            .map(view)
            .filter(|view| !view.alerts.is_empty())
            .collect()
    }

    /// Everything that bears on an alert.
    pub fn explain(&self, fingerprint: Fingerprint, now: Timestamp) -> Option<Explanation> {
        let alert = self.alerts.get(&fingerprint)?.clone();
        let state = self.state(&alert.labels, now);
        let routes = self
            .config
            .matching(&alert.labels)
            .into_iter()
            .map(|route_id| {
                let route = &self.config.routes[route_id];
                let group_labels = route.group_labels(&alert.labels);
                let group_key = format!("{}:{group_labels}", route.key);
                let group = self.groups.of_alert(fingerprint).find(|group| group.key == group_key);
                let ways = self.config.receivers.get(&route.receiver).into_iter().flat_map(|receiver| {
                    receiver.integrations.iter().map(|way| {
                        let key = super::flush::log_key(&group_key, receiver, way);
                        let told = self.log.get(&key).cloned();
                        let knows = told.as_ref().is_some_and(|entry| entry.firing.contains(&fingerprint));
                        IntegrationView { integration: key.integration, told, knows }
                    })
                });
                RouteView {
                    route: route.key.clone(),
                    receiver: route.receiver.clone(),
                    integrations: ways.collect(),
                    next: group.map(|group| stamp::api(group.next)),
                    waiting_first: group.is_some_and(|group| !group.has_flushed),
                    quiet: self.muted_now(Some(route_id), now),
                    history: group.map_or_else(Vec::new, |group| group.history.iter().cloned().collect()),
                    group_key,
                    group_labels,
                }
            })
            .collect();
        Some(Explanation {
            resolved: alert.is_resolved(now),
            silences: state.silenced_by.iter().filter_map(|id| self.silences.get(id)).cloned().collect(),
            inhibitor: state.inhibited_by.and_then(|source| self.alerts.get(&source)).cloned(),
            state,
            routes,
            alert,
        })
    }
}
