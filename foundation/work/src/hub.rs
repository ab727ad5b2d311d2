//! Where running tasks leave their log lines and progress until the worker's next transaction takes them along.
//!
//! Nothing a task says waits for a disk: lines are gathered in memory and written a few times a second, all tasks of
//! the worker in one transaction, as chunks with growing numbers. The log of one attempt is bounded: beyond
//! [`MAX_LOG`] bytes the oldest chunks after the first [`KEPT_HEAD`] are dropped, so that the beginning and the latest
//! lines are always there, and a reader sees the gap in the numbers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// The most log text kept for one attempt, in bytes.
pub const MAX_LOG: usize = 1 << 20;

/// The part of it that is never dropped: how the attempt began.
pub const KEPT_HEAD: usize = 64 << 10;

/// A chunk in the ledger is at most this long, so that a drop frees little at a time and a reader gets bounded rows.
const CHUNK: usize = 32 << 10;

/// A longer line is cut into lines of this length.
const MAX_LINE: usize = 8 << 10;

/// Text of one attempt waiting in memory may grow this large before lines are dropped: a task that writes faster than
/// the ledger takes must not fill the memory.
const MAX_PENDING: usize = 4 << 20;

/// One chunk to be written.
pub(crate) struct LogChunk {
    pub(crate) task: i64,
    pub(crate) attempt: i64,
    pub(crate) seq: i64,
    pub(crate) text: String,
}

/// A chunk to be dropped.
pub(crate) struct LogDrop {
    pub(crate) task: i64,
    pub(crate) attempt: i64,
    pub(crate) seq: i64,
}

/// Progress to be written.
pub(crate) struct Progress {
    pub(crate) task: i64,
    pub(crate) attempt: i64,
    pub(crate) fraction: f64,
    pub(crate) message: String,
}

/// What has gathered since the last time.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) chunks: Vec<LogChunk>,
    pub(crate) drops: Vec<LogDrop>,
    pub(crate) progress: Vec<Progress>,
}

impl Gathered {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.drops.is_empty() && self.progress.is_empty()
    }
}

#[derive(Default)]
struct Attempt {
    pending: String,
    unwritten_lost: usize,
    next_seq: i64,
    written: VecDeque<(i64, usize)>,
    written_bytes: usize,
    head_bytes: usize,
    progress: Option<(f64, String)>,
}

#[derive(Default)]
struct State {
    attempts: HashMap<(i64, i64), Attempt>,
    dirty: bool,
}

/// The gathering place of one worker.
#[derive(Clone, Default)]
pub(crate) struct Hub(Arc<Mutex<State>>);

impl Hub {
    /// A task's own entrance.
    pub(crate) fn task(&self, task: i64, attempt: i64) -> TaskHub {
        TaskHub { hub: self.clone(), key: (task, attempt) }
    }

    /// Whether anything waits.
    pub(crate) fn is_dirty(&self) -> bool {
        self.lock().dirty
    }

