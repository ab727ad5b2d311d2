//! The Numenta Anomaly Benchmark: our streaming scorer on its 58 signals, judged by its own program.
//!
//! The benchmark is not shipped; `--nab DIR` or `NAB` names a checkout. Scores are written beside it, never into it: NAB's `run.py` takes the folders of results
//! and thresholds as options. One threshold for all signals is chosen by NAB's own optimise step, as for every detector on its board. The scorer knows nothing
//! but the values in their order: no time of day, no label, no length.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_conformance::Environment;
use backlot_signals_kernels::novelty::{Memory, Scorer};

/// The score to reach on the standard profile.
const GOAL: f64 = 58.0;

/// The name under which results are filed.
const DETECTOR: &str = "backlot";

/// NAB wants scores from 0 to 1; this novelty becomes ½.
const HALF: f64 = 10.0;

pub(crate) fn run(folder: Option<PathBuf>) -> Result<(), String> {
    let Some(nab) = folder else {
        println!(
            "skipped: the Numenta Anomaly Benchmark is missing; clone https://github.com/numenta/NAB and give its folder with --nab DIR or NAB=DIR"
        );
        return Ok(());
    };
    if !nab.join("run.py").is_file() {
        return Err(format!("{} holds no run.py; give the folder of a checkout of NAB", nab.display()));
    }
    let nab = nab.canonicalize().map_err(|error| error.to_string())?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let home = own.parent().ok_or("this program has no folder")?.join("nab");
    let python = python(&home)?;
    let results = home.join("results");
    let files = detect(&nab, &results)?;
    println!("nab: scored {files} signals; NAB's own program judges them");
    let thresholds = home.join("thresholds.json");
    write(&thresholds, "{}")?;
    let output = Command::new(python)
        .arg(nab.join("run.py"))
        .args(["-d", DETECTOR, "--optimize", "--score", "--normalize", "--skipConfirmation", "--resultsDir"])
        .arg(&results)
        .arg("--thresholdsFile")
        .arg(&thresholds)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!(
            "run.py ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let finals: Vec<&str> = text.lines().filter(|line| line.starts_with("Final score for")).collect();
    for line in &finals {
        println!("nab: {line}");
    }
    let standard = finals.iter().find(|line| line.contains("'standard'"));
    let score = standard.and_then(|line| line.rsplit('=').next()?.trim().parse::<f64>().ok());
    let score = score.ok_or("run.py printed no score of the standard profile")?;
    println!("nab: standard profile {score:.2}; the goal is {GOAL:.0}");
    if score < GOAL { Err(format!("the score of the standard profile is {score:.2}")) } else { Ok(()) }
}

/// Scores every signal of the corpus into `results`, laid out as NAB's own detectors do. Gives their number.
fn detect(nab: &Path, results: &Path) -> Result<usize, String> {
    // The score of saying nothing, which NAB normalises by.
    let null = "null/null";
    for profile in ["standard", "reward_low_FP_rate", "reward_low_FN_rate"] {
        let name = format!("{null}_{profile}_scores.csv");
        write(&results.join(&name), &read(&nab.join("results").join(&name))?)?;
    }
    let windows = read(&nab.join("labels/combined_windows.json"))?;
    let windows: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&windows).map_err(|error| error.to_string())?;
    for file in windows.keys() {
        let table = read(&nab.join("data").join(file))?;
        let mut scorer = Scorer::new(Memory::default()).map_err(|error| error.to_string())?;
        let mut scored = String::from("timestamp,value,anomaly_score,label\n");
        for line in table.lines().skip(1).filter(|line| !line.is_empty()) {
            let value = line.split_once(',').and_then(|(_, value)| value.trim().parse::<f64>().ok());
            let value = value.ok_or_else(|| format!("{file}: `{line}` is no time and value"))?;
            let score = scorer.push(value).map_err(|error| format!("{file}: {error}"))?;
            let score = score.map_or(0.0, |score| score.score / (score.score + HALF));
            scored.push_str(&format!("{},{score},0\n", line.trim()));
        }
        let (folder, name) = file.split_once('/').ok_or_else(|| format!("`{file}` names no folder"))?;
        write(&results.join(DETECTOR).join(folder).join(format!("{DETECTOR}_{name}")), &scored)?;
    }
    Ok(windows.len())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().ok_or("a file has a folder")?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// The Python of the scorer's own environment; `BACKLOT_NAB_VENV` names one that is there.
fn python(home: &Path) -> Result<PathBuf, String> {
    let run = |command: &mut Command| match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} ended with {status}")),
        Err(error) => Err(format!("{command:?} does not start: {error}")),
    };
    if let Some(given) = std::env::var_os("BACKLOT_NAB_VENV") {
        return Environment::at(given.into()).map(|venv| venv.python()).map_err(|error| error.to_string());
    }
    let folder = home.join("venv");
    if Environment::at(folder.clone()).is_err() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    let python = Environment::at(folder).map_err(|error| error.to_string())?.python();
    let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("requirements-nab.txt");
    run(Command::new(&python).args(["-m", "pip", "install", "-q", "-r"]).arg(pins))?;
    Ok(python)
}
