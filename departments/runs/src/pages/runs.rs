//! The list of runs.

use std::time::Duration;

use axum::extract::State;
use backlot_department::House;
use backlot_web::ApiError;
use backlot_web::console::widgets::{self, FilterLink, link};
use backlot_web::console::{self, Frame};
use backlot_web::extract::Query;
use backlot_work::{RunFilter, RunState, RunStatus};
use maud::{Markup, html};
use serde::Deserialize;

use crate::api::runs::words;
use crate::pages::shown::{ago, counted, fraction, run_chip, run_path, took};
use crate::refusal::refuse;

const PAGE: u32 = 50;

/// How often the list is fetched again.
const REFRESH: Duration = Duration::from_secs(3);

const FILTERS: [(&str, &str); 5] = [
    ("All", ""),
    ("Active", "queued,running,paused,cancelling"),
    ("Succeeded", "succeeded"),
    ("Failed", "failed"),
    ("Cancelled", "cancelled"),
];

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Shown {
    state: String,
    name: String,
    before: String,
}

pub(super) async fn page(
    State(house): State<House>,
    frame: Frame,
    query: Query<Shown>,
) -> Result<Markup, ApiError> {
    let Shown { state, name, before } = query.0;
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let filter = RunFilter {
        states: words(&state, "run state", RunState::from_word)?,
        name: given(&name),
        before: given(&before),
        limit: PAGE + 1,
    };
    let mut runs = house.work.runs(filter).await.map_err(refuse)?;
    let has_older = runs.len() > PAGE as usize;
    runs.truncate(PAGE as usize);

    let to =
        |state: &str, before: &str| link("/runs", &[("state", state), ("name", &name), ("before", before)]);
    let filters = FILTERS.map(|(label, states)| FilterLink {
        label,
        path: to(states, ""),
        current: states == state,
        count: None,
    });
    let newest = to(&state, "");
    let older = runs.last().filter(|_| has_older).map(|last| to(&state, &last.id));
    let list = list(&house, &runs, &state, &name, &before);
    let body = html! {
        div.toolbar {
            (widgets::filter("State", &filters))
            form.bar method="get" action="/runs" role="search" {
                @if !state.is_empty() { input type="hidden" name="state" value=(state); }
                input type="search" name="name" value=(name) placeholder="Name" aria-label="Only runs of this name";
                button.button type="submit" { "Find" }
            }
        }
        (widgets::live("runs", REFRESH, list))
        @if has_older || !before.is_empty() {
            (widgets::pager((!before.is_empty()).then_some(newest.as_str()), older.as_deref(), ""))
        }
    };
    Ok(console::page(&frame, "Runs", body))
}

fn list(house: &House, runs: &[RunStatus], state: &str, name: &str, before: &str) -> Markup {
    if runs.is_empty() && [state, name, before].iter().all(|text| text.is_empty()) {
        return widgets::empty(
            "No runs yet",
            html! { "Start one with " code { "backlot run SPEC" } " or over the API." },
        );
    }
    if runs.is_empty() {
        return widgets::empty("No such runs", html! { a href="/runs" { "Show all runs" } });
    }
    let now = house.ledger.now();
    let mut table = widgets::Table::new(["Run", "State", "Tasks", "Submitted", "Took", "By"]).numeric(&[4]);
    for run in runs {
        table.push([
            html! { a href=(run_path(&run.id)) { (run.name) } " " span.note { (run.id) } },
            html! { (run_chip(run)) @if let Some(error) = &run.error { div.note.clamp { (error) } } },
            widgets::progress(fraction(&run.tasks).or(Some(0.0)), &counted(&run.tasks)),
            ago(Some(run.created), now),
            html! { (took(run.started, run.finished, now)) },
            html! { (run.submitted_by) },
        ]);
    }
    table.render()
}
