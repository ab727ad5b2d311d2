//! The JSON format. The events are those of the specification's own examples ("JSON Event Format for CloudEvents" 1.0.2,
//! sections 3.2 and 4.3).

use backlot_events::{Data, Error, Event, NewEvent, parse_batch, parse_event};
use serde_json::{Value as Json, json};

/// The attributes that all the examples share, with `more` put over them.
fn example(id: &str, more: Json) -> Json {
    let mut event = json!({
        "specversion": "1.0",
        "type": "com.example.someevent",
        "source": "/mycontext",
        "id": id,
        "time": "2018-04-05T17:31:00Z",
        "comexampleextension1": "value",
        "comexampleothervalue": 5,
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn examples() -> Vec<(Json, Data)> {
    let object = json!({"appinfoA": "abc", "appinfoB": 123, "appinfoC": true});
    vec![
        (
            example(
                "A234-1234-1234",
                json!({"datacontenttype": "application/vnd.apache.thrift.binary", "data_base64": "AAH+/w=="}),
            ),
            Data::Binary(vec![0, 1, 254, 255]),
        ),
        (
            example(
                "B234-1234-1234",
                json!({"unsetextension": null, "datacontenttype": "application/xml", "data": "<much wow=\"xml\"/>"}),
            ),
            Data::Json(json!("<much wow=\"xml\"/>")),
        ),
        (
            example(
                "C234-1234-1234",
                json!({"subject": null, "datacontenttype": "application/json", "data": object}),
            ),
            Data::Json(object.clone()),
        ),
        (
            example("D234-1234-1234", json!({"subject": null, "data": "I'm just a string"})),
            Data::Json(json!("I'm just a string")),
        ),
    ]
}

fn without_nulls(mut event: Json) -> Json {
    event.as_object_mut().unwrap().retain(|name, value| name == "data" || !value.is_null());
    event
}

#[test]
fn the_specifications_examples_survive_the_round_trip() {
    for (document, data) in examples() {
        let event: Event = serde_json::from_value(document.clone()).unwrap();
        assert_eq!(event.data.as_ref(), Some(&data));
        assert_eq!(event.kind, "com.example.someevent");
        assert_eq!(event.extensions["comexampleothervalue"], json!(5));
        assert_eq!((&event.subject, event.seq), (&None, None));
        assert_eq!(serde_json::to_value(&event).unwrap(), without_nulls(document.clone()));
        let parsed = parse_event(document.to_string().as_bytes()).unwrap();
        assert_eq!(parsed, NewEvent::from(event));
    }
}

#[test]
fn batches_survive_the_round_trip() {
    let documents: Vec<Json> = examples().into_iter().map(|(document, _)| document).collect();
    let batch = Json::Array(documents.clone());
    let events: Vec<Event> = serde_json::from_value(batch.clone()).unwrap();
    let expected: Vec<Json> = documents.into_iter().map(without_nulls).collect();
    assert_eq!(serde_json::to_value(&events).unwrap(), Json::Array(expected));
    assert_eq!(parse_batch(batch.to_string().as_bytes()).unwrap().len(), 4);
    assert_eq!(parse_batch(b"[]").unwrap(), []);
}

#[test]
fn null_data_is_not_absent_data() {
    let null = example("1", json!({"data": null}));
    let event: Event = serde_json::from_value(null.clone()).unwrap();
    assert_eq!(event.data, Some(Data::Json(Json::Null)));
    assert_eq!(serde_json::to_value(&event).unwrap(), null);
    let event: Event = serde_json::from_value(example("1", json!({}))).unwrap();
    assert_eq!(event.data, None);
}

#[test]
fn what_the_specification_forbids_is_refused() {
    let long = "x".repeat(3000);
    for (more, expected) in [
        (json!({"specversion": "0.3"}), "specversion \"0.3\" is not supported"),
        (json!({"specversion": null}), "required attribute specversion is missing"),
        (json!({"id": null}), "required attribute id is missing"),
        (json!({"source": null}), "required attribute source is missing"),
        (json!({"type": null}), "required attribute type is missing"),
        (json!({"id": ""}), "id is empty"),
        (json!({"id": 7}), "id is not a string"),
        (json!({"type": ""}), "type is empty"),
        (json!({"subject": ""}), "subject is empty"),
        (json!({"source": "/my context"}), "is not a URI reference"),
        (json!({"source": "/my%zz"}), "is not a URI reference"),
        (json!({"time": "yesterday"}), "bad time yesterday"),
        (json!({"datacontenttype": "json"}), "is not a media type"),
        (json!({"dataschema": "relative/schema"}), "is not an absolute URI"),
        (json!({"datacontenttype": "text/plain", "data": {"a": 1}}), "data is not a string although"),
        (json!({"data": 1, "data_base64": "AA=="}), "data and data_base64 exclude each other"),
        (json!({"data_base64": "*"}), "data_base64 is not Base64"),
        (json!({"data_base64": 5}), "data_base64 is not a string"),
        (json!({"MyExtension": "x"}), "attribute name \"MyExtension\" is not"),
        (json!({"my_extension": "x"}), "attribute name \"my_extension\" is not"),
        (json!({"": "x"}), "attribute name \"\" is not"),
        (json!({"ext": {"nested": 1}}), "must be a boolean, an integer or a string"),
        (json!({"ext": [1]}), "must be a boolean, an integer or a string"),
        (json!({"ext": 2_147_483_648i64}), "not an integer of 32 bits"),
        (json!({"ext": 1.5}), "not an integer of 32 bits"),
        (json!({"ext": "a\u{0007}b"}), "ext has a control character"),
        (json!({"id": long}), "id is longer than 2048 characters"),
    ] {
        let error = parse_event(example("1", more.clone()).to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{more}: {error}");
        assert!(!error.contains('\n'), "{error:?}");
    }
    for (document, expected) in [
        ("{\"specversion\": \"1.0\", \"specversion\": \"1.0\"}", "member \"specversion\" occurs twice"),
        ("[]", "a CloudEvents JSON object"),
        ("{", "EOF"),
    ] {
        let error = parse_event(document.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{document}: {error}");
    }
    let batch = json!([example("1", json!({})), example("2", json!({"type": ""}))]).to_string();
    let error = parse_batch(batch.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("number 2 of the batch: type is empty"), "{error}");
}

#[test]
fn attributes_may_be_of_every_allowed_type() {
    let document = example(
        "ü-1",
        json!({"source": "https://example.com/%C3%BC?x=1#y", "flag": true, "count": -2_147_483_648i64, "empty": "",
               "datacontenttype": "application/vnd.x+json; charset=utf-8", "data": [1, 2]}),
    );
    let event = parse_event(document.to_string().as_bytes()).unwrap();
    event.validate().unwrap();
    let event: Event = serde_json::from_value(document.clone()).unwrap();
    assert_eq!(serde_json::to_value(&event).unwrap(), document);
}

#[test]
fn too_much_is_refused() {
    let large = example("1", json!({"data": "x".repeat(300_000)})).to_string();
    assert!(matches!(parse_event(large.as_bytes()), Err(Error::TooLarge { .. })));
    let many = Json::Array(vec![example("1", json!({})); 10_001]).to_string();
    assert!(matches!(parse_batch(many.as_bytes()), Err(Error::TooLarge { .. })));
}
