//! What choosing shot by shot is worth: the premiere's ladder beside the best one with a single rate factor for all shots.
//!
//! The peer is a grid: every size of the premiere's trials at rate factors two or three apart, all shots alike, with the same
//! settings, measured by the same code in the same metric. Its convex hull is the best that one rate factor for all shots can
//! be, and the best fixed-CRF ladder is chosen from it by the rules that the premiere's own rungs are chosen by. Everything is
//! measured, nothing is guessed. Before a figure counts, the rungs have the clip's frames, a second premiere has encoded
//! nothing anew, and BD-rate gives the figures of the JCT-VC's check pairs.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use backlot_benches::clips::{Footage, mixed_clip};
use backlot_benches::house::{AnyError, binary};
use backlot_media::encode::{Codec, EncodeRequest, encode};
use backlot_media::ffmpeg::Ffmpeg;
use backlot_media::kinds::Title;
use backlot_media::measure::measure;
use backlot_media::plan::{
    Candidate, LadderRules, Metric, RateQuality, bd_rate, pooled_point, saving, select_rungs, upper_hull,
};
use backlot_media::probe::{ProbeOptions, probe};
use backlot_media::source::Source;
use backlot_vmaf::{Model, ModelOptions, tool::find_model_beside};
use clap::Parser;
use serde_json::Value;

/// The most rungs of a ladder, here and there.
const RUNGS: usize = 6;
/// The most encodes that count as few, as a share of the grid's.
const FEW: f64 = 0.6;

/// Rate factors of the grid, over the range of the premiere's trials: the first, the step, the last.
fn grid_crfs(codec: Codec) -> (u32, usize, u32) {
    match codec {
        Codec::X264 => (18, 2, 39),
        Codec::X265 => (20, 2, 41),
        Codec::SvtAv1 => (24, 3, 60),
    }
}

/// Bits per second and quality of four rungs.
type Curve = [(f64, f64); 4];

/// The pairs that calculators of BD-rate are checked with, and what they give (the JCT-VC's spreadsheet).
const CHECK_PAIRS: [(Curve, Curve, f64); 2] = [
    (
        [(108_048.873_6, 43.6471), (61_279.976, 40.3953), (33_905.665_6, 37.247), (18_883.692_8, 34.2911)],
        [(108_061.278_4, 43.6768), (61_299.993_6, 40.4232), (33_928.747_2, 37.2761), (18_910.912, 34.3147)],
        -0.004_652_154_207_528_07,
    ),
    (
        [(40_433.884_8, 37.5761), (7_622.745_6, 35.3756), (2_394.488, 33.8977), (1_017.618_4, 32.0603)],
        [(40_370.12, 37.5982), (7_587.002_4, 35.4025), (2_390.094_4, 33.9194), (1_017.098_4, 32.0822)],
        -0.018_779_823_450_567_612,
    ),
];

