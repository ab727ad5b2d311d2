//! The language against worked examples, and against input that wants to break it.

mod demo;
mod expressions;
mod formats;
mod hostile;
mod stream;
mod wire;
