//! The cards on the overview.

use backlot_department::House;
use backlot_web::console::widgets;
use backlot_work::{RunFilter, RunState};
use maud::{Markup, html};

use crate::follow::is_alive;
use crate::pages::shown::{run_chip, run_path};

const MOST: u32 = 5;

pub(crate) async fn newest_runs(house: House) -> Markup {
    match house.work.runs(RunFilter { limit: MOST, ..RunFilter::default() }).await {
        Ok(runs) if runs.is_empty() => html! { p.muted { "None yet." } },
        Ok(runs) => html! {
            dl.pairs {
                @for run in &runs { div { dt { a href=(run_path(&run.id)) { (run.name) } } dd { (run_chip(run)) } } }
            }
        },
        Err(error) => unreadable(&error),
    }
}

pub(crate) async fn workers(house: House) -> Markup {
    let active =
        RunFilter { states: vec![RunState::Running, RunState::Queued], limit: 1000, ..RunFilter::default() };
    let (workers, runs) = match (house.work.workers().await, house.work.runs(active).await) {
        (Ok(workers), Ok(runs)) => (workers, runs),
        (Err(error), _) | (_, Err(error)) => return unreadable(&error),
    };
    let now = house.ledger.now();
    let alive: Vec<_> = workers.iter().filter(|worker| is_alive(worker, now)).collect();
    let running: i64 = alive.iter().map(|worker| worker.running).sum();
    widgets::key_values([
        ("Alive", html! { (alive.len()) }),
        ("Running tasks", html! { (running) }),
        ("Active runs", html! { (runs.len()) @if runs.len() >= 1000 { " or more" } }),
    ])
}

fn unreadable(error: &backlot_work::Error) -> Markup {
    tracing::error!(%error, "cannot read for a card of the overview");
    html! { p.muted { "Cannot be read now." } }
}
