//! Servers that fail: the right bytes or an error, never wrong bytes.

use std::collections::HashSet;
use std::io::{Read as _, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backlot_mezzfs::Error;
use backlot_mezzfs::meters::Meters;
use backlot_mezzfs::mount::{self, Mount};
use backlot_mezzfs::plan::Read;
use backlot_mezzfs::session::Session;
use backlot_mezzfs::source::Patience;

use crate::outside::{Log, can_mount, content, mounted, one, settings, until};
use crate::server::{Content, Fault, Served, Server};

const SIZE: usize = 9 << 20;

async fn read_all(session: &Session, size: usize) -> Result<Vec<u8>, Arc<Error>> {
    let mut out = Vec::new();
    while out.len() < size {
        let len = (128 << 10).min(size - out.len()) as u64;
        out.extend_from_slice(
            &session.reader.read(Read { object: 0, offset: out.len() as u64, len }).await?.into_bytes(),
        );
    }
    Ok(out)
}

/// Each place fails once in some way that passes: every byte is right, and the retries are counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_from_where_it_ended() {
    let server = Server::start();
    let bytes = content(SIZE, 1);
    let url = server.put("/film", bytes.clone(), "1");
    let session = Session::open("test", &one(&url, "film"), None, &settings()).await.unwrap();
    let faults = [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(429),
        Fault::ResetAfter(10_000),
        Fault::ResetAfter(0),
        Fault::ShortAfter(70_000),
        Fault::OtherRange,
    ];
    let mut seen = HashSet::new();
    let mut count = 0;
    server.fail(move |range| {
        if seen.insert(range.end) {
            count += 1;
            return faults[count % faults.len()];
        }
        Fault::None
    });
    assert!(read_all(&session, SIZE).await.unwrap() == bytes);
    assert!(Meters::get(&session.reader.meters().retries) >= 7);
    assert_eq!(Meters::get(&session.reader.meters().failed), 0);
}

/// Answers of other forms, and connections that end between two requests, are no faults.
#[tokio::test(flavor = "multi_thread")]
async fn answers_may_come_in_chunks_from_elsewhere_and_connections_may_close() {
    let server = Server::start();
    let bytes = content(SIZE, 12);
    for form in [Fault::Chunked, Fault::Closing, Fault::Elsewhere] {
        let url = server.put("/film", bytes.clone(), "1");
        server.put("/moved/film", bytes.clone(), "1");
        let session = Session::open("test", &one(&url, "film"), None, &settings()).await.unwrap();
        server.fail(move |_| form);
        assert!(read_all(&session, SIZE).await.unwrap() == bytes, "{form:?}");
        let meters = session.reader.meters();
        assert_eq!((Meters::get(&meters.retries), Meters::get(&meters.failed)), (0, 0), "{form:?}");
        server.fail(|_| Fault::None);
    }
}

/// What the general client has to read is asked for twice at first, and soon by that client alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_needs_the_general_client_is_asked_by_it_alone() {
    let pieces = 24;
    for is_s3 in [false, true] {
        let server = Server::start();
        let bytes = content(pieces * 4096, 12);
        let url = server.put("/titles/film", bytes.clone(), "1");
        let place = if is_s3 { s3(&url) } else { url };
        let session = Session::open("test", &one(&place, "film"), None, &settings()).await.unwrap();
        if is_s3 {
            server.refuse_signed_urls();
        } else {
            server.fail(|_| Fault::Chunked);
        }
        let (before, _) = server.traffic();
        // From the last piece to the first, so that none is fetched before it is read.
        for piece in (0..pieces).rev() {
            let read = Read { object: 0, offset: piece as u64 * 4096, len: 4096 };
            let answer = session.reader.read(read).await.unwrap().into_bytes();
            assert!(answer == bytes[piece * 4096..][..4096], "{piece}");
        }
        assert_eq!(server.traffic().0 - before, pieces as u64 + 3);
    }
}

