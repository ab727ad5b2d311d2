//! Alerts of this house: rules evaluated as data arrives, and whatever else sends alerts here, routed to who should know.
//!
//! ```text
//! datapoints ──► feed (a bounded queue) ──► evaluator: one thread, the stream and the rules ──► firing, over ─┐
//! amtool, Prometheus, vmalert ──► Alertmanager's API ─────────────────────────────────────────────────────────┤
//!                                                                                              service: engine + ledger
//!                                                                              bus events ◄──────────┴──► receivers
//! ```
//!
//! What a caller was told is in the ledger; a state change and its event on the bus are one transaction. Ingest never waits: a
//! feed that is full drops and counts.

mod clock;
mod dispatch;
mod door;
mod evaluator;
mod feed;
mod meters;
mod pages;
mod rules;
mod rules_door;
mod service;
mod start;
mod tables;

pub(crate) use door::routes as alertmanager_routes;
pub(crate) use evaluator::{Evaluator, Watcher};
pub(crate) use feed::Feed;
pub(crate) use pages::routes as page_routes;
pub(crate) use rules_door::routes as rules_routes;
pub(crate) use service::{AlertService, ServiceError};
pub(crate) use start::{Alerting, usual_url};
pub(crate) use tables::MIGRATIONS;

/// The owner of the tables.
pub(crate) const OWNER: &str = "telemetry_alerts";

/// Where Alertmanager's interface is.
pub(crate) const ALERTMANAGER_DOOR: &str = "/alertmanager";

/// An id as clients of Alertmanager's API know ids: a random UUID.
pub(crate) fn random_id() -> String {
    let bits = (fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62)) | 0x4 << 76 | 0x2 << 62;
    let text = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}
