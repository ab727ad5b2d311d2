//! The archive: every save of a notebook is a version that never changes.
//!
//! A version's bytes go into the house's store under their digest, then one transaction of the ledger gives them the next number
//! of their key. The caller learns the number after the commit, so what was acknowledged survives `kill -9`; what was not, left
//! at most bytes that nobody refers to. Versions of one key are numbered by the ledger, which serialises writers of all processes.
//!
//! When the store does not take the bytes (a bucket that is away), they go into the *spool*, a folder beside the ledger, and
//! the version is as durable as on a folder store; [`Archive::unspool`] moves them into the store when that answers again.
//!
//! Where a bucket is set up for bookstore's own keys, the same transaction queues the version for it; see [`crate::mirror`].

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_ledger::{Ledger, Migration, Row, Timestamp, Tx, params};
use backlot_notebooks_model::MAX_BYTES;
use backlot_store::{Digest, Store};
use bytes::Bytes;
use tokio::sync::Notify;

use crate::error::Error;

/// The owner of the migrations.
const OWNER: &str = "bookstore";

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "versions and uploads",
    sql: "CREATE TABLE bookstore_versions (
              path TEXT NOT NULL,
              version BIGINT NOT NULL,
              digest TEXT NOT NULL,
              size BIGINT NOT NULL,
              saved_at BIGINT NOT NULL,
              author TEXT NOT NULL,
              note TEXT NOT NULL,
              spooled BIGINT NOT NULL,
              PRIMARY KEY (path, version)
          );
          CREATE INDEX bookstore_versions_digest ON bookstore_versions (digest);
          CREATE INDEX bookstore_versions_spooled ON bookstore_versions (digest) WHERE spooled = 1;
          CREATE TABLE bookstore_uploads (
              path TEXT NOT NULL,
              version BIGINT NOT NULL,
              tries BIGINT NOT NULL,
              next_at BIGINT NOT NULL,
              problem TEXT NOT NULL,
              PRIMARY KEY (path, version)
          );",
}];

/// The most versions or paths in one answer.
pub const PAGE: u32 = 500;

/// The longest note: it is a phrase for people.
const MAX_NOTE: usize = 200;

/// One kept save.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The key: shelf and path.
    pub path: String,
    /// Its number, from 1.
    pub number: u64,
    /// What its bytes are called in the store.
    pub digest: Digest,
    /// How many bytes.
    pub size: u64,
    /// When.
    pub saved: Timestamp,
    /// By whom.
    pub author: String,
    /// Why, where it was no ordinary save: `restored from 3`.
    pub note: String,
}

/// A path that has versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The key.
    pub path: String,
    /// How many versions.
    pub versions: u64,
    /// Its newest.
    pub newest: Version,
}

/// What is to be kept.
#[derive(Clone, Debug)]
pub struct Save<'a> {
    /// The key.
    pub path: &'a str,
    /// Its bytes.
    pub content: Bytes,
    /// By whom.
    pub author: &'a str,
    /// Why, or empty.
    pub note: &'a str,
}

/// Which versions are queued for bookstore's bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uploads {
    /// Those on this shelf.
    Shelf(String),
    /// There is no bucket.
    None,
}

impl Uploads {
    fn are_queued(&self, path: &str) -> bool {
        match self {
            Uploads::Shelf(shelf) => path.strip_prefix(shelf).is_some_and(|rest| rest.starts_with('/')),
            Uploads::None => false,
        }
    }
}

/// An upload that is due.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) path: String,
    pub(crate) version: u64,
    pub(crate) tries: u32,
}

/// The archive. A cheap handle.
#[derive(Clone)]
pub struct Archive {
    ledger: Ledger,
    store: Store,
    spool: PathBuf,
    uploads: Uploads,
    queued: Arc<Notify>,
}

impl Archive {
    /// Opens the archive of a house; `spool` is made when it is first needed.
    ///
    /// # Errors
    /// A ledger that cannot be migrated.
    pub fn open(
        ledger: &Ledger,
        store: &Store,
        spool: impl Into<PathBuf>,
        uploads: Uploads,
    ) -> Result<Archive, Error> {
        ledger.migrate(OWNER, MIGRATIONS)?;
        Ok(Archive {
            ledger: ledger.clone(),
            store: store.clone(),
            spool: spool.into(),
            uploads,
            queued: Arc::new(Notify::new()),
        })
    }

