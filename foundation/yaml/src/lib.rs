//! YAML documents of strangers, as values of the reader's own making.
//!
//! What a scalar means differs from program to program: PyYAML takes `off` for a boolean and `1:30` for 90, a configuration wants the text
//! and knows by the field what it is. So a reader brings its [`Schema`] (the specification's word for it, YAML 1.2, chapter 10), and this crate does what is the same
//! for all: it walks the parser's events, writes out anchors and aliases, and ends at [`Limits`], for aliases of aliases grow exponentially.
//!
//! ```
//! use std::convert::Infallible;
//! use backlot_yaml::{Limits, Member, Scalar, Schema, YamlError};
//!
//! /// Counts scalars.
//! struct Counting;
//! impl Schema for Counting {
//!     type Value = usize;
//!     type Error = YamlError;
//!     fn scalar(&self, _: Scalar<'_>) -> Result<usize, YamlError> {
//!         Ok(1)
//!     }
//!     fn list(&self, _: Option<String>, items: Vec<usize>) -> Result<usize, YamlError> {
//!         Ok(items.iter().sum())
//!     }
//!     fn mapping(&self, _: Option<String>, members: Vec<Member<usize>>) -> Result<usize, YamlError> {
//!         Ok(members.iter().map(|member| member.key + member.value).sum())
//!     }
//! }
//! let limits = Limits { nodes: 100, depth: 10 };
//! assert_eq!(backlot_yaml::read("a: &x [1, 2]\nb: *x", &Counting, limits)?, Some(6));
//! # Ok::<(), YamlError>(())
//! ```

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};

/// What may be read of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most nodes once aliases are written out.
    pub nodes: usize,
    /// Most levels of lists and mappings.
    pub depth: usize,
}

/// Why a text is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum YamlError {
    /// It is not YAML.
    #[error("not YAML: {0}")]
    Syntax(String),
    /// Beyond a limit.
    #[error("more than {} values or {} levels; make it smaller", .0.nodes, .0.depth)]
    TooLarge(Limits),
}

/// A scalar as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar<'a> {
    /// Its text, quotes and escapes taken away.
    pub text: Cow<'a, str>,
    /// Whether it has no quotes, so that its text may decide its type.
    pub is_plain: bool,
    /// Its tag written out: `tag:yaml.org,2002:str` for `!!str`.
    pub tag: Option<String>,
}

/// A member of a mapping, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<V> {
    /// The key.
    pub key: V,
    /// The value.
    pub value: V,
    /// Whether its key is a plain `<<`: the members of the value are to be merged into the mapping (YAML 1.1's merge key).
    pub is_merge: bool,
}

/// What nodes become.
pub trait Schema {
    /// A value.
    type Value: Clone;
    /// Why a node has none.
    type Error: From<YamlError>;

    /// The value of a scalar.
    ///
    /// # Errors
    /// A scalar that has none here.
    fn scalar(&self, scalar: Scalar<'_>) -> Result<Self::Value, Self::Error>;

    /// The value of a list.
    ///
    /// # Errors
    /// A tag that has no meaning here.
    fn list(&self, tag: Option<String>, items: Vec<Self::Value>) -> Result<Self::Value, Self::Error>;

    /// The value of a mapping. Members that are to be merged are merged by it.
    ///
    /// # Errors
    /// A tag that has no meaning here, a key that is none, a key that may not stand twice.
    fn mapping(
        &self,
        tag: Option<String>,
        members: Vec<Member<Self::Value>>,
    ) -> Result<Self::Value, Self::Error>;
}

/// Reads one document; `None` if the text holds none.
///
/// # Errors
/// Not YAML, several documents, beyond a limit, what the schema refuses.
pub fn read<S: Schema>(text: &str, schema: &S, limits: Limits) -> Result<Option<S::Value>, S::Error> {
    let parser = Parser::new_from_str(text);
    let mut reader = Reader { parser, schema, limits, anchors: HashMap::new(), nodes: 0 };
    let mut document = None;
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok(document),
            Event::DocumentStart(_) if document.is_some() => {
                return Err(syntax("expected a single document in the stream"));
            }
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            event => document = Some(reader.node(event, 0)?),
        }
    }
}

fn syntax<E: From<YamlError>>(what: &str) -> E {
    YamlError::Syntax(what.to_owned()).into()
}

/// A tag written out.
fn written(tag: Option<Cow<'_, Tag>>) -> Option<String> {
    tag.map(|tag| format!("{}{}", tag.handle, tag.suffix))
}

struct Reader<'a, 's, S: Schema> {
    parser: Parser<'a, StrInput<'a>>,
    schema: &'s S,
    limits: Limits,
    /// Values by the number of their anchor, and the nodes in them.
    anchors: HashMap<usize, (S::Value, usize)>,
    nodes: usize,
}

