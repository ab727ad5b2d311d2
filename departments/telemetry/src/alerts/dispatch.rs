//! Sending, with a bound for each receiver.
//!
//! Every receiver has its own few places; a notification waits for one of its own receiver's. One that hangs fills its own
//! places and its own queue, and nobody else's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backlot_alerts::Notification;
use backlot_alerts::config::Target;
use backlot_alerts::deliver;
use jiff::Timestamp;
use tokio::sync::Semaphore;

/// Notifications to one receiver at once.
const AT_ONCE: usize = 8;

/// Notifications that wait for one receiver; more are tried at their group's next interval.
const WAITING: usize = 10_000;

#[derive(Default)]
pub(super) struct Receivers(Mutex<HashMap<String, Arc<Lane>>>);

struct Lane {
    places: Semaphore,
    waiting: AtomicUsize,
}

/// One that waits, for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Receivers {
    pub(super) async fn send(
        &self,
        target: &Target,
        notification: &Notification,
        external_url: &str,
        now: Timestamp,
    ) -> Result<(), String> {
        let lane = {
            let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lanes
                .entry(notification.key.receiver.clone())
                .or_insert_with(|| {
                    Arc::new(Lane { places: Semaphore::new(AT_ONCE), waiting: AtomicUsize::new(0) })
                })
                .clone()
        };
        let time = Duration::try_from(notification.deadline.duration_since(now)).unwrap_or_default();
        let begun = tokio::time::Instant::now();
        let place = {
            let before = lane.waiting.fetch_add(1, Ordering::Relaxed);
            let _waiting = Waiting(&lane.waiting);
            if before >= WAITING {
                return Err(format!("{WAITING} notifications wait for this receiver already"));
            }
            tokio::time::timeout(time, lane.places.acquire())
                .await
                .map_err(|_| "its turn did not come in time: the receiver is slow".to_owned())?
        };
        let _place = place.map_err(|error| error.to_string())?;
        deliver::send(target, notification, external_url, time.saturating_sub(begun.elapsed())).await
    }
}
