//! Doors and pages: what a department mounts.

use std::borrow::Cow;
use std::time::Duration;

use axum::Router;

use crate::Access;
use crate::console::Icon;

/// One way into the house for one kind of client: a protocol under a prefix of the HTTP port, or a socket of its own.
#[derive(Clone, Debug)]
pub struct Door {
    /// A short name, unique in the house: `genie`.
    pub name: Cow<'static, str>,
    /// Where it is.
    pub address: DoorAddress,
    /// What it asks of its caller.
    pub access: Access,
    /// The client that it serves: "pygenie", "curl, the `backlot` command".
    pub client: Cow<'static, str>,
    /// The variable or flag that points that client here: `BACKLOT_URL`, `--base-url`.
    pub env: Cow<'static, str>,
    /// Whether its clients may send their token as `?token=…`.
    pub token_in_query: bool,
    /// Largest body in bytes, where the house's limit does not fit.
    pub body_limit: Option<u64>,
    /// Time to the response head, where the house's limit does not fit.
    pub time_limit: Option<Duration>,
}

/// Where a door is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DoorAddress {
    /// Routes under a prefix of the HTTP port; the router sees paths without the prefix.
    Http {
        /// Begins with a slash and does not end in one: `/genie`.
        prefix: Cow<'static, str>,
        /// The routes.
        router: Router,
    },
    /// A socket that the department opens itself; listed, not served, by the shell.
    Socket {
        /// Protocol and address: `udp://127.0.0.1:1234`.
        url: Cow<'static, str>,
    },
}

impl Door {
    /// A door on the HTTP port, open on loopback until [`Door::access`] says otherwise.
    pub fn http(
        name: impl Into<Cow<'static, str>>,
        prefix: impl Into<Cow<'static, str>>,
        router: Router,
    ) -> Self {
        Self::at(name.into(), DoorAddress::Http { prefix: prefix.into(), router })
    }

    /// A door that is a socket of the department's own.
    pub fn socket(name: impl Into<Cow<'static, str>>, url: impl Into<Cow<'static, str>>) -> Self {
        Self::at(name.into(), DoorAddress::Socket { url: url.into() })
    }

    fn at(name: Cow<'static, str>, address: DoorAddress) -> Self {
        Self {
            name,
            address,
            access: Access::Open,
            client: Cow::Borrowed(""),
            env: Cow::Borrowed(""),
            token_in_query: false,
            body_limit: None,
            time_limit: None,
        }
    }

    /// Sets what the door asks of its caller.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Names the client that the door serves, and the variable or flag that points it here.
    pub fn client(mut self, client: impl Into<Cow<'static, str>>, env: impl Into<Cow<'static, str>>) -> Self {
        self.client = client.into();
        self.env = env.into();
        self
    }

    /// Takes tokens from the query as well, for clients that know no other place: browsers set no headers on websockets. A browser that
    /// asks for a page so is signed in and sent on to the page without the token.
    pub fn token_in_query(mut self) -> Self {
        self.token_in_query = true;
        self
    }

    /// Sets the largest body in bytes for this door.
    pub fn body_limit(mut self, bytes: u64) -> Self {
        self.body_limit = Some(bytes);
        self
    }

    /// Sets the time from request head to response head for this door; `Duration::MAX` for uploads that take as long
    /// as they move.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }
}

/// A part of the console: routes that answer with HTML, and their entry in the navigation.
#[derive(Clone, Debug)]
pub struct Page {
    /// The name in the navigation.
    pub title: Cow<'static, str>,
    /// Begins with a slash and does not end in one: `/runs`.
    pub path: Cow<'static, str>,
    /// The symbol in the navigation.
    pub icon: Icon,
    /// The routes, seen without the path.
    pub router: Router,
    /// What the page asks of its caller; entries that the caller may not open are not shown.
    pub access: Access,
}

impl Page {
    /// A page that any authenticated caller may open.
    pub fn new(
        title: impl Into<Cow<'static, str>>,
        path: impl Into<Cow<'static, str>>,
        icon: Icon,
        router: Router,
    ) -> Self {
        Self { title: title.into(), path: path.into(), icon, router, access: Access::Authenticated }
    }

    /// Sets what the page asks of its caller.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }
}
