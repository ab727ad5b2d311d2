//! What choosing shot by shot is worth: the premiere's ladder beside the best one with a single rate factor for all shots.
//!
//! The peer is a grid: every size of the premiere's trials at rate factors two or three apart, all shots alike, measured by the
//! same code; its convex hull is the best that a ladder with one rate factor can be. Both are measured, nothing is guessed.
//! Before a figure counts, the rungs have the clip's frames, and a second premiere has encoded nothing anew.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use backlot_benches::house::AnyError;
use backlot_media::encode::{Codec, EncodeRequest, encode};
use backlot_media::ffmpeg::Ffmpeg;
use backlot_media::measure::measure;
use backlot_media::plan::{RateQuality, ShotScore, Size, bd_rate, saving, title_point, upper_hull};
use backlot_media::probe::{ProbeOptions, probe};
use backlot_media::source::Source;
use clap::Parser;
use serde_json::Value;

/// Rate factors of the grid, over the range of the premiere's trials.
const GRID: [(Codec, u32, usize, u32); 2] = [(Codec::X264, 18, 2, 39), (Codec::SvtAv1, 24, 3, 60)];

/// Measures the premiere's ladder against the best with one rate factor for all shots.
#[derive(Parser)]
struct Arguments {
    /// The clip; unless given, one of four very different shots is made.
    clip: Option<PathBuf>,
    /// The most lines of a trial.
    #[arg(long, default_value_t = 270)]
    max_height: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), AnyError> {
    let work = tempfile::tempdir()?;
    let ffmpeg = Ffmpeg::find().await?;
    let clip = match &arguments.clip {
        Some(clip) => clip.clone(),
        None => mixed_clip(&ffmpeg, work.path())?,
    };
    let binary = binary()?;
    let begun = Instant::now();
    let report = premiere(&binary, work.path(), "first", &clip, arguments.max_height)?;
    let took = begun.elapsed();
    premiere(&binary, work.path(), "second", &clip, arguments.max_height)?;
    let anew = encodes(&binary, work.path())?;
    let [first, second] = anew[..] else {
        return Err(format!("there are {} premieres, not 2", anew.len()).into());
    };
    println!("premiere: {first} encodes in {:.0} s; again: {second} encodes", took.as_secs_f64());
    if second != 0 {
        return Err("the second premiere encoded something anew".into());
    }

    let title = &report["report"]["title"];
    let probed = probe(&ffmpeg, &clip, ProbeOptions::default()).await?;
    for rung in list(&report["report"]["package"]["rungs"])? {
        let file = work.path().join("first").join(rung["file"].as_str().unwrap_or_default());
        let frames = probe(&ffmpeg, &file, ProbeOptions::default()).await?.frames;
        if frames != probed.frames {
            return Err(format!("{} has {frames} frames, the clip {}", file.display(), probed.frames).into());
        }
    }
    println!("every rung has the clip's {} frames", probed.frames);

    let source = Source { path: &clip, probe: &probed };
    let shots: Vec<_> = serde_json::from_value(report["report"]["shots"].clone())?;
    let mut naive = 0;
    println!("\n{:<10} {:>6} {:>6} {:>10} {:>10}", "encoder", "rungs", "grid", "BD-rate", "at rungs");
    for (codec, low, step, high) in GRID {
        let own: Vec<&Value> = list(&title["points"])?.iter().filter(|point| is_of(point, codec)).collect();
        let mut sizes: Vec<Size> = own
            .iter()
            .map(|point| serde_json::from_value(point["size"].clone()))
            .collect::<Result<_, _>>()?;
        sizes.sort_unstable();
        sizes.dedup();
        let mut grid: Vec<EncodeRequest> = Vec::new();
        for size in sizes {
            for crf in (low..=high).step_by(step) {
                grid.extend(shots.iter().map(|&shot| EncodeRequest {
                    shot,
                    size,
                    codec,
                    crf,
                    key_interval: (probed.rate.per_second() * 2.0).round() as u32,
                    effort: Default::default(),
                }));
            }
        }
        naive += grid.len();
        let points = on_grid(&ffmpeg, source, &grid, shots.len(), work.path()).await?;
        let hull: Vec<RateQuality> = upper_hull(&points)?.into_iter().map(|index| points[index]).collect();
        let ladder: Vec<RateQuality> = list(&title["ladder"])?
            .iter()
            .filter(|rung| is_of(rung, codec))
            .filter_map(|rung| {
                Some(RateQuality { rate: rung["rate"].as_f64()?, quality: rung["psnr"].as_f64()? })
            })
            .collect();
        let difference = bd_rate(&hull, &ladder)?;
        // The grid is dense, so its hull may be read at a rung's quality; between its rungs a ladder has nothing to say.
        let at_rungs = saving(&ladder, &hull)?;
        for rung in &at_rungs.rungs {
            let (own, grid) = (rung.fixed.rate / 1000.0, rung.rate / 1000.0);
            let more = (own / grid - 1.0) * 100.0;
            println!(
                "  {:>6.2} dB: {own:>8.0} kbit/s, grid {grid:>8.0} kbit/s, {more:>+6.1} %",
                rung.fixed.quality
            );
        }
        let ratios: f64 = at_rungs.rungs.iter().map(|rung| rung.fixed.rate / rung.rate - 1.0).sum();
        let mean = ratios / at_rungs.rungs.len().max(1) as f64;
        println!(
            "{:<10} {:>6} {:>6} {:>8.1} % {:>8.1} %",
            codec.encoder(),
            ladder.len(),
            points.len(),
            difference * 100.0,
            mean * 100.0
        );
    }
    let share = 100.0 * first as f64 / naive as f64;
    println!("\n{first} encodes are {share:.0} % of the grid's {naive}");
    Ok(())
}

