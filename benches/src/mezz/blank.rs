//! The mount that does nothing: a FUSE file system with one file of zeros, answered at once from one buffer.
//!
//! What reading from it costs is what FUSE itself costs, however a mount comes by its bytes: the kernel copies them from the
//! mount into new pages of its cache, and from there to the program. It asks for as much at a time as our mount lets it.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyOpen,
    Request,
};

use crate::mezz::mounts::OBJECT;

/// The largest request.
const LARGEST: usize = 1 << 20;
/// Where the kernel's pages begin, so that each is copied in one piece.
const PAGE: usize = 4096;
const TTL: Duration = Duration::from_hours(1);
const FILE: INodeNo = INodeNo(2);

struct Blank {
    size: u64,
    zeros: Vec<u8>,
    begin: usize,
}

/// Mounts a file of this many zeros until the session is dropped.
///
/// # Errors
/// A folder where nothing can be mounted.
pub fn mount(path: &Path, size: u64) -> io::Result<BackgroundSession> {
    let zeros = vec![0; LARGEST + PAGE];
    let begin = zeros.as_ptr().align_offset(PAGE) % PAGE;
    let mut config = Config::default();
    config.mount_options = vec![MountOption::RO, MountOption::FSName("blank".to_owned())];
    config.n_threads = Some(2);
    config.clone_fd = true;
    let session = fuser::Session::new(Blank { size, zeros, begin }, path, &config)?.spawn()?;
    // As our own mount does; without the right to it the kernel asks for 128 KiB at a time.
    if let Ok(found) = rustix::fs::stat(path) {
        let (major, minor) = (rustix::fs::major(found.st_dev), rustix::fs::minor(found.st_dev));
        std::fs::write(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"), "2048")?;
    }
    Ok(session)
}

impl Blank {
    fn attributes(&self, number: INodeNo) -> FileAttr {
        let (kind, size) =
            if number == FILE { (FileType::RegularFile, self.size) } else { (FileType::Directory, 0) };
        let made = SystemTime::UNIX_EPOCH;
        FileAttr {
            ino: number,
            size,
            blocks: size.div_ceil(512),
            atime: made,
            mtime: made,
            ctime: made,
            crtime: made,
            kind,
            perm: 0o555,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: LARGEST as u32,
            flags: 0,
        }
    }
}

impl Filesystem for Blank {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let _ = config.set_max_write(LARGEST as u32);
        let _ = config.set_max_background(64);
        Ok(())
    }

    fn lookup(&self, _request: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == OBJECT {
            reply.entry(&TTL, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _request: &Request, number: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attributes(number));
    }

    fn open(&self, _request: &Request, _number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(1), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _request: &Request,
        _number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(LARGEST);
        let len = left.min(size as usize).min(LARGEST);
        reply.data(&self.zeros[self.begin..self.begin + len]);
    }
}
