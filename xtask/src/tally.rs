//! Counts tests from what their runners print.
//!
//! libtest has no stable machine output, so its lines are read, with three difficulties:
//!
//! - A test that misses an outside part prints `skipped: why; mend` and returns; libtest counts it as passed and hides
//!   what it printed. Run with `--show-output`, libtest lists the output of passed tests after the run; that listing is
//!   read for such lines, not shown, and each test in it that skipped moves from passed to skipped.
//! - A test that starts its own binary again may let the child print a second `running 1 test … test result: …` between
//!   the outer ones. Results are matched with announcements by their number of tests, outermost first.
//! - A test binary that dies (a signal, `process::exit`, a limit) prints no result: announced without a result is one
//!   failure, which names the tests that libtest had called slow.
//!
//! The reader is plain text in, counts and lines to show out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Tests by outcome, with what the reader of a log looks for at its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Ran and passed.
    pub(crate) passed: usize,
    /// Ran and failed, or did not come to an end.
    pub(crate) failed: usize,
    /// Did not run: ignored, or without the outside part they need.
    pub(crate) skipped: usize,
    /// One line for each skip: where, why, and the mend.
    pub(crate) skips: Vec<String>,
    /// One line for each failure.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// Adds one failure that no runner counted.
    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.failed += 1;
        self.failures.push(what.into());
    }

    /// The closing line.
    pub(crate) fn summary(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Which part of a binary's output a line belongs to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Section {
    /// Tests are running.
    #[default]
    Running,
    /// The output of passed tests, then their names.
    Successes,
    /// The output of failed tests, then their names.
    Failures,
}

/// Which package each test binary belongs to, by the binary's file name: nearly all are called `it-HASH`.
#[derive(Debug, Default)]
pub(crate) struct Binaries(BTreeMap<String, String>);

impl Binaries {
    /// From what `cargo test --no-run --message-format=json` prints.
    pub(crate) fn parse(messages: &str) -> Binaries {
        let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let binaries = artifacts.filter_map(|artifact| {
            let file = artifact["executable"].as_str()?.rsplit('/').next()?.to_owned();
            let manifest = artifact["manifest_path"].as_str()?;
            let package = manifest.strip_suffix("/Cargo.toml")?.rsplit('/').next()?.to_owned();
            Some((file, package))
        });
        Binaries(binaries.collect())
    }

    /// `store tests/it/main.rs` for `     Running tests/it/main.rs (target/debug/deps/it-0123456789abcdef)`, and
    /// `doc tests of backlot_store` for `   Doc-tests backlot_store`.
    ///
    /// Cargo right-aligns its verbs to twelve columns, which tells its lines from a test's own.
    fn name(&self, line: &str) -> Option<String> {
        if let Some(library) = line.strip_prefix("   Doc-tests ") {
            return Some(format!("doc tests of {library}"));
        }
        let (source, executable) = line.strip_prefix("     Running ")?.split_once(" (")?;
        let file = executable.strip_suffix(')')?.rsplit('/').next()?;
        let source = source.strip_prefix("unittests ").unwrap_or(source);
        let (plain, _hash) = file.rsplit_once('-')?;
        let package = self.0.get(file).map_or(plain, String::as_str);
        Some(format!("{package} {source}"))
    }
}

/// Reads the merged output of `cargo test -- --show-output`, line by line.
#[derive(Debug, Default)]
pub(crate) struct CargoTest {
    binaries: Binaries,
    tally: Tally,
    /// The binary that runs: `store tests/it/main.rs`, `doc tests of backlot_store`.
    binary: String,
    /// The numbers of tests that were announced and have no result yet, outermost first.
    announced: Vec<usize>,
    section: Section,
    /// The test whose output is being listed.
    listed: Option<String>,
    /// The tests of the listing that printed `skipped:`.
    skipped: BTreeSet<String>,
    /// The tests that have run for over a minute and not ended.
    slow: BTreeSet<String>,
}

impl CargoTest {
    /// A reader that names tests by their packages.
    pub(crate) fn new(binaries: Binaries) -> CargoTest {
        CargoTest { binaries, ..CargoTest::default() }
    }

