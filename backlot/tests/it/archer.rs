//! Archer as a user runs it: through crashes of a worker and the server, here and on workers, with functions that misbehave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::premiere::{clip, files, venv};
use crate::support::{Answer, Lot, Service, finish};

/// The longest that a test waits for what comes about in other processes: a lease has to run out.
const PATIENCE: Duration = Duration::from_secs(120);

/// Parts of the job: 250 frames of the clip, 25 at a time.
const PARTS: usize = 10;
/// Parts that end by themselves; the others wait until they may.
const FREE: usize = 4;

/// A lot whose binary finds the ffmpeg of the tests.
struct Studio {
    lot: Lot,
    clip: PathBuf,
}

impl Studio {
    fn new() -> Option<Self> {
        Some(Self { clip: clip()?, lot: Lot::new() })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.lot.command(arguments);
        if let Some(venv) = venv() {
            command.env("BACKLOT_VENV", venv);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        finish(self.command(arguments))
    }

    fn service(&self, arguments: &[&str]) -> Service {
        Service::start(self.command(&[arguments, &["--output", "json"]].concat()))
    }

    fn up(&self) -> Service {
        self.service(&["up", "--bind", "127.0.0.1:0", "--no-worker"])
    }

    fn worker(&self, name: &str) -> Service {
        self.service(&["worker", "--cpus", "1", "--name", name])
    }

    /// Submits a job; gives the run's id.
    fn submit(&self, job: &str) -> String {
        let clip = self.clip.to_str().unwrap();
        let answer = self.run(&["archer", "run", job, clip, "--detach", "--output", "json"]).ends(0);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    fn steps(&self, run: &str) -> Value {
        self.run(&["runs", "show", run, "--output", "json"]).ends(0).json()["steps"].clone()
    }

    fn mapped(&self, run: &str) -> i64 {
        let steps = self.steps(run);
        let map = steps.as_array().unwrap().iter().find(|step| step["name"] == "map").cloned();
        map.and_then(|map| map["tasks"]["succeeded"].as_i64()).unwrap_or(0)
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::yield_now();
    }
}

/// A job that notes each call of map in `calls` and lets the parts after the first wait for the file `go`. What it makes of a part
/// are the sums of its frames, as a result and as a file.
fn job(lot: &Lot) -> String {
    let (calls, go) = (lot.path().join("calls"), lot.path().join("go"));
    std::fs::create_dir_all(&calls).unwrap();
    let script = format!(
        r#"set -e
part=$(sed 's/.*"part":{{"index":\([0-9]*\).*/\1/' task.json)
mktemp "{calls}/$part.XXXXXX" >/dev/null
if [ "$part" -ge {FREE} ]; then until [ -e "{go}" ]; do sleep 0.05; done; fi
for frame in frames/*; do echo "$frame $(cksum <"$frame")"; done >out/sums
printf '{{"part": %s, "sum": "%s"}}' "$part" "$(cksum <out/sums)" >result.json
"#,
        calls = calls.display(),
        go = go.display()
    );
    lot.file("map.sh", script);
    lot.file("collect.sh", "cat parts/*/sums >out/all; cp task.json result.json\n");
    lot.file(
        "sums.toml",
        "name = 'sums'\nsplit = { frames = 25 }\nmap = { argv = ['sh', 'map.sh'] }\ncollect = { argv = ['sh', 'collect.sh'] }\n\
         [files]\n'map.sh' = 'map.sh'\n'collect.sh' = 'collect.sh'\n\
         [frames]\nencoding = 'raw'\nformat = 'gray'\nscale = { width = 64 }\nevery = 5\n",
    )
}

/// How often map was called for each part.
fn calls(lot: &Lot) -> BTreeMap<usize, usize> {
    let mut calls = BTreeMap::new();
    for call in std::fs::read_dir(lot.path().join("calls")).unwrap().flatten() {
        let name = call.file_name().into_string().unwrap();
        let part = name.split_once('.').unwrap().0.parse().unwrap();
        *calls.entry(part).or_default() += 1;
    }
    calls
}

#[test]
fn a_killed_worker_and_a_killed_server_cost_no_finished_part() {
    let Some(studio) = Studio::new() else { return };
    let lot = &studio.lot;
    let job = job(lot);
    let server = studio.up();
    let run = studio.submit(&job);
    let (first, second) = (studio.worker("first"), studio.worker("second"));
    // The free parts are done, and each worker holds one of the others.
    until("the free parts and one more of each worker", || {
        studio.mapped(&run) >= FREE as i64 && calls(lot).len() >= FREE + 2
    });
    first.kill();
    server.kill();
    let before = calls(lot);
    assert_eq!(before.len(), FREE + 2, "{before:?}");

    std::fs::write(lot.path().join("go"), "").unwrap();
    let server = studio.up();
    let third = studio.worker("third");
    let followed = studio.run(&["runs", "follow", &run, "--output", "json"]).ends(0);
    assert_eq!(followed.json()["state"], "succeeded");
    let after = calls(lot);
    assert_eq!(after.len(), PARTS);
    for (part, count) in &after {
        // Only the part that the killed worker held is called again.
        let most = if before.contains_key(part) && *part >= FREE { 2 } else { 1 };
        assert!(*count <= most, "part {part} was called {count} times: {after:?}");
    }
    assert!(after.values().sum::<usize>() <= PARTS + 1, "{after:?}");

    // The same bytes as a run in one process that nobody disturbed.
    let (shared, alone) = (lot.path().join("shared"), lot.path().join("alone"));
    studio.run(&["archer", "result", &run, "--out", shared.to_str().unwrap()]).ends(0);
    let clip = studio.clip.to_str().unwrap();
    studio.run(&["archer", "run", "--local", &job, clip, "--out", alone.to_str().unwrap()]).ends(0);
    let (shared, alone) = (files(&shared), files(&alone));
    assert!(shared.contains_key(Path::new("result.json")) && shared.len() == 2, "{:?}", shared.keys());
    assert!(shared == alone, "the local run has other bytes");
    drop((server, second, third));
}

#[test]
fn functions_that_hang_fork_or_exhaust_memory_fail_alone() {
    let Some(studio) = Studio::new() else { return };
    // One kind of misbehaviour for each part, and one part that behaves.
    let script = r#"part=$(sed 's/.*"part":{"index":\([0-9]*\).*/\1/' task.json)
case $part in
0) trap "" TERM; sleep 1000;;
1) while :; do sleep 1000 & i=$((i+1)); [ $i -ge 60 ] && wait; done;;
2) exec awk 'BEGIN { s = "xxxxxxxx"; while (1) s = s s }';;
3) echo '"well"' >result.json;;
esac
"#;
    studio.lot.file("bad.sh", script);
    let job = studio.lot.file(
        "bad.toml",
        "name = 'bad'\nsplit = { frames = 63 }\non_failure = 'collect'\nmap = { argv = ['sh', 'bad.sh'] }\n\
         collect = { argv = ['cp', 'task.json', 'result.json'] }\n[files]\n'bad.sh' = 'bad.sh'\n\
         [limits]\nretries = 0\ntimeout = '4s'\nprocesses = 20\nmemory = '100MiB'\n",
    );
    let worker_of_itself =
        studio.command(&["archer", "run", &job, studio.clip.to_str().unwrap(), "--output", "json"]);
    let made = finish(worker_of_itself).ends(0).json();
    let results = made["results"].as_array().unwrap();
    assert_eq!(results.len(), 4, "{made}");
    for (part, word) in [(0, "took longer than 4s"), (1, "processes, more than 20"), (2, "map of part 2")] {
        let why = results[part]["failed"].as_str().unwrap_or_default();
        assert!(why.contains(word), "part {part}: {}", results[part]);
    }
    assert_eq!(results[3]["result"], json!("well"));
}
