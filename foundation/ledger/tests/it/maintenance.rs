//! Backup and check.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backlot_ledger::testing::{Postgres, open};
use backlot_ledger::{Error, Ledger, Migration, params};

const PAIRS: &[Migration] = &[Migration {
    version: 1,
    name: "pairs",
    sql: "CREATE TABLE credit (id {identity}, n BIGINT NOT NULL);
          CREATE TABLE debit (credit BIGINT NOT NULL REFERENCES credit (id), n BIGINT NOT NULL);",
}];

fn transfer(ledger: &Ledger, n: i64) -> Result<u64, Error> {
    ledger.write_blocking(move |tx| {
        let id: i64 = tx.query_one("INSERT INTO credit (n) VALUES ($1) RETURNING id", params![n])?.get(0)?;
        tx.execute("INSERT INTO debit (credit, n) VALUES ($1, $2)", params![id, -n])
    })
}

fn balance(ledger: &Ledger) -> (i64, i64) {
    let sql =
        "SELECT (SELECT COUNT(*) FROM credit), (SELECT SUM(n) FROM credit) + (SELECT SUM(n) FROM debit)";
    ledger
        .read_blocking(move |tx| {
            let row = tx.query_one(sql, &[])?;
            Ok::<_, Error>((row.get(0)?, row.get(1)?))
        })
        .unwrap()
}

#[test]
fn a_backup_made_while_writing_restores() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("ledger.db");
    let ledger = open(&format!("sqlite://{}", source.display()));
    ledger.migrate("pairs", PAIRS).unwrap();
    for n in 1..200 {
        transfer(&ledger, n).unwrap();
    }

    let stop = Arc::new(AtomicBool::new(false));
    let writing = std::thread::spawn({
        let (ledger, stop) = (ledger.clone(), stop.clone());
        move || {
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                transfer(&ledger, written).unwrap();
                written += 1;
            }
            written
        }
    });
    let copy = directory.path().join("copy.db");
    for _ in 0..5 {
        ledger.backup(&copy).unwrap();
        let restored_path = directory.path().join("restored.db");
        std::fs::copy(&copy, &restored_path).unwrap();
        let restored = open(&format!("sqlite://{}", restored_path.display()));
        restored.migrate("pairs", PAIRS).unwrap();
        let (rows, sum) = balance(&restored);
        assert!(rows >= 199 && sum == 0, "{rows} rows, sum {sum}");
        assert_eq!(restored.check().unwrap().problems, Vec::<String>::new());
        transfer(&restored, 1).unwrap();
        drop(restored);
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", restored_path.display()));
        }
    }
    stop.store(true, Ordering::Relaxed);
    let written = writing.join().unwrap();
    assert_eq!(balance(&ledger), (199 + written, 0));
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn backups_that_cannot_be_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let ledger = open(&format!("sqlite://{}", path.display()));
    for (to, expected) in [
        (path.clone(), "it is the ledger itself"),
        (directory.path().join("no/such/place.db"), "check the space and the rights there"),
        ("/".into(), "it names no file"),
    ] {
        let error = ledger.backup(&to).unwrap_err().to_string();
        assert!(error.contains(expected), "{}: {error}", to.display());
    }
    let memory = open("sqlite::memory:").backup(&directory.path().join("m.db")).unwrap_err().to_string();
    assert!(memory.contains("a ledger in memory has no backup"), "{memory}");
    if let Some(server) = Postgres::shared() {
        let error =
            open(&server.url("backup")).backup(&directory.path().join("p.dump")).unwrap_err().to_string();
        assert!(error.contains("pg_dump --format=custom --file="), "{error}");
    }
}

#[test]
fn check_finds_what_was_tampered_with() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let ledger = open(&format!("sqlite://{}", path.display()));
    ledger.migrate("pairs", PAIRS).unwrap();
    assert_eq!(ledger.check().unwrap().problems, Vec::<String>::new());
    let vandal = rusqlite::Connection::open(&path).unwrap();
    vandal
        .execute_batch(
            "PRAGMA foreign_keys=OFF; INSERT INTO debit VALUES (77, 1);
             UPDATE ledger_migrations SET checksum = 'x' WHERE owner = 'pairs'",
        )
        .unwrap();
    let problems = ledger.check().unwrap().problems;
    assert_eq!(
        problems,
        [
            "row 1 of debit refers to a missing row of credit",
            "migration 1 (pairs) of pairs has another checksum"
        ]
    );
}

#[test]
fn check_on_postgres_sees_indexes_constraints_and_settings() {
    let Some(server) = Postgres::shared() else { return };
    let ledger = open(&server.url("check"));
    ledger.migrate("pairs", PAIRS).unwrap();
    let report = ledger.check().unwrap();
    assert!(report.engine.starts_with("PostgreSQL "), "{}", report.engine);
    assert_eq!(report.problems, Vec::<String>::new());
    ledger
        .write_blocking(|tx| {
            tx.execute("ALTER TABLE credit ADD CONSTRAINT positive CHECK (n > 0) NOT VALID", &[])
        })
        .unwrap();
    assert_eq!(
        ledger.check().unwrap().problems,
        ["constraint positive of credit is not validated; VALIDATE it"]
    );
}
