//! `cargo xtask bench vmaf`: our VMAF beside libvmaf, on the same clips, with the same numbers.
//!
//! The peer is libvmaf inside the ffmpeg of the Python package imageio-ffmpeg, one thread; where `BACKLOT_LIBVMAF` names
//! libvmaf's own program (a build of its source), that too. Both read YUV4MPEG2 files from memory. Time is that which the
//! processor spent on the child process, the least of several rounds taken in turn; wall time stands beside it. Reports
//! are compared in the same run: a figure counts only where all numbers agree.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use backlot_benches::house::AnyError;
use clap::Parser;
use nix::sys::resource::{Usage, UsageWho, getrusage};

/// Names libvmaf's own program.
const LIBVMAF_VARIABLE: &str = "BACKLOT_LIBVMAF";
/// Rate factors of the renditions of the ladder.
const RATE_FACTORS: [u32; 6] = [23, 27, 31, 35, 39, 43];
/// What stands before our command line when this program is run again to score.
const SCORE: &str = "score";
/// How near numbers must be that are not integer arithmetic, as a share of those beyond one.
const NEAR: f64 = 1e-4;

/// Measures our VMAF beside libvmaf's.
#[derive(Parser)]
struct Arguments {
    /// Frames of the clip.
    #[arg(long, default_value_t = 24)]
    frames: usize,
    /// Rounds; the least time counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Parts of names of what is measured; all unless given.
    only: Vec<String>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(SCORE) {
        let line: Vec<String> = arguments.collect();
        return ExitCode::from(backlot_vmaf::tool::run(&line, &mut std::io::stderr()));
    }
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// By so much the clip is longer that two threads are measured on: starting and ending, which they cannot share, are a small part of
/// what people measure.
const LONGER: usize = 4;

/// One comparison.
struct Case {
    name: &'static str,
    /// Models, by version and options.
    models: &'static [&'static str],
    features: &'static [&'static str],
    /// A preset of ours that stands for the models and features.
    preset: Option<&'static str>,
    /// Frames; all unless given, for what takes the peer long.
    frames: Option<usize>,
    /// How many renditions are scored.
    renditions: usize,
    /// How many times as fast it is to be.
    wanted: f64,
}

impl Case {
    /// Which renditions: where it is one, that in the middle.
    fn which(&self) -> Range<usize> {
        let first = if self.renditions == 1 { RATE_FACTORS.len() / 2 } else { 0 };
        first..first + self.renditions
    }
}

const CASES: &[Case] = &[
    Case {
        name: "v0.6.1",
        models: &["vmaf_v0.6.1"],
        features: &[],
        preset: None,
        frames: None,
        renditions: 1,
        wanted: 1.3,
    },
    Case {
        name: "v0.6.1 + NEG",
        models: &["vmaf_v0.6.1", "vmaf_v0.6.1neg:name=neg"],
        features: &[],
        preset: None,
        frames: None,
        renditions: 1,
        wanted: 2.0,
    },
    Case {
        name: "v1",
        models: &["vmaf_v1.0.16_3d0h"],
        features: &[],
        preset: None,
        frames: None,
        renditions: 1,
        wanted: 1.5,
    },
    Case {
        name: "six renditions",
        models: &["vmaf_v0.6.1"],
        features: &[],
        preset: None,
        frames: Some(12),
        renditions: RATE_FACTORS.len(),
        wanted: 2.0,
    },
    Case {
        name: "aom_ctc v7.0",
        models: &["vmaf_v0.6.1:name=vmaf", "vmaf_v0.6.1neg:name=vmaf_neg"],
        features: &[
            "psnr=reduced_hbd_peak=true:enable_apsnr=true:min_sse=0.5",
            "ciede",
            "float_ssim=scale=1:enable_db=true:clip_db=true",
            "float_ms_ssim=enable_db=true:clip_db=true",
            "psnr_hvs",
            "cambi",
        ],
        preset: Some("v7.0"),
        frames: Some(3),
        renditions: 1,
        wanted: 8.0,
    },
];

/// What a command took.
#[derive(Clone, Copy)]
struct Took {
    cpu: Duration,
    wall: Duration,
}

impl Took {
    const NEVER: Self = Self { cpu: Duration::MAX, wall: Duration::MAX };

