//! The FUSE file system.
//!
//! It is read-only and its tree never changes, so the kernel may keep names, attributes and pages as long as it likes: what
//! was read once from an object is served from the page cache, as of any disk. An object that is wholly in the cache on this
//! machine is handed to the kernel to read by itself (FUSE passthrough, Linux 6.9, root): no read of it comes here any more.
//!
//! The kernel refuses to mix the two ways on one file at a time, so a file is opened for passthrough only while nobody has it
//! open in the other way, and stays so until its last handle is closed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BackingId, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr, Request, SessionACL,
};
use rustix::mount::{UnmountFlags, unmount};

use crate::Error;
use crate::meters::Meters;
use crate::plan::Read;
use crate::reader::Reader;
use crate::replay::Recorder;
use crate::tree::{Node, ROOT};

/// How long the kernel may believe what it was told: nothing ever changes.
const TTL: Duration = Duration::from_hours(24);
/// The attribute of the root folder that tells the meters.
pub const METERS_ATTRIBUTE: &str = "user.mezz.meters";
/// How far the kernel reads ahead: one request of the 256 pages that FUSE allows, and one more on its way.
const READ_AHEAD: u32 = 2 << 20;
/// The largest request.
const LARGEST_REQUEST: u32 = 1 << 20;
/// Requests that the kernel sends ahead without anyone waiting. 64 readers each have one.
const BACKGROUND: u16 = 64;
/// What mounts of ours are called in /proc/mounts.
pub const SOURCE: &str = "backlot-mezz";

/// Who may use a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// Whoever mounted it.
    #[default]
    Owner,
    /// Everybody on this machine.
    All,
}

/// Which way what is read takes through the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// Through its page cache: small reads are cheap, and what is read again is there.
    #[default]
    PageCache,
    /// Straight into the program's memory, which saves a copy and the making of pages. The kernel neither reads ahead nor
    /// keeps anything: for programs that read once and in large pieces.
    Direct,
}

/// How a tree is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Who may use it.
    pub audience: Audience,
    /// How its files are read, until they are complete in the cache.
    pub route: Route,
}

/// A mounted tree. It is unmounted when this is dropped.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    session: Option<BackgroundSession>,
    reader: Reader,
    recorder: Option<Arc<Recorder>>,
}

impl Mount {
    /// Mounts the reader's tree at a folder. What a daemon that was killed has left there is detached first.
    ///
    /// # Errors
    /// [`Error::Mount`]: no such folder, no /dev/fuse, no right to mount.
    pub fn start(
        reader: Reader,
        recorder: Option<Arc<Recorder>>,
        path: &Path,
        options: Options,
    ) -> Result<Self, Error> {
        let fail = |fault: String| Error::Mount { path: path.to_owned(), fault };
        let is_ours = is_mounted(path);
        if is_dead(path) {
            if !is_ours {
                let fault = "a mount of another program is there, and its daemon is gone; take it away with umount -l";
                return Err(fail(fault.to_owned()));
            }
            detach(path)?;
        } else if is_ours {
            return Err(fail(
                "something is mounted there; take it away with `backlot mezz unmount` first".to_owned(),
            ));
        }
        let meta =
            std::fs::metadata(path).map_err(|error| fail(format!("{error}; make the folder first")))?;
        if !meta.is_dir() {
            return Err(fail("it is no folder; make one".to_owned()));
        }
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::RO,
            MountOption::NoAtime,
            MountOption::NoDev,
            MountOption::NoSuid,
            MountOption::DefaultPermissions,
            MountOption::FSName(SOURCE.to_owned()),
        ];
        config.acl = match options.audience {
            Audience::Owner => SessionACL::Owner,
            Audience::All => SessionACL::All,
        };
        config.n_threads =
            Some(std::thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 8)));
        config.clone_fd = true;
        let files = Files {
            reader: reader.clone(),
            recorder: recorder.clone(),
            owner: (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()),
            made: SystemTime::now(),
            handles: Mutex::default(),
            can_pass_through: AtomicBool::new(false),
            route: options.route,
        };
        let session =
            fuser::Session::new(files, path, &config).and_then(fuser::Session::spawn).map_err(|error| {
                let mend = match error.kind() {
                    io::ErrorKind::NotFound => "install fuse3, and load the kernel's module fuse",
                    io::ErrorKind::PermissionDenied => "mount as root, or install fuse3 for its fusermount3",
                    _ => "see `dmesg`",
                };
                fail(format!("{error}; {mend}"))
            })?;
        widen_read_ahead(path);
        Ok(Self { path: path.to_owned(), session: Some(session), reader, recorder })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its reader.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Whether it was unmounted from outside.
    pub fn has_ended(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.guard.is_finished())
    }

    /// Unmounts, also when files are open: programs that have some get an error. Ends the replay.
    ///
    /// # Errors
    /// A replay whose end cannot be written.
    pub fn end(mut self) -> Result<(), Error> {
        self.close();
        match &self.recorder {
            Some(recorder) => recorder.finish(self.reader.meters()),
            None => Ok(()),
        }
    }

    fn close(&mut self) {
        let Some(session) = self.session.take() else { return };
        if !session.guard.is_finished() {
            // Lazily, since somebody may have a file open; the session's own unmount would fail then.
            let _ = detach(&self.path);
        }
        // Dropped and not joined: with open files the kernel keeps the session until they are closed.
        drop(session);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.close();
    }
}

