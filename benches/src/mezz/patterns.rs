//! How a mounted file is read, and what that took.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

/// What a program such as cp or ffmpeg reads at a time in sequence.
const CHUNK: u64 = 1 << 20;
/// The length of a scattered read.
pub const SCATTERED: u64 = 64 << 10;

/// Which bytes are read, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// All of them.
    Sequential,
    /// This many pieces of 64 KiB from all over the file.
    Scattered(u64),
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
            Self::Scattered(count) => {
                let places = (size / SCATTERED).max(1);
                let mut random = fastrand::Rng::with_seed(7);
                (0..count).map(|_| (random.u64(0..places) * SCATTERED, SCATTERED.min(size))).collect()
            }
        }
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

/// Reads a file by a pattern; then, outside of the time, compares what it read with the original.
///
/// # Errors
/// A read that fails, or gives other bytes than the original has.
pub fn read(file: &Path, original: &Path, pattern: Pattern) -> io::Result<Timed> {
    let opened = File::open(file)?;
    let reads = pattern.reads(opened.metadata()?.len());
    let mut sums = Vec::with_capacity(reads.len());
    let mut buffer = vec![0; CHUNK as usize];
    let begun = Instant::now();
    let mut seconds = 0.0;
    let mut mark = begun;
    for &(offset, len) in &reads {
        let piece = &mut buffer[..len as usize];
        opened.read_exact_at(piece, offset)?;
        seconds += mark.elapsed().as_secs_f64();
        sums.push(sum(piece));
        mark = Instant::now();
    }
    let original = File::open(original)?;
    for (&(offset, len), known) in reads.iter().zip(&sums) {
        let piece = &mut buffer[..len as usize];
        original.read_exact_at(piece, offset)?;
        if sum(piece) != *known {
            let message = format!("{} has other bytes than the original at {offset}", file.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
    }
    Ok(Timed { bytes: reads.iter().map(|(_, len)| len).sum(), seconds })
}

/// A checksum that costs little beside the read: a quarter of a millisecond for 1 MiB.
fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(0xcbf2_9ce4_8422_2325, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_they_say() {
        let total = |pattern: Pattern, size| pattern.reads(size).iter().map(|(_, len)| len).sum::<u64>();
        assert_eq!(total(Pattern::Sequential, 10_000_001), 10_000_001);
        assert_eq!(total(Pattern::Strided, 120_000_000), 100_000_000);
        assert_eq!(total(Pattern::Scattered(9), 1 << 30), 9 * SCATTERED);
    }

    #[test]
    fn other_bytes_are_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        std::fs::write(&one, vec![1; 100_000]).unwrap();
        let mut bytes = vec![1; 100_000];
        std::fs::write(&other, &bytes).unwrap();
        assert_eq!(read(&one, &other, Pattern::Sequential).unwrap().bytes, 100_000);
        bytes[99_999] = 2;
        std::fs::write(&other, &bytes).unwrap();
        assert!(read(&one, &other, Pattern::Sequential).is_err());
    }
}
