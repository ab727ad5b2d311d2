//! A fixed ladder to compare with: the same rows for every title.

use crate::plan::{RateQuality, Size, Trial, pchip::Pchip};

/// A row of the fixed ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedRung {
    /// The picture fits inside these bounds.
    pub bounds: Size,
    /// Rate in bits per second for a picture that fills them.
    pub rate: u32,
}

const fn rung(width: u32, height: u32, kilobits: u32) -> FixedRung {
    FixedRung { bounds: Size { width, height }, rate: kilobits * 1000 }
}

/// The H.264 rows that Apple's HLS Authoring Specification gives as initial encoding targets for 16:9 video. Netflix's
/// fixed ladder of 2015 has the same rates within a fifth, at 4:3 sizes.
pub const FIXED_LADDER: [FixedRung; 9] = [
    rung(416, 234, 145),
    rung(640, 360, 365),
    rung(768, 432, 730),
    rung(768, 432, 1100),
    rung(960, 540, 2000),
    rung(1280, 720, 3000),
    rung(1280, 720, 4500),
    rung(1920, 1080, 6000),
    rung(1920, 1080, 7800),
];

/// The fixed ladder for a source of this size: the rows it fills one side of, each at the size that keeps the source's
/// shape, and at the row's bits per pixel (a wide picture leaves the bars out and their bits with them). A source below
/// the lowest row gets that row at its own size. By rising rate.
pub fn fixed_ladder(source: Size) -> Vec<(Size, f64)> {
    let scaled = |rung: &FixedRung| {
        let size = source.fit_in(rung.bounds);
        (size, f64::from(rung.rate) * size.area() as f64 / rung.bounds.area() as f64)
    };
    let filled = |rung: &&FixedRung| rung.bounds.width <= source.width || rung.bounds.height <= source.height;
    let mut rows: Vec<(Size, f64)> = FIXED_LADDER.iter().filter(filled).map(scaled).collect();
    if rows.is_empty() {
        rows.push(scaled(&FIXED_LADDER[0]));
    }
    rows
}

/// What the fixed ladder delivers for a title, from the title's own trials: for each row the quality at the row's rate
/// on the curve of trials of the row's size (PCHIP over log rate). Rows whose rate lies outside the trials of their
/// size are left out rather than extrapolated; widen the range of quality settings to have them.
pub fn measured_on_fixed_ladder(source: Size, trials: &[Trial]) -> Vec<(Size, RateQuality)> {
    let at_row = |(size, rate): (Size, f64)| {
        let mut points: Vec<RateQuality> =
            trials.iter().filter(|trial| trial.size == size).map(|trial| trial.point).collect();
        points.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        let curve = Pchip::new(points.iter().map(|point| (point.rate.log10(), point.quality)))?;
        Some((size, RateQuality { rate, quality: curve.at(rate.log10())? }))
    };
    fixed_ladder(source).into_iter().filter_map(at_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_the_shape_and_bits_per_pixel() {
        let size = |width, height| Size { width, height };
        let hd = fixed_ladder(size(1920, 1080));
        assert_eq!(hd.len(), 9);
        assert_eq!(hd[8], (size(1920, 1080), 7_800_000.0));
        let scope = fixed_ladder(size(640, 272));
        assert_eq!(scope.len(), 2);
        assert_eq!(scope[1].0, size(640, 272));
        assert!((scope[1].1 - 365_000.0 * 272.0 / 360.0).abs() < 1e-6);
        assert_eq!(fixed_ladder(size(176, 144)).len(), 1);
    }

    #[test]
    fn rows_take_their_quality_from_the_trials() {
        let size = Size { width: 640, height: 360 };
        let trial = |rate: f64, quality| Trial { size, crf: 0, point: RateQuality { rate, quality } };
        let trials = [trial(730_000.0, 38.0), trial(182_500.0, 32.0)];
        let measured = measured_on_fixed_ladder(size, &trials);
        // 365 kbit/s is the middle of the two in log rate; 145 kbit/s is another size.
        assert_eq!(measured.len(), 1);
        assert!((measured[0].1.quality - 35.0).abs() < 1e-9);
    }
}
