//! The doors: JSON and event streams over what the work engine and the event log tell.

pub(crate) mod events;
pub(crate) mod runs;
