//! Who may pass a door: access levels, scopes, and the caller that a handler sees.

use std::collections::BTreeSet;
use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;

use crate::{ApiError, Error};

/// What a door or page asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Needs nothing on loopback, so that stock clients work as they are. From elsewhere (a listener beyond loopback, a
    /// configured host name, a reverse proxy) it needs any valid token.
    Open,
    /// Needs a bearer token or the console's session, with whatever scopes.
    Authenticated,
    /// Needs a bearer token or the console's session with this scope.
    Scope(&'static str),
    /// Needs the scope `read` for GET, HEAD and OPTIONS, and `write` for every other method.
    ReadWrite {
        /// Scope for methods that change nothing.
        read: &'static str,
        /// Scope for methods that change something.
        write: &'static str,
    },
}

impl Access {
    /// The scope that a request with this method needs, if a particular one.
    pub fn scope_for(&self, method: &Method) -> Option<&'static str> {
        match *self {
            Self::Open | Self::Authenticated => None,
            Self::Scope(scope) => Some(scope),
            Self::ReadWrite { read, write } => Some(if changes_state(method) { write } else { read }),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open on loopback"),
            Self::Authenticated => f.write_str("any token"),
            Self::Scope(scope) => f.write_str(scope),
            Self::ReadWrite { read, write } => write!(f, "{read}, {write}"),
        }
    }
}

/// Whether a request with this method may change state (everything but GET, HEAD, OPTIONS).
pub(crate) fn changes_state(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The scope that implies all others.
pub(crate) const ADMIN: &str = "admin";

/// A set of scopes such as `runs:read`; the scope `admin` implies all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<String>);

impl Scopes {
    /// Checks and collects scopes. A scope is `admin`, or `area:action` in lower-case letters, digits and hyphens.
    ///
    /// # Errors
    /// [`Error::Token`] names the first scope that is not shaped so; an empty list is one too.
    pub fn new<S: AsRef<str>>(scopes: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let mut set = BTreeSet::new();
        for scope in scopes {
            let scope = scope.as_ref();
            if !is_scope(scope) {
                return Err(Error::Token {
                    what: format!("the scope {scope:?}"),
                    mend: "write `admin`, or an area and an action such as `runs:read`",
                });
            }
            set.insert(scope.to_owned());
        }
        if set.is_empty() {
            return Err(Error::Token {
                what: "an empty list of scopes".to_owned(),
                mend: "name at least one, such as `runs:read`",
            });
        }
        Ok(Self(set))
    }

    /// The one scope that implies all.
    pub fn admin() -> Self {
        Self(BTreeSet::from([ADMIN.to_owned()]))
    }

    /// Whether `scope` is among these or implied by them.
    pub fn allows(&self, scope: &str) -> bool {
        self.0.contains(ADMIN) || self.0.contains(scope)
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

fn is_scope(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && part.len() <= 64
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text == ADMIN || text.split_once(':').is_some_and(|(area, action)| word(area) && word(action))
}

/// How a caller proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// `Authorization: Bearer …`.
    Bearer,
    /// The console's session cookie.
    Session,
    /// Not at all: an open door on loopback, or authentication is off.
    Loopback,
}

/// Who sent the request. An extractor: a handler that takes a `Caller` sees whom the gate let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: String,
    scopes: Scopes,
    via: Via,
}

impl Caller {
    pub(crate) fn new(name: &str, scopes: Scopes, via: Via) -> Self {
        Self { name: name.to_owned(), scopes, via }
    }

    /// The name of the token (for journals), or `loopback` for an anonymous caller on this machine.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the caller proved it.
    pub fn via(&self) -> Via {
        self.via
    }

    /// Whether the caller holds this scope.
    pub fn allows(&self, scope: &str) -> bool {
        self.scopes.allows(scope)
    }

    /// Demands a scope within a handler, for doors whose routes need more than the door does.
    ///
    /// # Errors
    /// 403 `scope_missing`, naming the scope and how to get it.
    pub fn require(&self, scope: &str) -> Result<(), ApiError> {
        if self.allows(scope) { Ok(()) } else { Err(ApiError::scope_missing(&self.name, scope)) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| ApiError::internal(&"no gate before this handler"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_implies_all_and_others_only_themselves() {
        let reader = Scopes::new(["runs:read"]).unwrap();
        assert!(reader.allows("runs:read"));
        assert!(!reader.allows("runs:write"));
        assert!(!reader.allows("admin"));
        assert!(Scopes::admin().allows("anything:at-all"));
    }

    #[test]
    fn malformed_scopes_are_refused_by_name() {
        for bad in ["", "runs", "runs:", ":read", "Runs:read", "runs:read:all", "runs read", "runs:réad"] {
            let message = Scopes::new([bad]).unwrap_err().to_string();
            assert!(message.contains(&format!("{bad:?}")), "{message}");
        }
        assert!(Scopes::new(Vec::<String>::new()).is_err());
    }

    #[test]
    fn read_write_splits_by_method() {
        let access = Access::ReadWrite { read: "a:read", write: "a:write" };
        for (method, scope) in [
            (Method::GET, "a:read"),
            (Method::HEAD, "a:read"),
            (Method::OPTIONS, "a:read"),
            (Method::POST, "a:write"),
            (Method::DELETE, "a:write"),
            (Method::TRACE, "a:write"),
        ] {
            assert_eq!(access.scope_for(&method), Some(scope));
        }
    }
}
