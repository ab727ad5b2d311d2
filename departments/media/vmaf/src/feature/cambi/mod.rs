//! CAMBI: visible banding of the distorted luma, a no-reference score (Tandon, Afonso, Sole and Krasula, PCS 2021).
//!
//! Bands are flat areas beside areas one to four steps away. The picture is brought to ten bits and its flat parts are
//! masked: pixels that are mostly surrounded by pixels equal to their right and lower neighbours. At five scales, each
//! masked pixel of value `v` is compared with the histogram of the masked pixels in a window around it: its contrast is the
//! largest of `d · p(v) · p(v±d) / (p(v) + p(v±d))`, over the steps `d` that are visible at `v`. A scale's score is the
//! mean of the largest 60 % of contrasts.
//!
//! The histograms of a row's windows lie value by value, so that one pixel that comes or goes changes a run of neighbours.

#[cfg(target_arch = "x86_64")]
mod avx512;

use backlot_frames::{Format, Frame, Pixels};

use super::spec::Values;
use crate::Error;
use crate::isa::{Isa, kernel};
use crate::kernel::{Grid, ceil_log2};

const SCALES: usize = 5;
const SCALE_WEIGHTS: [f64; SCALES] = [16.0, 8.0, 4.0, 2.0, 1.0];
/// Weight of a contrast of `d + 1` steps.
const CONTRAST_WEIGHTS: [u32; 32] =
    [1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
/// One side must have this.
const MIN_SIDE: usize = 216;
/// Side of the square whose flatness makes the mask.
const MASK_SIDE: usize = 7;
/// Limited range at ten bits.
const FOOT: i32 = 64;
const HEAD: i32 = 940;
const PEAK: i32 = 1023;
/// The widest window: its pixels must be counted in 16 bits.
const MAX_WINDOW: usize = 255;

/// How luma becomes light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Eotf {
    Bt1886,
    Pq,
}

/// Options of one variant, resolved for a picture size.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CambiOptions {
    encoded: (usize, usize),
    source: (usize, usize),
    encoded_depth: u32,
    windows: [usize; 2],
    top: f64,
    pub(crate) max: f64,
    pub(crate) full_reference: bool,
    halve_first: bool,
    /// The largest value at which each contrast is visible.
    visible: Vec<i32>,
    /// Values at or below are too dark for banding to be seen.
    dark: i32,
    /// `1 / n` for as many pixels as a window has.
    reciprocals: Vec<f32>,
}

impl CambiOptions {
    pub(crate) fn new(values: &Values, format: Format) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Options { feature: "cambi", reason };
        let own = (format.width(), format.height());
        let size = |width: &str, height: &str| {
            let (width, height) = (values.integer(width) as usize, values.integer(height) as usize);
            if width == 0 || height == 0 { own } else { (width, height) }
        };
        let mut encoded = size("enc_width", "enc_height");
        let source = size("src_width", "src_height");
        if encoded.0 > own.0 || encoded.1 > own.1 {
            encoded = own;
        }
        for side in [encoded, source] {
            if side.0 < MIN_SIDE && side.1 < MIN_SIDE {
                return Err(Error::TooSmall { feature: "cambi", min: MIN_SIDE, format });
            }
        }
        let is_crossed =
            (source.0 > encoded.0 && source.1 < encoded.1) || (source.0 < encoded.0 && source.1 > encoded.1);
        if is_crossed {
            return Err(wrong("source and encode must not each be larger in one direction".to_owned()));
        }
        let threshold = match values.integer("cambi_high_res_speedup") {
            1080 => Some(1920 * 1080),
            1440 => Some(2560 * 1440),
            2160 => Some(3840 * 2160),
            _ => None,
        };
        let halve_first = threshold.is_some_and(|pixels| encoded.0 * encoded.1 >= pixels);
        let window = |(width, height): (usize, usize)| {
            let scaled = ((values.integer("window_size") as usize * (width + height)) / 375) >> 4;
            (if halve_first { (scaled + 1) >> 1 } else { scaled }) | 1
        };
        let windows = [window(encoded), window(source)];
        if windows.iter().any(|&side| side > MAX_WINDOW) {
            return Err(wrong(format!(
                "a window of more than {MAX_WINDOW} pixels is not offered; lower window_size"
            )));
        }
        let name = if values.text("cambi_eotf") == "bt1886" {
            values.text("eotf")
        } else {
            values.text("cambi_eotf")
        };
        let eotf = match name {
            "bt1886" => Eotf::Bt1886,
            "pq" => Eotf::Pq,
            other => return Err(wrong(format!("eotf {other:?} is not known; it is bt1886 or pq"))),
        };
        let steps = 1 << values.integer("max_log_contrast");
        let threshold = values.number("tvi_threshold");
        let visible = (1..=steps).map(|step| largest_visible(step, threshold, eotf)).collect();
        let depth = values.integer("enc_bitdepth") as u32;
        let topk = values.number("topk");
        Ok(Self {
            encoded,
            source,
            encoded_depth: if depth == 0 { format.depth().bits() } else { depth },
            windows,
            top: if topk == 0.6 { values.number("cambi_topk") } else { topk },
            max: values.number("cambi_max_val"),
            full_reference: values.flag("full_ref"),
            halve_first,
            visible,
            dark: darkest_visible(values.number("cambi_vis_lum_threshold"), eotf),
            reciprocals: reciprocals(windows[0].max(windows[1])),
        })
    }
}

