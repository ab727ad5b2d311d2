//! Planes with strides, frames, and the layout that describes them.
//!
//! A sample is a `u8` at eight bits and a `u16` above. The two are different types of plane, so that a kernel is
//! compiled once for each and never asks per sample; [`Pixels`] is the one place that asks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest side of a picture. No codec that a streaming service uses goes beyond 16K.
pub const MAX_SIDE: usize = 16_384;

/// The largest picture: 16K in a 16:9 frame is 142 million pixels. With 16-bit 4:4:4 this bounds one frame to 906 MB.
pub const MAX_PIXELS: usize = 151_000_000;

/// Bits per sample, 8 to 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub struct BitDepth(u8);

impl BitDepth {
    /// Eight bits.
    pub const EIGHT: Self = Self(8);
    /// Ten bits.
    pub const TEN: Self = Self(10);
    /// Twelve bits.
    pub const TWELVE: Self = Self(12);

    /// A depth of `bits`; [`Error::Depth`] outside 8 to 16.
    pub fn new(bits: u32) -> Result<Self, Error> {
        if (8..=16).contains(&bits) { Ok(Self(bits as u8)) } else { Err(Error::Depth(bits)) }
    }

    /// Bits per sample.
    pub fn bits(self) -> u32 {
        self.0.into()
    }

    /// The largest sample, `2^bits - 1`.
    pub fn peak(self) -> u16 {
        (((1_u32) << self.0) - 1) as u16
    }

    /// Bytes that a sample takes in a stream: one at eight bits, else two.
    pub fn bytes_per_sample(self) -> usize {
        if self.0 == 8 { 1 } else { 2 }
    }
}

impl From<BitDepth> for u32 {
    fn from(depth: BitDepth) -> Self {
        depth.bits()
    }
}

impl TryFrom<u32> for BitDepth {
    type Error = Error;

    fn try_from(bits: u32) -> Result<Self, Error> {
        Self::new(bits)
    }
}

/// How many chroma samples there are for the luma samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Subsampling {
    /// 4:0:0, luma only.
    Mono,
    /// 4:2:0, chroma halved both ways.
    C420,
    /// 4:2:2, chroma halved across.
    C422,
    /// 4:4:4, chroma whole.
    C444,
}

impl Subsampling {
    /// Number of planes: one for [`Subsampling::Mono`], else three.
    pub fn planes(self) -> usize {
        if self == Self::Mono { 1 } else { 3 }
    }
}

/// The layout of a picture: size in luma samples, subsampling and depth. Always within [`MAX_SIDE`] and [`MAX_PIXELS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    width: usize,
    height: usize,
    subsampling: Subsampling,
    depth: BitDepth,
}

impl Format {
    /// A layout; [`Error::Size`] when a side is zero or the picture is larger than this crate takes.
    pub fn new(
        width: usize,
        height: usize,
        subsampling: Subsampling,
        depth: BitDepth,
    ) -> Result<Self, Error> {
        let sides = 1..=MAX_SIDE;
        if !sides.contains(&width) || !sides.contains(&height) || width * height > MAX_PIXELS {
            return Err(Error::Size { width: width as u64, height: height as u64 });
        }
        Ok(Self { width, height, subsampling, depth })
    }

    /// Width in luma samples.
    pub fn width(self) -> usize {
        self.width
    }

    /// Height in luma samples.
    pub fn height(self) -> usize {
        self.height
    }

    /// The chroma layout.
    pub fn subsampling(self) -> Subsampling {
        self.subsampling
    }

    /// Bits per sample.
    pub fn depth(self) -> BitDepth {
        self.depth
    }

    /// Width and height of plane `index` in samples; odd sizes round up, as every codec does.
    pub fn plane_size(self, index: usize) -> (usize, usize) {
        match (index, self.subsampling) {
            (0, _) | (_, Subsampling::C444 | Subsampling::Mono) => (self.width, self.height),
            (_, Subsampling::C420) => (self.width.div_ceil(2), self.height.div_ceil(2)),
            (_, Subsampling::C422) => (self.width.div_ceil(2), self.height),
        }
    }

