//! Integer VIF: how much of the reference's local information the distorted picture still carries, at four scales.
//!
//! Around every pixel a Gaussian window gives both means, both variances and the covariance, in fixed point. From them come
//! the gain `g` of a linear channel and the variance of its noise, and two logarithms per pixel, of the information that
//! arrives (numerator) and that was sent (denominator). Pixels with hardly any variance are summed apart. Each further
//! scale works on both pictures low-passed and halved.
//!
//! Everything fits 32 bits: filters sum to 65536, so `Σ f·v` of a 32-bit `v` is taken as `Σ f·hi + (Σ f·lo >> 16)` of its
//! 16-bit halves, which is exact. Only the statistic itself needs 64 bits and one `f64` division. The gain limit of NEG
//! models enters at the very end, so variants that differ in it share everything before.

#[cfg(target_arch = "x86_64")]
mod log;
mod plain;
mod wide;

use std::sync::LazyLock;

use backlot_frames::{Frame, Pixels, Plane, Sample};

use self::plain::{HalvingRows, WindowRows, statistic};
use self::wide::{Across, Down};

use crate::Error;
use crate::Isa;
use crate::kernel::{Grid, Rows, mirror};
use crate::simd::window::{
    Element, FILTER_0, FILTER_1, FILTER_2, MIN_WIDTH, ROWS, Row, Window, Window0, Window1, Window2,
};

/// Scale 3; its middle weight takes 17 bits, so there are no dot products.
const FILTER_3: [u32; 3] = [10904, 43728, 10904];

/// The variance of the eye's noise, in the fixed point of the statistics: 2 of 65536.
const NOISE: i32 = 2 << 16;
/// Keeps the gain finite where the reference has no variance.
const EPSILON: f64 = 65536e-10;

/// `round(log2(m) * 2048)` for `m` from 32768 to 65535, as single precision rounds the logarithm: 38 entries differ from
/// exact arithmetic, which the small addend reproduces.
static LOG2: LazyLock<Box<[i32; 32_768]>> =
    LazyLock::new(|| Box::new(std::array::from_fn(|m| exact_entry((32_768 + m) as f64).floor() as i32)));

/// An entry of [`LOG2`] before its fraction is cut off.
fn exact_entry(mantissa: f64) -> f64 {
    mantissa.log2() * 2048.0 + 1.0 / 1024.0 + 0.5
}

/// Sums over one scale for one gain limit.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    num_log: i64,
    den_log: i64,
    flat: i64,
    flat_variance: i64,
}

/// Numerator and denominator of one scale, as libvmaf keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ScaleScore {
    pub(crate) num: f32,
    pub(crate) den: f32,
}

impl Sums {
    fn score(self) -> ScaleScore {
        let flat = self.flat as f64;
        let num = self.num_log as f64 / 2048.0 + (flat - self.flat_variance as f64 / 16384.0 / 65025.0);
        let den = self.den_log as f64 / 2048.0 + flat;
        ScaleScore { num: num as f32, den: den as f32 }
    }
}

/// Scratch: the halved pictures (the reference, then those compared with it) and the rows of one window.
#[derive(Debug, Default)]
pub(crate) struct Vif {
    halved: [Vec<Grid<u16>>; 2],
    rows: WindowRows,
    wide: WideRows,
    halving: HalvingRows,
}

/// Scratch of the vectors: rows of the reference and of one other picture.
#[derive(Debug, Default)]
struct WideRows {
    down: [[Down; ROWS]; 2],
    reference: [Across; ROWS],
    distorted: Across,
    halves: [Row; ROWS],
}

/// Scores of scales 0 to 3.
pub(crate) type Scales = [ScaleScore; 4];

impl Vif {
    /// The least side: at scale 3, an eighth of it, the window must find pixels to reflect.
    pub(crate) const MIN_SIDE: usize = 17;

