//! How far a long computation has come, told on standard error where a person looks on.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};

/// Signals that are done with, and all of them; 0 while it is not known how many there are.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicUsize,
    all: AtomicUsize,
}

/// From one line to the next: what is done by the first one needs none.
const EVERY: Duration = Duration::from_secs(1);

/// Back to the line's begin, and wipes it.
const WIPE: &str = "\r\x1b[2K";

impl Progress {
    pub(crate) fn begin(&self, all: usize) {
        self.all.store(all, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, done: usize) {
        self.done.fetch_add(done, Ordering::Relaxed);
    }

    /// For people.
    pub fn text(&self) -> String {
        match (self.done.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed)) {
            (_, 0) => "reading the table".to_owned(),
            (done, all) => format!("{done} of {all} signals"),
        }
    }
}

/// Waits for `work` and tells of it once a second, in one line that is wiped in the end; nothing is told where standard error is no terminal.
pub(crate) async fn told<T>(mut work: JoinHandle<T>, progress: Arc<Progress>) -> Result<T, JoinError> {
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    // A terminal that takes nothing more is no reason to stop.
    let tell = |text: &str| {
        let mut terminal = std::io::stderr().lock();
        let _ = write!(terminal, "{WIPE}{text}").and_then(|()| terminal.flush());
    };
    loop {
        match tokio::time::timeout(EVERY, &mut work).await {
            Ok(ended) => {
                tell("");
                return ended;
            }
            Err(_) => tell(&progress.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_counted_once_it_is_known_of_how_many() {
        let progress = Progress::default();
        assert_eq!(progress.text(), "reading the table");
        progress.begin(7);
        progress.add(3);
        progress.add(1);
        assert_eq!(progress.text(), "4 of 7 signals");
    }
}
