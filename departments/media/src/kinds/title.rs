//! From the scores of all encodes to the title's curve, hull and ladder.

use backlot_work::{Outputs, TaskContext, TaskError};
use serde::{Deserialize, Serialize};

use super::{
    Tools, failed,
    make::{RungFiles, ShotGroup, ShotScores},
};
use crate::{
    encode::Codec,
    plan::{
        LadderOptions, RateQuality, Saving, ShotScore, Size, Trial, measured_on_fixed_ladder, saving,
        select_ladder, title_point, upper_hull,
    },
    probe::Probe,
};

/// A trial encode of the whole title.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TitlePoint {
    /// The codec.
    pub codec: Codec,
    /// Encoded size.
    pub size: Size,
    /// Constant rate factor.
    pub crf: u32,
    /// Mean rate of the pictures in bits per second.
    pub rate: f64,
    /// PSNR over the title in dB.
    pub psnr: f64,
    /// SSIM over the title, 0 to 1.
    pub ssim: f64,
    /// Whether it lies on its codec's convex hull.
    pub on_hull: bool,
}

/// A chosen rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LadderRung {
    /// Its name in the package.
    pub name: String,
    /// The trial that became the rung.
    pub point: TitlePoint,
}

/// A row of the fixed ladder and what the title's own curve needs for the same quality.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixedRow {
    /// The row's size for this title.
    pub size: Size,
    /// The row's rate in bits per second.
    pub rate: f64,
    /// PSNR that x264 reaches there, in dB.
    pub psnr: f64,
    /// The rate at which this codec's hull has that quality; `None` where the hull does not reach it.
    pub hull_rate: Option<f64>,
}

/// One codec's savings against the fixed ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodecSaving {
    /// The codec.
    pub codec: Codec,
    /// Mean relative difference in rate at equal quality; negative is fewer bits. `None` when nothing could be compared.
    pub mean: Option<f64>,
    /// The rows.
    pub rows: Vec<FixedRow>,
}

/// What is known about a title after its trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Title {
    /// Every trial.
    pub points: Vec<TitlePoint>,
    /// The chosen rungs, codec by codec, by rising rate.
    pub ladder: Vec<LadderRung>,
    /// Against the fixed ladder.
    pub savings: Vec<CodecSaving>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TitleInput {
    probe: Probe,
    groups: Vec<ShotGroup>,
    /// For each shot the scores of its encodes, in the order of its group.
    scores: Vec<Vec<ShotScores>>,
    #[serde(default)]
    ladder: LadderOptions,
    /// The most rungs for each codec.
    max_rungs: usize,
}

pub(super) async fn title_kind(task: &TaskContext, _tools: &Tools) -> Result<Outputs, TaskError> {
    let input: TitleInput = task.parse()?;
    let (title, rungs) = title(&input)?;
    for rung in &title.ladder {
        task.log(format!(
            "{}: {:.0} kbit/s, PSNR {:.2} dB, SSIM {:.4}",
            rung.name,
            rung.point.rate / 1000.0,
            rung.point.psnr,
            rung.point.ssim
        ));
    }
    Outputs::new().value("title", &title)?.value("rungs", &rungs)
}

