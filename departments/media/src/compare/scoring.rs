//! Scoring the frames that decoders deliver, in step: what VMAF needs to know of the reference is computed once for all
//! renditions that meet the same frames of it.

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use backlot_frames::{Format, Frame, FrameMetric, Psnr, Reader, Ssim};
use backlot_vmaf::{Ladder, Model, Settings};

use super::Score;
use crate::{Error, measure::model_columns, source::frame_reader};

/// The worst frames that are told.
const WORST: usize = 3;
/// The PSNR of a lossless frame.
const LOSSLESS_DB: f64 = 200.0;

/// Renditions that meet the same frames of the reference, with the metrics at work: what VMAF needs to know of the reference
/// is computed once for all of them.
struct Group {
    /// Places among all renditions.
    members: Vec<usize>,
    first_frame: u64,
    frames: u64,
    vmaf: Option<Ladder>,
    /// PSNR and SSIM, by member.
    simple: Vec<Vec<Box<dyn FrameMetric>>>,
}

impl Group {
    fn push(&mut self, reference: &Arc<Frame>, all: &[Arc<Frame>]) -> Result<(), Error> {
        let own: Vec<Arc<Frame>> = self.members.iter().map(|&place| Arc::clone(&all[place])).collect();
        for (metrics, distorted) in self.simple.iter_mut().zip(&own) {
            for metric in metrics {
                metric.push(reference, distorted)?;
            }
        }
        match &mut self.vmaf {
            Some(vmaf) => Ok(vmaf.push(Arc::clone(reference), own)?),
            None => Ok(()),
        }
    }

    /// The scores of each member, by its place.
    fn finish(mut self, models: &[Model]) -> Result<Vec<(usize, Vec<Score>)>, Error> {
        let mut scores: Vec<Vec<Score>> = vec![Vec::new(); self.members.len()];
        if let Some(vmaf) = self.vmaf {
            for (scores, report) in scores.iter_mut().zip(vmaf.finish()?) {
                scores.extend(
                    model_columns(&report, models).map(|column| Score::of(&column.name, column.frames)),
                );
            }
        }
        for (scores, metrics) in scores.iter_mut().zip(&mut self.simple) {
            for metric in metrics {
                for column in metric.finish()?.columns {
                    // A lossless frame has no end of PSNR, which JSON cannot say.
                    let frames = column.frames.into_iter().map(|score| score.min(LOSSLESS_DB)).collect();
                    scores.push(Score::of(&column.name, frames));
                }
            }
        }
        Ok(self.members.into_iter().zip(scores).collect())
    }
}

