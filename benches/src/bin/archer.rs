//! What Archer costs a task beyond the function itself.
//!
//! The job has very many parts and a function that does next to nothing. Its own time is measured first, as a loop that starts
//! it in fresh directories; then the same function is run over all parts, here and as durable tasks on a worker with one
//! slot and with two. What a run takes beyond the split (a run of few parts is subtracted) is divided by its parts. Results
//! are compared before a figure counts.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use backlot_benches::house::{AnyError, binary};
use backlot_benches::statistics::median;
use backlot_media::ffmpeg::Ffmpeg;
use clap::Parser;
use serde_json::{Value, json};

/// What a task may cost beyond its function, in milliseconds.
const TARGET_MS: f64 = 5.0;
/// Parts of the run that is subtracted.
const FEW: u64 = 20;
/// The function: a shell that writes a result.
const FUNCTION: [&str; 3] = ["sh", "-c", "echo 1 >result.json"];

/// The cost of a task.
#[derive(Parser)]
struct Arguments {
    /// Parts of the job.
    #[arg(long, default_value_t = 1000)]
    parts: u64,
    /// How often each is run; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
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

/// Whether the target is met everywhere.
async fn run(arguments: &Arguments) -> Result<bool, AnyError> {
    let work = tempfile::tempdir()?;
    let bench = Bench { binary: binary()?, work: work.path() };
    let (many, few) = (arguments.parts + FEW, FEW);
    let long = clip(work.path(), many).await?;
    let short = clip(work.path(), few).await?;

    let mut own = Vec::new();
    for _ in 0..arguments.runs {
        own.push(alone(work.path(), arguments.parts)?);
    }
    let own = median(&own);
    println!("a call of the function itself: {own:.2} ms, of {} calls one after another\n", arguments.parts);
    println!("{:<38} {:>12} {:>14}", "archer", "ms a task", "overhead, ms");
    let mut is_met = true;
    for (name, slots, way) in [
        ("local, 1 at a time", 1, Way::Local),
        ("local, 2 at a time", 2, Way::Local),
        ("durable, a worker with 1 slot", 1, Way::Durable),
        ("durable, a worker with 2 slots", 2, Way::Durable),
    ] {
        let mut each = Vec::new();
        for _ in 0..arguments.runs {
            let (base, _) = bench.timed(way, slots, &short, few)?;
            let (all, result) = bench.timed(way, slots, &long, many)?;
            if result != json!(vec![1; many as usize]) {
                return Err(format!("{name}: the result is not what the function makes").into());
            }
            each.push((all.saturating_sub(base)).as_secs_f64() * 1000.0 / arguments.parts as f64);
        }
        let each = median(&each);
        // With two slots two tasks are at work in that time.
        let overhead = each * f64::from(slots) - own;
        is_met &= overhead < TARGET_MS;
        println!("{name:<38} {each:>12.2} {overhead:>14.2}");
    }
    println!(
        "\noverhead: wall time of a task on its slot less the function's own; to be below {TARGET_MS} ms"
    );
    Ok(is_met)
}

#[derive(Clone, Copy)]
enum Way {
    Local,
    Durable,
}

struct Bench<'a> {
    binary: PathBuf,
    work: &'a Path,
}

impl Bench<'_> {
    /// How long a job of so many parts takes, and its result. A durable one has a home and a worker of its own, which is there
    /// before the clock starts.
    fn timed(&self, way: Way, slots: u32, clip: &Path, parts: u64) -> Result<(Duration, Value), AnyError> {
        let job = self.work.join("nothing.json");
        let spec = json!({
            "name": "nothing", "split": { "frames": 1 }, "map": { "argv": FUNCTION },
        });
        std::fs::write(&job, spec.to_string())?;
        let home = tempfile::tempdir_in(self.work)?;
        let (job, clip, slots) = (job.to_string_lossy(), clip.to_string_lossy(), slots.to_string());
        let mut arguments = vec!["archer", "run", &job, &clip];
        let worker = match way {
            Way::Local => {
                arguments.extend(["--local", "--jobs", &slots]);
                None
            }
            Way::Durable => Some(self.worker(home.path(), &slots)?),
        };
        let begun = Instant::now();
        let output = self.command(home.path()).args(&arguments).stderr(Stdio::piped()).output()?;
        let took = begun.elapsed();
        drop(worker);
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{arguments:?} of {parts} parts ended with {}: {why}", output.status).into());
        }
        Ok((took, serde_json::from_slice(&output.stdout)?))
    }

    fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--home").arg(home).args(["--output", "json"]).stdin(Stdio::null());
        command
    }

    /// A worker that has said that it is ready.
    fn worker(&self, home: &Path, slots: &str) -> Result<Guard, AnyError> {
        // The home is made by the first command that works in it.
        let made = self.command(home).args(["runs"]).stdout(Stdio::null()).status()?;
        if !made.success() {
            return Err("the home cannot be made".into());
        }
        let mut child = self
            .command(home)
            .args(["worker", "--cpus", slots])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().ok_or("the worker has no output")?;
        let guard = Guard(child);
        let mut first = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut first)?;
        if first.is_empty() {
            return Err("the worker did not begin".into());
        }
        Ok(guard)
    }
}

/// A child that ends with its owner.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Nothing is lost with it: its run has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The function by itself, in milliseconds a call: a fresh directory, a process, its result read.
fn alone(work: &Path, calls: u64) -> Result<f64, AnyError> {
    let folder = tempfile::tempdir_in(work)?;
    let begun = Instant::now();
    for call in 0..calls {
        let own = folder.path().join(call.to_string());
        std::fs::create_dir(&own)?;
        let status = Command::new(FUNCTION[0]).args(&FUNCTION[1..]).current_dir(&own).status()?;
        if !status.success() || std::fs::read(own.join("result.json"))? != b"1\n" {
            return Err("the function itself fails".into());
        }
    }
    Ok(begun.elapsed().as_secs_f64() * 1000.0 / calls as f64)
}

/// A clip of so many small frames.
async fn clip(work: &Path, frames: u64) -> Result<PathBuf, AnyError> {
    let path = work.join(format!("{frames}.mp4"));
    let ffmpeg = Ffmpeg::find().await?;
    let status = Command::new(ffmpeg.path())
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=25"])
        .args([
            "-frames:v",
            &frames.to_string(),
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
        ])
        .arg(&path)
        .stdin(Stdio::null())
        .status()?;
    if status.success() { Ok(path) } else { Err(format!("ffmpeg could not make a clip: {status}").into()) }
}
