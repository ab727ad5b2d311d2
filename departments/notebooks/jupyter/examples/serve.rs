//! Serves a folder to Jupyter clients: `cargo run -p backlot-jupyter --example serve -- --root notebooks --token secret`.

use std::io::Write;
use std::path::PathBuf;

use axum::serve::ListenerExt;
use backlot_jupyter::{Config, Server};
use clap::Parser;

/// Serves a folder to Jupyter clients.
#[derive(Parser)]
struct Arguments {
    /// The folder to serve.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Where settings and trust are kept; a folder of its own beside the root by default.
    #[arg(long)]
    state: Option<PathBuf>,
    /// What clients must show.
    #[arg(long)]
    token: Option<String>,
    /// The URL path of the server.
    #[arg(long, default_value = "/")]
    base_url: String,
    /// The port on loopback; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let state = arguments.state.unwrap_or_else(|| arguments.root.join(".backlot"));
    let mut config = Config::new(arguments.root, state).base_url(&arguments.base_url);
    config.token = arguments.token;
    let server = Server::open(config)?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", arguments.port)).await?;
    let address = listener.local_addr()?;
    // The line that tests and scripts wait for.
    writeln!(std::io::stdout(), "http://{address}{}", arguments.base_url)?;
    // Answers are small and waited for; Nagle's algorithm would hold each back for a delayed acknowledgement.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, server.router_at_base()).await?;
    Ok(())
}
