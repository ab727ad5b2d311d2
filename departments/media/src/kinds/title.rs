//! From the scores of all encodes to the title's curve, hull and ladder.

use backlot_work::{Outputs, TaskContext, TaskError};
use serde::{Deserialize, Serialize};

use super::{
    Tools, failed,
    make::{RungFiles, ShotGroup, ShotScores},
    measured::{Measured, Setting},
    rungs::{PlannedRung, chosen},
};
use crate::{
    encode::Codec,
    plan::{
        LadderRules, Metric, RateQuality, Saving, Size, Trial, bd_rate, measured_on_fixed_ladder, saving,
        upper_hull,
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
    /// Mean VMAF over the title, 0 to 100; `None` where it was not measured.
    pub vmaf: Option<f64>,
    /// Whether it lies on its codec's convex hull.
    pub on_hull: bool,
}

/// A chosen rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LadderRung {
    /// Its name in the package.
    pub name: String,
    /// The codec.
    pub codec: Codec,
    /// Encoded size.
    pub size: Size,
    /// The constant rate factor of each shot, in order.
    pub crfs: Vec<u32>,
    /// Mean rate of the pictures in bits per second.
    pub rate: f64,
    /// PSNR over the title in dB.
    pub psnr: f64,
    /// SSIM over the title, 0 to 1.
    pub ssim: f64,
    /// Mean VMAF over the title, 0 to 100; `None` where it was not measured.
    pub vmaf: Option<f64>,
}

/// What choosing the rate factor shot by shot gives over one for the whole title.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerShot {
    /// The codec.
    pub codec: Codec,
    /// BD-rate of the ladder against the convex hull of the trials, which have one rate factor for all shots; negative is
    /// fewer bits. `None` where either has fewer than the four points that the measure needs.
    pub bd_rate: Option<f64>,
}

/// A row of the fixed ladder and what the title's own curve needs for the same quality.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixedRow {
    /// The row's size for this title.
    pub size: Size,
    /// The row's rate in bits per second.
    pub rate: f64,
    /// The quality that x264 reaches there, in the title's metric.
    pub quality: f64,
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
    /// What the curves, the ladder and the savings go by.
    pub metric: Metric,
    /// The version of the model of VMAF; `None` where another metric is used.
    #[serde(default)]
    pub model: Option<String>,
    /// Every trial.
    pub points: Vec<TitlePoint>,
    /// The chosen rungs, codec by codec, by rising rate.
    pub ladder: Vec<LadderRung>,
    /// Against the fixed ladder.
    pub savings: Vec<CodecSaving>,
    /// Against one rate factor for all shots.
    pub per_shot: Vec<PerShot>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TitleInput {
    probe: Probe,
    metric: Metric,
    #[serde(default)]
    model_name: Option<String>,
    /// The trials of each shot.
    groups: Vec<ShotGroup>,
    /// For each shot the scores of its trials, in the order of its group.
    scores: Vec<Vec<ShotScores>>,
    /// What was encoded for the rungs, in two rounds.
    rung_groups: Vec<ShotGroup>,
    rung_scores: Vec<Vec<ShotScores>>,
    second_groups: Vec<ShotGroup>,
    second_scores: Vec<Vec<ShotScores>>,
    #[serde(default)]
    ladder: LadderRules,
    /// The most rungs for each codec.
    max_rungs: usize,
}

pub(super) async fn title_kind(task: &TaskContext, _tools: &Tools) -> Result<Outputs, TaskError> {
    let input: TitleInput = task.parse()?;
    let (title, rungs) = title(&input)?;
    for rung in &title.ladder {
        task.log(format!(
            "{}: {:.0} kbit/s, PSNR {:.2} dB, SSIM {:.4}{}",
            rung.name,
            rung.rate / 1000.0,
            rung.psnr,
            rung.ssim,
            rung.vmaf.map_or_else(String::new, |vmaf| format!(", VMAF {vmaf:.2}"))
        ));
    }
    Outputs::new().value("title", &title)?.value("rungs", &rungs)
}

