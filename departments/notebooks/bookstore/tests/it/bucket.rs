//! With a bucket of one's own: bookstore's keys, versions, and the queue that catches up.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use backlot_bookstore::{Buckets, Settings};
use backlot_ledger::testing::ManualClock;
use backlot_ledger::{Ledger, Options};
use backlot_store::testing::Moto;
use serde_json::{Value, json};

use crate::{Shop, notebook};

const BUCKET: &str = "bookstore";

/// A shop with a bucket that has versions.
fn shop(moto: &Moto) -> Shop {
    // Making a store's URL makes the bucket.
    let _ = moto.url(BUCKET, "");
    let body = r#"<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>"#;
    let address = moto.endpoint().replace("http://", "");
    let mut connection = TcpStream::connect(&address).unwrap();
    write!(
        connection,
        "PUT /{BUCKET}?versioning HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Shop::new(|settings, _| *settings = configured(&moto.endpoint()))
}

fn configured(endpoint: &str) -> Settings {
    Settings {
        s3_bucket: BUCKET.to_owned(),
        s3_endpoint_url: endpoint.to_owned(),
        s3_access_key_id: Some("id".to_owned()),
        s3_secret_access_key: Some("secret".to_owned()),
        ..Settings::default()
    }
}

#[tokio::test]
async fn saves_and_what_is_published_lie_in_the_bucket() {
    let Some(moto) = Moto::start() else { return };
    let shop = shop(&moto);
    let buckets = Buckets::new(shop.bookstore.settings());
    let mut versions = Vec::new();
    for text in ["one", "two", "three"] {
        shop.bookstore.saved("sub/a.ipynb", notebook(text).into(), "ada").await.unwrap();
    }
    assert_eq!(shop.bookstore.archive().waiting().await.unwrap(), 3);
    assert_eq!(shop.bookstore.drain().await.unwrap(), 3, "each is a version of the bucket's object");
    let object = buckets.get(BUCKET, "workspace/sub/a.ipynb", None).await.unwrap();
    assert_eq!(object.content, notebook("three"));
    for text in ["p1", "p2"] {
        let content: Value = serde_json::from_str(&notebook(text)).unwrap();
        let model = json!({ "type": "notebook", "content": content }).to_string();
        let (status, answer) = shop.send("PUT", "/api/bookstore/publish/a.ipynb", model).await;
        assert_eq!((status, &answer["s3_path"]), (200, &json!("s3://bookstore/published/a.ipynb")));
        versions.push(answer["versionID"].as_str().unwrap().to_owned());
    }
    assert_ne!(versions[0], versions[1]);
    assert_eq!(shop.bookstore.archive().waiting().await.unwrap(), 0, "what is published does not wait");
    let clone = json!({ "s3_bucket": BUCKET, "s3_key": "published/a.ipynb", "s3_version_id": versions[0] });
    let (status, model) = shop.send("POST", "/api/bookstore/clone", clone.to_string()).await;
    assert_eq!((status, &model["versionID"]), (200, &json!(versions[0])), "{model}");
    assert_eq!(model["content"]["cells"][0]["source"], "p1");
    for (bucket, key, expected, code) in [
        (BUCKET, "no.ipynb", 404, "NoSuchKey"),
        ("nowhere", "a.ipynb", 404, "NoSuchBucket"),
        ("a/../b", "a.ipynb", 400, "InvalidBucketName"),
        ("b?versions", "a.ipynb", 400, "InvalidBucketName"),
    ] {
        let body = json!({ "s3_bucket": bucket, "s3_key": key }).to_string();
        let (status, answer) = shop.send("POST", "/api/bookstore/clone", body).await;
        let told = answer["message"].as_str().unwrap().to_owned();
        let begin = format!("An error occurred ({code}) when calling the GetObject operation: ");
        assert!(status == expected && told.starts_with(&begin), "{status} {told}");
    }
}

#[tokio::test]
async fn a_bucket_that_is_away_gets_everything_later() {
    let Some(moto) = Moto::start() else { return };
    // Nobody listens there: the port was free a moment ago and is not given out again soon.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = Shop::new(|settings, _| *settings = configured(&format!("http://{closed}")));
    for text in ["one", "two"] {
        away.bookstore.saved("a.ipynb", notebook(text).into(), "ada").await.unwrap();
    }
    assert_eq!(away.bookstore.drain().await.unwrap(), 0);
    assert_eq!(
        away.bookstore.archive().waiting().await.unwrap(),
        2,
        "nothing is lost, nothing is passed over"
    );
    let content: Value = serde_json::from_str(&notebook("p")).unwrap();
    let model = json!({ "type": "notebook", "content": content }).to_string();
    let (status, _) = away.send("PUT", "/api/bookstore/publish/a.ipynb", model).await;
    assert_eq!(status, 502, "what a person waits for says so");
    // An hour later the next server of this house finds the queue, and the bucket.
    let here = shop(&moto);
    let clock = Arc::new(ManualClock::new(away.ledger.now()));
    clock.advance(Duration::from_secs(3600));
    let options = Options { clock: Some(clock), ..Options::default() };
    let url = format!("sqlite://{}/ledger.db", away.folder.path().display());
    let ledger = Ledger::open_with(&url, options).unwrap();
    let next = crate::open(&ledger, away.folder.path(), here.bookstore.settings().clone());
    assert_eq!(next.drain().await.unwrap(), 2);
    assert_eq!(next.archive().waiting().await.unwrap(), 0);
    let object = Buckets::new(next.settings()).get(BUCKET, "workspace/a.ipynb", None).await.unwrap();
    assert_eq!(object.content, notebook("two"));
}
