//! The tree of routes.
//!
//! It is kept flat, parents before children, every route with all that it inherits. A route's key, the matchers from the root
//! down to it, is part of its groups' keys: two configurations with the same route have the same groups.

use std::collections::BTreeMap;
use std::time::Duration;

use super::raw;
use crate::Labels;
use crate::config::{ConfigError, InhibitRule, field};
use crate::labels::is_label_name;
use crate::matcher::{Matcher, MatchersText, Operator, all_match, parse_matchers};

/// A route, by its position among a configuration's.
pub type RouteId = usize;

const GROUP_WAIT: Duration = Duration::from_secs(30);
const GROUP_INTERVAL: Duration = Duration::from_secs(5 * 60);
const REPEAT_INTERVAL: Duration = Duration::from_secs(4 * 3600);

/// Most routes of a configuration.
const MOST_ROUTES: usize = 20_000;

/// By which labels alerts are grouped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// By these.
    Labels(Vec<String>),
    /// By all: every alert by itself.
    All,
}

/// A route with everything that it inherits.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The matchers from the root down: the beginning of its groups' keys.
    pub key: String,
    /// Its own matchers.
    pub matchers: Vec<Matcher>,
    /// To whom.
    pub receiver: String,
    /// How alerts are grouped.
    pub group_by: GroupBy,
    /// Before the first notification of a group.
    pub group_wait: Duration,
    /// Between notifications of a group in which something changed.
    pub group_interval: Duration,
    /// Between notifications of a group in which nothing did.
    pub repeat_interval: Duration,
    /// Whether its later siblings are asked too.
    pub goes_on: bool,
    /// Times at which it sends nothing.
    pub mute_times: Vec<String>,
    /// Times outside of which it sends nothing.
    pub active_times: Vec<String>,
    /// Its children.
    pub children: Vec<RouteId>,
}

impl Route {
    /// The labels of the group that an alert belongs to.
    pub fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => names
                .iter()
                .filter_map(|name| labels.0.get(name).map(|value| (name.clone(), value.clone())))
                .collect(),
        }
    }
}

pub(super) fn flatten(root: raw::Route) -> Result<Vec<Route>, ConfigError> {
    if root.receiver.as_deref().unwrap_or_default().is_empty() {
        return Err(field("route", "the root route names no receiver"));
    }
    if !(root.equal.is_empty() && root.match_re.is_empty() && root.matchers.is_empty()) {
        return Err(field(
            "route",
            "the root route takes every alert and has no matchers; move them to a child",
        ));
    }
    if !(root.mute_time_intervals.is_empty() && root.active_time_intervals.is_empty()) {
        return Err(field("route", "the root route has no time intervals; move them to a child"));
    }
    let mut routes = Vec::new();
    add(root, None, &mut routes)?;
    Ok(routes)
}

