//! Following the log over processes: no gap, no repeat, in order.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backlot_events::{Error, Event, Events, Filter, NewEvent, Query};
use backlot_ledger::testing::{on_each_backend, open};
use futures::{Stream, StreamExt};

use crate::log::{numbered, runtime};

const ROLE: &str = "EVENTS_TEST_ROLE";
const DEADLINE: Duration = Duration::from_mins(1);

/// Starts this binary again, to append `count` events, one transaction each, to the ledger at `url`.
fn spawn_appender(count: i64, url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "following::entry", "--nocapture", "--test-threads=1"])
        .env(ROLE, format!("{count} {url}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Where a child process begins. Started without a role, it appends to a ledger of its own and looks.
#[test]
fn entry() {
    let Ok(role) = std::env::var(ROLE) else {
        let events = Events::open(&open("sqlite::memory:")).unwrap();
        append_one_by_one(&events, 3);
        assert_eq!(runtime().block_on(events.last_seq()).unwrap(), 3);
        return;
    };
    let (count, url) = role.split_once(' ').unwrap();
    append_one_by_one(&Events::open(&open(url)).unwrap(), count.parse().unwrap());
}

fn append_one_by_one(events: &Events, count: i64) {
    let source = format!("/process/{}", std::process::id());
    for n in 0..count {
        let (log, source) = (events.clone(), source.clone());
        let appended = events
            .ledger()
            .write_blocking(move |tx| log.append(tx, &[NewEvent::new(source, "test.number").data(n)]));
        appended.unwrap();
    }
}

async fn take(stream: &mut (impl Stream<Item = Result<Event, Error>> + Unpin), count: usize) -> Vec<Event> {
    let collected = stream.take(count).map(Result::unwrap).collect::<Vec<_>>();
    tokio::time::timeout(DEADLINE, collected).await.expect("events arrive within the deadline")
}

/// Each process appends 0, 1, 2 … ; a follower that misses or repeats one sees it in the data.
#[test]
fn a_follower_of_several_processes_misses_nothing() {
    on_each_backend("follow", |url| {
        const EACH: i64 = 150;
        let events = Events::open(&open(url)).unwrap();
        append_one_by_one(&events, 5);
        let mut children = [spawn_appender(EACH, url), spawn_appender(EACH, url)];
        let second_handle = Events::open(&open(url)).unwrap();
        let thread = std::thread::spawn(move || append_one_by_one(&second_handle, EACH));

        let followed = runtime().block_on(async {
            let mut stream = Box::pin(events.subscribe(5, Filter::default()));
            take(&mut stream, 3 * EACH as usize).await
        });
        thread.join().unwrap();
        for child in &mut children {
            assert!(child.wait().unwrap().success());
        }
        assert!(followed.windows(2).all(|pair| pair[0].seq < pair[1].seq), "in order");
        let mut next_of_source = std::collections::BTreeMap::new();
        for event in &followed {
            let next = next_of_source.entry(event.source.clone()).or_insert(0);
            assert_eq!(event.json().and_then(serde_json::Value::as_i64), Some(*next), "{}", event.source);
            *next += 1;
        }
        assert_eq!(next_of_source.into_values().collect::<Vec<_>>(), [EACH; 3]);
        let stored = runtime().block_on(events.read(Query { after: 5, ..Query::default() })).unwrap();
        assert_eq!(stored, followed);
    });
}

#[test]
fn a_filtered_follower_sees_its_events_old_and_new() {
    on_each_backend("filter", |url| {
        let events = Events::open(&open(url)).unwrap();
        let wanted = |n: i64| NewEvent::new("/wanted", "w.event").subject("s").data(n);
        runtime().block_on(async {
            events.publish(&numbered(0..700)).await.unwrap();
            events.publish(&[wanted(0)]).await.unwrap();
            events.publish(&numbered(0..700)).await.unwrap();
            let filter =
                Filter { kind_prefix: Some("w.".into()), subject: Some("s".into()), ..Filter::default() };
            let mut stream = Box::pin(events.subscribe(0, filter));
            assert_eq!(take(&mut stream, 1).await[0].json(), Some(&0.into()));
            for n in 1..4 {
                assert!(futures::poll!(stream.next()).is_pending());
                events.publish(&numbered(0..3)).await.unwrap();
                events.publish(&[wanted(n)]).await.unwrap();
                assert_eq!(take(&mut stream, 1).await[0].json(), Some(&n.into()));
            }
        });
    });
}

#[test]
fn several_pages_are_followed_through() {
    on_each_backend("pages", |url| {
        let events = Events::open(&open(url)).unwrap();
        runtime().block_on(async {
            events.publish(&numbered(0..1500)).await.unwrap();
            let mut stream = Box::pin(events.subscribe(0, Filter::default()));
            let seen = take(&mut stream, 1500).await;
            assert!((1..).zip(&seen).all(|(n, event)| event.seq == Some(n)));
        });
    });
}

#[test]
fn an_event_of_another_process_arrives_promptly() {
    on_each_backend("prompt", |url| {
        let events = Events::open(&open(url)).unwrap();
        let other = Events::open(&open(url)).unwrap();
        runtime().block_on(async {
            let mut stream = Box::pin(events.subscribe(0, Filter::default()));
            assert!(futures::poll!(stream.next()).is_pending());
            let started = std::time::Instant::now();
            other.publish(&numbered(0..1)).await.unwrap();
            take(&mut stream, 1).await;
            // Far above what it takes (tens of milliseconds), far below any timer that would hide a lost wake.
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        });
        // Nothing is left on the way that would print later.
        std::io::stdout().flush().unwrap();
    });
}
