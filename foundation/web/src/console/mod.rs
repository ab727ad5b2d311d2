//! The console: pages rendered on the server, one style sheet, very little script.
//!
//! A handler takes the [`Frame`] of its request and hands its content to [`page`]; the frame knows the navigation, who is
//! signed in and where the reader is. The building blocks ([`widgets`], [`mod@format`], [`mod@graph`]) cover what the departments' pages
//! show. Everything works without script: links and forms do the work, and the script only keeps a page fresh.
//!
//! The security policy of the pages allows no inline script or style, so a block never writes `style=` or `onclick=`;
//! what varies continuously is drawn as SVG attributes.
//!
//! ```
//! use backlot_web::console::{self, Frame, Status, widgets};
//! use maud::{Markup, html};
//!
//! async fn clips(frame: Frame) -> Markup {
//!     let table = widgets::Table::new(["Clip", "State"])
//!         .row([html! { a href="/clips/1" { "big buck bunny" } }, widgets::chip(&Status::Running)]);
//!     console::page(&frame, "Clips", html! { (widgets::section("All clips", table.render())) })
//! }
//! # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(clips));
//! ```

pub mod format;
pub mod graph;
pub mod widgets;

mod frame;
mod icon;
mod login;
mod pages;
mod status;

pub use frame::{Frame, page};
pub use icon::Icon;
pub use status::Status;

pub(crate) use frame::{Assets, error_page};
pub(crate) use login::login_routes;
pub(crate) use pages::{api, doors, overview};
