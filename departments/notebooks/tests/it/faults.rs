//! What goes wrong with kernels, and what the file then says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backlot_notebooks::{Kernels, Level, Log, RunError, run};
use backlot_notebooks_model::{Notebook, record};
use tokio::sync::watch;

use crate::{Bench, notebook, states};

fn exception(notebook: &Notebook) -> Option<String> {
    Some(notebook.metadata.get(record::KEY)?.get("exception")?.to_compact())
}

#[tokio::test]
async fn a_kernel_that_is_killed_is_a_failed_cell() {
    let Some(bench) = Bench::new() else { return };
    let request = bench.request(&notebook(&[
        "print('before', flush=True)",
        "import os, sys, time\nprint('last words')\nsys.stdout.flush()\ntime.sleep(0.5)\nos.kill(os.getpid(), 9)",
        "print('never')",
    ]));
    let failure = bench.run(&request).await.unwrap_err();
    assert!(matches!(&failure.error, RunError::Kernel(error) if error.is_death()), "{}", failure.error);
    assert!(failure.error.to_string().starts_with("Kernel died: killed by signal 9"), "{}", failure.error);
    let written = bench.written();
    assert_eq!(states(&written), ["completed", "failed", "pending"]);
    assert_eq!(exception(&written).as_deref(), Some("true"));
    assert_eq!(written.cells[1].outputs()[0].get("text").unwrap().as_str(), Some("last words\n"));
}

#[tokio::test]
async fn a_cell_that_takes_too_long_is_a_failed_cell() {
    let Some(bench) = Bench::new() else { return };
    let mut request = bench.request(&notebook(&["1", "import time\nwhile True: time.sleep(0.1)"]));
    request.cell_timeout = Some(Duration::from_secs(3));
    let failure = bench.run(&request).await.unwrap_err();
    assert!(matches!(failure.error, RunError::TimedOut { cell: 2, seconds: 3 }), "{}", failure.error);
    assert_eq!(states(&bench.written()), ["completed", "failed"]);
}

#[tokio::test]
async fn a_flood_of_messages_is_taken_and_kept() {
    let Some(bench) = Bench::new() else { return };
    let flood = "from IPython.display import display\nfor i in range(3000): display(i)\nprint('end')";
    bench.run(&bench.request(&notebook(&[flood]))).await.unwrap();
    let written = bench.written();
    assert_eq!(written.cells[0].outputs().len(), 3001);
}

#[tokio::test]
async fn a_run_that_is_stopped_says_so_in_the_file() {
    let Some(bench) = Bench::new() else { return };
    let request =
        bench.request(&notebook(&["open('begun', 'w').close()\nimport time\ntime.sleep(600)", "2"]));
    let (stop, stopped) = watch::channel(false);
    let begun = bench.path("begun");
    tokio::spawn(async move {
        while !std::path::Path::new(&begun).exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.send_replace(true);
        stop.closed().await;
    });
    let log = Log::silent().stop_with(stopped);
    let failure = run(&request, &Kernels { search: &bench.search, pool: None }, &log).await.unwrap_err();
    assert!(matches!(failure.error, RunError::Stopped { cell: 1 }), "{}", failure.error);
    assert_eq!(states(&bench.written()), ["failed", "pending"]);
}

#[tokio::test]
async fn a_kernel_that_does_not_start_is_named() {
    let Some(bench) = Bench::new() else { return };
    let mut request = bench.request(&notebook(&["1"]));
    request.kernel = Some("cobol".to_owned());
    let failure = bench.run(&request).await.unwrap_err();
    assert!(
        failure.error.to_string().starts_with("there is no kernel `cobol`; there are "),
        "{}",
        failure.error
    );
    assert_eq!(states(&bench.written()), ["pending"]);
}

const FULL: &str = "BACKLOT_TEST_FULL_RUN";

/// Lets this process write files of up to so many bytes, as on a disk without room; `None`: of any size.
fn limit_files(bytes: Option<u64>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

/// Runs a notebook whose second cell outgrows the disk; what was told, and how the run ended. The disk has room again
/// after that cell, or never.
async fn outgrow(bench: &Bench, room_again: bool) -> (Vec<String>, Result<(), RunError>) {
    // The pause lets the save after the first cell come due before the disk is outgrown.
    let cells = ["print('small')", "import time\ntime.sleep(2)\nprint('x' * 100_000)", "print('end')"];
    let request = bench.request(&notebook(&cells));
    let told = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&told);
    let log = Log::silent()
        .lines(Level::Warning, move |line| lines.lock().unwrap().push(line.to_owned()))
        .steps(move |done, _| match done {
            1 => limit_files(Some(8_000)),
            2 if room_again => limit_files(None),
            _ => {}
        });
    let ended = run(&request, &Kernels { search: &bench.search, pool: None }, &log).await;
    limit_files(None);
    (told.lock().unwrap().clone(), ended.map(drop).map_err(|failure| failure.error))
}

#[tokio::test]
async fn a_disk_that_is_full_in_passing_ends_no_run_and_spoils_no_file() {
    let Some(bench) = Bench::new() else { return };
    if std::env::var_os(FULL).is_none() {
        // In a process of its own, in which a write beyond the limit is an error and no signal.
        let name = "faults::a_disk_that_is_full_in_passing_ends_no_run_and_spoils_no_file";
        let child = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" --exact \"$1\" --nocapture"])
            .args([&*std::env::current_exe().unwrap().to_string_lossy(), name])
            .env(FULL, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        return;
    }
    let (told, ended) = outgrow(&bench, true).await;
    ended.unwrap();
    assert!(told.iter().any(|line| line.starts_with("The notebook was not saved and goes on: ")), "{told:?}");
    assert_eq!(states(&bench.written()), ["completed"; 3]);
    let (_, ended) = outgrow(&bench, false).await;
    assert!(matches!(ended, Err(RunError::Place { .. })), "{ended:?}");
    let written = bench.written();
    assert_eq!(states(&written)[0], "completed", "the file is as it was before the disk was full");
    assert_eq!(written.cells[0].outputs()[0].get("text").unwrap().as_str(), Some("small\n"));
    let left = std::fs::read_dir(bench.folder.path()).unwrap().count();
    assert_eq!(left, 2, "nothing half written is left");
}