fn is_of(value: &Value, codec: Codec) -> bool {
    serde_json::from_value::<Codec>(value["codec"].clone()).is_ok_and(|own| own == codec)
}

fn list(value: &Value) -> Result<&Vec<Value>, AnyError> {
    value.as_array().ok_or_else(|| "the premiere's report lacks a list that is needed here".into())
}

/// The whole-title points of a grid that lists, for each setting, all shots in order.
async fn on_grid(
    ffmpeg: &Ffmpeg,
    source: Source<'_>,
    grid: &[EncodeRequest],
    shots: usize,
    work: &Path,
) -> Result<Vec<RateQuality>, AnyError> {
    let mut points = Vec::new();
    for setting in grid.chunks(shots) {
        let mut scores = Vec::with_capacity(shots);
        for &request in setting {
            let file = work.join("trial.mp4");
            let encoded = encode(ffmpeg, source, request, &file, |_| ()).await?;
            let measured =
                measure(ffmpeg, source, request.shot, std::slice::from_ref(&encoded.path), &[]).await?;
            let psnr = measured[0].scores.clip("psnr_avg").ok_or("there is no PSNR")?;
            scores.push(ShotScore { frames: encoded.frames, bytes: encoded.bytes, psnr });
            std::fs::remove_file(file)?;
        }
        points.push(title_point(&scores, source.probe.rate.per_second()).ok_or("a shot has no frame")?);
    }
    Ok(points)
}

/// The program of the same build.
fn binary() -> Result<PathBuf, AnyError> {
    let own = std::env::current_exe()?;
    let binary = own.with_file_name("backlot");
    if binary.is_file() {
        return Ok(binary);
    }
    Err(format!("{} is missing; run `cargo build --release --bin backlot`", binary.display()).into())
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

fn premiere(binary: &Path, work: &Path, out: &str, clip: &Path, max_height: u32) -> Result<Value, AnyError> {
    let (out, clip) = (work.join(out), clip.to_string_lossy());
    let (out, height) = (out.to_string_lossy(), max_height.to_string());
    let arguments = [
        "premiere",
        &clip,
        "--out",
        &out,
        "--max-height",
        &height,
        "--exit",
        "--bind",
        "127.0.0.1:0",
        "--quiet",
    ];
    backlot(binary, work, &arguments)
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

/// Four shots that have little in common: a still, a noisy film, a fractal that is ever more detailed, moving bars.
fn mixed_clip(ffmpeg: &Ffmpeg, work: &Path) -> Result<PathBuf, AnyError> {
    let clip = work.join("mixed.mp4");
    let shots = [
        "smptehdbars=size=480x270:rate=24:duration=3",
        "testsrc2=size=480x270:rate=24:duration=3,noise=alls=18:allf=t",
        "mandelbrot=size=480x270:rate=24,trim=duration=3",
        "life=size=480x270:rate=24:mold=10:ratio=0.1:death_color=#204060:life_color=#f0d090,trim=duration=3,gblur=sigma=2",
    ];
    let mut command = Command::new(ffmpeg.path());
    command.args(["-v", "error", "-y"]);
    for shot in shots {
        command.args(["-f", "lavfi", "-i", shot]);
    }
    let joined = "[0:v]format=yuv420p,setsar=1[a];[1:v]format=yuv420p,setsar=1[b];[2:v]format=yuv420p,setsar=1[c];\
                  [3:v]format=yuv420p,setsar=1[d];[a][b][c][d]concat=n=4:v=1[v]";
    command.args([
        "-filter_complex",
        joined,
        "-map",
        "[v]",
        "-c:v",
        "libx264",
        "-crf",
        "8",
        "-preset",
        "veryfast",
    ]);
    let status = command.arg(&clip).stdin(Stdio::null()).status()?;
    if !status.success() {
        return Err(format!("ffmpeg could not make the clip: {status}").into());
    }
    Ok(clip)
}