/// Whether a daemon that is gone has left its mount here.
pub fn is_dead(path: &Path) -> bool {
    // The kernel may know the folder's attributes still, but it cannot open it.
    std::fs::read_dir(path)
        .is_err_and(|error| error.raw_os_error() == Some(rustix::io::Errno::NOTCONN.raw_os_error()))
}

/// Whether a mount of ours is here, dead or alive.
pub fn is_mounted(path: &Path) -> bool {
    device(path).is_some()
}

/// The device of our mount here, as `major:minor`.
fn device(path: &Path) -> Option<String> {
    let path = resolve(path);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // 36 35 0:45 / /mnt/film ro,noatime - fuse backlot-mezz ro,…
    let of = |line: &str| {
        let (fields, system) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(2);
        let (device, _root, at) = (fields.next()?, fields.next()?, fields.next()?);
        let source = system.split(' ').nth(1)?;
        (source == SOURCE && unescape(at) == path.to_string_lossy()).then(|| device.to_owned())
    };
    mounts.lines().find_map(of)
}

/// The path as the kernel lists it: absolute, without links. The last part is not looked at if its daemon is gone.
fn resolve(path: &Path) -> PathBuf {
    if let Ok(whole) = path.canonicalize() {
        return whole;
    }
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (path.parent().and_then(|parent| parent.canonicalize().ok()), path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path,
    }
}

/// Lets the kernel read ahead by [`READ_AHEAD`]. What a file system may ask for when it is mounted ends at 128 KiB; only root
/// may set more, and without that the kernel asks more often.
fn widen_read_ahead(path: &Path) {
    let Some(device) = device(path) else { return };
    let file = format!("/sys/class/bdi/{device}/read_ahead_kb");
    if let Err(error) = std::fs::write(&file, (READ_AHEAD >> 10).to_string()) {
        tracing::debug!(%error, file, "the kernel reads ahead as little as it does by itself");
    }
}

