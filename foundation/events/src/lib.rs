//! Events: what happened, in order, durable, in the CloudEvents 1.0 envelope.
//!
//! The one idea: **an event is a row of the ledger, appended in the transaction that changes the state it tells of**.
//! So there is no event without its change and no change without its event; and since a ledger's writers take turns,
//! the sequence numbers are in the order of the commits, over all processes: a reader that remembers the last number
//! it saw misses nothing and sees nothing twice.
//!
//! Readers page through the log ([`Events::read`]), follow it ([`Events::subscribe`], made for server-sent events), or
//! share it out in consumer groups with durable positions ([`Events::consumer`]).
//!
//! ```
//! use backlot_events::{Error, Events, NewEvent, Query};
//! use backlot_ledger::Ledger;
//! use serde_json::json;
//!
//! let ledger = Ledger::open("sqlite::memory:")?;
//! let events = Events::open(&ledger)?;
//!
//! let log = events.clone();
//! ledger.write_blocking(move |tx| {
//!     // … change some state here …
//!     let event = NewEvent::new("/studio", "title.greenlit").subject("title/7").data(json!({"budget": 92}));
//!     log.append(tx, &[event])
//! })?;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
//! # let all = runtime.block_on(async {
//! let all = events.read(Query { kind_prefix: Some("title.".into()), ..Query::default() }).await?;
//! # Ok::<_, Error>(all) })?;
//! assert_eq!(all[0].json(), Some(&json!({"budget": 92})));
//! assert_eq!(all[0].seq, Some(1));
//! # Ok::<(), Error>(())
//! ```

mod consumer;
mod error;
mod event;
mod format;
mod log;
mod subscribe;

pub use consumer::{Consumer, Group, Ticket};
pub use error::Error;
pub use event::{Data, Event, MAX_EVENT_BYTES, NewEvent, SEQ_ATTRIBUTE};
pub use format::{BATCH, MAX_BATCH, STRUCTURED, parse_batch, parse_event};
pub use log::{Events, Keep, MAX_READ, Pruned, Query, Received};
pub use subscribe::Filter;