/// Measures the premiere's ladder against the best with one rate factor for all shots.
#[derive(Parser)]
struct Arguments {
    /// The clip; unless given, one is made of film, animation and drawn scenes.
    clip: Option<PathBuf>,
    /// The most lines of a trial.
    #[arg(long, default_value_t = 360)]
    max_height: u32,
    /// The codecs.
    #[arg(long, value_delimiter = ',', default_values = ["x264", "svt_av1"])]
    codecs: Vec<String>,
    /// The metric: auto, vmaf, vmaf_v0, psnr.
    #[arg(long, default_value = "auto")]
    quality: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all that is asked of the optimiser holds.
async fn run(arguments: &Arguments) -> Result<bool, AnyError> {
    check_bd_rate()?;
    let work = tempfile::tempdir()?;
    let ffmpeg = Ffmpeg::find().await?;
    let clip = match &arguments.clip {
        Some(clip) => clip.clone(),
        None => mixed_clip(&ffmpeg, &Footage::find()?, work.path())?,
    };
    let binary = binary()?;
    let begun = Instant::now();
    let report = premiere(&binary, work.path(), "first", &clip, arguments)?;
    let took = begun.elapsed();
    premiere(&binary, work.path(), "second", &clip, arguments)?;
    let anew = encodes(&binary, work.path())?;
    let [first, second] = anew[..] else {
        return Err(format!("there are {} premieres, not 2", anew.len()).into());
    };
    println!("premiere: {first} encodes in {:.0} s; again: {second} encodes", took.as_secs_f64());
    if second != 0 {
        return Err("the second premiere encoded something anew".into());
    }

    let title: Title = serde_json::from_value(report["report"]["title"].clone())?;
    let probed = probe(&ffmpeg, &clip, ProbeOptions::default()).await?;
    for rung in list(&report["report"]["package"]["rungs"])? {
        let file = work.path().join("first").join(rung["file"].as_str().unwrap_or_default());
        let frames = probe(&ffmpeg, &file, ProbeOptions::default()).await?.frames;
        if frames != probed.frames {
            return Err(format!("{} has {frames} frames, the clip {}", file.display(), probed.frames).into());
        }
    }
    let shots: Vec<_> = serde_json::from_value(report["report"]["shots"].clone())?;
    println!("every rung has the clip's {} frames; {} shots", probed.frames, shots.len());
    let measure_name = title.model.as_deref().unwrap_or_else(|| title.metric.name());

    let models = models(&ffmpeg, &title)?;
    let source = Source { path: &clip, probe: &probed };
    let meter = Meter { ffmpeg: &ffmpeg, source, metric: title.metric, models, work: work.path() };
    let mut naive = 0;
    let mut all_negative = true;
    let mut table = format!("{:<10} {:>14} {:>18}\n", "encoder", "fixed ladder", "hull of the grid");
    for codec in Codec::ALL {
        let mut sizes: Vec<_> =
            title.points.iter().filter(|point| point.codec == codec).map(|point| point.size).collect();
        if sizes.is_empty() {
            continue;
        }
        sizes.sort_unstable();
        sizes.dedup();
        let (low, step, high) = grid_crfs(codec);
        let mut candidates = Vec::new();
        for size in sizes {
            for crf in (low..=high).step_by(step) {
                let request = |&shot| EncodeRequest {
                    shot,
                    size,
                    codec,
                    crf,
                    key_interval: (probed.rate.per_second() * 2.0).round() as u32,
                    effort: Default::default(),
                };
                let setting: Vec<EncodeRequest> = shots.iter().map(request).collect();
                naive += setting.len();
                candidates.push(Candidate { size, point: meter.whole(&setting).await? });
            }
        }
        let points: Vec<RateQuality> = candidates.iter().map(|candidate| candidate.point).collect();
        let hull: Vec<RateQuality> = upper_hull(&points)?.into_iter().map(|index| points[index]).collect();
        let fixed = select_rungs(&candidates, title.metric, &LadderRules::default(), RUNGS)?;
        let fixed: Vec<RateQuality> = fixed.into_iter().map(|index| points[index]).collect();
        let own: Vec<RateQuality> = title
            .ladder
            .iter()
            .filter(|rung| rung.codec == codec)
            .map(|rung| RateQuality { rate: rung.rate, quality: rung.quality(title.metric) })
            .collect();
        println!("\n{} at equal {measure_name}, beside the hull of the grid:", codec.encoder());
        for rung in &own {
            // The grid is dense, so its hull may be read at a rung's quality.
            let beside = saving(&[*rung], &hull)?;
            let of_grid = beside.rungs.first().map_or_else(
                || "beyond the grid".to_owned(),
                |beside| {
                    let more = (rung.rate / beside.rate - 1.0) * 100.0;
                    format!("grid {:>6.0} kbit/s, {more:>+6.1} %", beside.rate / 1000.0)
                },
            );
            println!("  {:>6.2}: {:>6.0} kbit/s, {of_grid}", rung.quality, rung.rate / 1000.0);
        }
        let (to_ladder, to_hull) = (bd_rate(&fixed, &own)? * 100.0, bd_rate(&hull, &own)? * 100.0);
        all_negative &= to_ladder < 0.0 && to_hull < 0.0;
        table += &format!("{:<10} {to_ladder:>+12.1} % {to_hull:>+16.1} %\n", codec.encoder());
    }
    let share = first as f64 / naive as f64;
    println!(
        "\nBD-rate of the premiere's ladder at {measure_name}, against the best with one CRF for all shots\n{table}"
    );
    println!("{first} encodes are {:.0} % of the grid's {naive}", share * 100.0);
    Ok(all_negative && share <= FEW)
}

fn check_bd_rate() -> Result<(), AnyError> {
    let curve = |points: [(f64, f64); 4]| points.map(|(rate, quality)| RateQuality { rate, quality });
    for (anchor, test, expected) in CHECK_PAIRS {
        let found = bd_rate(&curve(anchor), &curve(test))?;
        println!("BD-rate of a check pair of the JCT-VC: {found:.16}, published {expected:.16}");
        if (found - expected).abs() > 1e-12 {
            return Err("BD-rate is not what it should be".into());
        }
    }
    Ok(())
}

/// The model that the premiere measured with.
fn models(ffmpeg: &Ffmpeg, title: &Title) -> Result<Vec<Model>, AnyError> {
    let Some(version) = &title.model else { return Ok(Vec::new()) };
    let text = find_model_beside(version, &[ffmpeg.path().to_owned()])?;
    let options = ModelOptions { name: Some("vmaf".to_owned()), ..ModelOptions::default() };
    Ok(vec![Model::parse(&text, &options)?])
}

/// Encodes and measures as the premiere does.
struct Meter<'a> {
    ffmpeg: &'a Ffmpeg,
    source: Source<'a>,
    metric: Metric,
    models: Vec<Model>,
    work: &'a Path,
}

