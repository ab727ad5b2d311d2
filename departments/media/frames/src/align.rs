//! How many frames one clip lies behind another.
//!
//! An encode that begins three frames late is scored against the wrong pictures, and the score says only that it is bad. So
//! the two clips are laid beside each other first. A frame's [`Print`] is its luma as a coarse grid of means, which survives
//! scaling and coding; the offset is the shift at which the prints of both clips differ least:
//!
//! ```text
//!  reference  a b c d e f g            offset 3: frame i of the reference is frame i + 3 of the other
//!  other      . . . a b c d e f g
//! ```
//!
//! A shift counts only when it is clearly better than none: in a still every shift is as good as any other.

use crate::{Frame, signature::luma_means};

/// The luma of a frame as a coarse grid of means, in eight-bit levels.
#[derive(Clone, Debug, PartialEq)]
pub struct Print(Vec<f32>);

/// How two clips lie to each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alignment {
    /// Frame `i` of the reference is frame `i + offset` of the other clip: positive when the other one is late.
    pub offset: i64,
    /// The mean difference of the prints at that offset, in eight-bit levels.
    pub difference: f64,
    /// The mean difference without any shift.
    pub unshifted: f64,
}

/// A shift must leave less than this share of the unshifted difference, or nothing is shifted.
const CLEARLY_BETTER: f64 = 0.8;
/// And it must take away this many eight-bit levels: less is what rounding leaves in a still.
const AT_LEAST: f64 = 0.01;

impl Print {
    /// The print of a frame of any layout.
    pub fn of(frame: &Frame) -> Self {
        Self(luma_means(frame))
    }

    /// The mean absolute difference of two prints, in eight-bit levels.
    pub fn difference(&self, other: &Self) -> f64 {
        let total: f32 = self.0.iter().zip(&other.0).map(|(a, b)| (a - b).abs()).sum();
        f64::from(total) / self.0.len().max(1) as f64
    }
}

/// The offset of `other` against `reference`, at most `most` frames either way and no more than half of the shorter clip.
/// `None` when either has no frame.
pub fn align(reference: &[Print], other: &[Print], most: usize) -> Option<Alignment> {
    let shorter = reference.len().min(other.len());
    if shorter == 0 {
        return None;
    }
    let most = most.min(shorter / 2) as i64;
    let at = |offset: i64| {
        let skipped = |frames: i64| usize::try_from(frames).unwrap_or(0);
        let pairs = reference[skipped(-offset)..].iter().zip(&other[skipped(offset)..]);
        let count = pairs.len();
        pairs.map(|(a, b)| a.difference(b)).sum::<f64>() / count as f64
    };
    let unshifted = at(0);
    // The nearest offsets first, so that of equal ones the nearest stays.
    let mut best = (0, unshifted);
    for distance in 1..=most {
        for offset in [distance, -distance] {
            let difference = at(offset);
            if difference < best.1 {
                best = (offset, difference);
            }
        }
    }
    let is_clear = best.1 < unshifted * CLEARLY_BETTER && unshifted - best.1 > AT_LEAST;
    let (offset, difference) = if is_clear { best } else { (0, unshifted) };
    Some(Alignment { offset, difference, unshifted })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{BitDepth, Format, Subsampling};

    /// A square that moves by some pixels a frame, over a slope.
    fn moving(frames: std::ops::Range<i32>, depth: BitDepth) -> Vec<Print> {
        let format = Format::new(320, 192, Subsampling::C420, depth).unwrap();
        let scale = depth.peak() / 255;
        let print = |number: i32| {
            let mut frame = Frame::black(format);
            let left = (number * 3).rem_euclid(250) as usize;
            frame.fill(|_, x, y| {
                let level = if (left..left + 48).contains(&x) && (60..110).contains(&y) {
                    200
                } else {
                    40 + x as u16 / 8
                };
                level * scale
            });
            Print::of(&frame)
        };
        frames.map(print).collect()
    }

    #[test]
    fn a_late_clip_and_an_early_one_are_told_apart() {
        let reference = moving(0..60, BitDepth::EIGHT);
        for offset in [-7_i32, -1, 0, 1, 3, 25] {
            let other = moving(-offset..60 - offset, BitDepth::TEN);
            let found = align(&reference, &other, 50).unwrap();
            assert_eq!(found.offset, i64::from(offset), "{found:?}");
            assert!(found.difference < 0.3, "{found:?}");
        }
        assert_eq!(align(&reference, &[], 50), None);
        assert_eq!(align(&reference[..1], &reference[5..6], 50).unwrap().offset, 0);
    }

    #[test]
    fn a_still_is_not_shifted_and_neither_is_another_film() {
        let still = vec![moving(0..1, BitDepth::EIGHT).remove(0); 40];
        assert_eq!(align(&still, &still, 30).unwrap().offset, 0);
        let noise = |seed: u32| {
            let print = |number: u32| {
                let cell = |cell: u32| {
                    f32::from((number.wrapping_mul(2_654_435_761) ^ cell.wrapping_mul(seed)) as u8)
                };
                Print((0..960).map(cell).collect())
            };
            (0..50).map(print).collect::<Vec<_>>()
        };
        let found = align(&noise(40_503), &noise(97), 40).unwrap();
        assert_eq!(found.offset, 0, "{found:?}");
        assert!(found.difference > 20.0, "{found:?}");
    }

    proptest! {
        /// Coding changes levels a little; the offset stays.
        #[test]
        fn noise_does_not_hide_the_offset(offset in -12_i32..13, noise in prop::collection::vec(-2.0_f32..2.0, 960)) {
            let reference = moving(0..40, BitDepth::EIGHT);
            let mut other = moving(-offset..40 - offset, BitDepth::EIGHT);
            for (number, print) in other.iter_mut().enumerate() {
                for (cell, level) in print.0.iter_mut().enumerate() {
                    *level += noise[(cell * 7 + number * 13) % noise.len()];
                }
            }
            prop_assert_eq!(align(&reference, &other, 20).unwrap().offset, i64::from(offset));
        }
    }
}
