//! Payloads of real clients, round trips, a second implementation of Smile as judge, and damage.

use backlot_meters::{Id, Measurement, Statistic};
use proptest::prelude::*;

use super::*;

fn shown(payload: &Payload) -> Vec<String> {
    let line = |update: Update<'_>| {
        let mut tags: Vec<String> = update.tags().map(|(key, value)| format!("{key}={value}")).collect();
        tags.sort();
        format!("{} {:?} {}", tags.join(","), update.operation, update.value)
    };
    payload.updates().map(line).collect()
}

fn json(body: &str) -> Result<Vec<String>, PayloadError> {
    decode(Format::Json, body.as_bytes()).map(|payload| shown(&payload))
}

#[test]
fn the_body_of_a_real_client_is_read() {
    // As nflx-spectator 1.0.0 publishes a counter and a timer.
    let body = r#"[12,"200","count","jsdemo","max","name","nf.app","server.latency","server.requestCount","statistic",
        "status","totalOfSquares","totalTime",4,5,2,9,0,8,1,4,7,0,3,3,5,2,8,1,4,6,0,1,3,5,2,8,11,4,6,0,0.25,3,5,2,8,3,4,6,10,0.25]"#;
    let expected = [
        "name=server.requestCount,nf.app=jsdemo,statistic=count,status=200 Add 3",
        "name=server.latency,nf.app=jsdemo,statistic=count Add 1",
        "name=server.latency,nf.app=jsdemo,statistic=totalTime Add 0.25",
        "name=server.latency,nf.app=jsdemo,statistic=max Max 0.25",
    ];
    assert_eq!(json(body).unwrap(), expected);
}

