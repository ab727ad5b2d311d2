//! Regular expressions over tag values, in time linear in the value.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

/// Largest compiled pattern in bytes. A pattern comes from a request, and a repetition of repetitions may not take the memory
/// of the house; tag patterns that people write need some kilobytes.
const COMPILED_LIMIT: usize = 1 << 20;

/// Whether letters of either case match one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Case {
    /// They do not.
    #[default]
    Sensitive,
    /// They do.
    Insensitive,
}

/// A regular expression that matches from the start of a value on, but not necessarily to its end.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Arc<str>,
    case: Case,
    regex: Regex,
}

/// A pattern that is not one.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "`{pattern}` is not a regular expression that we take ({reason}); look-around and back references are not"
)]
pub struct PatternError {
    pattern: String,
    reason: String,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`PatternError`] if it is malformed, too large, or needs look-around or back references, which take more than
    /// linear time.
    pub fn new(text: impl Into<Arc<str>>, case: Case) -> Result<Self, PatternError> {
        let text = text.into();
        let regex = RegexBuilder::new(&format!("^(?:{text})"))
            .case_insensitive(case == Case::Insensitive)
            .size_limit(COMPILED_LIMIT)
            .build()
            .map_err(|error| PatternError {
                pattern: text.chars().take(200).collect(),
                reason: error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
            })?;
        Ok(Self { text, case, regex })
    }

    /// What was compiled.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the value begins with a match.
    pub fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.case == other.case
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
        self.case.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_anchored_at_the_start_only() {
        let pattern = Pattern::new("a|b", Case::Sensitive).unwrap();
        assert!(
            pattern.matches("abc")
                && pattern.matches("bx")
                && !pattern.matches("xa")
                && !pattern.matches("A")
        );
        assert!(Pattern::new("a", Case::Insensitive).unwrap().matches("A"));
    }

    #[test]
    fn what_could_take_forever_is_refused_or_linear() {
        assert!(Pattern::new("(a+)+$", Case::Sensitive).unwrap().matches(&"a".repeat(100_000)));
        assert!(Pattern::new("(?=a)b", Case::Sensitive).is_err());
        assert!(Pattern::new("((a{1000}){1000}){1000}", Case::Sensitive).is_err());
        assert!(Pattern::new("(", Case::Sensitive).is_err());
    }
}
