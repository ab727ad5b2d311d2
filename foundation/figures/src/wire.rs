//! How a Plotly object becomes a Rust struct and comes back unharmed.
//!
//! Plotly's schema has some thousands of attributes, and other people's figures use all of them. A struct made by
//! [`wire!`] names the attributes this crate understands, every one optional; whatever else the JSON object holds goes,
//! untouched, to the field `extra` and is written back. An attribute that we know by name but meet in a form we do not
//! model (an array where we take one number) is kept in `extra` too. Reading a figure therefore never fails on an
//! unknown attribute, and writing it again loses nothing.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Takes `key` out of `map` if its value has the shape of `T`; leaves it there otherwise.
pub(crate) fn take<T: DeserializeOwned>(map: &mut Map<String, Value>, key: &str) -> Option<T> {
    let parsed = T::deserialize(map.get(key)?).ok();
    if parsed.is_some() {
        map.remove(key);
    }
    parsed
}

/// Declares a struct of optional Plotly attributes with a setter for each, `extra` for all others, and serde both ways.
///
/// `struct Name("scatter")` also writes `"type": "scatter"`; `struct Name[text]` also reads a bare string as the
/// attribute `text`; `field as "wire"` renames one attribute.
macro_rules! wire {
    ($(#[$meta:meta])* pub struct $name:ident $(($tag:literal))? $([$short:literal])? {
        $( $(#[$field_meta:meta])* $field:ident $(as $wire:literal)? : $ty:ty, )*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: Option<$ty>, )*
            /// Attributes this crate does not model, kept as they were read and written back.
            pub extra: serde_json::Map<String, serde_json::Value>,
        }

        impl $name {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "::", stringify!($field), "`](", stringify!($name), "#structfield.", stringify!($field), ").")]
                pub fn $field(mut self, value: impl Into<$ty>) -> Self {
                    self.$field = Some(value.into());
                    self
                }
            )*

            /// Builds the struct from a JSON object; what does not fit stays in `extra`.
            pub(crate) fn from_map(mut map: serde_json::Map<String, serde_json::Value>) -> Self {
                $( if map.get("type").and_then(|kind| kind.as_str()) == Some($tag) { map.remove("type"); } )?
                let mut made = Self::default();
                $( made.$field = $crate::wire::take(&mut map, $crate::wire::key!($field $(, $wire)?)); )*
                made.extra = map;
                made
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match serde_json::Value::deserialize(deserializer)? {
                    serde_json::Value::Object(map) => Ok(Self::from_map(map)),
                    $( serde_json::Value::String(text) => {
                        Ok(Self::from_map(serde_json::Map::from_iter([($short.to_owned(), text.into())])))
                    } )?
                    other => Err(serde::de::Error::custom(format!(
                        "a {} is a JSON object, not {other}", stringify!($name)
                    ))),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                $( if !self.extra.contains_key("type") { map.serialize_entry("type", $tag)?; } )?
                $( if let Some(value) = &self.$field {
                    map.serialize_entry($crate::wire::key!($field $(, $wire)?), value)?;
                } )*
                for (key, value) in &self.extra {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    };
}

/// The JSON key of a field: its own name, or the one given after `as`.
macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident, $wire:literal) => {
        $wire
    };
}

/// Declares an enum whose variants are written as fixed strings.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[non_exhaustive]
        pub enum $name { $( $(#[$variant_meta])* #[serde(rename = $word)] $variant, )* }
    };
}

pub(crate) use {key, wire, words};
