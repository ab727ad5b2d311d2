//! What both formats are made of.

use super::PayloadError;

/// A piece of a payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token {
    ArrayStart,
    ArrayEnd,
    Integer(i64),
    Float(f64),
    /// A string, which has been put at the end of the reader's text.
    Text,
    Null,
}

/// A body, token by token.
pub(super) trait Tokens {
    /// The next token; a string is added to `text`.
    fn next(&mut self, text: &mut String) -> Result<Token, PayloadError>;

    /// Where the next token begins, in bytes.
    fn place(&self) -> usize;

    /// Whether nothing that means anything follows.
    fn is_at_end(&self) -> bool;
}
