//! Debian packages: looked for by the program they bring, installed with apt-get where that needs no password.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::process::{on_path, run, succeeds};

/// A package, and how to see that what it brings is there (whoever brought it).
#[derive(Clone, Copy)]
pub(crate) struct Package {
    name: &'static str,
    is_there: fn() -> bool,
}

/// Decodes, encodes, and is the judge of our own measures.
pub(crate) const FFMPEG: Package =
    Package { name: "ffmpeg", is_there: || on_path("ffmpeg").is_some() && on_path("ffprobe").is_some() };
/// Plays the packaged ladder and draws the console's pages in tests.
pub(crate) const CHROMIUM: Package = Package {
    name: "chromium",
    is_there: || ["chromium", "chromium-browser", "google-chrome"].iter().any(|name| on_path(name).is_some()),
};
/// The ledger's second backend; tests start a private server of their own.
pub(crate) const POSTGRESQL: Package = Package { name: "postgresql", is_there: has_postgresql };
/// Mounts without root: `fusermount3`.
pub(crate) const FUSE: Package = Package { name: "fuse3", is_there: || on_path("fusermount3").is_some() };
/// Gives Archer's functions a root file system of their own.
pub(crate) const BUBBLEWRAP: Package =
    Package { name: "bubblewrap", is_there: || on_path("bwrap").is_some() };
/// Mounts that ours is measured against.
pub(crate) const S3FS: Package = Package { name: "s3fs", is_there: || on_path("s3fs").is_some() };
/// Alerts: the judge of who is told what, and a client.
pub(crate) const ALERTMANAGER: Package = Package {
    name: "prometheus-alertmanager",
    is_there: || on_path("prometheus-alertmanager").is_some() && on_path("amtool").is_some(),
};
/// As [`S3FS`].
pub(crate) const RCLONE: Package = Package { name: "rclone", is_there: || on_path("rclone").is_some() };
/// The metrics store that ours is measured against; `vmagent` and `vmalert` come with it.
pub(crate) const VICTORIA_METRICS: Package = Package {
    name: "victoria-metrics",
    is_there: || ["victoria-metrics", "vmagent", "vmalert"].iter().all(|name| on_path(name).is_some()),
};
/// Writes what it scrapes into our store, and sends us its alerts; `promtool` comes with it.
pub(crate) const PROMETHEUS: Package = Package {
    name: "prometheus",
    is_there: || on_path("prometheus").is_some() && on_path("promtool").is_some(),
};
/// What real machines measure.
pub(crate) const NODE_EXPORTER: Package =
    Package { name: "prometheus-node-exporter", is_there: || on_path("prometheus-node-exporter").is_some() };
/// Makes the Python environment.
pub(crate) const PYTHON: Package = Package {
    name: "python3-venv",
    is_there: || succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])),
};

fn has_postgresql() -> bool {
    let complete = |folder: &Path| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    let on_path = on_path("initdb").is_some_and(|initdb| initdb.parent().is_some_and(complete));
    // Debian keeps the server's programs off the PATH, in a folder for each version.
    on_path
        || fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .any(|version| complete(&version.path().join("bin")))
}

/// Installs those of `packages` that are missing.
pub(crate) fn install(packages: &[Package]) -> Result<(), Failure> {
    let missing: Vec<&str> = packages.iter().filter(|p| !(p.is_there)()).map(|p| p.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let Some(apt) = apt() else {
        return Err(Failure::missing(mend(&missing, on_path("apt-get").is_some())));
    };
    println!("setup: installing the Debian packages {}", missing.join(", "));
    // A fresh machine has no package lists, and old lists name packages that are gone.
    run(apt().args(["update", "-qq"]))?;
    run(apt().args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing))?;
    let still: Vec<&str> = packages.iter().filter(|p| !(p.is_there)()).map(|p| p.name).collect();
    if still.is_empty() {
        return Ok(());
    }
    Err(Failure::missing(format!(
        "{} was installed but its programs are not found; check PATH",
        still.join(", ")
    )))
}

/// How to start `apt-get` with the right to install, if that is possible without a password.
fn apt() -> Option<impl Fn() -> Command> {
    on_path("apt-get")?;
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root && !succeeds(Command::new("sudo").args(["-n", "true"])) {
        return None;
    }
    Some(move || {
        let mut command = Command::new(if is_root { "env" } else { "sudo" });
        if !is_root {
            command.args(["-n", "env"]);
        }
        // Another apt (a fresh machine's automatic update) may hold the lock for a while.
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"]);
        command
    })
}

/// The one command that the user runs.
fn mend(missing: &[&str], has_apt: bool) -> String {
    let missing = missing.join(" ");
    if has_apt {
        format!("missing: {missing}; run `sudo apt-get install -y {missing}` and then this again")
    } else {
        format!(
            "missing: {missing} (names of Debian's packages); install them with this system's package manager"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mend_is_one_command() {
        assert_eq!(
            mend(&["ffmpeg", "chromium"], true),
            "missing: ffmpeg chromium; run `sudo apt-get install -y ffmpeg chromium` and then this again"
        );
    }

    #[test]
    fn what_is_there_is_not_installed() {
        install(&[Package { name: "no-such-package", is_there: || true }]).unwrap();
    }
}
