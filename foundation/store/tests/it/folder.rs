//! What is particular to a store in a folder: permissions, crashes, full disks, adoption.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use backlot_store::{Digest, Error, OCTET_STREAM, Store};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use proptest::prelude::*;

use crate::place::noise;

fn store_in(folder: &Path) -> Store {
    Store::open(&format!("file://{}", folder.display())).unwrap()
}

/// All files below `folder`, relative to it.
fn files_in(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    files
}

#[tokio::test]
async fn blobs_are_read_only_files_under_their_digest() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(folder.path());
    let file = folder.path().join("output");
    fs::write(&file, "owned").unwrap();
    let blobs = [
        store.put("bytes").await.unwrap(),
        store.put_reader(&b"streamed"[..]).await.unwrap(),
        store.put_file("/proc/version").await.unwrap(),
        store.put_file_owned(&file).await.unwrap(),
    ];
    for blob in blobs {
        let hex = blob.digest.to_hex();
        let path = store.local_path(&blob.digest).await.unwrap().unwrap();
        assert_eq!(path, folder.path().join("blobs").join(&hex[..2]).join(&hex[2..]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o444);
        assert_eq!(Digest::of(&fs::read(&path).unwrap()), blob.digest);
    }
    assert_eq!(files_in(folder.path()).len(), 4, "nothing else is left");
}

#[tokio::test]
async fn owned_files_are_moved_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(&folder.path().join("store"));
    let file = folder.path().join("output");
    fs::write(&file, noise(1, 100_000)).unwrap();
    let before = fs::metadata(&file).unwrap();
    let blob = store.put_file_owned(&file).await.unwrap();
    let after = fs::metadata(store.local_path(&blob.digest).await.unwrap().unwrap()).unwrap();
    assert_eq!((before.ino(), before.dev()), (after.ino(), after.dev()));
}

#[tokio::test]
async fn owned_files_of_another_filesystem_are_copied() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk")) else { return };
    let store = store_in(&folder.path().join("store"));
    let file = disk.0.join("output");
    fs::write(&file, noise(1, 100_000)).unwrap();
    let blob = store.put_file_owned(&file).await.unwrap();
    assert!(!file.exists());
    assert_eq!(store.get(&blob.digest, 1 << 20).await.unwrap(), noise(1, 100_000));
}

#[tokio::test]
async fn a_name_is_an_object_or_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(folder.path());
    store.put_named("a/b", "x", "text/plain").await.unwrap();
    store.put_named("c", "x", "text/plain").await.unwrap();
    let put = async |name: &str| store.put_named(name, "x", "text/plain").await.unwrap_err().to_string();
    let rule = "a folder store cannot have an object inside an object; rename one";
    assert_eq!(put("a").await, format!("`a` cannot be stored beside `a/…`: {rule}"));
    assert_eq!(put("c/d").await, format!("`c/d` cannot be stored beside `c`: {rule}"));
    assert_eq!(put("c/d/e").await, format!("`c/d/e` cannot be stored beside `c`: {rule}"));
    for missing in ["a", "c/d"] {
        assert!(matches!(store.get_named(missing, 9).await.unwrap_err(), Error::NoObject { .. }));
        assert_eq!(store.head_named(missing).await.unwrap(), None);
        store.delete_named(missing).await.unwrap();
    }
    assert_eq!(store.get_named("a/b", 9).await.unwrap().content, "x");
    // A folder that has become empty, by deletion or by a crash, stands in nobody's way.
    store.delete_named("a/b").await.unwrap();
    store.put_named("a", "x", "text/plain").await.unwrap();
    fs::create_dir(folder.path().join("named/e")).unwrap();
    store.put_named("e", "x", "text/plain").await.unwrap();
    assert!(files_in(&folder.path().join("staging")).is_empty());
}

#[tokio::test]
async fn media_types_are_the_standard_attribute() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(folder.path());
    store.put_named("a", "x", "text/vtt").await.unwrap();
    let path = folder.path().join("named/a");
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(&path, "user.mime_type", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"text/vtt");
    // A file that was copied there without its attributes, or with a wrong one, is still an object.
    fs::write(&path, "y").unwrap();
    for wrong in [&b"no media type"[..], b"\xff", &[b'x'; 2000]] {
        rustix::fs::setxattr(&path, "user.mime_type", wrong, rustix::fs::XattrFlags::empty()).unwrap();
        assert_eq!(store.get_named("a", 9).await.unwrap().media_type, OCTET_STREAM);
    }
    rustix::fs::removexattr(&path, "user.mime_type").unwrap();
    assert_eq!(store.head_named("a").await.unwrap().unwrap().media_type.as_deref(), Some(OCTET_STREAM));
}

