//! The console: an inbox of alerts, why each was told or was not, silences, rules.

mod inbox;
mod rules;
mod why;

use axum::Router;
use axum::routing::{get, post};
use backlot_web::console::widgets;
use maud::Markup;

use crate::state::Slot;

pub(crate) fn routes(slot: Slot) -> Router {
    Router::new()
        .route("/", get(inbox::page))
        .route("/silences", get(inbox::silences).post(inbox::set_silence))
        .route("/silences/{id}/expire", post(inbox::expire))
        .route("/rules", get(rules::page).post(rules::create))
        .route("/rules/{id}", get(rules::edit).post(rules::change))
        .route("/rules/{id}/delete", post(rules::remove))
        .route("/alert/{fingerprint}", get(why::page))
        .with_state(slot)
}

/// The views of the page, `counts` where they are known: firing, suppressed, over.
fn tabs(current: &str, counts: Option<[u64; 3]>) -> Markup {
    let link = |label, path: &str, count| widgets::FilterLink {
        label,
        path: path.to_owned(),
        current: label == current,
        count,
    };
    let [firing, suppressed, over] = match counts {
        Some(counts) => counts.map(Some),
        None => [None; 3],
    };
    widgets::filter(
        "Views",
        &[
            link("Firing", "/alerts", firing),
            link("Suppressed", "/alerts?view=suppressed", suppressed),
            link("Resolved", "/alerts?view=resolved", over),
            link("Silences", "/alerts/silences", None),
            link("Rules", "/alerts/rules", None),
        ],
    )
}
