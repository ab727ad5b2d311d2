//! A Jupyter server: contents, kernels, sessions, websocket channels and sign-in, as jupyter_server speaks them.
//!
//! For whoever points a Jupyter client at Backlot: JupyterLab, `@jupyterlab/services`, scripts over the REST interface. The one idea:
//! **the notebook belongs to the server, not to the tab** — what a kernel puts out after its client has gone is bound to the cell by its
//! id and saved, and a file is replaced in one step, under a root that nothing leads out of.
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
mod capture;
mod channels;
mod command;
mod contents;
pub mod deploy;
mod door;
mod error;
mod events;
mod guard;
mod kernel;
mod lab;
mod nbconvert;
mod server;
mod sessions;
mod specs;
mod terminals;
mod web;

pub use backlot_notebooks_kernels::KernelSearch;
use backlot_notebooks_kernels::chance;
pub use command::{command, run};
pub use contents::AfterSave;
pub use contents::place::Hidden;
pub use deploy::cli::{command as kernelspec_command, run as run_kernelspec};
pub use door::{JupyterDoor, PREFIX, Settings};
pub use error::Error;
pub use guard::User;
pub use kernel::culling::Culling;
pub use server::{Config, KernelLimits, OpenError, Pings, Server};
