//! Group commit: many closures share a commit, none shares another's failure.

use std::sync::mpsc;

use backlot_ledger::testing::{on_each_backend, open};
use backlot_ledger::{Error, Ledger, Migration, params};

const NUMBERS: &[Migration] =
    &[Migration { version: 1, name: "numbers", sql: "CREATE TABLE numbers (n BIGINT NOT NULL PRIMARY KEY)" }];

fn numbers(ledger: &Ledger) -> Vec<i64> {
    ledger
        .read_blocking(|tx| {
            let rows = tx.query("SELECT n FROM numbers ORDER BY n", &[])?;
            rows.iter().map(|row| row.get(0)).collect::<Result<_, Error>>()
        })
        .unwrap()
}

/// What each of a batch's closures does.
#[derive(Clone, Copy, PartialEq)]
enum Act {
    Insert,
    InsertThenErr,
    InsertThenPanic,
    InsertThenBadSql,
    InsertThenSwallow,
}

#[test]
fn a_failure_in_a_batch_touches_no_neighbour() {
    on_each_backend("batch", |url| {
        let ledger = open(url);
        ledger.migrate("numbers", NUMBERS).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let before = ledger.stats();
        let acts: Vec<Act> = (0..40)
            .map(|i| match i {
                0 | 7 | 39 => Act::InsertThenErr,
                11 => Act::InsertThenPanic,
                13 | 14 => Act::InsertThenBadSql,
                20 => Act::InsertThenSwallow,
                _ => Act::Insert,
            })
            .collect();

        runtime.block_on(async {
            // The writer is held up until all are queued, so that they make one batch.
            let (started, starts) = tokio::sync::oneshot::channel::<()>();
            let (release, held) = mpsc::channel::<()>();
            let holding = ledger.clone();
            let holder = tokio::spawn(async move {
                let hold = move |_: &mut backlot_ledger::Tx<'_>| {
                    let _ = started.send(());
                    let _ = held.recv();
                    Ok::<_, Error>(())
                };
                holding.write(hold).await
            });
            starts.await.unwrap();
            let calls = (0..).zip(&acts).map(|(i, &act)| ledger.write(move |tx| perform(tx, i, act)));
            let release_when_queued = async {
                while ledger.stats().queue_depth < acts.len() {
                    tokio::task::yield_now().await;
                }
                drop(release);
            };
            // Polled in order, so queued in order.
            let (answers, ()) = futures::join!(futures::future::join_all(calls), release_when_queued);
            holder.await.unwrap().unwrap();
            for (act, answer) in acts.iter().zip(&answers) {
                match act {
                    Act::Insert => assert!(answer.is_ok(), "{answer:?}"),
                    Act::InsertThenErr => assert!(matches!(answer, Err(Error::Nested)), "{answer:?}"),
                    Act::InsertThenPanic => {
                        let message = answer.as_ref().unwrap_err().to_string();
                        assert!(message.contains("panicked: on purpose"), "{message}");
                    }
                    Act::InsertThenBadSql | Act::InsertThenSwallow => {
                        assert!(matches!(answer, Err(Error::Sql { .. })), "{answer:?}");
                    }
                }
            }
        });

        let expected: Vec<i64> = (0..40).filter(|&i| acts[i as usize] == Act::Insert).collect();
        assert_eq!(numbers(&ledger), expected);
        let stats = ledger.stats();
        assert_eq!(stats.rolled_back - before.rolled_back, 7);
        assert_eq!(stats.committed - before.committed, 33 + 1);
        // They shared commits. How many there were depends on the clock: a batch is closed when it has taken too long, and on
        // a busy machine the printing of the panic's backtrace alone does that.
        let commits = stats.commits - before.commits;
        assert!(commits < acts.len() as u64 / 2 && stats.largest_batch >= 3, "{commits} commits, {stats:?}");
    });
}

fn perform(tx: &mut backlot_ledger::Tx<'_>, i: i64, act: Act) -> Result<(), Error> {
    tx.execute("INSERT INTO numbers (n) VALUES ($1)", params![i])?;
    match act {
        Act::Insert => Ok(()),
        Act::InsertThenErr => Err(Error::Nested),
        Act::InsertThenPanic => panic!("on purpose"),
        Act::InsertThenBadSql => tx.execute("INSERT INTO nowhere VALUES (1)", &[]).map(|_| ()),
        Act::InsertThenSwallow => {
            let _ = tx.execute("INSERT INTO nowhere VALUES (1)", &[]);
            Ok(())
        }
    }
}

#[test]
fn the_queue_is_bounded_and_callers_wait_for_room() {
    on_each_backend("bounded", |url| {
        let options = backlot_ledger::Options { queue: 4, ..Default::default() };
        let ledger = Ledger::open_with(url, options).unwrap();
        ledger.migrate("numbers", NUMBERS).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let calls = (0..200i64).map(|i| {
                ledger.write(move |tx| tx.execute("INSERT INTO numbers (n) VALUES ($1)", params![i]))
            });
            for answer in futures::future::join_all(calls).await {
                assert_eq!(answer.unwrap(), 1);
            }
        });
        let stats = ledger.stats();
        assert_eq!(numbers(&ledger), (0..200).collect::<Vec<_>>());
        assert_eq!((stats.queue_depth, stats.queue_capacity), (0, 4));
        assert!(stats.queue_peak <= 4, "{stats:?}");
    });
}

#[test]
fn a_panic_leaves_the_threads_alive() {
    on_each_backend("panic", |url| {
        let ledger = open(url);
        ledger.migrate("numbers", NUMBERS).unwrap();
        for _ in 0..3 {
            let panicked: Result<(), Error> =
                ledger.write_blocking(|tx| perform(tx, 1, Act::InsertThenPanic));
            assert!(matches!(panicked, Err(Error::Panicked { .. })), "{panicked:?}");
            let panicked: Result<(), Error> = ledger.read_blocking(|_| panic!("on purpose"));
            assert!(matches!(panicked, Err(Error::Panicked { .. })), "{panicked:?}");
        }
        ledger.write_blocking(|tx| perform(tx, 2, Act::Insert)).unwrap();
        assert_eq!(numbers(&ledger), [2]);
    });
}

#[test]
fn queued_work_is_done_after_the_last_handle_is_dropped() {
    on_each_backend("drop", |url| {
        let ledger = open(url);
        ledger.migrate("numbers", NUMBERS).unwrap();
        let (done, finished) = mpsc::channel();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut calls = Vec::new();
            for i in 0..10i64 {
                let done = done.clone();
                let call = ledger.write(move |tx| {
                    perform(tx, i, Act::Insert)?;
                    let _ = done.send(i);
                    Ok::<_, Error>(())
                });
                let mut call = Box::pin(call);
                // Queued by its first poll, and then abandoned.
                assert!(futures::poll!(&mut call).is_pending() || i >= 0);
                calls.push(call);
            }
            drop(calls);
            drop(ledger);
        });
        drop(done);
        assert_eq!(finished.iter().count(), 10, "every closure ran");
        let again = open(url);
        assert_eq!(numbers(&again).len(), 10);
    });
}
