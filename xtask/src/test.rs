//! `cargo xtask test`: every test of the workspace, and one true line of counts at the end.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{fs, io};

use crate::failure::Failure;
use crate::process::{capture, cargo, does_not_start, run as run_to_end};
use crate::setup;
use crate::tally::{Binaries, CargoTest, Pytest, Tally};
use crate::workspace::Workspace;

/// Where nobody watches, a test program that hangs is ended after a quarter of an hour, and the others still run.
const LIMITED: [&str; 2] =
    ["--config", "target.'cfg(target_os = \"linux\")'.runner = ['timeout', '--kill-after=10', '900']"];

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    /// Without setup, doc tests and the Python package.
    is_quick: bool,
    /// Arguments of `cargo test` before its `--`.
    cargo: Vec<String>,
    /// Arguments of the test programs, after the `--`.
    libtest: Vec<String>,
}

impl Request {
    fn parse(args: &[String]) -> Request {
        let is_quick = args.first().is_some_and(|first| first == "--quick");
        let args = if is_quick { &args[1..] } else { args };
        let split = args.iter().position(|arg| arg == "--");
        let (cargo, libtest) = split.map_or((args, &[][..]), |at| (&args[..at], &args[at + 1..]));
        Request { is_quick, cargo: cargo.to_vec(), libtest: libtest.to_vec() }
    }

    /// Whether it is the whole workspace, rather than a part that the user picked.
    fn is_whole(&self) -> bool {
        self.cargo.is_empty() && self.libtest.is_empty()
    }

    /// The arguments of `cargo test` that choose what is built.
    fn selection(&self) -> Vec<&str> {
        let mut selection = vec!["test"];
        let names_packages = |arg: &String| arg.starts_with("-p") || arg.starts_with("--package");
        if !self.cargo.iter().any(names_packages) {
            selection.push("--workspace");
        }
        if self.is_quick {
            selection.extend(["--lib", "--bins", "--tests"]);
        }
        selection.extend(self.cargo.iter().map(String::as_str));
        selection
    }
}

/// Runs the tests; an error if one failed.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<(), Failure> {
    let request = Request::parse(args);
    if !request.is_quick
        && let Err(failure) = phase("setup", || setup::everything(workspace))
    {
        if Workspace::is_ci() {
            return Err(failure);
        }
        // A developer may be unable to install; the tests that can run do, and the others say what they miss.
        eprintln!("warning: {}; tests that need it will be skipped", failure.message);
    }
    // Built first and on its own, because a build shows its progress only on a terminal.
    let binaries = phase("build", || build(workspace, &request))?;
    let mut tallies = vec![phase("rust tests", || rust_tests(workspace, &request, binaries))?];
    let package = workspace.root.join("clients/python");
    if request.is_whole() && !request.is_quick && package.join("pyproject.toml").is_file() {
        tallies.push(phase("python tests", || python_tests(workspace, &package))?);
    }
    close(tallies)
}

fn build(workspace: &Workspace, request: &Request) -> Result<Binaries, Failure> {
    let mut build = cargo();
    build.args(request.selection()).args(["--no-run", "--message-format=json-render-diagnostics"]);
    capture(build.current_dir(&workspace.root)).map(|messages| Binaries::parse(&messages))
}

fn rust_tests(workspace: &Workspace, request: &Request, binaries: Binaries) -> Result<Tally, Failure> {
    let mut tests = cargo();
    tests.args(request.selection()).arg("--no-fail-fast");
    if Workspace::is_ci() {
        tests.args(LIMITED);
    }
    tests.args(["--", "--show-output"]).args(&request.libtest);
    if io::stdout().is_terminal() {
        tests.arg("--color=always").env("CARGO_TERM_COLOR", "always");
    }
    tests.current_dir(&workspace.root);
    prepare(workspace, &mut tests);
    let mut reader = CargoTest::new(binaries);
    let is_success = follow(&mut tests, |line| reader.line(line))?;
    Ok(reader.finish(is_success))
}

/// Installs the Python package, and runs its tests on it.
fn python_tests(workspace: &Workspace, package: &Path) -> Result<Tally, Failure> {
    let python = workspace.venv.join("bin/python");
    if !python.exists() {
        let mut tally = Tally::default();
        tally.skipped += 1;
        tally.skips.push("python: no Python environment; run `cargo xtask setup`".to_owned());
        return Ok(tally);
    }
    install_package(workspace, package)?;
    let mut tests = Command::new(&python);
    // Not from the package's folder as the first on the path: the installed wheel is what is tested.
    tests.args(["-P", "-m", "pytest", "-rsfE", "-p", "no:cacheprovider"]).current_dir(package);
    prepare(workspace, &mut tests);
    let mut reader = Pytest::default();
    let is_success = follow(&mut tests, |line| {
        reader.line(line);
        true
    })?;
    Ok(reader.finish(is_success))
}

