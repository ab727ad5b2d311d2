//! Where the server is: named by its URL, or noted in the home that it serves.
//!
//! A server writes `server.json` (`{"url": …, "pid": …}`) into its home when it opens and takes it away when it closes; the
//! admin token lies beside it in `admin.token`, readable by the owner alone. A client that was made from a home looks at the
//! note again whenever its server does not answer, so it finds a server that came back on another port.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use crate::Error;

/// The note and the token are short; what is longer is something else.
const MOST_BYTES: u64 = 64 * 1024;

/// Where a server is, and what opens its doors.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The base address; its path ends with a slash.
    pub(crate) url: Url,
    pub(crate) token: Option<String>,
}

impl std::fmt::Debug for Endpoint {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Note {
    url: String,
}

impl Endpoint {
    /// A server named by its URL.
    pub(crate) fn new(url: &str, token: Option<&str>) -> Result<Self, Error> {
        let token = token.map(str::trim).filter(|token| !token.is_empty());
        if token.is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            // The token itself must not reach a message.
            let what = "the token holds characters that no token has".to_owned();
            return Err(Error::Argument { what, mend: "give the text of the token file, one line" });
        }
        Ok(Self { url: parse_url(url)?, token: token.map(str::to_owned) })
    }

    /// The server that the home's note names, with the home's admin token unless another is given.
    pub(crate) fn discover(home: &Path, token: Option<&str>) -> Result<Self, Error> {
        let path = home.join("server.json");
        let Some((text, _)) = read(&path)? else {
            return Err(Error::NoServer { home: home.to_owned() });
        };
        let note: Note = serde_json::from_str(&text)
            .map_err(|error| Error::HomeFile { path: path.clone(), reason: error.to_string() })?;
        match token {
            Some(token) => Self::new(&note.url, Some(token)),
            None => Self::new(&note.url, admin_token(home)?.as_deref()),
        }
    }
}

fn parse_url(text: &str) -> Result<Url, Error> {
    let wrong = |why: &str| Error::Argument {
        what: format!("the server's URL {:?} {why}", without_user(text)),
        mend: "write it like http://127.0.0.1:7700",
    };
    let mut url = Url::parse(text.trim()).map_err(|error| wrong(&format!("cannot be read ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("is neither http:// nor https:// with a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds a user or password, which belong into the token"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("holds a query or fragment"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// The text without what stands before an `@`: it may be a password.
fn without_user(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, rest)| rest)
}

fn admin_token(home: &Path) -> Result<Option<String>, Error> {
    let path = home.join("admin.token");
    let Some((text, mode)) = read(&path)? else { return Ok(None) };
    if mode & 0o077 != 0 {
        return Err(Error::Exposed { path, mode });
    }
    Ok(Some(text.trim().to_owned()))
}

/// A small file's text and permission bits, if it exists.
fn read(path: &Path) -> Result<Option<(String, u32)>, Error> {
    let failed = |error: std::io::Error| Error::HomeFile { path: path.to_owned(), reason: error.to_string() };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(Some((text, mode)))
}

/// The home that is used when none is named: `$BACKLOT_HOME`, else `$XDG_DATA_HOME/backlot`, else
/// `~/.local/share/backlot`, as the command line has it. An empty variable counts as unset, and so does a relative base.
pub(crate) fn default_home(variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf, Error> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let absolute = |path: &PathBuf| path.is_absolute();
    set("BACKLOT_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(set("XDG_DATA_HOME").map(PathBuf::from).filter(absolute)?.join("backlot")))
        .or_else(|| Some(set("HOME").map(PathBuf::from).filter(absolute)?.join(".local/share/backlot")))
        .ok_or(Error::NoHome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::OpenOptionsExt;

    fn write(path: &Path, text: &str, mode: u32) {
        use std::io::Write;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).mode(mode).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn urls_are_checked_and_keep_no_secrets() {
        assert_eq!(parse_url(" http://127.0.0.1:7700 ").unwrap().as_str(), "http://127.0.0.1:7700/");
        assert_eq!(parse_url("https://lot.example/house").unwrap().as_str(), "https://lot.example/house/");
        for bad in ["", "127.0.0.1:7700", "ftp://x", "file:///x", "http://u:secret@x", "http://x/?q=1"] {
            let error = parse_url(bad).unwrap_err();
            assert_eq!(error.code(), "bad_argument");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let error = Endpoint::new("http://x", Some("se cret")).unwrap_err();
        assert!(!error.to_string().contains("cret"), "{error}");
        let endpoint = Endpoint::new("http://x", Some("secret\n")).unwrap();
        assert_eq!(endpoint.token.as_deref(), Some("secret"));
        assert!(!format!("{endpoint:?}").contains("secret"));
    }

    #[test]
    fn a_home_names_its_server() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(Endpoint::discover(home.path(), None), Err(Error::NoServer { .. })));
        let note = home.path().join("server.json");
        write(&note, r#"{"url": "http://127.0.0.1:7700", "pid": 1}"#, 0o644);
        assert_eq!(Endpoint::discover(home.path(), None).unwrap().token, None);
        let token = home.path().join("admin.token");
        write(&token, "backlot_abc\n", 0o600);
        let found = Endpoint::discover(home.path(), None).unwrap();
        assert_eq!(
            (found.url.as_str(), found.token.as_deref()),
            ("http://127.0.0.1:7700/", Some("backlot_abc"))
        );
        assert_eq!(Endpoint::discover(home.path(), Some("other")).unwrap().token.as_deref(), Some("other"));
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
        let exposed = Endpoint::discover(home.path(), None).unwrap_err();
        assert!(exposed.mend().contains("chmod 600") && !exposed.to_string().contains("abc"), "{exposed}");
        std::fs::write(&note, "{").unwrap();
        assert_eq!(Endpoint::discover(home.path(), None).unwrap_err().code(), "bad_home");
    }

    #[test]
    fn the_home_comes_from_the_environment() {
        let home = |given: &[(&str, &str)]| {
            let given: Vec<(String, String)> =
                given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            default_home(move |name| {
                given.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone())
            })
        };
        let is = |given: &[(&str, &str)], path: &str| assert_eq!(home(given).unwrap(), PathBuf::from(path));
        is(&[("BACKLOT_HOME", "/a"), ("XDG_DATA_HOME", "/b"), ("HOME", "/c")], "/a");
        is(&[("BACKLOT_HOME", ""), ("XDG_DATA_HOME", "/b"), ("HOME", "/c")], "/b/backlot");
        is(&[("XDG_DATA_HOME", "relative"), ("HOME", "/c")], "/c/.local/share/backlot");
        assert!(matches!(home(&[]), Err(Error::NoHome)));
    }
}