/// `1 / n` up to the pixels of a window. libvmaf has them in a table of nine digits, which are not always the nearest
/// number of single precision; its scores are made of them.
fn reciprocals(window: usize) -> Vec<f32> {
    let digits = |n: usize| format!("{:.8e}", 1.0 / n as f64).parse::<f32>().unwrap_or(0.0);
    (0..=window * window).map(|n| if n == 0 { 0.0 } else { digits(n) }).collect()
}

/// Luminance in cd/m² of a ten-bit luma sample of limited range.
fn luminance(sample: i32, eotf: Eotf) -> f64 {
    let value = f64::from(sample.clamp(FOOT, HEAD) - FOOT) / f64::from(HEAD - FOOT);
    match eotf {
        Eotf::Bt1886 => {
            const GAMMA: f64 = 2.4;
            const WHITE: f64 = 300.0;
            const BLACK: f64 = 0.01;
            let (white, black) = (WHITE.powf(1.0 / GAMMA), BLACK.powf(1.0 / GAMMA));
            (white - black).powf(GAMMA) * (value + black / (white - black)).max(0.0).powf(GAMMA)
        }
        Eotf::Pq => {
            let root = value.powf(1.0 / 78.84375);
            let ratio = (root - 0.835_937_5).max(0.0) / (18.851_562_5 - 18.6875 * root);
            10_000.0 * ratio.powf(1.0 / 0.159_301_757_812_5)
        }
    }
}

/// The largest luma at which `step` more is seen: the light rises by more than `threshold` of itself.
fn largest_visible(step: i32, threshold: f64, eotf: Eotf) -> i32 {
    let is_seen = |sample: i32| {
        let light = luminance(sample, eotf);
        luminance(sample + step, eotf) - light > threshold * light
    };
    // Too low a sample (-1), the boundary (0), too high a one (1).
    let side = |sample: i32| {
        if !is_seen(sample) {
            1
        } else if is_seen(sample + 1) {
            -1
        } else {
            0
        }
    };
    let (mut low, mut high) = (FOOT, HEAD - step - 1);
    match side(low) {
        1 => return 0,
        0 => return low,
        _ => {}
    }
    match side(high) {
        -1 => return PEAK,
        0 => return high,
        _ => {}
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match side(middle) {
            1 => high = middle,
            0 => return middle,
            _ => low = middle,
        }
    }
    low
}

/// The smallest luma with the light `threshold`; none where the darkest has it.
fn darkest_visible(threshold: f64, eotf: Eotf) -> i32 {
    let found = (FOOT..=HEAD).find(|&sample| luminance(sample, eotf) >= threshold).unwrap_or(HEAD);
    if found == FOOT { 0 } else { found }
}

/// Scratch.
#[derive(Debug, Default)]
pub(crate) struct Cambi {
    image: Grid<u16>,
    mask: Grid<u16>,
    /// What a picture is halved into.
    spare: Grid<u16>,
    lines: [Vec<u16>; 3],
    histograms: Vec<u16>,
    contrasts: Vec<f32>,
    /// Flatness of the rows of a square, and its sum down the columns.
    flat: [Vec<u8>; MASK_SIDE],
    flat_columns: Vec<u8>,
}

impl Cambi {
    /// Banding of the distorted frame, and where both are asked for, of the reference.
    pub(crate) fn scores(
        &mut self,
        isa: Isa,
        options: &CambiOptions,
        reference: &Frame,
        distorted: &Frame,
    ) -> (f64, Option<f64>) {
        let distorted = self.banding(isa, options, distorted, options.encoded, options.windows[0]);
        let reference = options
            .full_reference
            .then(|| self.banding(isa, options, reference, options.source, options.windows[1]));
        (distorted, reference)
    }

