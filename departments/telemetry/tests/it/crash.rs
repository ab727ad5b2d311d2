//! What a killed process leaves: a child writes batches and says which were taken; the parent kills it at any moment and reads
//! what there is. The child is this test program itself.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use backlot_atlas::{Aggregate, DataExpr, Database};
use backlot_series::{Grid, Query};
use backlot_telemetry::store::{Effect, Options, Sample, Store};

const STEP: i64 = 1000;

/// Series of a batch: each batch is one step of all.
const SERIES: usize = 40;

const DIRECTORY: &str = "BACKLOT_TEST_CRASH_DIRECTORY";

/// Set where the child may write few bytes into a file.
const SMALL_DISK: &str = "BACKLOT_TEST_CRASH_SMALL_DISK";

fn grow_disk() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: maximum, maximum }).expect("the limit is raised");
}

fn options(directory: &Path) -> Options {
    Options { step: STEP, hot: 100 * STEP, directory: Some(directory.to_owned()), ..Options::default() }
}

/// The child: writes the step that follows what there is, and so on; a checkpoint now and then.
#[test]
fn child_of_the_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = Store::open(options(Path::new(&directory)), 0).expect("the store opens");
    let mut out = std::io::stdout().lock();
    let mut step = store.newest().map_or(1, |newest| newest / STEP + 1);
    let mut is_full = false;
    loop {
        let mut batch = store.batch();
        for series in 0..SERIES {
            // Some series begin late, so that new names and samples are in one batch.
            if step as usize >= series {
                let host = format!("h{series}");
                assert!(batch.write(
                    &[("host", &host), ("name", "x")],
                    step * STEP,
                    Sample::Value(Effect::Set, step as f64)
                ));
            }
        }
        if let Err(error) = batch.commit() {
            // Only where the parent made the disk small: it grows now, and the step is written again.
            assert!(!is_full && std::env::var_os(SMALL_DISK).is_some(), "{error}");
            is_full = true;
            grow_disk();
            writeln!(out, "full {step}").expect("the parent listens");
            continue;
        }
        writeln!(out, "taken {step}").and_then(|()| out.flush()).expect("the parent listens");
        if step % 37 == 0 {
            store.sync().expect("it is synced");
        }
        if step % 150 == 0 {
            store.checkpoint(step * STEP).expect("a checkpoint");
        }
        step += 1;
    }
}

fn start(directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["crash::child_of_the_killed", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(DIRECTORY, directory).stdout(Stdio::piped()).spawn().expect("a child")
}

/// The last step of which all is there. Panics at anything that was never written.
fn check(directory: &Path, taken: i64) -> i64 {
    let store = Store::open(options(directory), taken * STEP).expect("the store opens after a kill");
    let all = DataExpr::new(Query::True, Aggregate::All);
    let len = taken as usize + 2;
    let lines = store.lines(&all, Grid::new(STEP, STEP, len)).expect("it is read");
    let last = store.newest().map_or(0, |newest| newest / STEP);
    // At most the batch that was under way is there though it was not said to be taken.
    assert!(last == taken || last == taken + 1, "{last} is the last step, {taken} was taken");
    for line in &lines {
        let series: i64 = line.tags.get("host").expect("a host")[1..].parse().expect("a number");
        for (at, value) in line.values.iter().enumerate() {
            let step = at as i64 + 1;
            let expected = if step >= series && step <= last { step as f64 } else { f64::NAN };
            assert!(
                value.to_bits() == expected.to_bits() || (value.is_nan() && expected.is_nan()),
                "series {series}, step {step}: {value}"
            );
        }
    }
    assert_eq!(lines.len(), SERIES.min(last as usize + 1));
    last
}

#[test]
fn a_killed_process_loses_nothing_that_was_taken() {
    let home = tempfile::tempdir().expect("a directory");
    let mut random = fastrand::Rng::with_seed(11);
    let mut last = 0;
    for kill in 0..6 {
        let mut child = start(home.path());
        let until = last + random.i64(5..300);
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        for line in lines.map_while(Result::ok) {
            // The test harness of the child writes lines of its own, and one without an end before the first of ours.
            if let Some((_, step)) = line.split_once("taken ") {
                last = step.parse().expect("a step");
            }
            if last == until {
                child.kill().expect("it is killed");
            }
        }
        child.wait().expect("it ends");
        assert!(last >= until, "kill {kill}: the child ended by itself at {last}");
        last = check(home.path(), last);
    }
}

#[test]
fn a_full_disk_is_told_and_what_fits_later_is_kept() {
    let home = tempfile::tempdir().expect("a directory");
    // The limit ends the child by a signal unless that is ignored, and it is in the middle of the first steps, when each
    // batch names a series.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -S -f 4; exec \"$@\"", "sh"]);
    command.arg(std::env::current_exe().expect("this program"));
    command.args(["crash::child_of_the_killed", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(DIRECTORY, home.path()).env(SMALL_DISK, "1").stdout(Stdio::piped());
    let mut child = command.spawn().expect("a child");
    let (mut last, mut full) = (0, 0);
    for line in BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok) {
        if let Some((_, step)) = line.split_once("full ") {
            full = step.parse().expect("a step");
        }
        if let Some((_, step)) = line.split_once("taken ") {
            last = step.parse().expect("a step");
        }
        if last == 120 {
            child.kill().expect("it is killed");
        }
    }
    child.wait().expect("it ends");
    assert!((1..40).contains(&full) && last >= 120, "full at {full}, ended at {last}");
    check(home.path(), last);
}

#[test]
fn a_directory_has_one_process() {
    let home = tempfile::tempdir().expect("a directory");
    let store = Store::open(options(home.path()), 0).expect("the store opens");
    let Err(error) = Store::open(options(home.path()), 0) else { panic!("it opened twice") };
    assert!(error.to_string().contains("in use by another process; stop the other"), "{error}");
    store.release();
    assert!(Store::open(options(home.path()), 0).is_ok());
}
