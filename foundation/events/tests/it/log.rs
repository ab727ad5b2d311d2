//! Appending, reading and pruning.

use std::sync::Arc;
use std::time::Duration;

use backlot_events::{Data, Error, Event, Events, Keep, NewEvent, Query, Received};
use backlot_ledger::testing::{ManualClock, on_each_backend, open};
use backlot_ledger::{Ledger, Options, Timestamp};
use serde_json::json;

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

pub(crate) fn with_clock(url: &str) -> (Events, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
    let options = Options { clock: Some(clock.clone()), ..Default::default() };
    (Events::open(&Ledger::open_with(url, options).unwrap()).unwrap(), clock)
}

pub(crate) fn numbered(range: std::ops::Range<i64>) -> Vec<NewEvent> {
    range.map(|n| NewEvent::new("/test", "test.number").subject(format!("n/{n}")).data(json!(n))).collect()
}

fn subjects(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.subject.as_deref().unwrap_or("-")).collect()
}

#[test]
fn events_come_back_as_they_went_in() {
    on_each_backend("events", |url| {
        let (events, _) = with_clock(url);
        let time = Timestamp::from_micros(77);
        let full = NewEvent::new("/s", "a.b")
            .id("mine")
            .subject("x")
            .time(time)
            .data_schema("https://example.com/schema")
            .extension("flag", true)
            .extension("count", 3)
            .bytes("application/octet-stream", vec![0u8, 255]);
        let bare = NewEvent::new("/s", "a.c");
        let null = NewEvent::new("/s", "a.d").data(json!(null));
        let read = runtime().block_on(async {
            events.publish(&[full.clone(), bare, null]).await.unwrap();
            events.read(Query::default()).await.unwrap()
        });
        assert_eq!(NewEvent::from(read[0].clone()), full);
        assert_eq!(read.iter().map(|e| e.seq).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
        assert_eq!((read[1].id.as_str(), read[1].time.micros(), &read[1].data), ("2", 1_000_000, &None));
        assert_eq!(read[2].data, Some(Data::Json(json!(null))));
        let json = serde_json::to_value(&read[0]).unwrap();
        assert_eq!((&json["backlotseq"], &json["data_base64"]), (&json!("1"), &json!("AP8=")));
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), read[0]);
    });
}

#[test]
fn queries_select() {
    on_each_backend("select", |url| {
        let (events, _) = with_clock(url);
        let at = Timestamp::from_micros;
        let all = [
            NewEvent::new("/a", "task.started").subject("1").time(at(1)),
            NewEvent::new("/b", "task.ended").subject("2").time(at(2)),
            NewEvent::new("/a", "run.ended").subject("3").time(at(3)),
            NewEvent::new("/a", "Task.ended").subject("4").time(at(4)),
            NewEvent::new("/a", "t%sk.ended").subject("5").time(at(5)),
        ];
        let every = Query::default();
        let runtime = runtime();
        runtime.block_on(events.publish(&all)).unwrap();
        for (query, expected) in [
            (every.clone(), vec!["1", "2", "3", "4", "5"]),
            (Query { after: 3, ..every.clone() }, vec!["4", "5"]),
            (Query { limit: 2, after: 1, ..every.clone() }, vec!["2", "3"]),
            (Query { limit: 0, ..every.clone() }, vec![]),
            (Query { kind_prefix: Some("task.".into()), ..every.clone() }, vec!["1", "2"]),
            (Query { kind_prefix: Some("t%".into()), ..every.clone() }, vec!["5"]),
            (Query { kind_prefix: Some(String::new()), limit: 1, ..every.clone() }, vec!["1"]),
            (Query { source: Some("/b".into()), ..every.clone() }, vec!["2"]),
            (Query { subject: Some("3".into()), source: Some("/a".into()), ..every.clone() }, vec!["3"]),
            (Query { subject: Some("3".into()), source: Some("/b".into()), ..every.clone() }, vec![]),
            (Query { since: Some(at(4)), ..every.clone() }, vec!["4", "5"]),
            (
                Query {
                    since: Some(at(2)),
                    kind_prefix: Some("t".into()),
                    source: Some("/a".into()),
                    after: 1,
                    ..every.clone()
                },
                vec!["5"],
            ),
            (Query { after: u64::MAX, ..every.clone() }, vec![]),
        ] {
            let read = runtime.block_on(events.read(query.clone())).unwrap();
            assert_eq!(subjects(&read), expected, "{query:?}");
        }
        assert_eq!(runtime.block_on(events.last_seq()).unwrap(), 5);
    });
}

