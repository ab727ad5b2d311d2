//! Shot detection beside ffmpeg's scdet and PySceneDetect: what is found of cuts that are known by construction, and the time.
//!
//! The clip is strung together from real footage (film, animation, a hand-held video call) and drawn scenes, with decoys that
//! look like cuts to a difference of frames: flashes, a dropped frame, fades, pans, a shake, grain. Every detector decodes the
//! same file itself, as a user would have it, in a process of its own; its CPU time is that process's and its children's.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use backlot_benches::clips::Footage;
use backlot_benches::house::AnyError;
use backlot_frames::ShotOptions;
use backlot_media::ffmpeg::Ffmpeg;
use backlot_media::probe::{ProbeOptions, probe};
use backlot_media::shots::detect_shots;
use backlot_media::source::Source;
use clap::Parser;

/// Shortest shot of the clip, and of every detector that can be told.
const MIN_SHOT: u64 = 8;
/// Ticks of `/proc/self/stat` in a second, on every Linux of today.
const TICKS: f64 = 100.0;

/// Finds the cuts of a clip whose cuts are known.
#[derive(Parser)]
struct Arguments {
    /// How often each detector runs; its fastest run counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Height of the clip.
    #[arg(long, default_value_t = 720)]
    height: u32,
    /// Find the cuts of this clip and print them; what the benchmark calls itself with.
    #[arg(long, hide = true)]
    only: Option<PathBuf>,
}

/// A piece of the clip: where it is from, its filters, its length, the cuts inside it.
struct Piece {
    from: Origin,
    filters: &'static str,
    frames: u64,
    cuts: &'static [u64],
}

enum Origin {
    Film,
    Animation,
    Call,
    Drawn(&'static str),
}

const fn piece(from: Origin, filters: &'static str, frames: u64) -> Piece {
    Piece { from, filters, frames, cuts: &[] }
}

const PIECES: &[Piece] = &[
    Piece { from: Origin::Film, filters: "null", frames: 250, cuts: &[30, 76, 137, 187, 242] },
    piece(Origin::Animation, "null", 60),
    piece(Origin::Drawn("testsrc2=size=640x360:rate=25"), "null", 40),
    // Flashes of three frames, and one frame lost.
    piece(
        Origin::Call,
        "drawbox=color=white:t=fill:enable='between(n,20,22)+between(n,60,61)',drawbox=color=black:t=fill:enable='eq(n,45)'",
        80,
    ),
    piece(Origin::Drawn("mandelbrot=size=640x360:rate=25:end_scale=0.05"), "null", 40),
    piece(Origin::Drawn("color=gray:size=640x360:rate=25"), "noise=alls=70:allf=t:all_seed=3", 30),
    // Out to black and in again.
    piece(Origin::Animation, "fade=out:20:16,fade=in:36:16:enable='gte(n,36)'", 60),
    piece(
        Origin::Drawn(
            "life=size=640x360:rate=25:seed=5:mold=20:life_color=#c83232:death_color=#3232c8:ratio=0.2",
        ),
        "null",
        30,
    ),
    // A pan over a wide picture, then a shake.
    piece(Origin::Animation, "scale=1920:1080,crop=640:360:x='if(lt(n,30),24*n,720+60*mod(n,2))':y=360", 60),
    piece(Origin::Drawn("smptehdbars=size=640x360:rate=25"), "null", 30),
    piece(Origin::Call, "trim=start_frame=60,setpts=PTS-STARTPTS,eq=brightness=-0.1", 50),
    // Pieces of one film against each other: cuts between alike pictures, and the film in the dark.
    Piece {
        from: Origin::Film,
        filters: "trim=start_frame=76,setpts=PTS-STARTPTS,eq=brightness=-0.25:contrast=0.6",
        frames: 150,
        cuts: &[61, 111],
    },
    piece(Origin::Film, "trim=start_frame=140,setpts=PTS-STARTPTS,hflip", 40),
    // A zoom, and grain over film.
    piece(Origin::Animation, "zoompan=z='1+on/60':d=1:s=640x360:fps=25", 60),
    piece(Origin::Film, "trim=start_frame=90,setpts=PTS-STARTPTS,noise=alls=25:allf=t:all_seed=9", 40),
];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.only {
        Some(clip) => only(clip).await,
        None => run(&arguments).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Our detector, as a program that prints cuts.
async fn only(clip: &Path) -> Result<(), AnyError> {
    let ffmpeg = Ffmpeg::find().await?;
    let probed = probe(&ffmpeg, clip, ProbeOptions::default()).await?;
    let options = ShotOptions { min_shot: MIN_SHOT, ..ShotOptions::default() };
    let begun = (Instant::now(), cpu()?);
    let found = detect_shots(&ffmpeg, Source { path: clip, probe: &probed }, options, |_| ()).await?;
    // The probe is the house's, not the detector's: only the detector's own time is told.
    println!("time {} {}", begun.0.elapsed().as_secs_f64(), cpu()? - begun.1);
    for cut in found.cuts {
        println!("{}", cut.frame);
    }
    Ok(())
}

async fn run(arguments: &Arguments) -> Result<(), AnyError> {
    let work = tempfile::tempdir()?;
    let ffmpeg = Ffmpeg::find().await?;
    let footage = Footage::find()?;
    let clip = work.path().join("known.mkv");
    make(&ffmpeg, &footage, arguments.height, &clip)?;
    let mut known = Vec::new();
    let mut frames = 0;
    for piece in PIECES {
        known.extend((frames > 0).then_some(frames));
        known.extend(piece.cuts.iter().map(|cut| frames + cut));
        frames += piece.frames;
    }
    println!("{frames} frames of {} lines, {} cuts\n", arguments.height, known.len());
    println!(
        "{:<32} {:>6} {:>9} {:>12} {:>13}",
        "detector", "recall", "precision", "wall ms/fr", "CPU ms/frame"
    );
    let mut own = Command::new(std::env::current_exe()?);
    own.arg("--only").arg(&clip);
    let mut scdet = Command::new(ffmpeg.path());
    scdet
        .args(["-hide_banner", "-nostdin", "-i"])
        .arg(&clip)
        .args(["-an", "-vf", "scdet", "-f", "null", "-"]);
    let mut rows = vec![("backlot", own), ("ffmpeg scdet, default", scdet)];
    match python() {
        Some(python) => {
            for (name, detector) in [
                ("PySceneDetect ContentDetector", "ContentDetector"),
                ("PySceneDetect AdaptiveDetector", "AdaptiveDetector"),
            ] {
                let program = format!(
                    "import sys, scenedetect as s\nfor a, b in s.detect(sys.argv[1], s.{detector}(min_scene_len={MIN_SHOT}))[1:]: print(a.frame_num)"
                );
                let mut command = Command::new(&python);
                command.args(["-c", &program]).arg(&clip);
                rows.push((name, command));
            }
        }
        None => println!("SKIPPED: no PySceneDetect here; `cargo xtask setup` installs it"),
    }
    for (name, mut command) in rows {
        let mut best: Option<(f64, f64)> = None;
        let mut cuts = Vec::new();
        for _ in 0..arguments.runs.max(1) {
            let (found, time) = timed(&mut command)?;
            cuts = found;
            if best.is_none_or(|(wall, _)| time.0 < wall) {
                best = Some(time);
            }
        }
        let hits = cuts.iter().filter(|cut| known.contains(cut)).count() as f64;
        let (wall, cpu) = best.unwrap_or_default();
        println!(
            "{name:<32} {:>6.2} {:>9.2} {:>12.2} {:>13.2}",
            hits / known.len() as f64,
            hits / (cuts.len() as f64).max(1.0),
            wall * 1000.0 / frames as f64,
            cpu * 1000.0 / frames as f64
        );
    }
    Ok(())
}

/// Runs a detector; gives its cuts, and seconds of wall and CPU.
fn timed(command: &mut Command) -> Result<(Vec<u64>, (f64, f64)), AnyError> {
    let begun = (Instant::now(), cpu()?);
    let output = command.stdin(Stdio::null()).output()?;
    let mut time = (begun.0.elapsed().as_secs_f64(), cpu()? - begun.1);
    let (out, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!("a detector ended with {}: {log}", output.status).into());
    }
    let mut cuts: Vec<u64> = out.lines().filter_map(|line| line.trim().parse().ok()).collect();
    let told =
        log.lines().filter_map(|line| line.split("lavfi.scd.time:").nth(1)?.trim().parse::<f64>().ok());
    cuts.extend(told.map(|seconds| (seconds * 25.0).round() as u64));
    if let Some(own) = out.lines().find_map(|line| line.strip_prefix("time ")) {
        let numbers: Vec<f64> = own.split(' ').filter_map(|number| number.parse().ok()).collect();
        if let [wall, cpu] = numbers[..] {
            time = (wall, cpu);
        }
    }
    Ok((cuts, time))
}

/// Seconds of CPU that this process and the children it has waited for took.
fn cpu() -> Result<f64, AnyError> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // After the name in brackets: state is field 3, so utime, stime, cutime and cstime are 11 to 14 here.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields.iter().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS)
}

