//! A root file system of its own for a function, by bubblewrap.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{Container, Failure, Network};

/// Where the function's directory is inside. `/tmp` is memory there, so a place below it can be made on any root.
pub(crate) const INSIDE: &str = "/tmp/task";

/// The command line that runs `argv` in `container`, with `directory` as the only place that lasts and `clip` at `clip_inside`
/// in it.
pub(crate) fn wrap(
    container: &Container,
    directory: &Path,
    clip: &Path,
    clip_inside: &str,
    argv: &[String],
) -> Result<Vec<OsString>, Failure> {
    let bubblewrap = find().ok_or_else(|| {
        Failure::Refused(
            "the job wants a container, but bubblewrap is not installed on this worker; install it with `apt-get install \
             bubblewrap`, or leave `container` out of the job"
                .to_owned(),
        )
    })?;
    let root = container.root.as_deref().unwrap_or(Path::new("/"));
    if !root.is_dir() {
        return Err(Failure::Refused(format!(
            "the container's root {} is no directory on this worker; make it, with `debootstrap --variant=minbase stable {}` \
             for example",
            root.display(),
            root.display()
        )));
    }
    let mut line: Vec<OsString> = vec![bubblewrap.into()];
    let mut add = |words: &[&dyn AsRef<std::ffi::OsStr>]| {
        line.extend(words.iter().map(|word| word.as_ref().to_owned()));
    };
    add(&[&"--unshare-all", &"--die-with-parent", &"--new-session"]);
    if container.network == Network::Host {
        add(&[&"--share-net"]);
    }
    add(&[&"--ro-bind", &root, &"/", &"--dev", &"/dev", &"--proc", &"/proc", &"--tmpfs", &"/tmp"]);
    add(&[&"--bind", &directory, &INSIDE]);
    add(&[&"--ro-bind", &clip, &format!("{INSIDE}/{clip_inside}")]);
    add(&[&"--chdir", &INSIDE, &"--setenv", &"HOME", &INSIDE, &"--setenv", &"TMPDIR", &"/tmp", &"--"]);
    line.extend(argv.iter().map(OsString::from));
    Ok(line)
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join("bwrap")).find(|file| file.is_file())
}