/// The groups of renditions, each of which is `(first_frame, frames)`.
fn groups(shown: &[(u64, u64)], format: Format, models: &[Model]) -> Result<Vec<Group>, Error> {
    let mut groups: Vec<Group> = Vec::new();
    for (place, &(first_frame, frames)) in shown.iter().enumerate() {
        let metrics: Vec<Box<dyn FrameMetric>> =
            vec![Box::new(Psnr::new(format)), Box::new(Ssim::new(format)?)];
        match groups.iter_mut().find(|group| (group.first_frame, group.frames) == (first_frame, frames)) {
            Some(group) => {
                group.members.push(place);
                group.simple.push(metrics);
            }
            None => groups.push(Group {
                members: vec![place],
                first_frame,
                frames,
                vmaf: None,
                simple: vec![metrics],
            }),
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = NonZeroUsize::new(cores / groups.len().max(1)).unwrap_or(NonZeroUsize::MIN);
    for group in &mut groups {
        if let Some(members) = NonZeroUsize::new(group.members.len()).filter(|_| !models.is_empty()) {
            let settings = Settings { threads, ..Settings::default() };
            group.vmaf = Some(Ladder::new(models, &[], format, settings, members)?);
        }
    }
    Ok(groups)
}

impl Score {
    fn of(name: &str, frames: Vec<f64>) -> Self {
        let count = frames.len().max(1) as f64;
        let mut sorted = frames.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted.get((share * (sorted.len().max(1) - 1) as f64) as usize).copied();
        Self {
            name: name.to_owned(),
            mean: frames.iter().sum::<f64>() / count,
            harmonic_mean: count / frames.iter().map(|score| 1.0 / (score + 1.0)).sum::<f64>() - 1.0,
            min: at(0.0).unwrap_or(0.0),
            percentile_5: at(0.05).unwrap_or(0.0),
            frames,
        }
    }
}

/// Reads all pipes in step, the reference first. `shown` says which frame of the reference each rendition begins at, and how
/// many it shows. Gives the scores of each rendition.
pub(super) fn score(
    pipes: Vec<File>,
    shown: &[(u64, u64)],
    paths: &[PathBuf],
    models: &[Model],
    mut progress: impl FnMut(u64),
) -> Result<Vec<Vec<Score>>, Error> {
    let mut readers = pipes.into_iter().map(frame_reader).collect::<Result<Vec<_>, _>>()?;
    let (reference_reader, readers) =
        readers.split_first_mut().expect("invariant: the reference is always read");
    let format = reference_reader.header().format;
    let mut groups = groups(shown, format, models)?;
    let mut reference = Arc::new(Frame::black(format));
    let mut frames: Vec<Arc<Frame>> = readers.iter().map(|_| Arc::new(Frame::black(format))).collect();
    let mut index = 0;
    while read_into(reference_reader, &mut reference)? {
        for group in &mut groups {
            if !(group.first_frame..group.first_frame + group.frames).contains(&index) {
                continue;
            }
            for &place in &group.members {
                if !read_into(&mut readers[place], &mut frames[place])? {
                    let (what, expected) = (paths[place].display().to_string(), group.frames);
                    return Err(Error::FrameCount { what, expected, got: index - group.first_frame });
                }
            }
            group.push(&reference, &frames)?;
        }
        index += 1;
        progress(index);
    }
    // Whoever still has frames is read to the end, so that no decoder meets a closed pipe.
    for reader in readers {
        while reader.read_frame()?.is_some() {}
    }
    let mut scores = vec![Vec::new(); shown.len()];
    for group in groups {
        for (place, own) in group.finish(models)? {
            scores[place] = own;
        }
    }
    Ok(scores)
}

/// The next frame; a frame that VMAF still holds is left to it.
fn read_into<R: std::io::Read>(reader: &mut Reader<R>, frame: &mut Arc<Frame>) -> Result<bool, Error> {
    if Arc::get_mut(frame).is_none() {
        *frame = Arc::new(Frame::black(reader.header().format));
    }
    let frame = Arc::get_mut(frame).expect("invariant: nobody else holds it");
    Ok(reader.read_frame_into(frame)?)
}

/// The frames of the reference with the least scores, at least `apart` from each other.
pub(super) fn worst(score: &Score, first_frame: u64, apart: u64) -> Vec<u64> {
    let mut order: Vec<usize> = (0..score.frames.len()).collect();
    order.sort_by(|&a, &b| score.frames[a].total_cmp(&score.frames[b]).then(a.cmp(&b)));
    let mut worst: Vec<u64> = Vec::new();
    for index in order {
        let frame = first_frame + index as u64;
        if worst.iter().all(|other| other.abs_diff(frame) >= apart) {
            worst.push(frame);
        }
        if worst.len() == WORST {
            break;
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_pooled() {
        let score = Score::of("vmaf", (0..100).map(f64::from).collect());
        assert_eq!((score.min, score.percentile_5, score.mean), (0.0, 4.0, 49.5));
        let harmonic = 100.0 / (1..=100).map(|x| 1.0 / f64::from(x)).sum::<f64>() - 1.0;
        assert!((score.harmonic_mean - harmonic).abs() < 1e-12);
    }

    #[test]
    fn the_worst_frames_are_not_all_of_one_moment() {
        let mut frames = vec![90.0; 100];
        for (index, score) in [(40, 10.0), (41, 11.0), (42, 12.0), (80, 20.0), (5, 30.0)] {
            frames[index] = score;
        }
        assert_eq!(worst(&Score::of("vmaf", frames), 3, 25), [43, 83, 8]);
        assert_eq!(worst(&Score::of("vmaf", vec![50.0]), 0, 25), [0]);
    }
}
