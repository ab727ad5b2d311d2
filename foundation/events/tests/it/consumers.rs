//! Consumer groups, with a clock that the test drives.

use std::time::Duration;

use backlot_events::{Consumer, Error, Event};
use backlot_ledger::testing::on_each_backend;
use backlot_ledger::{Migration, params};

use crate::log::{numbered, runtime, with_clock};

const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(31);

fn seqs(events: &[Event]) -> Vec<u64> {
    events.iter().filter_map(|event| event.seq).collect()
}

async fn poll(consumer: &mut Consumer, limit: usize) -> Vec<u64> {
    seqs(&consumer.poll(limit).await.unwrap())
}

#[test]
fn positions_are_durable_and_uncommitted_events_come_again() {
    on_each_backend("group", |url| {
        let (events, clock) = with_clock(url);
        runtime().block_on(async {
            events.publish(&numbered(0..5)).await.unwrap();
            let mut first = events.consumer("mail").unwrap();
            assert_eq!(first.lag().await.unwrap(), 5);
            assert_eq!(poll(&mut first, 2).await, [1, 2]);
            assert_eq!(poll(&mut first, 2).await, [3, 4], "polls go on");
            first.commit(3).await.unwrap();
            first.commit(1).await.unwrap();
            assert_eq!(first.lag().await.unwrap(), 2, "a position never goes back by commit");
            drop(first);

            let (reopened, other_clock) = with_clock(url);
            other_clock.advance(LONGER_THAN_A_LEASE);
            clock.advance(LONGER_THAN_A_LEASE);
            let mut second = reopened.consumer("mail").unwrap();
            assert_eq!(poll(&mut second, 10).await, [4, 5]);
            assert_eq!(poll(&mut second, 10).await, [0u64; 0]);
            let mut elsewhere = events.consumer("billing").unwrap();
            assert_eq!(poll(&mut elsewhere, 10).await, [1, 2, 3, 4, 5], "groups are independent");
            let groups = events.consumers().await.unwrap();
            let seen: Vec<_> =
                groups.iter().map(|g| (g.name.as_str(), g.committed, g.lag, g.active.is_some())).collect();
            assert_eq!(seen, [("billing", 0, 5, true), ("mail", 3, 2, true)]);
        });
    });
}

#[test]
fn one_member_is_active_and_another_takes_over() {
    on_each_backend("member", |url| {
        let (events, clock) = with_clock(url);
        runtime().block_on(async {
            events.publish(&numbered(0..6)).await.unwrap();
            let (mut a, mut b) = (events.consumer("g").unwrap(), events.consumer("g").unwrap());
            assert_eq!(poll(&mut a, 2).await, [1, 2]);
            assert_eq!(poll(&mut b, 2).await, [0u64; 0]);
            assert!(a.is_active() && !b.is_active());
            assert!(matches!(b.commit(2).await, Err(Error::NotActive { .. })));
            a.commit(2).await.unwrap();
            assert_eq!(poll(&mut a, 2).await, [3, 4]);

            // a is paused past its time; b takes over after the committed position.
            clock.advance(LONGER_THAN_A_LEASE);
            assert_eq!(poll(&mut b, 1).await, [3]);
            let ticket = a.ticket().unwrap();
            assert!(matches!(a.commit(4).await, Err(Error::NotActive { .. })), "the stale one is refused");
            let late = events.ledger().write(move |tx| ticket.commit_in(tx, 4)).await.unwrap_err();
            assert!(late.to_string().contains("is stale"), "{late}");
            assert_eq!(poll(&mut a, 2).await, [0u64; 0]);
            b.commit(3).await.unwrap();

            // b leaves; a need not wait, and begins after what b committed.
            b.close().await.unwrap();
            assert_eq!(poll(&mut a, 2).await, [4, 5]);
        });
    });
}

#[test]
fn polling_keeps_the_lease() {
    on_each_backend("keep", |url| {
        let (events, clock) = with_clock(url);
        runtime().block_on(async {
            let (mut a, mut b) = (events.consumer("g").unwrap(), events.consumer("g").unwrap());
            for _ in 0..10 {
                poll(&mut a, 1).await;
                clock.advance(Duration::from_secs(20));
                assert!(a.is_active());
                poll(&mut a, 1).await;
                poll(&mut b, 1).await;
                assert!(a.is_active() && !b.is_active());
            }
        });
    });
}

#[test]
fn effects_in_the_same_ledger_happen_once() {
    on_each_backend("once", |url| {
        let (events, clock) = with_clock(url);
        let ledger = events.ledger().clone();
        let sql = "CREATE TABLE total (n BIGINT NOT NULL); INSERT INTO total VALUES (0)";
        ledger.migrate("total", &[Migration { version: 1, name: "total", sql }]).unwrap();
        runtime().block_on(async {
            events.publish(&numbered(1..11)).await.unwrap();
            // Every other member dies before it commits; the sum counts each event once all the same.
            for round in 0..20 {
                let mut member = events.consumer("sum").unwrap();
                let batch = member.poll(1).await.unwrap();
                let Some(event) = batch.first() else { break };
                let (n, seq) = (event.json().unwrap().as_i64().unwrap(), event.seq.unwrap());
                let ticket = member.ticket().unwrap();
                let dies = round % 2 == 0;
                let done: Result<(), Error> = ledger
                    .write(move |tx| {
                        tx.execute("UPDATE total SET n = n + $1", params![n])?;
                        ticket.commit_in(tx, seq)?;
                        if dies { Err(Error::Json { problem: "died".into() }) } else { Ok(()) }
                    })
                    .await;
                assert_eq!(done.is_err(), dies);
                clock.advance(LONGER_THAN_A_LEASE);
            }
            let total: i64 = ledger
                .read(|tx| tx.query_one("SELECT n FROM total", &[])?.get(0))
                .await
                .map_err(|e: backlot_ledger::Error| e)
                .unwrap();
            assert_eq!(total, 55);
        });
    });
}

#[test]
fn seek_replays_and_skips() {
    on_each_backend("seek", |url| {
        let (events, _) = with_clock(url);
        runtime().block_on(async {
            events.publish(&numbered(0..4)).await.unwrap();
            let mut consumer = events.consumer("g").unwrap();
            assert_eq!(poll(&mut consumer, 10).await, [1, 2, 3, 4]);
            consumer.commit(4).await.unwrap();
            consumer.seek(1).await.unwrap();
            assert_eq!(poll(&mut consumer, 10).await, [2, 3, 4]);
            consumer.seek(events.last_seq().await.unwrap()).await.unwrap();
            assert_eq!(poll(&mut consumer, 10).await, [0u64; 0]);
            let mut other = events.consumer("g").unwrap();
            assert!(matches!(other.seek(0).await, Err(Error::NotActive { .. })));
            assert!(matches!(events.consumer(""), Err(Error::GroupName { .. })));
        });
    });
}

#[test]
fn waiting_for_the_next_event_wakes() {
    on_each_backend("next", |url| {
        let (events, _) = with_clock(url);
        runtime().block_on(async {
            let mut consumer = events.consumer("g").unwrap();
            let publisher = events.clone();
            let (batch, published) =
                futures::join!(tokio::time::timeout(Duration::from_mins(1), consumer.next(10)), async move {
                    publisher.publish(&numbered(0..1)).await
                });
            published.unwrap();
            assert_eq!(seqs(&batch.expect("woken").unwrap()), [1]);
        });
    });
}
