//! `cargo xtask …`: what a developer and CI run, in one program that compiles in seconds.
//!
//! Each command is one file. A command prints what it does, ends with one line that names the mend when it fails, and
//! reports by its exit code: 0 done, 1 a check or test failed, 2 wrong usage, 3 something outside is missing and could
//! not be installed.

mod failure;
mod fuzz;
mod lint;
mod premiere;
mod process;
mod setup;
mod suites;
mod tally;
mod test;
mod workspace;

use std::process::ExitCode;

use failure::Failure;
use workspace::Workspace;

const HELP: &str = "\
cargo xtask: build, test and run Backlot

usage: cargo xtask COMMAND

  setup                    install what tests and the premiere need (Debian packages, Python packages)
  test [--quick] [ARGS]    setup, then every test; ends with `N passed, N failed, N skipped`
                           --quick: no setup, no doc tests, no Python package; what is missing is skipped
                           ARGS go to `cargo test`, for example: -p backlot-store -- folder
  lint                     architecture, manifests, licences, stray paths, rustfmt, clippy
  premiere [ARGS]          setup of what it needs, release build, then `backlot premiere ARGS`
  bench [NAME [ARGS]]      list the benchmarks, or run one against its peers
  conformance [NAME]       list the conformance suites, or run one
  fuzz [TARGET [SECONDS]]  list the fuzz targets, or fuzz one and keep what it found
  help                     this text

environment:
  CI=true                  a missing outside part is a failure instead of a skip
  BACKLOT_VENV=DIR         the Python environment to make and use (default: .venv in the workspace)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(args: &[String]) -> Result<(), Failure> {
    let Some((command, rest)) = args.split_first() else {
        print!("{HELP}");
        return Ok(());
    };
    let workspace = Workspace::find()?;
    match command.as_str() {
        "setup" => {
            no_arguments(command, rest)?;
            setup::everything(&workspace)
        }
        "test" => test::run(&workspace, rest),
        "lint" => {
            no_arguments(command, rest)?;
            lint::run(&workspace)
        }
        "premiere" => premiere::run(&workspace, rest),
        "bench" => suites::run(&workspace, &suites::BENCHES, rest),
        "fuzz" => fuzz::run(&workspace, rest),
        "conformance" => suites::run(&workspace, &suites::CONFORMANCE, rest),
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        unknown => Err(Failure::usage(format!("no command `{unknown}`; `cargo xtask help` lists them"))),
    }
}

fn no_arguments(command: &str, rest: &[String]) -> Result<(), Failure> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => Err(Failure::usage(format!("`{command}` takes no arguments; leave out `{extra}`"))),
    }
}
