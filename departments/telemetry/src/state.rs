//! What the doors, the pages and the background tasks of a server share.

use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use backlot_ledger::Ledger;
use backlot_meters::Registry;
use backlot_web::ApiError;
use tokio::sync::Semaphore;

use crate::Settings;
use crate::alerts::{Alerting, Feed};
use crate::own::Meters;
use crate::prometheus::own::Totals;
use crate::store::Store;

/// Queries evaluated at once: each keeps a processor busy, and may hold half a gigabyte.
const QUERIES_AT_ONCE: usize = 4;

/// A handle to the department's state.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) store: Arc<Store>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) ledger: Ledger,
    pub(crate) counters: Arc<Counters>,
    pub(crate) queries: Arc<Semaphore>,
    /// Where datapoints go as they arrive.
    pub(crate) feed: Feed,
    /// The alerts, or why there are none here.
    pub(crate) alerts: Result<Alerting, Arc<str>>,
}

/// What is counted here, for the page and for the house's own metrics.
pub(crate) struct Counters {
    pub(crate) meters: Meters,
    /// What all meters of this process came to since the start.
    pub(crate) totals: Totals,
}

impl Counters {
    pub(crate) fn count(&self, taken: usize, refused: usize) {
        self.meters.taken.add(taken as u64);
        if refused > 0 {
            self.meters.refused.add(refused as u64);
        }
    }
}

impl State {
    pub(crate) fn new(store: Arc<Store>, settings: Settings, ledger: Ledger, registry: &Registry) -> Self {
        let queries = Arc::new(Semaphore::new(QUERIES_AT_ONCE));
        let counters = Arc::new(Counters { meters: Meters::new(registry), totals: Totals::default() });
        let feed = Feed::default();
        let alerts = Err("the alerts have not started".into());
        Self { store, settings: Arc::new(settings), ledger, counters, queries, feed, alerts }
    }

    /// The time in milliseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.ledger.now().micros().div_euclid(1000)
    }
}

/// The state of a department that may not serve yet, or not in this process.
pub(crate) type Slot = Arc<OnceLock<State>>;

/// The state, for a handler.
pub(crate) struct Serving(pub(crate) State);

impl FromRequestParts<Slot> for Serving {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, slot: &Slot) -> Result<Self, ApiError> {
        let state = slot.get().cloned();
        state.map(Self).ok_or_else(|| {
            ApiError::unavailable(
                "the metrics store is not open in this process",
                "ask the server: `backlot up`",
            )
        })
    }
}
