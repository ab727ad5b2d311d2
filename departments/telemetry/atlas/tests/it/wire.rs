//! Bodies of publishers.

use std::collections::BTreeMap;

use backlot_atlas::wire::{
    Json, Operator, Outcome, Smile, Token, Tokens, read_publish, read_update, write_smile,
};

/// What the npm client of Spectator sends, shortened.
const UPDATE: &str = r#"[12,"200","count","jsdemo","max","name","nf.app","server.latency","server.requestCount","statistic","status","totalOfSquares","totalTime",
    4,5,2,9,0,8,1,4,7,0,3, 3,5,2,8,1,4,6,0,1, 3,5,2,8,11,4,6,0,0.25, 3,5,2,8,3,4,6,10,0.25]"#;

type Taken = Vec<(String, Operator, f64)>;

fn update(tokens: &mut dyn Tokens<'_>) -> (Taken, Outcome) {
    let mut taken = Vec::new();
    let outcome = read_update(tokens, |tags, operator, value| {
        let tags: BTreeMap<&str, &str> = tags.iter().map(|(key, value)| (&**key, &**value)).collect();
        taken.push((format!("{} {}", tags["name"], tags["statistic"]), operator, value));
    });
    (taken, outcome.expect("it is read"))
}

#[test]
fn an_update_is_read_from_json_and_from_smile() {
    let (taken, outcome) = update(&mut Json::new(UPDATE.as_bytes()));
    let expected = [
        ("server.requestCount count", Operator::Add, 3.0),
        ("server.latency count", Operator::Add, 1.0),
        ("server.latency totalTime", Operator::Add, 0.25),
        ("server.latency max", Operator::Max, 0.25),
    ];
    assert_eq!(taken, expected.map(|(id, operator, value)| (id.to_owned(), operator, value)));
    assert_eq!((outcome.taken, outcome.refused), (4, 0));
    let mut json = Json::new(UPDATE.as_bytes());
    let tokens = std::iter::from_fn(|| json.token().ok().filter(|token| *token != Token::End));
    let bytes = write_smile(tokens);
    assert_eq!(update(&mut Smile::new(&bytes).unwrap()).0, taken);
}

#[test]
fn bad_datapoints_are_refused_and_the_others_taken() {
    let text = r#"[8,"name","ok.name","nf.shoe","x","a","y","atlas.dstype","sp ace", 1,0,1,0,1, 2,0,1,2,3,0,1, 2,0,1,4,5,0,1, 1,4,5,0,1, 2,0,7,6,3,10,2]"#;
    let mut names = Vec::new();
    let outcome =
        read_update(&mut Json::new(text.as_bytes()), |tags, _, _| names.push(tags[0].1.to_string())).unwrap();
    assert_eq!((outcome.taken, outcome.refused), (2, 3));
    assert_eq!(names, ["ok.name", "sp_ace"]);
    let reasons: Vec<String> = outcome.refusals.iter().map(ToString::to_string).collect();
    assert!(reasons[0].starts_with("invalid key for reserved prefix 'nf.': nf.shoe (tags={"), "{reasons:?}");
    assert!(
        reasons[1].contains("invalid key length") && reasons[2].contains("invalid key length"),
        "{reasons:?}"
    );
}

#[test]
fn hostile_updates_are_errors() {
    let wrong = [
        "{}",
        "[2147483648]",
        "[1,2]",
        "[1,\"a\",1,5,0,0,1]",
        "[1,\"a\",1000000000]",
        "[1,\"name\",1,0,0,7,1]",
        "[1,\"name\",1,0,0,0]",
        "[-1]",
        "[1.5]",
    ];
    for text in wrong {
        assert!(read_update(&mut Json::new(text.as_bytes()), |_, _, _| ()).is_err(), "{text}");
    }
}

#[test]
fn a_publish_body_is_read() {
    let text = r#"{"x":[{}],"tags":{"nf.app":"www","a.b":"1"},"metrics":[
        {"tags":{"name":"sps","a.b":"2"},"timestamp":1700000000000,"value":1.5,"more":{"y":[1]}},
        {"tags":{"name":"old"},"start":1700000000000,"values":[7.0,8.0]},
        {"tags":{"name":"nan"},"timestamp":1,"value":"NaN"},
        {"tags":{"nf.zone":"z"},"timestamp":1,"value":1}]}"#;
    let mut metrics = Vec::new();
    let read = |metrics: &mut Vec<String>, text: &str| {
        read_publish(&mut Json::new(text.as_bytes()), |metric| {
            let tags: BTreeMap<&str, &str> =
                metric.tags.iter().map(|(key, value)| (&**key, &**value)).collect();
            metrics.push(format!("{tags:?} {} {}", metric.timestamp, metric.value));
            Ok(())
        })
    };
    let outcome = read(&mut metrics, text).unwrap();
    let expected = [
        r#"{"a.b": "2", "name": "sps", "nf.app": "www"} 1700000000000 1.5"#,
        r#"{"a.b": "1", "name": "old", "nf.app": "www"} 1700000000000 7"#,
        r#"{"a.b": "1", "name": "nan", "nf.app": "www"} 1 NaN"#,
    ];
    assert_eq!(metrics, expected);
    assert_eq!((outcome.taken, outcome.refused), (3, 1));
    // The common tags may come last.
    let mut late = Vec::new();
    read(
        &mut late,
        r#"{"metrics":[{"tags":{"name":"sps"},"timestamp":1,"value":1}],"tags":{"nf.app":"www"}}"#,
    )
    .unwrap();
    assert_eq!(late, [r#"{"name": "sps", "nf.app": "www"} 1 1"#]);
    for wrong in [
        "[]",
        "{\"metrics\":{}}",
        "{\"metrics\":[1]}",
        "{\"tags\":{\"a\":1}}",
        "{\"metrics\":[{\"value\":\"x\"}]}",
        "{\"metrics\":[",
    ] {
        assert!(read(&mut Vec::new(), wrong).is_err(), "{wrong}");
    }
}
