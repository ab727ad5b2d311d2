//! Spare buffers.
//!
//! A buffer of several megabytes that is freed goes back to the system, and the next one comes from it page by page, each
//! cleared anew; that costs more than receiving the bytes. So the buffer of a block that is forgotten is kept for the next
//! block. Kept and lent buffers together are never more than the mount may buffer and a little ([`BESIDE`]).
//!
//! What is buffered begins at a page. Blocks do so in their object, and the kernel takes what it is given over page by page:
//! pages that lie across its own would be copied in two pieces each, from addresses that copying is slowest from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// What there may be beside what is buffered, in bytes: two blocks of the longest length. A reader in sequence needs as
/// many as blocks become used up between two fetches.
const BESIDE: usize = 8 << 20;
/// The shortest buffer that is worth keeping. The allocator keeps shorter ones itself.
const SHORTEST: usize = 256 << 10;
/// Longer buffers have lengths that are multiples of this, so that one fits many blocks.
const STEP: usize = 1 << 20;
/// The kernel's pages, or a part of them where they are larger.
const PAGE: usize = 4096;

/// The spare buffers of a mount.
#[derive(Debug)]
pub(crate) struct Spare {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: Vec<Vec<u8>>,
    /// The room of all buffers, kept or lent, that are worth keeping.
    room: usize,
}

impl Spare {
    /// No buffers yet, for a mount that buffers at most this many bytes.
    pub(crate) fn new(max_buffer: u64) -> Self {
        let most = usize::try_from(max_buffer).unwrap_or(usize::MAX).saturating_add(BESIDE);
        Self { most, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty buffer with room for this many bytes, which comes back when it is dropped.
    pub(crate) fn take(self: &Arc<Self>, room: usize) -> Buffer {
        let home = Arc::clone(self);
        if room < SHORTEST {
            return Buffer { bytes: Vec::with_capacity(room), begin: 0, home };
        }
        let room = room.saturating_add(PAGE);
        let mut state = self.state();
        // The tightest that fits. One that is much longer would hold memory that is not counted.
        let fits = (0..state.kept.len()).filter(|&at| (room..=room * 2).contains(&state.kept[at].capacity()));
        if let Some(at) = fits.min_by_key(|&at| state.kept[at].capacity()) {
            return Buffer::at_page(state.kept.swap_remove(at), home);
        }
        let room = (room - PAGE).checked_next_multiple_of(STEP).unwrap_or(room).saturating_add(PAGE);
        let bytes: Vec<u8> = Vec::with_capacity(room);
        state.room += bytes.capacity();
        // What does not fit makes room for what does.
        while state.room > self.most
            && let Some(other) = state.kept.pop()
        {
            state.room -= other.capacity();
        }
        Buffer::at_page(bytes, home)
    }

    fn put(&self, mut bytes: Vec<u8>) {
        if bytes.capacity() < SHORTEST {
            return;
        }
        bytes.clear();
        let mut state = self.state();
        if state.room <= self.most {
            state.kept.push(bytes);
        } else {
            state.room = state.room.saturating_sub(bytes.capacity());
        }
    }
}

/// A buffer that is lent.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Whatever is to be buffered is appended.
    pub(crate) bytes: Vec<u8>,
    /// What lies before it, up to a page.
    begin: usize,
    home: Arc<Spare>,
}

impl Buffer {
    fn at_page(mut bytes: Vec<u8>, home: Arc<Spare>) -> Self {
        // The distance may be unknown, which costs speed and nothing else.
        let begin = bytes.as_ptr().align_offset(PAGE).min(PAGE) % PAGE;
        bytes.resize(begin, 0);
        Self { bytes, begin, home }
    }

    /// Its bytes, whose buffer comes back when the last of them are dropped.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_bytes_are_dropped() {
        let spare = Arc::new(Spare::new(8 << 20));
        let mut buffer = spare.take(1 << 20);
        buffer.bytes.extend_from_slice(b"slate");
        let place = buffer.bytes.as_ptr();
        let bytes = buffer.freeze();
        let tail = bytes.slice(2..);
        drop(bytes);
        let other = spare.take(1 << 20);
        assert_ne!(other.bytes.as_ptr(), place);
        assert_eq!((&tail[..], tail.as_ptr() as usize % PAGE), (b"ate".as_slice(), 2));
        drop(tail);
        let again = spare.take(1 << 20);
        assert!(again.bytes.as_ptr() == place && again.as_ref().is_empty());
    }

    #[test]
    fn kept_and_lent_are_bounded() {
        let spare = Arc::new(Spare::new(16 << 20));
        let lent: Vec<Buffer> = (0..10).map(|_| spare.take(4 << 20)).collect();
        drop(lent);
        // Those beyond 24 MiB, with the page beside each, went back to the system.
        assert_eq!(spare.state().kept.len(), 5);
        // Neither a short request nor a long one gets them; what does not fit makes room.
        assert_eq!(spare.take(1 << 20).bytes.capacity(), (1 << 20) + PAGE);
        assert!(spare.take(6 << 20).bytes.capacity() >= 6 << 20);
        assert!(spare.state().room <= 24 << 20, "{}", spare.state().room);
    }

    #[test]
    fn the_tightest_buffer_is_taken() {
        let spare = Arc::new(Spare::new(64 << 20));
        let lent = [6 << 20, 4 << 20, 5 << 20].map(|room| spare.take(room));
        drop(lent);
        assert_eq!(spare.take(7 << 19).bytes.capacity(), (4 << 20) + PAGE);
    }
}
