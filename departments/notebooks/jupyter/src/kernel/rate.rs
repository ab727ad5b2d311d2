//! How much of a flood a client gets.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::message::Message;

/// The rates beyond which a client is spared iopub messages, over [`WINDOW`]: those of jupyter_server.
const MAX_MESSAGES_PER_SECOND: f64 = 1_000.0;
const MAX_BYTES_PER_SECOND: f64 = 1_000_000.0;
const WINDOW: Duration = Duration::from_secs(3);

/// What a client that is spared messages is told.
pub(super) const OVER_RATE: &str = "IOPub rate exceeded.\nThe server will temporarily stop sending output to the client, so that it does not \
                         crash. The notebook's file gets all of it once no client is connected.\n";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It may have it.
    Pass,
    /// It is spared it.
    Drop,
    /// The first that is dropped: a warning goes in its place.
    Warn,
}

/// Counts what a kernel publishes over the last seconds.
#[derive(Default)]
pub(super) struct Rate {
    window: VecDeque<(Instant, usize)>,
    bytes: usize,
    is_over: bool,
}

impl Rate {
    /// What becomes of a message.
    pub(super) fn admit(&mut self, kind: &str, message: &Message) -> Admission {
        // States and results are few, and without them a client waits for ever.
        if !matches!(kind, "stream" | "display_data" | "update_display_data" | "clear_output" | "comm_msg") {
            return Admission::Pass;
        }
        let now = Instant::now();
        while let Some((when, size)) = self.window.front().copied() {
            if now.duration_since(when) < WINDOW {
                break;
            }
            self.window.pop_front();
            self.bytes -= size;
        }
        let seconds = WINDOW.as_secs_f64();
        let is_full = self.window.len() as f64 >= MAX_MESSAGES_PER_SECOND * seconds;
        let size = message.size();
        let is_heavy = kind == "stream" && (self.bytes + size) as f64 > MAX_BYTES_PER_SECOND * seconds;
        if is_full || is_heavy {
            let was_over = std::mem::replace(&mut self.is_over, true);
            return if was_over { Admission::Drop } else { Admission::Warn };
        }
        self.is_over = false;
        self.window.push_back((now, size));
        self.bytes += size;
        Admission::Pass
    }
}
