//! Where one shot ends and the next begins: a streaming detector of hard cuts.
//!
//! Between each two frames stands a *transition* with a distance (see [`crate::signature`]). A transition is a cut
//! when three things hold, each of which turns away one kind of impostor:
//!
//! 1. **The distance stands out.** It is at least [`ShotOptions::threshold`], and at least [`ShotOptions::contrast`]
//!    times the upper quartile of its neighbours. Fast motion, a shaking camera and grain raise all neighbours alike;
//!    the quartile, unlike the mean, is not raised by another cut or a flash near by.
//! 2. **The change lasts.** The frame before must differ from *each* of the next few frames, and the frame after from
//!    each of the few before. A flash, a lightning, a dropped or a doubled frame comes back to what was; a cut does not.
//! 3. **The shot is long enough.** Of two cuts closer than [`ShotOptions::min_shot`] the one with the larger score
//!    stays, and none is closer than that to either end of the clip.
//!
//! Fades and long dissolves spread their change over many transitions, each of which fails the first test; a dissolve
//! of a few frames is one cut. A decision needs the neighbours to come, so a cut is reported some frames late:
//! the detector holds signatures (a few KB each) of its neighbourhood and nothing else.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{Error, Format, Frame, signature::Signature};

/// Transitions on either side that a distance must stand out from: half a second of film.
const NEIGHBOURHOOD: u64 = 12;
/// The longest flash, in frames, that is recognised as one.
const LONGEST_FLASH: u64 = 5;
/// The part of a cut's distance that must remain to every near frame on the other side.
const LASTING: f32 = 0.5;

/// What counts as a cut.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShotOptions {
    /// The least distance of a cut, in eight-bit levels per cell summed over luma, texture and the chroma planes.
    pub threshold: f32,
    /// How many times larger than the upper quartile of its neighbours the distance of a cut is.
    pub contrast: f32,
    /// The fewest frames in a shot, at least 1.
    pub min_shot: u64,
}

impl Default for ShotOptions {
    fn default() -> Self {
        Self { threshold: 6.0, contrast: 3.0, min_shot: 12 }
    }
}

/// A cut: the first frame of a new shot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// Index of the first frame of the new shot.
    pub frame: u64,
    /// How much of the picture changed for good: the least distance across the cut, in the units of
    /// [`ShotOptions::threshold`].
    pub score: f32,
}

/// Frames `start` up to but not including `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shot {
    /// First frame.
    pub start: u64,
    /// One past the last frame.
    pub end: u64,
}

impl Shot {
    /// Number of frames.
    pub fn frames(self) -> u64 {
        self.end - self.start
    }
}

/// The shots of a clip of `frames` frames that is cut at `cuts`, in order; they cover the clip without gap or overlap.
pub fn shots_between(cuts: &[Cut], frames: u64) -> Vec<Shot> {
    let inside = cuts.iter().map(|cut| cut.frame).filter(|&frame| frame > 0 && frame < frames);
    let starts: Vec<u64> = std::iter::once(0).chain(inside).collect();
    let ends = starts[1..].iter().copied().chain([frames]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| Shot { start, end })
        .filter(|shot| shot.end > shot.start)
        .collect()
}