    fn banding(
        &mut self,
        isa: Isa,
        options: &CambiOptions,
        frame: &Frame,
        size: (usize, usize),
        window: usize,
    ) -> f64 {
        self.take(frame, size, options.encoded_depth);
        self.find_flat(isa);
        let mut score = 0.0;
        for (scale, weight) in SCALE_WEIGHTS.into_iter().enumerate() {
            if scale > 0 || options.halve_first {
                for grid in [&mut self.image, &mut self.mask] {
                    halve(isa, grid, &mut self.spare);
                    std::mem::swap(grid, &mut self.spare);
                }
            }
            self.filter_mode(isa);
            self.contrast(isa, options, window);
            let pixels = self.image.width * self.image.height;
            score += mean_of_largest(isa, &self.contrasts[..pixels], options.top) * weight;
        }
        score / (window * window) as f64
    }

    /// The luma at ten bits, at the size of the encode by its nearest samples; smoothed where the encode had fewer bits.
    fn take(&mut self, frame: &Frame, (width, height): (usize, usize), encoded_depth: u32) {
        let depth = frame.format().depth().bits();
        let (own_width, own_height) = (frame.format().width(), frame.format().height());
        self.image.resize(width, height);
        let nearest = |own: usize, wanted: usize| -> Vec<usize> {
            if own == wanted {
                return (0..own).collect();
            }
            let ratio = own as f32 / wanted as f32;
            let mut at = (f64::from(ratio / 2.0) - 0.5) as f32;
            let mut places = Vec::with_capacity(wanted);
            for _ in 0..wanted {
                places.push(((f64::from(at) + 0.5) as usize).min(own - 1));
                at += ratio;
            }
            places
        };
        let (columns, rows) = (nearest(own_width, width), nearest(own_height, height));
        for (y, &from) in rows.iter().enumerate() {
            let line = self.image.row_mut(y);
            match frame.pixels() {
                Pixels::Eight(planes) => {
                    let row = planes[0].row(from);
                    if own_width == width {
                        for (out, &sample) in line.iter_mut().zip(row) {
                            *out = u16::from(sample) << 2;
                        }
                        continue;
                    }
                    for (out, &x) in line.iter_mut().zip(&columns) {
                        *out = u16::from(row[x]) << 2;
                    }
                }
                Pixels::Deep(planes) => {
                    let row = planes[0].row(from);
                    let up = 10_u32.saturating_sub(depth);
                    let down = depth.saturating_sub(10);
                    let round = (1_u32 << down) >> 1;
                    if own_width == width {
                        for (out, &sample) in line.iter_mut().zip(row) {
                            *out =
                                ((((u32::from(sample) << up) + round) >> down) as u16).min(PEAK as u16 + 1);
                        }
                        continue;
                    }
                    for (out, &x) in line.iter_mut().zip(&columns) {
                        *out = ((((u32::from(row[x]) << up) + round) >> down) as u16).min(PEAK as u16 + 1);
                    }
                }
            }
        }
        if encoded_depth < 10 {
            smooth(&mut self.image);
        }
    }

    /// Masks pixels whose surrounding square is flat enough for the picture's size.
    fn find_flat(&mut self, isa: Isa) {
        const REACH: usize = MASK_SIDE / 2;
        let (width, height) = (self.image.width, self.image.height);
        self.mask.resize(width, height);
        let blocks = ((width >> 6) * (height >> 6)) as u64;
        let log = if blocks == 0 { 0 } else { ceil_log2(blocks) as i32 };
        let least = ((MASK_SIDE * MASK_SIDE) as i32 + 3 * (log - 11) - 1) >> 1;
        let least = u32::from(least as u16).min(u32::from(u8::MAX)) as u8;
        // Rows have zeros on both sides, where the square reaches out of the picture.
        for row in self.flat.iter_mut().chain([&mut self.flat_columns]) {
            row.clear();
            row.resize(width + 2 * REACH, 0);
        }
        for y in 0..height + REACH {
            let row = &mut self.flat[y % MASK_SIDE];
            change_columns(isa, &mut self.flat_columns, row, u8::MAX);
            if y < height {
                let below = self.image.row((y + 1).min(height - 1));
                flat_row(isa, self.image.row(y), below, &mut row[REACH..REACH + width]);
            } else {
                row.fill(0);
            }
            change_columns(isa, &mut self.flat_columns, row, 1);
            if let Some(above) = y.checked_sub(REACH) {
                mask_row(isa, &self.flat_columns, least, self.mask.row_mut(above));
            }
        }
    }