    /// Takes a line and says whether to show it.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        let line = without_colours(line);
        if let Some(binary) = self.binaries.name(&line) {
            self.end_binary();
            self.binary = binary;
            return true;
        }
        if let Some(tests) = announced_tests(&line) {
            self.announced.push(tests);
            return self.section == Section::Running;
        }
        if let Some(result) = Outcome::parse(&line) {
            self.result(&result);
            return true;
        }
        match line.as_str() {
            "successes:" if !self.announced.is_empty() => self.section = Section::Successes,
            "failures:" if !self.announced.is_empty() => {
                self.section = Section::Failures;
                self.listed = None;
            }
            _ => self.content(&line),
        }
        self.section != Section::Successes
    }

    fn content(&mut self, line: &str) {
        if let Some(test) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.listed = Some(test.to_owned());
            return;
        }
        match self.section {
            Section::Running => {
                let test = line.strip_prefix("test ");
                if let Some(test) =
                    test.and_then(|rest| rest.strip_suffix(" has been running for over 60 seconds"))
                {
                    self.slow.insert(test.to_owned());
                } else if let Some((test, outcome)) = test.and_then(|rest| rest.rsplit_once(" ... ")) {
                    self.slow.remove(test);
                    if outcome == "FAILED" {
                        self.tally.failures.push(format!("{}: {test}", self.binary));
                    } else if let Some(reason) = outcome.strip_prefix("ignored") {
                        let reason = reason.trim_start_matches([',', ' ']);
                        self.tally.skips.push(format!("{}: {test}: ignored {reason}", self.binary));
                    }
                } else if let Some(why) = line.strip_prefix("skipped: ") {
                    // From a process that the test started: it is told, but no test is known to have stopped for it.
                    self.tally.skips.push(format!("{}: {why}", self.binary));
                }
            }
            Section::Successes => {
                if let Some(why) = line.strip_prefix("skipped: ") {
                    let test = self.listed.clone().unwrap_or_default();
                    self.tally.skips.push(format!("{}: {test}: {why}", self.binary));
                    self.skipped.insert(test);
                }
            }
            // A failed test is a failure whatever it printed.
            Section::Failures => {}
        }
    }

    fn result(&mut self, result: &Outcome) {
        let total = result.passed + result.failed + result.ignored;
        let Some(at) = self.announced.iter().position(|&tests| tests == total) else { return };
        self.announced.truncate(at);
        if at > 0 {
            // A process within a test.
            return;
        }
        let skipped = self.skipped.len().min(result.passed);
        self.tally.passed += result.passed - skipped;
        self.tally.failed += result.failed;
        self.tally.skipped += result.ignored + skipped;
        self.section = Section::Running;
        self.skipped.clear();
        self.listed = None;
    }

    fn end_binary(&mut self) {
        if !self.announced.is_empty() {
            let slow = self.slow.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let slow = if slow.is_empty() { slow } else { format!("; still running: {slow}") };
            self.tally.fail(format!(
                "{}: ended before its result (a signal, process::exit, or the limit of CI){slow}",
                self.binary
            ));
        }
        self.announced.clear();
        self.slow.clear();
        self.section = Section::Running;
        self.skipped.clear();
        self.listed = None;
    }

    /// The counts, once the output has ended; `is_success` is what cargo's exit code says.
    pub(crate) fn finish(mut self, is_success: bool) -> Tally {
        self.end_binary();
        if !is_success && self.tally.failed == 0 {
            self.tally.fail("cargo test failed outside of any test; its message stands above");
        }
        self.tally
    }
}

/// `running 12 tests`.
fn announced_tests(line: &str) -> Option<usize> {
    let count = line.strip_prefix("running ")?;
    count.strip_suffix(" tests").or_else(|| count.strip_suffix(" test"))?.parse().ok()
}

/// `test result: ok. 11 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.52s`.
struct Outcome {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Outcome {
    fn parse(line: &str) -> Option<Outcome> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |label: &str| {
            counts.split("; ").find_map(|part| part.strip_suffix(label)?.trim().parse::<usize>().ok())
        };
        Some(Outcome {
            passed: count("passed")? + count("measured").unwrap_or(0),
            failed: count("failed")?,
            ignored: count("ignored")?,
        })
    }
}

