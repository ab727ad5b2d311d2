//! Candidates for artwork: of each shot the frame that would make the best still, and of all shots the best few.
//!
//! A still is scored by what makes one usable: neither dark nor burnt out (exposure), with contrast, sharp (variance of the Laplacian, as
//! Pertuz et al., "Analysis of focus measure operators", 2013, LAP4), colourful (Hasler and Süsstrunk, "Measuring colourfulness in
//! natural images", 2003), and still (little change to the next sampled frame: no transition, no motion blur). Scores are looked at on
//! small pictures; the chosen ones are delivered again in full size.

use async_trait::async_trait;
use backlot_frames::Shot;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{NativeJob, compute, parse_params, parse_result};
use crate::host::Failure;
use crate::media::Delivered;
use crate::steps::{Made, PartResult, Step};
use crate::{Encoding, FrameRequest, Job, Part};

/// The definition.
const JOB: &str = r#"
name = "artwork"
description = "The best stills: exposed, sharp, colourful, unblurred; one for each shot, the best few of all"
split = "shots"
map = { native = "artwork" }
collect = { native = "artwork" }
[params.count]
type = "integer"
default = 8
description = "How many stills to choose"
[frames]
encoding = "raw"
format = "rgb24"
scale = { width = 320 }
every = 4
"#;

#[derive(Clone, Copy, Debug, Deserialize)]
struct Params {
    count: usize,
}

/// What is known of a still; all between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Scores {
    /// 1 where no pixel is near black or white and the mean is in the middle.
    exposure: f64,
    /// The standard deviation of luma, saturating.
    contrast: f64,
    sharpness: f64,
    colour: f64,
    /// 1 where the next sampled frame is the same.
    stillness: f64,
}

