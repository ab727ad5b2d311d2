//! Where notebooks are read and written: files, standard input and output, HTTP, S3.
//!
//! A notebook's place is a word, as papermill takes it. A file is replaced atomically: written beside itself, then renamed, so a
//! full disk or a crash leaves the old one whole. What is no regular file (a pipe, a device) is written straight.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, ObjectStoreExt, path::Path as Key};

use super::RunError;

/// How long a server may take for a notebook.
const HTTP_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest answer that is read: as the longest notebook.
const HTTP_LIMIT: u64 = backlot_notebooks_model::MAX_BYTES as u64;

/// The schemes that papermill has and we do not.
const OTHERS: [&str; 5] = ["adl://", "abs://", "gs://", "hdfs://", "https://github.com/"];

/// Where a notebook is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Standard input or output.
    Stream,
    /// A file.
    File(PathBuf),
    /// An HTTP resource: read with GET, written with PUT.
    Http(String),
    /// An object in a bucket, reached with the `AWS_*` variables.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// Nowhere: it is not written.
    Nowhere,
}

/// Whether bytes must have reached the disk before a write returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// They survive the end of this process.
    Process,
    /// They survive the loss of power.
    Disk,
}

impl Place {
    /// The place that a word names.
    ///
    /// # Errors
    /// A scheme that is not served.
    pub fn parse(word: &str) -> Result<Place, RunError> {
        if word == "-" {
            return Ok(Place::Stream);
        }
        if let Some(scheme) = OTHERS.iter().find(|scheme| word.starts_with(**scheme)) {
            return Err(RunError::Place {
                place: word.to_owned(),
                why: format!("{scheme} is not served; copy the notebook to a file or to s3:// first"),
            });
        }
        if word.starts_with("http://") || word.starts_with("https://") {
            return Ok(Place::Http(word.to_owned()));
        }
        if let Some(rest) = word.strip_prefix("s3://") {
            return match rest.split_once('/') {
                Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                    Ok(Place::S3 { bucket: bucket.to_owned(), key: key.to_owned() })
                }
                _ => Err(RunError::Place { place: word.to_owned(), why: "write s3://BUCKET/KEY".to_owned() }),
            };
        }
        Ok(Place::File(PathBuf::from(word)))
    }

    fn fault(&self, why: impl ToString) -> RunError {
        let place = match self {
            Place::Stream => "-".to_owned(),
            Place::File(path) => path.display().to_string(),
            Place::Http(url) => url.clone(),
            Place::S3 { bucket, key } => format!("s3://{bucket}/{key}"),
            Place::Nowhere => "nowhere".to_owned(),
        };
        RunError::Place { place, why: why.to_string() }
    }

    /// Reads all of it.
    pub(crate) async fn read(&self) -> Result<Vec<u8>, RunError> {
        match self {
            Place::Stream => {
                let read = tokio::task::spawn_blocking(|| {
                    let mut bytes = Vec::new();
                    io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
                });
                read.await.map_err(|error| self.fault(error))?.map_err(|error| self.fault(error))
            }
            Place::File(path) => match fs::read(path) {
                Ok(bytes) => Ok(bytes),
                // As with papermill, a word that is no file may be the notebook itself.
                Err(_) if path.to_string_lossy().trim_start().starts_with('{') => {
                    Ok(path.to_string_lossy().into_owned().into_bytes())
                }
                Err(error) => Err(self.fault(error)),
            },
            Place::Http(url) => {
                let url = url.clone();
                let got = tokio::task::spawn_blocking(move || http_get(&url));
                got.await.map_err(|error| self.fault(error))?.map_err(|error| self.fault(error))
            }
            Place::S3 { bucket, key } => {
                let store = s3(bucket).map_err(|error| self.fault(error))?;
                let got = store.get(&Key::from(key.as_str())).await.map_err(|error| self.fault(error))?;
                Ok(got.bytes().await.map_err(|error| self.fault(error))?.to_vec())
            }
            Place::Nowhere => Err(self.fault("there is nothing to read")),
        }
    }

    /// Writes all of it.
    pub(crate) async fn write(&self, text: &str, durability: Durability) -> Result<(), RunError> {
        match self {
            Place::Stream => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| self.fault(error))
            }
            Place::File(path) => {
                replace(path, text.as_bytes(), durability).map_err(|error| self.fault(error))
            }
            Place::Http(url) => {
                let (url, text) = (url.clone(), text.to_owned());
                let put = tokio::task::spawn_blocking(move || http_put(&url, &text));
                put.await.map_err(|error| self.fault(error))?.map_err(|error| self.fault(error))
            }
            Place::S3 { bucket, key } => {
                let store = s3(bucket).map_err(|error| self.fault(error))?;
                let put = store.put(&Key::from(key.as_str()), text.to_owned().into_bytes().into()).await;
                put.map(drop).map_err(|error| self.fault(error))
            }
            Place::Nowhere => Ok(()),
        }
    }

    /// Whether saving often costs little: what is sent elsewhere or can be written once is saved at the end only.
    pub(crate) fn takes_many_saves(&self) -> bool {
        matches!(self, Place::File(_))
    }
}

