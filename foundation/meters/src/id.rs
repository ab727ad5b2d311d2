//! The identity of a meter: a name and tags.
//!
//! An id is one piece of text, `name NUL key NUL value NUL key NUL value`, keys in order. It is made once for each meter, and
//! then compared, hashed and cloned for every interval, so it is one allocation which its clones share. NUL cannot occur
//! inside a part, because ids are cleaned as they are made.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What parts the parts of an id.
const SEPARATOR: char = '\0';

/// A name and tags in the order of their keys, all in the characters that Atlas stores.
///
/// Whatever is not one of `-._A-Za-z0-9~^` becomes `_`, byte by byte, as in spectatord. Of tags with the same key the last
/// stands.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    text: Arc<str>,
}

impl Id {
    /// An id without tags.
    pub fn new(name: &str) -> Id {
        Id::from_bytes(name.as_bytes(), [])
    }

    /// An id from bytes that need not be clean, nor UTF-8.
    pub fn from_bytes<'a>(name: &[u8], tags: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Id {
        let tags: Vec<(Cow<'a, str>, Cow<'a, str>)> =
            tags.into_iter().map(|(key, value)| (clean(key), clean(value))).collect();
        let name = clean(name);
        let mut order: Vec<usize> = (0..tags.len()).collect();
        // Stable: of equal keys the last comes last.
        order.sort_by(|a, b| tags[*a].0.cmp(&tags[*b].0));
        let length = tags.iter().map(|(key, value)| key.len() + value.len() + 2).sum::<usize>();
        let mut text = String::with_capacity(name.len() + length);
        text.push_str(&name);
        for (place, at) in order.iter().enumerate() {
            let (key, value) = &tags[*at];
            if order.get(place + 1).is_some_and(|next| tags[*next].0 == *key) {
                continue;
            }
            text.push(SEPARATOR);
            text.push_str(key);
            text.push(SEPARATOR);
            text.push_str(value);
        }
        Id { text: text.into() }
    }

    /// This id with one more tag, or another value for one that it has.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Id {
        let tags = self.tags().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
        Id::from_bytes(self.name().as_bytes(), tags.chain([(key.as_bytes(), value.as_bytes())]))
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.text.split(SEPARATOR).next().unwrap_or_default()
    }

    /// The tags, in the order of their keys.
    pub fn tags(&self) -> Tags<'_> {
        let mut parts = self.text.split(SEPARATOR);
        parts.next();
        Tags { parts }
    }

    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// How many bytes the id holds, for budgets of memory.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }
}

impl From<&str> for Id {
    fn from(name: &str) -> Id {
        Id::new(name)
    }
}

impl From<&Id> for Id {
    fn from(id: &Id) -> Id {
        id.clone()
    }
}

impl fmt::Display for Id {
    /// `name,key=value,key=value`, as in a line of the Spectator protocol.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.tags().try_for_each(|(key, value)| write!(f, ",{key}={value}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

/// The tags of an [`Id`].
#[derive(Clone, Debug)]
pub struct Tags<'a> {
    parts: std::str::Split<'a, char>,
}

impl<'a> Iterator for Tags<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.parts.next()?, self.parts.next()?))
    }
}

fn clean(part: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(part) {
        Ok(text) if part.iter().all(|byte| is_valid(*byte)) => Cow::Borrowed(text),
        _ => part.iter().map(|byte| if is_valid(*byte) { char::from(*byte) } else { '_' }).collect(),
    }
}

/// Whether Atlas stores this character as it is.
fn is_valid(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'^')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_sorted_and_the_last_of_equal_keys_stands() {
        let id = Id::new("n").with("b", "1").with("a", "2").with("b", "3");
        assert_eq!(id.to_string(), "n,a=2,b=3");
        assert_eq!(id, Id::from_bytes(b"n", [(&b"b"[..], &b"3"[..]), (b"a", b"2")]));
        assert_eq!((id.tag("b"), id.tag("c")), (Some("3"), None));
    }

    #[test]
    fn what_atlas_does_not_store_becomes_an_underscore() {
        let id = Id::from_bytes(b"a b\0c/d", [(&b"k:"[..], &b"\xff~^-._Z9"[..])]);
        assert_eq!(id.to_string(), "a_b_c_d,k_=_~^-._Z9");
        assert_eq!(Id::new("é").name(), "__");
    }

    #[test]
    fn empty_parts_stay_apart() {
        let id = Id::from_bytes(b"", [(&b""[..], &b""[..])]);
        assert_eq!((id.name(), id.tags().collect::<Vec<_>>()), ("", vec![("", "")]));
    }
}