impl Meter<'_> {
    /// The title with all its shots at one setting.
    async fn whole(&self, setting: &[EncodeRequest]) -> Result<RateQuality, AnyError> {
        let (mut bytes, mut frames, mut loss) = (0, 0, 0.0);
        for &request in setting {
            let file = self.work.join("trial.mp4");
            let encoded = encode(self.ffmpeg, self.source, request, &file, |_| ()).await?;
            let files = std::slice::from_ref(&encoded.path);
            let measured = measure(self.ffmpeg, self.source, request.shot, files, &self.models).await?;
            let column = match self.metric {
                Metric::Psnr => "psnr_avg",
                Metric::Vmaf => "vmaf",
            };
            let quality = measured[0].scores.clip(column).ok_or("there is no score")?;
            bytes += encoded.bytes;
            frames += encoded.frames;
            loss += self.metric.loss(quality) * encoded.frames as f64;
            std::fs::remove_file(file)?;
        }
        Ok(pooled_point(self.metric, bytes, loss, frames, self.source.probe.rate.per_second()))
    }
}

fn list(value: &Value) -> Result<&Vec<Value>, AnyError> {
    value.as_array().ok_or_else(|| "the premiere's report lacks a list that is needed here".into())
}

fn backlot(binary: &Path, work: &Path, arguments: &[&str]) -> Result<Value, AnyError> {
    let home = work.join("home");
    let output = Command::new(binary)
        .arg("--home")
        .arg(home)
        .args(["--output", "json"])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("backlot {arguments:?} ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn premiere(
    binary: &Path,
    work: &Path,
    out: &str,
    clip: &Path,
    arguments: &Arguments,
) -> Result<Value, AnyError> {
    let (out, clip) = (work.join(out), clip.to_string_lossy());
    let (out, height, rungs) = (out.to_string_lossy(), arguments.max_height.to_string(), RUNGS.to_string());
    let codecs = arguments.codecs.join(",");
    let mut line = vec!["premiere", &clip, "--out", &out, "--max-height", &height, "--codecs", &codecs];
    line.extend(["--rungs", &rungs, "--quality", &arguments.quality]);
    line.extend(["--exit", "--bind", "127.0.0.1:0", "--quiet"]);
    backlot(binary, work, &line)
}

/// How many encodes each premiere made itself, oldest first.
fn encodes(binary: &Path, work: &Path) -> Result<Vec<i64>, AnyError> {
    let runs = backlot(binary, work, &["runs"])?;
    let mut counts = Vec::new();
    for run in list(&runs)?.iter().rev() {
        let id = run["id"].as_str().unwrap_or_default();
        let shown = backlot(binary, work, &["runs", "show", id])?;
        let steps = list(&shown["steps"])?.iter();
        let encoding = steps.filter(|step| step["kind"] == "media.encode");
        let own = |step: &Value| {
            step["tasks"]["succeeded"].as_i64().unwrap_or(0) - step["tasks"]["cached"].as_i64().unwrap_or(0)
        };
        counts.push(encoding.map(own).sum());
    }
    Ok(counts)
}