/// Reads what `pytest -rsfE` prints at its end.
#[derive(Debug, Default)]
pub(crate) struct Pytest {
    tally: Tally,
}

impl Pytest {
    /// Takes a line; all are shown.
    pub(crate) fn line(&mut self, line: &str) {
        let line = without_colours(line);
        if line.starts_with("SKIPPED [") {
            self.tally.skips.push(format!("python: {line}"));
        } else if line.starts_with("FAILED ") || line.starts_with("ERROR ") {
            self.tally.failures.push(format!("python: {line}"));
        } else if line.trim_matches('=').trim().rsplit_once(" in ").is_some_and(|(_, time)| is_duration(time))
        {
            self.counts(line.trim_matches('=').trim());
        }
    }

    /// `3 passed, 1 skipped, 2 warnings in 0.10s`. The last such line is the one that counts.
    fn counts(&mut self, line: &str) {
        let counts = line.rsplit_once(" in ").map_or(line, |(counts, _)| counts);
        (self.tally.passed, self.tally.failed, self.tally.skipped) = (0, 0, 0);
        for part in counts.split(", ") {
            let Some((count, outcome)) = part.split_once(' ') else { continue };
            let Ok(count) = count.parse::<usize>() else { continue };
            match outcome {
                "passed" | "xpassed" => self.tally.passed += count,
                "failed" | "error" | "errors" => self.tally.failed += count,
                "skipped" | "xfailed" => self.tally.skipped += count,
                // Warnings, deselected.
                _ => {}
            }
        }
    }

    /// The counts, once the output has ended; `is_success` is what pytest's exit code says.
    pub(crate) fn finish(mut self, is_success: bool) -> Tally {
        if !is_success && self.tally.failed == 0 {
            self.tally.fail("python: pytest failed outside of any test; its message stands above");
        } else if is_success && self.tally.passed + self.tally.skipped == 0 {
            self.tally.fail("python: pytest told no counts; run it by hand in clients/python");
        }
        self.tally
    }
}

/// `0.10s`, `75.20s (0:01:15)`.
fn is_duration(text: &str) -> bool {
    let seconds = text.split(' ').next().and_then(|first| first.strip_suffix('s'));
    seconds.is_some_and(|seconds| seconds.parse::<f64>().is_ok())
}

