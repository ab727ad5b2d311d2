//! Spare buffers.
//!
//! A buffer of several megabytes that is freed goes back to the system, and the next one comes from it page by page, each
//! cleared anew; that costs more than copying the bytes. So the buffer of a block that is read is kept for the next block.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// The most that is kept beside what is buffered, in bytes: two blocks of the longest length. A reader in sequence needs as
/// many as blocks become used up between two fetches.
const MOST: usize = 8 << 20;
/// The shortest buffer that is worth keeping. The allocator keeps shorter ones itself.
const SHORTEST: usize = 256 << 10;

/// The spare buffers of a mount.
#[derive(Debug, Default)]
pub(crate) struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    /// An empty buffer with room for this many bytes.
    pub(crate) fn take(&self, room: usize) -> Vec<u8> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is much longer would hold memory that is not counted.
        let fits = kept.iter().position(|buffer| (room..=room * 2).contains(&buffer.capacity()));
        fits.map_or_else(|| Vec::with_capacity(room), |at| kept.swap_remove(at))
    }

    /// The bytes, whose buffer comes back when the last of them are dropped.
    pub(crate) fn lend(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        if bytes.capacity() < SHORTEST {
            return bytes.into();
        }
        Bytes::from_owner(Lent { bytes, home: Arc::clone(self) })
    }

    fn put(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held: usize = kept.iter().map(Vec::capacity).sum();
        if held + buffer.capacity() <= MOST {
            kept.push(buffer);
        }
    }
}

struct Lent {
    bytes: Vec<u8>,
    home: Arc<Spare>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_bytes_are_dropped() {
        let spare = Arc::new(Spare::default());
        let mut buffer = spare.take(1 << 20);
        buffer.extend_from_slice(b"slate");
        let place = buffer.as_ptr();
        let bytes = spare.lend(buffer);
        let tail = bytes.slice(2..);
        drop(bytes);
        let other = spare.take(1 << 20);
        assert_ne!(other.as_ptr(), place);
        assert_eq!(&tail[..], b"ate");
        drop(tail);
        let again = spare.take(1 << 20);
        assert!(again.as_ptr() == place && again.is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let spare = Arc::new(Spare::default());
        let lent: Vec<Bytes> = (0..10).map(|_| spare.lend(Vec::with_capacity(4 << 20))).collect();
        drop(lent);
        assert_eq!(spare.0.lock().unwrap().len(), 2);
        // Neither a short request nor a long one gets them.
        assert!(spare.take(1 << 20).capacity() < 4 << 20);
        assert!(spare.take(5 << 20).capacity() >= 5 << 20);
    }
}
