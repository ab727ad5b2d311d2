//! Stored bytes, read by ranges of one version.
//!
//! A [`Source`] is opened once, which pins what it is: its size, and its ETag or time of change. Every read then asks for the
//! pinned version and checks that the answer is of it, so that bytes of two versions are never mixed: a server that
//! understands `If-Match` refuses with 412, and one that does not is found out by the ETag it answers with.
//!
//! What fails for the moment (5xx, 429, a reset, a stall, a body that ends early) is tried again with growing waits, from the
//! byte on that is missing. What fails for good is one [`Error`].

mod file;
mod http;
mod s3;
mod wire;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backlot_store::{Digest, Store};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::aws::AmazonS3;

use crate::location::Location;
use crate::meters::Meters;
use crate::{Error, Room, source};

/// How long a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until a connection stands. Five seconds leave room for two lost packets.
    pub connect: Duration,
    /// Until the first byte, and between any two: a server that is silent for longer has forgotten us.
    pub stall: Duration,
    /// How often a request is sent before it fails, as long as no byte comes.
    pub attempts: u32,
    /// The wait before the second attempt. It doubles from one to the next: 0.1 s and six attempts wait 3 s in all, which
    /// outlasts a busy bucket's 503 and not the patience of whoever reads the file.
    pub first_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            stall: Duration::from_secs(15),
            attempts: 6,
            first_wait: Duration::from_millis(100),
        }
    }
}

/// The version of stored bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) etag: Option<String>,
    pub(crate) modified: Option<String>,
}

impl Version {
    /// Whether an answer is of this version: by its ETag if both have one, else by its time.
    fn is_of(&self, etag: Option<&str>, modified: Option<&str>) -> bool {
        match (self.etag.as_deref(), etag) {
            (Some(pinned), Some(now)) => pinned == now,
            _ => self.modified.is_some() && self.modified.as_deref() == modified,
        }
    }

    /// The ETag for `If-Match`, which compares strongly: a weak one never matches (RFC 9110, section 13.1.1).
    fn strong(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| !etag.starts_with("W/"))
    }
}

/// Why one attempt did not give all bytes.
pub(crate) enum Failure {
    /// It may go better the next time. The bytes so far are right.
    Passing(String),
    /// It will not.
    Final(Error),
}

/// What every source is opened with: connections, patience, the house's store.
#[derive(Debug)]
pub struct Clients {
    pub(crate) web: reqwest::Client,
    pub(crate) wire: wire::Wire,
    pub(crate) patience: Patience,
    pub(crate) meters: Arc<Meters>,
    store: Option<Store>,
    buckets: Mutex<HashMap<String, AmazonS3>>,
}

impl Clients {
    /// New clients. Without a store, `named:` and `blob:` cannot be opened.
    ///
    /// # Errors
    /// A system without TLS roots.
    pub fn new(store: Option<Store>, patience: Patience, meters: Arc<Meters>) -> Result<Self, Error> {
        // An error only says that the process has a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let web = reqwest::Client::builder()
            // HTTP/2 would send all ranges over one connection, whose throughput is what parallel requests are to escape.
            .http1_only()
            .connect_timeout(patience.connect)
            .read_timeout(patience.stall)
            .build()
            .map_err(|error| Error::Unreachable {
                place: "the web".to_owned(),
                reason: format!("no client can be made: {error}"),
            })?;
        Ok(Self { web, wire: wire::Wire::new(), patience, meters, store, buckets: Mutex::default() })
    }

    fn store(&self, text: &str) -> Result<&Store, Error> {
        self.store.as_ref().ok_or_else(|| Error::NotALocation {
            text: text.to_owned(),
            fault: "it is in the house's store, and none is open".to_owned(),
        })
    }

    fn bucket(&self, place: &crate::location::S3Location) -> Result<AmazonS3, Error> {
        let key = format!("{:?} {:?} {}", place.endpoint, place.region, place.bucket);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = buckets.get(&key) {
            return Ok(client.clone());
        }
        let client = s3::client(place, self.patience)?;
        buckets.insert(key, client.clone());
        Ok(client)
    }
}

/// Stored bytes of one version.
#[derive(Debug)]
pub struct Source {
    place: String,
    size: u64,
    identity: Digest,
    kind: Kind,
    clients: Arc<Clients>,
}

#[derive(Debug)]
enum Kind {
    Http(source::http::Http),
    S3(source::s3::S3),
    File(source::file::PinnedFile),
    Blob(Store, Digest),
}

