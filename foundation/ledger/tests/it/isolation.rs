//! Writers are serialised over threads and processes; readers see one state.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use backlot_ledger::testing::{on_each_backend, open};
use backlot_ledger::{Error, Ledger, Migration, Options, params};

use crate::child;

pub(crate) const COUNTER: &[Migration] = &[Migration {
    version: 1,
    name: "counter",
    sql: "CREATE TABLE counter (n BIGINT NOT NULL); INSERT INTO counter (n) VALUES (0)",
}];

pub(crate) fn count(ledger: &Ledger) -> i64 {
    ledger
        .read_blocking(|tx| tx.query_one("SELECT n FROM counter", &[])?.get(0))
        .map_err(|e: Error| e)
        .unwrap()
}

#[test]
fn no_update_is_lost_between_processes_and_handles() {
    on_each_backend("serial", |url| {
        let ledger = open(url);
        ledger.migrate("counter", COUNTER).unwrap();
        let children: Vec<_> = (0..2).map(|_| child::spawn("count", url)).collect();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let second_handle = open(url);
                thread::spawn(move || (0..200).for_each(|_| child::increment(&second_handle).unwrap()))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        assert_eq!(count(&ledger), 4 * 200);
    });
}

#[test]
fn a_read_is_one_snapshot() {
    on_each_backend("snapshot", |url| {
        let ledger = open(url);
        ledger.migrate("counter", COUNTER).unwrap();
        let inner = open(url);
        let (before, during) = ledger
            .read_blocking(move |tx| {
                let before: i64 = tx.query_one("SELECT n FROM counter", &[])?.get(0)?;
                child::increment(&inner).unwrap();
                let during: i64 = tx.query_one("SELECT n FROM counter", &[])?.get(0)?;
                Ok::<_, Error>((before, during))
            })
            .unwrap();
        assert_eq!((before, during), (0, 0));
        assert_eq!(count(&ledger), 1, "a read after an acknowledged write sees it");
    });
}

/// Two reads, each of which waits inside for the other to be inside its own; whether they met.
fn two_reads_meet(ledger: &Ledger) -> bool {
    let inside = Arc::new((Mutex::new(0), Condvar::new()));
    let reads: Vec<_> = (0..2)
        .map(|_| {
            let (ledger, inside) = (ledger.clone(), inside.clone());
            thread::spawn(move || {
                ledger.read_blocking(move |tx| {
                    let (count, arrived) = &*inside;
                    let mut count = count.lock().unwrap();
                    *count += 1;
                    arrived.notify_all();
                    let patience = Duration::from_secs(30);
                    let (count, _) = arrived.wait_timeout_while(count, patience, |count| *count < 2).unwrap();
                    tx.query("SELECT 1", &[])?;
                    Ok::<_, Error>(*count == 2)
                })
            })
        })
        .collect();
    let met: Vec<bool> = reads.into_iter().map(|read| read.join().unwrap().unwrap()).collect();
    met == [true, true]
}

#[test]
fn reads_run_side_by_side() {
    on_each_backend("readers", |url| {
        // The first two reads of a handle start its readers, so they are tried on many handles.
        for _ in 0..50 {
            let ledger = open(url);
            assert!(two_reads_meet(&ledger), "the first two reads of a handle");
            assert!(two_reads_meet(&ledger), "reads whose readers are there");
            assert_eq!(ledger.stats().reads, 4);
        }
    });
}

#[test]
fn a_read_that_waits_for_room_and_is_given_up_takes_no_readers_place() {
    on_each_backend("given_up", |url| {
        let options = Options { readers: 2, queue: 1, ..Default::default() };
        let ledger = Ledger::open_with(url, options).unwrap();
        let gate = Arc::new(Mutex::new(()));
        let shut = gate.lock().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let wait_at = |gate: Arc<Mutex<()>>| {
                ledger.read(move |_| {
                    drop(gate.lock().unwrap());
                    Ok::<_, Error>(())
                })
            };
            // Two run, one is queued, the others wait for its place until they are given up.
            for _ in 0..8 {
                let read = tokio::time::timeout(Duration::from_millis(20), wait_at(gate.clone()));
                assert!(read.await.is_err(), "the gate is shut");
            }
        });
        drop(shut);
        assert!(two_reads_meet(&ledger));
    });
}

#[test]
fn a_closure_that_calls_its_own_ledger_is_told_so() {
    on_each_backend("nested", |url| {
        let ledger = open(url);
        let inner = ledger.clone();
        let nested = ledger.write_blocking(move |_| inner.write_blocking(|tx| tx.query("SELECT 1", &[])));
        assert!(matches!(nested, Err(Error::Nested)), "{nested:?}");
        let inner = ledger.clone();
        let nested = ledger.read_blocking(move |_| inner.read_blocking(|tx| tx.query("SELECT 1", &[])));
        assert!(matches!(nested, Err(Error::Nested)), "{nested:?}");
    });
}

#[test]
fn memory_ledgers_are_private_and_read_committed_state() {
    let (one, other) = (open("sqlite::memory:"), open("sqlite::memory:"));
    one.migrate("counter", COUNTER).unwrap();
    child::increment(&one).unwrap();
    assert_eq!(count(&one), 1);
    let missing = other.read_blocking(|tx| tx.query("SELECT n FROM counter", &[])).unwrap_err();
    assert!(missing.to_string().contains("no such table"), "{missing}");
    let refused = one.read_blocking(|tx| tx.execute("UPDATE counter SET n = $1", params![5i64])).unwrap_err();
    assert!(matches!(refused, Error::ReadOnly { .. }), "{refused}");
    child::increment(&one).unwrap();
    assert_eq!(count(&one), 2);
}

#[test]
fn blocking_calls_work_on_a_runtime_thread_too() {
    let ledger = open("sqlite::memory:");
    ledger.migrate("counter", COUNTER).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // More calls in one poll than tokio's cooperative budget has.
    runtime.block_on(async { (0..500).for_each(|_| child::increment(&ledger).unwrap()) });
    assert_eq!(count(&ledger), 500);
}
