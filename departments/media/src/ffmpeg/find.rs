//! Where ffmpeg is, and what it can do.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::Error;

/// `ffmpeg -encoders` takes 50 ms; one that hangs this long is not ffmpeg.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Where to look for ffmpeg: first to last, the first that exists is taken.
#[derive(Clone, Debug, Default)]
pub struct FfmpegSearch {
    /// The path from the configuration. When set, nothing else is looked at.
    pub configured: Option<PathBuf>,
    /// Directories of Python environments or of tools: `DIR/bin/ffmpeg`, `DIR/ffmpeg`, and the static binary inside
    /// the package imageio-ffmpeg installed there.
    pub roots: Vec<PathBuf>,
}

impl FfmpegSearch {
    /// The environment's search: `BACKLOT_FFMPEG` as the configured path, `BACKLOT_VENV` as a root.
    pub fn from_env() -> Self {
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self { configured: path("BACKLOT_FFMPEG"), roots: path("BACKLOT_VENV").into_iter().collect() }
    }

    /// The path of the ffmpeg to use. [`Error::FfmpegMissing`] says where it was looked for.
    pub fn locate(&self) -> Result<PathBuf, Error> {
        if let Some(path) = &self.configured {
            return if path.is_file() {
                Ok(path.clone())
            } else {
                Err(Error::FfmpegMissing { looked: format!("at the configured path {}", path.display()) })
            };
        }
        let in_roots = self.roots.iter().find_map(|root| in_root(root));
        let on_path = || {
            let path = env::var_os("PATH")?;
            env::split_paths(&path).map(|dir| dir.join("ffmpeg")).find(|file| file.is_file())
        };
        in_roots.or_else(on_path).ok_or_else(|| {
            let roots: Vec<String> = self.roots.iter().map(|root| root.display().to_string()).collect();
            let looked = if roots.is_empty() {
                "on PATH".to_owned()
            } else {
                format!("in {} and on PATH", roots.join(", "))
            };
            Error::FfmpegMissing { looked }
        })
    }
}

fn in_root(root: &Path) -> Option<PathBuf> {
    let packaged = || {
        let versions = fs::read_dir(root.join("lib")).ok()?.flatten();
        let binaries = versions.filter_map(|version| {
            fs::read_dir(version.path().join("site-packages/imageio_ffmpeg/binaries")).ok()
        });
        let mut files: Vec<PathBuf> = binaries.flatten().flatten().map(|entry| entry.path()).collect();
        files.retain(|file| {
            file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ffmpeg-"))
        });
        files.sort();
        files.pop()
    };
    packaged()
        .or_else(|| [root.join("bin/ffmpeg"), root.join("ffmpeg")].into_iter().find(|file| file.is_file()))
}

/// An ffmpeg that answered.
#[derive(Clone, Debug)]
pub struct Ffmpeg {
    path: PathBuf,
    version: String,
    encoders: BTreeSet<String>,
}

impl Ffmpeg {
    /// Finds ffmpeg as [`FfmpegSearch::from_env`] says, and asks it what it can do.
    pub async fn find() -> Result<Self, Error> {
        Self::open(FfmpegSearch::from_env().locate()?).await
    }

    /// Asks the ffmpeg at `path` for its version and encoders. [`Error::FfmpegBroken`] when it gives no such answer.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let version = answer(&path, "-version").await?;
        let broken = |detail: &str| Error::FfmpegBroken { path: path.clone(), detail: detail.to_owned() };
        let version = version
            .strip_prefix("ffmpeg version ")
            .and_then(|rest| rest.split(' ').next())
            .ok_or_else(|| broken("it does not print an ffmpeg version"))?
            .to_owned();
        // After a legend, each line is flags, name, description.
        let listing = answer(&path, "-encoders").await?;
        let encoders = listing
            .lines()
            .skip_while(|line| line.trim() != "------")
            .filter_map(|line| line.split_whitespace().nth(1))
            .map(str::to_owned)
            .collect();
        Ok(Self { path, version, encoders })
    }

    /// The executable.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it calls its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it was built with this encoder (ffmpeg's name, such as `libx264`).
    pub fn has_encoder(&self, name: &str) -> bool {
        self.encoders.contains(name)
    }

    /// [`Error::EncoderMissing`] unless it was built with this encoder.
    pub fn require_encoder(&self, encoder: &'static str) -> Result<(), Error> {
        if self.has_encoder(encoder) {
            return Ok(());
        }
        Err(Error::EncoderMissing { ffmpeg: self.path.clone(), encoder })
    }
}

async fn answer(path: &Path, question: &str) -> Result<String, Error> {
    let broken = |detail: String| Error::FfmpegBroken { path: path.to_owned(), detail };
    let output = tokio::process::Command::new(path)
        .args(["-hide_banner", question])
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(ANSWER_WITHIN, output)
        .await
        .map_err(|_| broken(format!("no answer to {question} within {} s", ANSWER_WITHIN.as_secs())))?
        .map_err(|error| broken(error.to_string()))?;
    if !output.status.success() {
        return Err(broken(format!("{question} ended with {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
