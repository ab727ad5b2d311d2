//! Texts in and out: digests, names and URLs.

use std::path::{Component, Path};

use backlot_store::{Digest, Name, StoreUrl};
use proptest::prelude::*;

proptest! {
    #[test]
    fn digests_round_trip(bytes: [u8; 32]) {
        let digest = Digest::from_bytes(bytes);
        prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        let json = serde_json::to_string(&digest).unwrap();
        prop_assert_eq!(&json, &format!("\"{digest}\""));
        prop_assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn digests_sort_like_their_texts(a: [u8; 32], b: [u8; 32]) {
        let (a, b) = (Digest::from_bytes(a), Digest::from_bytes(b));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn only_the_canonical_text_is_a_digest(text in "(blake3:)?[0-9a-fA-F]{62,66}|\\PC*") {
        if let Ok(digest) = text.parse::<Digest>() {
            prop_assert_eq!(digest.to_string(), text);
        }
    }

    #[test]
    fn names_round_trip_and_stay_inside(text in "[a./\\\\ é]{0,12}|\\PC{0,40}|.{0,20}") {
        if let Ok(name) = text.parse::<Name>() {
            prop_assert_eq!(name.to_string(), &*text);
            let stays_inside = Path::new(&text).components().all(|part| matches!(part, Component::Normal(_)));
            prop_assert!(stays_inside && !text.ends_with('/') && text.len() <= 1024);
        }
    }

    #[test]
    fn urls_round_trip(
        path in "(/[a-z %#?éB.]{1,8}){1,3}",
        bucket in "[a-z0-9]{3,10}",
        prefix in "([a-z %#?é]{1,6}(/[a-zA-Z]{1,4})?)?",
        region in proptest::option::of("[a-z]{2}-[a-z]{4,9}-[1-3]"),
        port in proptest::option::of(1_u16..),
        path_style in proptest::option::of(any::<bool>()),
    ) {
        if let Ok(folder) = StoreUrl::folder(Path::new(&path)) {
            let text = folder.to_string();
            prop_assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), text);
        }
        let escaped: Vec<_> = prefix.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let escaped = escaped.concat();
        let options = [
            port.map(|port| format!("endpoint=http://localhost:{port}")),
            region.map(|region| format!("region={region}")),
            path_style.map(|on| format!("path_style={on}")),
        ];
        let options: Vec<_> = options.into_iter().flatten().collect();
        let url: StoreUrl = format!("s3://{bucket}/{escaped}?{}", options.join("&")).parse().unwrap();
        prop_assert_eq!(&url.to_string().parse::<StoreUrl>().unwrap(), &url);
    }

    #[test]
    fn no_text_makes_the_url_parser_panic(text in "(file|s3)?:?/{0,3}\\PC{0,40}") {
        if let Ok(url) = text.parse::<StoreUrl>() {
            prop_assert_eq!(&url.to_string().parse::<StoreUrl>().unwrap(), &url);
        }
    }
}

#[test]
fn urls_are_canonical() {
    let cases = [
        ("file:///var/lib/a%20store", "file:///var/lib/a%20store"),
        ("file:///var/lib/store/", "file:///var/lib/store"),
        ("s3://titles", "s3://titles"),
        ("s3://titles/", "s3://titles"),
        ("s3://titles/a/b/", "s3://titles/a/b"),
        ("s3://titles?region=eu-central-1", "s3://titles?region=eu-central-1"),
        (
            "s3://titles/a?region=us-east-1&endpoint=http://127.0.0.1:5000/",
            "s3://titles/a?endpoint=http://127.0.0.1:5000&region=us-east-1",
        ),
        ("s3://titles?endpoint=http%3A%2F%2F%5B%3A%3A1%5D%3A90", "s3://titles?endpoint=http://[::1]:90"),
        (
            "s3://titles?allow_http=true&path_style=false&endpoint=http://nas:9000",
            "s3://titles?endpoint=http://nas:9000&path_style=false&allow_http=true",
        ),
    ];
    for (text, canonical) in cases {
        assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), canonical, "{text}");
    }
}

