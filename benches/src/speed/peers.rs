//! The peers: Python programs that run the same graphs with Prefect, Luigi and Dask.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::house::AnyError;
use crate::speed::shapes::Shape;

/// A peer's script, and how many tasks it gets.
pub struct Peer {
    /// Its name, and its script's in `benches/peers`.
    pub name: &'static str,
    /// The most tasks of a map it is given: enough for a steady figure per task, few enough to end within a minute.
    pub most_map: usize,
    /// What is installed with pip, as it stands between quotes. Prefect 3.8 does not start with a FastAPI after 0.150.
    pub package: &'static str,
}

/// All of them.
pub const PEERS: [Peer; 3] = [
    Peer { name: "prefect", most_map: 1000, package: "prefect' 'fastapi<0.151" },
    Peer { name: "luigi", most_map: 2000, package: "luigi" },
    Peer { name: "dask", most_map: 10_000, package: "dask[distributed]" },
];

/// What a peer printed.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// Its version.
    pub version: String,
    /// What it keeps and where, in a few words.
    pub note: String,
    /// Seconds of each run.
    pub seconds: Vec<f64>,
    /// The answers of the tasks, from the last run.
    pub answers: Vec<i64>,
}

/// The Python to run them with: `BACKLOT_VENV`'s, or that of `.venv` in the workspace.
pub fn python() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.to_owned();
    let venv = std::env::var_os("BACKLOT_VENV").map_or_else(|| workspace.join(".venv"), PathBuf::from);
    let python = venv.join("bin/python");
    python.exists().then_some(python)
}

impl Peer {
    /// Whether its package is there.
    pub fn is_installed(&self, python: &Path) -> bool {
        let module = if self.name == "dask" { "distributed" } else { self.name };
        let code =
            format!("import importlib.util, sys; sys.exit(importlib.util.find_spec({module:?}) is None)");
        Command::new(python).args(["-c", &code]).status().is_ok_and(|status| status.success())
    }

    /// Runs a graph `runs` times in one process of the peer (its start-up is not counted) and gives what it printed.
    pub fn run(&self, python: &Path, home: &Path, shape: Shape, runs: usize) -> Result<Answer, AnyError> {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(format!("{}_noop.py", self.name));
        let (first, second) = match shape {
            Shape::Map { tasks } => (tasks, 0),
            Shape::Dag { layers, width } => (layers, width),
        };
        let log = std::fs::File::create(home.join(format!("{}.log", self.name)))?;
        let output = Command::new(python)
            .arg(script)
            .args([shape.name(), &first.to_string(), &second.to_string(), &runs.to_string()])
            .arg(home)
            .current_dir(home)
            .env("HOME", home)
            .stdin(Stdio::null())
            .stderr(log)
            .output()?;
        if !output.status.success() {
            let log = std::fs::read_to_string(home.join(format!("{}.log", self.name))).unwrap_or_default();
            let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
            return Err(format!("{} ended with {}: {last}", self.name, output.status).into());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().rev().find(|line| line.starts_with('{')).ok_or("it printed no figures")?;
        Ok(serde_json::from_str(line)?)
    }
}
