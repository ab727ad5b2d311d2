//! What a kernel publishes, taken off its socket as fast as it comes.
//!
//! A kernel's publishing socket throws messages away when more than a thousand wait in it, and whoever saves a notebook does not read
//! meanwhile. So a task of its own reads, and messages wait here instead. They may take [`ROOM`]; beyond that the task stops reading,
//! so that a flood cannot take all memory.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::Socket;

/// The most that waits, in kibibytes: a hundred thousand messages of some 600 bytes are a quarter of it.
const ROOM: u32 = 256 << 10;

type Frames = Vec<Bytes>;

/// A socket that is read ahead.
pub(super) struct Drained {
    waiting: mpsc::UnboundedReceiver<io::Result<Frames>>,
    room: Arc<Semaphore>,
    reader: AbortHandle,
}

/// How much room a message takes.
fn size(frames: &Frames) -> u32 {
    let bytes: usize = frames.iter().map(|frame| frame.len() + size_of::<Bytes>()).sum();
    u32::try_from(bytes / 1024 + 1).unwrap_or(ROOM).min(ROOM)
}

impl Drained {
    /// Begins to read.
    pub(super) fn new(mut socket: Socket) -> Drained {
        let room = Arc::new(Semaphore::new(ROOM as usize));
        let (sender, waiting) = mpsc::unbounded_channel();
        let left = Arc::clone(&room);
        let reader = tokio::spawn(async move {
            loop {
                let read = socket.recv().await;
                let is_last = read.is_err();
                if let Ok(frames) = &read {
                    match left.acquire_many(size(frames)).await {
                        Ok(taken) => taken.forget(),
                        Err(_) => return, // nobody closes it
                    }
                }
                if sender.send(read).is_err() || is_last {
                    return;
                }
            }
        });
        Drained { waiting, room, reader: reader.abort_handle() }
    }

    /// The next message. Cancel safe.
    ///
    /// # Errors
    /// As of the socket; after that, that it has ended.
    pub(super) async fn recv(&mut self) -> io::Result<Frames> {
        match self.waiting.recv().await {
            Some(Ok(frames)) => {
                self.room.add_permits(size(&frames) as usize);
                Ok(frames)
            }
            Some(Err(error)) => Err(error),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