/// The streaming detector: push every frame in display order, then finish.
///
/// ```
/// use backlot_frames::{BitDepth, Format, Frame, ShotDetector, ShotOptions, Subsampling, shots_between};
/// let format = Format::new(64, 36, Subsampling::C420, BitDepth::EIGHT)?;
/// let mut detector = ShotDetector::new(ShotOptions::default());
/// let mut cuts = Vec::new();
/// for index in 0..60 {
///     let mut frame = Frame::black(format);
///     frame.fill(|_, x, y| if index < 25 { (x * 4) as u16 } else { (y * 6) as u16 });
///     cuts.extend(detector.push(&frame)?);
/// }
/// cuts.extend(detector.finish());
/// assert_eq!(cuts.iter().map(|cut| cut.frame).collect::<Vec<_>>(), [25]);
/// assert_eq!(shots_between(&cuts, 60).len(), 2);
/// # Ok::<(), backlot_frames::Error>(())
/// ```
pub struct ShotDetector {
    options: ShotOptions,
    /// Layout of the first frame.
    format: Option<Format>,
    /// Frames pushed.
    frames: u64,
    /// The newest signatures; the last is that of frame `frames - 1`.
    signatures: VecDeque<Signature>,
    /// The newest distances; the last is that of the transition into frame `frames - 1`.
    distances: VecDeque<f32>,
    /// The transition to be decided next, named by the frame after it.
    undecided: u64,
    /// The newest cut, until no better one can come within the shortest shot.
    pending: Option<Cut>,
}

impl ShotDetector {
    /// A detector for one clip.
    pub fn new(options: ShotOptions) -> Self {
        Self {
            options,
            format: None,
            frames: 0,
            signatures: VecDeque::new(),
            distances: VecDeque::new(),
            undecided: 1,
            pending: None,
        }
    }

    /// Takes the next frame; the cut that has become certain with it, if any. All frames must have the layout of the
    /// first ([`Error::FormatMismatch`]).
    pub fn push(&mut self, frame: &Frame) -> Result<Option<Cut>, Error> {
        frame.expect_format(*self.format.get_or_insert(frame.format()))?;
        let signature = Signature::of(frame);
        if let Some(last) = self.signatures.back() {
            self.distances.push_back(last.distance(&signature));
        }
        self.signatures.push_back(signature);
        self.frames += 1;
        let certain = if self.undecided + NEIGHBOURHOOD < self.frames { self.decide_next() } else { None };
        let reach = (NEIGHBOURHOOD + LONGEST_FLASH + 2) as usize;
        if self.signatures.len() > reach {
            self.signatures.pop_front();
        }
        if self.distances.len() > 2 * NEIGHBOURHOOD as usize + 1 {
            self.distances.pop_front();
        }
        Ok(certain)
    }

    /// The cuts that were still undecided when the clip ended.
    pub fn finish(mut self) -> Vec<Cut> {
        let mut cuts = Vec::new();
        while self.undecided < self.frames {
            cuts.extend(self.decide_next());
        }
        let last_start = self.frames.saturating_sub(self.options.min_shot);
        cuts.extend(self.pending.take().filter(|cut| cut.frame <= last_start));
        cuts
    }

    /// Decides one transition; the earlier cut that thereby became certain.
    fn decide_next(&mut self) -> Option<Cut> {
        let candidate = self.judge(self.undecided);
        self.undecided += 1;
        let min_shot = self.options.min_shot.max(1);
        let settled = self.pending.filter(|cut| cut.frame + min_shot < self.undecided);
        if settled.is_some() {
            self.pending = None;
        }
        if let Some(cut) = candidate.filter(|cut| cut.frame >= min_shot)
            && self.pending.is_none_or(|pending| pending.score < cut.score)
        {
            self.pending = Some(cut);
        }
        settled
    }

    /// The cut at the transition into `frame`, if it is one.
    fn judge(&self, frame: u64) -> Option<Cut> {
        let distance = self.distance_into(frame)?;
        if distance < self.options.threshold
            || distance < self.options.contrast * self.neighbours_quartile(frame)
        {
            return None;
        }
        let (before, after) = (self.signature(frame - 1)?, self.signature(frame)?);
        let following = (frame..=frame + LONGEST_FLASH).filter_map(|index| self.signature(index));
        let preceding =
            (frame.saturating_sub(1 + LONGEST_FLASH)..frame).filter_map(|index| self.signature(index));
        let lasting = following
            .map(|signature| before.distance(signature))
            .chain(preceding.map(|signature| after.distance(signature)))
            .fold(distance, f32::min);
        let lasts = lasting >= LASTING * distance && lasting >= self.options.threshold;
        lasts.then_some(Cut { frame, score: lasting })
    }

