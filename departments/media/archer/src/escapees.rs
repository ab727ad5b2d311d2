//! Processes that outlive their call.
//!
//! Killing a process group does not reach a process that has left it (a daemon: fork, `setsid`, fork). So every call has a
//! tag in its environment, which its descendants inherit, and soon after a call has ended whoever still carries its tag is
//! killed. Calls that end within the same moment share one look at `/proc`.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The variable that holds a call's tag.
pub(crate) const TAG_VARIABLE: &str = "ARCHER_TAG";

/// How long ended calls gather before somebody looks for what they left: bounds the cost to a few percent of a processor.
const GATHER: Duration = Duration::from_millis(200);

/// Looks for each set of calls: one that forks while it is being killed leaves another.
const ROUNDS: usize = 10;

#[derive(Default)]
struct Ended {
    tags: BTreeSet<String>,
    somebody_looks: bool,
}

static ENDED: Mutex<Ended> = Mutex::new(Ended { tags: BTreeSet::new(), somebody_looks: false });

/// A tag that no other call has.
pub(crate) fn new_tag() -> String {
    format!("{}-{:016x}", std::process::id(), fastrand::u64(..))
}

/// Kills what the call left, soon.
pub(crate) fn clear_soon(tag: String) {
    let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
    ended.tags.insert(tag);
    if std::mem::replace(&mut ended.somebody_looks, true) {
        return;
    }
    drop(ended);
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(GATHER);
            let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
            let tags = std::mem::take(&mut ended.tags);
            if tags.is_empty() {
                ended.somebody_looks = false;
                return;
            }
            drop(ended);
            clear(&tags);
        }
    });
}

/// Kills what all ended calls left, now: before this process ends.
pub(crate) fn clear_now() {
    let tags = std::mem::take(&mut ENDED.lock().unwrap_or_else(PoisonError::into_inner).tags);
    if !tags.is_empty() {
        clear(&tags);
    }
}

fn clear(tags: &BTreeSet<String>) {
    for _ in 0..ROUNDS {
        let left: Vec<i32> = tagged(tags);
        if left.is_empty() {
            return;
        }
        for pid in left.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL); // it may have ended by itself
        }
    }
}

/// Processes that carry one of these tags. Those of other users cannot be read, and are none of ours.
fn tagged(tags: &BTreeSet<String>) -> Vec<i32> {
    let own = std::process::id() as i32;
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let carries = |pid: &i32| {
        let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
        let mut variables = environment.split(|byte| *byte == 0);
        variables.any(|variable| {
            let value =
                variable.strip_prefix(TAG_VARIABLE.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            value.and_then(|value| std::str::from_utf8(value).ok()).is_some_and(|tag| tags.contains(tag))
        })
    };
    pids.filter(|pid| *pid != own).filter(carries).collect()
}
