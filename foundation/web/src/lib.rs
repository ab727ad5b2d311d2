//! The HTTP shell: one port, and everything that every door on it needs.
//!
//! Backlot speaks many protocols, and each is an axum [`Router`](axum::Router) that knows nothing about tokens, request
//! ids, limits or pages. This crate is the house around them, for the departments that build such routers and for the
//! binary that serves them. It offers the listener with its limits ([`Shell`]), authentication ([`Tokens`], [`Access`],
//! [`Caller`]), errors that name the mend ([`ApiError`]), one OpenAPI document, server-sent events ([`sse`]), and the
//! frame and building blocks of the console's pages ([`console`]).
//!
//! The central idea: **a door is mounted with its access, and the shell's gate stands before it.** Every request passes
//! the same stations in the same order, whatever department answers it:
//!
//! ```text
//! socket    TCP_NODELAY, connection cap, header-read timeout, write-stall timeout          (serve.rs, io.rs)
//! envelope  request id, panics, access log, security headers, errors as JSON or HTML        (envelope.rs)
//! host      on loopback only loopback names: a web page must not rebind its DNS name to us  (gate.rs)
//! gate      who is it, may they, is a state change same-origin; body limit, time limit      (gate.rs)
//! door      the department's router, its prefix stripped
//! ```
//!
//! # Example
//!
//! ```
//! use axum::{Router, routing::get};
//! use backlot_web::{Access, Caller, Shell, Tokens, WebConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let home = tempfile::tempdir()?;
//! # let home = home.path();
//! async fn whoami(caller: Caller) -> String { format!("you are {}", caller.name()) }
//!
//! let tokens = Tokens::open(home)?; // makes HOME/admin.token at the first start
//! let shell = Shell::builder(WebConfig::new(tokens))
//!     .mount("/hello", Router::new().route("/whoami", get(whoami)), Access::Scope("hello:read"))
//!     .build()?;
//! // let listener = shell.bind().await?; shell.serve(listener, shutdown).await?;
//! # let _ = shell;
//! # Ok(()) }
//! ```

pub mod console;
pub mod extract;
pub mod sse;
pub mod testing;

mod access;
mod api_error;
mod asset;
mod body;
mod config;
mod door;
mod envelope;
mod error;
mod gate;
mod health;
mod io;
mod openapi;
mod private_file;
mod random;
mod requests;
mod serve;
mod shell;
mod tokens;

pub use access::{Access, Caller, Scopes, Via};
pub use api_error::ApiError;
pub use asset::{Asset, attachment};
pub use config::{DEFAULT_PORT, Limits, WebConfig};
pub use door::{Door, DoorAddress, Page};
pub use envelope::RequestId;
pub use error::Error;
pub use health::{Health, HealthCheck};
pub use serve::{Closing, Connection};
pub use shell::{Department, OverviewCard, Shell, ShellBuilder};
pub use tokens::{Clock, TokenInfo, Tokens};
