//! What holds on every place.

use std::collections::BTreeSet;
use std::io;

use backlot_store::{Blob, Damage, Digest, Error, LONGEST_LISTING, Store};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::io::AsyncReadExt;

use crate::place::{Place, noise, on_every_place};

on_every_place! {
    bytes_come_back
    an_empty_blob_is_a_blob
    files_and_streams_come_back
    large_files_travel_in_parts
    owned_files_are_taken
    sources_that_cannot_be_stored_are_refused
    a_failing_stream_leaves_nothing
    content_is_stored_once
    many_may_put_the_same_at_once
    missing_blobs_are_named
    limits_are_kept
    ranges_are_exact
    corrupt_blobs_are_never_data
    truncated_blobs_are_never_data_and_are_healed
    deleted_blobs_are_gone
    materialized_files_are_whole
    blobs_are_listed_in_pages
    verification_finds_the_damage
    named_objects_come_back
    large_named_objects_come_back
    named_objects_are_replaced_atomically
    names_are_listed_in_order_of_their_bytes
    listings_go_beyond_one_page_of_s3
    odd_names_are_kept_and_hostile_ones_refused
    the_store_can_be_checked
}

/// Larger than any get in these tests.
const LIMIT: u64 = 1 << 30;

async fn read_all(store: &Store, digest: &Digest) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    store.open_blob(digest).await?.read_to_end(&mut content).await.map_err(Error::from_read)?;
    Ok(content)
}

async fn all_blobs(store: &Store) -> Vec<Digest> {
    store.list_blobs(LONGEST_LISTING, None).await.unwrap().blobs.iter().map(|blob| blob.digest).collect()
}

fn key_of(digest: &Digest) -> String {
    let hex = digest.to_hex();
    format!("blobs/{}/{}", &hex[..2], &hex[2..])
}

async fn bytes_come_back(place: Place) {
    let store = &place.store;
    for length in [1, 1000, 100_000, 3_000_000] {
        let content = noise(1, length);
        let blob = store.put(content.clone()).await.unwrap();
        assert_eq!(blob, Blob { digest: Digest::of(&content), size: length as u64 });
        assert_eq!(store.get(&blob.digest, LIMIT).await.unwrap(), content);
        assert_eq!(read_all(store, &blob.digest).await.unwrap(), content);
        assert_eq!(store.stat(&blob.digest).await.unwrap(), blob);
        assert!(store.exists(&blob.digest).await.unwrap());
    }
}

async fn an_empty_blob_is_a_blob(place: Place) {
    let store = &place.store;
    let empty = Blob { digest: Digest::of(b""), size: 0 };
    assert_eq!(store.put("").await.unwrap(), empty);
    store.delete(&empty.digest).await.unwrap();
    assert_eq!(store.put_stream(stream::empty()).await.unwrap(), empty);
    assert_eq!(store.get(&empty.digest, 0).await.unwrap(), "");
    assert_eq!(read_all(store, &empty.digest).await.unwrap(), b"");
    assert_eq!(store.get_range(&empty.digest, 0..0).await.unwrap(), "");
    let copy = place.scratch.path().join("copy");
    assert_eq!(store.fetch_to(&empty.digest, &copy).await.unwrap(), empty);
    assert_eq!(std::fs::read(&copy).unwrap(), b"");
}

async fn files_and_streams_come_back(place: Place) {
    let store = &place.store;
    let content = noise(2, 2_000_000);
    let file = place.scratch.path().join("file");
    std::fs::write(&file, &content).unwrap();
    let blob = store.put_file(&file).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), content, "the file stays as it was");
    assert_eq!(store.get(&blob.digest, LIMIT).await.unwrap(), content);

    let other = noise(3, 2_000_000);
    let pieces: Vec<_> = other.chunks(777).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let streamed = store.put_stream(stream::iter(pieces)).await.unwrap();
    assert_eq!(store.get(&streamed.digest, LIMIT).await.unwrap(), other);

    let third = noise(4, 2_000_000);
    let read = store.put_reader(third.as_slice()).await.unwrap();
    let reader = store.open_blob(&read.digest).await.unwrap();
    assert_eq!(reader.size(), 2_000_000);
    let pieces: Vec<Bytes> = reader.into_stream().try_collect().await.unwrap();
    assert_eq!(pieces.concat(), third);
}

