//! The event log: the newest first and live, or a replay from where the reader says.

use axum::extract::State;
use axum::response::Response;
use backlot_department::House;
use backlot_events::{Data, Event};
use backlot_web::console::widgets::{self, Table, link};
use backlot_web::console::{self, Frame, format};
use backlot_web::extract::Query;
use backlot_web::sse::{self, LastEventId, Message};
use backlot_web::{ApiError, Closing};
use backlot_work::EVENT_SOURCE;
use futures::StreamExt;
use maud::{Markup, html};
use serde_json::Value;

use crate::EVENTS_DOOR;
use crate::feed::{self, Wanted};
use crate::pages::shown::{moment, run_path, short, step_path, task_path};

const COLUMNS: [&str; 5] = ["Event", "When", "Subject", "Source", "Data"];

pub(super) async fn page(
    State(house): State<House>,
    frame: Frame,
    wanted: Query<Wanted>,
) -> Result<Markup, ApiError> {
    let wanted = wanted.0;
    let is_replay = wanted.after.is_some() || !wanted.since.is_empty();
    let query = wanted.checked_query()?;
    let events = if is_replay {
        feed::page(&house.events, query).await
    } else {
        feed::newest(&house.events, query).await
    };
    let events = events.map_err(|error| ApiError::internal(&error))?;
    let last = events.last().map(feed::seq);
    let body = html! {
        (form(&wanted))
        @if is_replay { (replay(&house, &wanted, &events)) } @else { (tail(&house, &wanted, &events, last.unwrap_or_default())) }
    };
    Ok(console::page(&frame.wide(), "Events", body))
}

fn form(wanted: &Wanted) -> Markup {
    let field = |label: &str, name: &str, value: &str, hint: &str| {
        html! { label { (label) input type="search" name=(name) value=(value) placeholder=(hint); } }
    };
    let after = wanted.after.map(|after| after.to_string()).unwrap_or_default();
    html! {
        form.bar method="get" action="/events" role="search" {
            (field("Kind starts with", "kind", &wanted.kind, "backlot.work.run"))
            (field("Subject", "subject", &wanted.subject, "a run's id"))
            (field("Replay after number", "after", &after, "0"))
            (field("Replay since", "since", &wanted.since, "2026-01-31T12:00:00Z"))
            button.button type="submit" { "Show" }
            a.button href="/events" { "Live" }
        }
    }
}

/// Newest first, and new ones on top as they happen.
fn tail(house: &House, wanted: &Wanted, events: &[Event], last: u64) -> Markup {
    let now = moment(house.ledger.now());
    let stream = link(
        "/events/rows",
        &[
            ("after", &last.to_string()),
            ("kind", &wanted.kind),
            ("source", &wanted.source),
            ("subject", &wanted.subject),
        ],
    );
    let mut table = Table::new(COLUMNS).stream("events", stream);
    for event in events.iter().rev() {
        table.push(cells(event, now));
    }
    html! {
        @if events.is_empty() { p.muted { "Nothing has happened yet; events appear here as they do." } }
        (table.render())
        p.note { "The stream for programs: " code { (EVENTS_DOOR) "/stream" } }
    }
}

/// Oldest first, page by page.
fn replay(house: &House, wanted: &Wanted, events: &[Event]) -> Markup {
    let now = moment(house.ledger.now());
    if events.is_empty() {
        return widgets::empty("No further events", html! { a href="/events" { "Show the newest, live" } });
    }
    let mut table = Table::new(COLUMNS);
    for event in events {
        table.push(cells(event, now));
    }
    let next = events.last().map_or(0, feed::seq).to_string();
    let next = link(
        "/events",
        &[("after", &next), ("kind", &wanted.kind), ("source", &wanted.source), ("subject", &wanted.subject)],
    );
    html! {
        (table.render())
        nav.pager aria-label="Further events" {
            span.muted { "oldest first" }
            span.links { a.button href=(next) rel="next" { "Later →" } }
        }
    }
}

fn cells(event: &Event, now: jiff::Timestamp) -> [Markup; 5] {
    let subject = event.subject.as_deref().unwrap_or_default();
    let data = match &event.data {
        None | Some(Data::Json(Value::Null)) => html! {},
        Some(Data::Json(data)) => html! { div.clamp { (short(data)) } },
        Some(Data::Binary(bytes)) => html! { span.note { (format::bytes(bytes.len() as u64)) } },
    };
    [
        html! { strong { (event.kind) } " " span.note { "#" (feed::seq(event)) } },
        format::time(moment(event.time), now),
        subject_link(event, subject),
        html! { span.note { (event.source) } },
        data,
    ]
}

/// Subjects of the work engine are runs, steps and tasks, which have pages.
fn subject_link(event: &Event, subject: &str) -> Markup {
    if event.source != EVENT_SOURCE || subject.is_empty() {
        return html! { (subject) };
    }
    let mut parts = subject.splitn(3, '/');
    let (run, step, index) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let path = match (step, index.map(str::parse)) {
        (Some(step), Some(Ok(index))) => task_path(run, step, index),
        (Some(step), None) => step_path(run, step),
        _ => run_path(run),
    };
    html! { a href=(path) { (subject) } }
}

/// New events as rows of the page's table.
pub(super) async fn rows(
    State(house): State<House>,
    closing: Closing,
    last_seen: LastEventId,
    wanted: Query<Wanted>,
) -> Result<Response, ApiError> {
    let query = wanted.0.checked_query()?;
    let after = last_seen.0.unwrap_or(query.after);
    let table = Table::new(COLUMNS);
    let ledger = house.ledger.clone();
    let messages = house.events.subscribe(after, wanted.0.filter()).map(move |event| match event {
        Ok(event) => {
            let row = table.row_markup(cells(&event, moment(ledger.now()))).into_string();
            Message::new(row).event("row").id(feed::seq(&event))
        }
        Err(error) => Message::new(error.to_string()).event("error"),
    });
    Ok(sse::respond(closing, messages))
}