    fn neighbours_quartile(&self, frame: u64) -> f32 {
        let around = frame.saturating_sub(NEIGHBOURHOOD)..=frame + NEIGHBOURHOOD;
        let mut neighbours: Vec<f32> =
            around.filter(|&index| index != frame).filter_map(|index| self.distance_into(index)).collect();
        neighbours.sort_by(f32::total_cmp);
        neighbours.get(neighbours.len() * 3 / 4).copied().unwrap_or(0.0)
    }

    fn distance_into(&self, frame: u64) -> Option<f32> {
        let from_end = self.frames.checked_sub(frame + 1)? as usize;
        let index = self.distances.len().checked_sub(from_end + 1)?;
        self.distances.get(index).copied()
    }

    fn signature(&self, frame: u64) -> Option<&Signature> {
        let from_end = self.frames.checked_sub(frame + 1)? as usize;
        self.signatures.get(self.signatures.len().checked_sub(from_end + 1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BitDepth, Format, Subsampling};

    /// Cuts in a clip whose frame `i` is a still picture named by `scenes[i]`.
    fn cuts_of(scenes: &[u16], options: ShotOptions) -> Vec<u64> {
        let format = Format::new(80, 48, Subsampling::C420, BitDepth::EIGHT).unwrap();
        let mut detector = ShotDetector::new(options);
        let mut cuts = Vec::new();
        for &scene in scenes {
            let mut frame = Frame::black(format);
            frame.fill(|plane, x, y| {
                (x as u16 * scene * 3 + y as u16 * (scene ^ 5) + plane as u16 * scene) % 256
            });
            cuts.extend(detector.push(&frame).unwrap());
        }
        cuts.extend(detector.finish());
        cuts.iter().map(|cut| cut.frame).collect()
    }

    fn repeat(scenes: &[(u16, usize)]) -> Vec<u16> {
        scenes.iter().flat_map(|&(scene, frames)| std::iter::repeat_n(scene, frames)).collect()
    }

    #[test]
    fn cuts_are_found_and_flashes_are_not() {
        let options = ShotOptions::default();
        assert_eq!(cuts_of(&repeat(&[(1, 30), (2, 30), (3, 30)]), options), [30, 60]);
        assert_eq!(cuts_of(&repeat(&[(1, 30), (9, 3), (1, 30)]), options), Vec::<u64>::new());
        // A flash at a cut is one cut.
        assert_eq!(cuts_of(&repeat(&[(1, 30), (9, 2), (2, 30)]), options).len(), 1);
    }

    #[test]
    fn shots_are_never_shorter_than_asked() {
        let options = ShotOptions { min_shot: 10, ..ShotOptions::default() };
        assert_eq!(cuts_of(&repeat(&[(1, 9), (2, 30)]), options), Vec::<u64>::new());
        assert_eq!(cuts_of(&repeat(&[(1, 10), (2, 30)]), options), [10]);
        assert_eq!(cuts_of(&repeat(&[(1, 30), (2, 9)]), options), Vec::<u64>::new());
        assert_eq!(cuts_of(&repeat(&[(1, 30), (2, 10)]), options), [30]);
        let short = cuts_of(&repeat(&[(1, 30), (2, 8), (3, 30)]), options);
        assert!(short == [30] || short == [38], "{short:?}");
    }

    #[test]
    fn any_length_of_clip_is_taken() {
        for frames in 0..40 {
            assert_eq!(cuts_of(&repeat(&[(1, frames)]), ShotOptions::default()), Vec::<u64>::new());
        }
        assert_eq!(shots_between(&[], 0), []);
        let cut = |frame| Cut { frame, score: 9.0 };
        assert_eq!(
            shots_between(&[cut(3), cut(7)], 9).iter().map(|shot| shot.frames()).collect::<Vec<_>>(),
            [3, 4, 2]
        );
    }
}
