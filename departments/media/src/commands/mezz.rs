//! `backlot mezz`: objects mounted as files.

mod replay;

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use backlot_department::{CommandContext, CommandError};
use backlot_mezzfs::cache::CacheFolder;
use backlot_mezzfs::cache::peer::{self, Peer};
use backlot_mezzfs::manifest::{MountManifest, ObjectSource};
use backlot_mezzfs::meters;
use backlot_mezzfs::mount::{self, Audience, Mount, Options, Route};
use backlot_mezzfs::plan::Policy;
use backlot_mezzfs::put::{self, Cut};
use backlot_mezzfs::seal::WrappingKey;
use backlot_mezzfs::session::{ManifestBuilder, Session, Settings};
use backlot_mezzfs::{Error, Location};
use backlot_store::Store;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

/// How often a command looks whether a mount has come or gone. Nobody sees less than this.
const GLANCE: Duration = Duration::from_millis(50);
/// How long a mount in the background may take to come: its objects are looked at first.
const MOUNTING: Duration = Duration::from_mins(2);

/// The command line.
pub(crate) fn command() -> Command {
    Command::new("mezz")
        .about("Mount objects of a store, of S3 or of the web as files; record and replay how they are read")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(mount_command())
        .subcommand(
            Command::new("unmount")
                .about("Take a mount away, also a busy one and one whose daemon was killed")
                .arg(Arg::new("dir").value_name("DIR").required(true).value_parser(value_parser!(PathBuf))),
        )
        .subcommand(
            Command::new("put")
                .about("Store a file in parts under a manifest, encrypted if there is a key")
                .arg(Arg::new("file").value_name("FILE").required(true).value_parser(value_parser!(PathBuf)))
                .arg(
                    Arg::new("name")
                        .value_name("NAME")
                        .help("What the object is called [default: the file's name]"),
                )
                .arg(flag("part-size", "SIZE", "How long a part is").default_value("16M"))
                .arg(flag("segment-size", "SIZE", "How long an encrypted segment is").default_value("64K"))
                .arg(key_file())
                .arg(
                    Arg::new("plain")
                        .long("plain")
                        .action(ArgAction::SetTrue)
                        .help("Do not encrypt, also if there is a key"),
                ),
        )
        .subcommand(replay::command())
}

fn mount_command() -> Command {
    let many = |name: &'static str, value: &'static str, help: &'static str| {
        flag(name, value, help).action(ArgAction::Append)
    };
    let all = Command::new("mount")
        .about("Mount objects and ranges of objects as files, read-only")
        .arg(Arg::new("dir").value_name("DIR").required(true).value_parser(value_parser!(PathBuf)))
        .arg(many("object", "OBJECT[=PATH]", "An object as a file: s3://bucket/key, https://…, file:///…, named:NAME, blob:DIGEST, or mezz:NAME for what `put` stored"))
        .arg(many("range", "OBJECT@OFFSET+LENGTH=PATH", "Bytes of an object as a file"))
        .arg(many("manifest", "FILE", "A manifest of objects and files, such as each frame of a scene"))
        .arg(flag("record", "FILE", "Record a replay: every read and every fetch"))
        .arg(Arg::new("background").long("background").action(ArgAction::SetTrue).help("Return when it is mounted, and go on in the background"))
        .arg(Arg::new("direct").long("direct").action(ArgAction::SetTrue).help("For programs that read once and in large pieces: straight into their memory, without the kernel's page cache"))
        .arg(Arg::new("allow-other").long("allow-other").action(ArgAction::SetTrue).help("Let every user of this machine read it"))
        .arg(flag("serve-cache", "ADDRESS", "Serve the cache to peers at this address, such as 127.0.0.1:0"));
    reading(all)
}

/// The flags that say how is read, of `mount` and of `replay rerun`.
fn reading(command: Command) -> Command {
    command
        .arg(
            flag("buffer", "POLICY", "How long buffers are: adaptive, or fixed:SIZE")
                .default_value("adaptive"),
        )
        .arg(flag("max-buffer", "SIZE", "The most that is buffered").default_value("64M"))
        .arg(
            flag("cache", "DIR", "Keep what was fetched in this folder").value_parser(value_parser!(PathBuf)),
        )
        .arg(flag("cache-size", "SIZE", "The most that the cache takes on the disk").default_value("20G"))
        .arg(flag("peer", "URL", "Ask this cache before the origin").action(ArgAction::Append))
        .arg(key_file())
}

