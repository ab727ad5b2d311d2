//! Groups of alerts and their timers.

use std::collections::{BTreeSet, HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::{Decision, LogEntry, LogKey};
use crate::Labels;
use crate::alert::Alert;
use crate::config::{Config, RouteId};
use crate::labels::Fingerprint;

/// Decisions about a group that are remembered: a day of flushes in which something changed.
const HISTORY: usize = 32;

pub(super) type GroupId = u64;

/// Alerts of one route that are told together.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) route: RouteId,
    pub(super) labels: Labels,
    pub(super) key: String,
    pub(super) members: BTreeSet<Fingerprint>,
    pub(super) next: Timestamp,
    pub(super) has_flushed: bool,
    /// Notifications of the last flush that are on their way, and whether one has failed.
    pub(super) waiting: usize,
    pub(super) failed: bool,
    /// The alerts that the last flush told to be over, with their state then.
    pub(super) told_over: Vec<(Fingerprint, Timestamp)>,
    pub(super) history: VecDeque<Decision>,
}

impl Group {
    pub(super) fn remember(&mut self, decision: Decision) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(decision);
    }
}

#[derive(Debug, Default)]
pub(super) struct Groups {
    all: HashMap<GroupId, Group>,
    by_labels: HashMap<(RouteId, Labels), GroupId>,
    of_alert: HashMap<Fingerprint, Vec<GroupId>>,
    timers: BTreeSet<(Timestamp, GroupId)>,
    next_id: GroupId,
}

pub(super) fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

pub(super) fn later(instant: Timestamp, by: std::time::Duration) -> Timestamp {
    instant.saturating_add(signed(by)).unwrap_or(instant)
}

fn key_of(config: &Config, route: RouteId, labels: &Labels) -> String {
    format!("{}:{labels}", config.routes[route].key)
}

fn last_told<'a>(
    config: &Config,
    log: &'a HashMap<LogKey, LogEntry>,
    route: RouteId,
    group_key: &str,
) -> impl Iterator<Item = &'a LogEntry> {
    let receiver = config.receivers.get(&config.routes[route].receiver);
    let keys: Vec<LogKey> = receiver.map_or_else(Vec::new, |receiver| {
        receiver.integrations.iter().map(|one| super::flush::log_key(group_key, receiver, one)).collect()
    });
    keys.into_iter().filter_map(|key| log.get(&key))
}

/// Whether a receiver was told that an alert fires, and not yet that it is over.
pub(super) fn was_told(config: &Config, log: &HashMap<LogKey, LogEntry>, alert: &Alert) -> bool {
    let fingerprint = alert.fingerprint();
    config.matching(&alert.labels).into_iter().any(|route| {
        let labels = config.routes[route].group_labels(&alert.labels);
        let key = key_of(config, route, &labels);
        last_told(config, log, route, &key).any(|entry| entry.firing.contains(&fingerprint))
    })
}

impl Groups {
    /// Puts an alert into its groups; the first of a group starts its timer. With a log it is put where it was before: a group
    /// that was told of then goes on from there.
    pub(super) fn insert(
        &mut self,
        config: &Config,
        log: Option<&HashMap<LogKey, LogEntry>>,
        fingerprint: Fingerprint,
        alert: &Alert,
        now: Timestamp,
    ) {
        for route_id in config.matching(&alert.labels) {
            let route = &config.routes[route_id];
            let labels = route.group_labels(&alert.labels);
            let id = match self.by_labels.get(&(route_id, labels.clone())) {
                Some(id) => *id,
                None => self.create(config, log, route_id, labels, alert),
            };
            let Some(group) = self.all.get_mut(&id) else { continue };
            if group.members.insert(fingerprint) {
                self.of_alert.entry(fingerprint).or_default().push(id);
            }
            // An alert that has been there for longer than the wait need not wait again.
            if !group.has_flushed && later(alert.starts_at, route.group_wait) < now && group.next > now {
                self.timers.remove(&(group.next, id));
                group.next = now;
                self.timers.insert((now, id));
            }
        }
    }