    /// Replaces samples by the mode of three, across and then down; first and last row and column stay.
    fn filter_mode(&mut self, isa: Isa) {
        let (width, height) = (self.image.width, self.image.height);
        for line in &mut self.lines {
            line.resize(width, 0);
        }
        for y in 0..height {
            let row = self.image.row(y);
            let line = &mut self.lines[y % 3][..width];
            line[0] = row[0];
            line[width - 1] = row[width - 1];
            if width > 2 {
                modes(isa, row, &row[1..], &row[2..], &mut line[1..width - 1]);
            }
            if y > 1 {
                let [a, b, c] = &self.lines;
                modes(isa, a, b, c, self.image.row_mut(y - 1));
            }
        }
    }

    /// The contrast of every masked pixel.
    fn contrast(&mut self, isa: Isa, options: &CambiOptions, window: usize) {
        let (width, height) = (self.image.width, self.image.height);
        let reach = window / 2;
        let steps = options.visible.len();
        let last = usize::try_from(options.visible.iter().copied().max().unwrap_or(0)).unwrap_or(0);
        // Values that some pixel is compared with, and below the first as many empty rows as there are steps.
        let band = steps + (last + steps + 1).min(PEAK as usize + 2 + steps);
        self.histograms.clear();
        self.histograms.resize(band * width + GATHER_BEHIND, 0);
        if self.contrasts.len() < width * height {
            self.contrasts.resize(width * height, 0.0);
        }
        let lowest = steps;
        for y in 0..reach.min(height) {
            change(isa, &mut self.histograms, self.image.row(y), self.mask.row(y), lowest, reach, 1);
        }
        for y in 0..height {
            let entering = (y + reach < height).then(|| y + reach);
            let leaving = y.checked_sub(reach + 1);
            match (entering, leaving) {
                (Some(entering), Some(leaving)) => {
                    let rows = [entering, leaving].map(|row| (self.image.row(row), self.mask.row(row)));
                    slide(isa, &mut self.histograms, rows, lowest, reach);
                }
                (Some(entering), None) => {
                    change(
                        isa,
                        &mut self.histograms,
                        self.image.row(entering),
                        self.mask.row(entering),
                        lowest,
                        reach,
                        1,
                    );
                }
                (None, Some(leaving)) => {
                    change(
                        isa,
                        &mut self.histograms,
                        self.image.row(leaving),
                        self.mask.row(leaving),
                        lowest,
                        reach,
                        u16::MAX,
                    );
                }
                (None, None) => {}
            }
            let contrasts = &mut self.contrasts[y * width..][..width];
            row_contrast(isa, &self.histograms, self.image.row(y), self.mask.row(y), options, contrasts);
        }
    }
}

/// Numbers that a gather of 32 bits may touch behind the last of 16.
const GATHER_BEHIND: usize = 32;

/// The contrasts of a row.
fn row_contrast(
    isa: Isa,
    histograms: &[u16],
    row: &[u16],
    mask: &[u16],
    options: &CambiOptions,
    contrasts: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if isa.level() == crate::isa::Level::Avx512 {
        let weights = &CONTRAST_WEIGHTS[..options.visible.len()];
        #[allow(unsafe_code, reason = "the processor was asked")]
        // SAFETY: an `Isa` of this level exists only where the processor was found to have these features.
        unsafe {
            avx512::row_contrast(histograms, row, mask, options, weights, contrasts);
        }
        return;
    }
    let _ = isa;
    let width = row.len();
    for x in 0..width {
        contrasts[x] = if mask[x] == 0 { 0.0 } else { pixel_contrast(histograms, width, x, row[x], options) };
    }
}

/// The contrast of a pixel of `value` in column `x`.
fn pixel_contrast(histograms: &[u16], width: usize, x: usize, value: u16, options: &CambiOptions) -> f32 {
    let steps = options.visible.len();
    let count = |value: i32| -> u32 {
        let place = (value + steps as i32) as usize * width + x;
        histograms.get(place).copied().unwrap_or(0).into()
    };
    let value = i32::from(value);
    let own = count(value);
    let mut most = 0.0_f32;
    for (index, &visible) in options.visible.iter().enumerate() {
        let step = index as i32 + 1;
        if value <= visible && value + steps as i32 + step > options.dark {
            let other = count(value + step).max(count(value - step));
            let reciprocal = options.reciprocals.get((own + other) as usize).copied().unwrap_or(0.0);
            let contrast = (CONTRAST_WEIGHTS[index] * own * other) as f32 * reciprocal;
            if contrast > most {
                most = contrast;
            }
        }
    }
    most
}

