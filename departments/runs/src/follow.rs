//! Waiting for changes: streams that look again whenever the ledger has changed.

use std::time::Duration;

use backlot_department::House;
use backlot_ledger::Timestamp;
use backlot_web::sse::Message;
use backlot_work::{LogPiece, RunStatus, TaskStatus, WorkerStatus};
use futures::Stream;
use tokio::sync::watch;

/// A busy ledger changes thousands of times a second; a watcher looks again this often at most.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// News of a change can get lost with a database connection; a watcher looks again after this time at the latest.
const LOOK_LATEST: Duration = Duration::from_secs(2);

/// Log pieces fetched at once.
pub(crate) const PIECES: u32 = 200;

/// A ledger watched for changes.
pub(crate) struct Watch(watch::Receiver<u64>);

impl Watch {
    pub(crate) fn new(house: &House) -> Self {
        Self(house.ledger.changes())
    }

    /// To be called before looking: what changes from here on ends the next [`Watch::changed`].
    pub(crate) fn mark(&mut self) {
        self.0.borrow_and_update();
    }

    /// Waits until something has changed, or may have.
    pub(crate) async fn changed(&mut self) {
        tokio::time::sleep(LOOK_PAUSE).await;
        // Closed or too late: looking again is right in either case.
        let _ = tokio::time::timeout(LOOK_LATEST, self.0.changed()).await;
    }
}

/// Whether a worker holds its lease.
pub(crate) fn is_alive(worker: &WorkerStatus, now: Timestamp) -> bool {
    worker.state == "alive" && worker.alive_until > now
}

/// The states that a run goes through, from now on to its end. An error ends the stream.
pub(crate) fn run(
    house: House,
    run: String,
) -> impl Stream<Item = Result<RunStatus, backlot_work::Error>> + Send + 'static {
    struct State {
        house: House,
        run: String,
        watch: Watch,
        last: Option<RunStatus>,
        ended: bool,
    }
    let watch = Watch::new(&house);
    let state = State { house, run, watch, last: None, ended: false };
    futures::stream::unfold(state, |mut state| async move {
        if state.ended {
            return None;
        }
        loop {
            state.watch.mark();
            let status = match state.house.work.run(&state.run).await {
                Ok(status) => status,
                Err(error) => {
                    state.ended = true;
                    return Some((Err(error), state));
                }
            };
            if state.last.as_ref() != Some(&status) {
                state.ended = status.state.is_final();
                state.last = Some(status.clone());
                return Some((Ok(status), state));
            }
            state.watch.changed().await;
        }
    })
}

/// The same as messages: each state as `run`, then `end`.
pub(crate) fn run_messages(house: House, run_id: String) -> impl Stream<Item = Message> + Send + 'static {
    use futures::StreamExt;
    let message = |status: Result<RunStatus, backlot_work::Error>| {
        let written = status
            .map_err(|error| error.to_string())
            .and_then(|status| Message::json(&status).map_err(|error| error.to_string()));
        match written {
            Ok(message) => message.event("run"),
            Err(error) => Message::new(error).event("error"),
        }
    };
    run(house, run_id).map(message).chain(futures::stream::once(async { Message::default().event("end") }))
}

/// Where a reader of a task's log is: the attempt and number of the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogCursor {
    pub(crate) attempt: i64,
    pub(crate) seq: i64,
}

impl LogCursor {
    pub(crate) fn of(piece: &LogPiece) -> Self {
        Self { attempt: piece.attempt, seq: piece.seq }
    }

    /// As one number, for the ids of messages: the attempt above, the piece below.
    pub(crate) fn to_number(self) -> u64 {
        (self.attempt as u64) << 32 | (self.seq as u64 & 0xffff_ffff)
    }

    pub(crate) fn from_number(number: u64) -> Self {
        Self { attempt: (number >> 32) as i64, seq: (number & 0xffff_ffff) as i64 }
    }

    pub(crate) fn pair(self) -> (i64, i64) {
        (self.attempt, self.seq)
    }
}

/// The pieces of a task's log after `cursor`, as they are written, until the task has ended and all are read.
pub(crate) fn log(
    house: House,
    task: TaskStatus,
    cursor: Option<LogCursor>,
) -> impl Stream<Item = Result<LogPiece, backlot_work::Error>> + Send + 'static {
    struct State {
        house: House,
        task: TaskStatus,
        cursor: Option<LogCursor>,
        watch: Watch,
        waiting: std::collections::VecDeque<LogPiece>,
        ended: bool,
    }
    let watch = Watch::new(&house);
    let state =
        State { house, task, cursor, watch, waiting: std::collections::VecDeque::new(), ended: false };
    futures::stream::unfold(state, |mut state| async move {
        loop {
            if let Some(piece) = state.waiting.pop_front() {
                return Some((Ok(piece), state));
            }
            if state.ended {
                return None;
            }
            state.watch.mark();
            // The state first: a task that has ended by now writes nothing after the pieces read next.
            let looked = look(&state.house, &state.task, state.cursor).await;
            let (is_final, pieces) = match looked {
                Ok(looked) => looked,
                Err(error) => {
                    state.ended = true;
                    return Some((Err(error), state));
                }
            };
            match pieces.last() {
                Some(last) => state.cursor = Some(LogCursor::of(last)),
                None if is_final => return None,
                None => state.watch.changed().await,
            }
            state.waiting.extend(pieces);
        }
    })
}

async fn look(
    house: &House,
    task: &TaskStatus,
    cursor: Option<LogCursor>,
) -> Result<(bool, Vec<LogPiece>), backlot_work::Error> {
    let now = house.work.task(&task.run, &task.step, task.index).await?;
    let pieces = house.work.logs(task.task, cursor.map(LogCursor::pair), PIECES).await?;
    Ok((now.state.is_final(), pieces))
}

/// A log as messages: each piece as `line` (its lines together), then `end`.
pub(crate) fn log_messages(
    house: House,
    task: TaskStatus,
    cursor: Option<LogCursor>,
) -> impl Stream<Item = Message> + Send + 'static {
    use futures::StreamExt;
    let message = |piece: Result<LogPiece, backlot_work::Error>| match piece {
        Ok(piece) => Message::new(piece.text.trim_end_matches('\n'))
            .event("line")
            .id(LogCursor::of(&piece).to_number()),
        Err(error) => Message::new(error.to_string()).event("error"),
    };
    log(house, task, cursor)
        .map(message)
        .chain(futures::stream::once(async { Message::default().event("end") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_being_a_number() {
        for (attempt, seq) in [(1, 0), (3, 7), (1000, 4_000_000_000)] {
            let cursor = LogCursor { attempt, seq };
            assert_eq!(LogCursor::from_number(cursor.to_number()), cursor);
        }
    }
}
