//! Tokens and console sessions, kept as hashes in files that only the owner may read.
//!
//! | file under the home | holds |
//! |---|---|
//! | `admin.token` | the admin token itself, made at the first start, so that the command line on this machine finds it |
//! | `tokens.json` | name, hash, scopes, created and expiry of every further token |
//! | `sessions.json` | hash, token and expiry of every console session, so that a restart does not log people out |
//!
//! The files are the truth: before each check their stamps are compared (two `stat` calls), so a token that another
//! process creates or revokes, and an admin token that the operator replaces, take effect at once. A presented secret is
//! hashed and compared, in constant time, with every stored hash. A session is worth what its token is worth: revoke or
//! replace the token, and its sessions end.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::private_file::{self, Stamp};
use crate::random;
use crate::{Caller, Error, Scopes, Via};

const ADMIN_FILE: &str = "admin.token";
const TOKENS_FILE: &str = "tokens.json";
const SESSIONS_FILE: &str = "sessions.json";
const LOCK_FILE: &str = "tokens.lock";

/// What a token starts with: a leaked one is then found by secret scanners, and people know what they look at.
const TOKEN_PREFIX: &str = "backlot_";

/// How long a console login lasts.
pub(crate) const SESSION_LIFE: Duration = Duration::from_hours(14 * 24);

/// Sessions kept at once; beyond it the oldest end. Bounds the file that logins can grow.
const MAX_SESSIONS: usize = 256;

/// Tokens kept at once: each check compares with every one.
const MAX_TOKENS: usize = 1000;

/// Where the present time comes from; injected by tests.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The tokens of a home. A cheap handle.
#[derive(Clone)]
pub struct Tokens(Option<Arc<Inner>>);

struct Inner {
    home: PathBuf,
    clock: Clock,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    admin: Option<(Stamp, blake3::Hash)>,
    tokens: Option<(Stamp, Vec<StoredToken>)>,
    sessions: Vec<StoredSession>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredToken {
    name: String,
    #[serde(with = "hex_hash")]
    hash: blake3::Hash,
    scopes: Vec<String>,
    created: Timestamp,
    expires: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredSession {
    #[serde(with = "hex_hash")]
    hash: blake3::Hash,
    #[serde(with = "hex_hash")]
    token: blake3::Hash,
    expires: Timestamp,
}

/// What may be told about a token; never the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// Its name.
    pub name: String,
    /// Its scopes, in order.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends, if it does.
    pub expires: Option<Timestamp>,
}

/// Why a presented secret was not accepted.
#[derive(Debug)]
pub(crate) enum Denied {
    /// No such token or session.
    Unknown,
    /// It was valid once.
    Expired,
    /// The files could not be read.
    Failed(Error),
}

impl From<Error> for Denied {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(inner) => f.debug_struct("Tokens").field("home", &inner.home).finish_non_exhaustive(),
            None => f.write_str("Tokens(off)"),
        }
    }
}

impl Tokens {
    /// The tokens kept under `home`. Makes the directory (0700) and the admin token (0600) if they are missing.
    ///
    /// # Errors
    /// A file that cannot be read or written, is damaged, or can be read by other users.
    pub fn open(home: &Path) -> Result<Self, Error> {
        Self::open_with(home, Arc::new(Timestamp::now))
    }

    /// Like [`Tokens::open`], with a clock of the caller's.
    ///
    /// # Errors
    /// As [`Tokens::open`].
    pub fn open_with(home: &Path, clock: Clock) -> Result<Self, Error> {
        make_private_directory(home)?;
        let admin_path = home.join(ADMIN_FILE);
        if private_file::stamp(&admin_path)?.is_none() {
            let token = format!("{TOKEN_PREFIX}{}\n", random::secret()?);
            private_file::create(&admin_path, &token)?;
        }
        let sessions_path = home.join(SESSIONS_FILE);
        let sessions = match private_file::read(&sessions_path)? {
            Some(text) => parse(&sessions_path, &text)?,
            None => Vec::new(),
        };
        let known = Mutex::new(Known { sessions, ..Known::default() });
        let inner = Inner { home: home.to_owned(), clock, known };
        inner.refresh(&mut inner.lock())?;
        Ok(Self(Some(Arc::new(inner))))
    }

    /// No authentication at all: every caller on loopback may do everything. A shell with these tokens refuses to
    /// listen anywhere else.
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether callers are authenticated.
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Reads the admin token of a home, for the command line; `None` when the home has none yet.
    ///
    /// # Errors
    /// A file that cannot be read, or that other users may read.
    pub fn admin_token(home: &Path) -> Result<Option<String>, Error> {
        Ok(private_file::read(&home.join(ADMIN_FILE))?.map(|text| text.trim().to_owned()))
    }