async fn large_files_travel_in_parts(place: Place) {
    let store = &place.store;
    // Neither a whole number of parts, nor exactly the number that travels at once.
    let content = noise(5, 42 * (1 << 20) + 12_345);
    let file = place.scratch.path().join("file");
    std::fs::write(&file, &content).unwrap();
    let blob = store.put_file(&file).await.unwrap();
    assert_eq!(blob.digest, Digest::of(&content));
    let copy = place.scratch.path().join("copy");
    assert_eq!(store.fetch_to(&blob.digest, &copy).await.unwrap(), blob);
    assert!(std::fs::read(&copy).unwrap() == content);
    assert!(read_all(store, &blob.digest).await.unwrap() == content);
    // Exactly two parts.
    let even = noise(6, 16 << 20);
    let blob = store.put_reader(even.as_slice()).await.unwrap();
    assert!(store.get(&blob.digest, LIMIT).await.unwrap() == even);
}

async fn owned_files_are_taken(place: Place) {
    let store = &place.store;
    let folder = place.scratch.path();
    for (index, content) in [noise(7, 500_000), noise(7, 500_000), Vec::new()].into_iter().enumerate() {
        let file = folder.join(format!("output-{index}"));
        std::fs::write(&file, &content).unwrap();
        let blob = store.put_file_owned(&file).await.unwrap();
        assert!(!file.exists(), "the file was given up");
        assert_eq!(store.get(&blob.digest, LIMIT).await.unwrap(), content);
    }
    // What has another name, or is one, must not become a blob that can be changed from outside.
    let original = folder.join("original");
    std::fs::write(&original, noise(8, 1000)).unwrap();
    let linked = folder.join("linked");
    std::fs::hard_link(&original, &linked).unwrap();
    let blob = store.put_file_owned(&linked).await.unwrap();
    std::fs::write(&original, "spoilt").unwrap();
    assert_eq!(store.get(&blob.digest, LIMIT).await.unwrap(), noise(8, 1000));
    std::fs::write(&original, noise(9, 1000)).unwrap();
    std::os::unix::fs::symlink(&original, &linked).unwrap();
    let blob = store.put_file_owned(&linked).await.unwrap();
    assert!(original.exists() && !linked.is_symlink());
    std::fs::write(&original, "spoilt").unwrap();
    assert_eq!(store.get(&blob.digest, LIMIT).await.unwrap(), noise(9, 1000));
}

async fn sources_that_cannot_be_stored_are_refused(place: Place) {
    let store = &place.store;
    let missing = place.scratch.path().join("missing");
    for put in [store.put_file(&missing).await, store.put_file_owned(&missing).await] {
        let message = put.unwrap_err().to_string();
        assert!(message.contains("missing") && message.ends_with("check the path"), "{message}");
    }
    let message = store.put_file(place.scratch.path()).await.unwrap_err().to_string();
    assert!(message.ends_with("name a file, not a folder"), "{message}");
    let message = store.put_file("/dev/zero").await.unwrap_err().to_string();
    assert!(message.ends_with("it is not a regular file; name a regular file"), "{message}");
    assert_eq!(all_blobs(store).await, []);
}

async fn a_failing_stream_leaves_nothing(place: Place) {
    let store = &place.store;
    let pieces = [Ok(Bytes::from(noise(10, 100_000))), Err(io::Error::other("the tape ran out"))];
    let error = store.put_stream(stream::iter(pieces)).await.unwrap_err();
    assert!(matches!(error, Error::Source { .. }));
    let message = "the data to store could not be read: the tape ran out; mend its source and put it again";
    assert_eq!(error.to_string(), message);
    assert_eq!(all_blobs(store).await, []);
}

async fn content_is_stored_once(place: Place) {
    let store = &place.store;
    let blob = store.put("once").await.unwrap();
    let first = store.list_blobs(10, None).await.unwrap();
    store.put("once").await.unwrap();
    store.put_reader(&b"once"[..]).await.unwrap();
    let file = place.scratch.path().join("file");
    std::fs::write(&file, "once").unwrap();
    store.put_file(&file).await.unwrap();
    store.put_file_owned(&file).await.unwrap();
    let again = store.list_blobs(10, None).await.unwrap();
    assert_eq!(first.blobs.len(), 1);
    assert_eq!(first, again, "neither another blob nor another time of writing");
    assert_eq!(first.blobs[0].digest, blob.digest);
}

