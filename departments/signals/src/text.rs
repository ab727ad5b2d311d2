//! The timeline for people: what happened, in the order in which it happened.

use crate::explanation::{Entry, Explanation};

/// Signals named in the ranking; the rest is counted.
const RANKED: usize = 10;

/// Lines of the timeline.
const LINES: usize = 40;

/// The explanation in lines of text.
pub fn timeline(explanation: &Explanation) -> String {
    let mut text = String::new();
    let alert = &explanation.alert;
    text += &format!("{} alerted at {}", alert.signal, alert.fired);
    match &alert.changed {
        Some(changed) => text += &format!("; it changed at {changed}\n"),
        None => text += "; its own signal shows no change\n",
    }
    let (found, incident) = (&explanation.timeline, explanation.incident());
    text += &format!(
        "{} of {} signals changed around it (at most {} % of them by chance), {} in {} groups that move together",
        found.len(),
        explanation.tested,
        explanation.rate * 100.0,
        incident.len(),
        explanation.clusters.len(),
    );
    if !explanation.untested.is_empty() {
        text += &format!("; {} could not be tested", explanation.untested.len());
    }
    text += "\n";
    if found.is_empty() {
        return text;
    }
    text += "\nmost likely causes\n";
    let width = found.iter().take(RANKED).map(|entry| entry.signal.chars().count()).max().unwrap_or(0);
    for (place, entry) in found.iter().take(RANKED).enumerate() {
        let mark = if entry.first_mover { "  first mover" } else { "" };
        text += &format!(
            "{:>3}  {:<width$}  {}  {}  score {:.2}{mark}\n",
            place + 1,
            entry.signal,
            wide_lag(entry),
            shift(entry),
            entry.score,
        );
    }
    text += "\ntimeline\n";
    for entry in incident.iter().take(LINES) {
        text += &format!("{}  {}  {}  {}\n", entry.changed, wide_lag(entry), shift(entry), entry.signal);
    }
    if incident.len() > LINES {
        text += &format!("… and {} more\n", incident.len() - LINES);
    }
    for note in &explanation.notes {
        text += &format!("note: {note}\n");
    }
    text
}

/// What somebody who is woken wants to read first.
pub(crate) fn in_one_line(explanation: &Explanation) -> String {
    let Some(first) = explanation.timeline.first() else {
        return format!(
            "None of {} signals changed around {}.",
            explanation.tested,
            clock(&explanation.alert.fired)
        );
    };
    let when = match first.lag_seconds {
        lag if lag < 0.0 => format!("{} before the alert", span(-lag)),
        lag if lag > 0.0 => format!("{} after the alert", span(lag)),
        _ => "together with the alert".to_owned(),
    };
    format!(
        "Most likely {}: it changed by {} at {}, {when}. {} of {} signals belong to this incident.",
        first.signal,
        percent(first),
        clock(&first.changed),
        explanation.incident().len(),
        explanation.tested,
    )
}

/// The time of day of RFC 3339.
pub(crate) fn clock(time: &str) -> String {
    time.split_once('T').map_or(time, |(_, clock)| clock.trim_end_matches('Z')).to_owned()
}

/// The day of RFC 3339.
pub(crate) fn day(time: &str) -> String {
    time.split_once('T').map_or(String::new(), |(day, _)| format!("{day} UTC"))
}

/// `-12 min ±1 min`, from the alert's own change.
pub(crate) fn lag(entry: &Entry) -> String {
    let (low, high) = entry.lag_interval_seconds;
    format!("{} ±{}", signed_span(entry.lag_seconds), span((high - low) / 2.0))
}

/// The same, in columns.
fn wide_lag(entry: &Entry) -> String {
    let (low, high) = entry.lag_interval_seconds;
    let half = (high - low) / 2.0;
    format!("{:>9} ±{:<6}", signed_span(entry.lag_seconds), span(half))
}

pub(crate) fn signed_span(seconds: f64) -> String {
    let sign = if seconds < 0.0 { '-' } else { '+' };
    format!("{sign}{}", span(seconds.abs()))
}

fn span(seconds: f64) -> String {
    match seconds {
        s if s >= 172_800.0 => format!("{:.1} d", s / 86_400.0),
        s if s >= 7_200.0 => format!("{:.1} h", s / 3_600.0),
        s if s >= 120.0 => format!("{:.0} min", s / 60.0),
        s => format!("{s:.0} s"),
    }
}

/// `+243.0 %`, or how else the level moved.
pub(crate) fn percent(entry: &Entry) -> String {
    match entry.change_percent {
        Some(percent) if percent.abs() < 10_000.0 => format!("{percent:+.1} %"),
        Some(percent) => format!("×{:.0}", percent / 100.0 + 1.0),
        None => "from 0".to_owned(),
    }
}

/// `+243 %, 8.1 sd`.
fn shift(entry: &Entry) -> String {
    format!("{:>10} {:>+7.1} sd", percent(entry), entry.effect)
}