kernel! {
    /// Adds `by` (wrapping) times a row of flatness to the sums down the columns.
    fn change_columns [] [] (columns: &mut [u8], row: &[u8], by: u8) {
        let row = &row[..columns.len()];
        for x in 0..columns.len() {
            columns[x] = columns[x].wrapping_add(row[x].wrapping_mul(by));
        }
    }
}

kernel! {
    /// Where pixels are equal to their right and lower neighbours; beyond the picture all are.
    fn flat_row [] [] (here: &[u16], below: &[u16], out: &mut [u8]) {
        let width = out.len();
        let (here, below) = (&here[..width], &below[..width]);
        let right = &here[1..];
        for x in 0..width - 1 {
            out[x] = u8::from((here[x] == right[x]) & (here[x] == below[x]));
        }
        out[width - 1] = u8::from(here[width - 1] == below[width - 1]);
    }
}

kernel! {
    /// Where the square around a pixel has more than `least` flat ones; `columns` are sums down, with zeros on both sides.
    fn mask_row [] [] (columns: &[u8], least: u8, mask: &mut [u16]) {
        let width = mask.len();
        let taps: [&[u8]; MASK_SIDE] = std::array::from_fn(|k| &columns[k..k + width]);
        for x in 0..width {
            let mut count = 0_u8;
            for k in 0..MASK_SIDE {
                count += taps[k][x];
            }
            mask[x] = u16::from(count > least);
        }
    }
}

kernel! {
    /// The mode of three, element by element.
    fn modes [] [] (a: &[u16], b: &[u16], c: &[u16], out: &mut [u16]) {
        let width = out.len();
        let (a, b, c) = (&a[..width], &b[..width], &c[..width]);
        for x in 0..width {
            out[x] = mode(a[x], b[x], c[x]);
        }
    }
}

kernel! {
    /// Adds `by` (wrapping) to the histograms whose windows hold the masked pixels of a row.
    fn change [] [] (histograms: &mut [u16], row: &[u16], mask: &[u16], lowest: usize, reach: usize, by: u16) {
        let width = row.len();
        for x in 0..width {
            if mask[x] == 0 {
                continue;
            }
            let start = (lowest + usize::from(row[x])) * width;
            let run = start + x.saturating_sub(reach)..start + (x + reach + 1).min(width);
            if let Some(run) = histograms.get_mut(run) {
                for count in run {
                    *count = count.wrapping_add(by);
                }
            }
        }
    }
}

kernel! {
    /// Adds a row that enters the windows and takes away the one that leaves them.
    fn slide [] [] (histograms: &mut [u16], rows: [(&[u16], &[u16]); 2], lowest: usize, reach: usize) {
        let [(entering, entering_mask), (leaving, leaving_mask)] = rows;
        let width = entering.len();
        for x in 0..width {
            let (enters, leaves) = (entering_mask[x] != 0, leaving_mask[x] != 0);
            if enters && leaves && entering[x] == leaving[x] {
                continue;
            }
            let (from, to) = (x.saturating_sub(reach), (x + reach + 1).min(width));
            if enters {
                let start = (lowest + usize::from(entering[x])) * width;
                for count in histograms.get_mut(start + from..start + to).unwrap_or_default() {
                    *count = count.wrapping_add(1);
                }
            }
            if leaves {
                let start = (lowest + usize::from(leaving[x])) * width;
                for count in histograms.get_mut(start + from..start + to).unwrap_or_default() {
                    *count = count.wrapping_sub(1);
                }
            }
        }
    }
}

/// Keeps even rows and columns.
fn halve(isa: Isa, grid: &Grid<u16>, half: &mut Grid<u16>) {
    half.resize(grid.width.div_ceil(2), grid.height.div_ceil(2));
    for y in 0..half.height {
        keep_even(isa, grid.row(2 * y), half.row_mut(y));
    }
}

kernel! {
    fn keep_even [] [] (row: &[u16], out: &mut [u16]) {
        let pairs = row.len() / 2;
        for (out, pair) in out.iter_mut().zip(row.chunks_exact(2)) {
            *out = pair[0];
        }
        if out.len() > pairs {
            out[pairs] = row[2 * pairs];
        }
    }
}

