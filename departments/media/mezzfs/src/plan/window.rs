//! How a buffer's size follows from the most recent reads.
//!
//! The reads of a sliding window are grouped into *clusters*: sets of reads that touch one another, so that each is one
//! contiguous piece of an object. The mean length of a read divided by the mean length of a cluster then tells how the data
//! is used ("MezzFS: Mounting object storage in Netflix's media processing platform", 2019, section on adaptive buffering):
//!
//! - near 1, no read continues another: the access is *sparse*, and what is buffered beyond a read is thrown away. The
//!   buffer is as long as a read is on average.
//! - near 0, reads continue one another: the access is *dense*. The buffer is as long as the memory allows, and where
//!   several readers are dense at a time they share it: the maximum divided by the number of clusters.
//!
//! The article tells the two ends. Between [`SPARSE`] and [`DENSE`] the length is interpolated geometrically, which makes a
//! reader that begins to read sequentially double its buffer from read to read, as TCP's slow start does.

use std::collections::VecDeque;
use std::ops::Range;

/// How many reads the window holds. The kernel asks for up to 1 MiB at a time when it reads ahead, so this is up to 128 MiB of
/// one dense reader; and it is two reads of each when 64 readers take turns.
pub const WINDOW: usize = 128;
/// From this ratio on the access counts as wholly sparse. Of scattered reads a few touch by chance; they must not swell the
/// buffers of the others.
pub const SPARSE: f64 = 0.75;
/// Up to this ratio the access counts as wholly dense: ten reads that continue one another.
pub const DENSE: f64 = 0.1;

/// One read: `len` bytes of an object from `offset` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Read {
    /// Which object, by its position in the mount.
    pub object: u32,
    /// The first byte.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}

impl Read {
    /// The byte after the last.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

/// What the window looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// How many reads it holds.
    pub reads: usize,
    /// How many clusters they form.
    pub clusters: usize,
    /// The mean length of a read, in bytes.
    pub mean_read: f64,
    /// The mean length of a cluster, in bytes: what its reads cover, so that reading a place again does not look dense.
    pub mean_cluster: f64,
}

impl Shape {
    /// 1 when every read stands alone, towards 0 when they continue one another. 1 for an empty window.
    pub fn ratio(&self) -> f64 {
        if self.mean_cluster > 0.0 { (self.mean_read / self.mean_cluster).min(1.0) } else { 1.0 }
    }
}

/// The most recent reads of a mount.
#[derive(Clone, Debug)]
pub struct Window {
    reads: VecDeque<Read>,
    capacity: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self::new(WINDOW)
    }
}

impl Window {
    /// A window for this many reads, at least one.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { reads: VecDeque::with_capacity(capacity), capacity }
    }

    /// Adds a read; the oldest falls out of a full window. A read of nothing is not counted.
    pub fn push(&mut self, read: Read) {
        if read.len == 0 {
            return;
        }
        if self.reads.len() == self.capacity {
            self.reads.pop_front();
        }
        self.reads.push_back(read);
    }

    /// Groups the reads into clusters.
    pub fn shape(&self) -> Shape {
        self.shape_over(|_, _| false)
    }

    /// Groups the reads into clusters; two that only gaps lie between that `bridges` knows, of an object, are one.
    pub fn shape_over(&self, bridges: impl Fn(u32, &Range<u64>) -> bool) -> Shape {
        let mut sorted: Vec<Read> = self.reads.iter().copied().collect();
        sorted.sort_unstable();
        let bytes: u64 = sorted.iter().map(|read| read.len).sum();
        let (mut clusters, mut covered) = (0_usize, 0_u64);
        let mut open: Option<(u32, u64)> = None;
        for read in &sorted {
            match open {
                Some((object, end)) if object == read.object && read.offset <= end => {
                    covered += read.end().saturating_sub(end);
                    open = Some((object, end.max(read.end())));
                }
                Some((object, end)) if object == read.object && bridges(object, &(end..read.offset)) => {
                    covered += read.len;
                    open = Some((object, read.end()));
                }
                _ => {
                    clusters += 1;
                    covered += read.len;
                    open = Some((read.object, read.end()));
                }
            }
        }
        let mean = |total: u64, count: usize| if count == 0 { 0.0 } else { total as f64 / count as f64 };
        Shape {
            reads: sorted.len(),
            clusters,
            mean_read: mean(bytes, sorted.len()),
            mean_cluster: mean(covered, clusters),
        }
    }
}

/// How the length of a buffer is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// By the shape of the window.
    Adaptive,
    /// Always this many bytes, as most mounts do, and MezzFS did before; here for comparison.
    Fixed(u64),
}

