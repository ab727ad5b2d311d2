//! The body of `POST /api/v4/update`: the measurements of an interval, as agents publish them.
//!
//! A payload is one flat array: the number of strings, the strings, and for each update the number of tags, the tags as pairs of
//! indices into the strings, the operation, and the value. The name is an ordinary tag with the key `name`. It is written as
//! JSON or as [Smile](https://github.com/FasterXML/smile-format-specification), plain or gzipped. What reads it is
//! [`read_updates`](backlot_atlas::wire::read_updates).

mod encode;
mod gzip;

pub use encode::encode;
pub use gzip::compress;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `application/json`.
    Json,
    /// `application/x-jackson-smile`.
    Smile,
}

impl Format {
    /// The media type of the body.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Smile => "application/x-jackson-smile",
        }
    }
}

#[cfg(test)]
mod tests;
