//! Why an alert was told, or was not.

use axum::extract::Path;
use backlot_alerts::Alert;
use backlot_alerts::engine::{Decision, Explanation, RouteView, Verdict};
use backlot_alerts::matcher::MatchersText;
use backlot_web::ApiError;
use backlot_web::console::widgets::{self, Table};
use backlot_web::console::{self, Frame};
use jiff::Timestamp;
use maud::{Markup, html};

use super::inbox::{labels, silence_form, time};
use crate::alerts::rules_door::Alerts;

/// Decisions shown.
const MOST_SHOWN: usize = 50;

/// Decisions shown of one route, where also those are that send nothing. All others stand at the page's end.
const MOST_OF_ROUTE: usize = 5;

/// A decision in words.
pub(super) fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Sending { reason } => format!("sending: {}", reason.text()),
        Verdict::Sent => "sent".to_owned(),
        Verdict::Failed { error } => format!("failed: {error}; tried again at the group's next interval"),
        Verdict::AlreadyTold { again } => {
            format!("not sent: told already, and nothing changed; repeated at {again}")
        }
        Verdict::NothingToTell => {
            "not sent: nothing fires, and nobody was told that something did".to_owned()
        }
        Verdict::EndNotWanted => "not sent: the receiver does not want to know of ends".to_owned(),
        Verdict::StillSending => "not sent: the last notification is still on its way".to_owned(),
        Verdict::Muted { interval } => format!("not sent: the time interval {interval} mutes the route"),
        Verdict::Inactive { intervals } => {
            format!("not sent: the route is active only at {}", intervals.join(", "))
        }
        Verdict::Suppressed => "not sent: every alert of the group is silenced or inhibited".to_owned(),
        Verdict::NoWay => "not sent: the receiver only keeps alerts".to_owned(),
        other => format!("{other:?}"),
    }
}

/// An instant that the engine gives as text.
fn when(instant: &str, now: Timestamp) -> Markup {
    instant.parse::<Timestamp>().map_or_else(|_| html! { (instant) }, |at| time(at, now))
}

/// What holds an alert back now, or what happens next.
fn now_words(explained: &Explanation, route: &RouteView, now: Timestamp) -> Markup {
    if !explained.state.silenced_by.is_empty() {
        return html! { "Held back by a silence." };
    }
    if explained.state.inhibited_by.is_some() {
        return html! { "Held back because another alert fires." };
    }
    if let Some(quiet) = &route.quiet {
        return html! { "Held back: " (words(quiet).trim_start_matches("not sent: ")) "." };
    }
    if route.integrations.is_empty() {
        return html! { "The receiver only keeps alerts; nothing is sent." };
    }
    let told = route.integrations.iter().filter(|way| way.knows).count();
    match (&route.next, route.waiting_first) {
        (None, _) => html! { "It has left its group." },
        (Some(next), true) => html! { "The group waits for more alerts; it is told " (when(next, now)) "." },
        (Some(next), false) => html! {
            (told) " of " (route.integrations.len()) " ways know that it fires; looked at again " (when(next, now)) "."
        },
    }
}

