//! The department's commands.

pub(crate) mod mezz;