#[test]
fn json_is_read_in_all_its_forms() {
    assert_eq!(json("[0]").unwrap(), Vec::<String>::new());
    assert_eq!(json(" [ 2 , \"a\" , \"b\" , 1 , 0 , 1 , 0 , -1.5e3 ] \n").unwrap(), ["a=b Add -1500"]);
    let escaped = r#"[2,"a\"\\\/\b\f\n\r\té","\ud83d\ude00\ud83d",1,0,1,10,1]"#;
    assert_eq!(json(escaped).unwrap(), ["a\"\\/\u{8}\u{c}\n\r\té=😀\u{FFFD} Max 1"]);
    assert_eq!(
        json(r#"[0,0,0,null,0,5,"Infinity",0,-1,NaN,0,0,99999999999999999999]"#).unwrap(),
        [" Add NaN", " Unknown(5) inf", " Unknown(-1) NaN", " Add 100000000000000000000",]
    );
}

#[test]
fn what_is_no_payload_is_refused_with_its_place() {
    use PayloadError as E;
    let unexpected = |expected, place| E::Unexpected { expected, place };
    let table = [
        ("", E::Truncated(0)),
        ("{}", unexpected("a value", 0)),
        ("1", unexpected("the start of an array", 0)),
        ("[", E::Truncated(1)),
        ("[]", unexpected("the number of strings", 1)),
        ("[1.5]", unexpected("the number of strings", 1)),
        ("[2147483648,\"a\"]", unexpected("a string", 15)),
        ("[1,\"a\"", E::Truncated(6)),
        ("[1,\"a]", E::Truncated(6)),
        ("[1 \"a\"]", unexpected("a comma or the end of the array", 3)),
        ("[0,1000000000,0]", E::NoSuchString { index: 0, count: 0, place: 14 }),
        ("[1,\"a\",1,0,-1]", E::NoSuchString { index: -1, count: 1, place: 11 }),
        ("[1,\"a\",1,0]", unexpected("the index of a string", 10)),
        ("[0,0,0]", unexpected("a value", 6)),
        ("[0,0,0,[]]", unexpected("a value", 7)),
        ("[0,\"x\"]", unexpected("the number of tags", 3)),
        ("[0]]", unexpected("the end", 3)),
        ("[0]x", unexpected("the end", 3)),
        ("[1,\"\\x\"]", unexpected("an escape of JSON", 5)),
        ("[1,\"\\u00g0\"]", unexpected("four hexadecimal digits", 6)),
        ("[--1]", unexpected("a number", 1)),
        ("[1e]", unexpected("a number", 1)),
    ];
    for (body, error) in table {
        assert_eq!(json(body), Err(error), "{body}");
    }
    assert_eq!(decode(Format::Json, b"[1,\"\xff\"]"), Err(E::NotUtf8(3)));
    assert_eq!(decode(Format::Smile, b"[0]"), Err(E::NoSmileHeader));
    assert_eq!(decode(Format::Smile, b":)\n\x10\xf8"), Err(E::NoSmileHeader));
    assert_eq!(decode(Format::Smile, b":)\n\0\xfa"), Err(E::Unsupported { what: "an object", place: 4 }));
    let reference = E::Unsupported { what: "a reference to a string that is not shared", place: 6 };
    assert_eq!(decode(Format::Smile, b":)\n\0\xf8\xc2\x01"), Err(reference.clone()));
    assert_eq!(decode(Format::Smile, b":)\n\x02\xf8\xc2\x01"), Err(reference));
}

#[test]
fn shared_strings_are_followed() {
    // Flags: strings are shared. Two strings, of which the second refers to the first; one tag of both.
    let body = b":)\n\x02\xf8\xc6\x42abc\x01\xec\x00\xc2\xc0\xc4\xc0\x24\x03\xbf\xf9\xff";
    let payload = decode(Format::Smile, body).unwrap();
    assert_eq!(shown(&payload), ["abc=abc Add -128"]);
    assert_eq!((payload.strings(), payload.string(1), payload.string(9)), (3, "abc", ""));
}

#[test]
fn a_writer_of_shared_strings_may_begin_again() {
    // 1030 strings: after 1024 the numbers begin again, so that reference 0 is the 1025th.
    let mut body = b":)\n\x02\xf8".to_vec();
    body.extend([0x24, 0x20, 0x8e]); // 1031, zigzag 2062
    for i in 0..1030 {
        body.push(0x43);
        body.extend(format!("{i:04}").into_bytes());
    }
    body.extend([0x01, 0xf9]);
    let payload = decode(Format::Smile, &body).unwrap();
    assert_eq!(payload.string(1030), "1024");
}

fn measurement(statistic: Statistic, value: f64) -> Measurement {
    Measurement { id: Id::new("n").with("nf.app", "own"), statistic, value }
}

#[test]
fn common_tags_are_added_where_the_id_has_none() {
    let common = [("nf.app".to_owned(), "common".to_owned()), ("nf.node".to_owned(), "i-1".to_owned())];
    let measurements =
        [measurement(Statistic::Count, 1.0), measurement(Statistic::PercentileTimer(0x73), 2.0)];
    let expected = [
        "name=n,nf.app=own,nf.node=i-1,statistic=count Add 1",
        "name=n,nf.app=own,nf.node=i-1,percentile=T0073,statistic=percentile Add 2",
    ];
    for format in [Format::Json, Format::Smile] {
        let body = encode(format, &common, &measurements);
        assert_eq!(shown(&decode(format, &body).unwrap()), expected);
        let zipped = compress(&body);
        let read = decode_request(Some(format.content_type()), Some("gzip"), &zipped, 1 << 20).unwrap();
        assert_eq!(shown(&read), expected);
    }
}

#[test]
fn a_bomb_does_not_go_off() {
    let bomb = compress(&vec![b' '; 10 << 20]);
    assert!(bomb.len() < 100_000);
    assert_eq!(decompress(&bomb, 1 << 20), Err(PayloadError::TooLarge(1 << 20)));
    assert!(matches!(decompress(b"not gzip", 100), Err(PayloadError::Gzip(_))));
    assert_eq!(decode_request(None, Some("br"), b"", 9), Err(PayloadError::UnknownEncoding("br".to_owned())));
    assert_eq!(decode_request(None, None, b"[0       ]", 9), Err(PayloadError::TooLarge(9)));
    assert_eq!(Format::of_content_type(Some("Application/X-Jackson-Smile; charset=x")), Format::Smile);
    assert_eq!(Format::of_content_type(Some("text/plain")), Format::Json);
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>().prop_filter("finite", |value| value.is_finite()), Just(0.0), Just(3.0)]
}