    fn least(self, other: Self) -> Self {
        Self { cpu: self.cpu.min(other.cpu), wall: self.wall.min(other.wall) }
    }

    fn per_frame(self, frames: usize) -> String {
        let each = |time: Duration| time.as_secs_f64() * 1e3 / frames as f64;
        format!("{:.1} ({:.1})", each(self.cpu), each(self.wall))
    }
}

struct Clips {
    folder: tempfile::TempDir,
    ffmpeg: PathBuf,
    frames: usize,
}

impl Clips {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn rendition(&self, index: usize) -> String {
        self.path(&format!("{index}.y4m"))
    }

    /// A reference with fine structure, edges and grain, and these of its encodes.
    fn make(ffmpeg: PathBuf, frames: usize, renditions: Range<usize>) -> Result<Self, AnyError> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
        let clips = Self { folder, ffmpeg, frames };
        let count = frames.to_string();
        let made = "[0][1]blend=all_mode=average,noise=alls=4:allf=t,format=yuv420p";
        clips.encode(&[
            "-f",
            "lavfi",
            "-i",
            "mandelbrot=size=1920x1080:rate=25",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=1920x1080:rate=25",
            "-filter_complex",
            made,
            "-frames:v",
            &count,
            &clips.path("reference.y4m"),
        ])?;
        for index in renditions {
            let encoded = clips.path("encoded.mp4");
            clips.encode(&[
                "-i",
                &clips.path("reference.y4m"),
                "-c:v",
                "libx264",
                "-preset",
                "veryfast",
                "-crf",
                &RATE_FACTORS[index].to_string(),
                &encoded,
            ])?;
            clips.encode(&["-i", &encoded, "-pix_fmt", "yuv420p", &clips.rendition(index)])?;
        }
        Ok(clips)
    }

    fn encode(&self, arguments: &[&str]) -> Result<(), AnyError> {
        let mut command = Command::new(&self.ffmpeg);
        command.args(["-v", "error", "-y"]).args(arguments).stdin(Stdio::null());
        let status = command.status()?;
        if status.success() { Ok(()) } else { Err(format!("{}: {status}", self.ffmpeg.display()).into()) }
    }
}

fn run(arguments: &Arguments) -> Result<bool, AnyError> {
    let ffmpeg = imageio_ffmpeg()?;
    let libvmaf = std::env::var_os(LIBVMAF_VARIABLE).map(PathBuf::from);
    let clips = Clips::make(ffmpeg.clone(), arguments.frames, 0..RATE_FACTORS.len())?;
    println!(
        "1920x1080, 8 bit, 4:2:0; one thread; milliseconds of the processor a frame (wall), least of {}",
        arguments.rounds
    );
    println!("{:<16} {:>16} {:>16} {:>16} {:>7} {:>7}", "", "ours", "ffmpeg", "libvmaf", "times", "wanted");
    let mut is_met = true;
    for case in CASES.iter().filter(|case| is_chosen(arguments, case.name)) {
        let frames = case.frames.unwrap_or(clips.frames).min(clips.frames);
        let (mut ours, mut peer, mut source) = (Took::NEVER, Took::NEVER, Took::NEVER);
        for round in 0..arguments.rounds {
            ours = ours.least(clips.ours(case, frames, 1)?);
            peer = peer.least(clips.peer(case, frames)?);
            if let Some(program) = &libvmaf {
                source = source.least(clips.libvmaf(program, case, frames)?);
            }
            if round == 0 {
                clips.compare(case)?;
            }
        }
        let times = peer.cpu.as_secs_f64() / ours.cpu.as_secs_f64();
        let shown = frames * case.renditions;
        let of_source = libvmaf.as_ref().map_or("-".to_owned(), |_| source.per_frame(shown));
        println!(
            "{:<16} {:>16} {:>16} {of_source:>16} {times:>7.2} {:>7.1}",
            case.name,
            ours.per_frame(shown),
            peer.per_frame(shown),
            case.wanted
        );
        is_met &= times >= case.wanted;
    }
    if is_chosen(arguments, "two threads") {
        let case = &CASES[0];
        let clips = Clips::make(ffmpeg, arguments.frames * LONGER, case.which())?;
        let (mut one, mut two, mut pair) = (Took::NEVER, Took::NEVER, Duration::MAX);
        for _ in 0..arguments.rounds {
            one = one.least(clips.ours(case, clips.frames, 1)?);
            two = two.least(clips.ours(case, clips.frames, 2)?);
            pair = pair.min(clips.two_processes(case)?);
        }
        let times = one.wall.as_secs_f64() / two.wall.as_secs_f64();
        println!(
            "{:<16} {:>16} {:>33} {times:>7.2} {:>7.1}",
            "two threads",
            two.per_frame(clips.frames),
            "ours, one thread, by wall:",
            1.9
        );
        let most = 2.0 * one.wall.as_secs_f64() / pair.as_secs_f64();
        println!("{:<50} {:>7.2}", "  two processes of one thread side by side", most);
        is_met &= times >= 1.9;
    }
    println!(
        "{}",
        if is_met { "all as wanted; all numbers agree" } else { "not all as wanted; all numbers agree" }
    );
    Ok(is_met)
}