pub(super) async fn page(
    Alerts(alerting): Alerts,
    frame: Frame,
    Path(fingerprint): Path<String>,
) -> Result<Markup, ApiError> {
    let missing =
        || ApiError::not_found("there is no such alert any more", "alerts that are over are kept for a day");
    let fingerprint = fingerprint.parse().map_err(|_| missing())?;
    let (now, explained) = {
        let (engine, now) = (alerting.service.look(), alerting.service.now());
        (now, engine.explain(fingerprint, now).ok_or_else(missing)?)
    };
    let decisions = alerting.service.decisions(Some(fingerprint), MOST_SHOWN).await?;
    let alert = &explained.alert;
    let state = if explained.resolved { "resolved" } else { explained.state.name() };
    // The console's own states are of work; an alert's have words of their own.
    let (tone, word) = match state {
        "resolved" => ("good", "resolved"),
        "suppressed" => ("warn", "suppressed"),
        _ => ("bad", "firing"),
    };
    let all_labels: Vec<String> =
        alert.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let own_path = format!("/alerts/alert/{fingerprint}");
    let body = html! {
        p { span class={ "chip " (tone) } { (word) } " since " (time(alert.starts_at, now)) @if explained.resolved { ", until " (time(alert.ends_at, now)) } }
        (facts(alert))
        @for silence in &explained.silences {
            p.note { "Silenced until " (time(silence.ends_at, now)) " by " (silence.created_by) ": " (silence.comment) " " code { (MatchersText(&silence.matchers)) } }
        }
        @if let Some(source) = &explained.inhibitor {
            p.note { "Inhibited by " a href={ "/alerts/alert/" (source.fingerprint()) } { (source.name()) } " " (labels(source)) }
        }
        (widgets::section("Where it goes", html! {
            @for route in &explained.routes { (route_card(&explained, route, now)) }
        }))
        @if !explained.resolved {
            (widgets::section("Silence it", silence_form(&all_labels.join(", "), &own_path)))
        }
        (widgets::section("What was decided", history(&decisions, now)))
    };
    let name = if alert.name().is_empty() { "(no name)" } else { alert.name() };
    Ok(console::page(&frame.crumb("Alerts", "/alerts"), name, body))
}

fn facts(alert: &Alert) -> Markup {
    let mut pairs: Vec<(&str, Markup)> =
        alert.labels.iter().map(|(name, value)| (name, html! { code { (value) } })).collect();
    pairs.extend(alert.annotations.iter().map(|(name, value)| (name, html! { (value) })));
    if let Some(origin) = &alert.origin {
        let graph = widgets::link("/metrics", &[("q", &origin.expression)]);
        pairs.push(("expression", html! { a href=(graph) { code { (origin.expression) } } }));
        if let Some(value) = origin.value {
            pairs.push(("value when it began", html! { (backlot_atlas::number_text(value)) }));
        }
        pairs.push(("rule", html! { a href={ "/alerts/rules/" (origin.rule) } { "the rule" } }));
    } else if alert.generator_url.starts_with("http://") || alert.generator_url.starts_with("https://") {
        pairs.push((
            "source",
            html! { a href=(alert.generator_url) rel="noreferrer" { (alert.generator_url) } },
        ));
    }
    widgets::key_values(pairs)
}

fn route_card(explained: &Explanation, route: &RouteView, now: Timestamp) -> Markup {
    let title = format!("To {}", route.receiver);
    widgets::card(
        &title,
        html! {
            @if !explained.resolved { p { (now_words(explained, route, now)) } }
            (widgets::key_values([
                ("route", html! { code { (route.route) } }),
                ("group", html! { code { (route.group_key) } }),
            ]))
            @for way in &route.integrations {
                p.note {
                    (way.integration) ": "
                    @match &way.told {
                        Some(told) => {
                            "last told " (time(told.at, now)) ", " (told.firing.len()) " firing, " (told.resolved.len()) " over; "
                            @if way.knows { "this alert was among them" } @else { "not of this alert" }
                        }
                        None => "never told of this group",
                    }
                }
            }
            @if !route.history.is_empty() {
                (history(&route.history.iter().rev().take(MOST_OF_ROUTE).cloned().collect::<Vec<_>>(), now))
            }
        },
    )
}

fn history(decisions: &[Decision], now: Timestamp) -> Markup {
    let mut table = Table::new(["When", "To", "What"]);
    for decision in decisions {
        table.push([
            time(decision.at, now),
            html! { (decision.receiver) @if let Some(way) = &decision.integration { " " (way) } },
            html! { (words(&decision.verdict)) },
        ]);
    }
    html! { @if table.is_empty() { p.muted { "Nothing yet." } } @else { (table.render()) } }
}