#[test]
fn wrong_urls_are_refused_with_the_mend() {
    let cases = [
        ("", "`` is not a store: it has no scheme; write file:///abs/dir or s3://bucket/prefix"),
        ("/var/lib/x", "`/var/lib/x` is not a store: it has no scheme; write file:///var/lib/x"),
        ("store", "`store` is not a store: it has no scheme; write file:///abs/dir or s3://bucket/prefix"),
        ("gs://b/p", "`gs://b/p` is not a store: scheme `gs` is unknown; use file:// or s3://"),
        (
            "file:store",
            "`file:store` is not a store: the path is relative or names a host; write file:///abs/dir with three slashes",
        ),
        (
            "file://store/x",
            "`file://store/x` is not a store: the path is relative or names a host; write file:///abs/dir with three slashes",
        ),
        (
            "file:///x?fsync=no",
            "`file:///x` is not a store: option `fsync` is unknown; a file:// store has none",
        ),
        (
            "file:///x#1",
            "`file:///x` is not a store: it has a fragment; leave out everything from `#` (or write %23)",
        ),
        ("s3:///prefix", "`s3:///prefix` is not a store: the bucket is missing; write s3://bucket/prefix"),
        ("s3:bucket", "`s3:bucket` is not a store: the bucket is missing; write s3://bucket/prefix"),
        (
            "s3://bucket:90/x",
            "`s3://bucket:90/x` is not a store: it has a port; write the server as the option endpoint=http://host:port",
        ),
        (
            "s3://No_Bucket",
            "`s3://No_Bucket` is not a store: the bucket's name is not one of S3; use 3 to 63 lower-case letters, digits, `-` and `.`",
        ),
        (
            "s3://titles/a//b",
            "`s3://titles/a//b` is not a store: the prefix cannot be used: it has an empty segment; leave out the doubled slash",
        ),
        (
            "s3://titles?secret_key=hush",
            "`s3://titles` is not a store: option `secret_key` is unknown; the options are endpoint, region, path_style, allow_http",
        ),
        (
            "s3://titles?region=a&region=b",
            "`s3://titles` is not a store: option `region` is given twice; give it once",
        ),
        (
            "s3://titles?region=",
            "`s3://titles` is not a store: the region is not one; write one like region=eu-central-1",
        ),
        (
            "s3://titles?path_style=yes",
            "`s3://titles` is not a store: option `path_style` is neither true nor false; write path_style=true",
        ),
        (
            "s3://titles?endpoint=nas:9000",
            "`s3://titles` is not a store: the endpoint is not an http URL; write endpoint=https://host:port",
        ),
        (
            "s3://titles?endpoint=https://nas/x",
            "`s3://titles` is not a store: the endpoint has more than a host and a port; write endpoint=https://host:port",
        ),
        (
            "s3://titles?endpoint=http://nas:9000",
            "`s3://titles` is not a store: the endpoint is plain http beyond this machine; use https, or add allow_http=true on a network you trust",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(text.parse::<StoreUrl>().unwrap_err().to_string(), message);
    }
}

#[test]
fn secrets_in_urls_are_refused_and_not_repeated() {
    let cases = [
        "s3://key:hush@titles/x",
        "s3://hush@titles",
        "s3://titles?token=hush",
        "s3://titles?endpoint=https://key:hush@nas",
        "gs://key:hush@titles",
        "s3://key:hush@",
    ];
    for text in cases {
        let message = text.parse::<StoreUrl>().unwrap_err().to_string();
        assert!(!message.contains("hush"), "{message}");
    }
    let keys = backlot_store::Credentials::new("id", "hush").with_session_token("hush");
    assert!(!format!("{keys:?}").contains("hush"));
}