#[tokio::test(flavor = "multi_thread")]
async fn putting_and_deleting_in_one_folder_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(folder.path());
    let tasks = (0..4).map(|index| {
        let store = store.clone();
        tokio::spawn(async move {
            let name = format!("shared/folder/{index}");
            for _ in 0..50 {
                store.put_named(&name, "x", "text/plain").await.unwrap();
                store.delete_named(&name).await.unwrap();
            }
        })
    });
    futures::future::try_join_all(tasks).await.unwrap();
    assert!(!folder.path().join("named/shared").exists());
}

#[tokio::test]
async fn what_the_dead_leave_is_swept_and_what_the_living_write_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(folder.path());
    let staging = folder.path().join("staging");
    let old = SystemTime::now() - Duration::from_hours(1);
    let dead = staging.join("put-dead");
    fs::write(&dead, "half").unwrap();
    let young = staging.join("put-young");
    fs::write(&young, "half").unwrap();
    File::options().write(true).open(&dead).unwrap().set_modified(old).unwrap();

    // A put that has written a piece and waits for the next.
    let (sender, receiver) = futures::channel::mpsc::unbounded::<io::Result<Bytes>>();
    let put = tokio::spawn({
        let store = store.clone();
        async move { store.put_stream(receiver).await }
    });
    sender.unbounded_send(Ok(Bytes::from("one "))).unwrap();
    let known = BTreeSet::from([dead.clone(), young.clone()]);
    let living = until("the put writes", || {
        let paths = fs::read_dir(&staging).unwrap().map(|entry| entry.unwrap().path());
        paths
            .filter(|path| !known.contains(path))
            .find(|path| fs::metadata(path).is_ok_and(|meta| meta.len() == 4))
    })
    .await;
    File::options().write(true).open(&living).unwrap().set_modified(old).unwrap();

    store_in(folder.path());
    assert!(!dead.exists(), "nobody writes it, and it is old");
    assert!(young.exists(), "its writer may just not have locked it yet");
    assert!(living.exists(), "its writer lives");
    sender.unbounded_send(Ok(Bytes::from("two"))).unwrap();
    drop(sender);
    let blob = put.await.unwrap().unwrap();
    assert_eq!(store.get(&blob.digest, 9).await.unwrap(), "one two");
}

#[tokio::test]
async fn a_put_that_is_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(folder.path());
    let endless = stream::once(async { Ok(Bytes::from("one")) }).chain(stream::pending());
    let put = tokio::time::timeout(Duration::from_millis(50), store.put_stream(endless)).await;
    assert!(put.is_err());
    until("the staged file is removed", || files_in(folder.path()).is_empty().then_some(())).await;
}

#[test]
fn one_blocking_thread_is_enough() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(&folder.path().join("store"));
    let work = async {
        let digest = store.put(noise(1, 3 << 20)).await.unwrap().digest;
        let fetches =
            (0..4).map(|index| store.fetch_to(&digest, folder.path().join(format!("copy-{index}"))));
        futures::future::try_join_all(fetches).await.unwrap();
        let copies = (0..4).map(async |_| store.put_reader(store.open_blob(&digest).await.unwrap()).await);
        futures::future::try_join_all(copies).await.unwrap();
    };
    let in_time = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), work).await });
    assert!(in_time.is_ok(), "each waits for a thread that another holds");
}

/// Waits for a condition of the file system, at most half a minute.
async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within half a minute");
        tokio::task::yield_now().await;
    }
}

/// Plays two parts: as itself, and, started by itself with the variable set, the process that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_put_leaves_no_visible_blob() {
    const FOLDER: &str = "BACKLOT_TEST_KILLED_PUT";
    const PIECE: usize = 1 << 20;

    if let Some(folder) = std::env::var_os(FOLDER) {
        let store = store_in(Path::new(&folder));
        let pieces = stream::repeat_with(|| Ok(Bytes::from(vec![7; PIECE]))).take(16 << 10);
        store.put_stream(pieces).await.unwrap();
        return;
    }
    for killed_at in [1, 20 * PIECE as u64] {
        let folder = tempfile::tempdir().unwrap();
        let store = store_in(folder.path());
        let kept = store.put("kept").await.unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "folder::a_killed_put_leaves_no_visible_blob"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let staging = folder.path().join("staging");
        let partial = until("the child writes", || {
            let entries = fs::read_dir(&staging).unwrap().flatten();
            entries
                .map(|entry| entry.path())
                .find(|path| fs::metadata(path).is_ok_and(|meta| meta.len() >= killed_at))
        })
        .await;
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success(), "the child was killed in the middle");

        let store = store_in(folder.path());
        let listed: Vec<_> =
            store.list_blobs(10, None).await.unwrap().blobs.iter().map(|blob| blob.digest).collect();
        assert_eq!(listed, [kept.digest]);
        let report = store.verify(|_| {}).await.unwrap();
        assert_eq!((report.total.blobs, report.total.damaged, report.strays.len()), (1, 0, 0));
        // The dead process no longer holds its lock, so the rest is swept once it is old enough.
        let old = SystemTime::now() - Duration::from_hours(1);
        File::options().write(true).open(&partial).unwrap().set_modified(old).unwrap();
        store_in(folder.path());
        assert!(files_in(&staging).is_empty());
    }
}

