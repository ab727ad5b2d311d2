//! The processes of one call of a function, and what they use together.
//!
//! A member is the leader, whoever is in its process group, and all their descendants. The table of processes is read from
//! `/proc` once for all calls of this process at a time, so a worker with many calls reads it no oftener than with one.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A table younger than this serves every call: what a call may do unseen in the meantime.
const TABLE_AGE: Duration = Duration::from_millis(80);

/// A process, as `/proc/PID/stat` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pid: i32,
    parent: i32,
    group: i32,
}

type Table = Arc<Vec<Process>>;

static TABLE: Mutex<Option<(Instant, Table)>> = Mutex::new(None);

/// The members of the call led by `leader`.
pub(crate) fn members(leader: i32) -> BTreeSet<i32> {
    members_in(&table(), leader)
}

fn members_in(table: &[Process], leader: i32) -> BTreeSet<i32> {
    let mut members: BTreeSet<i32> = BTreeSet::new();
    // Each round adds a generation; pids wrap around, so one pass in their order would not do.
    loop {
        let before = members.len();
        for process in table {
            if process.pid == leader || process.group == leader || members.contains(&process.parent) {
                members.insert(process.pid);
            }
        }
        if members.len() == before {
            return members;
        }
    }
}

fn table() -> Table {
    let mut cached = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((read, table)) = &*cached
        && read.elapsed() < TABLE_AGE
    {
        return table.clone();
    }
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let table: Table = Arc::new(pids.filter_map(read).collect());
    *cached = Some((Instant::now(), table.clone()));
    table
}

fn read(pid: i32) -> Option<Process> {
    parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc_pid_stat(5): after the name in parentheses come the state, the parent and the process group.
fn parse(pid: i32, stat: &str) -> Option<Process> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    let mut next = || fields.next()?.parse().ok();
    Some(Process { pid, parent: next()?, group: next()? })
}

/// The bytes that processes hold in memory together. Pages that several share count once; that costs a walk over all of
/// them, which is only taken when the cheap sum exceeds `limit`.
pub(crate) fn memory(members: &BTreeSet<i32>, limit: u64) -> u64 {
    let resident: u64 = members.iter().map(|pid| kibibytes(*pid, "status", "VmRSS:")).sum();
    if resident <= limit {
        return resident;
    }
    members.iter().map(|pid| kibibytes(*pid, "smaps_rollup", "Pss:")).sum()
}

fn kibibytes(pid: i32, file: &str, field: &str) -> u64 {
    let text =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join(file)).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_mislead() {
        let process = parse(7, "7 (a ) R 1 (b)) S 3 5 5 0 -1").unwrap();
        assert_eq!(process, Process { pid: 7, parent: 3, group: 5 });
    }

    #[test]
    fn members_are_the_group_and_all_descendants() {
        let process = |pid, parent, group| Process { pid, parent, group };
        // 9 left the group; its child 2 has a smaller pid than it; 4 is a stranger.
        let table =
            [process(2, 9, 9), process(4, 1, 4), process(5, 1, 5), process(6, 5, 5), process(9, 6, 9)];
        assert_eq!(members_in(&table, 5), BTreeSet::from([2, 5, 6, 9]));
    }

    #[test]
    fn this_process_has_a_size() {
        let own = std::process::id() as i32;
        let all = BTreeSet::from([own]);
        assert!(members(own).contains(&own));
        assert!(memory(&all, u64::MAX) > 1 << 20 && memory(&all, 0) > 1 << 18);
    }
}
