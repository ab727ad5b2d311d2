//! Agents for tests.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_spectator::{Agent, AgentConfig, AgentHandle, HttpPublisher, HttpTarget};

use crate::aggregator::Aggregator;

/// How long a condition may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration with ports of the system's choice that publishes when it is told to.
pub(crate) fn config() -> AgentConfig {
    let mut config = AgentConfig::default();
    let any = Some("127.0.0.1:0".parse().unwrap());
    (config.lines, config.statsd, config.admin) = (any, any, any);
    config.frequency = Duration::from_hours(1);
    config
}

pub(crate) async fn start(config: AgentConfig, aggregator: &Aggregator) -> AgentHandle {
    start_with(config, HttpTarget::new(aggregator.uri())).await
}

pub(crate) async fn start_with(config: AgentConfig, target: HttpTarget) -> AgentHandle {
    Agent::start(config, Arc::new(HttpPublisher::new(target))).await.unwrap()
}

/// Sends datagrams to the agent's socket for lines.
pub(crate) fn send(agent: &AgentHandle, datagrams: &[&[u8]]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for datagram in datagrams {
        socket.send_to(datagram, agent.addresses().lines.unwrap()).unwrap();
    }
}

/// Waits until the agent has seen so many lines, good or bad.
pub(crate) async fn seen(agent: &AgentHandle, lines: u64) {
    until(|| agent.tally().parsed + agent.tally().refused >= lines).await;
    let tally = agent.tally();
    assert_eq!(tally.parsed + tally.refused, lines, "{tally:?}");
}

pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "the condition did not come true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