fn flag(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn key_file() -> Arg {
    flag(
        "key-file",
        "FILE",
        "The file of the key that opens encrypted objects [env: BACKLOT_MEZZ_KEY holds the key itself]",
    )
    .value_parser(value_parser!(PathBuf))
}

/// Runs it.
pub(crate) async fn run(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    match matches.subcommand() {
        Some(("mount", matches)) => mount_objects(matches, context).await,
        Some(("unmount", matches)) => {
            mount::detach(path(matches, "dir")?).map_err(failed)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(("put", matches)) => put_file(matches, context).await,
        Some(("replay", matches)) => replay::run(matches, context).await,
        _ => Err(CommandError::usage("`backlot mezz` has no such command", "see `backlot mezz --help`")),
    }
}

/// An error of the crate names its mend after its last semicolon.
fn failed(error: Error) -> CommandError {
    let text = error.to_string();
    let (message, mend) = text.rsplit_once("; ").unwrap_or((&text, "see `backlot help mezz`"));
    CommandError::failed(message, mend)
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str)
}

fn texts<'a>(matches: &'a ArgMatches, name: &str) -> impl Iterator<Item = &'a str> {
    matches.get_many::<String>(name).into_iter().flatten().map(String::as_str)
}

fn path<'a>(matches: &'a ArgMatches, name: &str) -> Result<&'a Path, CommandError> {
    let found = matches.get_one::<PathBuf>(name).map(PathBuf::as_path);
    found.ok_or_else(|| CommandError::usage(format!("`{name}` is missing"), "see --help"))
}

/// Bytes: `65536`, `64K`, `8M`, `20G`, in powers of 1024.
fn size(text: &str) -> Result<u64, CommandError> {
    let wrong =
        || CommandError::usage(format!("`{text}` is no size"), "write bytes, or a number with K, M, G or T");
    let (digits, shift) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 10),
        None => match text.strip_suffix(['M', 'm']) {
            Some(digits) => (digits, 20),
            None => match text.strip_suffix(['G', 'g']) {
                Some(digits) => (digits, 30),
                None => text.strip_suffix(['T', 't']).map_or((text, 0), |digits| (digits, 40)),
            },
        },
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).filter(|&bytes| bytes > 0).ok_or_else(wrong)
}

fn policy(text: &str) -> Result<Policy, CommandError> {
    match text.split_once(':') {
        None if text == "adaptive" => Ok(Policy::Adaptive),
        Some(("fixed", bytes)) => size(bytes).map(Policy::Fixed),
        _ => Err(CommandError::usage(format!("`{text}` is no buffering"), "write adaptive, or fixed:8M")),
    }
}

fn settings(matches: &ArgMatches) -> Result<Settings, CommandError> {
    let cache = match matches.get_one::<PathBuf>("cache") {
        None => None,
        Some(path) => Some(CacheFolder {
            path: path.clone(),
            limit: size(text(matches, "cache-size").unwrap_or("20G"))?,
        }),
    };
    let token = peer_token();
    let peers = texts(matches, "peer").map(|url| Peer::new(url, token.clone()).map_err(failed));
    Ok(Settings {
        policy: policy(text(matches, "buffer").unwrap_or("adaptive"))?,
        max_buffer: size(text(matches, "max-buffer").unwrap_or("64M"))?,
        cache,
        peers: peers.collect::<Result<_, _>>()?,
        key: WrappingKey::find(matches.get_one::<PathBuf>("key-file").map(PathBuf::as_path))
            .map_err(failed)?,
        ..Settings::default()
    })
}

fn peer_token() -> Option<String> {
    std::env::var(peer::TOKEN_VARIABLE).ok().filter(|token| !token.is_empty())
}

/// The house's store, if the objects are in it.
async fn store_for(
    manifest: &MountManifest,
    context: &CommandContext,
) -> Result<Option<Store>, CommandError> {
    let is_ours = |source: &ObjectSource| match source {
        ObjectSource::Source(text) => text.starts_with("named:") || text.starts_with("blob:"),
        // Its parts may be.
        ObjectSource::Manifest(_) => true,
    };
    if manifest.objects.values().any(is_ours) {
        Ok(Some(context.open_house().await?.store))
    } else {
        Ok(None)
    }
}

