//! Finds pixels of the camera's sensor that no longer see: stuck bright or dark, whatever the picture does.
//!
//! A frame's pixel is an *outlier* when it lies outside all its eight neighbours by more than a threshold. Detail of the picture
//! makes outliers too, but not at one place, with one value, in frame after frame while the picture moves. So map counts the outliers of every
//! pixel of a part, and collect keeps a pixel that was one in a large share of all frames and always had about the same value.
//! Both need the pixels of the sensor, so frames come unscaled.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{NativeJob, compute, parse_params, parse_result};
use crate::host::Failure;
use crate::media::Delivered;
use crate::steps::{Made, PartResult, Step};
use crate::{Job, Part};

/// The definition.
const JOB: &str = r#"
name = "dead-pixels"
description = "Pixels that are stuck bright or dark in frame after frame"
split = { seconds = 4.0 }
map = { native = "dead-pixels" }
collect = { native = "dead-pixels" }
[params.threshold]
type = "integer"
default = 40
description = "How far, in levels of 255, a dead pixel lies outside its neighbours"
[params.tolerance]
type = "integer"
default = 24
description = "How much its value may vary over the clip: coding noise"
[params.share]
type = "number"
default = 0.5
description = "The least share of frames in which it is seen"
[frames]
encoding = "raw"
format = "gray"
"#;

/// A pixel that is an outlier in fewer frames of a part than this share of the wanted one is not told of. Half, because a part may
/// be a scene in which a dead pixel is hard to see.
const TOLD_SHARE: f64 = 0.5;

/// The most pixels that one part tells of, those seen most often first: a sensor with more is sent to repair unseen.
const MOST_TOLD: usize = 5000;

#[derive(Clone, Copy, Debug, Deserialize)]
struct Params {
    threshold: i16,
    tolerance: i16,
    share: f64,
}

/// What is known of a pixel that was an outlier.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    x: u32,
    y: u32,
    /// Frames in which it was brighter than all its neighbours.
    bright: u32,
    /// Frames in which it was darker.
    dark: u32,
    /// Its values in these frames.
    min: u8,
    max: u8,
}

#[derive(Debug, Serialize, Deserialize)]
struct PartFound {
    frames: u64,
    pixels: Vec<Seen>,
}

/// A dead pixel, as the result lists it.
#[derive(Debug, Serialize)]
struct Dead {
    x: u32,
    y: u32,
    kind: &'static str,
    /// Frames in which it is seen.
    frames: u64,
    /// The share of the frames that were looked at.
    share: f64,
    min: u8,
    max: u8,
}

#[derive(Debug, Serialize)]
struct Found {
    frames: u64,
    pixels: Vec<Dead>,
}

/// The job `dead-pixels`.
pub(super) struct DeadPixels;

#[async_trait]
impl NativeJob for DeadPixels {
    fn job(&self) -> Job {
        Job::from_toml(JOB).expect("invariant: the definition is checked by a test")
    }

    async fn map(&self, step: &Step<'_>, _part: &Part, frames: Option<&Delivered>) -> Result<Made, Failure> {
        let params: Params = parse_params(step)?;
        let delivered = super::wanted(frames)?.clone();
        compute(move || {
            let (width, height) = (delivered.width as usize, delivered.height as usize);
            let mut seen = BTreeMap::new();
            for (_, path) in &delivered.files {
                look(&super::read_gray(path, width, height)?, width, params.threshold, &mut seen);
            }
            let frames = delivered.files.len() as u64;
            let least = (frames as f64 * params.share * TOLD_SHARE).max(1.0);
            let mut pixels: Vec<Seen> = seen.into_values().collect();
            pixels.retain(|one| f64::from(one.bright.max(one.dark)) >= least);
            pixels.retain(|one| i16::from(one.max) - i16::from(one.min) <= params.tolerance);
            pixels.sort_by_key(|one| (std::cmp::Reverse(one.bright.max(one.dark)), one.y, one.x));
            pixels.truncate(MOST_TOLD);
            Made::new(PartFound { frames, pixels })
        })
        .await
    }