impl<'a, S: Schema> Reader<'a, '_, S> {
    fn next(&mut self) -> Result<Event<'a>, S::Error> {
        match self.parser.next() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(YamlError::Syntax(error.to_string()).into()),
            None => Ok(Event::StreamEnd),
        }
    }

    fn count(&mut self, nodes: usize, depth: usize) -> Result<(), S::Error> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > self.limits.nodes || depth > self.limits.depth {
            return Err(YamlError::TooLarge(self.limits).into());
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<S::Value, S::Error> {
        let before = self.nodes;
        if let Event::Alias(id) = event {
            let of = self.anchors.get(&id).map(|(_, nodes)| *nodes);
            // Counted before it is copied.
            self.count(of.ok_or_else(|| syntax::<S::Error>("an alias of what it stands in"))?, depth)?;
            return Ok(self.anchors[&id].0.clone());
        }
        self.count(1, depth)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = Scalar { text, is_plain: style == ScalarStyle::Plain, tag: written(tag) };
                (anchor, self.schema.scalar(scalar)?)
            }
            Event::SequenceStart(anchor, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
                (anchor, self.schema.list(written(tag), items)?)
            }
            Event::MappingStart(anchor, tag) => {
                let mut members = Vec::new();
                loop {
                    let event = match self.next()? {
                        Event::MappingEnd => break,
                        event => event,
                    };
                    let is_merge =
                        matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
                    let key = self.node(event, depth + 1)?;
                    let event = self.next()?;
                    members.push(Member { key, value: self.node(event, depth + 1)?, is_merge });
                }
                (anchor, self.schema.mapping(written(tag), members)?)
            }
            _ => return Err(syntax("a value is missing")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), self.nodes - before));
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every node as a text that shows what it was.
    struct Shown;

    impl Schema for Shown {
        type Value = String;
        type Error = YamlError;

        fn scalar(&self, scalar: Scalar<'_>) -> Result<String, YamlError> {
            let quotes = if scalar.is_plain { "" } else { "'" };
            Ok(format!("{}{quotes}{}{quotes}", scalar.tag.unwrap_or_default(), scalar.text))
        }

        fn list(&self, tag: Option<String>, items: Vec<String>) -> Result<String, YamlError> {
            Ok(format!("{}[{}]", tag.unwrap_or_default(), items.join(" ")))
        }

        fn mapping(&self, tag: Option<String>, members: Vec<Member<String>>) -> Result<String, YamlError> {
            let shown = members.iter().map(|member| {
                format!("{}{}:{}", if member.is_merge { "merge " } else { "" }, member.key, member.value)
            });
            Ok(format!("{}{{{}}}", tag.unwrap_or_default(), shown.collect::<Vec<_>>().join(" ")))
        }
    }

    const LIMITS: Limits = Limits { nodes: 1000, depth: 20 };

    fn shown(text: &str) -> Result<Option<String>, YamlError> {
        read(text, &Shown, LIMITS)
    }

    #[test]
    fn documents_become_values() {
        let cases = [
            ("", None),
            ("---\n...\n", Some("")),
            ("a: 1\nb: [yes, 'x', ~]\n", Some("{a:1 b:[yes 'x' ~]}")),
            (
                "a: &x {p: q}\nb: *x\nc: {<<: *x, '<<': 1}\n",
                Some("{a:{p:q} b:{p:q} c:{merge <<:{p:q} '<<':1}}"),
            ),
            ("!!str 1", Some("tag:yaml.org,2002:str1")),
            ("!mine [a]", Some("!mine[a]")),
        ];
        for (text, value) in cases {
            assert_eq!(shown(text), Ok(value.map(str::to_owned)), "{text:?}");
        }
        for wrong in ["a: [", "a: 1\n---\nb: 2\n", "&a [*a]", "*nowhere", "a: b: c"] {
            assert!(matches!(shown(wrong), Err(YamlError::Syntax(_))), "{wrong:?}");
        }
    }

    #[test]
    fn limits_hold_to_the_node() {
        let list = |items: usize| format!("[{}]", vec!["x"; items].join(","));
        assert!(shown(&list(999)).is_ok());
        assert_eq!(shown(&list(1000)), Err(YamlError::TooLarge(LIMITS)));
        // A list of an alias to 332 nodes, three times: 1 + 332 + 2 × 332 + the mapping's own three keys.
        let thrice = |items: usize| format!("a: &a {}\nb: *a\nc: *a\n", list(items));
        assert!(shown(&thrice(331)).is_ok());
        assert_eq!(shown(&thrice(332)), Err(YamlError::TooLarge(LIMITS)));
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(shown(&nested(21)).is_ok());
        assert_eq!(shown(&nested(22)), Err(YamlError::TooLarge(LIMITS)));
        assert!(shown(&"[".repeat(100_000)).is_err());
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..20 {
            let alias = format!("*a{}", level - 1);
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(","));
        }
        assert_eq!(shown(&bomb), Err(YamlError::TooLarge(LIMITS)));
    }
}
