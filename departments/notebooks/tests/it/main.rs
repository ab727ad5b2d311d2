//! The department as a whole.
