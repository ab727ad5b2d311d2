//! MezzFS: objects of a store, mounted as files.
//!
//! Media tools know files; masters lie in object stores, hundreds of gigabytes each, cut into parts and encrypted. This crate
//! mounts objects of S3, of web servers and of the house's own store as read-only files, streams what is read and nothing
//! else, puts parts together and opens them on the way, and shows any range of bytes as a file of its own, such as every frame
//! of a scene. It serves those who encode, measure and inspect: any program that opens a file.
//!
//! The one idea: **how the data was read last tells what to fetch next.** Recent reads are grouped into clusters; how long
//! clusters are compared with reads tells dense access from sparse, and so how much to buffer ([`plan`]). That decision is a
//! pure function of the trace of reads, so a mount can be recorded, looked at, and run again with other settings
//! ([`replay`]).
//!
//! ```
//! use backlot_mezzfs::manifest::ObjectSource;
//! use backlot_mezzfs::plan::Read;
//! use backlot_mezzfs::session::{ManifestBuilder, Session, Settings};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("film.yuv");
//! # std::fs::write(&path, b"slate and clapper")?;
//! let film = ObjectSource::Source(format!("file://{}", path.display()));
//! let manifest = ManifestBuilder::default().range(film, 10, Some(7), "scene/frame-1.yuv".into()).build();
//! let session = Session::open("example", &manifest, None, &Settings::default()).await?;
//! let file = session.reader.tree().find("scene/frame-1.yuv").unwrap().clone();
//! let answer = session.reader.read(Read { object: file.object, offset: file.range.start, len: 7 }).await?;
//! assert_eq!(answer.into_bytes(), "clapper");
//! // mount::Mount::start(session.reader, session.recorder, "/mnt/film".as_ref(), Default::default())?;
//! # Ok(()) }
//! ```
//!
//! What holds: bytes are right or the read fails with EIO and one line in the log; one mount never mixes two versions of an
//! object; what is buffered stays under its limit; a mount can be detached whatever has become of its daemon.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

pub mod cache;
mod error;
mod location;
pub mod manifest;
pub mod meters;
pub mod mount;
pub mod object;
pub mod plan;
pub mod put;
pub mod reader;
pub mod replay;
mod room;
pub mod seal;
pub mod session;
pub mod source;
mod spare;
pub mod tree;

pub use error::Error;
pub use location::{Location, S3Location};
pub use room::Room;
