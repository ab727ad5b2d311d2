//! Memory that is filled from its beginning, by whatever source has the bytes.
//!
//! It is handed to sources by reference, and a source that reads in another thread may take it along and put it back.

use memmap2::MmapMut;

/// Room for so many bytes, and those that have come.
#[derive(Debug, Default)]
pub struct Room {
    memory: Memory,
    length: usize,
    filled: usize,
}

#[derive(Debug)]
enum Memory {
    Heap(Vec<u8>),
    Pages(MmapMut),
}

impl Default for Memory {
    fn default() -> Self {
        Self::Heap(Vec::new())
    }
}

impl Memory {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Pages(pages) => pages,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Pages(pages) => pages,
        }
    }
}

impl Room {
    /// Room on the heap.
    pub fn new(length: usize) -> Self {
        Self { memory: Memory::Heap(vec![0; length]), length, filled: 0 }
    }

    /// Room at the beginning of pages that may be more.
    pub(crate) fn at(pages: MmapMut, length: usize) -> Self {
        let length = length.min(pages.len());
        Self { memory: Memory::Pages(pages), length, filled: 0 }
    }

    /// What has come, without a copy if it is on the heap.
    pub(crate) fn into_vec(self) -> Vec<u8> {
        match self.memory {
            Memory::Heap(mut bytes) => {
                bytes.truncate(self.filled);
                bytes
            }
            Memory::Pages(pages) => pages[..self.filled].to_vec(),
        }
    }

    /// The pages again, if that is what it is made of.
    pub(crate) fn into_pages(self) -> Option<MmapMut> {
        match self.memory {
            Memory::Pages(pages) => Some(pages),
            Memory::Heap(_) => None,
        }
    }

    /// What has come.
    pub fn filled(&self) -> &[u8] {
        &self.memory.bytes()[..self.filled]
    }

    /// What has come, to be opened in place.
    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.memory.bytes_mut()[..self.filled]
    }

    /// Where the next bytes belong; [`Room::advance`] tells how many were put there.
    pub fn rest(&mut self) -> &mut [u8] {
        &mut self.memory.bytes_mut()[self.filled..self.length]
    }

    /// How many more bytes there is room for.
    pub fn left(&self) -> usize {
        self.length - self.filled
    }

    /// So many more bytes have come, to the beginning of the rest.
    pub fn advance(&mut self, count: usize) {
        self.filled += count.min(self.left());
    }

    /// Copies bytes to the beginning of the rest, as many as there is room for, and tells how many.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.left());
        self.rest()[..count].copy_from_slice(&bytes[..count]);
        self.advance(count);
        count
    }

    /// Forgets all but the first bytes.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.filled = self.filled.min(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_filled_from_its_beginning_and_no_further_than_its_end() {
        let pages = MmapMut::map_anon(4096).unwrap();
        for mut room in [Room::new(5), Room::at(pages, 5)] {
            assert_eq!((room.push(b"sl"), room.left()), (2, 3));
            room.rest()[..2].copy_from_slice(b"at");
            room.advance(2);
            assert_eq!(room.filled(), b"slat");
            assert_eq!(room.push(b"ed"), 1);
            assert_eq!((room.filled(), room.left()), (b"slate".as_slice(), 0));
            room.advance(1);
            room.truncate(9);
            assert_eq!(room.filled(), b"slate");
            room.truncate(1);
            assert_eq!((room.filled(), room.left()), (b"s".as_slice(), 4));
            assert_eq!(room.into_vec(), b"s");
        }
    }
}