/// What the command line names.
fn manifest(matches: &ArgMatches) -> Result<MountManifest, CommandError> {
    let mut builder = ManifestBuilder::default();
    for (tag, file) in texts(matches, "manifest").enumerate() {
        let read = std::fs::read(file).map_err(|error| {
            CommandError::failed(format!("cannot read the manifest {file}: {error}"), "check the path")
        })?;
        builder = builder.manifest(MountManifest::parse(file, &read).map_err(failed)?, tag);
    }
    for given in texts(matches, "object") {
        let (object, path) = split_path(given);
        let (source, name) = source(object)?;
        builder = builder.object(source, path.unwrap_or(&name).to_owned());
    }
    for given in texts(matches, "range") {
        let wrong =
            || CommandError::usage(format!("`{given}` is no range"), "write OBJECT@OFFSET+LENGTH=PATH");
        let (rest, path) = split_path(given);
        let (object, bytes) = rest.rsplit_once('@').ok_or_else(wrong)?;
        let (offset, length) = bytes.split_once('+').ok_or_else(wrong)?;
        let offset = offset.parse().map_err(|_| wrong())?;
        let length = length.parse().map_err(|_| wrong())?;
        let (source, _) = source(object)?;
        builder = builder.range(source, offset, Some(length), path.ok_or_else(wrong)?.to_owned());
    }
    let manifest = builder.build();
    if manifest.files.is_empty() {
        return Err(CommandError::usage(
            "there is nothing to mount",
            "name an --object, a --range or a --manifest",
        ));
    }
    Ok(manifest)
}

/// `OBJECT=PATH`. An `=` before the last `/`, `?` or `&` part is the object's own, as in `?region=eu-west-1`.
fn split_path(given: &str) -> (&str, Option<&str>) {
    match given.rsplit_once('=') {
        Some((object, path)) if !is_option(object) => (object, Some(path)),
        _ => (given, None),
    }
}

/// Whether what stands before an `=` ends in the name of an option of a URL.
fn is_option(before: &str) -> bool {
    let name = before.rsplit(['?', '&']).next().unwrap_or_default();
    name.len() < before.len() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn source(text: &str) -> Result<(ObjectSource, String), CommandError> {
    if let Some(name) = text.strip_prefix("mezz:") {
        let location = format!("named:{}", put::manifest_name(name));
        location.parse::<Location>().map_err(failed)?;
        return Ok((ObjectSource::Manifest(location), name.rsplit('/').next().unwrap_or(name).to_owned()));
    }
    let location: Location = text.parse().map_err(failed)?;
    Ok((ObjectSource::Source(text.to_owned()), location.file_name()))
}

async fn mount_objects(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let dir = path(matches, "dir")?;
    let manifest = manifest(matches)?;
    if matches.get_flag("background") {
        return in_background(dir, context);
    }
    let mut settings = settings(matches)?;
    settings.record = text(matches, "record").map(PathBuf::from);
    let store = store_for(&manifest, context).await?;
    let session = Session::open("the command line", &manifest, store, &settings).await.map_err(failed)?;
    let served = match text(matches, "serve-cache") {
        None => None,
        Some(address) => {
            let parsed = address.parse().map_err(|_| {
                CommandError::usage(
                    format!("`{address}` is no address"),
                    "write HOST:PORT with a number for each",
                )
            })?;
            let served = peer::serve(session.cache, parsed, peer_token()).await.map_err(failed)?;
            eprintln!("the cache is served at http://{}", served.address());
            Some(served)
        }
    };
    let audience = if matches.get_flag("allow-other") { Audience::All } else { Audience::Owner };
    let route = if matches.get_flag("direct") { Route::Direct } else { Route::PageCache };
    let mounted =
        Mount::start(session.reader, session.recorder, dir, Options { audience, route }).map_err(failed)?;
    let reader = mounted.reader().clone();
    let agent = std::env::var(meters::OUTPUT_VARIABLE).ok().filter(|at| !matches!(at.as_str(), "" | "none"));
    let published = match agent {
        None => None,
        Some(at) => {
            let meters = std::sync::Arc::clone(reader.meters());
            Some(meters::publish(meters, &dir.display().to_string(), &at).map_err(failed)?)
        }
    };
    eprintln!(
        "mounted {} files at {}; end with ctrl-c or `backlot mezz unmount`",
        reader.tree().files(),
        dir.display()
    );
    wait_for_end(&mounted).await?;
    drop(served);
    drop(published);
    mounted.end().map_err(failed)?;
    let snapshot = reader.meters().snapshot();
    let meters: serde_json::Map<String, serde_json::Value> =
        snapshot.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    context.print(&meters, |_| {
        let mut out = String::new();
        for (name, value) in &snapshot {
            out.push_str(&format!("{name} {value}\n"));
        }
        out
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn wait_for_end(mounted: &Mount) -> Result<(), CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind)
            .map_err(|error| CommandError::failed(format!("signals cannot be awaited: {error}"), "try again"))
    };
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    while !mounted.has_ended() {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = tokio::time::sleep(GLANCE) => {}
        }
    }
    Ok(())
}

