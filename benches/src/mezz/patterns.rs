//! How a mounted file is read, and what that took.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

/// What a program such as cp or ffmpeg reads at a time in sequence.
const CHUNK: u64 = 1 << 20;
/// The kernel's pages.
const PAGE: u64 = 4096;
/// The length of a scattered read.
pub const SCATTERED: u64 = 64 << 10;

/// Which bytes are read, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// All of them.
    Sequential,
    /// This many pieces of 64 KiB from all over the file, by this many programs that share them.
    Scattered {
        /// The pieces.
        count: u64,
        /// The programs.
        readers: usize,
    },
    /// 40 MB, then 10 MB are left out, and so on.
    Strided,
}

impl Pattern {
    /// The reads of a file of this size: offsets and lengths.
    pub fn reads(self, size: u64) -> Vec<(u64, u64)> {
        let run = |from: u64, to: u64| {
            (from..to).step_by(CHUNK as usize).map(move |at| (at, CHUNK.min(to - at))).collect::<Vec<_>>()
        };
        match self {
            Self::Sequential => run(0, size),
            Self::Strided => (0..size)
                .step_by(50_000_000)
                .flat_map(|start| run(start, (start + 40_000_000).min(size)))
                .collect(),
            Self::Scattered { count, .. } => {
                let places = (size / SCATTERED).max(1);
                let mut random = fastrand::Rng::with_seed(7);
                (0..count).map(|_| (random.u64(0..places) * SCATTERED, SCATTERED.min(size))).collect()
            }
        }
    }

    fn readers(self) -> usize {
        if let Self::Scattered { readers, .. } = self { readers.max(1) } else { 1 }
    }
}

/// What reading took.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// Bytes read.
    pub bytes: u64,
    /// Seconds.
    pub seconds: f64,
}

impl Timed {
    /// MB (10^6 bytes) in a second.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds.max(1e-9)
    }
}

/// A file that was read by a pattern.
#[derive(Debug)]
pub struct Reading {
    file: File,
    reads: Vec<(u64, u64)>,
    /// The beginning of each page as it was read.
    marks: Vec<[u8; 8]>,
    /// What that took.
    pub timed: Timed,
}

impl Reading {
    /// Reads a file by a pattern.
    ///
    /// # Errors
    /// A read that fails.
    pub fn of(path: &Path, pattern: Pattern) -> io::Result<Self> {
        let file = File::open(path)?;
        let reads = pattern.reads(file.metadata()?.len());
        let bytes = reads.iter().map(|(_, len)| len).sum();
        let share = reads.len().div_ceil(pattern.readers()).max(1);
        let begun = Instant::now();
        let shares: io::Result<Vec<Vec<[u8; 8]>>> = std::thread::scope(|scope| {
            let readers: Vec<_> = reads
                .chunks(share)
                .map(|reads| scope.spawn(|| read_marks(&File::open(path)?, reads)))
                .collect();
            let gone = || io::Error::other("a reader has panicked");
            readers.into_iter().map(|reader| reader.join().map_err(|_| gone())?).collect()
        });
        let marks = shares?.concat();
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Self { file, reads, marks, timed: Timed { bytes, seconds } })
    }

    /// Compares what was read with the original: the beginning of each page as it came, and every byte as it is read again, which
    /// is from the kernel's page cache where there is one. To compare each piece whole as it came would give a mount time to fetch
    /// ahead in that is not counted.
    ///
    /// # Errors
    /// Other bytes than the original has.
    pub fn compare(&self, original: &Path) -> io::Result<()> {
        let original = File::open(original)?;
        let (mut buffer, mut wanted) = (vec![0; CHUNK as usize], vec![0; CHUNK as usize]);
        let mut marks = self.marks.iter();
        for &(offset, len) in &self.reads {
            let (piece, wanted) = (&mut buffer[..len as usize], &mut wanted[..len as usize]);
            self.file.read_exact_at(piece, offset)?;
            original.read_exact_at(wanted, offset)?;
            if piece != wanted || !self::marks(wanted).all(|mark| marks.next() == Some(&mark)) {
                let message = format!("other bytes than the original has at {offset}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
        Ok(())
    }
}

/// Reads pieces, and gives the beginning of each page.
fn read_marks(file: &File, reads: &[(u64, u64)]) -> io::Result<Vec<[u8; 8]>> {
    // At a page, as cp and cat have theirs.
    let mut buffer = vec![0; (CHUNK + PAGE) as usize];
    let begin = buffer.as_ptr().align_offset(PAGE as usize) % PAGE as usize;
    let mut found = Vec::new();
    for &(offset, len) in reads {
        let piece = &mut buffer[begin..][..len as usize];
        file.read_exact_at(piece, offset)?;
        found.extend(marks(piece));
    }
    Ok(found)
}

/// The first bytes of each page.
fn marks(bytes: &[u8]) -> impl Iterator<Item = [u8; 8]> {
    bytes.chunks(PAGE as usize).map(|page| std::array::from_fn(|at| page.get(at).copied().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_they_say() {
        let total = |pattern: Pattern, size| pattern.reads(size).iter().map(|(_, len)| len).sum::<u64>();
        assert_eq!(total(Pattern::Sequential, 10_000_001), 10_000_001);
        assert_eq!(total(Pattern::Strided, 120_000_000), 100_000_000);
        assert_eq!(total(Pattern::Scattered { count: 9, readers: 2 }, 1 << 30), 9 * SCATTERED);
    }

    #[test]
    fn other_bytes_are_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        std::fs::write(&one, vec![1; 100_000]).unwrap();
        let mut bytes = vec![1; 100_000];
        std::fs::write(&other, &bytes).unwrap();
        let reading = Reading::of(&one, Pattern::Sequential).unwrap();
        assert_eq!(reading.timed.bytes, 100_000);
        reading.compare(&other).unwrap();
        let shared = Reading::of(&one, Pattern::Scattered { count: 5, readers: 3 }).unwrap();
        assert_eq!((shared.timed.bytes, shared.marks.len() as u64), (5 * SCATTERED, 5 * SCATTERED / PAGE));
        shared.compare(&other).unwrap();
        bytes[99_999] = 2;
        std::fs::write(&other, &bytes).unwrap();
        assert!(reading.compare(&other).is_err());
    }
}
