//! The house's own pages: the overview, the doors, and the routes of the programming interface.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use maud::{Markup, html};

use crate::console::{Frame, Status, page, widgets};
use crate::door::{Door, DoorAddress};
use crate::shell::{Department, OverviewCard, Shared};
use crate::{Health, openapi};

/// A card that takes longer is left out: one slow department must not hold the overview up.
const CARD_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the overview is fetched again.
const REFRESH: Duration = Duration::from_secs(5);

pub(crate) async fn overview(State(shared): State<Arc<Shared>>, frame: Frame) -> Markup {
    let health = shared.health().await;
    let cards = shared.departments.iter().flat_map(|department| &department.cards);
    let shown: Vec<&OverviewCard> =
        cards.filter(|card| card.scope.is_none_or(|scope| frame.allows(scope))).collect();
    let rendered = futures::future::join_all(shown.into_iter().map(render_card)).await;
    let named: Vec<&Department> =
        shared.departments.iter().filter(|department| !department.name.is_empty()).collect();
    let doors: usize = shared.departments.iter().map(|department| department.doors.len()).sum();
    let ready = health.iter().filter(|(_, health)| *health == Health::Ready).count();

    let mut table = widgets::Table::new(["Department", "Health", "Doors", "What it is for"]).numeric(&[2]);
    for department in &named {
        let name = html! {
            @match department.pages.first() {
                Some(first) => a href=(first.path) { (department.name) },
                None => (department.name),
            }
        };
        let own_health = health.iter().find(|(name, _)| *name == department.name).map(|(_, health)| health);
        let state = own_health.map(health_cell).unwrap_or_default();
        table.push([name, state, html! { (department.doors.len()) }, html! { (department.summary) }]);
    }
    let departments = if named.is_empty() {
        widgets::empty("No departments", html! { "This binary was built without any." })
    } else {
        table.render()
    };
    let body = html! {
        (widgets::stats([
            widgets::stat("Departments ready", &format!("{ready} of {}", named.len()), ""),
            widgets::stat("Doors", &doors.to_string(), ""),
            widgets::stat("Version", env!("CARGO_PKG_VERSION"), ""),
        ]))
        (widgets::cards(rendered.into_iter().flatten()))
        (widgets::section("Departments", departments))
    };
    page(&frame, "Overview", widgets::live("overview", REFRESH, body))
}

async fn render_card(card: &OverviewCard) -> Option<Markup> {
    // In a task of its own, so that a panic costs the card and not the page.
    let body = tokio::spawn((card.render)());
    let abort = body.abort_handle();
    match tokio::time::timeout(CARD_TIMEOUT, body).await {
        Ok(Ok(body)) => Some(widgets::card(&card.title, body)),
        Ok(Err(error)) => {
            tracing::error!(card = %card.title, %error, "cannot render a card of the overview");
            None
        }
        Err(_) => {
            abort.abort();
            tracing::warn!(card = %card.title, "a card of the overview took too long");
            None
        }
    }
}

fn health_cell(health: &Health) -> Markup {
    match health {
        Health::Ready => widgets::chip(&Status::Ready),
        Health::Degraded(why) => html! { (widgets::chip(&Status::Degraded)) " " span.note { (why) } },
        Health::Down(why) => html! { (widgets::chip(&Status::Down)) " " span.note { (why) } },
    }
}

pub(crate) async fn doors(State(shared): State<Arc<Shared>>, frame: Frame) -> Markup {
    let mut table = widgets::Table::new(["Door", "Address", "Serves", "Point it here with", "Access"]);
    let all = shared.departments.iter().flat_map(|department| &department.doors);
    for door in all {
        table.push(door_cells(door));
    }
    let list = if table.is_empty() {
        widgets::empty("No doors", html! { "No department has opened one yet." })
    } else {
        table.render()
    };
    let body = html! {
        p.lead { "Each door speaks the protocol of the client that it serves. Change that client's address, and nothing else." }
        (list)
    };
    page(&frame, "Doors", body)
}

fn door_cells(door: &Door) -> [Markup; 5] {
    let address = match &door.address {
        DoorAddress::Http { prefix, .. } => prefix,
        DoorAddress::Socket { url } => url,
    };
    let or_dash = |text: &str| {
        if text.is_empty() {
            html! { span.muted { "–" } }
        } else {
            html! { (text) }
        }
    };
    let variable = if door.env.is_empty() {
        or_dash("")
    } else {
        html! { code { (door.env) } }
    };
    [
        html! { strong { (door.name) } },
        html! { code { (address) } },
        or_dash(&door.client),
        variable,
        html! { span.note { (door.access) } },
    ]
}

pub(crate) async fn api(State(shared): State<Arc<Shared>>, frame: Frame) -> Markup {
    let operations = openapi::operations(&shared.openapi);
    let groups = operations.chunk_by(|one, next| one.tag == next.tag);
    let body = html! {
        p.lead {
            "The same as a document for machines: " a href="/openapi.json" { "openapi.json" } " (OpenAPI 3.1). Programs send "
            code { "Authorization: Bearer TOKEN" } "."
        }
        @for group in groups {
            @let tag = group[0].tag;
            (widgets::section(if tag.is_empty() { "other" } else { tag }, routes(group)))
        }
    };
    page(&frame, "API", body)
}

fn routes(operations: &[openapi::Operation<'_>]) -> Markup {
    html! {
        ul.routes {
            @for operation in operations {
                li {
                    span class={ "method " (operation.method) } { (operation.method.to_uppercase()) }
                    code { (operation.path) }
                    span.note { (operation.summary) }
                }
            }
        }
    }
}
