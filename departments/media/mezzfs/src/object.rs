//! An object: stored bytes as they are, or parts put together and opened.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::OnceCell;

use crate::cache::{Cache, Cached};
use crate::manifest::{LARGEST, ObjectManifest};
use crate::meters::Meters;
use crate::seal::{ObjectKey, TAG, WrappingKey};
use crate::source::{Clients, Source};
use crate::{Error, Location, Room};

/// What objects are opened with.
#[derive(Clone, Debug)]
pub struct Opener {
    /// Connections, patience, the house's store.
    pub clients: Arc<Clients>,
    /// The caches in front of the origin.
    pub cache: Arc<Cache>,
    /// The key that opens the keys of objects.
    pub key: Option<WrappingKey>,
}

impl Opener {
    async fn stored(&self, location: &Location) -> Result<Cached, Error> {
        let source = Source::open(location, &self.clients).await?;
        Ok(self.cache.wrap(source))
    }

    /// Reads a manifest, whole.
    ///
    /// # Errors
    /// What is not there, or too large to be a manifest.
    pub async fn manifest_text(&self, location: &Location) -> Result<Vec<u8>, Error> {
        let source = Source::open(location, &self.clients).await?;
        if source.size() > LARGEST {
            return Err(Error::manifest(source.place(), format!("it is larger than {LARGEST} bytes")));
        }
        let mut text = Room::new(source.size() as usize);
        source.read(0..source.size(), &mut text).await?;
        Ok(text.into_vec())
    }
}

/// An object that can be read.
#[derive(Debug)]
pub struct Object {
    name: String,
    size: u64,
    layout: Layout,
    meters: Arc<Meters>,
    is_failing: AtomicBool,
}

#[derive(Debug)]
enum Layout {
    Plain(Box<Cached>),
    Parts(Box<Parts>),
}

#[derive(Debug)]
struct Parts {
    manifest: ObjectManifest,
    key: Option<ObjectKey>,
    locations: Vec<Location>,
    /// Opened when they are first read: an object may have thousands.
    opened: Vec<OnceCell<Cached>>,
    opener: Opener,
}

impl Object {
    /// Opens stored bytes as an object.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub async fn plain(location: &Location, opener: &Opener) -> Result<Self, Error> {
        let stored = opener.stored(location).await?;
        let meters = Arc::clone(&opener.clients.meters);
        Ok(Self {
            name: location.file_name(),
            size: stored.size(),
            layout: Layout::Plain(Box::new(stored)),
            meters,
            is_failing: AtomicBool::new(false),
        })
    }

    /// Opens the object that a manifest describes. Its parts are looked at when they are first read.
    ///
    /// # Errors
    /// A key that is missing or another; a manifest that cannot be used.
    pub fn assembled(manifest: ObjectManifest, opener: &Opener) -> Result<Self, Error> {
        let key = match (&manifest.encryption, manifest.binding()) {
            (Some(encryption), Some(binding)) => {
                let wrapping = opener.key.as_ref().ok_or_else(|| {
                    Error::Key(format!(
                        "`{}` is encrypted with the key {}; give it in {} or with --key-file",
                        manifest.name,
                        encryption.key_id,
                        crate::seal::KEY_VARIABLE
                    ))
                })?;
                Some(ObjectKey::unwrap(wrapping, &encryption.wrapped_key, binding)?)
            }
            _ => None,
        };
        let locations: Result<Vec<Location>, Error> =
            manifest.parts.iter().map(|part| part.parse()).collect();
        let locations = locations?;
        let opened = locations.iter().map(|_| OnceCell::new()).collect();
        let (name, size) = (manifest.name.clone(), manifest.size);
        let layout =
            Layout::Parts(Box::new(Parts { manifest, key, locations, opened, opener: opener.clone() }));
        Ok(Self {
            name,
            size,
            layout,
            meters: Arc::clone(&opener.clients.meters),
            is_failing: AtomicBool::new(false),
        })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A read of it failed. Whether that is news: the one before did not.
    pub fn tell_failure(&self) -> bool {
        !self.is_failing.swap(true, Ordering::Relaxed)
    }

    /// A read of it succeeded.
    pub fn tell_success(&self) {
        if self.is_failing.load(Ordering::Relaxed) {
            self.is_failing.store(false, Ordering::Relaxed);
        }
    }

    /// A file on this machine that holds exactly this object, complete and checked, if there is one.
    pub fn local_file(&self) -> Option<std::fs::File> {
        match &self.layout {
            Layout::Plain(stored) => stored.complete_file(),
            Layout::Parts(_) => None,
        }
    }

    /// Reads the bytes of a range.
    ///
    /// # Errors
    /// Whatever keeps any of them from being read and known to be right; what has come is not to be used then.
    pub(crate) async fn fetch(&self, range: Range<u64>, out: &mut Room) -> Result<(), Error> {
        let fetched = self.fetch_all(range, out).await;
        if fetched.is_err() {
            Meters::add(&self.meters.fetches_failed, 1);
        }
        fetched
    }

    async fn fetch_all(&self, range: Range<u64>, out: &mut Room) -> Result<(), Error> {
        match &self.layout {
            Layout::Plain(stored) => stored.read(range, out).await?,
            Layout::Parts(parts) => {
                let mut at = range.start;
                while at < range.end {
                    let part = (at / parts.manifest.part) as usize;
                    let start = part as u64 * parts.manifest.part;
                    let end = range.end.min(start + parts.manifest.part_size(part));
                    parts.read(part, at - start..end - start, out).await?;
                    at = end;
                }
            }
        }
        Ok(())
    }
}

impl Parts {
    async fn part(&self, part: usize) -> Result<&Cached, Error> {
        self.opened[part]
            .get_or_try_init(|| async {
                let stored = self.opener.stored(&self.locations[part]).await?;
                let wanted = self.manifest.stored_size(part);
                if stored.size() == wanted {
                    return Ok(stored);
                }
                let fault = format!(
                    "part {part} has {} bytes where {wanted} are expected; put the object again",
                    stored.size()
                );
                Err(Error::manifest(&self.manifest.name, fault))
            })
            .await
    }

    /// Reads bytes of a part.
    async fn read(&self, part: usize, range: Range<u64>, out: &mut Room) -> Result<(), Error> {
        let stored = self.part(part).await?;
        let (Some(key), Some(encryption)) = (&self.key, &self.manifest.encryption) else {
            return stored.read(range, out).await;
        };
        let (plain, segment) = (self.manifest.part_size(part), encryption.segment);
        let (first, last) = (range.start / segment, (range.end - 1) / segment);
        let sealed_segment = segment + TAG;
        let sealed_end = ((last + 1) * sealed_segment).min(self.manifest.stored_size(part));
        let mut sealed = Room::new((sealed_end - first * sealed_segment) as usize);
        stored.read(first * sealed_segment..sealed_end, &mut sealed).await?;
        for (number, bytes) in (first..).zip(sealed.filled_mut().chunks_mut(sealed_segment as usize)) {
            let opened = key.open(part as u32, number as u32, bytes).ok_or_else(|| Error::Tampered {
                object: self.manifest.name.clone(),
                part,
                segment: number,
            })?;
            let start = number * segment;
            let end = (start + segment).min(plain);
            let from = range.start.max(start) - start;
            let to = range.end.min(end) - start;
            out.push(&opened[from as usize..to as usize]);
        }
        Ok(())
    }
}
