//! The bookstore as one thing: the archive, the folder people work in, and the bucket if there is one.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_ledger::Ledger;
use backlot_notebooks_model::{MAX_BYTES, Notebook, json};
use backlot_store::{Digest, Store};
use bytes::Bytes;
use tokio::sync::Mutex;

use crate::archive::{Archive, Kept, Save, Uploads, Version};
use crate::bucket::{Buckets, Object, Refused, spoken};
use crate::error::Error;
use crate::key;
use crate::mirror;
use crate::settings::{HOUSE, Settings};
use crate::workspace::{Problem, Workspace, cloned_file};

/// How many saves of different paths go on at once; those of one path take turns.
const TURNS: usize = 64;

/// Where something was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    /// `s3://bucket/published/path`.
    pub(crate) place: String,
    /// Its version there, where the bucket has versions.
    pub(crate) version: Option<String>,
}

/// What was cloned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cloned {
    /// The path of the new file.
    pub(crate) path: String,
    /// What was read.
    pub(crate) content: Bytes,
    /// The version it was read at, where there are versions.
    pub(crate) version: Option<String>,
}

/// Which object is cloned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) version: Option<&'a str>,
}

/// The bookstore of a house. A cheap handle.
#[derive(Clone)]
pub struct Bookstore {
    archive: Archive,
    settings: Arc<Settings>,
    workspace: Workspace,
    buckets: Buckets,
    turns: Arc<[Mutex<()>; TURNS]>,
    hasher: RandomState,
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        Problem::new(refused.status, refused.message)
    }
}

impl Bookstore {
    /// Opens the bookstore of a house with this ledger and store. `folder` is its own folder on this machine: the spool lies
    /// there, and the notebooks where the settings name no other place.
    ///
    /// # Errors
    /// A ledger that cannot be migrated, a folder that cannot be made.
    pub fn open(
        ledger: &Ledger,
        store: &Store,
        folder: &Path,
        settings: Settings,
    ) -> Result<Bookstore, Error> {
        let uploads = if settings.has_bucket() {
            Uploads::Shelf(settings.workspace_prefix.clone())
        } else {
            Uploads::None
        };
        let root: PathBuf = settings.root.clone().unwrap_or_else(|| folder.join("files"));
        Ok(Bookstore {
            archive: Archive::open(ledger, store, folder.join("spool"), uploads)?,
            workspace: Workspace::open(&root)?,
            buckets: Buckets::new(&settings),
            settings: Arc::new(settings),
            turns: Arc::new(std::array::from_fn(|_| Mutex::new(()))),
            hasher: RandomState::new(),
        })
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The folder that people work in.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The archive under it, which knows keys of every shelf.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    fn on_workspace(&self, path: &str) -> Result<(String, String), Error> {
        let path = key::clean(path)?;
        Ok((key::join(&[&self.settings.workspace_prefix, &path]), path))
    }

    /// A file of the workspace was saved with these bytes. The answer comes when the version survives `kill -9`.
    ///
    /// Saves of one path may overlap, and may come in another order than their files were replaced in. The newest version is that
    /// of the file all the same: after each, under the path's turn, the file is looked at, and kept if it is another. When
    /// the last of them is done, so is the last file.
    ///
    /// # Errors
    /// Nothing was kept.
    pub async fn saved(&self, path: &str, content: Bytes, who: &str) -> Result<Version, Error> {
        self.keep(path, content, who, "").await
    }

    async fn keep(&self, path: &str, content: Bytes, who: &str, note: &str) -> Result<Version, Error> {
        let (key, path) = self.on_workspace(path)?;
        let turn = self.hasher.hash_one(&key) as usize % TURNS;
        let _turn = self.turns[turn].lock().await;
        let kept = self.archive.save(Save { path: &key, content, author: who, note }).await?;
        if let Some(file) = self.file(&path).await
            && Digest::of(&file) != kept.digest
        {
            let note = "as the file was after the save before";
            self.archive.save(Save { path: &key, content: file.into(), author: who, note }).await?;
        }
        Ok(kept)
    }

    /// The bytes of a file of the workspace, if it is there and can be read.
    async fn file(&self, path: &str) -> Option<Vec<u8>> {
        let (workspace, path) = (self.workspace.clone(), path.to_owned());
        tokio::task::spawn_blocking(move || workspace.read(&path)).await.ok()?.ok()?
    }

    /// The paths of the workspace that have versions, after one path if given.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn paths(&self, after: Option<&str>) -> Result<Vec<Kept>, Error> {
        let after = after.map(|after| key::join(&[&self.settings.workspace_prefix, after]));
        let mut found = self.archive.paths(&self.settings.workspace_prefix, after.as_deref()).await?;
        for kept in &mut found {
            kept.path = self.below(&kept.path).to_owned();
            kept.newest.path.clone_from(&kept.path);
        }
        Ok(found)
    }

