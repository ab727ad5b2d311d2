//! What the tests need of this machine, and what several of them share.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backlot_mezzfs::manifest::{MountManifest, ObjectSource};
use backlot_mezzfs::mount::{self, Mount};
use backlot_mezzfs::session::{ManifestBuilder, Session, Settings};
use backlot_mezzfs::source::Patience;

/// How long a condition may take to come true on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Whether file systems can be mounted here; says what is missing otherwise.
///
/// A missing device fails the tests where everything is required, unless the sandbox has no device of that name at all, which
/// nothing that is installed could mend.
pub(crate) fn can_mount() -> bool {
    let device = Path::new("/dev/fuse");
    if !device.exists() {
        eprintln!(
            "skipped: /dev/fuse is missing in this sandbox; start it with `--device /dev/fuse --cap-add SYS_ADMIN`"
        );
        return false;
    }
    let opened = OpenOptions::new().read(true).write(true).open(device);
    let is_root = rustix::process::geteuid().is_root();
    if opened.is_ok() && (is_root || Path::new("/usr/bin/fusermount3").exists()) {
        return true;
    }
    let line = "skipped: the right to mount is missing; run as root or `apt-get install fuse3`";
    assert!(std::env::var_os("BACKLOT_REQUIRE_ALL").is_none_or(|all| all != "1"), "{line}");
    eprintln!("{line}");
    false
}

/// Whether a program is on the search path; says what is missing otherwise.
pub(crate) fn has_program(name: &str, mend: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if !is_there {
        let line = format!("skipped: {name} is missing; {mend}");
        assert!(std::env::var_os("BACKLOT_REQUIRE_ALL").is_none_or(|all| all != "1"), "{line}");
        eprintln!("{line}");
    }
    is_there
}

/// Bytes in which every place can be told from every other.
pub(crate) fn content(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Patience for tests: it gives up soon, but not because the machine is busy.
pub(crate) fn settings() -> Settings {
    let patience = Patience {
        connect: Duration::from_secs(20),
        stall: Duration::from_secs(20),
        attempts: 3,
        first_wait: Duration::from_millis(1),
    };
    Settings { patience, ..Settings::default() }
}

pub(crate) fn one(url: &str, path: &str) -> MountManifest {
    ManifestBuilder::default().object(ObjectSource::Source(url.to_owned()), path.to_owned()).build()
}

/// Opens and mounts in a new folder; the folder outlives the mount.
pub(crate) async fn mounted(manifest: &MountManifest, settings: &Settings) -> (Mount, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::open("test", manifest, None, settings).await.unwrap();
    let mount =
        Mount::start(session.reader, session.recorder, folder.path(), mount::Options::default()).unwrap();
    (mount, folder)
}

/// Waits until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < DEADLINE, "{what}: not after {DEADLINE:?}");
        std::thread::yield_now();
    }
}

/// What is logged while it is alive, by all threads.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The log of this process: several tests share it, so each looks for lines of its own objects.
    pub(crate) fn of_process() -> Self {
        static LOG: std::sync::OnceLock<Log> = std::sync::OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            let subscriber =
                tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
            log
        })
        .clone()
    }

    /// The lines with all of these words.
    pub(crate) fn lines(&self, words: &[&str]) -> Vec<String> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&text);
        text.lines().filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