impl Policy {
    /// The length of the next buffer in bytes, at least 1 and at most `max_buffer`.
    pub fn buffer_size(self, shape: &Shape, max_buffer: u64) -> u64 {
        let max_buffer = max_buffer.max(1);
        let size = match self {
            Self::Fixed(size) => size,
            Self::Adaptive => {
                let sparse = shape.mean_read.max(1.0);
                let dense = (max_buffer as f64 / shape.clusters.max(1) as f64).max(1.0);
                let share = ((shape.ratio() - DENSE) / (SPARSE - DENSE)).clamp(0.0, 1.0);
                // Few wide clusters may leave each less than a read is long; the ends then trade places, which is right.
                (sparse.ln() * share + dense.ln() * (1.0 - share)).exp().round() as u64
            }
        };
        size.clamp(1, max_buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;

    fn window(reads: impl IntoIterator<Item = (u32, u64, u64)>) -> Window {
        let mut window = Window::default();
        for (object, offset, len) in reads {
            window.push(Read { object, offset, len });
        }
        window
    }

    #[test]
    fn scattered_reads_are_buffered_as_long_as_they_are() {
        let shape = window((0..64).map(|i| (0, i * 10 * MIB, 64 * KIB))).shape();
        assert_eq!((shape.clusters, shape.ratio()), (64, 1.0));
        assert_eq!(Policy::Adaptive.buffer_size(&shape, 64 * MIB), 64 * KIB);
    }

    #[test]
    fn readers_that_are_dense_share_the_memory() {
        for readers in [1_u64, 2, 4] {
            let reads = (0..128).map(|i| (0, (i % readers) * 100 * MIB + i / readers * 128 * KIB, 128 * KIB));
            let shape = window(reads).shape();
            assert_eq!(shape.clusters as u64, readers);
            assert_eq!(Policy::Adaptive.buffer_size(&shape, 64 * MIB), 64 * MIB / readers);
        }
    }

    #[test]
    fn a_reader_that_begins_in_sequence_ramps_up() {
        let mut window = Window::default();
        let sizes: Vec<u64> = (0..12)
            .map(|i| {
                window.push(Read { object: 0, offset: i * 128 * KIB, len: 128 * KIB });
                Policy::Adaptive.buffer_size(&window.shape(), 64 * MIB)
            })
            .collect();
        assert_eq!(sizes[0], 128 * KIB);
        assert!(sizes.windows(2).all(|pair| pair[0] <= pair[1]), "{sizes:?}");
        assert_eq!(sizes[11], 64 * MIB);
    }

    #[test]
    fn reading_a_place_again_is_not_dense() {
        let shape = window((0..50).map(|_| (0, 7 * MIB, 64 * KIB))).shape();
        assert_eq!((shape.clusters, shape.ratio()), (1, 1.0));
    }

    #[test]
    fn objects_do_not_touch() {
        assert_eq!(window([(0, 0, KIB), (1, KIB, KIB), (0, KIB, KIB)]).shape().clusters, 2);
    }

    #[test]
    fn an_empty_window_and_a_read_of_nothing_are_harmless() {
        let shape = window([(0, 0, 0)]).shape();
        assert_eq!((shape.reads, shape.clusters, shape.ratio()), (0, 0, 1.0));
        assert_eq!(Policy::Adaptive.buffer_size(&shape, 0), 1);
    }

    /// The naive twin: paints every byte and counts the runs.
    fn naive_clusters(reads: &[Read]) -> (usize, u64) {
        let (mut clusters, mut covered) = (0, 0);
        for object in 0..3 {
            let mut cells = vec![false; 400];
            for read in reads.iter().filter(|read| read.object == object) {
                (read.offset..read.end()).for_each(|at| cells[at as usize] = true);
            }
            // A run of painted bytes is one cluster: reads that touch have no gap between them.
            let mut before = false;
            for &cell in &cells {
                clusters += usize::from(cell && !before);
                covered += u64::from(cell);
                before = cell;
            }
        }
        (clusters, covered)
    }

    proptest! {
        #[test]
        fn clusters_are_those_of_the_painted_bytes(
            reads in prop::collection::vec((0_u32..3, 0_u64..300, 1_u64..100), 0..40)
        ) {
            let window = window(reads.iter().copied());
            let shape = window.shape();
            let list: Vec<Read> = window.reads.iter().copied().collect();
            let (clusters, covered) = naive_clusters(&list);
            prop_assert_eq!(shape.clusters, clusters);
            if clusters > 0 {
                prop_assert!((shape.mean_cluster - covered as f64 / clusters as f64).abs() < 1e-9);
            }
            prop_assert!((0.0..=1.0).contains(&shape.ratio()));
        }

        #[test]
        fn the_size_is_between_its_ends(
            reads in prop::collection::vec((0_u32..3, 0_u64..1 << 40, 1_u64..1 << 21), 0..200),
            max in 1_u64..1 << 32,
        ) {
            let shape = window(reads).shape();
            let size = Policy::Adaptive.buffer_size(&shape, max);
            let (read, share) = (shape.mean_read.max(1.0), max as f64 / shape.clusters.max(1) as f64);
            prop_assert!(size >= 1 && size <= max);
            prop_assert!(size as f64 <= read.max(share).ceil() + 1.0);
            prop_assert!(size as f64 >= read.min(share).min(max as f64).floor() - 1.0);
        }
    }
}
