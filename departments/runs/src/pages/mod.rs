//! The console pages Runs and Events, and the cards on the overview.

mod actions;
mod cards;
mod events;
mod run;
mod runs;
mod shown;
mod step;
mod task;

use axum::Router;
use axum::routing::{get, post};
use backlot_department::House;

pub(crate) use cards::{newest_runs, workers};

pub(crate) fn runs_routes(house: House) -> Router {
    Router::new()
        .route("/", get(runs::page))
        .route("/{run}", get(run::page))
        .route("/{run}/cancel", post(actions::cancel))
        .route("/{run}/pause", post(actions::pause))
        .route("/{run}/resume", post(actions::resume))
        .route("/{run}/retry", post(actions::retry))
        .route("/{run}/steps/{step}", get(step::page))
        .route("/{run}/steps/{step}/tasks/{index}", get(task::page))
        .with_state(house)
}

pub(crate) fn events_routes(house: House) -> Router {
    Router::new().route("/", get(events::page)).route("/rows", get(events::rows)).with_state(house)
}