/// Pure: scores in, ladder out.
fn title(input: &TitleInput) -> Result<(Title, Vec<RungFiles>), TaskError> {
    let mut measured = Measured::new(input.metric, &input.groups, &input.scores)?;
    measured.add(&input.rung_groups, &input.rung_scores)?;
    measured.add(&input.second_groups, &input.second_scores)?;
    let rate = input.probe.rate.per_second();
    let mut points = Vec::new();
    for trial in &input.groups[0].encodes {
        let setting = Setting::from(trial.request);
        let whole = measured.whole(&vec![setting; measured.shots()], rate)?;
        points.push(TitlePoint {
            codec: setting.codec,
            size: setting.size,
            crf: setting.crf,
            rate: whole.point.rate,
            psnr: whole.psnr,
            ssim: whole.ssim,
            vmaf: whole.vmaf,
            on_hull: false,
        });
    }
    let mut codecs: Vec<Codec> = points.iter().map(|point| point.codec).collect();
    codecs.sort_unstable();
    codecs.dedup();
    // The fixed ladder is one of H.264; where only AV1 was tried it is measured with that.
    let anchor = if codecs.contains(&Codec::X264) { Codec::X264 } else { codecs[0] };
    let anchor_trials: Vec<Trial> =
        points.iter().filter(|point| point.codec == anchor).map(|point| point.trial(input.metric)).collect();
    let fixed = measured_on_fixed_ladder(input.probe.size, &anchor_trials);

    let (mut ladder, mut files) = (Vec::new(), Vec::new());
    let (mut savings, mut per_shot) = (Vec::new(), Vec::new());
    for &codec in &codecs {
        let own: Vec<usize> = (0..points.len()).filter(|&index| points[index].codec == codec).collect();
        let curve: Vec<RateQuality> =
            own.iter().map(|&index| points[index].trial(input.metric).point).collect();
        let hull = upper_hull(&curve).map_err(failed)?;
        for &index in &hull {
            points[own[index]].on_hull = true;
        }
        let uniform: Vec<RateQuality> = hull.iter().map(|&index| curve[index]).collect();
        let rungs = rungs(&measured, input, codec)?;
        let chosen: Vec<RateQuality> = rungs
            .iter()
            .map(|(rung, _)| RateQuality { rate: rung.rate, quality: rung.quality(input.metric) })
            .collect();
        let everything: Vec<RateQuality> = uniform.iter().chain(&chosen).copied().collect();
        let hull = upper_hull(&everything).map_err(failed)?;
        let best: Vec<RateQuality> = hull.iter().map(|&index| everything[index]).collect();
        savings.push(codec_saving(codec, &fixed, &best));
        per_shot.push(PerShot { codec, bd_rate: bd_rate(&uniform, &chosen).ok() });
        for (rung, own_files) in rungs {
            files.push(own_files);
            ladder.push(rung);
        }
    }
    let (metric, model) = (input.metric, input.model_name.clone());
    Ok((Title { metric, model, points, ladder, savings, per_shot }, files))
}

impl TitlePoint {
    /// Its quality in a metric that it was measured with.
    pub fn quality(&self, metric: Metric) -> f64 {
        quality(metric, self.psnr, self.vmaf)
    }

    fn trial(&self, metric: Metric) -> Trial {
        let point = RateQuality { rate: self.rate, quality: self.quality(metric) };
        Trial { size: self.size, crf: self.crf, point }
    }
}

impl LadderRung {
    /// Its quality in a metric that it was measured with.
    pub fn quality(&self, metric: Metric) -> f64 {
        quality(metric, self.psnr, self.vmaf)
    }
}

/// Not a number for VMAF that was not measured.
fn quality(metric: Metric, psnr: f64, vmaf: Option<f64>) -> f64 {
    match metric {
        Metric::Psnr => psnr,
        Metric::Vmaf => vmaf.unwrap_or(f64::NAN),
    }
}

