//! Following the log: what is there already, then what comes, without a gap and without a repeat.
//!
//! A follower keeps a position. Each round reads, in one snapshot, the matching events after it and the newest
//! sequence number; when fewer than a full page matched, the position moves to that newest number, so events that do
//! not match are never looked at again. Then it waits for the ledger to change.

use std::collections::VecDeque;
use std::time::Duration;

use futures::Stream;
use tokio::sync::watch;

use crate::log::{Events, Query, last_seq, select};
use crate::{Error, Event};

/// Events read at once.
const PAGE: usize = 500;
/// After the ledger changed a follower waits this long before it looks, so that a busy ledger costs each follower at
/// most 200 reads a second.
const COALESCE: Duration = Duration::from_millis(5);

/// Which events a follower sees; the default is all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only kinds that begin with this.
    pub kind_prefix: Option<String>,
    /// Only this source.
    pub source: Option<String>,
    /// Only this subject.
    pub subject: Option<String>,
}

struct Follower {
    events: Events,
    filter: Filter,
    position: u64,
    page: VecDeque<Event>,
    changes: watch::Receiver<u64>,
    ended: bool,
}

impl Events {
    /// The events after sequence number `after` that match `filter`: first those that are there, then, as they are
    /// committed by any process, the new ones. Never ends by itself.
    ///
    /// A reader that broke off goes on with the [`Event::seq`] it saw last, which makes it the natural id of a
    /// server-sent event. After an error the stream ends. Needs a tokio runtime with its clock.
    pub fn subscribe(
        &self,
        after: u64,
        filter: Filter,
    ) -> impl Stream<Item = Result<Event, Error>> + Send + use<> {
        let follower = Follower {
            events: self.clone(),
            filter,
            position: after,
            page: VecDeque::new(),
            changes: self.ledger().changes(),
            ended: false,
        };
        futures::stream::unfold(follower, |mut follower| async move {
            if follower.ended {
                return None;
            }
            let next = follower.next().await;
            follower.ended = next.is_err();
            Some((next, follower))
        })
    }
}

impl Follower {
    async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.page.pop_front() {
                return Ok(event);
            }
            // Marked as seen before the read: what is committed after the read's snapshot counts as a change.
            self.changes.borrow_and_update();
            if self.read_page().await? {
                continue;
            }
            if self.changes.changed().await.is_err() {
                return Err(backlot_ledger::Error::Closed.into());
            }
            tokio::time::sleep(COALESCE).await;
        }
    }

    /// Reads on from the position; false when there was nothing.
    async fn read_page(&mut self) -> Result<bool, Error> {
        let Filter { kind_prefix, source, subject } = self.filter.clone();
        let query = Query { after: self.position, limit: PAGE, kind_prefix, source, subject, since: None };
        let (page, newest) =
            self.events.ledger().read(move |tx| Ok::<_, Error>((select(tx, &query)?, last_seq(tx)?))).await?;
        self.position = match page.last().and_then(|event| event.seq) {
            Some(last) if page.len() == PAGE => last,
            _ => newest.max(self.position),
        };
        self.page = page.into();
        Ok(!self.page.is_empty())
    }
}
