//! What was acknowledged survives: killed processes, a full disk, a server that restarts.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use backlot_ledger::testing::{Postgres, on_each_backend, open, skip};
use backlot_ledger::{Error, Ledger, Migration, Options, params};

use crate::child;
use crate::isolation::{COUNTER, count};

const NUMBERS: &[Migration] =
    &[Migration { version: 1, name: "numbers", sql: "CREATE TABLE numbers (n BIGINT NOT NULL PRIMARY KEY)" }];

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    on_each_backend("kill", |url| {
        for round in 0..5u32 {
            let ledger = open(url);
            ledger.migrate("numbers", NUMBERS).unwrap();
            ledger.write_blocking(|tx| tx.execute("DELETE FROM numbers", &[])).unwrap();
            let mut child = child::spawn("acknowledge", url);
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut acknowledged: Vec<i64> = Vec::new();
            // The test harness writes a line of its own first; a line cut short by the kill does not count.
            let number =
                |line: String| line.strip_prefix("acknowledged ").and_then(|n| n.parse::<i64>().ok());
            while acknowledged.len() < 100 + 37 * round as usize {
                let line = lines.next().expect("the child runs on").unwrap();
                acknowledged.extend(number(line));
            }
            child.kill().unwrap();
            // What it printed before it died was acknowledged too. The last line may lack its end.
            let rest: Vec<String> = lines.map_while(Result::ok).collect();
            let whole = rest.len().saturating_sub(1);
            acknowledged.extend(rest.into_iter().take(whole).filter_map(number));
            child.wait().unwrap();
            let found: std::collections::BTreeSet<i64> = ledger
                .read_blocking(|tx| {
                    let rows = tx.query("SELECT n FROM numbers", &[])?;
                    rows.iter().map(|row| row.get(0)).collect::<Result<_, Error>>()
                })
                .unwrap();
            let lost: Vec<_> = acknowledged.iter().filter(|n| !found.contains(n)).collect();
            assert!(lost.is_empty(), "round {round}: {} acknowledged, lost {lost:?}", acknowledged.len());
            assert!(ledger.check().unwrap().problems.is_empty());
        }
    });
}

#[test]
fn a_full_disk_is_a_clear_error_and_passes_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("8m") else {
        skip("a small tmpfs cannot be mounted here", "run this test as root");
        return;
    };
    let ballast = disk.path.join("ballast");
    let ledger = open(&format!("sqlite://{}/ledger.db", disk.path.display()));
    let blobs = Migration {
        version: 1,
        name: "blobs",
        sql: "CREATE TABLE blobs (id {identity}, body BYTEA NOT NULL)",
    };
    ledger.migrate("blobs", &[blobs]).unwrap();
    let insert = |size: usize| {
        ledger.write_blocking(move |tx| {
            tx.execute("INSERT INTO blobs (body) VALUES ($1)", params![vec![7u8; size]])
        })
    };
    insert(1000).unwrap();
    std::fs::write(&ballast, vec![0u8; 5 << 20]).unwrap();
    let mut kept = 1;
    let error = loop {
        match insert(500_000) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 20, "8 MB cannot hold this");
    };
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert!(error.is_transient());
    // A transaction that fills the disk step by step fails as a whole, too.
    let many = ledger.write_blocking(|tx| {
        for _ in 0..1000 {
            tx.execute("INSERT INTO blobs (body) VALUES ($1)", params![vec![7u8; 50_000]])?;
        }
        Ok::<_, Error>(())
    });
    assert!(matches!(many, Err(Error::DiskFull { .. })), "{many:?}");
    let rows = || ledger.read_blocking(|tx| tx.query_one("SELECT COUNT(*) FROM blobs", &[])?.get::<i64>(0));
    assert_eq!(rows().unwrap(), kept);

    std::fs::remove_file(&ballast).unwrap();
    insert(500_000).unwrap();
    assert_eq!(rows().unwrap(), kept + 1);
    assert_eq!(ledger.check().unwrap().problems, Vec::<String>::new());
}

/// A tmpfs that is unmounted at the end.
struct SmallDisk {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Option<SmallDisk> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&path)
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(SmallDisk { path, _directory: directory })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmount = |path: &Path| Command::new("umount").arg("--lazy").arg(path).status();
        let _ = unmount(&self.path);
    }
}