/// The path in a line of /proc/self/mountinfo, where blanks are octal numbers.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Takes a mount of ours away, whoever uses it and whatever has become of its daemon.
///
/// # Errors
/// [`Error::Unmount`] when no mount of ours is there, or it may not be unmounted.
pub fn detach(path: &Path) -> Result<(), Error> {
    let fail = |fault: String| Error::Unmount { path: path.to_owned(), fault };
    if !is_mounted(path) {
        return Err(fail("no mount of ours is there; see `findmnt -t fuse`".to_owned()));
    }
    let Err(error) = unmount(path, UnmountFlags::DETACH) else { return Ok(()) };
    if error == rustix::io::Errno::PERM {
        let helper = std::process::Command::new("fusermount3").args(["-u", "-z", "--"]).arg(path).output();
        return match helper {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(fail(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
            Err(error) => Err(fail(format!("fusermount3 does not run ({error}); install fuse3"))),
        };
    }
    Err(fail(format!("{error}; see `findmnt -t fuse`")))
}

/// How the open handles of a file are served.
enum Way {
    /// By us, through the page cache.
    Ours,
    /// By the kernel.
    Through(Arc<BackingId>),
}

#[derive(Default)]
struct Handles {
    /// Per file: the way, and how many handles.
    by_file: HashMap<u64, (Way, u64)>,
    /// Numbers of handles, never used twice.
    next: u64,
}

struct Files {
    reader: Reader,
    recorder: Option<Arc<Recorder>>,
    owner: (u32, u32),
    made: SystemTime,
    handles: Mutex<Handles>,
    can_pass_through: AtomicBool,
    route: Route,
}

impl Files {
    fn attributes(&self, number: u64) -> Option<FileAttr> {
        let (kind, size, permissions, links) = match self.reader.tree().node(number)? {
            Node::Folder { .. } => (FileType::Directory, 0, 0o555, 2),
            Node::File(extent) => (FileType::RegularFile, extent.range.end - extent.range.start, 0o444, 1),
        };
        Some(FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: self.made,
            mtime: self.made,
            ctime: self.made,
            crtime: self.made,
            kind,
            perm: permissions,
            nlink: links,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            // What programs such as cp read at a time.
            blksize: LARGEST_REQUEST,
            flags: 0,
        })
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of the cache that is exactly this file, if it can be had.
    fn complete_file(&self, number: u64) -> Option<std::fs::File> {
        if !self.can_pass_through.load(Ordering::Relaxed) {
            return None;
        }
        let Some(Node::File(extent)) = self.reader.tree().node(number) else { return None };
        let object = &self.reader.objects()[extent.object as usize];
        if extent.range != (0..object.size()) {
            return None;
        }
        object.local_file()
    }
}

impl Filesystem for Files {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Each of these is an improvement that an older kernel does without.
        let _ = config.set_max_write(LARGEST_REQUEST);
        if let Err(most) = config.set_max_readahead(READ_AHEAD) {
            let _ = config.set_max_readahead(most);
        }
        let _ = config.set_max_background(BACKGROUND);
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        if self.route == Route::Direct {
            // Without it only private mappings of a file can be had.
            let _ = config.add_capabilities(InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP);
        }
        if config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok()
            && config.set_max_stack_depth(1).is_ok()
        {
            self.can_pass_through.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let child = name.to_str().and_then(|name| self.reader.tree().child(parent.0, name));
        match child.and_then(|child| self.attributes(child)) {
            Some(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _request: &Request, number: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(number.0) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let Some(Node::File(extent)) = self.reader.tree().node(number.0) else {
            return reply.error(Errno::EISDIR);
        };
        let meters = self.reader.meters();
        Meters::add(&meters.opens, 1);
        if let Some(recorder) = &self.recorder {
            let len = extent.range.end - extent.range.start;
            recorder.opened(Read { object: extent.object, offset: extent.range.start, len });
        }
        let mut handles = self.handles();
        handles.next += 1;
        let handle = FileHandle(handles.next);
        let (way, count) = handles.by_file.entry(number.0).or_insert_with(|| {
            let backing = self.complete_file(number.0).and_then(|file| match reply.open_backing(file) {
                Ok(backing) => Some(backing),
                Err(error) => {
                    // Without the right to it (CAP_SYS_ADMIN) or on a stacked file system it will never work.
                    self.can_pass_through.store(false, Ordering::Relaxed);
                    tracing::info!(%error, "the kernel does not read from the cache by itself; reads go through us");
                    None
                }
            });
            (backing.map_or(Way::Ours, |backing| Way::Through(Arc::new(backing))), 0)
        });
        *count += 1;
        match way {
            Way::Ours => {
                let flags = match self.route {
                    Route::PageCache => FopenFlags::FOPEN_KEEP_CACHE,
                    Route::Direct => FopenFlags::FOPEN_DIRECT_IO,
                };
                reply.opened(handle, flags);
            }
            Way::Through(backing) => {
                Meters::add(&meters.passthrough_opens, 1);
                let backing = Arc::clone(backing);
                reply.opened_passthrough(handle, FopenFlags::empty(), &backing);
            }
        }
    }

    fn read(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(Node::File(extent)) = self.reader.tree().node(number.0) else {
            return reply.error(Errno::EISDIR);
        };
        let start = extent.range.start.saturating_add(offset).min(extent.range.end);
        let end = start.saturating_add(u64::from(size)).min(extent.range.end);
        if start == end {
            return reply.data(&[]);
        }
        let read = Read { object: extent.object, offset: start, len: end - start };
        let object = Arc::clone(&self.reader.objects()[extent.object as usize]);
        self.reader.read_with(read, move |answer| match answer {
            Ok(pieces) => {
                object.tell_success();
                reply.data(&pieces.into_bytes());
            }
            Err(error) => {
                // Once, until it works again: the kernel asks several times for what a program reads once.
                if object.tell_failure() {
                    let (name, len) = (object.name(), read.len);
                    tracing::error!(object = name, offset = read.offset, len, %error, "a read failed");
                }
                reply.error(Errno::EIO);
            }
        });
    }

    fn flush(
        &self,
        _request: &Request,
        _number: INodeNo,
        _handle: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        // Nothing is ever written; the kernel does not ask again.
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let mut handles = self.handles();
        if let Some((_, count)) = handles.by_file.get_mut(&number.0) {
            *count -= 1;
            if *count == 0 {
                handles.by_file.remove(&number.0);
            }
        }
        drop(handles);
        reply.ok();
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.reader.tree().node(number.0) {
            Some(Node::Folder { .. }) => {
                reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR);
            }
            _ => reply.error(Errno::ENOTDIR),
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let tree = self.reader.tree();
        let Some(Node::Folder { entries, parent }) = tree.node(number.0) else {
            return reply.error(Errno::ENOTDIR);
        };
        let own = [(".", number.0), ("..", *parent)];
        let all = own.into_iter().chain(entries.iter().map(|(name, &number)| (name.as_str(), number)));
        for (at, (name, number)) in all.enumerate().skip(offset as usize) {
            let kind = match tree.node(number) {
                Some(Node::File(_)) => FileType::RegularFile,
                _ => FileType::Directory,
            };
            // True when the kernel's buffer is full.
            if reply.add(INodeNo(number), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, reply: ReplyStatfs) {
        const BLOCK: u32 = 4096;
        let bytes: u64 =
            self.reader.objects().iter().map(|object| object.size()).fold(0, u64::saturating_add);
        reply.statfs(
            bytes.div_ceil(u64::from(BLOCK)),
            0,
            0,
            self.reader.tree().files() as u64,
            0,
            BLOCK,
            255,
            BLOCK,
        );
    }

    fn getxattr(&self, _request: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if number.0 != ROOT || name.to_str() != Some(METERS_ATTRIBUTE) {
            return reply.error(Errno::NO_XATTR);
        }
        let mut text = String::new();
        for (name, value) in self.reader.meters().snapshot() {
            text.push_str(&format!("{name} {value}\n"));
        }
        text.push_str(&format!("mezz.buffered.bytes {}\n", self.reader.buffered()));
        match size as usize {
            0 => reply.size(text.len() as u32),
            room if room < text.len() => reply.error(Errno::ERANGE),
            _ => reply.data(text.as_bytes()),
        }
    }
}
