//! The department: its store against a naive one and across restarts, its doors through the house's own shell.

mod alerts;
mod crash;
mod doors;
mod neighbours;
mod store;
mod tiers;
