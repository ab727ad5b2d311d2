//! The cache on this machine, the shared cache, and passthrough.

use std::sync::Arc;

use backlot_mezzfs::cache::CacheFolder;
use backlot_mezzfs::cache::peer::{Peer, serve};
use backlot_mezzfs::meters::Meters;
use backlot_mezzfs::plan::Read;
use backlot_mezzfs::session::{Session, Settings};

use crate::outside::{Log, can_mount, content, mounted, one, settings};
use crate::server::{Fault, Server};

const SIZE: usize = 6 << 20;

fn cached(folder: &std::path::Path, limit: u64) -> Settings {
    Settings { cache: Some(CacheFolder { path: folder.to_owned(), limit }), ..settings() }
}

async fn read(session: &Session, offset: usize, len: usize) -> Vec<u8> {
    let read = Read { object: 0, offset: offset as u64, len: len as u64 };
    session.reader.read(read).await.unwrap().into_bytes().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cached_is_not_fetched_again_and_damage_is() {
    let server = Server::start();
    let bytes = content(SIZE, 1);
    let url = server.put("/film", bytes.clone(), "1");
    let folder = tempfile::tempdir().unwrap();
    let open = async || {
        Session::open("test", &one(&url, "film"), None, &cached(folder.path(), 1 << 30)).await.unwrap()
    };
    assert!(read(&open().await, 0, SIZE).await == bytes);
    let before = server.traffic().1;
    let second = open().await;
    assert!(read(&second, 0, SIZE).await == bytes);
    assert_eq!(server.traffic().1 - before, 1, "only the byte that pins the version");
    assert_eq!(Meters::get(&second.reader.meters().cache_bytes), SIZE as u64);

    // Damage on the disk.
    let entry = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let data = std::fs::OpenOptions::new().write(true).open(entry.join("data")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&data, &[0xff; 100], 1_000_000).unwrap();
    let third = open().await;
    assert!(read(&third, 0, SIZE).await == bytes);
    assert!(Meters::get(&third.reader.meters().fetched_bytes) > 0);

    // Another version is another entry.
    let other = content(SIZE, 2);
    server.put("/film", other.clone(), "2");
    assert!(read(&open().await, 0, SIZE).await == other);
}

/// The limit is kept, and when the disk is full reading goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_cache_does_not_stop_reading() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let limit = 2 << 20;
    for i in 0..4_u64 {
        let bytes = content(SIZE, i);
        let url = server.put(&format!("/film{i}"), bytes.clone(), "1");
        let session =
            Session::open("test", &one(&url, "film"), None, &cached(folder.path(), limit)).await.unwrap();
        assert!(read(&session, 0, 1 << 20).await == bytes[..1 << 20]);
        assert!(read(&session, 1 << 20, SIZE - (1 << 20)).await == bytes[1 << 20..]);
    }
    assert!(disk_use(folder.path()) <= limit + (64 << 10), "{}", disk_use(folder.path()));

    // A disk that is full: /dev/full cannot be a folder, a small file system can.
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: the right to mount a small disk is missing; run as root");
        return;
    }
    let log = Log::of_process();
    let disk = tempfile::tempdir().unwrap();
    let options = std::ffi::CString::new("size=1m").unwrap();
    let flags = rustix::mount::MountFlags::empty();
    if rustix::mount::mount("tmpfs", disk.path(), "tmpfs", flags, &*options).is_err() {
        eprintln!("skipped: the right to mount a small disk is missing; run with CAP_SYS_ADMIN");
        return;
    }
    let bytes = content(SIZE, 9);
    let url = server.put("/full", bytes.clone(), "1");
    let session =
        Session::open("test", &one(&url, "film"), None, &cached(disk.path(), 1 << 30)).await.unwrap();
    let whole = read(&session, 0, SIZE).await;
    let failed = Meters::get(&session.reader.meters().cache_failed);
    let again = Session::open("test", &one(&url, "film"), None, &cached(disk.path(), 1 << 30)).await.unwrap();
    let twice = read(&again, 0, SIZE).await;
    drop((session, again));
    rustix::mount::unmount(disk.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert!(whole == bytes && twice == bytes);
    assert!(failed > 0);
    assert!(!log.lines(&["WARN", "the cache fails"]).is_empty());
}

