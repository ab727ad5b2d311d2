//! The agent inside the server: programs of this machine send their metrics to the usual ports, and they are in the store at the
//! next interval, without a wire between.
//!
//! A port that another program has is no reason not to start: it is said, and the others are opened.

use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use async_trait::async_trait;
use backlot_spectator::{Agent, AgentConfig, AgentHandle, Batch, Outcome, Publisher};

use crate::ingest::measurements;
use crate::settings::AgentSettings;
use crate::state::State;

/// Puts batches into the store of this process.
struct IntoStore(State);

#[async_trait]
impl Publisher for IntoStore {
    async fn publish(&self, batch: Batch) -> Outcome {
        let (state, count) = (self.0.clone(), batch.measurements.len() as u64);
        let taken = tokio::task::spawn_blocking(move || {
            measurements::take(&state, &batch.measurements, &batch.common_tags)
        })
        .await;
        match taken {
            Ok(Ok(outcome)) => Outcome {
                sent: outcome.taken as u64,
                invalid: outcome.refused as u64,
                messages: outcome.refusals.iter().map(ToString::to_string).collect(),
                ..Outcome::default()
            },
            Ok(Err(error)) => {
                Outcome { other: count, messages: vec![error.to_string()], ..Outcome::default() }
            }
            Err(error) => Outcome { other: count, messages: vec![error.to_string()], ..Outcome::default() },
        }
    }
}

/// Opens what is free of the agent's ports; `None` if nothing is.
pub(crate) async fn start(state: &State, settings: &AgentSettings) -> Option<AgentHandle> {
    if !settings.enabled {
        return None;
    }
    let mut config = AgentConfig::default();
    config.lines = free(settings.lines, "lines of Spectator", |address| UdpSocket::bind(address).map(drop));
    config.statsd = free(settings.statsd, "lines of DogStatsD", |address| UdpSocket::bind(address).map(drop));
    config.admin = free(settings.admin, "the agent's admin", |address| TcpListener::bind(address).map(drop));
    config.unix.clone_from(&settings.unix);
    config.common_tags = backlot_spectator::common_tags::from_environment();
    "backlot".clone_into(&mut config.process);
    if config.lines.is_none() && config.statsd.is_none() && config.unix.is_none() {
        return None;
    }
    match Agent::start(config, Arc::new(IntoStore(state.clone()))).await {
        Ok(agent) => {
            let addresses = agent.addresses();
            tracing::info!(lines = ?addresses.lines, statsd = ?addresses.statsd, unix = ?addresses.unix, "the agent listens");
            Some(agent)
        }
        Err(error) => {
            tracing::warn!(%error, "the agent did not start; metrics can still be posted to the doors");
            None
        }
    }
}

fn free(
    address: Option<SocketAddr>,
    what: &str,
    bind: impl Fn(SocketAddr) -> std::io::Result<()>,
) -> Option<SocketAddr> {
    let address = address?;
    match bind(address) {
        Ok(()) => Some(address),
        Err(error) => {
            tracing::warn!("{}", not_taken(what, address, &error));
            None
        }
    }
}

/// Why a port was left out, and the mend.
fn not_taken(what: &str, address: SocketAddr, error: &Error) -> String {
    let why = match error.kind() {
        ErrorKind::AddrInUse => "another program has the port".to_owned(),
        _ => error.to_string(),
    };
    format!(
        "no {what} on {address}: {why}; stop that program, name another address in [telemetry.agent], or start without \
         the agent: `backlot up --no-agent`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_told_with_the_mend() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = UdpSocket::bind(address).unwrap_err();
        let told = not_taken("lines of Spectator", address, &error);
        for part in
            ["lines of Spectator", &address.to_string(), "another program", "[telemetry.agent]", "--no-agent"]
        {
            assert!(told.contains(part), "{part} is not in {told}");
        }
        let bind = |address| UdpSocket::bind(address).map(drop);
        assert_eq!(free(Some(address), "lines", bind), None);
        drop(taken);
        assert_eq!(free(Some(address), "lines", bind), Some(address));
        assert_eq!(free(None, "lines", bind), None);
    }
}
