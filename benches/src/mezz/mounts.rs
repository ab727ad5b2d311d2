//! Mounts of the same bucket: ours and the peers'.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use backlot_mezzfs::mount::METERS_ATTRIBUTE;
use tempfile::TempDir;

use crate::house::AnyError;
use crate::mezz::children::{KEY, Role, Started};

/// How long a peer may take to mount.
const MOUNTING: Duration = Duration::from_secs(60);
/// The bucket, and the object in it.
pub const BUCKET: &str = "titles";
/// The object.
pub const OBJECT: &str = "film";

/// Who mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// We, with the adaptive buffer or one of fixed length.
    Ours {
        /// The length of a fixed buffer.
        fixed: Option<u64>,
        /// Whether a fixed buffer is fetched in parallel requests, as an adaptive one is.
        is_split: bool,
        /// The folder of the cache.
        cache: Option<PathBuf>,
        /// Whether the kernel's page cache is left out.
        is_direct: bool,
    },
    /// s3fs-fuse.
    S3fs,
    /// rclone mount, without its cache of whole files.
    Rclone,
}

impl Who {
    /// We, as we are without any flag.
    pub const fn ours() -> Self {
        Self::Ours { fixed: None, is_split: false, cache: None, is_direct: false }
    }

    /// We with `--direct`.
    pub const fn ours_direct() -> Self {
        Self::Ours { fixed: None, is_split: false, cache: None, is_direct: true }
    }

    /// The program that has to be there.
    pub fn program(&self) -> Option<&'static str> {
        match self {
            Self::Ours { .. } => None,
            Self::S3fs => Some("s3fs"),
            Self::Rclone => Some("rclone"),
        }
    }
}

/// A mount; it comes off when it is dropped.
#[derive(Debug)]
pub struct Mounted {
    folder: TempDir,
    ours: Option<Started>,
    peer: Option<Child>,
}

impl Mounted {
    /// Mounts the bucket of the server at this port.
    ///
    /// # Errors
    /// A peer that does not mount.
    pub fn new(who: &Who, port: u16, scratch: &Path) -> Result<Self, AnyError> {
        let folder = tempfile::tempdir_in(scratch)?;
        let path = folder.path().to_owned();
        let mut mounted = Self { folder, ours: None, peer: None };
        match who {
            Who::Ours { fixed, is_split, cache, is_direct } => {
                let source = format!("s3://{BUCKET}/{OBJECT}?endpoint=http://127.0.0.1:{port}");
                let cache = cache.as_ref().map(|path| path.display().to_string());
                let path = path.display().to_string();
                let (fixed, is_split, is_direct) = (*fixed, *is_split, *is_direct);
                let role = Role::Mount { source, path, fixed, is_split, cache, is_direct };
                mounted.ours = Some(Started::new(&role)?);
            }
            Who::S3fs => {
                let keys = scratch.join("s3fs-keys");
                std::fs::write(&keys, format!("{KEY}:{KEY}"))?;
                let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(&keys, private)?;
                let options = format!(
                    "url=http://127.0.0.1:{port},use_path_request_style,ro,endpoint=us-east-1,passwd_file={}",
                    keys.display()
                );
                mounted.peer =
                    Some(spawn(Command::new("s3fs").arg(BUCKET).arg(&path).args(["-f", "-o", &options]))?);
                mounted.wait(&path)?;
            }
            Who::Rclone => {
                let endpoint = format!("http://127.0.0.1:{port}");
                let mut command = Command::new("rclone");
                command
                    .args(["mount", &format!(":s3:{BUCKET}")])
                    .arg(&path)
                    .args(["--read-only", "--vfs-cache-mode", "off", "--config", "/dev/null"])
                    .args(["--s3-provider", "Other", "--s3-force-path-style", "--s3-region", "us-east-1"])
                    .args([
                        "--s3-access-key-id",
                        KEY,
                        "--s3-secret-access-key",
                        KEY,
                        "--s3-endpoint",
                        &endpoint,
                    ])
                    .env_remove("AWS_CA_BUNDLE");
                mounted.peer = Some(spawn(&mut command)?);
                mounted.wait(&path)?;
            }
        }
        Ok(mounted)
    }

    fn wait(&mut self, path: &Path) -> Result<(), AnyError> {
        let begun = Instant::now();
        while !path.join(OBJECT).exists() {
            if let Some(status) = self.peer.as_mut().and_then(|peer| peer.try_wait().ok().flatten()) {
                return Err(format!("it ended with {status}").into());
            }
            if begun.elapsed() > MOUNTING {
                return Err("it does not mount".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The object as a file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join(OBJECT)
    }

    /// Opens our file until the kernel reads it from the cache by itself, which is when the cache has checked it.
    ///
    /// # Errors
    /// A file that is not whole in the cache, or a system without passthrough.
    pub fn pass_through(&self) -> Result<(), AnyError> {
        let begun = Instant::now();
        let mut text = [0; 4096];
        loop {
            drop(std::fs::File::open(self.file())?);
            let length = rustix::fs::getxattr(self.folder.path(), METERS_ATTRIBUTE, &mut text[..])?;
            let meters = String::from_utf8_lossy(&text[..length]);
            let opens = meters.lines().find_map(|line| line.strip_prefix("mezz.opens.passthrough "));
            if opens.is_some_and(|opens| opens != "0") {
                return Ok(());
            }
            if begun.elapsed() > MOUNTING {
                return Err("the kernel does not read from the cache by itself".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What we fetched so far; nothing for a peer, which does not tell.
    ///
    /// # Errors
    /// A mount that has ended.
    pub fn fetched(&mut self) -> Result<Option<u64>, AnyError> {
        self.ours.as_mut().map(Started::count).transpose()
    }
}

fn spawn(command: &mut Command) -> std::io::Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.ours = None;
        if let Some(peer) = &mut self.peer {
            let _ = rustix::mount::unmount(self.folder.path(), rustix::mount::UnmountFlags::DETACH);
            let _ = peer.kill();
            let _ = peer.wait();
        }
    }
}