impl Source {
    /// Looks at the bytes there and pins their version.
    ///
    /// # Errors
    /// What is not there, may not be read, has no version or is not given in ranges.
    pub async fn open(location: &Location, clients: &Arc<Clients>) -> Result<Self, Error> {
        let held;
        let location = match location {
            // What a named object lacks is a range of a pinned version; the file or S3 object that holds it has both.
            Location::Named(name) => {
                held = holder(clients.store(&location.to_string())?, name)?;
                &held
            }
            other => other,
        };
        let place = location.to_string();
        let (kind, size, version) = match location {
            Location::Http(url) => {
                let open = || http::Http::open(url, clients).boxed();
                let (http, size) = retry(clients, &place, open).await?;
                let version = format!("{:?}", http.version);
                (Kind::Http(http), size, version)
            }
            Location::S3(at) => {
                let client = clients.bucket(at)?;
                let open = || s3::S3::open(clients, &client, at, &place).boxed();
                let (s3, size) = retry(clients, &place, open).await?;
                let version = format!("{:?}", s3.version);
                (Kind::S3(s3), size, version)
            }
            Location::File(path) => {
                let (file, size) = file::PinnedFile::open(path)?;
                let version = file.version();
                (Kind::File(file), size, version)
            }
            Location::Named(name) => {
                let fault = format!("`{name}` is held by another named object");
                return Err(Error::NotALocation { text: place, fault });
            }
            Location::Blob(digest) => {
                let store = clients.store(&place)?.clone();
                let size = store.stat(digest).await?.size;
                // A digest is its own version.
                (Kind::Blob(store, *digest), size, String::new())
            }
        };
        let identity = Digest::of(format!("{place}\n{size}\n{version}").as_bytes());
        Ok(Self { place, size, identity, kind, clients: Arc::clone(clients) })
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where it is, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What tells it from every other source and version.
    pub fn identity(&self) -> &Digest {
        &self.identity
    }

    /// Whether its bytes lie on this machine, so that caching them would only copy them.
    pub fn is_local(&self) -> bool {
        matches!(self.kind, Kind::File(_))
    }

    /// Reads these bytes into `out`, which has room for them.
    ///
    /// # Errors
    /// What remains after the last attempt. `out` then holds some of the bytes.
    pub async fn read(&self, range: Range<u64>, out: &mut Room) -> Result<(), Error> {
        if range.end > self.size || range.start > range.end {
            return Err(Error::Changed { place: self.place.clone() });
        }
        if range.is_empty() {
            return Ok(());
        }
        debug_assert!(range.end - range.start <= out.left() as u64, "there is room for the range");
        let meters = &self.clients.meters;
        Meters::add(&meters.fetches, 1);
        let (begin, patience) = (out.filled().len(), self.clients.patience);
        let mut attempt = 0;
        let mut wait = patience.first_wait;
        loop {
            let had = out.filled().len();
            let from = range.start + (had - begin) as u64;
            let ended = self.attempt(from..range.end, out).await;
            Meters::add(&meters.fetched_bytes, out.filled().len().saturating_sub(had) as u64);
            let reason = match ended {
                Ok(()) => return Ok(()),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(reason)) => reason,
            };
            if out.filled().len() > had {
                // It works, if badly: the count begins anew. Progress bounds the number of attempts.
                (attempt, wait) = (0, patience.first_wait);
            }
            attempt += 1;
            if attempt >= patience.attempts {
                return Err(Error::Unreachable { place: self.place.clone(), reason });
            }
            Meters::add(&meters.retries, 1);
            tracing::debug!(place = %self.place, from, %reason, attempt, "reading again");
            tokio::time::sleep(spread(wait, from)).await;
            wait *= 2;
        }
    }

    async fn attempt(&self, range: Range<u64>, out: &mut Room) -> Result<(), Failure> {
        match &self.kind {
            Kind::Http(http) => http.read(&self.clients, &self.place, self.size, range, out).await,
            Kind::S3(s3) => s3.read(&self.clients, &self.place, self.size, range, out).await,
            Kind::File(file) => file.read(&self.place, range, out).await,
            Kind::Blob(store, digest) => {
                let wanted = range.end - range.start;
                match store.get_range(digest, range).await {
                    Ok(bytes) if bytes.len() as u64 == wanted => {
                        out.push(&bytes);
                        Ok(())
                    }
                    Ok(_) => Err(Failure::Final(Error::Changed { place: self.place.clone() })),
                    // The store has been patient already.
                    Err(error) => Err(Failure::Final(Error::Store(error))),
                }
            }
        }
    }
}

/// The file or S3 object that holds a named object: stores lay them out under `named/`.
fn holder(store: &Store, name: &str) -> Result<Location, Error> {
    let text = store.url().to_string();
    let (base, options) = text
        .split_once('?')
        .map_or((text.as_str(), String::new()), |(base, options)| (base, format!("?{options}")));
    let name = percent_encoding::utf8_percent_encode(name, IN_PATH);
    format!("{}/named/{name}{options}", base.trim_end_matches('/')).parse()
}

/// What must be escaped in a path.
const IN_PATH: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`');

/// Spreads waits over half their length again, so that requests that failed together do not come back together.
fn spread(wait: Duration, seed: u64) -> Duration {
    let share = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u32;
    wait + wait * share / 512
}

/// Opens with the patience of a read.
async fn retry<'a, T>(
    clients: &Clients,
    place: &str,
    open: impl Fn() -> BoxFuture<'a, Result<T, Failure>> + Send,
) -> Result<T, Error> {
    let mut wait = clients.patience.first_wait;
    let mut attempt = 0;
    loop {
        let reason = match open().await {
            Ok(opened) => return Ok(opened),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing(reason)) => reason,
        };
        attempt += 1;
        if attempt >= clients.patience.attempts {
            return Err(Error::Unreachable { place: place.to_owned(), reason });
        }
        Meters::add(&clients.meters.retries, 1);
        tokio::time::sleep(spread(wait, u64::from(attempt))).await;
        wait *= 2;
    }
}
