//! How a command finds the server of its home.
//!
//! The server writes its address to `server.json` in the home when it opens and removes it when it closes. A file left by a
//! killed server names an address where nobody answers; the client then says so. The token beside it is the admin token that
//! only the home's owner can read.

use std::path::{Path, PathBuf};

use backlot_web::Tokens;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Where a server is, and what opens its doors.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The base address without a slash at the end: `http://127.0.0.1:7700`.
    pub url: String,
    /// The bearer token, if one is known.
    pub token: Option<String>,
}

impl std::fmt::Debug for Endpoint {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct ServerFile {
    url: String,
    pid: u32,
}

impl Endpoint {
    /// Notes in the home that this process serves it at this address.
    ///
    /// # Errors
    /// [`Error::EndpointFile`].
    pub fn announce(home: &Path, url: &str) -> Result<(), Error> {
        let path = path(home);
        let failed = |error: std::io::Error| Error::EndpointFile {
            action: "write",
            path: path.clone(),
            reason: error.to_string(),
        };
        let file = ServerFile { url: url.trim_end_matches('/').to_owned(), pid: std::process::id() };
        let text = serde_json::to_string(&file).expect("invariant: text and a number always serialise");
        let fresh = path.with_extension(format!("{}.tmp", std::process::id()));
        std::fs::write(&fresh, text).map_err(failed)?;
        std::fs::rename(&fresh, &path).map_err(failed)
    }

    /// Takes the note away again, if it is this process's.
    ///
    /// # Errors
    /// [`Error::EndpointFile`].
    pub fn withdraw(home: &Path) -> Result<(), Error> {
        match read(home)? {
            Some(file) if file.pid == std::process::id() => {
                std::fs::remove_file(path(home)).map_err(|error| Error::EndpointFile {
                    action: "remove",
                    path: path(home),
                    reason: error.to_string(),
                })
            }
            _ => Ok(()),
        }
    }

    /// The server that the home's note names, with the home's admin token; `None` without a note.
    ///
    /// # Errors
    /// [`Error::EndpointFile`] for a note that cannot be read; errors of the token's file.
    pub fn discover(home: &Path) -> Result<Option<Self>, Error> {
        let Some(file) = read(home)? else { return Ok(None) };
        Ok(Some(Self { url: file.url, token: Tokens::admin_token(home)? }))
    }
}

fn path(home: &Path) -> PathBuf {
    home.join("server.json")
}

fn read(home: &Path) -> Result<Option<ServerFile>, Error> {
    let path = path(home);
    let failed = |reason: String| Error::EndpointFile { action: "read", path: path.clone(), reason };
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| failed(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_server_is_found_until_it_withdraws() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(Endpoint::discover(home.path()).unwrap(), None);
        Tokens::open(home.path()).unwrap();
        Endpoint::announce(home.path(), "http://127.0.0.1:7700/").unwrap();
        let found = Endpoint::discover(home.path()).unwrap().unwrap();
        assert_eq!(found.url, "http://127.0.0.1:7700");
        assert_eq!(found.token, Tokens::admin_token(home.path()).unwrap());
        assert!(!format!("{found:?}").contains(found.token.as_deref().unwrap()));
        Endpoint::withdraw(home.path()).unwrap();
        assert_eq!(Endpoint::discover(home.path()).unwrap(), None);
    }

    #[test]
    fn the_note_of_a_later_server_stays() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("server.json"), r#"{"url": "http://127.0.0.1:1", "pid": 0}"#)
            .unwrap();
        Endpoint::withdraw(home.path()).unwrap();
        assert_eq!(Endpoint::discover(home.path()).unwrap().unwrap().url, "http://127.0.0.1:1");
        std::fs::write(home.path().join("server.json"), "{").unwrap();
        let message = Endpoint::discover(home.path()).unwrap_err().to_string();
        assert!(message.contains("server.json") && message.contains("--url"), "{message}");
    }
}
