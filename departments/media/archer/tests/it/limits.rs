//! Functions that hang, fork or exhaust memory fail alone: the other parts are done, and nothing is left running.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{job, run};

/// A job of two parts, the first of which misbehaves like this; the failure is collected.
fn misbehaving(script: &str, limits: &str) -> backlot_archer::Job {
    job(&format!(
        "name = 'bad'\nsplit = {{ frames = 10 }}\non_failure = 'collect'\n\
         map = {{ argv = ['sh', '-c', '''grep -q '\"index\":1' task.json && echo 5 >result.json && exit 0\n{script}'''] }}\n\
         collect = {{ argv = ['cp', 'task.json', 'result.json'] }}\n[limits]\nretries = 0\n{limits}"
    ))
}

/// Runs it; gives why the first part failed, after a look at the second.
async fn why(home: &Path, script: &str, limits: &str) -> String {
    let (made, _scratch) = run(home, &misbehaving(script, limits)).await.unwrap();
    let results = made.result["results"].as_array().unwrap();
    assert_eq!(results[1]["result"], json!(5), "the other part is done");
    results[0]["failed"].as_str().unwrap().to_owned()
}

/// Whether a process is there, a zombie aside.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn gone(path: &Path) {
    let begun = Instant::now();
    for pid in std::fs::read_to_string(path).unwrap().lines() {
        while is_alive(pid) {
            assert!(begun.elapsed() < Duration::from_secs(60), "process {pid} is still there");
            std::thread::yield_now();
        }
    }
}

#[tokio::test]
async fn a_function_that_hangs_is_killed_with_its_children() {
    let home = tempfile::tempdir().unwrap();
    let pids = home.path().join("pids");
    let script = format!("trap \"\" TERM\nsleep 1000 & echo $! >{0}; echo $$ >>{0}; wait", pids.display());
    let why = why(home.path(), &script, "timeout = '5s'").await;
    assert!(why.contains("map of part 0 took longer than 5s"), "{why}");
    gone(&pids);
}

#[tokio::test]
async fn a_function_that_leaves_a_daemon_is_cleared_up() {
    let home = tempfile::tempdir().unwrap();
    let pids = home.path().join("pids");
    let script = format!(
        "setsid sh -c 'setsid sleep 1000 & echo $! >{0}.partial; mv {0}.partial {0}' & until [ -s {0} ]; do :; done; exit 1",
        pids.display()
    );
    let why = why(home.path(), &script, "").await;
    assert!(why.contains("exit status 1"), "{why}");
    gone(&pids);
}

#[tokio::test]
async fn a_function_that_forks_without_end_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let script = "while :; do sleep 1000 & i=$((i+1)); [ $i -ge 60 ] && wait; done";
    let why = why(home.path(), script, "processes = 20\ntimeout = '60s'").await;
    assert!(why.contains("processes, more than 20"), "{why}");
}

#[tokio::test]
async fn a_function_that_exhausts_memory_is_stopped() {
    let home = tempfile::tempdir().unwrap();
    // One process: the kernel refuses the allocation.
    let alone =
        why(home.path(), "exec awk 'BEGIN { s = \"xxxxxxxx\"; while (1) s = s s }'", "memory = '64MiB'")
            .await;
    assert!(alone.contains("map of part 0"), "{alone}");
    // Many processes that keep below the limit each: the watch sums them up. Tail keeps a line of 40 MiB in memory.
    let script = "for i in 1 2 3 4; do (head -c 40000000 /dev/zero; sleep 1000) | tail -n 1 & done; wait";
    let together = why(home.path(), script, "memory = '100MiB'\ntimeout = '60s'").await;
    assert!(together.contains("MiB of memory, more than"), "{together}");
}