fn add(raw: raw::Route, parent: Option<RouteId>, routes: &mut Vec<Route>) -> Result<RouteId, ConfigError> {
    if routes.len() >= MOST_ROUTES {
        return Err(field("route", format!("there are more than {MOST_ROUTES} routes")));
    }
    let matchers = matchers("route", &raw.equal, &raw.match_re, &raw.matchers)?;
    let inherited = parent.map(|parent| routes[parent].clone());
    let key = match &inherited {
        Some(parent) => format!("{}/{}", parent.key, MatchersText(&matchers)),
        None => MatchersText(&matchers).to_string(),
    };
    let place = format!("route {key}");
    let from = |own: Option<&str>, what: &str, of_parent: Option<Duration>, default: Duration| {
        raw::duration_or(&format!("{place}: {what}"), own, of_parent.unwrap_or(default))
    };
    let parent_route = inherited.as_ref();
    let group_wait = from(
        raw.group_wait.as_deref(),
        "group_wait",
        parent_route.map(|route| route.group_wait),
        GROUP_WAIT,
    )?;
    let group_interval = from(
        raw.group_interval.as_deref(),
        "group_interval",
        parent_route.map(|route| route.group_interval),
        GROUP_INTERVAL,
    )?;
    let repeat_interval = from(
        raw.repeat_interval.as_deref(),
        "repeat_interval",
        parent_route.map(|route| route.repeat_interval),
        REPEAT_INTERVAL,
    )?;
    if group_interval.is_zero() || repeat_interval.is_zero() {
        return Err(field(&place, "group_interval and repeat_interval must be longer than nothing"));
    }
    // An empty list is the parent's, as with Alertmanager: it does not group all alerts into one.
    let group_by = match raw.group_by.filter(|names| !names.is_empty()) {
        Some(names) => group_by(&place, names)?,
        None => parent_route.map_or(GroupBy::Labels(Vec::new()), |route| route.group_by.clone()),
    };
    let receiver = match raw.receiver.filter(|name| !name.is_empty()) {
        Some(receiver) => receiver,
        None => parent_route.map(|route| route.receiver.clone()).unwrap_or_default(),
    };
    let id = routes.len();
    routes.push(Route {
        key,
        matchers,
        receiver,
        group_by,
        group_wait,
        group_interval,
        repeat_interval,
        goes_on: raw::flag(&format!("{place}: continue"), raw.goes_on.as_deref(), false)?,
        mute_times: raw.mute_time_intervals,
        active_times: raw.active_time_intervals,
        children: Vec::new(),
    });
    for child in raw.routes {
        let child = add(child, Some(id), routes)?;
        routes[id].children.push(child);
    }
    Ok(id)
}

fn group_by(place: &str, names: Vec<String>) -> Result<GroupBy, ConfigError> {
    if names.iter().any(|name| name == "...") {
        if names.len() > 1 {
            return Err(field(place, "group_by has `...`, which is all labels, and others beside it"));
        }
        return Ok(GroupBy::All);
    }
    for (position, name) in names.iter().enumerate() {
        if !is_label_name(name) {
            return Err(field(place, format!("group_by: `{name}` is no label name")));
        }
        if names[..position].contains(name) {
            return Err(field(place, format!("group_by: `{name}` stands there twice")));
        }
    }
    Ok(GroupBy::Labels(names))
}

pub(super) fn matchers(
    place: &str,
    equal: &BTreeMap<String, String>,
    patterns: &BTreeMap<String, String>,
    texts: &[String],
) -> Result<Vec<Matcher>, ConfigError> {
    let wrong = |source| ConfigError::Matcher { place: place.to_owned(), source };
    let mut all = Vec::new();
    for (operator, pairs) in [(Operator::Equal, equal), (Operator::Matches, patterns)] {
        for (name, value) in pairs {
            if !is_label_name(name) {
                return Err(field(place, format!("`{name}` is no label name")));
            }
            // As Alertmanager keeps them, and writes them into the keys of groups.
            let value = if operator.is_regex() { format!("^(?:{value})$") } else { value.clone() };
            all.push(Matcher::new(name, operator, value).map_err(wrong)?);
        }
    }
    for text in texts {
        all.extend(parse_matchers(text).map_err(wrong)?);
    }
    all.sort();
    Ok(all)
}

pub(super) fn inhibit_rule(raw: raw::InhibitRule) -> Result<InhibitRule, ConfigError> {
    let place = "inhibit_rules";
    let source = matchers(place, &raw.source_match, &raw.source_match_re, &raw.source_matchers)?;
    let target = matchers(place, &raw.target_match, &raw.target_match_re, &raw.target_matchers)?;
    if let Some(name) = raw.equal.iter().find(|name| !is_label_name(name)) {
        return Err(field(place, format!("equal: `{name}` is no label name")));
    }
    Ok(InhibitRule { source, target, equal: raw.equal })
}

/// Adds the routes that take these labels: the deepest that match, and further siblings only after one that goes on.
pub(super) fn find(routes: &[Route], at: RouteId, labels: &Labels, found: &mut Vec<RouteId>) -> bool {
    let route = &routes[at];
    if !all_match(&route.matchers, labels) {
        return false;
    }
    let before = found.len();
    for &child in &route.children {
        if find(routes, child, labels, found) && !routes[child].goes_on {
            break;
        }
    }
    if found.len() == before {
        found.push(at);
    }
    true
}