    async fn collect(&self, step: &Step<'_>, results: &[PartResult]) -> Result<Made, Failure> {
        let params: Params = parse_params(step)?;
        let parts: Vec<PartFound> = results.iter().map(parse_result).collect::<Result<_, _>>()?;
        Made::new(join(&parts, params))
    }
}

/// Notes the outliers of one frame. Pixels at the edge have no eight neighbours and are not looked at.
fn look(pixels: &[u8], width: usize, threshold: i16, seen: &mut BTreeMap<(u32, u32), Seen>) {
    let rows: Vec<&[u8]> = pixels.chunks_exact(width).collect();
    for (y, three) in rows.windows(3).enumerate() {
        let [above, here, below] = three else { continue };
        let columns = above.windows(3).zip(here.windows(3)).zip(below.windows(3));
        for (x, ((above, here), below)) in columns.enumerate() {
            let value = i16::from(here[1]);
            // Most pixels are settled by the one beside them.
            let beside = i16::from(here[0]);
            if (value - beside).abs() <= threshold {
                continue;
            }
            let around = [above[0], above[1], above[2], here[0], here[2], below[0], below[1], below[2]];
            let (least, most) =
                around.iter().fold((255, 0), |(least, most), &one| (one.min(least), one.max(most)));
            let bright = value > i16::from(most) + threshold;
            let dark = value < i16::from(least) - threshold;
            if bright || dark {
                let place = (y as u32 + 1, x as u32 + 1);
                let one = seen.entry(place).or_insert(Seen {
                    x: place.1,
                    y: place.0,
                    bright: 0,
                    dark: 0,
                    min: here[1],
                    max: here[1],
                });
                one.bright += u32::from(bright);
                one.dark += u32::from(dark);
                one.min = one.min.min(here[1]);
                one.max = one.max.max(here[1]);
            }
        }
    }
}

fn join(parts: &[PartFound], params: Params) -> Found {
    let frames: u64 = parts.iter().map(|part| part.frames).sum();
    let mut all: BTreeMap<(u32, u32), (u64, u64, u8, u8)> = BTreeMap::new();
    for one in parts.iter().flat_map(|part| &part.pixels) {
        let sum = all.entry((one.y, one.x)).or_insert((0, 0, one.min, one.max));
        sum.0 += u64::from(one.bright);
        sum.1 += u64::from(one.dark);
        sum.2 = sum.2.min(one.min);
        sum.3 = sum.3.max(one.max);
    }
    let mut pixels = Vec::new();
    for ((y, x), (bright, dark, min, max)) in all {
        let seen = bright.max(dark);
        let share = seen as f64 / frames.max(1) as f64;
        if share >= params.share && i16::from(max) - i16::from(min) <= params.tolerance {
            let kind = if bright >= dark { "bright" } else { "dark" };
            pixels.push(Dead { x, y, kind, frames: seen, share, min, max });
        }
    }
    Found { frames, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        assert_eq!(DeadPixels.job().name, "dead-pixels");
    }

    #[test]
    fn a_stuck_pixel_is_told_from_moving_detail() {
        let (width, height, params) = (16, 12, Params { threshold: 40, tolerance: 24, share: 0.5 });
        let mut seen = BTreeMap::new();
        for frame in 0..10_usize {
            let mut pixels = vec![100_u8; width * height];
            pixels[5 * width + 7] = 250; // stuck
            pixels[3 * width + 4] = if frame % 2 == 0 { 10 } else { 240 }; // blinks: no constant value
            pixels[8 * width + 1 + frame] = 255; // moves
            look(&pixels, width, params.threshold, &mut seen);
        }
        let pixels: Vec<Seen> = seen.into_values().collect();
        let found = join(&[PartFound { frames: 10, pixels }], params);
        let places: Vec<(u32, u32, &str)> = found.pixels.iter().map(|one| (one.x, one.y, one.kind)).collect();
        assert_eq!(places, [(7, 5, "bright")]);
    }
}
