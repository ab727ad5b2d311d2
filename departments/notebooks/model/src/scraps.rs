//! Scraps: named values in the outputs of a notebook, as scrapbook glues and reads them.
//!
//! A scrap is an output with `metadata.scrapbook`. Its data stand under `application/scrapbook.scrap.ENCODER+json`, its display
//! in the other media types of the bundle; one name may have both. The last scrap of a name counts. Records of papermill before
//! 1.0 are read as well.

use indexmap::IndexMap;

use crate::json::{Object, Value};
use crate::notebook::{Cell, Notebook};

/// The version of the scrap format.
pub const VERSION: i64 = 1;

const PREFIX: &str = "application/scrapbook.scrap.";
const RECORD: &str = "application/papermill.record+json";

/// A named value.
#[derive(Clone, Debug, PartialEq)]
pub struct Scrap {
    /// Its value, if it has one.
    pub data: Option<Value>,
    /// How its value is written: `json`, `text`, `pandas`, …
    pub encoder: Option<String>,
    /// What it shows: the data and metadata of an output.
    pub display: Option<Value>,
}

/// The scraps of a notebook, by name, in the order in which the names first appear.
pub fn read(notebook: &Notebook) -> IndexMap<String, Scrap> {
    let mut scraps: IndexMap<String, Scrap> = IndexMap::new();
    for output in notebook.cells.iter().flat_map(Cell::outputs) {
        let Some(data) = output.get("data").and_then(Value::as_object) else { continue };
        let note = output.get("metadata").and_then(|metadata| metadata.get("scrapbook"));
        let name = note.and_then(|note| note.get("name")).and_then(Value::as_str);
        if let Some((name, encoder, value)) =
            data.iter().find_map(|(media_type, value)| payload(media_type, value))
        {
            let scrap =
                scraps.entry(name.to_owned()).or_insert(Scrap { data: None, encoder: None, display: None });
            scrap.data = Some(value);
            scrap.encoder = Some(encoder.to_owned());
        }
        let shows = note.and_then(|note| note.get("display")).is_some_and(|display| !display.is_falsy());
        if let (Some(name), true) = (name, shows) {
            let scrap =
                scraps.entry(name.to_owned()).or_insert(Scrap { data: None, encoder: None, display: None });
            scrap.display = Some(output.clone());
        }
        if let Some(record) = data.get(RECORD).and_then(Value::as_object) {
            for (name, value) in record {
                let scrap =
                    Scrap { data: Some(value.clone()), encoder: Some("json".to_owned()), display: None };
                scraps.insert(name.clone(), scrap);
            }
        }
    }
    scraps
}

fn payload<'a>(media_type: &'a str, value: &'a Value) -> Option<(&'a str, &'a str, Value)> {
    let encoder = media_type.strip_prefix(PREFIX)?.strip_suffix("+json")?;
    let name = value.get("name")?.as_str()?;
    let data = value.get("data").cloned().unwrap_or(Value::Null);
    // The JSON encoder may hold its value as a text of JSON.
    let data = match (&data, encoder) {
        (Value::String(text), "json") => crate::json::parse(text).unwrap_or(data),
        _ => data,
    };
    Some((name, encoder, data))
}

/// A value as the output that scrapbook's `glue` leaves: encoder `text` for texts, `json` for the rest.
pub fn glue(name: &str, value: &Value) -> Value {
    let encoder = if value.as_str().is_some() { "text" } else { "json" };
    let object = |members: Vec<(&str, Value)>| -> Value {
        Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Object>())
    };
    let payload = object(vec![
        ("name", name.into()),
        ("data", value.clone()),
        ("encoder", encoder.into()),
        ("version", VERSION.into()),
    ]);
    let note = object(vec![("name", name.into()), ("data", true.into()), ("display", false.into())]);
    let data: Object = [(format!("{PREFIX}{encoder}+json"), payload)].into_iter().collect();
    object(vec![
        ("output_type", "display_data".into()),
        ("metadata", object(vec![("scrapbook", note)])),
        ("data", Value::Object(data)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn with(outputs: Vec<Value>) -> Notebook {
        let mut notebook = Notebook::new();
        notebook.cells.push(Cell::code("a".to_owned(), ""));
        *notebook.cells[0].outputs_mut() = outputs;
        notebook
    }

    #[test]
    fn what_is_glued_is_read() {
        let notebook = with(vec![
            glue("n", &json::parse("[1, NaN]").unwrap()),
            glue("t", &"x".into()),
            glue("n", &json::parse("2").unwrap()),
        ]);
        let scraps = read(&notebook);
        assert_eq!(scraps.keys().collect::<Vec<_>>(), ["n", "t"]);
        assert_eq!(scraps["n"].data.as_ref().unwrap().to_compact(), "2");
        assert_eq!(scraps["t"].encoder.as_deref(), Some("text"));
    }

    #[test]
    fn displays_records_and_texts_of_json_are_read() {
        let outputs = [
            r#"{"output_type":"display_data","data":{"text/plain":"shown"},"metadata":{"scrapbook":{"name":"d","data":false,"display":true}}}"#,
            r#"{"output_type":"display_data","data":{"application/papermill.record+json":{"old":1}},"metadata":{}}"#,
            r#"{"output_type":"display_data","data":{"application/scrapbook.scrap.json+json":{"name":"j","data":"{\"a\":1}","encoder":"json","version":1}},"metadata":{"scrapbook":{"name":"j","data":true,"display":false}}}"#,
        ];
        let scraps = read(&with(outputs.iter().map(|text| json::parse(text).unwrap()).collect()));
        assert!(scraps["d"].data.is_none() && scraps["d"].display.is_some());
        assert_eq!(scraps["old"].data.as_ref().unwrap().to_compact(), "1");
        assert_eq!(scraps["j"].data.as_ref().unwrap().to_compact(), "{\"a\":1}");
    }
}