    /// Takes what has gathered.
    pub(crate) fn gather(&self) -> Gathered {
        let mut state = self.lock();
        let mut out = Gathered::default();
        if !state.dirty {
            return out;
        }
        state.dirty = false;
        for (&(task, attempt), entry) in &mut state.attempts {
            if let Some((fraction, message)) = entry.progress.take() {
                out.progress.push(Progress { task, attempt, fraction, message });
            }
            if entry.unwritten_lost > 0 {
                entry.pending.push_str(&format!(
                    "… {} lines came faster than they could be kept …\n",
                    entry.unwritten_lost
                ));
                entry.unwritten_lost = 0;
            }
            let text = std::mem::take(&mut entry.pending);
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let cut = if rest.len() <= CHUNK { rest.len() } else { cut_at(rest, CHUNK) };
                let (chunk, after) = rest.split_at(cut);
                rest = after;
                let seq = entry.next_seq;
                entry.next_seq += 1;
                if entry.head_bytes < KEPT_HEAD {
                    entry.head_bytes += chunk.len();
                } else {
                    entry.written.push_back((seq, chunk.len()));
                    entry.written_bytes += chunk.len();
                }
                out.chunks.push(LogChunk { task, attempt, seq, text: chunk.to_owned() });
            }
            while entry.written_bytes > MAX_LOG - KEPT_HEAD {
                let Some((seq, size)) = entry.written.pop_front() else { break };
                entry.written_bytes -= size;
                out.drops.push(LogDrop { task, attempt, seq });
            }
        }
        // The map's order is not the same on every run; rows are written in theirs.
        out.chunks.sort_by_key(|chunk| (chunk.task, chunk.attempt, chunk.seq));
        out.progress.sort_by_key(|progress| (progress.task, progress.attempt));
        out
    }

    /// Forgets a task after its end has been committed.
    pub(crate) fn forget(&self, task: i64, attempt: i64) {
        self.lock().attempts.remove(&(task, attempt));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last line end before `at`, or `at` itself moved back to a character boundary.
fn cut_at(text: &str, at: usize) -> usize {
    let at = text.floor_char_boundary(at);
    text[..at].rfind('\n').map_or(at, |end| end + 1)
}

/// One attempt's entrance to the hub.
#[derive(Clone)]
pub(crate) struct TaskHub {
    hub: Hub,
    key: (i64, i64),
}

impl TaskHub {
    /// Adds a line. NUL bytes, which PostgreSQL's text cannot hold, become U+FFFD.
    pub(crate) fn log(&self, line: &str) {
        let mut state = self.hub.lock();
        state.dirty = true;
        let attempt = state.attempts.entry(self.key).or_default();
        if attempt.pending.len() + line.len() > MAX_PENDING {
            attempt.unwritten_lost += 1;
            return;
        }
        let mut rest = line.trim_end_matches(['\n', '\r']);
        loop {
            let cut = if rest.len() <= MAX_LINE { rest.len() } else { rest.floor_char_boundary(MAX_LINE) };
            let (part, after) = rest.split_at(cut);
            if part.contains('\0') {
                attempt.pending.push_str(&part.replace('\0', "\u{fffd}"));
            } else {
                attempt.pending.push_str(part);
            }
            attempt.pending.push('\n');
            rest = after;
            if rest.is_empty() {
                return;
            }
        }
    }

    pub(crate) fn progress(&self, fraction: f64, message: String) {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        let mut state = self.hub.lock();
        state.dirty = true;
        state.attempts.entry(self.key).or_default().progress =
            Some((fraction, message.replace('\0', "\u{fffd}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_beginning_and_its_end() {
        let hub = Hub::default();
        let task = hub.task(1, 1);
        let mut kept: std::collections::BTreeMap<i64, String> = std::collections::BTreeMap::new();
        for round in 0..300 {
            for line in 0..100 {
                task.log(&format!("line {round}/{line} {}", "x".repeat(90)));
            }
            let gathered = hub.gather();
            for chunk in gathered.chunks {
                assert!(chunk.text.len() <= CHUNK);
                kept.insert(chunk.seq, chunk.text);
            }
            for drop in gathered.drops {
                assert!(kept.remove(&drop.seq).is_some());
            }
        }
        let total: usize = kept.values().map(String::len).sum();
        assert!(total <= MAX_LOG + CHUNK, "{total}");
        assert!(total > MAX_LOG / 2);
        assert!(kept.values().next().unwrap().starts_with("line 0/0 "));
        assert!(kept.values().last().unwrap().contains("line 299/99 "));
    }

    #[test]
    fn hostile_lines_are_cut_and_cleaned() {
        let hub = Hub::default();
        let task = hub.task(1, 1);
        task.log(&"é".repeat(100_000));
        task.log("a\0b");
        let gathered = hub.gather();
        assert!(gathered.chunks.iter().all(|chunk| chunk.text.lines().all(|line| line.len() <= MAX_LINE)));
        assert!(gathered.chunks.last().unwrap().text.ends_with("a\u{fffd}b\n"));
        assert!(hub.gather().is_empty());
        for _ in 0..100_000 {
            task.log(&"y".repeat(100));
        }
        let text: usize = hub.gather().chunks.iter().map(|chunk| chunk.text.len()).sum();
        assert!(text <= MAX_PENDING + 200, "{text}");
    }
}
