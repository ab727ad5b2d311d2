//! A whole agent, as `backlot telemetry agent` runs one.
//!
//! ```console
//! $ cargo run -p backlot-spectator --example agent -- --uri http://localhost:7700/atlas/api/v4/update
//! $ echo "c:server.requests,status=200:1" > /dev/udp/127.0.0.1/1234
//! $ curl localhost:1234/metrics
//! ```

use std::process::ExitCode;
use std::sync::Arc;

use backlot_spectator::{Agent, AgentArgs, HttpPublisher, HttpTarget};
use clap::Parser;

/// The telemetry agent: takes metrics of this host's programs and publishes them.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    agent: AgentArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let agent = Command::parse().agent;
    let target =
        agent.target().unwrap_or_else(|| HttpTarget::new("http://127.0.0.1:7700/atlas/api/v4/update"));
    match Agent::run(agent.config(), Arc::new(HttpPublisher::new(target))).await {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent: {error}");
            ExitCode::FAILURE
        }
    }
}
