//! Tells systemd how the program is, where it asks to be told. The agent does so when it runs alone; a program around it tells when it
//! is ready itself.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends a state, such as `READY=1`, to the socket that `NOTIFY_SOCKET` names; does nothing without one.
///
/// See `sd_notify(3)`: a name that begins with `@` is one of the abstract namespace.
pub fn notify(state: &str) {
    let Ok(name) = env::var("NOTIFY_SOCKET") else { return };
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let told = address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop));
    if let Err(error) = told {
        tracing::warn!(%error, socket = name, "cannot tell systemd {state}");
    }
}