#[test]
fn a_server_restart_is_survived() {
    let Some(server) = Postgres::start() else { return };
    let options = Options { connect_timeout: Duration::from_secs(2), ..Default::default() };
    let ledger = Ledger::open_with(&server.url("restart"), options).unwrap();
    ledger.migrate("counter", COUNTER).unwrap();
    child::increment(&ledger).unwrap();
    assert_eq!(count(&ledger), 1);

    server.stop().unwrap();
    let started = Instant::now();
    let error = child::increment(&ledger).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.is_transient());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let read = ledger.read_blocking(|tx| tx.query("SELECT n FROM counter", &[])).unwrap_err();
    assert!(matches!(read, Error::Unavailable { .. }), "{read}");

    server.start_again().unwrap();
    child::increment(&ledger).unwrap();
    assert_eq!(count(&ledger), 2);
    assert!(ledger.stats().reconnects >= 1);
}

#[test]
fn a_connection_that_breaks_inside_a_transaction_commits_nothing() {
    let Some(server) = Postgres::start() else { return };
    let ledger = open(&server.url("broken"));
    ledger.migrate("counter", COUNTER).unwrap();
    let (pid_out, pid_in) = std::sync::mpsc::channel::<i64>();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let writing = ledger.clone();
    let thread = std::thread::spawn(move || {
        writing.write_blocking(move |tx| {
            tx.execute("UPDATE counter SET n = 99", &[])?;
            let pid: i64 = tx.query_one("SELECT pg_backend_pid()", &[])?.get(0)?;
            pid_out.send(pid).unwrap();
            wait.recv().unwrap();
            tx.execute("UPDATE counter SET n = 100", &[])?;
            Ok::<_, Error>(())
        })
    });
    let pid = pid_in.recv().unwrap();
    server.sql(&format!("SELECT pg_terminate_backend({pid}, 10000)")).unwrap();
    go.send(()).unwrap();
    let error = thread.join().unwrap().unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error}");
    assert_eq!(count(&ledger), 0);
    child::increment(&ledger).unwrap();
    assert_eq!(count(&ledger), 1);
}

#[test]
fn a_commit_whose_outcome_is_unknown_says_so() {
    let Some(server) = Postgres::start() else { return };
    let ledger = open(&server.url("unknown"));
    ledger.migrate("counter", COUNTER).unwrap();
    let (pid_out, pid_in) = std::sync::mpsc::channel::<i64>();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let writing = ledger.clone();
    let thread = std::thread::spawn(move || {
        writing.write_blocking(move |tx| {
            let pid: i64 = tx.query_one("SELECT pg_backend_pid()", &[])?.get(0)?;
            tx.execute("UPDATE counter SET n = 99", &[])?;
            pid_out.send(pid).unwrap();
            wait.recv().unwrap();
            Ok::<_, Error>(())
        })
    });
    let pid = pid_in.recv().unwrap();
    server.sql(&format!("SELECT pg_terminate_backend({pid}, 10000)")).unwrap();
    // The closure ends well; it is COMMIT that meets the closed connection.
    go.send(()).unwrap();
    let error = thread.join().unwrap().unwrap_err();
    assert!(matches!(error, Error::CommitUnknown { .. }), "{error}");
    assert!(!error.is_transient());
    assert_eq!(count(&ledger), 0);
}

#[test]
fn sqlite_commits_are_synced_and_foreign_keys_hold() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&format!("sqlite://{}/ledger.db", directory.path().display()));
    let settings: Vec<String> = ledger
        .write_blocking(|tx| {
            let mut settings = Vec::new();
            for pragma in ["PRAGMA journal_mode", "PRAGMA synchronous", "PRAGMA foreign_keys"] {
                settings.push(format!("{:?}", tx.query_one(pragma, &[])?.values()[0]));
            }
            Ok::<_, Error>(settings)
        })
        .unwrap();
    // synchronous 2 is FULL: the write-ahead log is synced at every commit.
    assert_eq!(settings, ["Text(\"wal\")", "Integer(2)", "Integer(1)"]);
}
