//! Spare buffers.
//!
//! A buffer of several megabytes that is freed goes back to the system, and the next one comes from it page by page, each
//! cleared anew; that costs more than receiving the bytes. So the buffer of a block that is forgotten is kept for the next
//! block. Kept and lent buffers together never hold more than the mount may buffer and a little ([`BESIDE`]).
//!
//! Most have the same long room, of which only pages that were once written to are memory. So one fits every block, the short
//! ones that a mount begins with and the long ones of a reader in sequence, and what counts is how far it was written.
//!
//! Each begins at a page: blocks do so in their object, and the kernel takes what it is given over page by page, which
//! are fastest to copy where they lie like its own. Of long blocks the pages are huge where the system has such: there is a
//! five-hundredth of them to be made, and to be looked up in each copy.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use memmap2::{Advice, MmapMut};

use crate::room::Room;

/// What there may be beside what is buffered, in bytes: two blocks of the longest length. A reader in sequence needs as
/// many as blocks become used up between two fetches.
const BESIDE: usize = 8 << 20;
/// The shortest buffer that is worth keeping. The allocator keeps shorter ones itself.
const SHORTEST: usize = 256 << 10;
/// What the room of a buffer is a multiple of: more than a block of the longest length and what is added to a last one.
const ROOM: usize = 8 << 20;
/// The same for shorter blocks, of which there are many where reads are scattered.
const SHORT_ROOM: usize = 1 << 20;
/// Huge pages.
const HUGE: usize = 2 << 20;

/// The spare buffers of a mount.
#[derive(Debug)]
pub(crate) struct Spare {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: Vec<Pages>,
    /// How much memory all buffers are, kept or lent, that are worth keeping.
    held: usize,
}

/// Pages, and how far they were ever written.
#[derive(Debug)]
struct Pages {
    map: MmapMut,
    written: usize,
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
    pub(crate) fn take(self: &Arc<Self>, length: usize) -> Buffer {
        let home = Arc::clone(self);
        let pages = || self.state().take(length).or_else(|| Pages::new(length));
        let Some(mut pages) = (length >= SHORTEST).then(pages).flatten() else {
            return Buffer { room: Room::new(length), written: 0, home };
        };
        let huge = length / HUGE * HUGE;
        if huge > 0 {
            // A system that has none goes on with the pages that it has.
            let _ = pages.map.advise_range(Advice::HugePage, 0, huge);
        }
        let mut state = self.state();
        state.held += length.saturating_sub(pages.written);
        pages.written = pages.written.max(length);
        // What is too much goes, those that hold least first: others can do what they can.
        while state.held > self.most
            && let Some(at) = (0..state.kept.len()).min_by_key(|&at| state.kept[at].written)
        {
            state.held -= state.kept.swap_remove(at).written;
        }
        Buffer { room: Room::at(pages.map, length), written: pages.written, home }
    }

    fn put(&self, pages: Pages) {
        let mut state = self.state();
        if state.held <= self.most {
            state.kept.push(pages);
        } else {
            state.held = state.held.saturating_sub(pages.written);
        }
    }
}

impl State {
    /// The buffer that was written nearest to as far as this one will be. One that was written much further would hold memory
    /// that is not counted.
    fn take(&mut self, length: usize) -> Option<Pages> {
        let fits = |pages: &Pages| pages.map.len() >= length && pages.written <= length.saturating_mul(2);
        let at = (0..self.kept.len())
            .filter(|&at| fits(&self.kept[at]))
            .min_by_key(|&at| self.kept[at].written.abs_diff(length))?;
        Some(self.kept.swap_remove(at))
    }
}

impl Pages {
    /// New ones; none where the system gives none.
    fn new(length: usize) -> Option<Self> {
        let room = if length < SHORT_ROOM { SHORT_ROOM } else { ROOM };
        let map = MmapMut::map_anon(length.checked_next_multiple_of(room)?).ok()?;
        Some(Self { map, written: 0 })
    }
}

/// A buffer that is lent.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// What is to be filled.
    pub(crate) room: Room,
    written: usize,
    home: Arc<Spare>,
}

impl Buffer {
    /// Its bytes, whose buffer comes back when the last of them are dropped.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.room.filled()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(map) = std::mem::take(&mut self.room).into_pages() {
            self.home.put(Pages { map, written: self.written });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// How many are kept, and how much memory all are.
    fn kept_and_held(spare: &Spare) -> (usize, usize) {
        let state = spare.state();
        (state.kept.len(), state.held)
    }

    #[test]
    fn a_buffer_comes_back_when_its_last_bytes_are_dropped() {
        let spare = Arc::new(Spare::new(8 << 20));
        let mut buffer = spare.take(MIB);
        buffer.room.push(b"slate");
        let place = buffer.as_ref().as_ptr();
        let bytes = buffer.freeze();
        let tail = bytes.slice(2..);
        drop(bytes);
        assert!(spare.state().kept.is_empty());
        assert_eq!((&tail[..], tail.as_ptr() as usize % 4096), (b"ate".as_slice(), 2));
        drop(tail);
        let mut again = spare.take(MIB);
        assert_eq!((again.as_ref().len(), again.room.rest().as_ptr()), (0, place));
    }

    #[test]
    fn kept_and_lent_are_bounded() {
        let spare = Arc::new(Spare::new(16 << 20));
        let lent: Vec<Buffer> = (0..10).map(|_| spare.take(4 * MIB)).collect();
        drop(lent);
        assert_eq!(kept_and_held(&spare), (6, 24 * MIB));
        // A short block does not get what holds much more than it needs; others go for it.
        let short = spare.take(MIB);
        assert_eq!((short.written, kept_and_held(&spare)), (MIB, (5, 21 * MIB)));
        // A long one gets what is there, and what it needs more counts.
        let long = spare.take(6 * MIB);
        assert_eq!((long.written, kept_and_held(&spare)), (6 * MIB, (4, 23 * MIB)));
        drop((short, long));
        assert_eq!(kept_and_held(&spare), (6, 23 * MIB));
    }

    #[test]
    fn what_was_written_nearest_as_far_is_taken() {
        let spare = Arc::new(Spare::new(64 << 20));
        drop([6, 1, 3].map(|length| spare.take(length * MIB)));
        for (length, written) in [(5 * MIB, 6 * MIB), (20 * MIB, 20 * MIB), (7 * MIB, 7 * MIB)] {
            assert_eq!(spare.take(length).written, written);
        }
        assert_eq!(spare.take(100).room.left(), 100);
    }
}