    fn below<'a>(&self, key: &'a str) -> &'a str {
        let rest = key.strip_prefix(self.settings.workspace_prefix.as_str()).unwrap_or(key);
        rest.trim_start_matches('/')
    }

    /// The versions of a path of the workspace, newest first, below a number if one is given.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`].
    pub async fn versions(&self, path: &str, before: Option<u64>) -> Result<Vec<Version>, Error> {
        let (key, path) = self.on_workspace(path)?;
        let found = self.archive.versions(&key, before).await;
        let mut found = found.map_err(|error| named(error, &path))?;
        for version in &mut found {
            version.path.clone_from(&path);
        }
        Ok(found)
    }

    /// A version of a path of the workspace and its bytes; the newest if no number is given.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`], [`Error::NoSuchVersion`], [`Error::Lost`].
    pub async fn read(&self, path: &str, number: Option<u64>) -> Result<(Version, Bytes), Error> {
        let (key, path) = self.on_workspace(path)?;
        let found = self.archive.version(&key, number).await;
        let mut version = found.map_err(|error| named(error, &path))?;
        version.path = path;
        let bytes = self.archive.read(&version).await?;
        Ok((version, bytes))
    }

    /// Writes an old version into the file and keeps that as the newest. What the file held is kept before, if it was not.
    ///
    /// # Errors
    /// As [`Bookstore::read`]; a file that cannot be written.
    pub async fn restore(&self, path: &str, number: u64, who: &str) -> Result<Version, Problem> {
        let (version, bytes) = self.read(path, Some(number)).await?;
        if let Some(file) = self.file(&version.path).await {
            let before = format!("as the file was before {number} was restored");
            self.keep(path, file.into(), who, &before).await?;
        }
        let (workspace, to, content) = (self.workspace.clone(), version.path.clone(), bytes.clone());
        blocking(move || workspace.replace(&to, &content)).await?;
        Ok(self.keep(path, bytes, who, &format!("restored from {number}")).await?)
    }

    /// Publishes bytes under a path: into the bucket, or the house's store where there is none.
    ///
    /// # Errors
    /// What the bucket refused; nothing was published then.
    pub(crate) async fn publish(&self, path: &str, content: Bytes, who: &str) -> Result<Published, Problem> {
        let path = key::clean(path)?;
        let key = key::join(&[&self.settings.published_prefix, &path]);
        let place = format!("s3://{}", key::join(&[self.settings.bucket_name(), &key]));
        let version = if self.settings.has_bucket() {
            self.buckets.put(&self.settings.s3_bucket, &key, content.clone()).await?
        } else {
            None
        };
        let kept = self.archive.save(Save { path: &key, content, author: who, note: "published" }).await;
        let version = if self.settings.has_bucket() { version } else { Some(kept?.number.to_string()) };
        Ok(Published { place, version })
    }

    /// Publishes the file of a path, or a version of it; where it is published, for a person.
    ///
    /// # Errors
    /// There is nothing to publish; as publishing over HTTP.
    pub async fn publish_path(&self, path: &str, number: Option<u64>, who: &str) -> Result<String, Problem> {
        let path = key::clean(path)?;
        let content = match (number, self.file(&path).await) {
            (None, Some(file)) => file.into(),
            _ => self.read(&path, number).await?.1,
        };
        Notebook::read_as_is(&content).map_err(Error::from)?;
        let published = self.publish(&path, content, who).await?;
        let version = published.version.map_or_else(String::new, |version| format!(" version {version}"));
        Ok(format!("{}{version}", published.place))
    }

    /// Clones an object into the workspace.
    ///
    /// # Errors
    /// What the bucket refused; a target that cannot be written.
    pub(crate) async fn clone_object(
        &self,
        source: &Source<'_>,
        target: &str,
        who: &str,
    ) -> Result<Cloned, Problem> {
        let object = if source.bucket == HOUSE && !self.settings.has_bucket() {
            self.own_object(source).await?
        } else if self.settings.has_bucket() || !self.settings.s3_endpoint_url.is_empty() {
            self.buckets.get(source.bucket, source.key, source.version).await?
        } else {
            return Err(Problem::new(404, no_bucket()));
        };
        let note = format!("cloned from s3://{}", key::join(&[source.bucket, source.key]));
        let path = self.add(target, &object.content, who, &note).await?;
        Ok(Cloned { path, content: object.content, version: object.version })
    }

    /// An object of the house's own shelves.
    async fn own_object(&self, source: &Source<'_>) -> Result<Object, Problem> {
        let missing = |code: &str, text: &str| Problem::new(404, spoken(code, "GetObject", text));
        let no_key = || missing("NoSuchKey", "The specified key does not exist.");
        let number = match source.version.map(str::parse::<u64>) {
            None => None,
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => {
                let message = spoken("InvalidArgument", "GetObject", "Invalid version id specified");
                return Err(Problem::new(400, message));
            }
        };
        let version = match self.archive.version(source.key, number).await {
            Ok(version) => version,
            Err(Error::NoSuchPath { .. }) => return Err(no_key()),
            Err(Error::NoSuchVersion { .. }) => {
                return Err(missing("NoSuchVersion", "The specified version does not exist."));
            }
            Err(error) => return Err(error.into()),
        };
        let content = self.archive.read(&version).await?;
        Ok(Object { content, version: Some(version.number.to_string()) })
    }

    /// Clones a file from below the folder for cloning.
    ///
    /// # Errors
    /// 400 and 404 as bookstore has them.
    pub(crate) async fn clone_file(
        &self,
        relative: &str,
        target: &str,
        who: &str,
    ) -> Result<Cloned, Problem> {
        let base = self.settings.cloning_folder().map(Path::to_owned);
        let base = base.ok_or_else(|| Problem::new(404, "cloning from files is not set up"))?;
        let wanted = relative.to_owned();
        let (place, bytes) = blocking(move || cloned_file(&base, &wanted, MAX_BYTES as u64)).await?;
        let content = Bytes::from(bytes);
        if key::is_notebook(&place.to_string_lossy()) {
            Notebook::read_as_is(&content).map_err(|error| {
                Problem::new(400, format!("Unreadable Notebook: {} {error}", place.display()))
            })?;
        }
        let path = self.add(target, &content, who, &format!("cloned from {}", place.display())).await?;
        Ok(Cloned { path, content, version: None })
    }

    /// Where a path below the folder for cloning leads.
    ///
    /// # Errors
    /// As [`Bookstore::clone_file`].
    pub(crate) async fn cloning_place(&self, relative: &str) -> Result<String, Problem> {
        let base = self.settings.cloning_folder().map(Path::to_owned);
        let base = base.ok_or_else(|| Problem::new(404, "cloning from files is not set up"))?;
        let wanted = relative.to_owned();
        let (place, _) = blocking(move || cloned_file(&base, &wanted, MAX_BYTES as u64)).await?;
        Ok(place.display().to_string())
    }

    /// What a person clones: `s3://bucket/key`, a version of the workspace (`a.ipynb@3`), or a file below the folder for cloning.
    ///
    /// # Errors
    /// As cloning over HTTP.
    pub async fn clone_from(&self, source: &str, target: Option<&str>, who: &str) -> Result<String, Problem> {
        let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let (source, number) = key::with_version(source);
        let number = number.map(|number| number.to_string());
        if let Some((bucket, key)) = source.strip_prefix("s3://").and_then(|rest| rest.split_once('/')) {
            let from = Source { bucket, key, version: number.as_deref() };
            let target = target.map_or_else(|| base(key), str::to_owned);
            return Ok(self.clone_object(&from, &target, who).await?.path);
        }
        if let Ok((version, bytes)) = self.read(source, number.and_then(|number| number.parse().ok())).await {
            let target = target.map_or_else(|| version.path.clone(), str::to_owned);
            let note = format!("cloned from {} version {}", version.path, version.number);
            return self.add(&target, &bytes, who, &note).await;
        }
        let target = target.map_or_else(|| base(source), str::to_owned);
        Ok(self.clone_file(source, &target, who).await?.path)
    }

    /// A new file in the workspace, kept as a version.
    async fn add(&self, target: &str, content: &Bytes, who: &str, note: &str) -> Result<String, Problem> {
        let is_notebook = key::is_notebook(target);
        let bytes = if is_notebook { in_file_form(content)? } else { content.clone() };
        let (workspace, target, written) = (self.workspace.clone(), target.to_owned(), bytes.clone());
        let path = blocking(move || workspace.save_new(&target, &written)).await?;
        if is_notebook {
            self.keep(&path, bytes, who, note).await?;
        }
        Ok(path)
    }

    /// Moves spooled saves into the store and queued ones into the bucket, for as long as the future is polled.
    pub fn keep_up(&self) -> impl Future<Output = ()> + Send + use<> {
        let bucket =
            self.settings.has_bucket().then(|| (self.buckets.clone(), self.settings.s3_bucket.clone()));
        mirror::keep_up(self.archive.clone(), bucket)
    }

    /// Uploads what waits for the bucket now; how many versions it uploaded.
    ///
    /// # Errors
    /// The ledger or the store does not answer.
    pub async fn drain(&self) -> Result<usize, Error> {
        if !self.settings.has_bucket() {
            return Ok(0);
        }
        mirror::drain(&self.archive, &self.buckets, &self.settings.s3_bucket).await
    }
}

fn no_bucket() -> String {
    spoken("NoSuchBucket", "GetObject", "The specified bucket does not exist")
}

fn named(error: Error, path: &str) -> Error {
    match error {
        Error::NoSuchPath { .. } => Error::NoSuchPath { path: path.to_owned() },
        Error::NoSuchVersion { version, .. } => Error::NoSuchVersion { path: path.to_owned(), version },
        other => other,
    }
}

/// A notebook as Jupyter writes it into a file; one of another nbformat stays as it is.
fn in_file_form(content: &Bytes) -> Result<Bytes, Problem> {
    if let Ok(notebook) = Notebook::read_as_is(content) {
        return Ok(format!("{}\n", notebook.to_text()).into());
    }
    let text = std::str::from_utf8(content).ok().and_then(|text| json::parse(text).ok());
    match text {
        Some(json::Value::Object(_)) => Ok(content.clone()),
        _ => Err(Problem::new(400, "Unreadable Notebook: what is to be cloned is no JSON object")),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Problem::new(500, format!("the work ended early: {error}"))))
}