    /// Makes a token and returns it; it is shown this once, and only its hash is kept.
    ///
    /// # Errors
    /// [`Error::Token`] for a name that is taken or malformed, or an expiry that has passed; file errors.
    pub fn create(&self, name: &str, scopes: &Scopes, expires: Option<Timestamp>) -> Result<String, Error> {
        let inner = self.inner()?;
        check_name(name)?;
        let now = (inner.clock)();
        if expires.is_some_and(|end| end <= now) {
            return Err(Error::Token {
                what: format!("the expiry of {name:?}"),
                mend: "give a moment in the future",
            });
        }
        let token = format!("{TOKEN_PREFIX}{}", random::secret()?);
        let stored = StoredToken {
            name: name.to_owned(),
            hash: random::hash(&token),
            scopes: scopes.iter().map(str::to_owned).collect(),
            created: now,
            expires,
        };
        inner.change_tokens(|tokens| {
            if tokens.iter().any(|other| other.name == stored.name) {
                return Err(Error::Token {
                    what: format!("the name {name:?}"),
                    mend: "it is taken: revoke that token first, or choose another name",
                });
            }
            if tokens.len() >= MAX_TOKENS {
                return Err(Error::Token {
                    what: "one more token".to_owned(),
                    mend: "revoke some of the 1000 first",
                });
            }
            tokens.push(stored);
            Ok(())
        })?;
        Ok(token)
    }

    /// Ends a token and its sessions; says whether there was one of that name.
    ///
    /// # Errors
    /// File errors.
    pub fn revoke(&self, name: &str) -> Result<bool, Error> {
        self.inner()?.change_tokens(|tokens| {
            let before = tokens.len();
            tokens.retain(|token| token.name != name);
            Ok(tokens.len() < before)
        })
    }

    /// The tokens besides the admin token, in order of making.
    ///
    /// # Errors
    /// File errors.
    pub fn list(&self) -> Result<Vec<TokenInfo>, Error> {
        let inner = self.inner()?;
        let mut known = inner.lock();
        inner.refresh(&mut known)?;
        let info = |token: &StoredToken| TokenInfo {
            name: token.name.clone(),
            scopes: token.scopes.clone(),
            created: token.created,
            expires: token.expires,
        };
        Ok(known.stored_tokens().iter().map(info).collect())
    }

    /// Who presents this token.
    pub(crate) fn authenticate(&self, presented: &str) -> Result<Caller, Denied> {
        let inner = self.inner()?;
        let mut known = inner.lock();
        inner.refresh(&mut known)?;
        known.caller(&random::hash(presented), (inner.clock)(), Via::Bearer)
    }

    /// Starts a session for the holder of this token; returns the cookie's value.
    pub(crate) fn login(&self, presented: &str) -> Result<String, Denied> {
        let inner = self.inner()?;
        let now = (inner.clock)();
        let token = random::hash(presented);
        let mut known = inner.lock();
        inner.refresh(&mut known)?;
        known.caller(&token, now, Via::Session)?;
        let cookie = random::secret()?;
        let expires = now.checked_add(SESSION_LIFE).unwrap_or(Timestamp::MAX);
        known.sessions.retain(|session| session.expires > now);
        if known.sessions.len() >= MAX_SESSIONS {
            known.sessions.remove(0);
        }
        known.sessions.push(StoredSession { hash: random::hash(&cookie), token, expires });
        inner.save_sessions(&known.sessions)?;
        Ok(cookie)
    }

    /// Who holds this session.
    pub(crate) fn session(&self, cookie: &str) -> Result<Caller, Denied> {
        let inner = self.inner()?;
        let now = (inner.clock)();
        let mut known = inner.lock();
        inner.refresh(&mut known)?;
        let hash = random::hash(cookie);
        let mut token = None;
        for session in &known.sessions {
            if session.hash == hash {
                token = Some((session.token, session.expires));
            }
        }
        let (token, expires) = token.ok_or(Denied::Unknown)?;
        if expires <= now {
            return Err(Denied::Expired);
        }
        known.caller(&token, now, Via::Session)
    }

    /// Ends this session, if it is one.
    pub(crate) fn logout(&self, cookie: &str) -> Result<(), Error> {
        let inner = self.inner()?;
        let hash = random::hash(cookie);
        let mut known = inner.lock();
        let before = known.sessions.len();
        known.sessions.retain(|session| session.hash != hash);
        if known.sessions.len() < before { inner.save_sessions(&known.sessions) } else { Ok(()) }
    }

