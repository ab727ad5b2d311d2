//! Encrypted objects in the house's store.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;

use backlot_mezzfs::Error;
use backlot_mezzfs::manifest::ObjectSource;
use backlot_mezzfs::meters::Meters;
use backlot_mezzfs::plan::Read;
use backlot_mezzfs::put::{Cut, manifest_name, put};
use backlot_mezzfs::seal::WrappingKey;
use backlot_mezzfs::session::{ManifestBuilder, Session, Settings};
use backlot_store::Store;

use crate::outside::{can_mount, content, settings};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct House {
    folder: tempfile::TempDir,
    store: Store,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("file://{}/store", folder.path().display())).unwrap();
        Self { folder, store }
    }

    async fn put(&self, bytes: &[u8], key: Option<&WrappingKey>) -> Vec<String> {
        let file = self.folder.path().join("in");
        std::fs::write(&file, bytes).unwrap();
        let cut = Cut { part: 1_000_000, segment: 65_536 };
        put(&self.store, &file, "film.yuv", cut, key).await.unwrap().parts
    }

    async fn open(&self, key: Option<&str>) -> Result<Session, Error> {
        let key = key.map(|key| WrappingKey::parse(key).unwrap());
        let source = ObjectSource::Manifest(format!("named:{}", manifest_name("film.yuv")));
        let manifest = ManifestBuilder::default().object(source, "film.yuv".into()).build();
        Session::open("test", &manifest, Some(self.store.clone()), &Settings { key, ..settings() }).await
    }

    /// The file of a part.
    fn part(&self, part: &str) -> PathBuf {
        let digest = part.strip_prefix("blob:").unwrap().trim_start_matches("b3:");
        let digest = digest.rsplit(':').next().unwrap();
        self.folder.path().join("store/blobs").join(&digest[..2]).join(&digest[2..])
    }
}

async fn read(session: &Session, offset: u64, len: u64) -> Result<Vec<u8>, String> {
    let read = session.reader.read(Read { object: 0, offset, len }).await;
    read.map(|pieces| pieces.into_bytes().to_vec()).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_parts_are_put_together_and_opened_anywhere() {
    let house = House::new();
    let bytes = content(3_500_001, 1);
    let key = WrappingKey::parse(KEY).unwrap();
    let parts = house.put(&bytes, Some(&key)).await;
    assert_eq!(parts.len(), 4);
    // Nothing of the content lies in the store.
    let stored = std::fs::read(house.part(&parts[0])).unwrap();
    assert!(stored.len() == 1_000_000 + 16 * 16 && !stored.windows(16).any(|window| window == &bytes[..16]));

    let session = house.open(Some(KEY)).await.unwrap();
    assert!(read(&session, 0, bytes.len() as u64).await.unwrap() == bytes);
    for (offset, len) in
        [(0, 1), (65_535, 2), (999_999, 2), (1_000_000, 65_536), (3_500_000, 1), (1_999_000, 600_000)]
    {
        let session = house.open(Some(KEY)).await.unwrap();
        let (start, end) = (offset as usize, (offset + len) as usize);
        assert!(read(&session, offset, len).await.unwrap() == bytes[start..end], "{offset} {len}");
    }
    // A read of one segment fetches one segment.
    let session = house.open(Some(KEY)).await.unwrap();
    let fetched = || Meters::get(&session.reader.meters().fetched_bytes);
    let before = fetched();
    read(&session, 65_536, 65_536).await.unwrap();
    assert_eq!(fetched() - before, 65_536 + 16);

    assert!(house.open(None).await.unwrap_err().to_string().contains("BACKLOT_MEZZ_KEY"));
    assert!(house.open(Some(&KEY.replace('0', "e"))).await.unwrap_err().to_string().contains("another key"));
}

/// One bit anywhere in a stored part: the read of that segment fails, all others are right.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_tag_is_an_error_and_never_bytes() {
    let house = House::new();
    let bytes = content(2_000_000, 2);
    let parts = house.put(&bytes, Some(&WrappingKey::parse(KEY).unwrap())).await;
    let path = house.part(&parts[1]);
    let sealed = std::fs::read(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let part = OpenOptions::new().write(true).open(&path).unwrap();
    // In the first segment's text, in its tag, and in the last byte of the last tag.
    for at in [5, 65_536 + 3, sealed.len() - 1] {
        let mut altered = sealed.clone();
        altered[at] ^= 0x40;
        part.write_all_at(&altered, 0).unwrap();
        let segment = at as u64 / (65_536 + 16);
        let session = house.open(Some(KEY)).await.unwrap();
        let start = 1_000_000 + segment * 65_536;
        let error = read(&session, start + 7, 1).await.unwrap_err();
        assert!(error.contains("fails its authentication") && error.contains("part 1"), "{error}");
        let other = 1_000_000 + (segment + 1) % 16 * 65_536;
        let right = bytes[other as usize..other as usize + 1000].to_vec();
        assert_eq!(read(&session, other, 1000).await.unwrap(), right);
        assert_eq!(read(&session, 10, 1000).await.unwrap(), &bytes[10..1010]);
    }
    // Whole parts that change places.
    let first = std::fs::read(house.part(&parts[0])).unwrap();
    part.write_all_at(&first, 0).unwrap();
    let session = house.open(Some(KEY)).await.unwrap();
    assert!(read(&session, 1_000_000, 1).await.unwrap_err().contains("authentication"));
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_objects_are_put_and_mounted() {
    let house = House::new();
    let bytes = content(2_500_000, 3);
    let parts = house.put(&bytes, None).await;
    assert_eq!(house.put(&bytes, None).await, parts, "putting the same again stores nothing new");
    let session = house.open(None).await.unwrap();
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mount =
        backlot_mezzfs::mount::Mount::start(session.reader, None, folder.path(), Default::default()).unwrap();
    let path = folder.path().join("film.yuv");
    let read = tokio::task::spawn_blocking(move || std::fs::read(path).unwrap()).await.unwrap();
    assert!(read == bytes);
    mount.end().unwrap();
}
