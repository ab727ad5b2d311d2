//! Small editions of the benchmark and of the crash harness, as continuous integration runs them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, in its helpers too")]

use std::process::{Command, Output};

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output().expect("the harness starts");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A small crash test; gives its line.
fn crash(arguments: &[&str]) -> String {
    let output = run(env!("CARGO_BIN_EXE_crash"), arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("its output is text")
}

#[test]
fn every_result_is_committed_once_through_kills_on_sqlite() {
    let line = crash(&["--quick", "--seed", "5", "--tasks", "200"]);
    assert!(line.contains(" 10 kills") && line.contains("nothing stuck"), "{line}");
}

#[test]
fn every_result_is_committed_once_through_kills_on_postgres() {
    let line = crash(&["--quick", "--seed", "5", "--tasks", "150", "--postgres"]);
    let was_skipped = line.is_empty(); // the program has said why; with BACKLOT_REQUIRE_ALL=1 it fails instead
    assert!(was_skipped || line.contains("nothing stuck"), "{line}");
}

#[test]
fn bad_orders_are_one_clear_line() {
    let output = run(env!("CARGO_BIN_EXE_crash"), &["--tasks", "3"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("give --tasks 30 or more"), "{error}");
    let output = run(env!("CARGO_BIN_EXE_work"), &["--quick", "--only", "sqlite", "--dir", "/no/such/place"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("give a directory with --dir"), "{error}");
}

#[test]
fn the_benchmark_checks_its_answers_and_prints_its_table() {
    let output = run(env!("CARGO_BIN_EXE_work"), &["--quick", "--only", "sqlite,scale,latency"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{table}");
    for row in ["SQLite: map", "SQLite: DAG", "map of 10000", "start of a task at 200 running"] {
        assert!(table.contains(row), "no row `{row}`:\n{table}");
    }
}
