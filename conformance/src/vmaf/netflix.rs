//! Netflix's own Python package, with its tests, on our program.
//!
//! The package calls libvmaf's program by a path that a module `externals` beside it may set. So the package is copied from
//! a checkout, the module written, and what it names is this program again, with [`SCORE`] before the command line. Tests
//! that need clips which the checkout does not have try to load them from the network and fail; they are told apart.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What stands before the command line when a program of this crate is to score.
pub const SCORE: &str = "score";
/// Names a Python that has what Netflix's package requires, and pytest.
const PYTHON_VARIABLE: &str = "BACKLOT_VMAF_PYTHON";
/// The tests that call the program.
const TESTS: [&str; 3] =
    ["test/vmafexec_test.py", "test/vmafexec_feature_extractor_test.py", "test/cambi_test.py"];
/// What the failure of a test says that could not load its clip.
const MISSING: [&str; 4] = ["urlopen error", "HTTP Error", "URLError", "error downloading"];

/// Runs the tests of the checkout `folder`; what came of them.
///
/// # Errors
/// A test that fails though it has its clips; what is missing, with the mend.
pub fn netflix(folder: &Path) -> Result<String, String> {
    let package = folder.join("python/vmaf");
    if !package.join("config.py").is_file() {
        return Err(format!("{}: not a checkout of Netflix/vmaf; name its folder", folder.display()));
    }
    let copy = tempfile::tempdir().map_err(|error| error.to_string())?;
    prepare(folder, copy.path()).map_err(|error| format!("{}: {error}", folder.display()))?;
    let python = std::env::var_os(PYTHON_VARIABLE).map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let report = copy.path().join("report.xml");
    let output = Command::new(&python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .arg(format!("--junitxml={}", report.display()))
        .args(TESTS)
        .current_dir(copy.path().join("python"))
        .env("PYTHONPATH", ".")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", python.display()))?;
    let Ok(text) = fs::read_to_string(&report) else {
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "pytest of {} did not run: {}; make an environment with `pip install pytest -r {}/python/requirements.txt` and name its Python in {PYTHON_VARIABLE}",
            python.display(),
            said.lines().last().unwrap_or_default(),
            folder.display()
        ));
    };
    let cases = cases(&text);
    let passed = cases.iter().filter(|case| case.outcome == Outcome::Passed).count();
    let missing = cases.iter().filter(|case| case.outcome == Outcome::NoClip).count();
    let failed: Vec<&str> =
        cases.iter().filter(|case| case.outcome == Outcome::Failed).map(|case| case.name.as_str()).collect();
    let told = format!(
        "Netflix's tests: {passed} passed, {} failed; {missing} could not load their clips",
        failed.len()
    );
    if failed.is_empty() && passed > 0 { Ok(told) } else { Err(format!("{told}\n  {}", failed.join("\n  "))) }
}

/// Copies the package and its tests, and sets the program.
fn prepare(folder: &Path, copy: &Path) -> std::io::Result<()> {
    let folder = fs::canonicalize(folder)?;
    for part in ["python/vmaf", "python/test"] {
        copy_sources(&folder.join(part), &copy.join(part))?;
    }
    for part in ["model", "resource", "python/test/resource"] {
        if folder.join(part).exists() {
            std::os::unix::fs::symlink(folder.join(part), copy.join(part))?;
        }
    }
    let program = copy.join("vmaf");
    let own = std::env::current_exe()?;
    fs::write(&program, format!("#!/bin/sh\nexec '{}' {SCORE} \"$@\"\n", own.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let externals = format!("VMAFEXEC_PATH = {:?}\n", program.display().to_string());
    fs::write(copy.join("python/vmaf/externals.py"), externals)
}

/// Copies a folder with all but its resources.
fn copy_sources(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            let is_left = ["resource", "__pycache__"].iter().any(|name| entry.file_name() == *name);
            if !is_left || from.ends_with("tools") {
                copy_sources(&entry.path(), &target)?;
            }
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    NoClip,
}

#[derive(Debug, PartialEq, Eq)]
struct Case {
    name: String,
    outcome: Outcome,
}

/// The test cases of a JUnit report; skipped ones are not among them.
fn cases(report: &str) -> Vec<Case> {
    let mut found = Vec::new();
    for part in report.split("<testcase ").skip(1) {
        let name = part.split(" name=\"").nth(1).or_else(|| part.strip_prefix("name=\""));
        let name = name.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned();
        let body = part.split("</testcase>").next().unwrap_or_default();
        let is_alone = body.split('>').next().is_some_and(|tag| tag.ends_with('/'));
        let outcome = if is_alone || !(body.contains("<failure") || body.contains("<error")) {
            if body.contains("<skipped") {
                continue;
            }
            Outcome::Passed
        } else if MISSING.iter().any(|sign| body.contains(sign)) {
            Outcome::NoClip
        } else {
            Outcome::Failed
        };
        // A test without its clip may fail again where it is taken down.
        let is_known = found.iter().any(|case: &Case| case.name == name && case.outcome == Outcome::NoClip);
        if !(is_known && body.contains("teardown")) {
            found.push(Case { name, outcome });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_told_apart() {
        let report = concat!(
            "<testsuites><testsuite tests=\"4\"><testcase classname=\"a\" name=\"one\" time=\"1\" />",
            "<testcase classname=\"a\" name=\"two\"><failure message=\"AssertionError: 1 != 2\">x</failure></testcase>",
            "<testcase classname=\"a\" name=\"three\"><error message=\"x\">&lt;urlopen error&gt;</error></testcase>",
            "<testcase classname=\"a\" name=\"three\"><error message=\"failed on teardown\">x</error></testcase>",
            "<testcase classname=\"a\" name=\"four\"><skipped /></testcase></testsuite></testsuites>"
        );
        let found = cases(report);
        let shown: Vec<(&str, Outcome)> =
            found.iter().map(|case| (case.name.as_str(), case.outcome)).collect();
        assert_eq!(shown, [("one", Outcome::Passed), ("two", Outcome::Failed), ("three", Outcome::NoClip)]);
    }

    #[test]
    fn another_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(netflix(folder.path()).unwrap_err().contains("not a checkout"));
    }
}
