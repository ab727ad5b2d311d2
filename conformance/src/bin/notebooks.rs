//! papermill's and scrapbook's own tests against our binary, and every notebook of papermill's run by both and compared.
//!
//! `cargo xtask conformance notebooks [--quick]`. Needs papermill 2.7.0 and ipykernel in the Python environment, which also
//! carries the tests. `BACKLOT_BIN` names a built binary; without it one is built in release.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use backlot_conformance::Environment;
use serde_json::{Value, json};

/// A part of another's tests, the parts of our shim that it needs, and what is left out, with the reason.
struct Suite {
    /// The module of the tests.
    module: &'static str,
    /// The plugin that puts us in the other's place.
    plugin: &'static str,
    /// Parts of the plugin.
    shim: &'static str,
    /// pytest's `-k`.
    select: &'static str,
    left_out: &'static [(&'static str, &'static str)],
}

const PAPERMILL: &str = "backlot_shim";

const SUITES: [Suite; 5] = [
    Suite {
        module: "papermill.tests.test_translators",
        plugin: PAPERMILL,
        shim: "",
        select: "not find_translator and not unknown_types and not must_implement",
        left_out: &[
            ("test_find_translator_* (3)", "papermill's registry of Python objects"),
            ("test_translate_uses_str_representation_of_unknown_types", "a Python object as a parameter"),
            ("test_translator_must_implement_* (3)", "Python's abstract base class"),
        ],
    },
    Suite {
        module: "papermill.tests.test_parameterize",
        plugin: PAPERMILL,
        shim: "parameterize",
        select: "not TestBuiltin and not returns_none and not node_returns_input and not custom_comment",
        left_out: &[
            ("TestBuiltinParameters (6)", "a Python dictionary of Python dates"),
            (
                "test_path_of_none_returns_none, test_path_of_notebook_node_returns_input",
                "Python objects as paths",
            ),
            ("test_custom_comment", "papermill's command line has no comment"),
        ],
    },
    Suite {
        module: "papermill.tests.test_cli",
        plugin: PAPERMILL,
        shim: "",
        select: "test_pipe or test_stdout_file",
        left_out: &[("TestCLI and the rest", "they replace papermill's Python functions with mocks")],
    },
    Suite {
        module: "papermill.tests.test_execute",
        plugin: PAPERMILL,
        shim: "engine",
        select: "not start_timeout and not TestBrokenNotebook2",
        left_out: &[
            (
                "test_start_timeout, test_default_start_timeout",
                "replace papermill's Python client with a mock",
            ),
            (
                "TestBrokenNotebook2",
                "fails with papermill's own engine as well: the kernel orders its outputs otherwise",
            ),
        ],
    },
    Suite {
        module: "scrapbook.tests",
        plugin: "scrapbook_shim",
        shim: "",
        select: "not (tinypng and metadata1) \
                 and not (test_pandas_encode_and_decode and test_input3) \
                 and not (test_unsupported_arrow_conversions and test_input0) and not test_papermill_dataframe \
                 and not test_cell_timing and not test_execution_counts and not test_papermill_metrics",
        left_out: &[
            (
                "test_glue_display_*[tinypng] (2), test_pandas_encode_and_decode[3], test_unsupported_arrow_conversions[0], \
                 test_papermill_dataframe (2)",
                "fail on its own fixtures as well, with today's pandas, Arrow and IPython",
            ),
            (
                "test_cell_timing, test_execution_counts, test_papermill_metrics (2)",
                "ask for the very times and cells of a run in 2018",
            ),
        ],
    },
];

/// Cases of the comparison that differ for a reason.
const EXPECTED: [(&str, &str); 2] = [
    ("binder", "the notebook runs papermill itself and shows its progress bar, which has times in it"),
    (
        "notimplemented_translator",
        "no such kernel: papermill records cells that never ran as completed, we as pending and the run as failed",
    ),
];