/// A disk of 8 MiB, mounted until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path) -> Option<SmallDisk> {
        fs::create_dir_all(path).unwrap();
        let options = ["-t", "tmpfs", "-o", "size=8m", "none"];
        let mounted = Command::new("mount").args(options).arg(path).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(SmallDisk(path.to_owned()));
        }
        let line = "skipped: a test on a small disk, because it cannot be mounted; run the tests as root";
        assert!(!std::env::var("BACKLOT_REQUIRE_ALL").is_ok_and(|value| value == "1"), "{line}");
        eprintln!("{line}");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_an_error_that_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk")) else { return };
    let store = store_in(&disk.0);
    let kept = store.put(noise(1, 1 << 20)).await.unwrap();
    store.put_named("kept", "as it was", "text/plain").await.unwrap();
    let before = files_in(&disk.0);
    let large = noise(2, 20 << 20);
    let file = folder.path().join("large");
    fs::write(&file, &large).unwrap();
    let errors = [
        store.put(large.clone()).await.unwrap_err(),
        store.put_file(&file).await.unwrap_err(),
        store.put_file_owned(&file).await.unwrap_err(),
        store.put_reader(large.as_slice()).await.unwrap_err(),
        store.put_named("kept", large.clone(), "text/plain").await.unwrap_err(),
        store.put_named_file("kept", &file, "text/plain").await.unwrap_err(),
    ];
    for error in errors {
        let message = error.to_string();
        let Error::File { source, .. } = &error else { panic!("{message}") };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull, "{message}");
        assert!(message.ends_with("free some space there, or choose a folder on a larger disk"), "{message}");
        assert!(message.contains(disk.0.to_str().unwrap()) && !message.contains('\n'), "{message}");
    }
    assert_eq!(files_in(&disk.0), before);
    assert!(file.exists(), "a file that could not be taken stays");
    assert_eq!(store.get(&kept.digest, 1 << 30).await.unwrap(), noise(1, 1 << 20));
    assert_eq!(store.get_named("kept", 100).await.unwrap().content, "as it was");
    let fetched = disk.0.join("fetched");
    let elsewhere = store_in(&folder.path().join("store"));
    let blob = elsewhere.put(large).await.unwrap();
    assert!(matches!(elsewhere.fetch_to(&blob.digest, &fetched).await.unwrap_err(), Error::File { .. }));
    assert_eq!(files_in(&disk.0), before);
    store.put("there is room for this").await.unwrap();
}

#[test]
fn a_place_that_cannot_be_a_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let url = format!("file://{}/file/store", folder.path().display());
    let message = Store::open(&url).unwrap_err().to_string();
    assert!(
        message.starts_with("cannot make ")
            && message.ends_with("remove the file that stands where a folder must be"),
        "{message}"
    );
    let message = Store::open("file:///proc/store").unwrap_err().to_string();
    assert!(message.starts_with("cannot make /proc/store"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Listing a tree is the same as sorting and filtering all names.
    #[test]
    fn listings_equal_those_of_a_sorted_set(
        names in proptest::collection::btree_set("[ab](/?[ab.0-]){0,5}", 0..12),
        prefix in "([ab](/?[ab.0-]){0,3}/?)?",
        after in proptest::option::of("[ab](/?[ab.0-]){0,5}"),
        limit in 1..8_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = store_in(folder.path());
        let relative = |text: &str| text.split('/').any(|part| part == "." || part == "..");
        prop_assume!(!relative(&prefix) && !after.as_deref().is_some_and(relative));
        runtime.block_on(async {
            let mut kept = BTreeSet::new();
            for name in names {
                // Names that are relative, or each other's folders, are refused.
                if store.put_named(&name, "", "text/plain").await.is_ok() {
                    kept.insert(name);
                }
            }
            let wanted: Vec<_> = kept
                .into_iter()
                .filter(|name| name.starts_with(&prefix) && after.as_ref().is_none_or(|after| name > after))
                .collect();
            let page = store.list_named(&prefix, limit, after.as_deref()).await.unwrap();
            let found: Vec<_> = page.objects.into_iter().map(|object| object.name).collect();
            prop_assert_eq!(&found[..], &wanted[..wanted.len().min(limit)]);
            prop_assert_eq!(page.next.is_some(), wanted.len() > limit);
            Ok(())
        })?;
    }
}