/// Pure: scores in, ladder out.
fn title(input: &TitleInput) -> Result<(Title, Vec<RungFiles>), TaskError> {
    let uneven =
        || TaskError::Permanent("the shots were not all encoded alike; run the encodes again".to_owned());
    let Some(first) = input.groups.first() else { return Err(uneven()) };
    let settings: Vec<_> = first.encodes.iter().map(|encode| encode.request).collect();
    let fits = input.groups.len() == input.scores.len()
        && input.groups.iter().zip(&input.scores).all(|(group, scores)| {
            group.encodes.len() == settings.len()
                && scores.len() == settings.len()
                && group.encodes.iter().zip(&settings).all(|(encode, setting)| {
                    let request = encode.request;
                    (request.codec, request.size, request.crf) == (setting.codec, setting.size, setting.crf)
                })
        });
    if !fits {
        return Err(uneven());
    }
    let rate = input.probe.rate.per_second();
    let mut points = Vec::with_capacity(settings.len());
    for (number, setting) in settings.iter().enumerate() {
        let shots: Vec<ShotScore> = input
            .groups
            .iter()
            .zip(&input.scores)
            .map(|(group, scores)| ShotScore {
                frames: scores[number].frames,
                bytes: group.encodes[number].bytes,
                psnr: scores[number].psnr,
            })
            .collect();
        let frames: u64 = shots.iter().map(|shot| shot.frames).sum();
        let ssim =
            input.scores.iter().map(|scores| scores[number].ssim * scores[number].frames as f64).sum::<f64>();
        let point = title_point(&shots, rate).ok_or_else(uneven)?;
        points.push(TitlePoint {
            codec: setting.codec,
            size: setting.size,
            crf: setting.crf,
            rate: point.rate,
            psnr: point.quality,
            ssim: ssim / frames as f64,
            on_hull: false,
        });
    }
    let mut codecs: Vec<Codec> = points.iter().map(|point| point.codec).collect();
    codecs.sort_unstable();
    codecs.dedup();
    let trials_of = |codec: Codec, points: &[TitlePoint]| -> Vec<(usize, Trial)> {
        let own = points.iter().enumerate().filter(|(_, point)| point.codec == codec);
        own.map(|(number, point)| {
            let quality = RateQuality { rate: point.rate, quality: point.psnr };
            (number, Trial { size: point.size, crf: point.crf, point: quality })
        })
        .collect()
    };
    // The fixed ladder is one of H.264; where only AV1 was tried it is measured with that.
    let anchor = if codecs.contains(&Codec::X264) { Codec::X264 } else { codecs[0] };
    let anchor_trials: Vec<Trial> = trials_of(anchor, &points).into_iter().map(|(_, trial)| trial).collect();
    let fixed = measured_on_fixed_ladder(input.probe.size, &anchor_trials);

    let options = LadderOptions { max_rungs: input.max_rungs.clamp(1, 64), ..input.ladder };
    let mut ladder = Vec::new();
    let mut rungs = Vec::new();
    let mut savings = Vec::new();
    for &codec in &codecs {
        let (numbers, trials): (Vec<usize>, Vec<Trial>) = trials_of(codec, &points).into_iter().unzip();
        let curve: Vec<RateQuality> = trials.iter().map(|trial| trial.point).collect();
        let hull = upper_hull(&curve).map_err(failed)?;
        for &index in &hull {
            points[numbers[index]].on_hull = true;
        }
        for index in select_ladder(&trials, &options).map_err(failed)? {
            let number = numbers[index];
            let name = rung_name(codec, trials[index].size, trials[index].crf);
            let files = input.groups.iter().map(|group| group.encodes[number].file.clone()).collect();
            rungs.push(RungFiles { name: name.clone(), size: trials[index].size, files });
            ladder.push((number, name));
        }
        let on_hull: Vec<RateQuality> = hull.iter().map(|&index| curve[index]).collect();
        savings.push(codec_saving(codec, &fixed, &on_hull));
    }
    let ladder =
        ladder.into_iter().map(|(number, name)| LadderRung { name, point: points[number] }).collect();
    Ok((Title { points, ladder, savings }, rungs))
}

fn codec_saving(codec: Codec, fixed: &[(Size, RateQuality)], hull: &[RateQuality]) -> CodecSaving {
    let fixed_points: Vec<RateQuality> = fixed.iter().map(|(_, point)| *point).collect();
    // A hull of one point is no curve: there is nothing to compare, and nothing is claimed.
    let compared = saving(&fixed_points, hull).unwrap_or(Saving { rungs: Vec::new(), mean: None });
    let rows = fixed
        .iter()
        .map(|(size, point)| {
            let row = compared.rungs.iter().find(|row| row.fixed == *point);
            FixedRow {
                size: *size,
                rate: point.rate,
                psnr: point.quality,
                hull_rate: row.map(|row| row.rate),
            }
        })
        .collect();
    CodecSaving { codec, mean: compared.mean, rows }
}

fn rung_name(codec: Codec, size: Size, crf: u32) -> String {
    let codec = match codec {
        Codec::X264 => "h264",
        Codec::SvtAv1 => "av1",
    };
    format!("{codec}-{}p-crf{crf}", size.height)
}
