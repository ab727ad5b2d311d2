//! `cargo xtask bench` and `cargo xtask conformance`: programs of two crates, listed here and run in release.

use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::process::{cargo, ended_badly, run as run_to_end, status};
use crate::setup;
use crate::test;
use crate::workspace::{Workspace, target_directory};

/// One family of programs.
pub(crate) struct Suites {
    /// The command: `cargo xtask WORD`.
    word: &'static str,
    /// The crate that holds the programs.
    package: &'static str,
    /// What the name of a program in the target folder has before its name here.
    prefix: &'static str,
    /// Installs what they need; gives the Python environment to run them with.
    prepare: fn(&Workspace) -> Result<std::path::PathBuf, Failure>,
    /// Those of them that use the Python package of this tree.
    with_package: &'static [&'static str],
    /// Program and what it shows.
    programs: &'static [(&'static str, &'static str)],
}

/// Ours beside the peers, same work, same machine, answers compared first.
pub(crate) const BENCHES: Suites = Suites {
    word: "bench",
    package: "backlot-benches",
    prefix: "",
    prepare: |workspace| {
        let folder = target_directory(workspace)?.join("venv-peers");
        setup::for_benches(workspace, &folder)?;
        Ok(folder)
    },
    with_package: &[],
    programs: &[
        ("alerts", "a hundred thousand alert expressions against a million values in one step"),
        ("archer", "what a task of Archer costs beyond its function, here and on workers"),
        ("explain", "from a file of metrics to the explanation of an alert, and how the cost grows"),
        ("jupyter", "our Jupyter server beside jupyter_server, with and without TCP_NODELAY"),
        ("ladder", "the premiere's ladder beside the best with one rate factor for all shots"),
        ("mezzfs", "mounts of an S3 object beside s3fs and rclone, near and far"),
        ("notebooks", "notebooks beside papermill, with and without its saving"),
        ("shots", "cuts found and missed beside PySceneDetect and ffmpeg's scdet, and the time"),
        ("signals", "change points, correlation, matrix profiles beside ruptures, NumPy and stumpy"),
        ("spectator", "lines that the telemetry agent takes in a second, and the time to count"),
        (
            "telemetry",
            "the metrics store beside VictoriaMetrics: ingest, queries, bytes on disk, restart; --kills 50",
        ),
        ("vmaf", "VMAF, presets and ladders beside libvmaf: time of the processor, and the same numbers"),
        ("work", "durable no-op tasks beside prefect, luigi and dask.distributed"),
    ],
};

/// Other people's clients and test suites against our binary.
pub(crate) const CONFORMANCE: Suites = Suites {
    word: "conformance",
    package: "backlot-conformance",
    prefix: "conformance-",
    prepare: |workspace| setup::everything(workspace).map(|()| workspace.venv.clone()),
    with_package: &["signals"],
    programs: &[
        ("alerts", "Debian's Alertmanager told the same; amtool, Prometheus and vmalert as clients"),
        (
            "jupyter",
            "jupyter_server's own API tests, @jupyterlab/services, a gateway's client, JupyterLab in a browser",
        ),
        ("notebooks", "papermill's tests, and its notebooks run by both and compared"),
        ("signals", "change points, incidents and outlier hosts against the truth; ruptures' own tests; NAB"),
        ("spectator", "Spectator and DogStatsD clients against the telemetry agent"),
        ("vmaf", "every number of VMAF and the metrics beside it, against libvmaf inside ffmpeg"),
    ],
};

/// Lists the programs, or runs the one that is named with the arguments after it.
pub(crate) fn run(workspace: &Workspace, suites: &Suites, args: &[String]) -> Result<(), Failure> {
    let Some((name, rest)) = args.split_first() else {
        print!("{}", suites.list());
        return Ok(());
    };
    suites.check(name)?;
    let venv = (suites.prepare)(workspace)?;
    if suites.with_package.contains(&name.as_str()) {
        test::install_package(workspace, &workspace.root.join("clients/python"))?;
    }
    let binary = format!("{}{name}", suites.prefix);
    let build = ["build", "--release", "--package", suites.package, "--bin", &binary];
    run_to_end(cargo().args(build).current_dir(&workspace.root))?;
    let mut program = Command::new(target_directory(workspace)?.join("release").join(&binary));
    program.args(rest).current_dir(&workspace.root).stdin(Stdio::null());
    setup::pass_on(&venv, &mut program);
    let ended = status(&mut program)?;
    if ended.success() { Ok(()) } else { Err(ended_badly(&program, ended)) }
}

impl Suites {
    fn list(&self) -> String {
        if self.programs.is_empty() {
            return format!("no program of `cargo xtask {}` is registered yet\n", self.word);
        }
        let line = |(name, about): &(&str, &str)| format!("cargo xtask {} {name:12} {about}\n", self.word);
        self.programs.iter().map(line).collect()
    }

    fn check(&self, name: &str) -> Result<(), Failure> {
        if self.programs.iter().any(|(known, _)| *known == name) {
            return Ok(());
        }
        Err(Failure::usage(format!("no {} `{name}`; `cargo xtask {}` lists them", self.word, self.word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_registered_is_listed_and_nothing_else_runs() {
        assert!(BENCHES.list().contains("cargo xtask bench work"));
        BENCHES.check("work").unwrap();
        assert_eq!(
            BENCHES.check("wrok").unwrap_err().message,
            "no bench `wrok`; `cargo xtask bench` lists them"
        );
        assert_eq!(CONFORMANCE.check("media").unwrap_err().code, 2);
    }
}
