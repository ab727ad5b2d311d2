//! The home directory: private to its owner, and served by one process at a time.
//!
//! A server holds an exclusive `flock` on `HOME/up.lock` while it lives. The kernel drops it with the process, so a server
//! that was killed leaves nothing behind that would have to be judged stale. A command that wants to know whether a server
//! lives tries the lock shared, for microseconds.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backlot_department::CommandError;

use crate::exit;

const LOCK: &str = "up.lock";

/// How long a starting server waits for the lock: a command that looks at it holds it for microseconds, a server for as long
/// as it lives.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);

/// Makes the home if it is missing, and refuses one that other users can look into.
///
/// # Errors
/// One line that names the directory and the mend.
pub(crate) fn open(home: &Path) -> Result<(), CommandError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(|error| {
        CommandError::failed(
            format!("cannot make the home {}: {error}", home.display()),
            "make it writable for you, or name another with --home",
        )
    })?;
    let mode = std::fs::metadata(home).map_err(|error| unusable(home, &error))?.permissions().mode() & 0o777;
    // Never mended here: a directory that was named by mistake would be locked to its other users.
    if mode & 0o077 != 0 {
        return Err(CommandError::failed(
            format!("the home {} can be entered by other users (mode {mode:o})", home.display()),
            format!("run `chmod 700 {}`, or name another with --home", home.display()),
        ));
    }
    Ok(())
}

fn unusable(home: &Path, error: &std::io::Error) -> CommandError {
    CommandError::failed(
        format!("cannot use the home {}: {error}", home.display()),
        "make it readable and writable for you, or name another with --home",
    )
}

/// The right to serve a home; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct HomeLock {
    _file: File,
}

impl HomeLock {
    /// Takes the home for this process.
    ///
    /// # Errors
    /// Exit code 5 and the holder's process when another has it.
    pub(crate) async fn acquire(home: &Path) -> Result<Self, CommandError> {
        let path = home.join(LOCK);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| unusable(home, &error))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(TryLockError::WouldBlock) => return Err(held(home, &mut file)),
                Err(TryLockError::Error(error)) => return Err(unusable(home, &error)),
            }
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(|error| unusable(home, &error))?;
        Ok(Self { _file: file })
    }
}

fn held(home: &Path, file: &mut File) -> CommandError {
    let mut text = String::new();
    let holder = match file.read_to_string(&mut text).ok().and(text.trim().parse::<u32>().ok()) {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    };
    CommandError::new(
        exit::IN_USE,
        format!("{holder} has the home {} open", home.display()),
        "stop it first, or name another home with --home",
    )
}

/// Whether a process has the home open for serving.
pub(crate) fn is_served(home: &Path) -> bool {
    let Ok(file) = File::open(home.join(LOCK)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Where `doctor --install` puts Python packages.
pub(crate) fn tools(home: &Path) -> PathBuf {
    home.join("tools")
}

/// Runs this program again with the home's tools within reach, if there are any and they are not yet: their programs last on
/// the search path, so that nothing of the user's is hidden, and `BACKLOT_VENV` naming them where it names nothing else.
/// A process cannot change its own environment safely once it may have threads; a new image of it can be given another.
pub(crate) fn bring_tools_within_reach(home: &Path) {
    use std::os::unix::process::CommandExt;
    let tools = tools(home);
    let programs = tools.join("bin");
    let search = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&search).collect();
    if !programs.is_dir() || places.contains(&programs) {
        return;
    }
    places.push(programs);
    let (Ok(search), Ok(program)) = (std::env::join_paths(places), std::env::current_exe()) else { return };
    let mut again = std::process::Command::new(program);
    again.args(std::env::args_os().skip(1)).env("PATH", search);
    if std::env::var_os("BACKLOT_VENV").is_none_or(|value| value.is_empty()) {
        again.env("BACKLOT_VENV", &tools);
    }
    let error = again.exec();
    eprintln!("warning: the tools in {} stay out of reach: {error}", tools.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_home_is_served_once_and_free_again_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("a/b");
        assert!(!is_served(&home));
        open(&home).unwrap();
        let mode = std::fs::metadata(&home).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
        let lock = HomeLock::acquire(&home).await.unwrap();
        assert!(is_served(&home));
        let second = HomeLock::acquire(&home).await.unwrap_err();
        assert_eq!(second.code, exit::IN_USE);
        assert!(second.message.contains(&std::process::id().to_string()), "{second}");
        drop(lock);
        assert!(!is_served(&home));
        HomeLock::acquire(&home).await.unwrap();
    }

    #[test]
    fn an_open_home_is_refused_and_left_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(open(home.path()).unwrap_err().mend.contains("chmod 700"));
        assert_eq!(std::fs::metadata(home.path()).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(open(Path::new("/dev/null/home")).unwrap_err().mend.contains("--home"));
    }
}
