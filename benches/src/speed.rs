//! The speed of durable work, and of the peers that do the same work.

pub mod child;
pub mod peers;
pub mod shapes;
pub mod table;