    fn inner(&self) -> Result<&Inner, Error> {
        self.0.as_deref().ok_or(Error::TokensOff)
    }
}

impl Inner {
    /// The lock is held for file and memory work only, and every change is made whole before it is kept, so a panic
    /// of another holder leaves nothing half-done.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads again what has changed on disk.
    fn refresh(&self, known: &mut Known) -> Result<(), Error> {
        let admin_path = self.home.join(ADMIN_FILE);
        match private_file::stamp(&admin_path)? {
            None => known.admin = None,
            Some(stamp) if known.admin.is_some_and(|(seen, _)| seen == stamp) => {}
            Some(stamp) => {
                known.admin = None;
                let text = private_file::read(&admin_path)?.unwrap_or_default();
                known.admin = Some((stamp, admin_hash(&admin_path, &text)?));
            }
        }
        let tokens_path = self.home.join(TOKENS_FILE);
        match private_file::stamp(&tokens_path)? {
            None => known.tokens = None,
            Some(stamp) if known.tokens.as_ref().is_some_and(|(seen, _)| *seen == stamp) => {}
            Some(stamp) => {
                known.tokens = None;
                let text = private_file::read(&tokens_path)?.unwrap_or_default();
                known.tokens = Some((stamp, parse(&tokens_path, &text)?));
            }
        }
        Ok(())
    }

    /// Changes the tokens under a lock among processes.
    fn change_tokens<T>(
        &self,
        change: impl FnOnce(&mut Vec<StoredToken>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _among_processes = private_file::lock(&self.home.join(LOCK_FILE))?;
        let path = self.home.join(TOKENS_FILE);
        let mut tokens: Vec<StoredToken> = match private_file::read(&path)? {
            Some(text) => parse(&path, &text)?,
            None => Vec::new(),
        };
        let outcome = change(&mut tokens)?;
        private_file::replace(&path, &to_json(&tokens))?;
        Ok(outcome)
    }

    fn save_sessions(&self, sessions: &[StoredSession]) -> Result<(), Error> {
        private_file::replace(&self.home.join(SESSIONS_FILE), &to_json(sessions))
    }
}

impl Known {
    fn stored_tokens(&self) -> &[StoredToken] {
        self.tokens.as_ref().map_or(&[], |(_, tokens)| tokens)
    }

    /// Compares with every hash, whether or not an earlier one was equal.
    fn caller(&self, presented: &blake3::Hash, now: Timestamp, via: Via) -> Result<Caller, Denied> {
        let mut found = Err(Denied::Unknown);
        if self.admin.is_some_and(|(_, hash)| hash == *presented) {
            found = Ok(Caller::new("admin", Scopes::admin(), via));
        }
        for token in self.stored_tokens() {
            if token.hash != *presented {
                continue;
            }
            found = if token.expires.is_some_and(|end| end <= now) {
                Err(Denied::Expired)
            } else {
                Ok(Caller::new(&token.name, Scopes::new(&token.scopes)?, via))
            };
        }
        found
    }
}

fn admin_hash(path: &Path, text: &str) -> Result<blake3::Hash, Error> {
    let token = text.trim();
    // Half of the bits we write: an operator may bring a token, but not a guessable one.
    if token.len() < 32 || token.contains(char::is_whitespace) {
        let reason = "it does not hold one token of at least 32 characters".to_owned();
        return Err(Error::Damaged { path: path.to_owned(), reason });
    }
    Ok(random::hash(token))
}

fn check_name(name: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) || matches!(name, "admin" | "loopback")
    {
        return Err(Error::Token {
            what: format!("the name {name:?}"),
            mend: "use 1 to 64 letters, digits or - _ . @, and neither `admin` nor `loopback`",
        });
    }
    Ok(())
}

fn make_private_directory(home: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(|source| Error::File {
        action: "create",
        path: home.to_owned(),
        source,
    })
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, text: &str) -> Result<T, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::Damaged { path: path.to_owned(), reason: error.to_string() })
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    let mut text =
        serde_json::to_string_pretty(value).expect("invariant: strings and lists always serialise");
    text.push('\n');
    text
}

/// A hash as hexadecimal text.
mod hex_hash {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(hash: &blake3::Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hash.to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<blake3::Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        blake3::Hash::from_hex(text.as_bytes()).map_err(D::Error::custom)
    }
}
