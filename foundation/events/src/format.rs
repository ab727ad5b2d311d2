//! The CloudEvents JSON format: structured mode and batches.
//!
//! Source: "JSON Event Format for CloudEvents", version 1.0.2, sections 2 to 4.

use std::collections::BTreeMap;
use std::fmt;

use backlot_ledger::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value as Json;

use crate::event::{MAX_EVENT_BYTES, SEQ_ATTRIBUTE, check_name};
use crate::{Data, Error, Event, NewEvent};

/// The media type of one event in JSON.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// The media type of a JSON array of events.
pub const BATCH: &str = "application/cloudevents-batch+json";
/// Events in one batch at most: with [`MAX_EVENT_BYTES`] it bounds what a request can make us hold.
pub const MAX_BATCH: usize = 10_000;

/// Reads one event from outside, `application/cloudevents+json`.
pub fn parse_event(document: &[u8]) -> Result<NewEvent, Error> {
    if document.len() > MAX_EVENT_BYTES {
        let found = document.len();
        return Err(Error::TooLarge { what: "event size in bytes", found, limit: MAX_EVENT_BYTES });
    }
    let event: NewEvent = serde_json::from_slice(document).map_err(refusal)?;
    event.validate()?;
    Ok(event)
}

/// Reads a batch of events from outside, `application/cloudevents-batch+json`. One bad event refuses the batch.
pub fn parse_batch(document: &[u8]) -> Result<Vec<NewEvent>, Error> {
    let events: Vec<NewEvent> = serde_json::from_slice(document).map_err(refusal)?;
    if events.len() > MAX_BATCH {
        let found = events.len();
        return Err(Error::TooLarge { what: "number of events in the batch", found, limit: MAX_BATCH });
    }
    for (index, event) in events.iter().enumerate() {
        event.validate().map_err(|e| match e {
            Error::Invalid { problem } => {
                Error::invalid(format!("number {} of the batch: {problem}", index + 1))
            }
            other => other,
        })?;
    }
    Ok(events)
}

fn refusal(error: serde_json::Error) -> Error {
    Error::Json { problem: error.to_string() }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", "1.0")?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("source", &self.source)?;
        map.serialize_entry("type", &self.kind)?;
        if let Some(subject) = &self.subject {
            map.serialize_entry("subject", subject)?;
        }
        map.serialize_entry("time", &self.time)?;
        if let Some(media_type) = &self.datacontenttype {
            map.serialize_entry("datacontenttype", media_type)?;
        }
        if let Some(schema) = &self.dataschema {
            map.serialize_entry("dataschema", schema)?;
        }
        if let Some(seq) = self.seq {
            map.serialize_entry(SEQ_ATTRIBUTE, &seq.to_string())?;
        }
        for (name, value) in &self.extensions {
            map.serialize_entry(name, value)?;
        }
        match &self.data {
            None => {}
            Some(Data::Json(json)) => map.serialize_entry("data", json)?,
            Some(Data::Binary(bytes)) => map.serialize_entry("data_base64", &STANDARD.encode(bytes))?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Event, D::Error> {
        let members = deserializer.deserialize_map(MembersVisitor)?;
        let seq = members.seq;
        let event = members.into_event().map_err(de::Error::custom)?;
        let (Some(id), Some(time)) = (event.id, event.time) else {
            return Err(de::Error::custom("time is missing; an event from outside is read as a NewEvent"));
        };
        Ok(Event {
            seq,
            id,
            source: event.source,
            kind: event.kind,
            subject: event.subject,
            time,
            datacontenttype: event.datacontenttype,
            dataschema: event.dataschema,
            data: event.data,
            extensions: event.extensions,
        })
    }
}

impl<'de> Deserialize<'de> for NewEvent {
    /// A [`SEQ_ATTRIBUTE`] is another log's and is left out.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NewEvent, D::Error> {
        let members = deserializer.deserialize_map(MembersVisitor)?;
        members.into_event().map_err(de::Error::custom)
    }
}

/// The members of a JSON event, `null` attributes left out.
#[derive(Default)]
struct Members {
    seq: Option<u64>,
    strings: BTreeMap<&'static str, String>,
    data: Option<Data>,
    extensions: BTreeMap<String, Json>,
}

/// The defined attributes, all strings in JSON.
const STRINGS: [&str; 8] =
    ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvents JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(de::Error::custom(format!("member {name:?} occurs twice")));
            }
            let value = map.next_value::<Json>()?;
            members.take(name, value).map_err(de::Error::custom)?;
        }
        Ok(members)
    }
}

impl Members {
    fn take(&mut self, name: String, value: Json) -> Result<(), Error> {
        let both = || Error::invalid("data and data_base64 exclude each other");
        if name == "data" {
            // Unlike an attribute, data may be null.
            return self.data.replace(Data::Json(value)).map_or(Ok(()), |_| Err(both()));
        }
        if value.is_null() {
            return Ok(());
        }
        if name == "data_base64" {
            let encoded = value.as_str().ok_or_else(|| Error::invalid("data_base64 is not a string"))?;
            let bytes = STANDARD
                .decode(encoded)
                .map_err(|e| Error::invalid(format!("data_base64 is not Base64: {e}")))?;
            return self.data.replace(Data::Binary(bytes)).map_or(Ok(()), |_| Err(both()));
        }
        if let Some(defined) = STRINGS.iter().find(|defined| **defined == name) {
            let Json::String(content) = value else {
                return Err(Error::invalid(format!("{name} is not a string")));
            };
            self.strings.insert(defined, content);
            return Ok(());
        }
        if name == SEQ_ATTRIBUTE {
            self.seq = value.as_str().and_then(|text| text.parse().ok());
            return Ok(());
        }
        check_name(&name)?;
        self.extensions.insert(name, value);
        Ok(())
    }

    fn into_event(mut self) -> Result<NewEvent, Error> {
        let mut required = |name: &str| {
            self.strings
                .remove(name)
                .ok_or_else(|| Error::invalid(format!("required attribute {name} is missing")))
        };
        let version = required("specversion")?;
        if version != "1.0" {
            return Err(Error::invalid(format!("specversion {version:?} is not supported; send 1.0")));
        }
        let (id, source, kind) = (required("id")?, required("source")?, required("type")?);
        let time = match self.strings.remove("time") {
            None => None,
            Some(text) => {
                let parsed = text.parse::<Timestamp>();
                Some(parsed.map_err(|e| Error::invalid(format!("time: {e}")))?)
            }
        };
        Ok(NewEvent {
            id: Some(id),
            source,
            kind,
            subject: self.strings.remove("subject"),
            time,
            datacontenttype: self.strings.remove("datacontenttype"),
            dataschema: self.strings.remove("dataschema"),
            data: self.data,
            extensions: self.extensions,
        })
    }
}