    /// Sizes of all planes, luma first.
    pub fn plane_sizes(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.subsampling.planes()).map(move |index| self.plane_size(index))
    }

    /// Bytes of one frame in a stream, without padding.
    pub fn frame_bytes(self) -> usize {
        let samples: usize = self.plane_sizes().map(|(width, height)| width * height).sum();
        samples * self.depth.bytes_per_sample()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = match self.subsampling {
            Subsampling::Mono => "4:0:0",
            Subsampling::C420 => "4:2:0",
            Subsampling::C422 => "4:2:2",
            Subsampling::C444 => "4:4:4",
        };
        write!(f, "{}x{} {layout} {}-bit", self.width, self.height, self.depth.bits())
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u16 {}
}

/// A sample type: `u8` or `u16`.
pub trait Sample:
    sealed::Sealed + Copy + Default + Send + Sync + PartialEq + fmt::Debug + Into<u32> + 'static
{
    /// Sums of a few dozen products of two samples fit this type: `u32` for `u8`, `u64` for `u16`.
    type Wide: Copy
        + Default
        + From<Self>
        + Into<u64>
        + std::ops::Add<Output = Self::Wide>
        + std::ops::AddAssign
        + std::ops::Mul<Output = Self::Wide>;
}

impl Sample for u8 {
    type Wide = u32;
}

impl Sample for u16 {
    type Wide = u64;
}

/// Rows begin at multiples of this many samples, so that vector loads of a row do not straddle the row before.
const STRIDE_UNIT: usize = 32;

/// One plane: `height` rows of `width` samples, a row every `stride` samples.
#[derive(Clone, Debug)]
pub struct Plane<S> {
    width: usize,
    height: usize,
    stride: usize,
    samples: Vec<S>,
}

impl<S: Sample> Plane<S> {
    /// A plane of zeros.
    pub fn new(width: usize, height: usize) -> Self {
        let stride = width.next_multiple_of(STRIDE_UNIT);
        Self { width, height, stride, samples: vec![S::default(); stride * height] }
    }

    /// Samples in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Samples from the start of one row to the start of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Row `y`, without padding. Panics when `y` is not below the height, as indexing does.
    pub fn row(&self, y: usize) -> &[S] {
        &self.samples[y * self.stride..][..self.width]
    }

    /// Row `y` for writing. Panics when `y` is not below the height, as indexing does.
    pub fn row_mut(&mut self, y: usize) -> &mut [S] {
        &mut self.samples[y * self.stride..][..self.width]
    }

    /// All rows, top to bottom.
    pub fn rows(&self) -> impl Iterator<Item = &[S]> {
        self.samples.chunks_exact(self.stride).map(|row| &row[..self.width])
    }

    /// Pieces of the plane for writing, as long as they can be without padding: all of it, or its rows, top to bottom.
    pub fn pieces_mut(&mut self) -> impl Iterator<Item = &mut [S]> {
        let all = self.samples.len();
        let (step, len) = if self.stride == self.width { (all, all) } else { (self.stride, self.width) };
        self.samples.chunks_exact_mut(step.max(1)).map(move |samples| &mut samples[..len])
    }

    /// All rows for writing, top to bottom.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [S]> {
        let width = self.width;
        self.samples.chunks_exact_mut(self.stride).map(move |row| &mut row[..width])
    }
}

impl<S: Sample> PartialEq for Plane<S> {
    /// Equal pictures; padding does not count.
    fn eq(&self, other: &Self) -> bool {
        self.width == other.width && self.height == other.height && self.rows().eq(other.rows())
    }
}

/// The planes of a frame, luma first, by sample type.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// Eight bits per sample.
    Eight(Vec<Plane<u8>>),
    /// Nine to sixteen bits per sample.
    Deep(Vec<Plane<u16>>),
}

