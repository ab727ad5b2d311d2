//! Mounts as programs see them.

use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::Arc;

use backlot_mezzfs::manifest::{FileEntry, MountManifest, ObjectSource};
use backlot_mezzfs::meters::Meters;
use backlot_mezzfs::mount::{self, Mount, Options, Route};
use backlot_mezzfs::plan::Policy;
use backlot_mezzfs::replay::{Operation, Replay, Summary, rerun};
use backlot_mezzfs::session::{Session, Settings};

use crate::outside::{can_mount, content, has_program, mounted, one, settings};
use crate::server::{Content, Served, Server, made};

#[tokio::test(flavor = "multi_thread")]
async fn files_are_the_bytes_of_their_objects() {
    if !can_mount() {
        return;
    }
    let server = Server::start();
    let (film, sound) = (content(10 << 20, 1), content(1_234_567, 2));
    let film_url = server.put("/film.yuv", film.clone(), "1");
    let sound_url = server.put("/sound.wav", sound.clone(), "1");
    let empty_url = server.put("/empty", Vec::new(), "1");
    let file = |path: &str, object: &str, offset, length, count| FileEntry {
        path: path.into(),
        object: object.into(),
        offset,
        length,
        count,
    };
    let manifest = MountManifest {
        mezz_mount: 1,
        objects: [("film", &film_url), ("sound", &sound_url), ("empty", &empty_url)]
            .map(|(name, url)| (name.to_owned(), ObjectSource::Source(url.clone())))
            .into(),
        files: vec![
            file("film.yuv", "film", 0, None, None),
            file("scene/{}.raw", "film", 1000, Some(100_000), Some(100)),
            file("sound/take.wav", "sound", 0, None, None),
            file("sound/tail", "sound", 1_000_000, None, None),
            file("empty", "empty", 0, None, None),
        ],
    };
    let (mount, folder) = mounted(&manifest, &settings()).await;
    let root = folder.path().to_owned();
    let test = move || {
        assert!(std::fs::read(root.join("film.yuv")).unwrap() == film);
        assert!(std::fs::read(root.join("sound/take.wav")).unwrap() == sound);
        assert!(std::fs::read(root.join("sound/tail")).unwrap() == sound[1_000_000..]);
        assert!(std::fs::read(root.join("empty")).unwrap().is_empty());
        let mut names: Vec<_> =
            std::fs::read_dir(root.join("scene")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names.len(), 100);
        for (i, name) in names.iter().enumerate() {
            let start = 1000 + i * 100_000;
            assert!(
                std::fs::read(root.join("scene").join(name)).unwrap() == film[start..start + 100_000],
                "{name:?}"
            );
        }
        // Read-only, and nothing that is not there.
        assert!(std::fs::write(root.join("film.yuv"), b"x").is_err());
        assert!(std::fs::File::create(root.join("new")).is_err());
        assert!(std::fs::read(root.join("scene/100.raw")).is_err());
        assert!(std::fs::read(root.join("film.yuv/x")).is_err());
        // Past the end.
        let tail = std::fs::File::open(root.join("sound/tail")).unwrap();
        let mut bytes = [7; 100];
        assert_eq!(tail.read_at(&mut bytes, 234_500).unwrap(), 67);
        assert_eq!(tail.read_at(&mut bytes, 234_567).unwrap(), 0);
        assert_eq!(tail.read_at(&mut bytes, 1 << 40).unwrap(), 0);
        root
    };
    tokio::task::spawn_blocking(test).await.unwrap();
    let meters = mount.reader().meters().clone();
    assert!(Meters::get(&meters.fetched_bytes) <= (10 << 20) * 2 + 3 * 1_234_567);
    mount.end().unwrap();
    assert!(!mount::is_mounted(folder.path()));
}

