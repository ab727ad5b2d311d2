//! Migrations: once, in order, unchanged, never behind the database's back.

use backlot_ledger::testing::{on_each_backend, open};
use backlot_ledger::{Error, Ledger, Migration};

const ONE: Migration = Migration {
    version: 1,
    name: "table",
    sql: "CREATE TABLE steps (n BIGINT); INSERT INTO steps VALUES (1)",
};
const TWO: Migration = Migration { version: 2, name: "second", sql: "INSERT INTO steps VALUES (2)" };
const THREE: Migration =
    Migration { version: 3, name: "third", sql: "INSERT INTO steps SELECT MAX(n) + 1 FROM steps" };

fn steps(ledger: &Ledger) -> Vec<i64> {
    ledger
        .read_blocking(|tx| {
            let rows = tx.query("SELECT n FROM steps ORDER BY n", &[])?;
            rows.iter().map(|row| row.get(0)).collect::<Result<_, Error>>()
        })
        .unwrap()
}

#[test]
fn each_runs_once_and_in_order() {
    on_each_backend("migrate", |url| {
        let ledger = open(url);
        ledger.migrate("house", &[ONE]).unwrap();
        ledger.migrate("house", &[ONE, TWO]).unwrap();
        drop(ledger);
        let again = open(url);
        again.migrate("house", &[ONE, TWO, THREE]).unwrap();
        again.migrate("house", &[ONE, TWO, THREE]).unwrap();
        assert_eq!(steps(&again), [1, 2, 3]);
        let report = again.check().unwrap();
        let names: Vec<_> = report
            .migrations
            .iter()
            .filter(|m| m.owner == "house")
            .map(|m| (m.version, m.name.as_str()))
            .collect();
        assert_eq!(names, [(1, "table"), (2, "second"), (3, "third")]);
    });
}

#[test]
fn two_processes_may_start_at_once() {
    // Who comes when is chance, so it is tried on several new databases.
    for _ in 0..10 {
        on_each_backend("race", |url| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let url = url.to_owned();
                    std::thread::spawn(move || Ledger::open(&url)?.migrate("house", &[ONE, TWO, THREE]))
                })
                .collect();
            for thread in threads {
                thread.join().unwrap().unwrap();
            }
            assert_eq!(steps(&open(url)), [1, 2, 3]);
        });
    }
}

#[test]
fn wrong_ones_are_refused_and_leave_nothing() {
    on_each_backend("refuse", |url| {
        let ledger = open(url);
        let gap = ledger.migrate("house", &[ONE, THREE]).unwrap_err();
        assert!(matches!(gap, Error::MigrationOrder { expected: 2, found: 3, .. }), "{gap}");
        let broken = Migration {
            version: 3,
            name: "broken",
            sql: "INSERT INTO steps VALUES (3); INSERT INTO nowhere VALUES (1)",
        };
        let failed = ledger.migrate("house", &[ONE, TWO, broken]).unwrap_err();
        assert!(matches!(failed, Error::MigrationFailed { version: 3, .. }), "{failed}");
        assert!(ledger.read_blocking(|tx| tx.query("SELECT n FROM steps", &[])).is_err(), "none was kept");

        ledger.migrate("house", &[ONE, TWO]).unwrap();
        let edited = Migration { sql: "CREATE TABLE steps (n BIGINT, m BIGINT)", ..ONE };
        let changed = ledger.migrate("house", &[edited, TWO]).unwrap_err();
        assert!(matches!(changed, Error::MigrationChanged { version: 1, .. }), "{changed}");
        let newer = ledger.migrate("house", &[ONE]).unwrap_err();
        assert_eq!(
            newer.to_string(),
            "schema of house is at version 2, this program knows only 1; run a newer program"
        );
        assert_eq!(steps(&ledger), [1, 2]);
    });
}

#[test]
fn statements_prepared_before_a_migration_of_another_process_go_on() {
    on_each_backend("replan", |url| {
        let (ledger, other) = (open(url), open(url));
        ledger.migrate("house", &[ONE]).unwrap();
        let all =
            |ledger: &Ledger| ledger.write_blocking(|tx| tx.query("SELECT * FROM steps ORDER BY n", &[]));
        assert_eq!(all(&ledger).unwrap()[0].values().len(), 1);
        let wider = Migration { version: 2, name: "wider", sql: "ALTER TABLE steps ADD COLUMN note TEXT" };
        other.migrate("house", &[ONE, wider]).unwrap();
        // PostgreSQL refuses the stale plan once; the statement is prepared anew after that.
        let first = all(&ledger);
        let rows = match first {
            Ok(rows) => rows,
            Err(error) => {
                assert!(error.to_string().contains("the schema just changed, try again"), "{error}");
                all(&ledger).unwrap()
            }
        };
        assert_eq!(rows[0].values().len(), 2);
    });
}