/// One picture. Its planes always have the sizes and the sample type that its [`Format`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    format: Format,
    pixels: Pixels,
}

impl Frame {
    /// A frame with every sample zero in luma and at mid-scale in chroma.
    pub fn black(format: Format) -> Self {
        let middle = 1_u16 << (format.depth.bits() - 1);
        let pixels = if format.depth == BitDepth::EIGHT {
            Pixels::Eight(filled_planes(format, middle as u8))
        } else {
            Pixels::Deep(filled_planes(format, middle))
        };
        Self { format, pixels }
    }

    /// The layout.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The planes.
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// The sample at column `x`, row `y` of plane `index`, whatever its type. For tests and pickers, not for kernels.
    pub fn sample(&self, index: usize, x: usize, y: usize) -> u16 {
        match &self.pixels {
            Pixels::Eight(planes) => planes[index].row(y)[x].into(),
            Pixels::Deep(planes) => planes[index].row(y)[x],
        }
    }

    /// Sets every sample to `value(plane, x, y)`, limited to the peak of the depth.
    pub fn fill(&mut self, mut value: impl FnMut(usize, usize, usize) -> u16) {
        let peak = self.format.depth.peak();
        match &mut self.pixels {
            Pixels::Eight(planes) => fill_planes(planes, |p, x, y| value(p, x, y).min(peak) as u8),
            Pixels::Deep(planes) => fill_planes(planes, |p, x, y| value(p, x, y).min(peak)),
        }
    }

    pub(crate) fn pixels_mut(&mut self) -> &mut Pixels {
        &mut self.pixels
    }

    /// [`Error::FormatMismatch`] unless the frame has layout `expected`.
    pub fn expect_format(&self, expected: Format) -> Result<(), Error> {
        if self.format == expected {
            Ok(())
        } else {
            Err(Error::FormatMismatch { expected, got: self.format })
        }
    }
}

fn filled_planes<S: Sample>(format: Format, chroma: S) -> Vec<Plane<S>> {
    let mut planes: Vec<Plane<S>> =
        format.plane_sizes().map(|(width, height)| Plane::new(width, height)).collect();
    for plane in &mut planes[1..] {
        plane.samples.fill(chroma);
    }
    planes
}

fn fill_planes<S: Sample>(planes: &mut [Plane<S>], mut value: impl FnMut(usize, usize, usize) -> S) {
    for (index, plane) in planes.iter_mut().enumerate() {
        for (y, row) in plane.rows_mut().enumerate() {
            for (x, sample) in row.iter_mut().enumerate() {
                *sample = value(index, x, y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_round_chroma_up() {
        let format = Format::new(7, 5, Subsampling::C420, BitDepth::TEN).unwrap();
        assert_eq!(format.plane_sizes().collect::<Vec<_>>(), [(7, 5), (4, 3), (4, 3)]);
        assert_eq!(format.frame_bytes(), (35 + 12 + 12) * 2);
        let format = Format::new(7, 5, Subsampling::C422, BitDepth::EIGHT).unwrap();
        assert_eq!(format.plane_size(2), (4, 5));
        assert_eq!(Format::new(1, 1, Subsampling::Mono, BitDepth::EIGHT).unwrap().frame_bytes(), 1);
    }

    #[test]
    fn sizes_without_area_or_beyond_the_limit_are_refused() {
        for (width, height) in [(0, 4), (4, 0), (MAX_SIDE + 1, 1), (MAX_SIDE, MAX_SIDE), (usize::MAX, 2)] {
            assert!(
                Format::new(width, height, Subsampling::C420, BitDepth::EIGHT).is_err(),
                "{width}x{height}"
            );
        }
        assert!(BitDepth::new(7).is_err() && BitDepth::new(17).is_err());
        assert_eq!(BitDepth::new(16).unwrap().peak(), 65_535);
    }
}
