//! The bookstore: every save of a notebook is a version that never changes; notebooks are published, cloned, compared, restored.
//!
//! For people who share notebooks and want back what they had yesterday. It has the HTTP API of nteract's bookstore 2.5.1 and its
//! keys in a versioned bucket, and keeps what stock bookstore loses: saves that come while another of the same path is on its way.
//! The one idea: **the ledger numbers the versions, the store holds their bytes**. A save is acknowledged when both have it; a
//! bucket of bookstore's own is a copy that catches up.
//!
//! ```no_run
//! # async fn example(ledger: backlot_ledger::Ledger, store: backlot_store::Store) -> Result<(), backlot_bookstore::Error> {
//! use backlot_bookstore::{Bookstore, Settings};
//!
//! let bookstore = Bookstore::open(&ledger, &store, "/var/lib/notebooks".as_ref(), Settings::default())?;
//! bookstore.saved("report.ipynb", b"{}".as_slice().into(), "ada").await?;
//! for version in bookstore.versions("report.ipynb", None).await? {
//!     println!("{} by {}", version.number, version.author);
//! }
//! # Ok(()) }
//! ```

mod archive;
mod bucket;
mod error;
mod hook;
pub mod key;
mod mirror;
mod routes;
mod service;
mod settings;
mod workspace;

pub use archive::{Archive, Kept, PAGE, Save, Uploads, Version};
pub use bucket::{Buckets, Refused};
pub use error::Error;
pub use hook::Hook;
pub use mirror::drain;
pub use routes::{Base, routes};
pub use service::Bookstore;
pub use settings::{HOUSE, RELEASE, Settings};
pub use workspace::{Problem, Workspace, cloned_file};
