//! The CloudEvents 1.0 envelope: [`NewEvent`] on its way in, [`Event`] as it is kept.
//!
//! Source: CloudEvents specification 1.0.2, "Context Attributes" and "Type System".

use std::collections::BTreeMap;

use backlot_ledger::Timestamp;
use serde_json::Value as Json;

use crate::Error;

/// An event with data as large as this is refused. Events are read in batches and held in memory; what is larger
/// belongs into the store, with its digest in the event. The specification asks intermediaries for 64 KiB.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;

/// Extension attributes of one event at most.
const MAX_EXTENSIONS: usize = 64;
/// Characters of one attribute at most.
const MAX_ATTRIBUTE: usize = 2048;
/// Characters of an attribute's name at most; the specification recommends no more than 20.
const MAX_NAME: usize = 64;

/// The extension attribute that carries [`Event::seq`] in JSON, as decimal text: CloudEvents integers have only 32 bits.
pub const SEQ_ATTRIBUTE: &str = "backlotseq";

/// The payload of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// A JSON value (`data`); with a content type that is not JSON it is the content as a JSON string.
    Json(Json),
    /// Bytes (`data_base64`).
    Binary(Vec<u8>),
}

/// An event as it was appended.
///
/// `serde` reads and writes the CloudEvents JSON format (structured mode); a `Vec<Event>` is the batch format.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place in the log: grows by at least one from each event to the next. `None` for an event that was never
    /// appended.
    pub seq: Option<u64>,
    /// Unique within `source`; the sequence number as text when the producer gave none.
    pub id: String,
    /// Where it happened, a URI reference such as `/backlot/work`.
    pub source: String,
    /// What happened, such as `house.task.finished` (CloudEvents `type`).
    pub kind: String,
    /// What it happened to, within the source.
    pub subject: Option<String>,
    /// When it happened, to the microsecond.
    pub time: Timestamp,
    /// The media type of the data; `application/json` when absent.
    pub datacontenttype: Option<String>,
    /// The URI of the schema of the data.
    pub dataschema: Option<String>,
    /// The payload.
    pub data: Option<Data>,
    /// Further attributes: booleans, 32-bit integers and strings.
    pub extensions: BTreeMap<String, Json>,
}

impl Event {
    /// The payload when it is JSON.
    pub fn json(&self) -> Option<&Json> {
        match &self.data {
            Some(Data::Json(json)) => Some(json),
            _ => None,
        }
    }
}

/// An event to be appended. What is left out is filled in: the id with the sequence number, the time with the
/// transaction's.
///
/// `Deserialize` reads the CloudEvents JSON format, in which the id is required; see also [`crate::parse_event`].
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    pub(crate) id: Option<String>,
    pub(crate) source: String,
    pub(crate) kind: String,
    pub(crate) subject: Option<String>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) datacontenttype: Option<String>,
    pub(crate) dataschema: Option<String>,
    pub(crate) data: Option<Data>,
    pub(crate) extensions: BTreeMap<String, Json>,
}

impl NewEvent {
    /// An event of `kind` from `source`, without data.
    pub fn new(source: impl Into<String>, kind: impl Into<String>) -> NewEvent {
        NewEvent {
            id: None,
            source: source.into(),
            kind: kind.into(),
            subject: None,
            time: None,
            datacontenttype: None,
            dataschema: None,
            data: None,
            extensions: BTreeMap::new(),
        }
    }

    /// With an id of the producer's own.
    pub fn id(mut self, id: impl Into<String>) -> NewEvent {
        self.id = Some(id.into());
        self
    }

    /// About `subject`.
    pub fn subject(mut self, subject: impl Into<String>) -> NewEvent {
        self.subject = Some(subject.into());
        self
    }

    /// That happened at `time`.
    pub fn time(mut self, time: Timestamp) -> NewEvent {
        self.time = Some(time);
        self
    }

    /// With a JSON payload.
    pub fn data(mut self, json: impl Into<Json>) -> NewEvent {
        self.data = Some(Data::Json(json.into()));
        self
    }