    /// Keeps a save. Bytes equal to the newest version's are that version: saving twice without a change keeps one.
    ///
    /// # Errors
    /// Neither the store nor the spool takes the bytes, or the ledger does not answer. Nothing was kept then.
    pub async fn save(&self, save: Save<'_>) -> Result<Version, Error> {
        let digest = Digest::of(&save.content);
        if let Some(newest) = self.newest(save.path).await?
            && newest.digest == digest
        {
            return Ok(newest);
        }
        let spooled = match self.store.put(save.content.clone()).await {
            Ok(_) => false,
            Err(error) => {
                tracing::warn!(path = save.path, %error, "the store takes no bytes; the save goes into the spool");
                let (folder, content) = (self.spool.clone(), save.content.clone());
                let spooled = tokio::task::spawn_blocking(move || spool(&folder, &digest, &content)).await;
                let spooled = spooled.map_err(|join| join.to_string());
                spooled
                    .and_then(|written| written.map_err(|io| io.to_string()))
                    .map_err(|spool| Error::NoRoom { store: error.to_string(), spool })?;
                true
            }
        };
        let (path, author) = (save.path.to_owned(), save.author.to_owned());
        let note: String = save.note.chars().take(MAX_NOTE).collect();
        let (size, is_queued) = (save.content.len(), self.uploads.are_queued(save.path));
        let kept = self
            .ledger
            .write(move |tx| {
                let newest = newest(tx, &path)?;
                if let Some(newest) = &newest
                    && newest.digest == digest
                {
                    return Ok::<_, Error>((newest.clone(), false));
                }
                let version = Version {
                    number: newest.map_or(1, |newest| newest.number + 1),
                    digest,
                    size: size as u64,
                    saved: tx.now(),
                    path,
                    author,
                    note,
                };
                insert(tx, &version, spooled)?;
                if is_queued {
                    tx.execute(
                        "INSERT INTO bookstore_uploads (path, version, tries, next_at, problem) VALUES ($1, $2, 0, $3, '')",
                        params![&version.path, version.number as i64, tx.now()],
                    )?;
                }
                Ok((version, true))
            })
            .await?;
        if kept.1 && is_queued {
            self.queued.notify_one();
        }
        Ok(kept.0)
    }

