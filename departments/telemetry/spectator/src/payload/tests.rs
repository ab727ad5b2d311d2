//! Payloads read back by the reader of the store, and by other implementations of JSON and Smile.

use backlot_atlas::wire::{Json, Smile, read_updates};
use backlot_meters::{Id, Measurement, Statistic};
use proptest::prelude::*;

use super::*;

fn shown(format: Format, body: &[u8]) -> Vec<String> {
    let read = match format {
        Format::Json => read_updates(&mut Json::new(body)),
        Format::Smile => read_updates(&mut Smile::new(body).unwrap()),
    }
    .unwrap();
    let line = |point| {
        let mut tags: Vec<String> =
            read.tags(point).iter().map(|(key, value)| format!("{key}={value}")).collect();
        tags.sort();
        format!("{} {:?} {}", tags.join(","), point.head, point.value)
    };
    read.points.iter().map(line).collect()
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
        assert_eq!(shown(format, &encode(format, &common, &measurements)), expected);
    }
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
    fn what_is_encoded_is_read(measurements in measurements(finite())) {
        for format in [Format::Json, Format::Smile] {
            prop_assert_eq!(shown(format, &encode(format, &[], &measurements)), expected(&measurements));
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
        prop_assert_eq!(shown(Format::Smile, &theirs), expected(&measurements));
    }
}