/// The object at this URL as one of an S3 server.
fn s3(url: &str) -> String {
    let (server, key) = url.rsplit_once("/titles/").unwrap();
    format!("s3://titles/{key}?endpoint={server}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_is_an_error_that_names_it() {
    let server = Server::start();
    let url = server.put("/film", content(SIZE, 2), "1");
    for (fault, told) in [
        (Fault::Status(500), "500"),
        (Fault::Status(403), "may not be read"),
        (Fault::Status(404), "does not exist"),
        (Fault::ResetAfter(0), "cannot be read"),
        (Fault::ShortAfter(0), "cannot be read"),
        (Fault::OtherRange, "range"),
        (Fault::Whole, "has changed"),
    ] {
        let session = Session::open("test", &one(&url, "film"), None, &settings()).await.unwrap();
        server.fail(move |_| fault);
        let error = read_all(&session, SIZE).await.unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("/film"), "{fault:?}: {error}");
        // It works again when the server does.
        server.fail(|_| Fault::None);
        assert!(read_all(&session, SIZE).await.is_ok(), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_given_up() {
    let server = Server::start();
    let url = server.put("/film", content(SIZE, 3), "1");
    let patience = Patience { stall: Duration::from_millis(200), attempts: 2, ..settings().patience };
    let session = Session::open(
        "test",
        &one(&url, "film"),
        None,
        &backlot_mezzfs::session::Settings { patience, ..settings() },
    )
    .await
    .unwrap();
    server.fail(|_| Fault::Silence);
    let error = read_all(&session, SIZE).await.unwrap_err().to_string();
    assert!(error.contains("no answer in time"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_object_fails_whether_or_not_the_server_knows_if_match() {
    let server = Server::start();
    for is_strict in [true, false] {
        let served = |seed, etag: &str| Served {
            content: Content::Bytes(Arc::new(content(SIZE, seed))),
            etag: Some(etag.to_owned()),
            is_strict,
        };
        let url = server.put_as("/film", served(4, "\"one\""));
        let session = Session::open("test", &one(&url, "film"), None, &settings()).await.unwrap();
        let first = session.reader.read(Read { object: 0, offset: 0, len: 4096 }).await.unwrap();
        assert!(first.into_bytes() == content(SIZE, 4)[..4096]);
        server.put_as("/film", served(5, "\"two\""));
        // Of the same size, so that only the version tells.
        let second = session.reader.read(Read { object: 0, offset: 5 << 20, len: 4096 }).await.unwrap_err();
        assert!(matches!(*second, Error::Changed { .. }), "{second}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_pinned_or_ranged_is_not_mounted() {
    let server = Server::start();
    let url = server.put_as(
        "/film",
        Served { content: Content::Bytes(Arc::new(content(100, 6))), etag: None, is_strict: false },
    );
    let open = async |url: &str| {
        Session::open("test", &one(url, "film"), None, &settings()).await.unwrap_err().to_string()
    };
    assert!(open(&url).await.contains("neither an ETag"));
    let url = server.put("/film", content(100, 6), "1");
    server.fail(|_| Fault::Whole);
    assert!(open(&url).await.contains("without byte ranges"));
    server.fail(|_| Fault::None);
    assert!(open(&url.replace("film", "none")).await.contains("does not exist"));
    assert!(open("http://127.0.0.1:1/film").await.contains("cannot be read"));
}

/// Through the kernel: EIO, one line in the log, the right bytes once the server is well again, and the mount comes off.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_eio_and_the_log_one_line() {
    if !can_mount() {
        return;
    }
    let log = Log::of_process();
    let server = Server::start();
    let bytes = content(SIZE, 7);
    let url = server.put("/eio", bytes.clone(), "1");
    let (mount, folder) = mounted(&one(&url, "film-eio"), &settings()).await;
    let is_failing = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&is_failing);
    server.fail(move |_| if fails.load(Ordering::Relaxed) { Fault::Status(503) } else { Fault::None });
    let path = folder.path().join("film-eio");
    let test = move || {
        let mut file = std::fs::File::open(&path).unwrap();
        for offset in [0, 3 << 20, 6 << 20] {
            file.seek(SeekFrom::Start(offset)).unwrap();
            let error = file.read(&mut [0; 4096]).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
        }
        is_failing.store(false, Ordering::Relaxed);
        file.rewind().unwrap();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
    };
    tokio::task::spawn_blocking(test).await.unwrap();
    let lines = log.lines(&["ERROR", "a read failed", "object=\"eio\""]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("503"), "{lines:?}");
    mount.end().unwrap();
    assert!(!mount::is_mounted(folder.path()));
}

const DAEMON: &str = "MEZZ_TEST_DAEMON";

/// The daemon of the next test, in a process of its own: mounts what the variable tells and waits to be killed.
#[test]
fn daemon() {
    let Ok(told) = std::env::var(DAEMON) else { return };
    let (url, path) = told.split_once(' ').unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let session = Session::open("test", &one(url, "film"), None, &settings()).await.unwrap();
        let _mount =
            Mount::start(session.reader, None, std::path::Path::new(path), mount::Options::default())
                .unwrap();
        std::future::pending::<()>().await;
    });
}

/// Ends the daemon and takes its mount away, also when the test fails.
struct Daemon<'a>(std::process::Child, &'a std::path::Path);

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        if std::thread::panicking() {
            let _ = mount::detach(self.1);
        }
    }
}

/// Killed in the middle of a read with a file open: programs get errors, the mount comes off, and the next one takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_leaves_a_mount_that_can_be_detached() {
    if !can_mount() {
        return;
    }
    let server = Server::start();
    let bytes = content(SIZE, 8);
    let url = server.put("/film", bytes.clone(), "1");
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::daemon", "--nocapture"])
            .env(DAEMON, format!("{url} {}", folder.path().display()))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        Daemon(child, folder.path())
    };
    for round in 0..2 {
        server.fail(|_| Fault::None);
        let mut daemon = start();
        until("mounted", || std::fs::File::open(folder.path().join("film")).is_ok());
        let mut file = std::fs::File::open(folder.path().join("film")).unwrap();
        let mut first = [0; 4096];
        file.read_exact(&mut first).unwrap();
        assert!(first[..] == bytes[..4096]);
        // A read that waits for a server that says nothing.
        server.fail(|_| Fault::Silence);
        let reading = std::thread::spawn(move || {
            file.seek(SeekFrom::Start(5 << 20)).unwrap();
            file.read(&mut [0; 4096]).is_err()
        });
        let before = server.traffic().0;
        until("read under way", || server.traffic().0 > before || reading.is_finished());
        daemon.0.kill().unwrap();
        daemon.0.wait().unwrap();
        assert!(reading.join().unwrap(), "a read of a daemon that was killed gave bytes");
        until("dead", || mount::is_dead(folder.path()));
        assert!(std::fs::read(folder.path().join("film")).is_err());
        if round == 1 {
            mount::detach(folder.path()).unwrap();
            assert!(!mount::is_mounted(folder.path()));
        }
        // In the first round the next daemon detaches what it finds.
    }
}