/// 64 threads read one file at once, scattered and in sequence: right bytes, within the memory.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_readers_stay_within_the_memory() {
    if !can_mount() {
        return;
    }
    let server = Server::start();
    let bytes = Arc::new(content(24 << 20, 3));
    let url = server.put("/film", bytes.to_vec(), "1");
    let max_buffer = backlot_mezzfs::session::LEAST_BUFFER;
    let (mount, folder) = mounted(&one(&url, "film"), &Settings { max_buffer, ..settings() }).await;
    let reader = mount.reader().clone();
    let path = folder.path().join("film");
    let test = move || {
        let threads: Vec<_> = (0..64_usize)
            .map(|i| {
                let (bytes, path, reader) = (Arc::clone(&bytes), path.clone(), reader.clone());
                std::thread::spawn(move || {
                    let file = std::fs::File::open(path).unwrap();
                    let mut buffer = vec![0; 50_000];
                    for step in 0..12 {
                        let scattered = (i * 7919 + step * 104_729) * 4099;
                        let in_sequence = i * 300_000 + step * 50_000;
                        let at = if i % 2 == 0 { scattered } else { in_sequence } % (bytes.len() - 50_000);
                        file.read_exact_at(&mut buffer, at as u64).unwrap();
                        assert!(buffer == bytes[at..at + 50_000], "thread {i} step {step}");
                        assert!(reader.buffered() <= max_buffer);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    };
    tokio::task::spawn_blocking(test).await.unwrap();
    mount.end().unwrap();
}

/// An object of 100 GB of which 10,000 frames are files: any of them is right, and little more than what is read is fetched.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_frames_of_a_hundred_gigabytes() {
    const FRAME: u64 = 10_000_000;
    const READ: u64 = 65_536;
    if !can_mount() {
        return;
    }
    let server = Server::start();
    let content = Content::Made(100_000_000_000);
    let url = server.put_as("/film.yuv", Served { content, etag: Some("\"1\"".into()), is_strict: true });
    let file = FileEntry {
        path: "f/{}.yuv".into(),
        object: "film".into(),
        offset: 0,
        length: Some(FRAME),
        count: Some(10_000),
    };
    let manifest = MountManifest {
        mezz_mount: 1,
        objects: [("film".to_owned(), ObjectSource::Source(url))].into(),
        files: vec![file],
    };
    let (mount, folder) = mounted(&manifest, &settings()).await;
    let root = folder.path().to_owned();
    let test = move || {
        assert_eq!(std::fs::read_dir(root.join("f")).unwrap().count(), 10_000);
        let mut buffer = vec![0; READ as usize];
        for i in 0..100_u64 {
            let frame = i * 7919 % 10_000;
            let file = std::fs::File::open(root.join(format!("f/{frame:04}.yuv"))).unwrap();
            let at = i * 104_729 % (FRAME - READ) / 4096 * 4096;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
            file.read_exact_at(&mut buffer, at).unwrap();
            let start = frame * FRAME + at;
            assert!(buffer == made(start..start + READ), "frame {frame} at {at}");
        }
    };
    tokio::task::spawn_blocking(test).await.unwrap();
    let fetched = Meters::get(&mount.reader().meters().fetched_bytes);
    assert!(fetched * 10 <= 100 * READ * 11 + 10, "{fetched} bytes fetched for {}", 100 * READ);
    mount.end().unwrap();
}

/// ffmpeg seeks to a scene and decodes it: the same frames as from the disk, and at most 1.3 times their bytes fetched.
#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_decodes_a_scene_through_the_mount() {
    /// A frame of 320x180 in 4:2:2, uncompressed as a mezzanine nearly is.
    const FRAME: u64 = 320 * 180 * 2;
    const RATE: u64 = 25;
    /// Where the scene begins and how long it is, in seconds.
    const SCENE: (u64, u64) = (10, 24);
    if !can_mount() || !has_program("ffmpeg", "install it with `apt-get install ffmpeg`") {
        return;
    }
    let run = |arguments: &[&str]| {
        let output =
            Command::new("ffmpeg").args(["-nostdin", "-v", "error", "-y"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let scratch = tempfile::tempdir().unwrap();
    let film = scratch.path().join("film.mov");
    let film = film.to_str().unwrap();
    let source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=45"];
    run(&[&source[..], &["-c:v", "rawvideo", "-pix_fmt", "uyvy422", "-movflags", "+faststart", film]]
        .concat());
    let server = Server::start();
    let url = server.put("/film.mov", std::fs::read(film).unwrap(), "1");
    let settings = Settings { max_buffer: backlot_mezzfs::session::LEAST_BUFFER, ..settings() };
    let (mount, folder) = mounted(&one(&url, "film.mov"), &settings).await;
    let decode = |file: &str| {
        let (start, length) = (SCENE.0.to_string(), SCENE.1.to_string());
        run(&["-ss", &start, "-i", file, "-t", &length, "-f", "framemd5", "-"])
    };
    let known = decode(film);
    let frames = String::from_utf8_lossy(&known).lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(frames as u64, SCENE.1 * RATE);
    let mounted_film = folder.path().join("film.mov");
    assert!(decode(mounted_film.to_str().unwrap()) == known);
    let fetched = Meters::get(&mount.reader().meters().fetched_bytes);
    let needed = SCENE.1 * RATE * FRAME;
    assert!(fetched * 10 <= needed * 13, "{fetched} bytes fetched for {needed}");
    mount.end().unwrap();
}

/// A replay has every read, is the same when run again, and says what each buffering costs.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_recorded_and_run_again() {
    if !can_mount() {
        return;
    }
    let server = Server::start();
    let url = server.put("/film", content(32 << 20, 4), "1");
    let record = tempfile::NamedTempFile::new().unwrap();
    let recording = Settings { record: Some(record.path().to_owned()), ..settings() };
    let (mount, folder) = mounted(&one(&url, "film"), &recording).await;
    let path = folder.path().join("film");
    let test = move || {
        let file = std::fs::File::open(path).unwrap();
        // Random access, or the kernel would read ahead by itself at the first read.
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
        let mut buffer = vec![0; 65_536];
        for i in 0..64_u64 {
            file.read_exact_at(&mut buffer, i * 37 % 512 * 65_536).unwrap();
        }
    };
    tokio::task::spawn_blocking(test).await.unwrap();
    mount.end().unwrap();

    let replay = Replay::open(record.path()).unwrap();
    let summary = Summary::of(&replay);
    assert!(summary.is_complete && summary.opens == 1 && summary.failed == 0, "{summary:?}");
    assert_eq!(summary.read_bytes, 64 * 65_536);
    assert!(summary.amplification <= 1.1, "{summary:?}");
    assert_eq!(replay.counters.as_ref().unwrap()["mezz.reads"], summary.reads);

    let adaptive =
        rerun::run(&replay, &settings().opener(None).unwrap(), Policy::Adaptive, 64 << 20).await.unwrap();
    assert_eq!((adaptive.reads, adaptive.failed, adaptive.read_bytes), (summary.reads, 0, 64 * 65_536));
    assert!(adaptive.amplification <= 1.1, "{adaptive:?}");
    let fixed = rerun::run(&replay, &settings().opener(None).unwrap(), Policy::Fixed(8 << 20), 16 << 20)
        .await
        .unwrap();
    assert!(fixed.amplification > 4.0, "{fixed:?}");
    let foretold = rerun::foretell(&replay, Policy::Adaptive, 64 << 20).unwrap();
    assert_eq!(foretold.read, adaptive.read_bytes);
    assert!(replay.of(Operation::Fetch).count() > 0);

    // An object of another size is not what was recorded.
    server.put("/film", content(100, 4), "2");
    assert!(
        rerun::run(&replay, &settings().opener(None).unwrap(), Policy::Adaptive, 64 << 20).await.is_err()
    );
}

/// Unmounting while a program has a file open works, and the program gets an error and no wrong bytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_mount_comes_off() {
    if !can_mount() {
        return;
    }
    let server = Server::start();
    let url = server.put("/film", content(1 << 20, 5), "1");
    let (mount, folder) = mounted(&one(&url, "film"), &settings()).await;
    let path = folder.path().join("film");
    let file = tokio::task::spawn_blocking(move || std::fs::File::open(path).unwrap()).await.unwrap();
    mount.end().unwrap();
    assert!(!mount::is_mounted(folder.path()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    drop(file);
}

/// A mount is found by every name of its folder, is not mounted over, and nothing else is taken away in its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_mount_is_known_by_its_folder() {
    if !can_mount() {
        return;
    }
    let server = Server::start();
    let url = server.put("/film", content(1000, 9), "1");
    let (mount, folder) = mounted(&one(&url, "film"), &settings()).await;
    let with_slash = format!("{}/", folder.path().display());
    assert!(mount::is_mounted(with_slash.as_ref()));
    let names = tempfile::tempdir().unwrap();
    let link = names.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    let path = link.clone();
    assert!(tokio::task::spawn_blocking(move || mount::is_mounted(&path)).await.unwrap());

    let session = Session::open("test", &one(&url, "film"), None, &settings()).await.unwrap();
    let again = Mount::start(session.reader, None, folder.path(), Options::default());
    assert!(again.unwrap_err().to_string().contains("mezz unmount"));
    assert!(mount::detach(names.path()).unwrap_err().to_string().contains("no mount of ours"));
    assert!(mount::detach("/proc".as_ref()).is_err() && std::path::Path::new("/proc/self").exists());
    tokio::task::spawn_blocking(move || mount::detach(&link)).await.unwrap().unwrap();
    assert!(!mount::is_mounted(folder.path()));
    drop(mount);
}

/// The kernel's attribute tells the counters of a running mount.
#[tokio::test(flavor = "multi_thread")]
async fn meters_are_told_by_the_root_folder() {
    if !can_mount() {
        return;
    }
    let server = Server::start();
    let url = server.put("/film", content(100_000, 6), "1");
    let (mount, folder) = mounted(&one(&url, "film"), &settings()).await;
    let root = folder.path().to_owned();
    let told = tokio::task::spawn_blocking(move || {
        std::fs::read(root.join("film")).unwrap();
        let mut text = vec![0; 4096];
        let length = rustix::fs::getxattr(&root, mount::METERS_ATTRIBUTE, &mut text[..]).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    });
    let told = told.await.unwrap();
    assert!(told.contains("mezz.read.bytes 100000\n"), "{told}");
    mount.end().unwrap();
}

/// Without the page cache: the same bytes at any place and length, and what is read again once it is forgotten is fetched again.
#[tokio::test(flavor = "multi_thread")]
async fn a_direct_mount_gives_the_same_bytes_and_keeps_none() {
    if !can_mount() {
        return;
    }
    let server = Server::start();
    let film = content(20 << 20, 11);
    let url = server.put("/direct", film.clone(), "1");
    let folder = tempfile::tempdir().unwrap();
    // Less than the film, so that its beginning is forgotten when its end was read.
    let settings = Settings { max_buffer: 9 << 20, ..settings() };
    let session = Session::open("test", &one(&url, "film"), None, &settings).await.unwrap();
    let options = Options { route: Route::Direct, ..Options::default() };
    let mount = Mount::start(session.reader, None, folder.path(), options).unwrap();
    let path = folder.path().join("film");
    let test = move || {
        assert!(std::fs::read(&path).unwrap() == film);
        let file = std::fs::File::open(&path).unwrap();
        for (offset, len) in [(0, 1), (4095, 2), (1_048_575, 3_000_001), (film.len() - 10, 10)] {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, offset as u64).unwrap();
            assert!(bytes == film[offset..offset + len], "{len} bytes at {offset}");
        }
        assert_eq!(file.read_at(&mut [0; 10], film.len() as u64).unwrap(), 0);
        let before = server.traffic().1;
        assert!(before >= film.len() as u64);
        assert!(std::fs::read(&path).unwrap() == film);
        assert!(server.traffic().1 - before > film.len() as u64 / 4, "it was kept somewhere");
        // What a program may map it may read, by the same bytes.
        let compared = Command::new("cmp").arg(&path).arg(&path).status().unwrap();
        assert!(compared.success());
    };
    tokio::task::spawn_blocking(test).await.unwrap();
    mount.end().unwrap();
    assert!(!mount::is_mounted(folder.path()));
}