    /// Scores of scales 0 to 3 of each of `distorted`, for each of `gain_limits`; scale 0 is left at zero when it is
    /// skipped. What belongs to the reference alone is computed once.
    pub(crate) fn scores(
        &mut self,
        isa: Isa,
        reference: &Frame,
        distorted: &[&Frame],
        gain_limits: &[f64],
        first_scale: usize,
    ) -> Result<Vec<Vec<Scales>>, Error> {
        let depth = reference.format().depth().bits();
        let mut scores = vec![vec![Scales::default(); gain_limits.len()]; distorted.len()];
        let mut keep = |scale: usize, sums: Vec<Vec<Sums>>| {
            if scale >= first_scale {
                for (scores, sums) in scores.iter_mut().zip(sums) {
                    for (scores, sums) in scores.iter_mut().zip(sums) {
                        scores[scale] = sums.score();
                    }
                }
            }
        };
        let frames: Vec<&Frame> = std::iter::once(reference).chain(distorted.iter().copied()).collect();
        let planes = luma_planes(&frames)?;
        let shifts = Shifts::first(depth);
        match &planes {
            LumaPlanes::Eight(planes) => {
                if first_scale == 0 {
                    keep(0, self.statistics_0(isa, planes, shifts, gain_limits));
                }
                self.halve::<_, Window1, 9>(isa, planes, &FILTER_1, depth, 1);
            }
            LumaPlanes::Deep(planes) => {
                if first_scale == 0 {
                    keep(0, self.statistics_0(isa, planes, shifts, gain_limits));
                }
                self.halve::<_, Window1, 9>(isa, planes, &FILTER_1, depth, 1);
            }
        }
        for scale in 1..4 {
            if scale > 1 {
                let before = std::mem::take(&mut self.halved[(scale - 1) % 2]);
                let grids: Vec<&Grid<u16>> = before.iter().collect();
                if scale == 2 {
                    self.halve::<_, Window2, 5>(isa, &grids, &FILTER_2, 16, scale);
                } else {
                    let targets = &mut self.halved[scale % 2];
                    targets.resize_with(grids.len(), Grid::default);
                    for (target, grid) in targets.iter_mut().zip(grids) {
                        self.halving.halve(isa, grid, grid.size(), &FILTER_3, 16, target);
                    }
                }
                self.halved[(scale - 1) % 2] = before;
            }
            let own = std::mem::take(&mut self.halved[scale % 2]);
            let grids: Vec<&Grid<u16>> = own.iter().collect();
            let size = (own[0].width, own[0].height);
            let (later, limits) = (Shifts::LATER, gain_limits);
            keep(
                scale,
                match scale {
                    1 if WideRows::fits(isa, size) => {
                        self.wide.statistics::<_, Window1>(isa, &grids, size, later, limits)
                    }
                    1 => self.rows.all_statistics(isa, &grids, size, &FILTER_1, later, limits),
                    2 if WideRows::fits(isa, size) => {
                        self.wide.statistics::<_, Window2>(isa, &grids, size, later, limits)
                    }
                    2 => self.rows.all_statistics(isa, &grids, size, &FILTER_2, later, limits),
                    _ => self.rows.all_statistics(isa, &grids, size, &FILTER_3, later, limits),
                },
            );
            self.halved[scale % 2] = own;
        }
        Ok(scores)
    }

    fn statistics_0<S: Sample + Element>(
        &mut self,
        isa: Isa,
        planes: &[&Plane<S>],
        shifts: Shifts,
        limits: &[f64],
    ) -> Vec<Vec<Sums>> {
        let size = (planes[0].width(), planes[0].height());
        if WideRows::fits(isa, size) {
            self.wide.statistics::<_, Window0>(isa, planes, size, shifts, limits)
        } else {
            self.rows.all_statistics(isa, planes, size, &FILTER_0, shifts, limits)
        }
    }

    /// Low-passes and halves the pictures of the scale before `scale`.
    fn halve<R: Rows, W: Window, const N: usize>(
        &mut self,
        isa: Isa,
        from: &[&R],
        filter: &[u32; N],
        shift: u32,
        scale: usize,
    ) where
        R::Value: Element,
    {
        let targets = &mut self.halved[scale % 2];
        targets.resize_with(from.len(), Grid::default);
        for (target, from) in targets.iter_mut().zip(from) {
            if WideRows::fits(isa, from.size()) {
                self.wide.halve::<R, W>(isa, from, shift, target);
            } else {
                self.halving.halve(isa, *from, from.size(), filter, shift, target);
            }
        }
    }
}

/// Luma of several frames, of one sample type.
enum LumaPlanes<'a> {
    Eight(Vec<&'a Plane<u8>>),
    Deep(Vec<&'a Plane<u16>>),
}

fn luma_planes<'a>(frames: &[&'a Frame]) -> Result<LumaPlanes<'a>, Error> {
    let first = frames[0].format();
    let mismatch =
        |frame: &Frame| backlot_frames::Error::FormatMismatch { expected: first, got: frame.format() };
    let is_eight = matches!(frames[0].pixels(), Pixels::Eight(_));
    let (mut eight, mut deep) = (Vec::new(), Vec::new());
    for frame in frames {
        match frame.pixels() {
            Pixels::Eight(planes) if is_eight => eight.push(&planes[0]),
            Pixels::Deep(planes) if !is_eight => deep.push(&planes[0]),
            _ => return Err(mismatch(frame).into()),
        }
    }
    Ok(if is_eight { LumaPlanes::Eight(eight) } else { LumaPlanes::Deep(deep) })
}

impl WideRows {
    /// Whether there are vectors for a picture of that size.
    fn fits(isa: Isa, (width, _): (usize, usize)) -> bool {
        isa.has_vectors() && width >= MIN_WIDTH
    }

