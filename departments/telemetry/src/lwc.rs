//! LWC, "lightweight computation": other programs subscribe to expressions, and are sent their data as it arrives.
//!
//! A subscriber opens a websocket and sends the expressions that it wants; each list replaces the one before. An expression is
//! taken apart into its data expressions (the subscriber puts their values together itself, as Atlas' evaluation library does),
//! which the alerts' stream watches; at the end of each step the subscriber is sent a datapoint for each group. Messages are
//! Smile arrays of messages one after the other, each begun by its number (`LwcMessages` of atlas-eval).
//!
//! Programs that aggregate on their own may fetch all subscribed expressions, and send what they computed to `evaluate`: it goes
//! to whoever subscribed, beside what this server computes.

mod door;
mod hub;
mod message;

pub(crate) use door::routes;
pub(crate) use hub::Hub;
