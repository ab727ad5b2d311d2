//! What the operator decides: where to listen, who may enter, and the limits.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use backlot_meters::Registry;

use crate::Tokens;

/// The port that `backlot up` opens when nothing else is said.
pub const DEFAULT_PORT: u16 = 7700;

/// Settings of a [`Shell`](crate::Shell).
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// The address to listen on. Anything but loopback is refused while `tokens` is off.
    pub bind: SocketAddr,
    /// Who may enter.
    pub tokens: Tokens,
    /// Further host names (without a port) under which clients may address this server, for example the public name
    /// behind a reverse proxy. Loopback names are always accepted. On a listener beyond loopback an empty list accepts
    /// every name, because every request needs a token there.
    pub hosts: Vec<String>,
    /// Bounds on what one client can take.
    pub limits: Limits,
    /// Where requests are counted; they are not without it.
    pub meters: Option<Registry>,
}

impl WebConfig {
    /// The defaults: 127.0.0.1:7700, no further host names, default limits.
    pub fn new(tokens: Tokens) -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            tokens,
            hosts: Vec::new(),
            limits: Limits::default(),
            meters: None,
        }
    }
}

/// Bounds on what one client can take from the server. Every one has a default that suits a machine of the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body in bytes, unless the door says otherwise. 16 MiB: a notebook with figures fits, a video
    /// does not (those doors stream, and raise the limit themselves).
    pub body_bytes: u64,
    /// Time for a client to send a whole request head; also how long an idle kept-alive connection stays open.
    pub header_read: Duration,
    /// Time from the request head to the response head, unless the door says otherwise. A response that has begun (a
    /// download, an event stream) may take as long as it moves.
    pub request: Duration,
    /// Longest pause between two pieces of a request body.
    pub body_stall: Duration,
    /// Longest time that a client may leave response bytes unread in a full socket.
    pub write_stall: Duration,
    /// Connections served at once; a further one is answered 503 and closed.
    pub connections: usize,
    /// How long a shutdown waits for requests under way before it cuts them off.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 16 * 1024 * 1024,
            header_read: Duration::from_secs(30),
            request: Duration::from_mins(1),
            body_stall: Duration::from_secs(30),
            write_stall: Duration::from_mins(1),
            connections: 1024,
            shutdown: Duration::from_secs(10),
        }
    }
}
