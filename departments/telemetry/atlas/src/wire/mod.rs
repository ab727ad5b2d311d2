//! Datapoints in: the bodies that publishers send.
//!
//! The same documents come as JSON and as Smile, Jackson's binary form of JSON, so both are read as one stream of [`Token`]s,
//! without a tree in between: a publisher sends tens of thousands of datapoints at once, most of them for series that are known.

mod json;
mod publish;
mod rules;
mod smile;
mod update;

pub use json::Json;
pub use publish::{Metric, Published, Unread, read_publish, read_published};
pub use rules::{Refusal, check_tags, roll_up};
pub use smile::{Smile, SmileWriter, write_smile};
pub use update::{Operator, Outcome, Point, Tabled, read_batch, read_update, read_updates};

use std::borrow::Cow;

/// One piece of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Token<'a> {
    /// An array begins.
    ArrayStart,
    /// An array ends.
    ArrayEnd,
    /// An object begins.
    ObjectStart,
    /// An object ends.
    ObjectEnd,
    /// The name of a member.
    Key(Cow<'a, str>),
    /// A text.
    Text(Cow<'a, str>),
    /// A number.
    Number(f64),
    /// `null`, `true` or `false`: no datapoint has one.
    Other,
    /// The document is over.
    End,
}

/// A document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It is malformed.
    #[error("JsonParseException: {0}")]
    Malformed(String),
    /// It is well-formed, but not what is expected here.
    #[error("IllegalArgumentException: {0}")]
    Unexpected(String),
}

impl WireError {
    pub(crate) fn unexpected(message: impl Into<String>) -> Self {
        Self::Unexpected(message.into())
    }
}

/// A stream of tokens.
pub trait Tokens<'a> {
    /// The next token; [`Token::End`] again and again at the end.
    ///
    /// # Errors
    /// [`WireError::Malformed`].
    fn token(&mut self) -> Result<Token<'a>, WireError>;

    /// The bytes of the object that comes next, if they can be told without reading it; else nothing has been read. They may
    /// prove to be malformed.
    fn raw_object(&mut self) -> Option<&'a [u8]> {
        None
    }

    /// A whole number below a thousand million, if the next value of an array is one and this can be told at a glance; else nothing
    /// has been read. Most of what publishers send are positions in a table.
    fn small_whole(&mut self) -> Option<u32> {
        None
    }

    /// Skips the rest of a value whose first token has been read.
    ///
    /// # Errors
    /// As [`Tokens::token`].
    fn skip(&mut self, first: &Token<'a>) -> Result<(), WireError> {
        let mut depth = usize::from(matches!(first, Token::ArrayStart | Token::ObjectStart));
        while depth > 0 {
            match self.token()? {
                Token::ArrayStart | Token::ObjectStart => depth += 1,
                Token::ArrayEnd | Token::ObjectEnd => depth -= 1,
                Token::End => return Err(WireError::Malformed("the document ends too early".to_owned())),
                _ => {}
            }
        }
        Ok(())
    }
}