    fn create(
        &mut self,
        config: &Config,
        log: Option<&HashMap<LogKey, LogEntry>>,
        route_id: RouteId,
        labels: Labels,
        alert: &Alert,
    ) -> GroupId {
        let route = &config.routes[route_id];
        let key = key_of(config, route_id, &labels);
        let flushed_at = log.and_then(|log| {
            let told = last_told(config, log, route_id, &key).filter(|entry| !entry.firing.is_empty());
            told.map(|entry| entry.at).max()
        });
        let next = match flushed_at {
            Some(at) => later(at, route.group_interval),
            None => later(alert.received_at, route.group_wait),
        };
        let id = self.next_id;
        self.next_id += 1;
        let group = Group {
            route: route_id,
            labels: labels.clone(),
            key,
            members: BTreeSet::new(),
            next,
            has_flushed: flushed_at.is_some(),
            waiting: 0,
            failed: false,
            told_over: Vec::new(),
            history: VecDeque::new(),
        };
        self.timers.insert((next, id));
        self.by_labels.insert((route_id, labels), id);
        self.all.insert(id, group);
        id
    }

    /// After a reload: groups that were there before go on with their timers and memories.
    pub(super) fn keep_timers(&mut self, old: Self, now: Timestamp) {
        let mut by_key: HashMap<String, Group> =
            old.all.into_values().map(|group| (group.key.clone(), group)).collect();
        for (id, group) in &mut self.all {
            let Some(before) = by_key.remove(&group.key) else { continue };
            self.timers.remove(&(group.next, *id));
            group.next = before.next.max(now);
            group.has_flushed = before.has_flushed;
            group.history = before.history;
            self.timers.insert((group.next, *id));
        }
        self.next_id = self.next_id.max(old.next_id);
    }

    /// Nothing waits longer than its interval from the new time on.
    pub(super) fn clock_went_back(&mut self, config: &Config, now: Timestamp) {
        self.timers.clear();
        for (id, group) in &mut self.all {
            let route = &config.routes[group.route];
            let longest = if group.has_flushed { route.group_interval } else { route.group_wait };
            group.next = group.next.min(later(now, longest));
            self.timers.insert((group.next, *id));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<GroupId> {
        let mut due = Vec::new();
        while let Some(&(at, id)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            due.push(id);
        }
        due
    }

    pub(super) fn get(&self, id: GroupId) -> Option<&Group> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.all.get_mut(&id)
    }

    pub(super) fn set_timer(&mut self, id: GroupId, next: Timestamp) {
        if let Some(group) = self.all.get_mut(&id) {
            self.timers.remove(&(group.next, id));
            group.next = next;
            self.timers.insert((next, id));
        }
    }

    /// Takes an alert out of a group; a group without alerts ends.
    pub(super) fn leave(&mut self, id: GroupId, fingerprint: Fingerprint) {
        let Some(group) = self.all.get_mut(&id) else { return };
        group.members.remove(&fingerprint);
        if let Some(groups) = self.of_alert.get_mut(&fingerprint) {
            groups.retain(|known| *known != id);
            if groups.is_empty() {
                self.of_alert.remove(&fingerprint);
            }
        }
        if group.members.is_empty() && group.waiting == 0 {
            self.remove(id);
        }
    }

    pub(super) fn remove(&mut self, id: GroupId) {
        if let Some(group) = self.all.remove(&id) {
            self.timers.remove(&(group.next, id));
            self.by_labels.remove(&(group.route, group.labels));
        }
    }

    pub(super) fn holds(&self, fingerprint: Fingerprint) -> bool {
        self.of_alert.contains_key(&fingerprint)
    }

    pub(super) fn of_alert(&self, fingerprint: Fingerprint) -> impl Iterator<Item = &Group> {
        self.of_alert.get(&fingerprint).into_iter().flatten().filter_map(|id| self.all.get(id))
    }

    /// All groups by their labels, then their receivers.
    pub(super) fn sorted<'a>(&'a self, config: &'a Config) -> Vec<&'a Group> {
        let mut all: Vec<(&str, GroupId, &Group)> = self
            .all
            .iter()
            .map(|(id, group)| (config.routes[group.route].receiver.as_str(), *id, group))
            .collect();
        all.sort_by(|left, right| {
            let by_labels = left.2.labels.set_order(&right.2.labels);
            by_labels.then_with(|| (left.0, left.1).cmp(&(right.0, right.1)))
        });
        all.into_iter().map(|(_, _, group)| group).collect()
    }
}