async fn many_may_put_the_same_at_once(place: Place) {
    let store = &place.store;
    let content = Bytes::from(noise(11, 1_000_000));
    let puts = (0..16).map(|index| {
        let (store, content) = (store.clone(), content.clone());
        tokio::spawn(async move {
            if index % 2 == 0 { store.put(content).await } else { store.put_reader(&content[..]).await }
        })
    });
    let blobs: BTreeSet<Digest> =
        stream::iter(puts).buffered(16).map(|put| put.unwrap().unwrap().digest).collect().await;
    assert_eq!(blobs, BTreeSet::from([Digest::of(&content)]));
    assert_eq!(all_blobs(store).await, [Digest::of(&content)]);
    assert_eq!(store.get(&Digest::of(&content), LIMIT).await.unwrap(), content);
}

async fn missing_blobs_are_named(place: Place) {
    let store = &place.store;
    let digest = Digest::of(b"never put");
    let copy = place.scratch.path().join("copy");
    let errors = [
        store.get(&digest, LIMIT).await.unwrap_err(),
        store.open_blob(&digest).await.unwrap_err(),
        store.get_range(&digest, 0..1).await.unwrap_err(),
        store.fetch_to(&digest, &copy).await.unwrap_err(),
        store.stat(&digest).await.unwrap_err(),
        store.materialize(&digest, place.scratch.path().join("cache")).await.unwrap_err(),
    ];
    for error in errors {
        let message = error.to_string();
        assert!(matches!(error, Error::NoBlob { .. }), "{message}");
        assert!(message.contains(&digest.to_string()) && message.contains("put it first"), "{message}");
    }
    assert!(!store.exists(&digest).await.unwrap());
    assert_eq!(store.local_path(&digest).await.unwrap(), None);
    assert!(!copy.exists());
}

async fn limits_are_kept(place: Place) {
    let store = &place.store;
    let blob = store.put(noise(12, 1000)).await.unwrap();
    assert_eq!(store.get(&blob.digest, 1000).await.unwrap().len(), 1000);
    let message = store.get(&blob.digest, 999).await.unwrap_err().to_string();
    assert!(
        message.starts_with(&format!("blob {} has 1000 bytes, more than the 999 allowed", blob.digest)),
        "{message}"
    );
    store.put_named("n", noise(12, 1000), "text/plain").await.unwrap();
    let message = store.get_named("n", 999).await.unwrap_err().to_string();
    assert!(message.starts_with("object `n` has 1000 bytes, more than the 999 allowed"), "{message}");
}

async fn ranges_are_exact(place: Place) {
    let store = &place.store;
    let content = noise(13, 10_000);
    let digest = store.put(content.clone()).await.unwrap().digest;
    for range in [0..1, 0..10_000, 9_999..10_000, 5_000..5_000, 10_000..10_000, 17..4_711] {
        let expected = &content[range.start as usize..range.end as usize];
        assert_eq!(store.get_range(&digest, range.clone()).await.unwrap(), expected, "{range:?}");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "a caller's mistake that must not panic")]
    for range in [0..10_001, 10_000..10_001, 10_001..10_001, 7..3, u64::MAX..u64::MAX] {
        let error = store.get_range(&digest, range.clone()).await.unwrap_err();
        assert!(matches!(error, Error::OutOfRange { size: 10_000, .. }), "{range:?}: {error}");
    }
}

async fn corrupt_blobs_are_never_data(place: Place) {
    let store = &place.store;
    for length in [100, 9 << 20] {
        let mut content = noise(14, length);
        let digest = store.put(content.clone()).await.unwrap().digest;
        content[length / 2] ^= 1;
        place.overwrite(&key_of(&digest), &content);
        let copy = place.scratch.path().join("copy");
        let errors = [
            store.get(&digest, LIMIT).await.unwrap_err(),
            read_all(store, &digest).await.unwrap_err(),
            store.fetch_to(&digest, &copy).await.unwrap_err(),
        ];
        for error in errors {
            let Error::Corrupt { digest: named, damage: Damage::Content { found }, .. } = &error else {
                panic!("{error}");
            };
            assert_eq!((*named, *found), (digest, Digest::of(&content)));
            assert!(error.to_string().ends_with("delete it and put it again from its source"), "{error}");
        }
        assert!(!copy.exists());
        // Not even a reader that stops at the last byte, without asking for the end, gets it.
        let mut reader = store.open_blob(&digest).await.unwrap();
        let mut whole = vec![0; length];
        let error = Error::from_read(reader.read_exact(&mut whole).await.unwrap_err());
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
    let left: Vec<_> =
        std::fs::read_dir(place.scratch.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".fetch")), "{left:?}");
}

