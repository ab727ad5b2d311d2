//! Finds the real clients that conformance suites drive, in the pinned Python environment of the workspace.
//!
//! It serves the suites (other people's clients and test suites, run against our binary). The one idea: what a suite proves holds
//! for the versions that `conformance/requirements.txt` pins, so an environment is first compared with its pins.
//!
//! ```
//! use backlot_conformance::{Environment, Pin};
//!
//! let pins = Pin::parse("# a judge\nmoto[server]==5.2.5\n");
//! assert_eq!(pins, [Pin { package: "moto".into(), version: "5.2.5".into() }]);
//! match Environment::find() {
//!     Ok(environment) => println!("{:?}", environment.versions(&pins)),
//!     Err(missing) => println!("{missing}"), // … run `cargo xtask setup`
//! }
//! ```

pub mod vmaf;

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What keeps a suite from running.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no Python environment.
    #[error("no Python environment at {0}; run `cargo xtask setup`")]
    NoEnvironment(PathBuf),
    /// The environment's Python does not run, or fails.
    #[error("{python} failed: {reason}; run `cargo xtask setup`, or remove the environment and run it again")]
    Python {
        /// The program.
        python: PathBuf,
        /// What it said.
        reason: String,
    },
}

/// A Python environment with other people's clients in it.
#[derive(Clone, Debug)]
pub struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// The environment in `BACKLOT_VENV`, else `.venv` in the workspace.
    ///
    /// # Errors
    /// [`Error::NoEnvironment`] if there is no Python in it.
    pub fn find() -> Result<Environment, Error> {
        let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv");
        let given = env::var_os("BACKLOT_VENV").filter(|folder| !folder.is_empty());
        Environment::at(given.map_or_else(own, PathBuf::from))
    }

    /// The environment in `folder`.
    ///
    /// # Errors
    /// [`Error::NoEnvironment`] if there is no Python in it.
    pub fn at(folder: PathBuf) -> Result<Environment, Error> {
        let environment = Environment { folder };
        if environment.python().exists() {
            Ok(environment)
        } else {
            Err(Error::NoEnvironment(environment.folder))
        }
    }

    /// The environment's Python.
    pub fn python(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// Adds the kernel of bash, which its package leaves to a command, where the package is installed.
    pub fn add_bash_kernel(&self) -> bool {
        let mut add = Command::new(self.python());
        add.args(["-m", "bash_kernel.install", "--sys-prefix"]).stdout(Stdio::null()).stderr(Stdio::null());
        add.status().is_ok_and(|status| status.success())
    }

    /// The installed version of each pinned package; `None` where it is not installed.
    ///
    /// # Errors
    /// [`Error::Python`] if the environment's Python does not answer.
    pub fn versions(&self, pins: &[Pin]) -> Result<BTreeMap<String, Option<String>>, Error> {
        const SCRIPT: &str = "
import json, sys
from importlib import metadata
def version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
print(json.dumps({package: version(package) for package in sys.argv[1:]}))
";
        let python = self.python();
        let failed = |reason: String| Error::Python { python: python.clone(), reason };
        let packages = pins.iter().map(|pin| &pin.package);
        let output = Command::new(&python).args(["-c", SCRIPT]).args(packages).output();
        let output = output.map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(failed(errors.lines().last().unwrap_or("no message").to_owned()));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
    }
}

/// A package at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The package's name, without extras.
    pub package: String,
    /// Its exact version.
    pub version: String,
}

impl Pin {
    /// The pins of a requirements file. Comments and blank lines are left out, as are options after the version (a hash).
    pub fn parse(requirements: &str) -> Vec<Pin> {
        let lines = requirements.lines().map(|line| line.split('#').next().unwrap_or_default());
        let pins = lines.filter_map(|line| {
            let (package, version) = line.split_once("==")?;
            let package = package.split('[').next().unwrap_or_default().trim();
            let version = version.split_whitespace().next()?;
            Some(Pin { package: package.to_owned(), version: version.to_owned() })
        });
        pins.collect()
    }
}
