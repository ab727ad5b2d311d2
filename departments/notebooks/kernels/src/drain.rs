//! What a kernel publishes, taken off its socket as fast as it comes.
//!
//! A kernel's publishing socket throws messages away when too many wait in it (a thousand, unless somebody raised that, see
//! [`crate::preparation`]), and whoever binds and saves outputs does not read meanwhile. So one thread, which does nothing else, reads
//! the sockets of all kernels of this process, and messages wait here instead: up to [`MEMORY`] of them in memory, then up to [`DISK`] in a
//! temporary file without a name. Only when both are full, or the disk is, does it stop reading.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use crate::address::{Address, Channel};
use crate::zmtp::{Reader, Role};

/// The most bytes that wait in memory, per kernel: half a second of the fastest flood that Python can make.
const MEMORY: usize = 32 << 20;

/// The most bytes that wait on disk, per kernel: more output than a notebook of 1 GiB can hold.
const DISK: u64 = 4 << 30;

type Frames = Vec<Bytes>;

/// The thread's runtime, once it runs.
static READING: Mutex<Option<Handle>> = Mutex::new(None);

fn reading() -> io::Result<Handle> {
    let mut reading = READING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*reading {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let read = move || runtime.block_on(std::future::pending::<()>());
    std::thread::Builder::new().name("kernels-iopub".to_owned()).spawn(read)?;
    *reading = Some(handle.clone());
    Ok(handle)
}

/// A kernel's publications, read ahead. Dropped, it is read no more.
pub struct Drained {
    shared: Arc<Shared>,
    reader: AbortHandle,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    left: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drained {
    /// Subscribes to what a kernel publishes as soon as it listens, and begins to read.
    ///
    /// # Errors
    /// As [`Address::connect`], and without end as that.
    pub async fn connect(address: Address, identity: &[u8]) -> io::Result<Drained> {
        let shared = Arc::<Shared>::default();
        let (identity, into) = (identity.to_owned(), shared.clone());
        let (told, connected) = oneshot::channel();
        let task = reading()?.spawn(async move {
            match address.connect(Channel::Iopub, Role::Subscriber, &identity).await {
                Ok(socket) => {
                    let _ = told.send(Ok(())); // whoever waits no more has dropped this task as well
                    let (reader, _writer) = socket.split();
                    drain(reader, &into).await;
                }
                Err(error) => drop(told.send(Err(error))),
            }
        });
        let drained = Drained { shared, reader: task.abort_handle() };
        connected.await.map_err(io::Error::other)??;
        Ok(drained)
    }

    /// The next message. Cancel safe.
    ///
    /// # Errors
    /// As of the socket; after that, that it has ended.
    pub async fn recv(&mut self) -> io::Result<Vec<Bytes>> {
        loop {
            let next = self.shared.lock().pop();
            if let Some(next) = next {
                self.shared.left.notify_one();
                return next;
            }
            self.shared.arrived.notified().await;
        }
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn drain(mut reader: Reader, into: &Shared) {
    loop {
        let read = reader.recv().await;
        match read {
            Ok(mut frames) => loop {
                let pushed = into.lock().push(frames, MEMORY, DISK);
                let Err(back) = pushed else { break };
                frames = back;
                into.left.notified().await;
            },
            Err(error) => {
                into.lock().end = Some(error);
                into.arrived.notify_one();
                return;
            }
        }
        into.arrived.notify_one();
    }
}

/// Messages in the order in which they came: those in memory, then those on disk.
#[derive(Default)]
struct Waiting {
    memory: VecDeque<Frames>,
    bytes: usize,
    disk: Spill,
    end: Option<io::Error>,
}

fn size(frames: &Frames) -> usize {
    frames.iter().map(|frame| frame.len() + size_of::<Bytes>()).sum()
}

impl Waiting {
    /// Takes a message, or gives it back when there is no room.
    fn push(&mut self, frames: Frames, memory: usize, disk: u64) -> Result<(), Frames> {
        let size = size(&frames);
        // One that is larger than the room passes when nothing waits.
        if self.disk.is_empty() && (self.bytes == 0 || self.bytes + size <= memory) {
            self.bytes += size;
            self.memory.push_back(frames);
            return Ok(());
        }
        if self.disk.len() < disk && self.disk.push(&frames).is_ok() { Ok(()) } else { Err(frames) }
    }

    /// The next message, or why there will be none.
    fn pop(&mut self) -> Option<io::Result<Frames>> {
        if let Some(frames) = self.memory.pop_front() {
            self.bytes -= size(&frames);
            return Some(Ok(frames));
        }
        if !self.disk.is_empty() {
            return Some(self.disk.pop());
        }
        let end = self.end.take()?;
        self.end = Some(io::ErrorKind::UnexpectedEof.into());
        Some(Err(end))
    }
}

/// Messages in a file: the number of frames, their lengths, their bytes; all numbers big-endian.
#[derive(Default)]
struct Spill {
    file: Option<File>,
    read: u64,
    written: u64,
}

impl Spill {
    fn is_empty(&self) -> bool {
        self.read == self.written
    }

    fn len(&self) -> u64 {
        self.written
    }

    fn push(&mut self, frames: &Frames) -> io::Result<()> {
        let mut record = BytesMut::with_capacity(8 * (frames.len() + 1) + size(frames));
        record.put_u64(frames.len() as u64);
        for frame in frames {
            record.put_u64(frame.len() as u64);
        }
        for frame in frames {
            record.put_slice(frame);
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile()?),
        };
        // What a full disk has of it is overwritten by the next.
        file.write_all_at(&record, self.written)?;
        self.written += record.len() as u64;
        Ok(())
    }

    fn pop(&mut self) -> io::Result<Frames> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut at = self.read;
        let mut take = |length: usize| {
            let mut bytes = BytesMut::zeroed(length);
            file.read_exact_at(&mut bytes, at)?;
            at += length as u64;
            Ok::<_, io::Error>(bytes)
        };
        let count = take(8)?.get_u64() as usize;
        let mut lengths = take(8 * count)?;
        let lengths: Vec<usize> = (0..count).map(|_| lengths.get_u64() as usize).collect();
        let mut body = take(lengths.iter().sum())?;
        let frames = lengths.into_iter().map(|length| body.split_to(length).freeze()).collect();
        self.read = at;
        if self.is_empty() {
            file.set_len(0)?;
            (self.read, self.written) = (0, 0);
        }
        Ok(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: usize) -> Frames {
        let text = number.to_string();
        vec![Bytes::from(text.clone()), Bytes::new(), Bytes::from(text.repeat(number % 7))]
    }

    #[test]
    fn messages_come_in_their_order_from_memory_and_disk() {
        let mut waiting = Waiting::default();
        let (mut pushed, mut popped) = (0, 0);
        for round in 1..40 {
            for _ in 0..round {
                waiting.push(message(pushed), 2_000, u64::MAX).unwrap();
                pushed += 1;
            }
            for _ in 0..round * 2 / 3 {
                assert_eq!(waiting.pop().unwrap().unwrap(), message(popped));
                popped += 1;
            }
        }
        assert!(waiting.disk.written > 0 && waiting.bytes <= 2_000, "{}", waiting.bytes);
        while let Some(next) = waiting.pop() {
            assert_eq!(next.unwrap(), message(popped));
            popped += 1;
        }
        assert_eq!((popped, waiting.disk.written, waiting.bytes), (pushed, 0, 0));
    }

    #[test]
    fn without_room_a_message_is_given_back() {
        let mut waiting = Waiting::default();
        let large: Frames = vec![Bytes::from(vec![0; 5_000])];
        waiting.push(large.clone(), 1_000, 0).unwrap();
        assert_eq!(waiting.push(message(1), 1_000, 0), Err(message(1)));
        assert_eq!(waiting.pop().unwrap().unwrap(), large);
        assert!(waiting.pop().is_none());
        waiting.push(message(1), 1_000, 0).unwrap();
        waiting.end = Some(io::ErrorKind::ConnectionReset.into());
        assert_eq!(waiting.pop().unwrap().unwrap(), message(1));
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof] {
            assert_eq!(waiting.pop().unwrap().unwrap_err().kind(), kind);
        }
    }
}
