//! The suite `spectator`: real clients, unmodified, write every kind of meter; what the agent publishes, or what their payloads
//! say, equals values that were worked out by hand.

mod cases;
mod clients;
mod expected;

use std::process::ExitCode;
use std::sync::Arc;

use backlot_spectator::{Agent, AgentArgs, HttpPublisher, HttpTarget};
use clap::Parser;

/// Real clients against the telemetry agent.
#[derive(Parser)]
struct Command {
    /// Run an agent, as a child of the suite
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(clap::Subcommand)]
enum Role {
    /// An agent that runs until it is told to end.
    Agent(AgentArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Command::parse().role {
        None => cases::run().await,
        Some(Role::Agent(args)) => {
            let target = args.target().unwrap_or_else(|| HttpTarget::new("http://127.0.0.1:1"));
            match Agent::run(args.config(), Arc::new(HttpPublisher::new(target))).await {
                Ok(_) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("agent: {error}");
                    ExitCode::FAILURE
                }
            }
        }
    }
}
