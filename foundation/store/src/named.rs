//! Named objects: content under a name that people choose, which may be replaced.
//!
//! A name's object is replaced atomically: a reader gets all of the old content or all of the new. There is no check
//! of the content as there is for blobs; what must be provable is put as a blob and its digest kept.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use std::io::Seek;

use crate::backend::{Backend, Class, Stat, blocking};
use crate::error::Error;
use crate::name::{self, Key, NAMED, Name, OCTET_STREAM};
use crate::reader::Reader;
use crate::{LONGEST_LISTING, Store, folder};

/// A named object without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedInfo {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last put, by the clock of the store's machine; S3 tells whole seconds.
    pub modified: SystemTime,
    /// Its media type. A listing does not have it, as S3's listings do not.
    pub media_type: Option<String>,
}

/// A named object with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedObject {
    /// The bytes that were last put.
    pub content: Bytes,
    /// Their media type; [`OCTET_STREAM`] where the store's filesystem could not keep it.
    pub media_type: String,
    /// When they were put, by the clock of the store's machine; S3 tells whole seconds.
    pub modified: SystemTime,
}

/// A page of a listing of named objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPage {
    /// The objects, in the order of their names' bytes.
    pub objects: Vec<NamedInfo>,
    /// The last name of this page when others follow it: the next call's `start_after`.
    pub next: Option<String>,
}

impl Store {
    /// Stores bytes under a name, replacing what was there.
    ///
    /// # Errors
    /// [`Error::NotAName`], [`Error::NotAMediaType`]; on a folder [`Error::NameTaken`] when the name is the beginning
    /// of another's (`a` beside `a/b`), which S3 allows.
    pub async fn put_named(
        &self,
        name: &str,
        content: impl Into<Bytes>,
        media_type: &str,
    ) -> Result<(), Error> {
        let (key, class) = target(name, media_type)?;
        self.backend.put_bytes(&key, content.into(), class).await
    }

    /// Stores a copy of the file at `path` under a name, replacing what was there; of any size, in bounded memory.
    ///
    /// # Errors
    /// As [`Store::put_named`], and [`Error::Changed`] if the file changes during an upload to S3.
    pub async fn put_named_file(
        &self,
        name: &str,
        path: impl AsRef<Path>,
        media_type: &str,
    ) -> Result<(), Error> {
        let (key, class) = target(name, media_type)?;
        let path = path.as_ref().to_owned();
        match &self.backend {
            Backend::Folder(folder) => {
                let folder = Arc::clone(folder);
                blocking(move || {
                    let (staged, _) = folder.stage_copy(&path)?;
                    folder.publish(staged, &key, &class)
                })
                .await
            }
            Backend::S3(s3) => {
                let source = path.clone();
                let (mut file, blob) = blocking(move || {
                    let file = folder::open_regular(&source)?;
                    let blob = folder::hash_file(&file, &source)?;
                    Ok((file, blob))
                })
                .await?;
                file.rewind().map_err(Error::file("read", &path))?;
                s3.upload(&key, file, blob, &class, &path).await
            }
        }
    }

    /// The content under a name.
    ///
    /// # Errors
    /// [`Error::NoObject`], or [`Error::TooLarge`] when it has more than `limit` bytes.
    pub async fn get_named(&self, name: &str, limit: u64) -> Result<NamedObject, Error> {
        let key = Key::named(&name.parse()?);
        let found = self.backend.read(&key, limit).await.map_err(|error| match error {
            Error::TooLarge { size, limit, .. } => {
                Error::TooLarge { what: format!("object `{name}`"), size, limit }
            }
            other => other,
        })?;
        let (stat, content) = found.ok_or_else(|| self.no_object(name))?;
        let media_type = stat.media_type.unwrap_or_else(|| OCTET_STREAM.to_owned());
        Ok(NamedObject { content, media_type, modified: stat.modified })
    }

    /// The content under a name as a stream, all of one version.
    ///
    /// # Errors
    /// [`Error::NoObject`]; the stream fails with [`Error::Replaced`] when the object is replaced before the end on S3
    /// (a folder keeps the old content for those who read it).
    pub async fn open_named(&self, name: &str) -> Result<Reader, Error> {
        let key = Key::named(&name.parse()?);
        let (stat, pieces) = self.backend.pieces(&key).await?.ok_or_else(|| self.no_object(name))?;
        Ok(Reader::new(stat.size, pieces))
    }

    /// What is known of a named object; `None` when there is none.
    pub async fn head_named(&self, name: &str) -> Result<Option<NamedInfo>, Error> {
        let stat = self.backend.stat(&Key::named(&name.parse()?)).await?;
        Ok(stat.map(|Stat { size, modified, media_type, .. }| {
            let media_type = Some(media_type.unwrap_or_else(|| OCTET_STREAM.to_owned()));
            NamedInfo { name: name.to_owned(), size, modified, media_type }
        }))
    }

    /// A page of up to `limit` named objects (at most [`LONGEST_LISTING`]) whose names begin with `prefix`, which may
    /// end anywhere, and come after `start_after`, in the order of the names' bytes.
    ///
    /// # Errors
    /// [`Error::NotAName`] for a prefix that no name can begin with.
    pub async fn list_named(
        &self,
        prefix: &str,
        limit: usize,
        start_after: Option<&str>,
    ) -> Result<NamedPage, Error> {
        name::check_prefix(prefix)?;
        let limit = limit.clamp(1, LONGEST_LISTING);
        let start_after = start_after.map(str::parse::<Name>).transpose()?;
        let start_after = start_after.map(|name| Key::named(&name).as_str().to_owned());
        let listing = self.backend.list(format!("{NAMED}{prefix}"), start_after, limit).await?;
        let next = listing.more.then(|| listing.entries.last().map(|entry| bare(&entry.key))).flatten();
        let objects = listing.entries.into_iter().map(|entry| NamedInfo {
            name: bare(&entry.key),
            size: entry.size,
            modified: entry.modified,
            media_type: None,
        });
        Ok(NamedPage { objects: objects.collect(), next })
    }

    /// Deletes the object under a name. It is no error when there is none.
    pub async fn delete_named(&self, name: &str) -> Result<(), Error> {
        self.backend.delete(&Key::named(&name.parse()?)).await
    }

    fn no_object(&self, name: &str) -> Error {
        Error::NoObject { name: name.to_owned(), store: self.place() }
    }
}

fn target(name: &str, media_type: &str) -> Result<(Key, Class), Error> {
    let key = Key::named(&name.parse()?);
    name::check_media_type(media_type)?;
    Ok((key, Class::Named { media_type: media_type.to_owned() }))
}

fn bare(key: &str) -> String {
    key.strip_prefix(NAMED).unwrap_or(key).to_owned()
}