    /// The newest version of a path, if there is any.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn newest(&self, path: &str) -> Result<Option<Version>, Error> {
        let path = path.to_owned();
        self.ledger.read(move |tx| newest(tx, &path)).await
    }

    /// The versions of a path, newest first, below the number `before` if one is given; at most [`PAGE`].
    ///
    /// # Errors
    /// [`Error::NoSuchPath`] if there is none.
    pub async fn versions(&self, path: &str, before: Option<u64>) -> Result<Vec<Version>, Error> {
        let wanted = path.to_owned();
        let before = before.map_or(i64::MAX, |before| before as i64);
        let rows = self
            .ledger
            .read(move |tx| {
                let sql = format!(
                    "SELECT {COLUMNS} FROM bookstore_versions WHERE path = $1 AND version < $2 \
                     ORDER BY version DESC LIMIT {PAGE}"
                );
                tx.query(&sql, params![wanted, before])
            })
            .await?;
        if rows.is_empty() && before == i64::MAX {
            return Err(Error::NoSuchPath { path: path.to_owned() });
        }
        rows.iter().map(version).collect()
    }

    /// The paths with versions below a shelf, in their order, after one path if given; at most [`PAGE`].
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn paths(&self, shelf: &str, after: Option<&str>) -> Result<Vec<Kept>, Error> {
        let shelf = format!("{shelf}/");
        let after = after.unwrap_or_default().to_owned();
        self.ledger
            .read(move |tx| {
                let sql = format!(
                    "SELECT {COLUMNS}, (SELECT COUNT(*) FROM bookstore_versions all_of WHERE all_of.path = bookstore_versions.path) \
                     FROM bookstore_versions WHERE substr(path, 1, $1) = $2 AND path > $3 AND version = \
                     (SELECT MAX(version) FROM bookstore_versions newest WHERE newest.path = bookstore_versions.path) \
                     ORDER BY path LIMIT {PAGE}"
                );
                let rows = tx.query(&sql, params![shelf.chars().count() as i64, &shelf, after])?;
                rows.iter()
                    .map(|row| {
                        let newest = version(row)?;
                        let versions: i64 = row.get(7)?;
                        Ok(Kept { path: newest.path.clone(), versions: versions as u64, newest })
                    })
                    .collect()
            })
            .await
    }

    /// A version, the newest if no number is given.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`], [`Error::NoSuchVersion`].
    pub async fn version(&self, path: &str, number: Option<u64>) -> Result<Version, Error> {
        let wanted = path.to_owned();
        let no_path = || Error::NoSuchPath { path: path.to_owned() };
        let Some(number) = number else {
            return self.newest(path).await?.ok_or_else(no_path);
        };
        let found = self
            .ledger
            .read(move |tx| {
                let sql =
                    format!("SELECT {COLUMNS} FROM bookstore_versions WHERE path = $1 AND version = $2");
                tx.query_opt(&sql, params![wanted, i64::try_from(number).unwrap_or(i64::MAX)])
            })
            .await?;
        match found {
            Some(row) => version(&row),
            None if self.newest(path).await?.is_none() => Err(no_path()),
            None => Err(Error::NoSuchVersion { path: path.to_owned(), version: number }),
        }
    }

    /// The bytes of a version, checked against its digest.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub async fn read(&self, version: &Version) -> Result<Bytes, Error> {
        let stored = self.store.get(&version.digest, MAX_BYTES as u64).await;
        let lost = |why: String| Error::Lost { path: version.path.clone(), version: version.number, why };
        match stored {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                let file = self.spool.join(version.digest.to_hex());
                match tokio::fs::read(file).await {
                    Ok(bytes) if Digest::of(&bytes) == version.digest => Ok(bytes.into()),
                    Ok(_) => Err(lost("its file in the spool was changed".to_owned())),
                    Err(_) => Err(lost(error.to_string())),
                }
            }
        }
    }

    /// Moves what lies in the spool into the store; how many digests it moved.
    ///
    /// # Errors
    /// The store still takes nothing.
    pub async fn unspool(&self) -> Result<usize, Error> {
        let digests: Vec<String> = self
            .ledger
            .read(|tx| {
                let sql =
                    format!("SELECT DISTINCT digest FROM bookstore_versions WHERE spooled = 1 LIMIT {PAGE}");
                tx.query(&sql, &[])?.iter().map(|row| row.get(0)).collect::<Result<_, _>>()
            })
            .await
            .map_err(|error: backlot_ledger::Error| Error::from(error))?;
        let mut moved = 0;
        for digest in digests {
            let Ok(known) = digest.parse::<Digest>() else { continue };
            let file = self.spool.join(known.to_hex());
            if file.exists() {
                self.store.put_file(&file).await?;
            } else if !self.store.exists(&known).await? {
                tracing::error!(%digest, "a version's bytes are neither in the spool nor in the store");
                continue;
            }
            let of = digest.clone();
            self.ledger
                .write(move |tx| {
                    tx.execute("UPDATE bookstore_versions SET spooled = 0 WHERE digest = $1", params![of])
                })
                .await
                .map_err(|error: backlot_ledger::Error| Error::from(error))?;
            let _ = tokio::fs::remove_file(&file).await;
            moved += 1;
        }
        Ok(moved)
    }

    /// The digests of all versions whose bytes are in the store: none of them may be collected.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn referenced(&self) -> Result<Vec<Digest>, Error> {
        let rows: Vec<Row> = self
            .ledger
            .read(|tx| tx.query("SELECT DISTINCT digest FROM bookstore_versions", &[]))
            .await
            .map_err(|error: backlot_ledger::Error| Error::from(error))?;
        rows.iter().map(|row| digest(&row.get::<String>(0)?)).collect()
    }

    /// The first upload of each path whose time has come.
    pub(crate) async fn due(&self) -> Result<Vec<Upload>, Error> {
        self.ledger
            .read(|tx| {
                let sql = format!(
                    "SELECT path, version, tries FROM bookstore_uploads WHERE next_at <= $1 AND version = \
                     (SELECT MIN(version) FROM bookstore_uploads first WHERE first.path = bookstore_uploads.path) \
                     ORDER BY path LIMIT {PAGE}"
                );
                let rows = tx.query(&sql, params![tx.now()])?;
                rows.iter()
                    .map(|row| {
                        let (version, tries): (i64, i64) = (row.get(1)?, row.get(2)?);
                        Ok(Upload { path: row.get(0)?, version: version as u64, tries: tries as u32 })
                    })
                    .collect()
            })
            .await
    }

    pub(crate) async fn uploaded(&self, upload: &Upload) -> Result<(), Error> {
        let (path, version) = (upload.path.clone(), upload.version as i64);
        self.ledger
            .write(move |tx| {
                tx.execute(
                    "DELETE FROM bookstore_uploads WHERE path = $1 AND version = $2",
                    params![path, version],
                )
            })
            .await
            .map(drop)
            .map_err(|error: backlot_ledger::Error| Error::from(error))
    }

    pub(crate) async fn not_uploaded(
        &self,
        upload: &Upload,
        problem: String,
        pause: std::time::Duration,
    ) -> Result<(), Error> {
        let (path, version, tries) = (upload.path.clone(), upload.version as i64, upload.tries + 1);
        self.ledger
            .write(move |tx| {
                let next = tx.now().checked_add(pause).unwrap_or_else(|| tx.now());
                tx.execute(
                    "UPDATE bookstore_uploads SET tries = $3, next_at = $4, problem = $5 WHERE path = $1 AND version = $2",
                    params![path, version, tries, next, problem],
                )
            })
            .await
            .map(drop)
            .map_err(|error: backlot_ledger::Error| Error::from(error))
    }

    /// How many versions still wait for the bucket.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn waiting(&self) -> Result<u64, Error> {
        let row = self
            .ledger
            .read(|tx| tx.query_one("SELECT COUNT(*) FROM bookstore_uploads", &[]))
            .await
            .map_err(|error: backlot_ledger::Error| Error::from(error))?;
        Ok(row.get::<i64>(0)? as u64)
    }

    /// Returns when something was queued since it last did.
    pub(crate) async fn something_queued(&self) {
        self.queued.notified().await;
    }
}

