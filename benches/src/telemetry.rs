//! Parts of the benchmark of the metrics store: servers as children, a client, samples in every form, kills.

pub mod client;
pub mod kills;
pub mod node;
pub mod samples;
pub mod server;
