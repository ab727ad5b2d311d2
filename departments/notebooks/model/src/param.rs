//! The value of a parameter, as Python would hold it after reading it from the command line or YAML.

use std::fmt::Write as _;

use crate::json::{Number, Object, Value};
use crate::python::{float_repr, parse_float, parse_int};

/// A key of a dictionary.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// A text.
    Str(String),
    /// What is no text; it becomes one wherever a notebook names it.
    Other(Box<Param>),
}

impl Key {
    /// The key as `str(key)` gives it.
    pub fn text(&self) -> String {
        match self {
            Key::Str(text) => text.clone(),
            Key::Other(value) => value.to_text(),
        }
    }

    /// The key as `json.dumps` writes it.
    fn json_text(&self) -> String {
        match self {
            Key::Str(text) => text.clone(),
            Key::Other(value) => match &**value {
                Param::None => "null".to_owned(),
                Param::Bool(value) => value.to_string(),
                other => other.to_text(),
            },
        }
    }
}

/// A parameter's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An integer of any size, as its decimal digits.
    Int(String),
    /// A float.
    Float(f64),
    /// A text.
    Str(String),
    /// A list.
    List(Vec<Param>),
    /// A dictionary in its order.
    Dict(Vec<(Key, Param)>),
}

/// Named values in their order; a later value of a name takes the place of the earlier one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(indexmap::IndexMap<String, Param>);

impl Parameters {
    /// No parameters.
    pub fn new() -> Parameters {
        Parameters::default()
    }

    /// Sets one.
    pub fn set(&mut self, name: impl Into<String>, value: Param) {
        self.0.insert(name.into(), value);
    }

    /// Sets all of the others, which count over what is there.
    pub fn update(&mut self, others: Parameters) {
        self.0.extend(others.0);
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.0.get(name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// As a JSON object.
    pub fn to_json(&self) -> Object {
        self.0.iter().map(|(name, value)| (name.clone(), value.to_json())).collect()
    }
}

impl FromIterator<(String, Param)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (String, Param)>>(pairs: I) -> Parameters {
        Parameters(pairs.into_iter().collect())
    }
}

impl Param {
    /// The value of a word of the command line (`-p NAME WORD`): `True`, `False` and `None`, then what Python's `int` takes, then
    /// what its `float` takes, else the word itself.
    ///
    /// ```
    /// # use backlot_notebooks_model::Param;
    /// assert_eq!(Param::from_word("1_000"), Param::Int("1000".into()));
    /// assert_eq!(Param::from_word("1e3"), Param::Float(1000.0));
    /// assert_eq!(Param::from_word("true"), Param::Str("true".into()));
    /// ```
    pub fn from_word(word: &str) -> Param {
        match word {
            "True" => Param::Bool(true),
            "False" => Param::Bool(false),
            "None" => Param::None,
            word => {
                if let Some(digits) = parse_int(word) {
                    Param::Int(digits)
                } else if let Some(value) = parse_float(word) {
                    Param::Float(value)
                } else {
                    Param::Str(word.to_owned())
                }
            }
        }
    }

    /// The value that Python's `json.loads` makes of this.
    pub fn from_json(value: &Value) -> Param {
        match value {
            Value::Null => Param::None,
            Value::Bool(value) => Param::Bool(*value),
            Value::Number(number) if number.is_integer() => Param::Int(number.to_python()),
            Value::Number(number) => Param::Float(number.as_f64()),
            Value::String(text) => Param::Str(text.clone()),
            Value::Array(items) => Param::List(items.iter().map(Param::from_json).collect()),
            Value::Object(object) => {
                let members = object.iter();
                Param::Dict(
                    members.map(|(key, value)| (Key::Str(key.clone()), Param::from_json(value))).collect(),
                )
            }
        }
    }

    /// The value as `json.dumps` writes it: keys become texts.
    pub fn to_json(&self) -> Value {
        match self {
            Param::None => Value::Null,
            Param::Bool(value) => Value::Bool(*value),
            Param::Int(digits) => Value::Number(Number::from_digits(digits.clone())),
            Param::Float(value) => Value::Number((*value).into()),
            Param::Str(text) => Value::String(text.clone()),
            Param::List(items) => Value::Array(items.iter().map(Param::to_json).collect()),
            Param::Dict(members) => {
                Value::Object(members.iter().map(|(key, value)| (key.json_text(), value.to_json())).collect())
            }
        }
    }

    /// `str(value)`.
    pub fn to_text(&self) -> String {
        if let Param::Str(text) = self {
            return text.clone();
        }
        let mut text = String::new();
        self.write_repr(&mut text);
        text
    }

    /// `repr(value)`.
    pub fn to_repr(&self) -> String {
        let mut text = String::new();
        self.write_repr(&mut text);
        text
    }

    fn write_repr(&self, out: &mut String) {
        match self {
            Param::None => out.push_str("None"),
            Param::Bool(true) => out.push_str("True"),
            Param::Bool(false) => out.push_str("False"),
            Param::Int(digits) => out.push_str(digits),
            Param::Float(value) => out.push_str(&float_repr(*value)),
            Param::Str(text) => write_str_repr(text, out),
            Param::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    item.write_repr(out);
                }
                out.push(']');
            }
            Param::Dict(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    match key {
                        Key::Str(text) => write_str_repr(text, out),
                        Key::Other(value) => value.write_repr(out),
                    }
                    out.push_str(": ");
                    value.write_repr(out);
                }
                out.push('}');
            }
        }
    }
}

/// `repr` of a text: single quotes unless only double ones save an escape.
fn write_str_repr(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char == quote => {
                out.push('\\');
                out.push(char);
            }
            char if (char as u32) < 0x20 || (0x7f..=0xa0).contains(&(char as u32)) || char == '\u{ad}' => {
                let _ = write!(out, "\\x{:02x}", char as u32); // a String takes every write
            }
            char => out.push(char),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_typed_as_papermill_types_them() {
        assert_eq!(Param::from_word(" 12 "), Param::Int("12".to_owned()));
        assert_eq!(Param::from_word("-1.5"), Param::Float(-1.5));
        assert_eq!(Param::from_word("inf"), Param::Float(f64::INFINITY));
        assert_eq!(Param::from_word(""), Param::Str(String::new()));
        assert_eq!(Param::from_word("0x10"), Param::Str("0x10".to_owned()));
    }

    #[test]
    fn texts_of_values_are_pythons() {
        let value = Param::Dict(vec![
            (Key::Str("it's".to_owned()), Param::List(vec![Param::None, Param::Float(1e16)])),
            (Key::Other(Box::new(Param::Int("1".to_owned()))), Param::Str("a\n\"'".to_owned())),
        ]);
        assert_eq!(value.to_text(), "{\"it's\": [None, 1e+16], 1: 'a\\n\"\\''}");
        assert_eq!(value.to_json().to_compact(), "{\"it's\":[null,1e+16],\"1\":\"a\\n\\\"'\"}");
    }

    #[test]
    fn later_values_count_at_the_first_place() {
        let mut all = Parameters::new();
        all.set("a", Param::None);
        all.set("b", Param::Bool(true));
        all.update([("a".to_owned(), Param::Bool(false))].into_iter().collect());
        assert_eq!(Value::from(all.to_json()).to_compact(), "{\"a\":false,\"b\":true}");
    }
}