fn is_chosen(arguments: &Arguments, name: &str) -> bool {
    arguments.only.is_empty() || arguments.only.iter().any(|part| name.contains(part.as_str()))
}

impl Clips {
    fn ours(&self, case: &Case, frames: usize, threads: usize) -> Result<Took, AnyError> {
        timed(&mut self.our_command(case, frames, threads)?)
    }

    /// By the clock, two processes at a time that have nothing in common: what two cores of this machine are to one.
    fn two_processes(&self, case: &Case) -> Result<Duration, AnyError> {
        let begun = Instant::now();
        let start = || Ok::<_, AnyError>(self.our_command(case, self.frames, 1)?.spawn()?);
        for mut child in [start()?, start()?] {
            let status = child.wait()?;
            if !status.success() {
                return Err(format!("our vmaf ended with {status}").into());
            }
        }
        Ok(begun.elapsed())
    }

    fn our_command(&self, case: &Case, frames: usize, threads: usize) -> Result<Command, AnyError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([SCORE, "-q", "-r", &self.path("reference.y4m")]);
        for (index, rendition) in case.which().enumerate() {
            command.args(["-d", &self.rendition(rendition), "-o", &self.path(&format!("ours-{index}.xml"))]);
        }
        command.args(["--threads", &threads.to_string(), "--frame_cnt", &frames.to_string()]);
        score_options(&mut command, case);
        Ok(command)
    }

    fn libvmaf(&self, program: &Path, case: &Case, frames: usize) -> Result<Took, AnyError> {
        self.one_by_one(case, |rendition, report| {
            let mut command = Command::new(program);
            command.args(["-q", "-r", &self.path("reference.y4m"), "-d", rendition, "-o", report]);
            command.args(["--threads", "1", "--frame_cnt", &frames.to_string()]);
            score_options(&mut command, case);
            timed(&mut command)
        })
    }

    fn peer(&self, case: &Case, frames: usize) -> Result<Took, AnyError> {
        self.one_by_one(case, |rendition, report| {
            let escaped = |items: &[&str], key: &str| {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| {
                        format!(
                            "{key}={}",
                            item.replacen('=', ":", usize::from(key == "name")).replace(':', "\\:")
                        )
                    })
                    .collect();
                items.join("|")
            };
            // Cut before the filter: motion looks at the frame that follows, also behind the last that is wanted.
            let cut = format!("trim=end_frame={frames}");
            let mut filter = format!(
                "[0:v]{cut}[d];[1:v]{cut}[r];[d][r]libvmaf=log_fmt=xml:log_path={report}:model='{}'",
                escaped(case.models, "version")
            );
            if !case.features.is_empty() {
                filter.push_str(&format!(":feature='{}'", escaped(case.features, "name")));
            }
            let mut command = Command::new(&self.ffmpeg);
            command.args(["-v", "error", "-threads", "1", "-filter_complex_threads", "1"]);
            command.args(["-i", rendition, "-i", &self.path("reference.y4m"), "-lavfi", &filter]);
            command.args(["-f", "null", "-"]);
            timed(&mut command)
        })
    }

    /// Sums the times of one process for each rendition.
    fn one_by_one(
        &self,
        case: &Case,
        score: impl Fn(&str, &str) -> Result<Took, AnyError>,
    ) -> Result<Took, AnyError> {
        let mut total = Took { cpu: Duration::ZERO, wall: Duration::ZERO };
        for (index, rendition) in case.which().enumerate() {
            let took = score(&self.rendition(rendition), &self.path(&format!("peer-{index}.xml")))?;
            total = Took { cpu: total.cpu + took.cpu, wall: total.wall + took.wall };
        }
        Ok(total)
    }

    /// Fails where a number of the reports differs.
    fn compare(&self, case: &Case) -> Result<(), AnyError> {
        for index in 0..case.renditions {
            let read = |name: &str| std::fs::read_to_string(self.path(&format!("{name}-{index}.xml")));
            let (ours, theirs) = (frame_numbers(&read("ours")?), frame_numbers(&read("peer")?));
            let by_place: HashMap<_, _> = ours.iter().map(|(place, value)| (place, value)).collect();
            let mut count = 0;
            for (place, value) in &theirs {
                let Some(own) = by_place.get(place) else { continue };
                let is_equal = *own == value || (!is_whole(&place.1) && is_near(own, value));
                if !is_equal {
                    return Err(format!(
                        "{}: {} {} is {own}, libvmaf has {value}",
                        case.name, place.0, place.1
                    )
                    .into());
                }
                count += 1;
            }
            if count == 0 {
                return Err(format!("{}: the reports have no number in common", case.name).into());
            }
        }
        Ok(())
    }
}

