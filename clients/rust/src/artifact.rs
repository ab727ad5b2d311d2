//! Artifacts on their way: the bytes are hashed as they arrive, and none that differ from their digest are given as whole.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ureq::http::{Response, header};
use ureq::{Body, BodyReader};
use url::Url;

use crate::Error;
use crate::http::unreachable;

/// Bytes moved at a time, and between two looks at whether to go on.
const PIECE: usize = 256 * 1024;

/// A blob that is being fetched.
pub struct Artifact {
    reader: BodyReader<'static>,
    url: Url,
    size: Option<u64>,
    media_type: String,
    digest: Option<String>,
}

/// Whether a text is a digest as the house writes it.
pub(crate) fn is_digest(text: &str) -> bool {
    let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.strip_prefix("blake3:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
}

impl std::fmt::Debug for Artifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Artifact")
            .field("digest", &self.digest)
            .field("size", &self.size)
            .field("media_type", &self.media_type)
            .finish_non_exhaustive()
    }
}

impl Artifact {
    pub(crate) fn open(response: Response<Body>, url: &Url, digest: Option<&str>) -> Self {
        let field = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let named = field(header::ETAG).map(|tag| tag.trim_matches('"')).filter(|tag| is_digest(tag));
        let digest = digest.or(named).map(str::to_owned);
        let media_type = field(header::CONTENT_TYPE).unwrap_or("application/octet-stream").to_owned();
        let size = field(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let reader = response.into_body().into_reader();
        Self { reader, url: url.clone(), size, media_type, digest }
    }

    /// Its length in bytes, where the server says it.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Its media type.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The digest that its content must have, `blake3:…`, if one is known.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Reads the whole. `on_piece` hears how many bytes have come, and may stop it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for bytes that are not the digest's, [`Error::Unreachable`] for a connection that is lost,
    /// [`Error::Stopped`].
    pub fn read_all(self, on_piece: impl FnMut(u64) -> ControlFlow<()>) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        // A vector takes everything.
        self.copy(&mut bytes, on_piece, |source| Error::File {
            action: "fill",
            path: "memory".into(),
            source,
        })?;
        Ok(bytes)
    }

    /// Writes the whole into a file. Until everything has arrived and is checked, nothing stands under the name, and a file
    /// that stands there already is not touched. Returns the length in bytes.
    ///
    /// # Errors
    /// [`Error::File`] and those of [`Artifact::read_all`].
    pub fn save(self, path: &Path, on_piece: impl FnMut(u64) -> ControlFlow<()>) -> Result<u64, Error> {
        let failed = |action| {
            let path = path.to_owned();
            move |source: io::Error| Error::File { action, path: path.clone(), source }
        };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // As open(2) makes files: the process's umask takes its part away.
        let permissions = Permissions::from_mode(0o666);
        let mut builder = tempfile::Builder::new();
        let fresh = builder.prefix(".backlot-").permissions(permissions).tempfile_in(directory);
        let mut fresh = fresh.map_err(failed("create a file beside"))?;
        let length = self.copy(fresh.as_file_mut(), on_piece, failed("write"))?;
        fresh.as_file().sync_all().map_err(failed("write"))?;
        let _: File = fresh.persist(path).map_err(|error| failed("write")(error.error))?;
        Ok(length)
    }

    fn copy(
        mut self,
        to: &mut impl Write,
        mut on_piece: impl FnMut(u64) -> ControlFlow<()>,
        unwritable: impl Fn(io::Error) -> Error,
    ) -> Result<u64, Error> {
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; PIECE];
        let mut length = 0;
        loop {
            let count = self.reader.read(&mut piece).map_err(|error| unreachable(&self.url, &error))?;
            if count == 0 {
                break;
            }
            hasher.update(&piece[..count]);
            to.write_all(&piece[..count]).map_err(&unwritable)?;
            length += count as u64;
            if on_piece(length).is_break() {
                return Err(Error::Stopped);
            }
        }
        let found = format!("blake3:{}", hasher.finalize().to_hex());
        match self.digest {
            Some(expected) if expected != found => Err(Error::Corrupt { expected, found }),
            _ => Ok(length),
        }
    }
}