/// Starts this program again without `--background`, in a session of its own, and waits until it has mounted.
fn in_background(dir: &Path, context: &CommandContext) -> Result<ExitCode, CommandError> {
    use std::os::unix::fs::DirBuilderExt;
    use std::os::unix::process::CommandExt;
    let fail = |what: String| CommandError::failed(what, "mount in the foreground to see more");
    let program =
        std::env::current_exe().map_err(|error| fail(format!("this program is not found: {error}")))?;
    let log_folder = context.home.join("mezz");
    // A home that this makes must be as private as one that the house makes.
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&log_folder);
    made.map_err(|error| fail(format!("no folder for the log: {error}")))?;
    let log_path = log_folder.join(format!("mount-{}.log", std::process::id()));
    let log = std::fs::File::create(&log_path).map_err(|error| fail(format!("no log: {error}")))?;
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--background");
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // Out of the terminal's group: its ctrl-c is not meant for the mount.
        .process_group(0)
        .spawn()
        .map_err(|error| fail(format!("the mount does not start: {error}")))?;
    let begun = std::time::Instant::now();
    loop {
        if mount::is_mounted(dir) && !mount::is_dead(dir) {
            eprintln!("mounted at {}; log in {}", dir.display(), log_path.display());
            return Ok(ExitCode::SUCCESS);
        }
        if let Ok(Some(_)) = child.try_wait() {
            let log = std::fs::read_to_string(&log_path).unwrap_or_default();
            return Err(fail(log.lines().last().unwrap_or("the mount ended").to_owned()));
        }
        if begun.elapsed() > MOUNTING {
            let _ = child.kill();
            return Err(fail(format!("nothing is mounted after {} s", MOUNTING.as_secs())));
        }
        std::thread::sleep(GLANCE);
    }
}

async fn put_file(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let file = path(matches, "file")?;
    let file_name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = text(matches, "name").unwrap_or(&file_name);
    let key =
        WrappingKey::find(matches.get_one::<PathBuf>("key-file").map(PathBuf::as_path)).map_err(failed)?;
    let key = key.filter(|_| !matches.get_flag("plain"));
    let cut = Cut {
        part: size(text(matches, "part-size").unwrap_or("16M"))?,
        segment: size(text(matches, "segment-size").unwrap_or("64K"))?,
    };
    let house = context.open_house().await?;
    let stored = put::put(&house.store, file, name, cut, key.as_ref()).await.map_err(failed)?;
    let told = json!({
        "object": format!("mezz:{name}"),
        "size": stored.size,
        "parts": stored.parts.len(),
        "encrypted": stored.encryption.is_some(),
    });
    context.print(&told, |told| {
        let sealed = if stored.encryption.is_some() { "encrypted" } else { "plain" };
        let object = told["object"].as_str().unwrap_or_default();
        format!("{object}: {} bytes in {} parts, {sealed}", stored.size, stored.parts.len())
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_sizes_are_read() {
        command().debug_assert();
        assert_eq!((size("64K").unwrap(), size("7").unwrap(), size("2G").unwrap()), (65_536, 7, 2 << 30));
        for wrong in ["", "K", "-1", "0", "1.5M", "99999999999T"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(policy("fixed:8M").unwrap(), Policy::Fixed(8 << 20));
        assert!(policy("fixed").is_err() && policy("other:8M").is_err());
    }

    #[test]
    fn objects_and_their_paths_are_told_apart() {
        let read = |arguments: &[&str]| {
            let all = ["mount", "/mnt"].iter().chain(arguments);
            manifest(&mount_command().get_matches_from(all))
        };
        let one = |arguments: &[&str]| read(arguments).unwrap().files.remove(0);
        assert_eq!(one(&["--object", "s3://bucket/a.mov"]).path, "a.mov");
        assert_eq!(one(&["--object", "s3://bucket/a.mov=x/b.mov"]).path, "x/b.mov");
        let with_options = "s3://bucket/a.mov?endpoint=http://127.0.0.1:9000&region=eu";
        assert_eq!(one(&["--object", with_options]).path, "a.mov");
        assert_eq!(one(&["--object", &format!("{with_options}=b.mov")]).path, "b.mov");
        assert_eq!(one(&["--object", "mezz:takes/film.yuv"]).path, "film.yuv");
        let range = one(&["--range", &format!("{with_options}@1000+24=f/1.raw")]);
        assert_eq!((range.offset, range.length, range.path.as_str()), (1000, Some(24), "f/1.raw"));
        assert!(read(&["--range", "s3://bucket/a.mov@5=x"]).is_err());
        assert!(read(&[]).is_err());
    }
}