    /// With bytes of the media type `content_type` as its payload.
    pub fn bytes(mut self, content_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> NewEvent {
        self.datacontenttype = Some(content_type.into());
        self.data = Some(Data::Binary(bytes.into()));
        self
    }

    /// With the media type of its data, where that is not `application/json`.
    pub fn content_type(mut self, content_type: impl Into<String>) -> NewEvent {
        self.datacontenttype = Some(content_type.into());
        self
    }

    /// With the URI of its data's schema.
    pub fn data_schema(mut self, uri: impl Into<String>) -> NewEvent {
        self.dataschema = Some(uri.into());
        self
    }

    /// With a further attribute: a boolean, an integer of 32 bits or a string.
    pub fn extension(mut self, name: impl Into<String>, value: impl Into<Json>) -> NewEvent {
        self.extensions.insert(name.into(), value.into());
        self
    }

    /// Checks every rule of the specification that a consumer may rely on. [`crate::Events::append`] does so too.
    pub fn validate(&self) -> Result<(), Error> {
        if let Some(id) = &self.id {
            text("id", id)?;
        }
        text("source", &self.source)?;
        if !is_uri_reference(&self.source) {
            return Err(Error::invalid(format!(
                "source {:?} is not a URI reference; percent-encode it",
                self.source
            )));
        }
        text("type", &self.kind)?;
        if let Some(subject) = &self.subject {
            text("subject", subject)?;
        }
        if let Some(media_type) = &self.datacontenttype {
            text("datacontenttype", media_type)?;
            if !is_media_type(media_type) {
                return Err(Error::invalid(format!(
                    "datacontenttype {media_type:?} is not a media type; write type/subtype"
                )));
            }
        }
        if let Some(schema) = &self.dataschema {
            text("dataschema", schema)?;
            if url::Url::parse(schema).is_err() {
                return Err(Error::invalid(format!("dataschema {schema:?} is not an absolute URI")));
            }
        }
        let is_json = self.datacontenttype.as_deref().is_none_or(is_json_type);
        if let Some(Data::Json(json)) = &self.data
            && !is_json
            && !json.is_string()
        {
            return Err(Error::invalid(
                "data is not a string although datacontenttype is not JSON; send text or data_base64",
            ));
        }
        if self.extensions.len() > MAX_EXTENSIONS {
            let found = self.extensions.len();
            return Err(Error::TooLarge {
                what: "number of extension attributes",
                found,
                limit: MAX_EXTENSIONS,
            });
        }
        for (name, value) in &self.extensions {
            check_extension(name, value)?;
        }
        Ok(())
    }
}

impl From<Event> for NewEvent {
    fn from(event: Event) -> NewEvent {
        NewEvent {
            id: Some(event.id),
            source: event.source,
            kind: event.kind,
            subject: event.subject,
            time: Some(event.time),
            datacontenttype: event.datacontenttype,
            dataschema: event.dataschema,
            data: event.data,
            extensions: event.extensions,
        }
    }
}

/// The names that the specification and its JSON format define; no extension may bear one.
const DEFINED: [&str; 10] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "data",
    SEQ_ATTRIBUTE,
];

fn check_extension(name: &str, value: &Json) -> Result<(), Error> {
    check_name(name)?;
    if DEFINED.contains(&name) {
        return Err(Error::invalid(format!("extension {name:?} bears the name of a defined attribute")));
    }
    match value {
        Json::Bool(_) => Ok(()),
        Json::String(content) => text(name, content),
        Json::Number(number) => match number.as_i64().map(i32::try_from) {
            Some(Ok(_)) => Ok(()),
            _ => Err(Error::invalid(format!("extension {name:?} is {number}, not an integer of 32 bits"))),
        },
        Json::Null | Json::Array(_) | Json::Object(_) => {
            Err(Error::invalid(format!("extension {name:?} must be a boolean, an integer or a string")))
        }
    }
}

/// Attribute names consist of lower-case ASCII letters and digits.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let well_formed = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if name.is_empty() || !well_formed || name.len() > MAX_NAME {
        let shown: String = name.chars().take(MAX_NAME).collect();
        return Err(Error::invalid(format!(
            "attribute name {shown:?} is not 1 to {MAX_NAME} lower-case letters and digits"
        )));
    }
    Ok(())
}

/// CloudEvents strings: not empty here (every defined string attribute must not be), no control characters, bounded.
fn text(name: &str, content: &str) -> Result<(), Error> {
    let is_extension = !DEFINED.contains(&name);
    if content.is_empty() && !is_extension {
        return Err(Error::invalid(format!("{name} is empty")));
    }
    if content.chars().count() > MAX_ATTRIBUTE {
        return Err(Error::invalid(format!("{name} is longer than {MAX_ATTRIBUTE} characters")));
    }
    let disallowed = |c: char| {
        c.is_control()
            || matches!(c as u32 & 0xFFFF, 0xFFFE | 0xFFFF)
            || ('\u{FDD0}'..='\u{FDEF}').contains(&c)
    };
    if content.contains(disallowed) {
        return Err(Error::invalid(format!("{name} has a control character or noncharacter")));
    }
    Ok(())
}

/// RFC 3986 section 4.1, as far as characters and percent-encoding go; letters beyond ASCII are let through (RFC 3987).
fn is_uri_reference(content: &str) -> bool {
    let mut bytes = content.bytes();
    while let Some(byte) = bytes.next() {
        let fine = match byte {
            b'%' => {
                let two = [bytes.next(), bytes.next()];
                two.iter().all(|digit| digit.is_some_and(|d| d.is_ascii_hexdigit()))
            }
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
            byte => byte > b' ' && byte != 0x7F,
        };
        if !fine {
            return false;
        }
    }
    true
}

fn is_token(content: &str) -> bool {
    !content.is_empty()
        && content.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// RFC 2045 section 5.1: `type/subtype`, parameters after a semicolon.
fn is_media_type(content: &str) -> bool {
    let essence = content.split(';').next().unwrap_or("").trim();
    essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// JSON format section 3.1.1: subtype `json` or ending in `+json`.
fn is_json_type(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence.split_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}