fn disk_use(path: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(path).unwrap().flatten();
    entries
        .map(|entry| match entry.metadata().unwrap() {
            meta if meta.is_dir() => disk_use(&entry.path()),
            meta => meta.blocks() * 512,
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_gives_what_it_has_and_the_origin_the_rest() {
    let server = Server::start();
    let bytes = content(SIZE, 3);
    let url = server.put("/film", bytes.clone(), "1");
    let folder = tempfile::tempdir().unwrap();
    let first =
        Session::open("test", &one(&url, "film"), None, &cached(folder.path(), 1 << 30)).await.unwrap();
    assert!(read(&first, 0, 4 << 20).await == bytes[..4 << 20]);
    let served =
        serve(Arc::clone(&first.cache), "127.0.0.1:0".parse().unwrap(), Some("hush".into())).await.unwrap();
    let address = format!("http://{}", served.address());

    let with = |token: Option<&str>| Settings {
        peers: vec![Peer::new(&address, token.map(str::to_owned)).unwrap()],
        ..settings()
    };
    let before = server.traffic().1;
    let second = Session::open("test", &one(&url, "film"), None, &with(Some("hush"))).await.unwrap();
    assert!(read(&second, 4096, 1 << 20).await == bytes[4096..4096 + (1 << 20)]);
    assert_eq!(server.traffic().1 - before, 1, "only the byte that pins the version");
    assert!(Meters::get(&second.reader.meters().peer_bytes) >= 1 << 20);
    assert!(read(&second, 5 << 20, 1000).await == bytes[5 << 20..(5 << 20) + 1000]);
    assert!(Meters::get(&second.reader.meters().fetched_bytes) >= 1000);

    // Without the token, and without the peer, everything comes from the origin.
    let stranger = Session::open("test", &one(&url, "film"), None, &with(None)).await.unwrap();
    assert!(read(&stranger, 0, 1000).await == bytes[..1000]);
    assert_eq!(Meters::get(&stranger.reader.meters().peer_bytes), 0);
    drop(served);
    let alone = Session::open("test", &one(&url, "film"), None, &with(Some("hush"))).await.unwrap();
    assert!(read(&alone, 0, 1000).await == bytes[..1000]);

    assert!(
        serve(first.cache, "0.0.0.0:0".parse().unwrap(), None).await.is_err(),
        "beyond loopback without a token"
    );
}

/// Once all of an object is cached, the kernel reads it without us: not even the server has to be there.
#[tokio::test(flavor = "multi_thread")]
async fn a_cached_object_is_read_by_the_kernel_itself() {
    if !can_mount() {
        return;
    }
    let server = Server::start();
    let bytes = content(SIZE, 4);
    let url = server.put("/film", bytes.clone(), "1");
    let folder = tempfile::tempdir().unwrap();
    let settings = cached(folder.path(), 1 << 30);
    // Filled as a program fills it, whose reads the kernel and the planner cut as they like.
    let (filling, at) = mounted(&one(&url, "film"), &settings).await;
    let path = at.path().join("film");
    let filled = tokio::task::spawn_blocking(move || std::fs::read(path).unwrap()).await.unwrap();
    assert!(filled == bytes);
    filling.end().unwrap();

    let (mount, at) = mounted(&one(&url, "film"), &settings).await;
    server.fail(|_| Fault::Status(500));
    let path = at.path().join("film");
    let expected = bytes.clone();
    let reading = move || {
        let one = std::fs::File::open(&path).unwrap();
        let other = std::fs::read(&path).unwrap();
        drop(one);
        assert!(other == expected);
        assert!(std::fs::read(&path).unwrap() == expected);
    };
    tokio::task::spawn_blocking(reading).await.unwrap();
    let meters = mount.reader().meters().clone();
    if Meters::get(&meters.passthrough_opens) == 0 {
        eprintln!("skipped: FUSE passthrough is missing; run on Linux 6.9 or later, as root");
    } else {
        assert_eq!(Meters::get(&meters.passthrough_opens), 3);
        assert_eq!(Meters::get(&meters.reads), 0);
    }
    mount.end().unwrap();
}
