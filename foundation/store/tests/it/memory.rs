//! Large blobs in little memory.
//!
//! Measured is what the store holds, not what the C library keeps back: glibc's allocator gives freed parts to the arena
//! of the thread that had them, where they stay resident, so that the same run shows 54 to 136 MiB by chance. The
//! measured process therefore returns large blocks to the system at once, by which runs differ by less than 1 MiB.

use std::process::{Command, Stdio};

use backlot_store::{Digest, Store};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::place::Place;

/// The size of the blob, in bytes.
const SIZE: usize = 100 << 20;
/// How much more memory than before the process may need at most, in KiB: four travelling parts of 8 MiB, one that is
/// being read or written, and less than two parts for everything else.
const GROWTH: u64 = 55 << 10;
/// Makes glibc map and unmap each block from 1 MiB up, instead of learning from the first part to keep them.
const RETURN_LARGE_BLOCKS: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "1048576");
const PIECE: usize = 1 << 20;

/// The greatest resident size that the process has had, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Each piece differs, so that none can be stored twice by mistake.
fn piece(index: usize) -> Bytes {
    let mut piece = vec![index as u8; PIECE];
    piece[..8].copy_from_slice(&index.to_le_bytes());
    piece.into()
}

/// Plays two parts: as itself, and, started by itself with the variable set, the process whose memory is measured.
#[tokio::test(flavor = "multi_thread")]
async fn large_blobs_take_little_memory() {
    const URL: &str = "BACKLOT_TEST_MEMORY";

    if let Ok(url) = std::env::var(URL) {
        stream_there_and_back(&url).await;
        return;
    }
    for place in [Some(Place::folder()), Place::moto().await, Some(Place::s3s().await)] {
        let Some(place) = place else { continue };
        let output = tokio::task::spawn_blocking(move || {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "memory::large_blobs_take_little_memory", "--nocapture"])
                .env(URL, &place.url)
                .env(RETURN_LARGE_BLOCKS.0, RETURN_LARGE_BLOCKS.1)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            drop(place);
            output
        })
        .await
        .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{complained}");
        println!("{}", said.lines().find(|line| line.contains("KiB")).unwrap());
    }
}

async fn stream_there_and_back(url: &str) {
    let store = Store::open(url).unwrap();
    // Warm up: threads, connections, buffers.
    store.put("warm").await.unwrap();
    let before = peak_memory();
    let blob = store.put_stream(stream::iter(0..SIZE / PIECE).map(|index| Ok(piece(index)))).await.unwrap();
    assert_eq!(blob.size, SIZE as u64);
    let after_put = peak_memory() - before;

    let mut hasher = blake3::Hasher::new();
    let mut pieces = store.open_blob(&blob.digest).await.unwrap().into_stream();
    while let Some(piece) = pieces.try_next().await.unwrap() {
        hasher.update(&piece);
    }
    assert_eq!(Digest::from_bytes(*hasher.finalize().as_bytes()), blob.digest);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    store.fetch_to(&blob.digest, &copy).await.unwrap();
    assert_eq!(store.put_file(&copy).await.unwrap(), blob);
    let growth = peak_memory() - before;
    let place = url.split(':').next().unwrap();
    println!("{place}: {after_put} KiB more for a put of 100 MiB, {growth} KiB more after reading it twice");
    assert!(growth < GROWTH, "{growth} KiB");
}