impl Scores {
    /// The geometric mean: a still that fails in one respect is no still.
    fn total(&self) -> f64 {
        let all = [self.exposure, self.contrast, self.sharpness, self.stillness, 0.5 + 0.5 * self.colour];
        all.iter().product::<f64>().powf(1.0 / all.len() as f64)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Still {
    frame: u64,
    score: f64,
    scores: Scores,
    file: String,
}

/// The job `artwork`.
pub(super) struct Artwork;

#[async_trait]
impl NativeJob for Artwork {
    fn job(&self) -> Job {
        Job::from_toml(JOB).expect("invariant: the definition is checked by a test")
    }

    async fn map(&self, step: &Step<'_>, _part: &Part, frames: Option<&Delivered>) -> Result<Made, Failure> {
        let delivered = super::wanted(frames)?.clone();
        let best = compute(move || best_of(&delivered)).await?;
        let Some((frame, scores)) = best else { return Made::new(None::<Still>) };
        let directory = step.scratch.join("still");
        std::fs::create_dir_all(&directory).map_err(|error| Failure::file(&directory, &error))?;
        let request = FrameRequest { encoding: Encoding::Jpeg, quality: 2, ..FrameRequest::default() };
        let range = Shot { start: frame, end: frame + 1 };
        let whole = step.media.deliver(step.clip, step.source, range, &request, &directory).await?;
        let file = format!("{frame:09}.jpg");
        let mut made = Made::new(Still { frame, score: scores.total(), scores, file: file.clone() })?;
        made.files = whole.files.into_iter().map(|(_, path)| (file.clone(), path)).collect();
        Ok(made)
    }

    async fn collect(&self, step: &Step<'_>, results: &[PartResult]) -> Result<Made, Failure> {
        let params: Params = parse_params(step)?;
        let mut stills = Vec::new();
        for one in results {
            if let Some(still) = parse_result::<Option<Still>>(one)? {
                let file = one.made.as_ref().ok().and_then(|made| made.files.get(&still.file).cloned());
                stills.push((still, file));
            }
        }
        stills.sort_by(|(a, _), (b, _)| b.score.total_cmp(&a.score).then(a.frame.cmp(&b.frame)));
        stills.truncate(params.count);
        let rate = step.source.rate;
        let told: Vec<_> = stills
            .iter()
            .map(|(still, _)| {
                json!({
                    "frame": still.frame, "time": rate.seconds(still.frame), "score": still.score,
                    "scores": still.scores, "file": still.file,
                })
            })
            .collect();
        let mut made = Made::new(json!({ "shots": results.len(), "stills": told }))?;
        made.files = stills.into_iter().filter_map(|(still, file)| Some((still.file, file?))).collect();
        Ok(made)
    }
}

/// The best frame and its scores; the earliest of equals. None of no frame.
fn best_of(delivered: &Delivered) -> Result<Option<(u64, Scores)>, Failure> {
    let (width, height) = (delivered.width as usize, delivered.height as usize);
    let mut best: Option<(u64, Scores)> = None;
    let mut pending: Option<(u64, Scores, Vec<u8>)> = None;
    let mut consider = |number: u64, scores: Scores| {
        if best.as_ref().is_none_or(|(_, held)| scores.total() > held.total()) {
            best = Some((number, scores));
        }
    };
    for (number, path) in &delivered.files {
        let pixels = super::read_raw(path, width * height * 3)?;
        let luma = luma_of(&pixels);
        if let Some((earlier, scores, before)) = pending.take() {
            consider(earlier, Scores { stillness: stillness(&before, &luma), ..scores });
        }
        pending = Some((*number, score(&pixels, &luma, width), luma));
    }
    if let Some((last, scores, _)) = pending {
        // Nothing follows within the shot; it counts as neither still nor moving.
        consider(last, Scores { stillness: 0.5, ..scores });
    }
    Ok(best)
}

/// ITU-R BT.601 luma, as JPEG has it.
fn luma_of(rgb: &[u8]) -> Vec<u8> {
    let luma =
        |p: &[u8]| (u32::from(p[0]) * 299 + u32::from(p[1]) * 587 + u32::from(p[2]) * 114 + 500) / 1000;
    rgb.chunks_exact(3).map(|pixel| luma(pixel) as u8).collect()
}

fn stillness(before: &[u8], after: &[u8]) -> f64 {
    let sum: u64 = before.iter().zip(after).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    // A mean change of ten levels between samples is motion that blurs.
    (1.0 - sum as f64 / before.len().max(1) as f64 / 20.0).clamp(0.05, 1.0)
}

fn score(rgb: &[u8], luma: &[u8], width: usize) -> Scores {
    let count = luma.len().max(1) as f64;
    let mean = luma.iter().map(|one| f64::from(*one)).sum::<f64>() / count;
    let variance = luma.iter().map(|one| (f64::from(*one) - mean).powi(2)).sum::<f64>() / count;
    let clipped = luma.iter().filter(|one| !(8..=247).contains(*one)).count() as f64 / count;
    let middle = 1.0 - ((mean - 118.0) / 137.0).abs().min(1.0);
    let exposure = ((1.0 - clipped) * middle.sqrt()).clamp(0.0, 1.0);
    Scores {
        exposure,
        contrast: saturating(variance.sqrt(), 40.0),
        sharpness: saturating(laplacian_deviation(luma, width), 12.0),
        colour: saturating(colourfulness(rgb), 40.0),
        stillness: 0.0,
    }
}

/// 0 at 0, one half at `half`, 1 far beyond.
fn saturating(value: f64, half: f64) -> f64 {
    value / (value + half)
}

/// The standard deviation of the four-neighbour Laplacian.
fn laplacian_deviation(luma: &[u8], width: usize) -> f64 {
    let rows: Vec<&[u8]> = luma.chunks_exact(width.max(1)).collect();
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0_f64);
    for three in rows.windows(3) {
        let [above, here, below] = three else { continue };
        for x in 1..width.saturating_sub(1) {
            let around =
                i32::from(above[x]) + i32::from(below[x]) + i32::from(here[x - 1]) + i32::from(here[x + 1]);
            let value = f64::from(4 * i32::from(here[x]) - around);
            sum += value;
            squares += value * value;
            count += 1.0;
        }
    }
    let count = count.max(1.0);
    (squares / count - (sum / count).powi(2)).max(0.0).sqrt()
}

/// Hasler and Süsstrunk's M3: of the opponent channels rg and yb, deviation plus 0.3 of the mean's length.
fn colourfulness(rgb: &[u8]) -> f64 {
    let count = (rgb.len() / 3).max(1) as f64;
    let mut sums = [0.0_f64; 4];
    for pixel in rgb.chunks_exact(3) {
        let [r, g, b] = [f64::from(pixel[0]), f64::from(pixel[1]), f64::from(pixel[2])];
        let (rg, yb) = (r - g, f64::midpoint(r, g) - b);
        for (sum, value) in sums.iter_mut().zip([rg, yb, rg * rg, yb * yb]) {
            *sum += value;
        }
    }
    let [rg, yb, rg2, yb2] = sums.map(|sum| sum / count);
    let deviation = ((rg2 - rg * rg).max(0.0) + (yb2 - yb * yb).max(0.0)).sqrt();
    deviation + 0.3 * (rg * rg + yb * yb).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        assert_eq!(Artwork.job().name, "artwork");
    }

    #[test]
    fn a_sharp_colourful_picture_beats_grey_black_and_burnt_out_ones() {
        let (width, height) = (32, 32);
        let of = |pixel: fn(usize, usize) -> [u8; 3]| {
            let rgb: Vec<u8> = (0..width * height).flat_map(|at| pixel(at % width, at / width)).collect();
            let luma = luma_of(&rgb);
            Scores { stillness: 1.0, ..score(&rgb, &luma, width) }.total()
        };
        let good = of(|x, y| if (x / 4 + y / 4) % 2 == 0 { [200, 80, 40] } else { [40, 90, 180] });
        for worse in [
            of(|_, _| [0, 0, 0]),
            of(|_, _| [255, 255, 255]),
            of(|_, _| [120, 120, 120]),
            of(|x, _| [(x * 4) as u8 + 60; 3]),
        ] {
            assert!(good > worse + 0.1, "{good} {worse}");
        }
    }

    #[test]
    fn colourfulness_of_known_pictures() {
        assert_eq!(colourfulness(&[90; 30]), 0.0);
        // Half pure red, half pure green: rg = ±255 and yb = 127.5, so sqrt(255²) + 0.3 * 127.5.
        let half: Vec<u8> = [[255, 0, 0], [0, 255, 0]].concat();
        assert!((colourfulness(&half) - (255.0 + 0.3 * 127.5)).abs() < 1e-9);
    }
}
