//! `changes()` moves after commits of this process and of others, and only then.

use std::io::Write;
use std::time::Duration;

use backlot_ledger::testing::{on_each_backend, open};
use backlot_ledger::{Error, Ledger};

use crate::child;
use crate::isolation::COUNTER;

const DEADLINE: Duration = Duration::from_secs(20);

fn with_counter(url: &str) -> Ledger {
    let ledger = open(url);
    ledger.migrate("counter", COUNTER).unwrap();
    ledger
}

#[test]
fn own_commits_move_it_before_they_are_answered() {
    on_each_backend("own", |url| {
        let ledger = with_counter(url);
        let mut changes = ledger.changes();
        changes.mark_unchanged();
        child::increment(&ledger).unwrap();
        assert!(changes.has_changed().unwrap());
    });
}

#[test]
fn a_write_that_changed_nothing_moves_nothing() {
    on_each_backend("nothing", |url| {
        let ledger = with_counter(url);
        let mut changes = ledger.changes();
        changes.mark_unchanged();
        ledger
            .write_blocking(|tx| {
                tx.query("SELECT n FROM counter", &[])?;
                tx.execute("UPDATE counter SET n = 5 WHERE n = 77", &[])?;
                tx.query("DELETE FROM counter WHERE n = 77 RETURNING n", &[])
            })
            .unwrap();
        let undone = ledger.write_blocking(|tx| {
            tx.execute("UPDATE counter SET n = 5", &[])?;
            Err::<(), _>(Error::Nested)
        });
        assert!(undone.is_err());
        assert!(!changes.has_changed().unwrap());
    });
}

#[test]
fn commits_of_other_processes_wake_a_listener() {
    on_each_backend("wake", |url| {
        let ledger = with_counter(url);
        let mut child = child::spawn("write-when-told", url);
        let mut orders = child.stdin.take().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut changes = ledger.changes();
        for round in 1..=3i64 {
            changes.mark_unchanged();
            writeln!(orders, "go").unwrap();
            // It may also move for other reasons; it must have moved by the time the write is there.
            runtime.block_on(async {
                loop {
                    let woken = tokio::time::timeout(DEADLINE, changes.changed()).await;
                    woken.expect("woken within the deadline").unwrap();
                    if crate::isolation::count(&ledger) == round {
                        break;
                    }
                }
            });
        }
        drop(orders);
        assert!(child.wait().unwrap().success());
    });
}
