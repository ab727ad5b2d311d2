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

use std::sync::LazyLock;

use backlot_frames::Frame;

use crate::Error;
use crate::isa::{Isa, kernel};
use crate::kernel::{Grid, PlanePair, Rows, mirror, mirror_row, plane_pair};

/// Windows of scales 0 to 3; each also low-passes the scale before its own.
const FILTER_0: [u32; 17] =
    [489, 935, 1640, 2640, 3896, 5274, 6547, 7455, 7784, 7455, 6547, 5274, 3896, 2640, 1640, 935, 489];
const FILTER_1: [u32; 9] = [1244, 3663, 7925, 12590, 14692, 12590, 7925, 3663, 1244];
const FILTER_2: [u32; 5] = [3571, 16004, 26386, 16004, 3571];
const FILTER_3: [u32; 3] = [10904, 43728, 10904];

/// Values before and after a row, for the widest window.
const PAD: usize = 8;
/// The variance of the eye's noise, in the fixed point of the statistics: 2 of 65536.
const NOISE: i32 = 2 << 16;
/// Keeps the gain finite where the reference has no variance.
const EPSILON: f64 = 65536e-10;

/// `round(log2(m) * 2048)` for `m` from 32768 to 65535, as single precision rounds the logarithm: 38 entries differ from
/// exact arithmetic, which the small addend reproduces.
static LOG2: LazyLock<Box<[i32]>> = LazyLock::new(|| {
    (32_768_u32..65_536).map(|m| (f64::from(m).log2() * 2048.0 + 1.0 / 1024.0 + 0.5).floor() as i32).collect()
});

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

/// Scratch: the halved pictures and the rows of one window.
#[derive(Debug, Default)]
pub(crate) struct Vif {
    reference: [Grid<u16>; 2],
    distorted: [Grid<u16>; 2],
    rows: WindowRows,
    halved: HalvingRows,
}

#[derive(Debug, Default)]
struct WindowRows {
    /// Vertically filtered: both means, both squares, the product; padded.
    vertical: [Vec<u32>; 5],
    /// Variances and covariance of one row.
    ref_variance: Vec<i32>,
    dis_variance: Vec<i32>,
    covariance: Vec<i32>,
}

#[derive(Debug, Default)]
struct HalvingRows {
    row: Vec<u32>,
    even: Vec<u32>,
    odd: Vec<u32>,
}

impl Vif {
    /// The least side: at scale 3, an eighth of it, the window must find pixels to reflect.
    pub(crate) const MIN_SIDE: usize = 17;

    /// Scores of scales 0 to 3 for each of `gain_limits`; scale 0 is left at zero when it is skipped.
    pub(crate) fn scores(
        &mut self,
        isa: Isa,
        reference: &Frame,
        distorted: &Frame,
        gain_limits: &[f64],
        first_scale: usize,
    ) -> Result<Vec<[ScaleScore; 4]>, Error> {
        let depth = reference.format().depth().bits();
        let pair = plane_pair(reference, distorted, 0).ok_or_else(|| {
            backlot_frames::Error::FormatMismatch { expected: reference.format(), got: distorted.format() }
        })?;
        let mut scores = vec![[ScaleScore::default(); 4]; gain_limits.len()];
        for scale in first_scale.min(1)..4 {
            if scale > 0 {
                self.halve(isa, pair, scale, depth);
            }
            if scale < first_scale {
                continue;
            }
            let sums = self.statistics(isa, pair, scale, depth, gain_limits);
            for (scores, sums) in scores.iter_mut().zip(sums) {
                scores[scale] = sums.score();
            }
        }
        Ok(scores)
    }

    /// Low-passes and halves the pictures of scale `scale - 1` into those of `scale`.
    fn halve(&mut self, isa: Isa, pair: PlanePair<'_>, scale: usize, depth: u32) {
        let into = scale % 2;
        let rows = &mut self.halved;
        for (side, planes) in [&mut self.reference, &mut self.distorted].into_iter().enumerate() {
            let [first, second] = planes;
            let (target, before) = if into == 0 { (first, second) } else { (second, first) };
            match (scale, pair) {
                (1, PlanePair::Eight(a, b)) => rows.halve(
                    isa,
                    if side == 0 { a } else { b },
                    (a.width(), a.height()),
                    &FILTER_1,
                    depth,
                    target,
                ),
                (1, PlanePair::Deep(a, b)) => rows.halve(
                    isa,
                    if side == 0 { a } else { b },
                    (a.width(), a.height()),
                    &FILTER_1,
                    depth,
                    target,
                ),
                (2, _) => rows.halve(isa, before, (before.width, before.height), &FILTER_2, 16, target),
                _ => rows.halve(isa, before, (before.width, before.height), &FILTER_3, 16, target),
            }
        }
    }