/// A line without terminal colours (`ESC [ … m`).
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, code)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = code.split_once('m').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str, is_success: bool) -> (Tally, Vec<&str>) {
        let mut reader = CargoTest::default();
        let shown = output.lines().filter(|line| reader.line(line)).collect();
        (reader.finish(is_success), shown)
    }

    #[test]
    fn a_skipping_test_is_not_a_passed_one() {
        let (tally, shown) = read(
            "     Running tests/it/main.rs (target/debug/deps/it-0123456789abcdef)

running 4 tests
test folder::puts ... ok
test moto::puts ... ok
test slow ... ignored, takes an hour
test moto::gets ... ok

successes:

---- moto::puts stdout ----
starting
skipped: no moto; pip install moto
skipped: no moto; pip install moto

---- moto::gets stdout ----
skipped: no moto; pip install moto

successes:
    folder::puts
    moto::puts
    moto::gets

test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
",
            true,
        );
        assert_eq!(tally.summary(), "1 passed, 0 failed, 3 skipped");
        assert_eq!(tally.skips[0], "it tests/it/main.rs: slow: ignored takes an hour");
        assert_eq!(tally.skips[1], "it tests/it/main.rs: moto::puts: no moto; pip install moto");
        assert!(shown.contains(&"test moto::gets ... ok"));
        assert!(
            !shown.iter().any(|line| line.contains("starting") || line.contains("successes")),
            "{shown:?}"
        );
    }

    #[test]
    fn a_failure_is_named_and_its_output_shown() {
        let (tally, shown) = read(
            "     Running unittests src/lib.rs (target/debug/deps/backlot_store-0123)
running 2 tests
test a ... ok
test b ... \u{1b}[31mFAILED\u{1b}[m

successes:

---- a stdout ----
noise

successes:
    a

failures:

---- b stdout ----
thread 'b' panicked at src/lib.rs:1:1:
skipped: no moto; pip install moto

failures:
    b

test result: \u{1b}[31mFAILED\u{1b}[m. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
",
            false,
        );
        assert_eq!(tally.summary(), "1 passed, 1 failed, 0 skipped");
        assert_eq!(tally.failures, ["backlot_store src/lib.rs: b"]);
        assert!(tally.skips.is_empty());
        assert!(shown.iter().any(|line| line.contains("panicked")) && !shown.contains(&"noise"));
    }

    #[test]
    fn a_process_within_a_test_is_not_counted_twice() {
        let (tally, _) = read(
            "     Running unittests src/lib.rs (target/debug/deps/x-0123)
running 3 tests
running 1 test
test a ... ok
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.00s
running 1 test
test a ... ok
test b ... ok
test c ... ok
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests x
running 2 tests
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
running 1 test
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
",
            true,
        );
        assert_eq!(tally.summary(), "6 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn a_test_that_hangs_is_named() {
        let (tally, _) = read(
            "     Running unittests src/lib.rs (target/debug/deps/x-0123)
running 3 tests
test slow has been running for over 60 seconds
test a ... ok
test stuck has been running for over 60 seconds
test slow ... ok
error: test failed, to rerun pass `-p x --lib`
",
            false,
        );
        assert_eq!(tally.summary(), "0 passed, 1 failed, 0 skipped");
        assert!(tally.failures[0].ends_with("; still running: stuck"), "{}", tally.failures[0]);
    }

    #[test]
    fn a_binary_that_dies_is_a_failure() {
        let (tally, _) = read(
            "     Running unittests src/lib.rs (target/debug/deps/x-0123)
running 3 tests
test a ... ok
error: test failed, to rerun pass `-p x --lib`
Caused by:
  process didn't exit successfully: (signal: 6, SIGABRT: process abort signal)
     Running unittests src/lib.rs (target/debug/deps/y-0123)
running 1 test
test a ... ok
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
",
            false,
        );
        assert_eq!(tally.summary(), "1 passed, 1 failed, 0 skipped");
        assert!(tally.failures[0].starts_with("x src/lib.rs: ended before its result"));
    }

    #[test]
    fn a_failed_cargo_without_a_failed_test_is_a_failure() {
        let (tally, _) = read("error: could not compile `x`\n", false);
        assert_eq!(tally.summary(), "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn binaries_are_named_by_their_package() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/ws/foundation/store/Cargo.toml","executable":"/t/deps/it-01"}
{"reason":"compiler-artifact","manifest_path":"/ws/foundation/store/Cargo.toml","executable":null}
{"reason":"build-finished","success":true}"#;
        let binaries = Binaries::parse(messages);
        assert_eq!(binaries.name(" * Running on http://127.0.0.1:1 (Press CTRL+C to quit)"), None);
        let name = |line| binaries.name(line).unwrap();
        assert_eq!(name("     Running tests/it/main.rs (/x y/debug/deps/it-01)"), "store tests/it/main.rs");
        assert_eq!(
            name("     Running unittests src/lib.rs (target/debug/deps/other-02)"),
            "other src/lib.rs"
        );
    }

    #[test]
    fn pytest_counts() {
        let read = |output: &str, is_success| {
            let mut reader = Pytest::default();
            output.lines().for_each(|line| reader.line(line));
            reader.finish(is_success)
        };
        let tally = read(
            "tests/test_run.py .s.\nSKIPPED [1] tests/test_run.py:3: no server\n===== 2 passed, 1 skipped, 1 warning in 75.20s (0:01:15) =====",
            true,
        );
        assert_eq!(tally.summary(), "2 passed, 0 failed, 1 skipped");
        assert_eq!(tally.skips.len(), 1);
        assert_eq!(
            read("1 failed, 2 passed, 1 error in 0.10s", false).summary(),
            "2 passed, 2 failed, 0 skipped"
        );
        assert_eq!(read("no tests ran in 0.01s", false).summary(), "0 passed, 1 failed, 0 skipped");
        assert_eq!(read("", true).failed, 1);
    }
}