/// The rungs of a codec, by rising rate, and the files of each.
fn rungs(
    measured: &Measured,
    input: &TitleInput,
    codec: Codec,
) -> Result<Vec<(LadderRung, RungFiles)>, TaskError> {
    let mut rungs = Vec::new();
    let rate = input.probe.rate.per_second();
    for planned in chosen(measured, codec, rate, &input.ladder, input.max_rungs)? {
        let PlannedRung { size, ref crfs, .. } = planned;
        let settings = planned.settings();
        let whole = measured.whole(&settings, rate)?;
        let mut files = Vec::with_capacity(settings.len());
        for (shot, &setting) in settings.iter().enumerate() {
            files.push(measured.get(shot, setting)?.file.clone());
        }
        let name = rung_name(codec, size, whole.point.rate);
        let rung = LadderRung {
            name: name.clone(),
            codec,
            size,
            crfs: crfs.clone(),
            rate: whole.point.rate,
            psnr: whole.psnr,
            ssim: whole.ssim,
            vmaf: whole.vmaf,
        };
        rungs.push((rung, RungFiles { name, size, files }));
    }
    rungs.sort_by(|a, b| a.0.rate.total_cmp(&b.0.rate));
    // Rungs of one name are one rung: a title of a few kilobytes can have two mixtures in the same kilobit.
    rungs.dedup_by(|later, earlier| later.0.name == earlier.0.name);
    Ok(rungs)
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
                quality: point.quality,
                hull_rate: row.map(|row| row.rate),
            }
        })
        .collect();
    CodecSaving { codec, mean: compared.mean, rows }
}