const COLUMNS: &str = "path, version, digest, size, saved_at, author, note";

fn digest(text: &str) -> Result<Digest, Error> {
    Ok(text.parse::<Digest>()?)
}

fn version(row: &Row) -> Result<Version, Error> {
    let (number, size): (i64, i64) = (row.get(1)?, row.get(3)?);
    Ok(Version {
        path: row.get(0)?,
        number: number as u64,
        digest: digest(&row.get::<String>(2)?)?,
        size: size as u64,
        saved: row.get(4)?,
        author: row.get(5)?,
        note: row.get(6)?,
    })
}

fn newest(tx: &mut Tx<'_>, path: &str) -> Result<Option<Version>, Error> {
    let sql =
        format!("SELECT {COLUMNS} FROM bookstore_versions WHERE path = $1 ORDER BY version DESC LIMIT 1");
    tx.query_opt(&sql, params![path])?.as_ref().map(version).transpose()
}

fn insert(tx: &mut Tx<'_>, version: &Version, spooled: bool) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO bookstore_versions (path, version, digest, size, saved_at, author, note, spooled) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            &version.path,
            version.number as i64,
            version.digest.to_string(),
            version.size as i64,
            version.saved,
            &version.author,
            &version.note,
            spooled
        ],
    )?;
    Ok(())
}

/// Writes bytes into the spool so that they survive the loss of power.
fn spool(folder: &Path, digest: &Digest, content: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".").tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(digest.to_hex())).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}
