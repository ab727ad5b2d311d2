//! `cargo xtask fuzz`: lets libFuzzer look for bytes that break a parser, and keeps the inputs that reach something new.
//!
//! It needs no nightly compiler: coverage comes from LLVM's pass, which the stable compiler runs when asked. What is built this
//! way goes to a target folder of its own, so that nothing else is built anew.

use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::process::{capture, cargo, ended_badly, run as run_to_end, status};
use crate::workspace::{Workspace, target_directory};

/// How long a target is fuzzed unless the caller says.
const SECONDS: u64 = 60;
/// An input that takes longer has found something: those that are kept take microseconds.
const SLOWEST_INPUT_SECONDS: u64 = 10;
/// A process that grows beyond this has found something.
const MOST_MEGABYTES: u64 = 2048;
/// Longer inputs slow the search more than they help it.
const LONGEST_INPUT: usize = 4096;

/// What the compiler adds so that libFuzzer sees which code an input reaches.
const COVERAGE: &str = "--cfg fuzzing -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Lists the targets, or fuzzes one for some seconds and keeps what it found.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<(), Failure> {
    let (name, seconds) = match args {
        [] => return run_to_end(&mut corpus_program(workspace, &["list"])),
        [name] => (name, SECONDS),
        [name, seconds] => (name, whole(seconds)?),
        _ => return Err(Failure::usage("usage: cargo xtask fuzz [TARGET [SECONDS]]")),
    };
    let host = host()?;
    let folder = target_directory(workspace)?.join("fuzz");
    // With a target that is named, flags are for it alone and not for build scripts and macros.
    let build = [
        "build",
        "--release",
        "--package",
        "backlot-fuzz",
        "--features",
        "libfuzzer",
        "--bin",
        "fuzz",
        "--target",
        &host,
    ];
    run_to_end(
        cargo()
            .args(build)
            .arg("--target-dir")
            .arg(&folder)
            .env("RUSTFLAGS", COVERAGE)
            .current_dir(&workspace.root),
    )?;
    let program = folder.join(&host).join("release").join("fuzz");
    let (inputs, least) = (folder.join("corpus").join(name), folder.join("merged").join(name));
    for fresh in [&inputs, &least] {
        // A folder of an earlier call would bring back what was left out of the kept inputs.
        let _ = std::fs::remove_dir_all(fresh);
        std::fs::create_dir_all(fresh)
            .map_err(|error| Failure::new(format!("cannot make {}: {error}", fresh.display())))?;
    }
    run_to_end(&mut corpus_program(workspace, &["unpack", name, &inputs.display().to_string()]))?;
    let mut search = libfuzzer(&program, name, &folder);
    search.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1").arg(&inputs);
    let ended = status(&mut search)?;
    if !ended.success() {
        return Err(ended_badly(&search, ended));
    }
    let mut merge = libfuzzer(&program, name, &folder);
    run_to_end(merge.arg("-merge=1").arg(&least).arg(&inputs))?;
    run_to_end(&mut corpus_program(workspace, &["pack", name, &least.display().to_string()]))
}

fn libfuzzer(program: &Path, target: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("BACKLOT_FUZZ_TARGET", target)
        .arg(format!("-timeout={SLOWEST_INPUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={MOST_MEGABYTES}"))
        .arg(format!("-max_len={LONGEST_INPUT}"))
        .arg(format!("-artifact_prefix={}/broken-{target}-", folder.display()));
    command
}

fn corpus_program(workspace: &Workspace, args: &[&str]) -> Command {
    let mut command = cargo();
    command
        .args(["run", "--quiet", "--package", "backlot-fuzz", "--bin", "fuzz-corpus", "--"])
        .args(args)
        .current_dir(&workspace.root);
    command
}

/// The machine's own target, as the compiler calls it.
fn host() -> Result<String, Failure> {
    let told = capture(Command::new("rustc").arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::new("`rustc -vV` names no host"))
}

fn whole(seconds: &str) -> Result<u64, Failure> {
    seconds.parse().map_err(|_| Failure::usage(format!("{seconds} is no number of seconds")))
}
