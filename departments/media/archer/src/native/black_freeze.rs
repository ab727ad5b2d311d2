//! Finds stretches of black and of frozen picture.
//!
//! Map says of each frame what share of its pixels is black and how much it differs from the frame before; the frame before a part
//! is delivered with it, so nothing is lost at the seams. Collect joins frames to stretches over the whole clip. The measures are
//! those of ffmpeg's filters: `blackdetect` (share of pixels at or below a level) and `freezedetect` (mean absolute
//! difference as a part of full scale), but a frame is always compared to the one before it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{NativeJob, compute, parse_params, parse_result};
use crate::host::Failure;
use crate::media::Delivered;
use crate::steps::{Made, PartResult, Step};
use crate::{Job, Part};

/// The definition.
const JOB: &str = r#"
name = "black-freeze"
description = "Stretches of black and of frozen picture"
split = { seconds = 10.0 }
map = { native = "black-freeze" }
collect = { native = "black-freeze" }
[params.black_level]
type = "number"
default = 0.10
description = "Luma up to this part of full scale is black"
[params.black_share]
type = "number"
default = 0.98
description = "The share of black pixels that makes a frame black"
[params.black_seconds]
type = "number"
default = 2.0
description = "The shortest stretch of black"
[params.freeze_noise]
type = "number"
default = 0.001
description = "The mean difference, as a part of full scale, up to which a frame repeats the one before"
[params.freeze_seconds]
type = "number"
default = 2.0
description = "The shortest frozen stretch"
[frames]
encoding = "raw"
format = "gray"
lead = 1
"#;

#[derive(Clone, Copy, Debug, Deserialize)]
struct Params {
    black_level: f64,
    black_share: f64,
    black_seconds: f64,
    freeze_noise: f64,
    freeze_seconds: f64,
}

/// What map says of a part's frames, in order.
#[derive(Debug, Serialize, Deserialize)]
struct PartFound {
    /// The share of black pixels.
    black: Vec<f64>,
    /// The mean absolute difference to the frame before, as a part of full scale; null at the clip's begin.
    change: Vec<Option<f64>>,
}

/// Frames `start` up to but not including `end`.
#[derive(Debug, PartialEq, Serialize)]
struct Stretch {
    start: u64,
    end: u64,
    /// Seconds from the clip's begin.
    from: f64,
    to: f64,
}

#[derive(Debug, Serialize)]
struct Found {
    frames: u64,
    black: Vec<Stretch>,
    freeze: Vec<Stretch>,
}

/// The job `black-freeze`.
pub(super) struct BlackFreeze;

#[async_trait]
impl NativeJob for BlackFreeze {
    fn job(&self) -> Job {
        Job::from_toml(JOB).expect("invariant: the definition is checked by a test")
    }

    async fn map(&self, step: &Step<'_>, part: &Part, frames: Option<&Delivered>) -> Result<Made, Failure> {
        let params: Params = parse_params(step)?;
        let delivered = super::wanted(frames)?.clone();
        let start = part.start;
        compute(move || {
            let (width, height) = (delivered.width as usize, delivered.height as usize);
            let level = (params.black_level * 255.0).floor().clamp(0.0, 255.0) as u8;
            let mut found = PartFound { black: Vec::new(), change: Vec::new() };
            let mut before: Option<Vec<u8>> = None;
            for (number, path) in &delivered.files {
                let pixels = super::read_gray(path, width, height)?;
                if *number >= start {
                    found.black.push(share_of_black(&pixels, level));
                    found.change.push(before.as_deref().map(|before| mean_difference(before, &pixels)));
                }
                before = Some(pixels);
            }
            Made::new(found)
        })
        .await
    }

    async fn collect(&self, step: &Step<'_>, results: &[PartResult]) -> Result<Made, Failure> {
        let params: Params = parse_params(step)?;
        let (mut black, mut frozen) = (Vec::new(), Vec::new());
        for one in results {
            let found: PartFound = parse_result(one)?;
            black.extend(found.black.iter().map(|share| *share >= params.black_share));
            frozen
                .extend(found.change.iter().map(|change| change.is_some_and(|it| it <= params.freeze_noise)));
        }
        let rate = step.source.rate;
        let stretch = |(start, end): (u64, u64)| Stretch {
            start,
            end,
            from: rate.seconds(start),
            to: rate.seconds(end),
        };
        let long = |seconds: f64| move |one: &Stretch| one.to - one.from >= seconds - 1e-9;
        Made::new(Found {
            frames: black.len() as u64,
            black: runs(&black).into_iter().map(stretch).filter(long(params.black_seconds)).collect(),
            // The frame that is repeated belongs to the stretch: it is seen as long as the others.
            freeze: runs(&frozen)
                .into_iter()
                .map(|(start, end)| stretch((start - 1, end)))
                .filter(long(params.freeze_seconds))
                .collect(),
        })
    }
}

fn share_of_black(pixels: &[u8], level: u8) -> f64 {
    let black: usize = pixels.iter().map(|pixel| usize::from(*pixel <= level)).sum();
    black as f64 / pixels.len().max(1) as f64
}

fn mean_difference(before: &[u8], pixels: &[u8]) -> f64 {
    let sum: u64 = before.iter().zip(pixels).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / 255.0 / pixels.len().max(1) as f64
}

/// The longest ranges in which all flags are set.
fn runs(flags: &[bool]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for (at, flag) in flags.iter().enumerate() {
        let at = at as u64;
        match runs.last_mut() {
            Some((_, end)) if *flag && *end == at => *end += 1,
            _ if *flag => runs.push((at, at + 1)),
            _ => {}
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        assert_eq!(BlackFreeze.job().name, "black-freeze");
    }

    #[test]
    fn runs_are_the_longest() {
        assert_eq!(runs(&[true, true, false, true, false, false, true]), [(0, 2), (3, 4), (6, 7)]);
        assert_eq!(runs(&[]), []);
    }

    #[test]
    fn measures_are_parts_of_full_scale() {
        assert_eq!(share_of_black(&[0, 25, 26, 255], 25), 0.5);
        assert_eq!(mean_difference(&[0, 0], &[255, 0]), 0.5);
    }
}