/// A notebook of each language: its kernel, the language, a cell with a parameter, a cell that prints its double.
const LANGUAGES: [(&str, &str, &str, &str); 3] = [
    ("python3", "python", "n = 1", "print(n * 2)"),
    ("ir", "R", "n = 1", "cat(n * 2)"),
    ("bash", "bash", "n=1", "echo $((n * 2))"),
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

type AnyError = Box<dyn std::error::Error>;

fn run() -> Result<bool, AnyError> {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let environment = Environment::find()?;
    environment.add_bash_kernel();
    let python = environment.python();
    let binary = binary()?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks");
    let mut is_good = true;
    println!("{:32} {:>6} {:>6} {:>8}", "papermill's, scrapbook's own tests", "passed", "failed", "left out");
    for suite in &SUITES {
        let counts = pytest(&python, &scripts, &binary, suite)?;
        is_good &= counts.failed == 0 && counts.passed > 0;
        println!("{:32} {:>6} {:>6} {:>8}", suite.module, counts.passed, counts.failed, counts.left_out);
        for (name, why) in suite.left_out {
            println!("    without {name}: {why}");
        }
        for line in &counts.failures {
            println!("    {line}");
        }
    }
    is_good &= scraps(&python, &scripts, &binary)?;
    is_good &= languages(&python, &binary)?;
    if is_quick { Ok(is_good) } else { Ok(compare(&python, &scripts, &binary)? && is_good) }
}

struct Counts {
    passed: u64,
    failed: u64,
    left_out: u64,
    failures: Vec<String>,
}

fn pytest(python: &Path, scripts: &Path, binary: &Path, suite: &Suite) -> Result<Counts, AnyError> {
    let ended = Command::new(python)
        .args([
            "-m",
            "pytest",
            "-q",
            "-p",
            suite.plugin,
            "-p",
            "no:cacheprovider",
            "--no-header",
            "--tb=line",
        ])
        .args(["-k", suite.select, "--pyargs", suite.module])
        .env("PYTHONPATH", scripts)
        .env("PYTHONWARNINGS", "ignore")
        .env("BACKLOT", binary)
        .env("BACKLOT_SHIM", suite.shim)
        .env("PATH", path(python))
        .env("VIRTUAL_ENV", python.ancestors().nth(2).unwrap_or(python))
        .output()?;
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    let last = text.lines().rev().find(|line| line.contains(" in ")).unwrap_or_default().replace(',', "");
    let words: Vec<&str> = last.split_whitespace().collect();
    let count = |name: &str| {
        let at = words.iter().position(|word| word.trim_end_matches('s') == name);
        at.and_then(|at| words.get(at.checked_sub(1)?)?.parse().ok()).unwrap_or(0)
    };
    let failures = text.lines().filter(|line| line.starts_with("FAILED") || line.starts_with("ERROR"));
    Ok(Counts {
        passed: count("passed"),
        failed: count("failed") + count("error"),
        left_out: count("deselected"),
        failures: failures.map(str::to_owned).collect(),
    })
}

/// What scrapbook glues in a notebook that we run is read by both alike, and so are the values of the premiere's report.
fn scraps(python: &Path, scripts: &Path, binary: &Path) -> Result<bool, AnyError> {
    let ended = Command::new(python)
        .arg(scripts.join("scraps.py"))
        .arg(binary)
        .env("PATH", path(python))
        .env("VIRTUAL_ENV", python.ancestors().nth(2).unwrap_or(python))
        .output()?;
    print!("\n{}", String::from_utf8_lossy(&ended.stdout));
    eprint!("{}", String::from_utf8_lossy(&ended.stderr));
    Ok(ended.status.success())
}

/// A parameter goes in and its double comes out, in each language whose kernel is installed.
fn languages(python: &Path, binary: &Path) -> Result<bool, AnyError> {
    println!("\nnotebooks in other languages, with a parameter");
    let folder = std::env::temp_dir().join(format!("backlot-conformance-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut is_good = true;
    for (kernel, language, parameter, code) in LANGUAGES {
        let cell = |source: &str, tags: &[&str]| {
            json!({
                "cell_type": "code", "metadata": { "tags": tags }, "source": source, "outputs": [], "execution_count": null,
            })
        };
        let notebook = json!({
            "cells": [cell(parameter, &["parameters"]), cell(code, &[])],
            "metadata": { "kernelspec": { "name": kernel, "language": language, "display_name": language } },
            "nbformat": 4, "nbformat_minor": 4,
        });
        let (input, output) = (folder.join("in.ipynb"), folder.join("out.ipynb"));
        std::fs::write(&input, notebook.to_string())?;
        let _ = std::fs::remove_file(&output);
        let ended = Command::new(binary)
            .args(["notebook", "run", "-p", "n", "21", "--log-level", "ERROR"])
            .args([&input, &output])
            .env("PATH", path(python))
            .env("VIRTUAL_ENV", python.ancestors().nth(2).unwrap_or(python))
            .output()?;
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        let verdict = if told.contains("there is no kernel") {
            "its kernel is not installed".to_owned()
        } else {
            let written = std::fs::read(&output).unwrap_or_default();
            let written: Value = serde_json::from_slice(&written).unwrap_or_default();
            let text = written["cells"][2]["outputs"][0]["text"].as_array().cloned().unwrap_or_default();
            let text: String = text.iter().filter_map(Value::as_str).collect();
            let is_right = ended.status.success() && text.trim() == "42";
            is_good &= is_right;
            if is_right { "right".to_owned() } else { format!("WRONG: {text:?} {told}") }
        };
        println!("{language:32} {verdict}");
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(is_good)
}

fn compare(python: &Path, scripts: &Path, binary: &Path) -> Result<bool, AnyError> {
    let find = "import papermill.tests, os; print(os.path.join(os.path.dirname(papermill.tests.__file__), 'notebooks'))";
    let found = Command::new(python).args(["-c", find]).output()?;
    let fixtures = String::from_utf8(found.stdout)?.trim().to_owned();
    let output = Command::new(python).arg(scripts.join("compare.py")).arg(binary).arg(fixtures).output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line)?;
        let name = case["name"].as_str().unwrap_or_default();
        let has_same_code = case["codes"][0] == case["codes"][1];
        let verdict = if has_same_code && case["equal"] == true {
            "equal"
        } else if has_same_code && case["joined"] == true {
            "equal with streams joined"
        } else if EXPECTED.iter().any(|(known, _)| *known == name) {
            "expected to differ"
        } else {
            lines.push(format!("DIFFERS {name}: exit codes {}\n{}", case["codes"], difference(&case)));
            "different"
        };
        *tally.entry(verdict).or_default() += 1;
    }
    println!("\nnotebooks run by papermill and by us; times, new ids, addresses and process ids masked");
    for (verdict, count) in &tally {
        println!("{verdict:32} {count:>6}");
    }
    for (name, why) in EXPECTED {
        println!("    expected {name}: {why}");
    }
    for line in &lines {
        println!("{line}");
    }
    Ok(lines.is_empty() && tally.get("equal").is_some_and(|equal| *equal > 50))
}

fn difference(case: &Value) -> String {
    let lines = case["difference"].as_array().into_iter().flatten().filter_map(Value::as_str);
    lines.collect::<Vec<_>>().join("\n")
}

/// The environment's programs first.
fn path(python: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = python.parent().map(Path::to_owned);
    let folders: Vec<PathBuf> = own.into_iter().chain(std::env::split_paths(&path)).collect();
    std::env::join_paths(folders).unwrap_or(path)
}

/// The binary that is judged.
fn binary() -> Result<PathBuf, AnyError> {
    if let Some(given) = std::env::var_os("BACKLOT_BIN") {
        return Ok(std::fs::canonicalize(given)?);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "--package", "backlot", "--bin", "backlot"];
    let built = Command::new(cargo).args(build).status()?;
    let beside = std::env::current_exe()?.with_file_name("backlot");
    if built.success() && beside.exists() {
        return Ok(beside);
    }
    Err("the binary cannot be built; name one with BACKLOT_BIN".into())
}