/// Numbers that the other reader of JSON reads exactly.
fn short() -> impl Strategy<Value = f64> {
    any::<i32>().prop_map(|value| f64::from(value) / 8.0)
}

/// Measurements as the agent has them: any clean id.
fn measurements(value: impl Strategy<Value = f64>) -> impl Strategy<Value = Vec<Measurement>> {
    let tags = proptest::collection::vec(("[a-z.]{1,70}", "[A-Za-z0-9_]{1,70}"), 0..5);
    let one = ("[a-z]{1,40}", tags, 0_usize..5, value).prop_map(|(name, tags, statistic, value)| {
        let id = tags.iter().fold(Id::new(&name), |id, (key, value)| id.with(key, value));
        let statistics = [
            Statistic::Count,
            Statistic::Max,
            Statistic::Gauge,
            Statistic::PercentileTimer(7),
            Statistic::PercentileSummary(275),
        ];
        Measurement { id, statistic: statistics[statistic], value }
    });
    proptest::collection::vec(one, 0..60)
}

fn expected(measurements: &[Measurement]) -> Vec<String> {
    let line = |measurement: &Measurement| {
        let mut tags: Vec<String> =
            measurement.tags().map(|(key, value)| format!("{key}={}", value.as_str())).collect();
        tags.push(format!("name={}", measurement.id.name()));
        tags.sort();
        format!("{} {:?} {}", tags.join(","), measurement.op(), measurement.value)
    };
    measurements.iter().map(line).collect()
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(measurements in measurements(finite())) {
        for format in [Format::Json, Format::Smile] {
            let body = encode(format, &[], &measurements);
            prop_assert_eq!(shown(&decode(format, &body).unwrap()), expected(&measurements));
        }
    }

    #[test]
    fn other_readers_and_writers_agree(measurements in measurements(short())) {
        let ours: serde_json::Value = serde_json::from_slice(&encode(Format::Json, &[], &measurements)).unwrap();
        let numbers = |value: &serde_json::Value| -> Vec<serde_json::Value> {
            // 3 and 3.0 are the same number.
            let one = |value: &serde_json::Value| value.as_f64().map_or(value.clone(), Into::into);
            value.as_array().unwrap().iter().map(one).collect()
        };
        let smile: serde_json::Value = serde_smile::from_slice(&encode(Format::Smile, &[], &measurements)).unwrap();
        prop_assert_eq!(numbers(&smile), numbers(&ours));
        // What the other writer makes of it is read as well.
        let theirs = serde_smile::to_vec(&ours).unwrap();
        prop_assert_eq!(shown(&decode(Format::Smile, &theirs).unwrap()), expected(&measurements));
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _json = decode(Format::Json, &bytes);
        let _smile = decode(Format::Smile, &[&b":)\n\x02\xf8"[..], &bytes].concat());
        let _gzip = decompress(&bytes, 1000);
    }

    #[test]
    fn damage_is_survived(measurements in measurements(finite()), place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        for format in [Format::Json, Format::Smile] {
            let mut body = encode(format, &[], &measurements);
            let place = place.index(body.len());
            body[place] = byte;
            if let Ok(payload) = decode(format, &body) {
                let _shown = shown(&payload);
            }
            body.truncate(cut.index(body.len()));
            prop_assert!(decode(format, &body).is_err());
        }
    }
}
