//! What several features share: mirrored indices, padded rows, Gaussian kernels, planes of intermediate values, the view of a
//! luma plane.

use backlot_frames::{Frame, Pixels, Plane, Sample};

use crate::isa::kernel;

/// Columns that are taken together, and sums of a row: the same for every instruction set, so that all add in one order.
pub(crate) const LANES: usize = 16;

/// Index `i` of a line of `n` samples continued by reflection that does not repeat the edge: -1 is 1, `n` is `n - 2`.
pub(crate) fn mirror(i: isize, n: usize) -> usize {
    let last = n as isize - 1;
    if last == 0 {
        return 0;
    }
    let reflected = if i < 0 {
        -i
    } else if i > last {
        2 * last - i
    } else {
        i
    };
    reflected.clamp(0, last) as usize
}

/// Index `i` of a line of `n` samples continued by reflection that repeats the last but not the first: -1 is 1, `n` is `n - 1`.
pub(crate) fn reflect_first(i: isize, n: usize) -> usize {
    let last = n as isize - 1;
    i.abs().min(2 * last + 1 - i).clamp(0, last) as usize
}

/// Fills the `pad` values before and after `row[pad..pad + width]` by reflection.
pub(crate) fn mirror_row<T: Copy>(row: &mut [T], pad: usize, width: usize) {
    for distance in 1..=pad {
        row[pad - distance] = row[pad + mirror(-(distance as isize), width)];
        row[pad + width - 1 + distance] = row[pad + mirror((width - 1 + distance) as isize, width)];
    }
}

/// Taps of the Gaussian of `scale`, 0 to 4: `2^(4 - scale) + 1` times `kernel_scale`, odd, at least three.
pub(crate) fn gaussian_size(scale: u32, kernel_scale: f32) -> usize {
    let size = (((1_u32 << (4 - scale)) + 1) as f32 * kernel_scale).ceil() as usize;
    (size | 1).max(3)
}

/// A Gaussian kernel of `size` taps, in the roundings of libvmaf: where a picture is nearly flat, a variance is what is left of
/// two numbers that agree to six digits, and shows the last bit of every tap.
pub(crate) fn gaussian(size: usize, deviation: f32) -> Vec<f32> {
    let middle = (size / 2) as f32;
    let peak = (1.0 / (f64::from(deviation) * std::f64::consts::TAU.sqrt())) as f32;
    let density = |tap: usize| {
        let (x, deviation) = (f64::from(tap as f32 - middle), f64::from(deviation));
        (-0.5 * x / deviation * x / deviation).exp() as f32 / peak
    };
    let taps: Vec<f32> = (0..size).map(density).collect();
    let sum: f32 = taps.iter().sum();
    taps.into_iter().map(|tap| tap / sum).collect()
}

/// A plane of intermediate values, rows without padding.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid<T> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    values: Vec<T>,
}

impl<T: Copy + Default> Grid<T> {
    /// Makes it `width` by `height`; what it held is lost. Memory is kept, so that a smaller size costs nothing.
    pub(crate) fn resize(&mut self, width: usize, height: usize) {
        self.width = width;
        self.height = height;
        if self.values.len() < width * height {
            self.values.resize(width * height, T::default());
        }
    }

    pub(crate) fn row(&self, y: usize) -> &[T] {
        &self.values[y * self.width..][..self.width]
    }

    pub(crate) fn row_mut(&mut self, y: usize) -> &mut [T] {
        &mut self.values[y * self.width..][..self.width]
    }

    /// Rows `range`, for writing at once.
    pub(crate) fn rows_mut(&mut self, range: std::ops::Range<usize>) -> impl Iterator<Item = &mut [T]> {
        self.values[range.start * self.width..range.end * self.width].chunks_exact_mut(self.width.max(1))
    }
}

/// Rows of samples, wherever they lie.
pub(crate) trait Rows {
    /// The sample.
    type Value: Copy + Into<u32>;
    fn line(&self, y: usize) -> &[Self::Value];
    /// Width and height.
    fn size(&self) -> (usize, usize);
}

impl<S: Sample> Rows for Plane<S> {
    type Value = S;
    fn line(&self, y: usize) -> &[S] {
        self.row(y)
    }
    fn size(&self) -> (usize, usize) {
        (self.width(), self.height())
    }
}

impl<T: Copy + Default + Into<u32>> Rows for Grid<T> {
    type Value = T;
    fn line(&self, y: usize) -> &[T] {
        self.row(y)
    }
    fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }
}

/// Planes of the same index of two frames of the same depth.
#[derive(Clone, Copy)]
pub(crate) enum PlanePair<'a> {
    Eight(&'a Plane<u8>, &'a Plane<u8>),
    Deep(&'a Plane<u16>, &'a Plane<u16>),
}

/// Plane `index` of both frames; `None` where their sample types differ or there is no such plane.
pub(crate) fn plane_pair<'a>(first: &'a Frame, second: &'a Frame, index: usize) -> Option<PlanePair<'a>> {
    match (first.pixels(), second.pixels()) {
        (Pixels::Eight(a), Pixels::Eight(b)) => Some(PlanePair::Eight(a.get(index)?, b.get(index)?)),
        (Pixels::Deep(a), Pixels::Deep(b)) => Some(PlanePair::Deep(a.get(index)?, b.get(index)?)),
        _ => None,
    }
}

/// Luma in the range of eight bits.
pub(crate) fn take_luma(grid: &mut Grid<f32>, frame: &Frame) {
    let format = frame.format();
    grid.resize(format.width(), format.height());
    let scale = 1.0 / (1_u32 << (format.depth().bits() - 8)) as f32;
    for y in 0..format.height() {
        let line = grid.row_mut(y);
        match frame.pixels() {
            Pixels::Eight(planes) => {
                for (out, &sample) in line.iter_mut().zip(planes[0].row(y)) {
                    *out = sample.into();
                }
            }
            Pixels::Deep(planes) => {
                for (out, &sample) in line.iter_mut().zip(planes[0].row(y)) {
                    *out = f32::from(sample) * scale;
                }
            }
        }
    }
}

/// Luma in the range of eight bits, around zero.
pub(crate) fn centred(frame: &Frame) -> Grid<f32> {
    let mut luma = Grid::default();
    take_luma(&mut luma, frame);
    for y in 0..luma.height {
        luma.row_mut(y).iter_mut().for_each(|sample| *sample -= 128.0);
    }
    luma
}

kernel! {
    /// The sum of a row, in lanes.
    pub(crate) fn total [T: Copy + Into<f64>] [T] (row: &[T]) -> f64 {
        let mut sums = [0.0_f64; LANES];
        let mut chunks = row.chunks_exact(LANES);
        for chunk in &mut chunks {
            for lane in 0..LANES {
                sums[lane] += chunk[lane].into();
            }
        }
        for (sum, &value) in sums.iter_mut().zip(chunks.remainder()) {
            *sum += value.into();
        }
        sums.iter().sum()
    }
}

/// `ceil(log2(n))` for n at least 1.
pub(crate) fn ceil_log2(n: u64) -> u32 {
    n.max(1).next_power_of_two().trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaussians_have_the_published_sizes() {
        let sizes = [(0, 1.0), (1, 1.0), (4, 1.0), (1, 2.0), (1, 2.0 / 3.0)];
        assert_eq!(sizes.map(|(scale, times)| gaussian_size(scale, times)), [17, 9, 3, 19, 7]);
        assert!((gaussian(9, 3.6).iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