fn rung_name(codec: Codec, size: Size, rate: f64) -> String {
    let codec = match codec {
        Codec::X264 => "h264",
        Codec::X265 => "h265",
        Codec::SvtAv1 => "av1",
    };
    format!("{codec}-{}p-{:.0}k", size.height, (rate / 1000.0).max(1.0))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::encode::EncodeRequest;
    use crate::kinds::rungs;

    const SHOTS: [(u64, Model); 2] = [
        // A still shot gains little from its bits, a restless one much.
        (0, Model { bytes: 4000.0, psnr: 48.0, db_per_crf: 0.1 }),
        (24, Model { bytes: 40_000.0, psnr: 42.0, db_per_crf: 0.7 }),
    ];

    /// An encoder of a shot, as it would be: at rate factor 18 so many bytes and such a PSNR, and then ever less.
    struct Model {
        bytes: f64,
        psnr: f64,
        db_per_crf: f64,
    }

    impl Model {
        fn encode(&self, start: u64, crf: u32) -> (Value, Value) {
            let steps = f64::from(crf - 18);
            let bytes = (self.bytes * 0.87_f64.powf(steps)).round() as u64;
            let request = json!({
                "shot": shot(start), "size": {"width": 640, "height": 360}, "codec": "x264", "crf": crf, "key_interval": 48,
                "effort": "fast",
            });
            let digest = backlot_store::Digest::of(format!("{start} {crf}").as_bytes());
            let file = json!({"$blob": digest, "size": bytes, "type": "video/mp4"});
            let score = json!({"frames": 24, "psnr": self.psnr - self.db_per_crf * steps, "ssim": 0.9});
            (json!({"request": request, "file": file, "bytes": bytes}), score)
        }
    }

    fn shot(start: u64) -> Value {
        json!({"start": start, "end": start + 24})
    }

    fn groups(crfs: impl Fn(u64) -> Vec<u32>) -> (Vec<Value>, Vec<Value>) {
        SHOTS
            .iter()
            .map(|(start, model)| {
                let (encodes, scores): (Vec<Value>, Vec<Value>) =
                    crfs(*start).into_iter().map(|crf| model.encode(*start, crf)).unzip();
                (json!({"shot": shot(*start), "encodes": encodes}), json!(scores))
            })
            .unzip()
    }

    fn probe() -> Value {
        let rate = serde_json::to_value(backlot_frames::Rate::new(24, 1).unwrap()).unwrap();
        json!({
            "container": "mov", "size": {"width": 640, "height": 360}, "pixel_aspect": [1, 1], "pixel_format": "yuv420p",
            "bit_depth": 8, "colour": {}, "rotation": 0, "scan": "progressive", "frames": 48, "rate": rate,
            "variable_rate": false, "start": 0.0, "duration": 2.0, "audio": [],
        })
    }

    #[test]
    fn a_rung_gives_its_bits_to_the_shot_that_needs_them() {
        let (trials, scores) = groups(|_| vec![18, 25, 32, 39]);
        let input =
            json!({"probe": probe(), "groups": trials, "scores": scores, "metric": "psnr", "max_rungs": 6});
        let encodes = rungs::plan(&serde_json::from_value(input.clone()).unwrap()).unwrap();
        assert!(encodes.len() > 4, "{encodes:?}");
        let of = |encodes: &[EncodeRequest]| {
            groups(|start| {
                encodes.iter().filter(|encode| encode.shot.start == start).map(|encode| encode.crf).collect()
            })
        };
        let (rung_groups, rung_scores) = of(&encodes);
        // This encoder is as smooth as the guesses are, so the second round has next to nothing to ask for.
        let mut second = input;
        second["rung_groups"] = json!(rung_groups);
        second["rung_scores"] = json!(rung_scores);
        let again = rungs::plan(&serde_json::from_value(second).unwrap()).unwrap();
        assert!(again.len() <= 2 * SHOTS.len(), "{again:?}");
        let (second_groups, second_scores) = of(&again);
        let input = json!({
            "probe": probe(), "groups": trials, "scores": scores, "metric": "psnr", "rung_groups": rung_groups,
            "rung_scores": rung_scores, "second_groups": second_groups, "second_scores": second_scores, "max_rungs": 6,
        });
        let (title, files) = title(&serde_json::from_value(input).unwrap()).unwrap();
        let bd_rate = title.per_shot[0].bd_rate.unwrap();
        assert!(bd_rate < -0.02, "{bd_rate}");
        assert_eq!((title.points.len(), title.ladder.len()), (4, files.len()));
        assert!(title.ladder.len() > 3, "{:?}", title.ladder);
        for (rung, files) in title.ladder.iter().zip(&files) {
            assert_eq!((&rung.name, rung.crfs.len(), files.files.len()), (&files.name, 2, 2));
            assert!(rung.crfs[0] >= rung.crfs[1], "the still shot has the higher rate factor: {rung:?}");
            // Rate and quality are those of the files that were chosen.
            let chosen =
                || SHOTS.iter().zip(&rung.crfs).map(|((start, model), &crf)| model.encode(*start, crf));
            let bytes: u64 = chosen().map(|(encode, _)| encode["bytes"].as_u64().unwrap()).sum();
            let losses = chosen().map(|(_, score)| 10_f64.powf(-score["psnr"].as_f64().unwrap() / 10.0));
            assert!((rung.rate - bytes as f64 * 8.0 / 2.0).abs() < 1e-6, "{rung:?}");
            assert!((rung.psnr - -10.0 * (losses.sum::<f64>() / 2.0).log10()).abs() < 1e-9, "{rung:?}");
            let expected = chosen().map(|(encode, _)| encode["file"]["$blob"].as_str().unwrap().to_owned());
            assert!(expected.eq(files.files.iter().map(|file| file.digest.to_string())));
        }
        assert!(
            title.ladder.windows(2).all(|pair| pair[0].rate < pair[1].rate && pair[0].psnr < pair[1].psnr)
        );
    }

    #[test]
    fn shots_that_were_not_encoded_alike_are_refused() {
        let (trials, scores) = groups(|start| if start == 0 { vec![18, 25] } else { vec![18] });
        let input =
            json!({"probe": probe(), "groups": trials, "scores": scores, "metric": "psnr", "max_rungs": 6});
        let refused = rungs::plan(&serde_json::from_value(input).unwrap()).unwrap_err().to_string();
        assert!(refused.contains("not all encoded alike"), "{refused}");
    }
}