    /// Sums of each picture but the first, which is the reference.
    fn statistics<R: Rows, W: Window>(
        &mut self,
        isa: Isa,
        pictures: &[&R],
        (width, height): (usize, usize),
        shifts: Shifts,
        limits: &[f64],
    ) -> Vec<Vec<Sums>>
    where
        R::Value: Element,
    {
        self.down.iter_mut().flatten().for_each(|row| row.resize(width));
        self.reference.iter_mut().for_each(|row| row.resize(width));
        self.distorted.resize(width);
        let mut sums = vec![vec![Sums::default(); limits.len()]; pictures.len() - 1];
        for top in (0..height).step_by(ROWS) {
            let reference: Vec<&[R::Value]> = lines::<R, W>(pictures[0], top, height);
            let [own, other] = &mut self.down;
            wide::down::<R::Value, W, false>(isa, &reference, &reference, shifts, width, own);
            let count = ROWS.min(height - top);
            for (down, across) in own.iter().zip(&mut self.reference).take(count) {
                wide::across::<W>(isa, down, None, width, across);
            }
            for (picture, sums) in pictures[1..].iter().zip(&mut sums) {
                let rows = lines::<R, W>(picture, top, height);
                wide::down::<R::Value, W, true>(isa, &reference, &rows, shifts, width, other);
                for (down, reference) in other.iter().zip(&self.reference).take(count) {
                    wide::across::<W>(isa, down, Some(reference), width, &mut self.distorted);
                    let Across { variance, covariance, .. } = &self.distorted;
                    add_statistic(isa, &reference.variance, variance, covariance, limits, sums);
                }
            }
        }
        sums
    }
}

impl WideRows {
    /// Low-passes a picture and keeps every second row and column.
    fn halve<R: Rows, W: Window>(&mut self, isa: Isa, from: &R, shift: u32, target: &mut Grid<u16>)
    where
        R::Value: Element,
    {
        let (width, height) = from.size();
        target.resize(width / 2, height / 2);
        for top in (0..height / 2).step_by(ROWS) {
            let line = |k: usize| from.line(mirror((2 * top + k) as isize - W::REACH as isize, height));
            let lines: Vec<&[R::Value]> = (0..2 * W::HALVING).map(line).collect();
            let mut rows = target.rows_mut(top..(top + ROWS).min(height / 2));
            let out = std::array::from_fn(|_| rows.next().unwrap_or_default());
            wide::halve::<R::Value, W>(isa, &lines, shift, width, &mut self.halves, out);
        }
    }
}

/// The rows that [`ROWS`] windows from row `top` on touch.
fn lines<R: Rows, W: Window>(picture: &R, top: usize, height: usize) -> Vec<&[R::Value]> {
    let line = |k: usize| picture.line(mirror((top + k) as isize - W::REACH as isize, height));
    (0..2 * W::DOWN).map(line).collect()
}

/// Adds the sums of a row for each gain limit.
fn add_statistic(isa: Isa, xx: &[i32], yy: &[i32], xy: &[i32], limits: &[f64], sums: &mut [Sums]) {
    for (limits, sums) in limits.chunks(2).zip(sums.chunks_mut(2)) {
        let rows: [Sums; 2] = match *limits {
            [first, second] => statistics_of_row(isa, xx, yy, xy, [first, second]),
            [first] => {
                let [sums] = statistics_of_row(isa, xx, yy, xy, [first]);
                [sums; 2]
            }
            _ => unreachable!("invariant: chunks of one or two"),
        };
        for (sums, row) in sums.iter_mut().zip(rows) {
            sums.num_log += row.num_log;
            sums.den_log += row.den_log;
            sums.flat += row.flat;
            sums.flat_variance += row.flat_variance;
        }
    }
}

fn statistics_of_row<const LIMITS: usize>(
    isa: Isa,
    xx: &[i32],
    yy: &[i32],
    xy: &[i32],
    limits: [f64; LIMITS],
) -> [Sums; LIMITS] {
    #[cfg(target_arch = "x86_64")]
    if isa.level() == crate::isa::Level::Avx512 {
        #[allow(unsafe_code, reason = "the processor was asked")]
        // SAFETY: an `Isa` of this level exists only where the processor was found to have these features.
        return unsafe { log::statistic(&log::PIECES_OF_LOG, xx, yy, xy, limits) };
    }
    statistic(isa, xx, yy, xy, limits, &LOG2)
}

/// Right shifts after the vertical pass.
#[derive(Clone, Copy)]
struct Shifts {
    mean: u32,
    square: u32,
}

impl Shifts {
    const LATER: Self = Self { mean: 16, square: 16 };

    fn first(depth: u32) -> Self {
        Self { mean: depth, square: 2 * (depth - 8) }
    }
}