/// The mean of each two by two samples, in place; of two at the last column and row.
fn smooth(grid: &mut Grid<u16>) {
    let (width, height) = (grid.width, grid.height);
    for y in 0..height {
        let below: Vec<u16> = grid.row((y + 1).min(height - 1)).to_vec();
        let is_last = y == height - 1;
        let row = grid.row_mut(y);
        for x in 0..width {
            let right = (x + 1 < width).then(|| row[x + 1]);
            row[x] = match (right, is_last) {
                (Some(right), false) => (row[x] + right + below[x] + below[x + 1]) >> 2,
                (None, false) => (row[x] + below[x]) >> 1,
                (Some(right), true) => (row[x] + right) >> 1,
                (None, true) => row[x],
            };
        }
    }
}

/// The value that two of three have, else the least.
#[allow(clippy::inline_always, clippy::needless_bitwise_bool, reason = "part of a kernel, without branches")]
#[inline(always)]
fn mode(a: u16, b: u16, c: u16) -> u16 {
    let least = a.min(b).min(c);
    let second = if b == c { b } else { least };
    if (a == b) | (a == c) { a } else { second }
}

/// The mean of the largest `share` of all values, of which none is negative.
fn mean_of_largest(isa: Isa, values: &[f32], share: f64) -> f64 {
    // Bits of positive numbers are in their order, so their first bits make a histogram.
    const SHIFT: u32 = 19;
    let count = ((share * values.len() as f64) as usize).clamp(1, values.len());
    let bucket = |value: f32| (value.to_bits() >> SHIFT) as usize;
    let above_zero = values.len() - zeros(isa, values);
    if above_zero <= count {
        return total_above(isa, values, 0) / count as f64;
    }
    let mut buckets = vec![0_u32; 1 << (32 - SHIFT)];
    for &value in values {
        buckets[bucket(value)] += 1;
    }
    let (mut kept, mut last) = (0, buckets.len());
    while kept < count {
        last -= 1;
        kept += buckets[last] as usize;
    }
    // All above the last bucket, and the largest of it.
    let mut rest: Vec<f32> = values.iter().copied().filter(|&value| bucket(value) == last).collect();
    let from_last = count - (kept - rest.len());
    if from_last < rest.len() {
        rest.select_nth_unstable_by(from_last, |a, b| b.total_cmp(a));
    }
    let largest: f64 = rest[..from_last].iter().map(|&value| f64::from(value)).sum();
    (total_above(isa, values, ((last + 1) << SHIFT) as u32) + largest) / count as f64
}

kernel! {
    fn zeros [] [] (values: &[f32]) -> usize {
        let mut count = 0_u32;
        for &value in values {
            count += u32::from(value == 0.0);
        }
        count as usize
    }
}

/// Lanes of sums, so that every instruction set adds in the same order.
const LANES: usize = 16;

kernel! {
    /// The sum of values whose bits are at least `least`.
    fn total_above [] [] (values: &[f32], least: u32) -> f64 {
        let kept = |value: f32| f64::from(if value.to_bits() >= least { value } else { 0.0 });
        let mut sums = [0.0_f64; LANES];
        let mut chunks = values.chunks_exact(LANES);
        for chunk in &mut chunks {
            for lane in 0..LANES {
                sums[lane] += kept(chunk[lane]);
            }
        }
        for (sum, &value) in sums.iter_mut().zip(chunks.remainder()) {
            *sum += kept(value);
        }
        sums.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_steps_are_the_published_ones() {
        // Known values of the BT.1886 table at 1.9 %.
        let visible: Vec<i32> = (1..=4).map(|step| largest_visible(step, 0.019, Eotf::Bt1886)).collect();
        assert_eq!(visible, [178, 305, 432, 559]);
        assert_eq!(darkest_visible(0.0, Eotf::Bt1886), 0);
    }

    #[test]
    fn the_largest_are_averaged() {
        for isa in Isa::available() {
            assert_eq!(mean_of_largest(isa, &[1.0, 5.0, 2.0, 4.0, 3.0], 0.6), 4.0);
            assert_eq!(mean_of_largest(isa, &[7.0], 0.6), 7.0);
            assert_eq!(mean_of_largest(isa, &[0.0, 3.0, 0.0, 0.0, 0.0], 0.6), 1.0);
            let many: Vec<f32> = (0..1000).map(|i| ((i * 37) % 1000) as f32).collect();
            assert_eq!(mean_of_largest(isa, &many, 0.25), 874.5);
        }
    }
}