    fn statistics(
        &mut self,
        isa: Isa,
        pair: PlanePair<'_>,
        scale: usize,
        depth: u32,
        limits: &[f64],
    ) -> Vec<Sums> {
        let (reference, distorted) = (&self.reference[scale % 2], &self.distorted[scale % 2]);
        let deep = (reference.width, reference.height);
        match (scale, pair) {
            (0, PlanePair::Eight(a, b)) => self.rows.statistics(
                isa,
                a,
                b,
                (a.width(), a.height()),
                &FILTER_0,
                Shifts::first(depth),
                limits,
            ),
            (0, PlanePair::Deep(a, b)) => self.rows.statistics(
                isa,
                a,
                b,
                (a.width(), a.height()),
                &FILTER_0,
                Shifts::first(depth),
                limits,
            ),
            (1, _) => self.rows.statistics(isa, reference, distorted, deep, &FILTER_1, Shifts::LATER, limits),
            (2, _) => self.rows.statistics(isa, reference, distorted, deep, &FILTER_2, Shifts::LATER, limits),
            _ => self.rows.statistics(isa, reference, distorted, deep, &FILTER_3, Shifts::LATER, limits),
        }
    }
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

impl HalvingRows {
    fn halve<R: Rows, const N: usize>(
        &mut self,
        isa: Isa,
        from: &R,
        (width, height): (usize, usize),
        filter: &[u32; N],
        shift: u32,
        target: &mut Grid<u16>,
    ) {
        target.resize(width / 2, height / 2);
        self.row.resize(width + 2 * PAD, 0);
        let half_length = (width + 2 * PAD).div_ceil(2);
        self.even.resize(half_length, 0);
        self.odd.resize(half_length, 0);
        for y in 0..height / 2 {
            let lines: [&[R::Value]; N] =
                std::array::from_fn(|k| from.line(mirror((2 * y + k) as isize - (N / 2) as isize, height)));
            low_pass_down(isa, lines, filter, shift, &mut self.row[PAD..PAD + width]);
            mirror_row(&mut self.row, PAD, width);
            for (x, pair) in self.row.chunks(2).enumerate() {
                self.even[x] = pair[0];
                self.odd[x] = pair.get(1).copied().unwrap_or(0);
            }
            low_pass_across(isa, &self.even, &self.odd, filter, target.row_mut(y));
        }
    }
}

kernel! {
    fn low_pass_down [V: Copy + Into<u32>, const N: usize] [V, N]
    (lines: [&[V]; N], filter: &[u32; N], shift: u32, out: &mut [u32]) {
        let width = out.len();
        let lines = lines.map(|line| &line[..width]);
        let round = 1_u32 << (shift - 1);
        for x in 0..width {
            let mut sum = round;
            for k in 0..N {
                sum = sum.wrapping_add(filter[k].wrapping_mul(lines[k][x].into()));
            }
            out[x] = sum >> shift;
        }
    }
}

kernel! {
    fn low_pass_across [const N: usize] [N] (even: &[u32], odd: &[u32], filter: &[u32; N], out: &mut [u16]) {
        let width = out.len();
        // Output x is centred on padded index PAD + 2x: tap k lies at PAD + 2x + k - N/2.
        let taps: [&[u32]; N] = std::array::from_fn(|k| {
            let at = PAD + k - N / 2;
            let half = if at.is_multiple_of(2) { even } else { odd };
            &half[at / 2..at / 2 + width]
        });
        for x in 0..width {
            let mut sum = 32_768_u32;
            for k in 0..N {
                sum = sum.wrapping_add(filter[k].wrapping_mul(taps[k][x]));
            }
            out[x] = (sum >> 16) as u16;
        }
    }
}

impl WindowRows {
    #[allow(clippy::too_many_arguments, reason = "one window over one pair of pictures")]
    fn statistics<R: Rows, const N: usize>(
        &mut self,
        isa: Isa,
        reference: &R,
        distorted: &R,
        (width, height): (usize, usize),
        filter: &[u32; N],
        shifts: Shifts,
        limits: &[f64],
    ) -> Vec<Sums> {
        for row in &mut self.vertical {
            row.resize(width + 2 * PAD, 0);
        }
        for row in [&mut self.ref_variance, &mut self.dis_variance, &mut self.covariance] {
            row.resize(width, 0);
        }
        let mut sums = vec![Sums::default(); limits.len()];
        for y in 0..height {
            let line = |k: usize| mirror((y + k) as isize - (N / 2) as isize, height);
            let ref_lines: [&[R::Value]; N] = std::array::from_fn(|k| reference.line(line(k)));
            let dis_lines: [&[R::Value]; N] = std::array::from_fn(|k| distorted.line(line(k)));
            let [m1, m2, rr, dd, rd] = self.vertical.each_mut().map(|row| &mut row[PAD..PAD + width]);
            if size_of::<R::Value>() == 1 {
                window_down_8(isa, ref_lines, dis_lines, filter, shifts.mean, m1, m2, rr, dd, rd);
            } else {
                window_down_16(
                    isa,
                    ref_lines,
                    dis_lines,
                    filter,
                    shifts.mean,
                    shifts.square,
                    m1,
                    m2,
                    rr,
                    dd,
                    rd,
                );
            }
            for row in &mut self.vertical {
                mirror_row(row, PAD, width);
            }
            let [m1, m2, rr, dd, rd] = self.vertical.each_ref().map(Vec::as_slice);
            window_across(
                isa,
                [m1, m2, rr, dd, rd],
                filter,
                &mut self.ref_variance,
                &mut self.dis_variance,
                &mut self.covariance,
            );
            for (&limit, sums) in limits.iter().zip(&mut sums) {
                let row =
                    statistic(isa, &self.ref_variance, &self.dis_variance, &self.covariance, limit, &LOG2);
                sums.num_log += row.num_log;
                sums.den_log += row.den_log;
                sums.flat += row.flat;
                sums.flat_variance += row.flat_variance;
            }
        }
        sums
    }
}

kernel! {
    /// The vertical pass of 8-bit samples, whose squares sum to less than 2^32.
    fn window_down_8 [V: Copy + Into<u32>, const N: usize] [V, N]
    (
        reference: [&[V]; N], distorted: [&[V]; N], filter: &[u32; N], shift: u32,
        m1: &mut [u32], m2: &mut [u32], rr: &mut [u32], dd: &mut [u32], rd: &mut [u32],
    ) {
        let width = m1.len();
        let (reference, distorted) = (reference.map(|line| &line[..width]), distorted.map(|line| &line[..width]));
        let (m2, rr, dd, rd) = (&mut m2[..width], &mut rr[..width], &mut dd[..width], &mut rd[..width]);
        let round = 1_u32 << (shift - 1);
        for x in 0..width {
            let (mut s1, mut s2, mut srr, mut sdd, mut srd) = (round, round, 0_u32, 0_u32, 0_u32);
            for k in 0..N {
                let (r, d): (u32, u32) = (reference[k][x].into(), distorted[k][x].into());
                let (fr, fd) = (filter[k].wrapping_mul(r), filter[k].wrapping_mul(d));
                s1 = s1.wrapping_add(fr);
                s2 = s2.wrapping_add(fd);
                srr = srr.wrapping_add(fr.wrapping_mul(r));
                sdd = sdd.wrapping_add(fd.wrapping_mul(d));
                srd = srd.wrapping_add(fr.wrapping_mul(d));
            }
            m1[x] = s1 >> shift;
            m2[x] = s2 >> shift;
            rr[x] = srr;
            dd[x] = sdd;
            rd[x] = srd;
        }
    }
}

kernel! {
    /// The vertical pass of deeper samples: squares in 16-bit halves.
    fn window_down_16 [V: Copy + Into<u32>, const N: usize] [V, N]
    (
        reference: [&[V]; N], distorted: [&[V]; N], filter: &[u32; N], shift: u32, square: u32,
        m1: &mut [u32], m2: &mut [u32], rr: &mut [u32], dd: &mut [u32], rd: &mut [u32],
    ) {
        let width = m1.len();
        let (reference, distorted) = (reference.map(|line| &line[..width]), distorted.map(|line| &line[..width]));
        let (m2, rr, dd, rd) = (&mut m2[..width], &mut rr[..width], &mut dd[..width], &mut rd[..width]);
        let round = 1_u32 << (shift - 1);
        let round_square = if square == 0 { 0 } else { 1_u32 << (square - 1) };
        let join = |high: u32, low: u32| (high << (16 - square)).wrapping_add((low + round_square) >> square);
        for x in 0..width {
            let (mut s1, mut s2) = (round, round);
            let (mut rr_high, mut rr_low, mut dd_high, mut dd_low, mut rd_high, mut rd_low) = (0_u32, 0_u32, 0_u32, 0_u32, 0_u32, 0_u32);
            for k in 0..N {
                let f = filter[k];
                let (r, d): (u32, u32) = (reference[k][x].into(), distorted[k][x].into());
                s1 = s1.wrapping_add(f.wrapping_mul(r));
                s2 = s2.wrapping_add(f.wrapping_mul(d));
                let (pr, pd, prd) = (r.wrapping_mul(r), d.wrapping_mul(d), r.wrapping_mul(d));
                rr_high = rr_high.wrapping_add(f.wrapping_mul(pr >> 16));
                rr_low = rr_low.wrapping_add(f.wrapping_mul(pr & 0xffff));
                dd_high = dd_high.wrapping_add(f.wrapping_mul(pd >> 16));
                dd_low = dd_low.wrapping_add(f.wrapping_mul(pd & 0xffff));
                rd_high = rd_high.wrapping_add(f.wrapping_mul(prd >> 16));
                rd_low = rd_low.wrapping_add(f.wrapping_mul(prd & 0xffff));
            }
            m1[x] = s1 >> shift;
            m2[x] = s2 >> shift;
            rr[x] = join(rr_high, rr_low);
            dd[x] = join(dd_high, dd_low);
            rd[x] = join(rd_high, rd_low);
        }
    }
}

kernel! {
    /// The horizontal pass, and the squared means taken off.
    fn window_across [const N: usize] [N]
    (rows: [&[u32]; 5], filter: &[u32; N], xx: &mut [i32], yy: &mut [i32], xy: &mut [i32]) {
        let width = xx.len();
        let (yy, xy) = (&mut yy[..width], &mut xy[..width]);
        let [m1, m2, rr, dd, rd] =
            rows.map(|row| -> [&[u32]; N] { std::array::from_fn(|k| &row[PAD + k - N / 2..PAD + k - N / 2 + width]) });
        let moment = |row: &[&[u32]; N], x: usize| {
            let (mut high, mut low) = (0_u32, 32_768_u32);
            for k in 0..N {
                let value = row[k][x];
                high = high.wrapping_add(filter[k].wrapping_mul(value >> 16));
                low = low.wrapping_add(filter[k].wrapping_mul(value & 0xffff));
            }
            high.wrapping_add(low >> 16)
        };
        let product = |a: u32, b: u32| ((u64::from(a) * u64::from(b) + (1 << 31)) >> 32) as u32;
        for x in 0..width {
            let (mut mu1, mut mu2) = (0_u32, 0_u32);
            for k in 0..N {
                mu1 = mu1.wrapping_add(filter[k].wrapping_mul(m1[k][x]));
                mu2 = mu2.wrapping_add(filter[k].wrapping_mul(m2[k][x]));
            }
            xx[x] = moment(&rr, x).wrapping_sub(product(mu1, mu1)) as i32;
            yy[x] = (moment(&dd, x).wrapping_sub(product(mu2, mu2)) as i32).max(0);
            xy[x] = moment(&rd, x).wrapping_sub(product(mu1, mu2)) as i32;
        }
    }
}

kernel! {
    fn statistic [] [] (xx: &[i32], yy: &[i32], xy: &[i32], limit: f64, table: &[i32]) -> Sums {
        let width = xx.len();
        let (yy, xy) = (&yy[..width], &xy[..width]);
        let table = &table[..32_768];
        let log2 = |value: u64| {
            let shift = 48 - value.leading_zeros();
            let mantissa = (value >> shift) as usize & 0x7fff;
            i64::from(table[mantissa]) + (i64::from(shift) << 11)
        };
        let mut sums = Sums::default();
        for x in 0..width {
            let (xx, yy, xy) = (xx[x], yy[x], xy[x]);
            if xx < NOISE {
                sums.flat += 1;
                sums.flat_variance += i64::from(yy);
                continue;
            }
            sums.den_log += log2((NOISE as u32).wrapping_add(xx as u32).into()) - 2048 * 17;
            if xy > 0 && yy > 0 {
                let gain = f64::from(xy) / (f64::from(xx) + EPSILON);
                let noise = (f64::from(yy) - gain * f64::from(xy)) as i32;
                let gain = gain.min(limit);
                let n1 = i64::from(noise.max(0)) + i64::from(NOISE);
                let sent = (gain * gain * f64::from(xx)) as i64;
                sums.num_log += log2((sent + n1) as u64) - log2(n1 as u64);
            }
        }
        sums
    }
}