async fn truncated_blobs_are_never_data_and_are_healed(place: Place) {
    let store = &place.store;
    let content = noise(15, 100_000);
    let digest = store.put(content.clone()).await.unwrap().digest;
    place.overwrite(&key_of(&digest), &content[..60_000]);
    assert!(matches!(store.get(&digest, LIMIT).await.unwrap_err(), Error::Corrupt { .. }));
    assert!(matches!(read_all(store, &digest).await.unwrap_err(), Error::Corrupt { .. }));
    place.overwrite(&key_of(&digest), b"");
    assert!(matches!(store.get(&digest, LIMIT).await.unwrap_err(), Error::Corrupt { .. }));
    assert!(matches!(read_all(store, &digest).await.unwrap_err(), Error::Corrupt { .. }));
    // The wrong size shows at the next put, which mends it.
    store.put(content.clone()).await.unwrap();
    assert_eq!(store.get(&digest, LIMIT).await.unwrap(), content);
}

async fn deleted_blobs_are_gone(place: Place) {
    let store = &place.store;
    let keep = store.put("keep").await.unwrap();
    let blob = store.put("delete").await.unwrap();
    store.delete(&blob.digest).await.unwrap();
    assert!(!store.exists(&blob.digest).await.unwrap());
    store.delete(&blob.digest).await.unwrap();
    assert_eq!(all_blobs(store).await, [keep.digest]);
    store.put("delete").await.unwrap();
    assert_eq!(store.get(&blob.digest, LIMIT).await.unwrap(), "delete");
}

async fn materialized_files_are_whole(place: Place) {
    let store = &place.store;
    let cache = place.scratch.path().join("the/cache");
    let content = noise(16, 10 << 20);
    let digest = store.put(content.clone()).await.unwrap().digest;
    let calls = (0..4).map(|_| store.materialize(&digest, &cache));
    let files = futures::future::try_join_all(calls).await.unwrap();
    for file in &files {
        assert!(std::fs::read(file).unwrap() == content);
        assert_eq!(file.path(), files[0].path());
    }
    let local = store.local_path(&digest).await.unwrap();
    assert_eq!(local.is_some(), place.is_folder());
    if let Some(path) = local {
        assert_eq!(files[0].path(), path, "a folder store needs no copy");
    }
}