fn s3(bucket: &str) -> object_store::Result<impl ObjectStore> {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    let endpoint =
        ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].iter().find_map(|name| std::env::var(name).ok());
    if let Some(endpoint) = endpoint {
        let is_plain = endpoint.starts_with("http://");
        builder = builder.with_endpoint(endpoint).with_allow_http(is_plain);
    }
    builder.build()
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(HTTP_TIMEOUT)).build().into()
}

fn http_get(url: &str) -> Result<Vec<u8>, ureq::Error> {
    let mut answer = agent().get(url).header("Accept", "application/json").call()?;
    answer.body_mut().with_config().limit(HTTP_LIMIT).read_to_vec()
}

fn http_put(url: &str, text: &str) -> Result<(), ureq::Error> {
    agent().put(url).header("Content-Type", "application/json").send(text).map(drop)
}

/// Replaces a file's content: the new one is complete under another name before it takes this one.
fn replace(path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    // A link keeps its place; what it leads to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let known = fs::metadata(&path).ok();
    if known.as_ref().is_some_and(|known| !known.is_file()) {
        return fs::OpenOptions::new().write(true).open(&path)?.write_all(content);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let why = format!("output folder {} doesn't exist.", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    let mut file = tempfile::Builder::new().prefix(".backlot-").suffix(".ipynb").tempfile_in(folder)?;
    file.write_all(content)?;
    let mode = known.map_or_else(new_file_mode, |known| known.permissions());
    file.as_file().set_permissions(mode)?;
    if durability == Durability::Disk {
        file.as_file().sync_all()?;
    }
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

/// What a new file may be used for: as the process's mask says.
fn new_file_mode() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::OnceLock;
    static MODE: OnceLock<u32> = OnceLock::new();
    let mode = MODE.get_or_init(|| {
        // The mask can only be read by a file that is made under it.
        let made = tempfile::tempdir().and_then(|folder| {
            let path = folder.path().join("mode");
            fs::File::create(&path)?;
            Ok(fs::metadata(&path)?.permissions().mode() & 0o777)
        });
        made.unwrap_or(0o644)
    });
    fs::Permissions::from_mode(*mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_places() {
        assert_eq!(Place::parse("-").unwrap(), Place::Stream);
        assert_eq!(Place::parse("a/b.ipynb").unwrap(), Place::File("a/b.ipynb".into()));
        assert_eq!(
            Place::parse("s3://bucket/a/b").unwrap(),
            Place::S3 { bucket: "bucket".to_owned(), key: "a/b".to_owned() }
        );
        assert!(matches!(Place::parse("http://h/x").unwrap(), Place::Http(_)));
        for word in ["gs://b/k", "s3://bucket", "hdfs://x/y"] {
            assert!(Place::parse(word).is_err(), "{word}");
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_link_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a"), folder.path().join("l"));
        replace(&file, b"one", Durability::Disk).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"two", Durability::Process).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        let error = replace(&folder.path().join("no/x"), b"", Durability::Process).unwrap_err();
        assert!(error.to_string().ends_with("/no doesn't exist."), "{error}");
    }

    const FULL: &str = "BACKLOT_TEST_FULL";

    #[test]
    fn a_full_disk_leaves_the_old_file() {
        if let Some(file) = std::env::var_os(FULL) {
            // Here files end at 4 KiB: the write fails in its middle, as on a disk without room.
            let error = replace(Path::new(&file), &vec![b'n'; 100_000], Durability::Process).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        replace(&file, b"old", Durability::Process).unwrap();
        let name = "runner::place::tests::a_full_disk_leaves_the_old_file";
        let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact \"$1\" --nocapture";
        let child = std::process::Command::new("sh")
            .args(["-c", script, &std::env::current_exe().unwrap().to_string_lossy(), name])
            .env(FULL, &file)
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        assert_eq!(fs::read(&file).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "what was half written is gone");
    }
}