#[test]
fn an_event_shares_the_fate_of_its_transaction() {
    on_each_backend("fate", |url| {
        let ledger = open(url);
        let events = Events::open(&ledger).unwrap();
        let log = events.clone();
        let undone: Result<(), Error> = ledger.write_blocking(move |tx| {
            log.append(tx, &numbered(0..3))?;
            Err(Error::Json { problem: "on purpose".into() })
        });
        assert!(undone.is_err());
        let log = events.clone();
        let invalid = ledger.write_blocking(move |tx| {
            log.append(tx, &numbered(0..3))?;
            log.append(tx, &[NewEvent::new("", "x")])
        });
        assert_eq!(invalid.unwrap_err().to_string(), "event is not CloudEvents 1.0: source is empty");
        let large = NewEvent::new("/s", "x").data(json!("x".repeat(300_000)));
        let refused = runtime().block_on(events.publish(&[large])).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
        assert_eq!(runtime().block_on(events.read(Query::default())).unwrap(), []);
    });
}

#[test]
fn external_duplicates_are_left_out() {
    use Received::{Appended, Duplicate};

    on_each_backend("external", |url| {
        let ledger = open(url);
        let events = Events::open(&ledger).unwrap();
        let receive = |incoming: Vec<NewEvent>| {
            let log = events.clone();
            ledger.write_blocking(move |tx| log.append_external(tx, &incoming))
        };
        let (a, b) = (NewEvent::new("/x", "k").id("1"), NewEvent::new("/y", "k").id("1"));
        assert_eq!(receive(vec![a.clone(), b.clone(), a.clone()]).unwrap(), [Appended, Appended, Duplicate]);
        assert_eq!(receive(vec![b, a.id("2")]).unwrap(), [Duplicate, Appended]);
        let nameless = receive(vec![NewEvent::new("/x", "k")]).unwrap_err().to_string();
        assert!(nameless.contains("id is missing"), "{nameless}");
        assert_eq!(runtime().block_on(events.last_seq()).unwrap(), 3);
    });
}

#[test]
fn pruning_keeps_what_it_is_told_to() {
    on_each_backend("prune", |url| {
        let (events, clock) = with_clock(url);
        runtime().block_on(async {
            events.publish(&numbered(0..6000)).await.unwrap();
            clock.advance(Duration::from_secs(100));
            events.publish(&numbered(6000..6010)).await.unwrap();

            let nothing = events.prune(Keep::default()).await.unwrap();
            assert_eq!((nothing.deleted, nothing.held_back_by), (0, None));
            let by_rows = events.prune(Keep { rows: Some(20), age: None }).await.unwrap();
            assert_eq!(by_rows.deleted, 5990, "in more than one transaction");
            let by_age = events.prune(Keep { rows: None, age: Some(Duration::from_secs(50)) }).await.unwrap();
            assert_eq!(by_age.deleted, 10);
            let left = events.read(Query::default()).await.unwrap();
            assert_eq!((left.len(), left[0].seq), (10, Some(6001)));

            let mut consumer = events.consumer("slow").unwrap();
            assert_eq!(consumer.poll(3).await.unwrap().len(), 3);
            consumer.commit(6003).await.unwrap();
            let held = events.prune(Keep { rows: Some(0), age: None }).await.unwrap();
            assert_eq!((held.deleted, held.held_back_by.as_deref()), (3, Some("slow")));
            clock.advance(Duration::from_secs(100));
            let held = events.prune(Keep { rows: None, age: Some(Duration::from_secs(1)) }).await.unwrap();
            assert_eq!((held.deleted, held.held_back_by.as_deref()), (0, Some("slow")));
            events.remove_consumer("slow").await.unwrap();
            let rest = events.prune(Keep { rows: Some(0), age: None }).await.unwrap();
            assert_eq!((rest.deleted, rest.held_back_by), (7, None));

            events.publish(&numbered(0..1)).await.unwrap();
            let next = events.read(Query::default()).await.unwrap();
            assert_eq!(next[0].seq, Some(6011), "a number is never given twice");
        });
    });
}