/// Whether a score is integer arithmetic, and so the same text.
fn is_whole(name: &str) -> bool {
    let near = ["float_", "ciede", "psnr_hvs"];
    name != "vmaf" && !near.iter().any(|start| name.starts_with(start))
}

fn is_near(ours: &str, theirs: &str) -> bool {
    match (ours.parse::<f64>(), theirs.parse::<f64>()) {
        (Ok(ours), Ok(theirs)) => (ours - theirs).abs() <= NEAR * theirs.abs().max(1.0),
        _ => false,
    }
}

/// The numbers of all frames of a report, by frame and name.
fn frame_numbers(report: &str) -> Vec<((String, String), String)> {
    let mut found = Vec::new();
    for line in report.lines().map(str::trim).filter(|line| line.starts_with("<frame ")) {
        let mut attributes =
            line["<frame ".len()..].split("\" ").filter_map(|attribute| attribute.split_once("=\""));
        let Some((_, frame)) = attributes.next() else { continue };
        found.extend(attributes.map(|(name, value)| ((frame.to_owned(), name.to_owned()), value.to_owned())));
    }
    found
}

/// Models and features in libvmaf's notation.
fn score_options(command: &mut Command, case: &Case) {
    if let Some(preset) = case.preset {
        command.args(["--aom_ctc", preset]);
        return;
    }
    for model in case.models {
        command.args(["-m", &format!("version={model}")]);
    }
    for feature in case.features {
        command.args(["--feature", feature]);
    }
}

/// Runs a command to its end.
fn timed(command: &mut Command) -> Result<Took, AnyError> {
    let used = |usage: &Usage| {
        let microseconds = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
        microseconds(usage.user_time()) + microseconds(usage.system_time())
    };
    let before = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let wall = begun.elapsed();
    let after = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}: {}", output.status, said.trim()).into());
    }
    let cpu = Duration::from_micros((used(&after) - used(&before)).try_into()?);
    Ok(Took { cpu, wall })
}

/// The ffmpeg that the package imageio-ffmpeg carries.
fn imageio_ffmpeg() -> Result<PathBuf, AnyError> {
    let venv = std::env::var_os("BACKLOT_VENV").map_or_else(|| PathBuf::from(".venv"), PathBuf::from);
    let python = venv.join("bin/python");
    let asked = Command::new(&python)
        .args(["-c", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"])
        .env_remove("IMAGEIO_FFMPEG_EXE")
        .output()
        .map_err(|error| format!("{}: {error}; run it as `cargo xtask bench vmaf`", python.display()))?;
    let path = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    if path.is_empty() {
        return Err("the package imageio-ffmpeg is missing; run it as `cargo xtask bench vmaf`".into());
    }
    Ok(path.into())
}