async fn blobs_are_listed_in_pages(place: Place) {
    let store = &place.store;
    let mut expected = Vec::new();
    for index in 0..11_u8 {
        expected.push(store.put(vec![index; usize::from(index) + 1]).await.unwrap());
    }
    expected.sort_by_key(|blob| blob.digest);
    place.overwrite("blobs/README", b"not a blob");
    place.overwrite("blobs/zz/top", b"not a blob");
    store.put_named("blobs/not", "a blob", "text/plain").await.unwrap();
    let (mut found, mut strays, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = store.list_blobs(4, after.as_ref()).await.unwrap();
        assert!(page.blobs.len() <= 4);
        found.extend(page.blobs.iter().map(|blob| Blob { digest: blob.digest, size: blob.size }));
        strays.extend(page.strays);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
    assert_eq!(strays, ["blobs/README", "blobs/zz/top"]);
}

async fn verification_finds_the_damage(place: Place) {
    let store = &place.store;
    let sound = store.put(noise(17, 9 << 20)).await.unwrap();
    let spoilt = store.put("to be spoilt").await.unwrap();
    let cut = store.put("to be cut").await.unwrap();
    place.overwrite(&key_of(&spoilt.digest), b"to be sp0ilt");
    place.overwrite(&key_of(&cut.digest), b"to be");
    place.overwrite("blobs/stray", b"?");
    let mut calls = 0;
    let report = store.verify(|progress| calls += usize::from(progress.blobs > 0)).await.unwrap();
    assert_eq!((report.total.blobs, report.total.damaged, calls), (3, 2, 3));
    assert_eq!(report.total.bytes, sound.size + 12 + 5);
    assert_eq!(report.strays, ["blobs/stray"]);
    let damaged: BTreeSet<Digest> = report.damaged.iter().map(|(digest, _)| *digest).collect();
    assert_eq!(damaged, BTreeSet::from([spoilt.digest, cut.digest]));
}

async fn named_objects_come_back(place: Place) {
    let store = &place.store;
    store.put_named("reports/1.html", "<p>one", "text/html; charset=utf-8").await.unwrap();
    let object = store.get_named("reports/1.html", LIMIT).await.unwrap();
    assert_eq!(
        (object.content.as_ref(), object.media_type.as_str()),
        (&b"<p>one"[..], "text/html; charset=utf-8")
    );
    let info = store.head_named("reports/1.html").await.unwrap().unwrap();
    assert_eq!((info.name.as_str(), info.size), ("reports/1.html", 6));
    assert_eq!(info.media_type.as_deref(), Some("text/html; charset=utf-8"));
    assert_eq!(info.modified, object.modified);

    store.put_named("reports/1.html", "", "text/plain").await.unwrap();
    let object = store.get_named("reports/1.html", LIMIT).await.unwrap();
    assert_eq!((object.content.as_ref(), object.media_type.as_str()), (&b""[..], "text/plain"));

    store.delete_named("reports/1.html").await.unwrap();
    store.delete_named("reports/1.html").await.unwrap();
    assert_eq!(store.head_named("reports/1.html").await.unwrap(), None);
    for missing in ["reports/1.html", "elsewhere"] {
        let error = store.get_named(missing, LIMIT).await.unwrap_err();
        assert!(matches!(error, Error::NoObject { .. }), "{error}");
        assert!(matches!(store.open_named(missing).await.unwrap_err(), Error::NoObject { .. }));
    }
    assert_eq!(all_blobs(store).await, [], "named objects are no blobs");
    let error = store.put_named("a", "b", "html").await.unwrap_err();
    assert_eq!(error.to_string(), "`html` is not a media type; write one like `text/plain` or `video/mp4`");
}

async fn large_named_objects_come_back(place: Place) {
    let store = &place.store;
    let content = noise(18, 20 << 20);
    let file = place.scratch.path().join("file");
    std::fs::write(&file, &content).unwrap();
    store.put_named_file("clips/one.mp4", &file, "video/mp4").await.unwrap();
    let mut reader = store.open_named("clips/one.mp4").await.unwrap();
    let mut back = Vec::new();
    reader.read_to_end(&mut back).await.unwrap();
    assert!(back == content);
    let info = store.head_named("clips/one.mp4").await.unwrap().unwrap();
    assert_eq!(info.media_type.as_deref(), Some("video/mp4"));
}

async fn named_objects_are_replaced_atomically(place: Place) {
    let store = &place.store;
    let contents = [Bytes::from(vec![b'a'; 300_000]), Bytes::from(vec![b'b'; 200_000])];
    store.put_named("state", contents[0].clone(), "text/plain").await.unwrap();
    let writer = {
        let (store, contents) = (store.clone(), contents.clone());
        tokio::spawn(async move {
            for turn in 0..40 {
                store.put_named("state", contents[turn % 2].clone(), "text/plain").await.unwrap();
            }
        })
    };
    let mut reads = 0;
    while !writer.is_finished() || reads == 0 {
        let object = store.get_named("state", LIMIT).await.unwrap();
        assert!(contents.contains(&object.content), "a mixture of {} bytes", object.content.len());
        reads += 1;
    }
    writer.await.unwrap();
}

async fn names_are_listed_in_order_of_their_bytes(place: Place) {
    let store = &place.store;
    // `-` and `.` sort before the slash, `0` after it: a walk by folders alone would get these wrong.
    let names = ["a-b", "a.b", "a/b", "a/b-c", "a/c/d", "a0", "aa", "b/c", "ä", "ab c"];
    for name in names {
        store.put_named(name, name.to_owned(), "text/plain").await.unwrap();
    }
    let list = async |prefix: &str, limit: usize, after: Option<&str>| {
        let page = store.list_named(prefix, limit, after).await.unwrap();
        (page.objects.into_iter().map(|object| object.name).collect::<Vec<_>>(), page.next)
    };
    let mut sorted = names.map(str::to_owned);
    sorted.sort_unstable();
    assert_eq!(list("", 100, None).await, (sorted.to_vec(), None));
    for limit in 1..=names.len() {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = list("", limit, after.as_deref()).await;
            assert!(page.len() <= limit);
            found.extend(page);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, sorted, "in pages of {limit}");
    }
    assert_eq!(list("a/", 100, None).await.0, ["a/b", "a/b-c", "a/c/d"]);
    assert_eq!(list("a/b", 100, None).await.0, ["a/b", "a/b-c"]);
    assert_eq!(list("a", 100, Some("a/b")).await.0, ["a/b-c", "a/c/d", "a0", "aa", "ab c"]);
    assert_eq!(list("a/c/", 100, Some("a/c")).await.0, ["a/c/d"]);
    assert_eq!(list("a", 100, Some("b")).await.0, <[&str; 0]>::default());
    assert_eq!(list("nothing", 100, None).await, (vec![], None));
    assert_eq!(list("", 3, None).await.1.as_deref(), Some("a/b"));
    let object = &store.list_named("a/c", 1, None).await.unwrap().objects[0];
    assert_eq!((object.size, object.media_type.as_deref()), (5, None));
}

