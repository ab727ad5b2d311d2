//! Who this process is: enough to tell later, on the same machine, whether it still lives.

use std::sync::OnceLock;

/// The identity of this process and its machine.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// The machine's name.
    pub(crate) name: String,
    /// One boot of one machine, seen from one process namespace: only there do process numbers mean the same.
    pub(crate) id: String,
    /// When this process started, in clock ticks after the boot; tells it from a later one with the same number.
    pub(crate) process_start: i64,
    /// The machine's memory in bytes.
    pub(crate) memory: u64,
}

impl Host {
    pub(crate) fn current() -> &'static Host {
        static CURRENT: OnceLock<Host> = OnceLock::new();
        CURRENT.get_or_init(|| {
            let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
            let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
            let memory = rustix::system::sysinfo();
            Host {
                name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
                id: format!("{} {}", read("/proc/sys/kernel/random/boot_id"), namespace.display()),
                process_start: process_start(std::process::id().into()).unwrap_or(0),
                memory: memory.totalram as u64 * u64::from(memory.mem_unit),
            }
        })
    }

    /// Whether the process with this number that started at that time still lives on this host.
    pub(crate) fn process_lives(pid: i64, start: i64) -> bool {
        process_start(pid) == Some(start)
    }
}

/// Field 22 of `/proc/PID/stat`; the fields are counted after the name, which may hold spaces and parentheses. A zombie
/// does not live.
fn process_start(pid: i64) -> Option<i64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_an_impostor_does_not() {
        let host = Host::current();
        assert!(host.process_start > 0 && host.memory > 1 << 20);
        assert!(Host::process_lives(std::process::id().into(), host.process_start));
        assert!(!Host::process_lives(std::process::id().into(), host.process_start + 1));
        assert!(!Host::process_lives(i64::from(i32::MAX), 1));
    }
}
