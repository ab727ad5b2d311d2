//! From text to tokens: comments fall out, commas part, blanks at the ends of a token do not count, empty tokens vanish.

use std::sync::Arc;

use crate::Error;

/// Longest expression in bytes: people write some hundreds, generated dashboards some ten thousand.
pub(crate) const LONGEST: usize = 256 * 1024;

/// Splits an expression into tokens, as written (escapes are still in them).
///
/// # Errors
/// A comment that does not end, an expression that is too long.
pub(crate) fn tokens(text: &str) -> Result<Vec<Arc<str>>, Error> {
    if text.len() > LONGEST {
        return Err(Error::TooLarge(format!(
            "the expression has {} bytes; at most {LONGEST} are read",
            text.len()
        )));
    }
    let plain = without_comments(text)?;
    Ok(plain.split(',').map(str::trim).filter(|token| !token.is_empty()).map(Arc::from).collect())
}

/// The text less `/* comments */`, which nest.
fn without_comments(text: &str) -> Result<String, Error> {
    let mut plain = String::with_capacity(text.len());
    let mut depth = 0usize;
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if rest.starts_with("/*") {
            depth += 1;
            rest = &rest[2..];
        } else if depth > 0 && rest.starts_with("*/") {
            depth -= 1;
            rest = &rest[2..];
        } else {
            if depth == 0 {
                plain.push(letter);
            }
            rest = &rest[letter.len_utf8()..];
        }
    }
    if depth > 0 {
        return Err(Error::argument("a comment is not closed; end it with */"));
    }
    Ok(plain)
}

/// A token with `\uXXXX` replaced by the letter. What is no such escape stays.
pub(crate) fn unescape(token: &str) -> Arc<str> {
    if !token.contains("\\u") {
        return token.into();
    }
    let mut text = String::with_capacity(token.len());
    let mut rest = token;
    while let Some(at) = rest.find("\\u") {
        text.push_str(&rest[..at]);
        let letter = rest
            .get(at + 2..at + 6)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(char::from_u32);
        match letter {
            Some(letter) => {
                text.push(letter);
                rest = &rest[at + 6..];
            }
            None => {
                text.push_str("\\u");
                rest = &rest[at + 2..];
            }
        }
    }
    text.push_str(rest);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_part_and_comments_vanish() {
        let split = |text: &str| tokens(text).unwrap().join("|");
        assert_eq!(split(" a, b c ,,/* x, /* y */ */:eq"), "a|b c|:eq");
        assert_eq!(split(":d/*c*/up"), ":dup");
        assert!(tokens("a,/* b").is_err());
        assert_eq!(&*unescape("a\\u002cb\\u00"), "a,b\\u00");
    }
}
