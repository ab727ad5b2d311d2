//! A Jupyter server: contents, kernelspecs, configuration and sign-in, as jupyter_server speaks them.
//!
//! For whoever points a Jupyter client at Backlot: JupyterLab, `@jupyterlab/services`, scripts over the REST interface. The one idea:
//! **what a client was told is on disk** — a file is replaced in one step, under a root that nothing leads out of.
//!
//! ```no_run
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! use backlot_jupyter::{Config, Server};
//!
//! let config = Config::new("notebooks", "state").base_url("/jupyter").token("secret");
//! let server = Server::open(config)?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! axum::serve(listener, server.router_at_base()).await?;
//! # Ok(()) }
//! ```

mod api;
mod chance;
mod contents;
mod error;
mod guard;
mod server;
mod specs;
mod web;

pub use contents::place::Hidden;
pub use error::Error;
pub use server::{Config, OpenError, Server};
pub use specs::KernelPath;