/// A Python that has PySceneDetect.
fn python() -> Option<PathBuf> {
    let given = std::env::var_os("BACKLOT_VENV").map(PathBuf::from);
    let mut all = given.into_iter().chain([PathBuf::from(".venv")]).map(|venv| venv.join("bin/python"));
    all.find(|python| {
        let asked = Command::new(python).args(["-c", "import scenedetect"]).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    })
}

fn make(ffmpeg: &Ffmpeg, footage: &Footage, height: u32, out: &Path) -> Result<(), AnyError> {
    let width = height * 16 / 9 / 2 * 2;
    let mut command = Command::new(ffmpeg.path());
    command.args(["-v", "error", "-nostdin", "-y"]);
    let call = footage.film.with_file_name("carphone_pristine.mp4");
    let mut graph = String::new();
    for (index, piece) in PIECES.iter().enumerate() {
        match piece.from {
            Origin::Film => command.arg("-i").arg(&footage.film),
            Origin::Animation => command.arg("-i").arg(&footage.animation),
            Origin::Call => command.arg("-i").arg(&call),
            Origin::Drawn(source) => command.args(["-f", "lavfi", "-i", source]),
        };
        let Piece { filters, frames, .. } = piece;
        // Frames are re-timed one by one, so that none is doubled or dropped on the way.
        graph += &format!(
            "[{index}:v]settb=1/25,setpts=N,{filters},settb=1/25,setpts=N,trim=end_frame={frames},scale={width}:{height},setsar=1,\
             format=yuv420p,settb=1/25,setpts=N[p{index}];"
        );
    }
    graph.extend((0..PIECES.len()).map(|index| format!("[p{index}]")));
    graph += &format!("concat=n={},settb=1/25,setpts=N[v]", PIECES.len());
    let encode =
        ["-map", "[v]", "-fps_mode", "passthrough", "-c:v", "libx264", "-preset", "veryfast", "-crf", "12"];
    let status = command.args(["-lavfi", &graph]).args(encode).arg(out).stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("ffmpeg could not make the clip: {status}").into()) }
}
