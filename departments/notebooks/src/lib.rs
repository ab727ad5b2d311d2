//! Department notebooks.
