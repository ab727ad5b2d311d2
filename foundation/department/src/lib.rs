//! The contract between a department and the house.
//!
//! A department is one part of the back office: it speaks some clients' protocol, has console pages, commands, and needs of
//! its own. It knows the foundation and no other department. This crate says what the house gives it ([`House`]), what it
//! gives the house ([`Department`]), and how one department may serve another without either knowing the other
//! ([`Services`]).
//!
//! The central idea: **a department describes itself as data.** Doors, pages, task kinds, commands, health and external needs are values
//! that the binary collects; only [`Department::start`] and [`Department::run_command`] do anything. So the same department
//! appears in `backlot up`, `backlot doors`, `backlot doctor` and the console without a line of wiring, and adding one is one
//! crate and one line in the binary's list.
//!
//! A whole department that a test runs is in `examples/hello.rs`.
//!
//! # Example
//!
//! ```
//! use axum::{Router, routing::get};
//! use backlot_department::{Department, Door, House};
//!
//! struct Clock;
//!
//! #[async_trait::async_trait]
//! impl Department for Clock {
//!     fn name(&self) -> &'static str { "clock" }
//!     fn summary(&self) -> &'static str { "Tells the time" }
//!     fn doors(&self, _house: &House) -> Vec<Door> {
//!         vec![Door::http("clock", "/clock", Router::new().route("/", get(async || "noon")))]
//!     }
//! }
//! ```

mod blob;
mod checks;
mod command;
mod config;
mod department;
mod endpoint;
mod error;
mod house;
mod services;

pub use backlot_web::{Access, Door, Health, HealthCheck, OverviewCard, Page};
pub use backlot_work::Kind;
pub use blob::{Shown, blob_response};
pub use checks::{Check, Finding, Install, Need};
pub use command::{CommandContext, CommandError, OutputFormat};
pub use config::Config;
pub use department::{Department, shell_part};
pub use endpoint::Endpoint;
pub use error::Error;
pub use house::House;
pub use services::Services;