async fn listings_go_beyond_one_page_of_s3(place: Place) {
    let store = &place.store;
    let count = LONGEST_LISTING + 3;
    let puts = (0..count)
        .map(|index| async move { store.put_named(&format!("many/{index:05}"), "", "text/plain").await });
    stream::iter(puts).buffer_unordered(16).try_collect::<()>().await.unwrap();
    let first = store.list_named("many/", LONGEST_LISTING, None).await.unwrap();
    assert_eq!((first.objects.len(), first.next.as_deref()), (LONGEST_LISTING, Some("many/00999")));
    let second = store.list_named("many/", LONGEST_LISTING, first.next.as_deref()).await.unwrap();
    let names: Vec<_> = second.objects.iter().map(|object| object.name.as_str()).collect();
    assert_eq!((names, second.next), (vec!["many/01000", "many/01001", "many/01002"], None));
}

async fn odd_names_are_kept_and_hostile_ones_refused(place: Place) {
    let store = &place.store;
    let odd = [
        "a b",
        "a+b",
        "a%2Fb",
        "a?b",
        "a#1",
        "~",
        "a&b=c",
        "<a>'\"",
        "é\u{301}/日本",
        "...",
        ".hidden",
        "a:b",
    ];
    for name in odd {
        store.put_named(name, name.to_owned(), "text/plain").await.unwrap();
        let object = store.get_named(name, LIMIT).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(object.content, name.as_bytes());
    }
    let mut sorted = odd.map(str::to_owned);
    sorted.sort_unstable();
    let listed = store.list_named("", 100, None).await.unwrap().objects;
    assert_eq!(listed.into_iter().map(|object| object.name).collect::<Vec<_>>(), sorted);
    for name in odd {
        store.delete_named(name).await.unwrap();
    }
    assert_eq!(store.list_named("", 100, None).await.unwrap().objects, []);

    let long = "x".repeat(256);
    let deep = "x/".repeat(512) + "x";
    let hostile = [
        "",
        "/etc/passwd",
        "..",
        "../x",
        "a/../../x",
        "a/./b",
        "a//b",
        "a/",
        "a\\b",
        "a\0b",
        "a\nb",
        &long,
        &deep,
    ];
    for name in hostile {
        let errors = [
            store.put_named(name, "x", "text/plain").await.unwrap_err(),
            store.get_named(name, LIMIT).await.unwrap_err(),
            store.head_named(name).await.unwrap_err(),
            store.delete_named(name).await.unwrap_err(),
            store.open_named(name).await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, Error::NotAName { .. }), "{name}: {error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
    for prefix in ["/", "../", "a/../", "./", "a//", "a\0"] {
        let error = store.list_named(prefix, 10, None).await.unwrap_err();
        assert!(matches!(error, Error::NotAName { .. }), "{prefix}: {error}");
    }
}

async fn the_store_can_be_checked(place: Place) {
    place.store.check().await.unwrap();
    assert_eq!(all_blobs(&place.store).await, [], "a check leaves nothing");
}