/// Builds the Python package's wheel and installs it as a user would.
pub(crate) fn install_package(workspace: &Workspace, package: &Path) -> Result<(), Failure> {
    let python = workspace.venv.join("bin/python");
    let wheels = workspace.venv.join("wheels");
    if wheels.exists() {
        fs::remove_dir_all(&wheels).map_err(Failure::at(&wheels))?;
    }
    let mut build = Command::new(&python);
    build.args(["-m", "maturin", "build", "--quiet", "--interpreter"]).arg(&python).arg("--out").arg(&wheels);
    run_to_end(build.current_dir(package))?;
    let wheel = only_wheel(&wheels)?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    install.args(["--force-reinstall", "--no-deps"]).arg(wheel).env("PIP_ROOT_USER_ACTION", "ignore");
    run_to_end(&mut install)
}

fn only_wheel(folder: &Path) -> Result<std::path::PathBuf, Failure> {
    let entries = fs::read_dir(folder).map_err(Failure::at(folder))?;
    let mut wheels = entries.flatten().map(|entry| entry.path());
    let wheel = wheels.find(|file| file.extension() == Some(OsStr::new("whl")));
    wheel.ok_or_else(|| Failure::new(format!("maturin left no wheel in {}", folder.display())))
}

/// What every runner gets: the outside parts, and whether they may be missing.
fn prepare(workspace: &Workspace, tests: &mut Command) {
    setup::pass_on(&workspace.venv, tests);
    if Workspace::is_ci() {
        tests.env("BACKLOT_REQUIRE_ALL", "1");
    }
    tests.env("RUST_BACKTRACE", "1");
}

/// Runs a program whose output and errors, in their true order, go to `line`, and are shown where that says so.
fn follow(command: &mut Command, mut line: impl FnMut(&str) -> bool) -> Result<bool, Failure> {
    let broken = |error: io::Error| Failure::new(format!("a pipe broke: {error}"));
    let (output, input) = io::pipe().map_err(broken)?;
    command.stdin(Stdio::null()).stdout(input.try_clone().map_err(broken)?).stderr(input);
    let mut child = command.spawn().map_err(|error| does_not_start(command, &error))?;
    // The command holds the writing ends; the reader would wait for ever for the last of them to close.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    let mut shown = io::stdout().lock();
    let mut blank = 0;
    while output.read_until(b'\n', &mut bytes).map_err(broken)? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        // What is not shown leaves gaps; of several empty lines in a row one is enough.
        if line(text) && (!text.is_empty() || blank == 0) {
            writeln!(shown, "{text}").map_err(broken)?;
            blank = usize::from(text.is_empty());
        }
        bytes.clear();
    }
    Ok(child.wait().map_err(broken)?.success())
}

/// Tells how long a part took.
fn phase<T>(name: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let start = Instant::now();
    let result = work();
    println!("-- {name}: {:.1} s", start.elapsed().as_secs_f64());
    result
}

/// Lists what did not run and what failed, and ends with the line of counts.
fn close(tallies: Vec<Tally>) -> Result<(), Failure> {
    let mut all = Tally::default();
    for tally in tallies {
        all.passed += tally.passed;
        all.failed += tally.failed;
        all.skipped += tally.skipped;
        all.skips.extend(tally.skips);
        all.failures.extend(tally.failures);
    }
    println!();
    for skip in &all.skips {
        println!("skipped: {skip}");
    }
    for failure in &all.failures {
        println!("failed: {failure}");
    }
    println!("{}", all.summary());
    if all.failed == 0 { Ok(()) } else { Err(Failure::new("tests failed; they are listed above")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Request {
        Request::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_reach_the_right_program() {
        assert_eq!(request("").selection(), ["test", "--workspace"]);
        assert!(request("").is_whole());
        assert_eq!(request("--quick").selection(), ["test", "--workspace", "--lib", "--bins", "--tests"]);
        let picked = request("-p backlot-store -- folder --test-threads=1");
        assert_eq!(picked.selection(), ["test", "-p", "backlot-store"]);
        assert_eq!(picked.libtest, ["folder", "--test-threads=1"]);
        assert!(!picked.is_whole());
    }

    #[test]
    fn output_and_errors_keep_their_order() {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo 1; echo 2 >&2; printf 3; exit 4"]);
        let is_success = follow(&mut command, |line| {
            lines.push(line.to_owned());
            false
        });
        assert!(!is_success.unwrap());
        assert_eq!(lines, ["1", "2", "3"]);
    }

    #[test]
    fn a_failure_fails_the_command() {
        let mut bad = Tally { passed: 3, ..Tally::default() };
        assert!(close(vec![Tally { passed: 3, ..Tally::default() }]).is_ok());
        bad.fail("x");
        assert_eq!(close(vec![Tally::default(), bad]).unwrap_err().code, 1);
    }
}
