//! Endpoints that are slow, broken, strict or not there.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backlot_store::{Credentials, Digest, Error, Options, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::place::{Place, noise};

/// What a small server does with a request: its head, the connection.
type Answer = fn(&str) -> Reply;

enum Reply {
    /// Send this text and close.
    Text(String),
    /// Send this text and then nothing, keeping the connection.
    Stall(String),
}

/// Answers one request for each connection, and keeps the first lines of all.
async fn serve(answer: Answer) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            tokio::spawn(answer_one(connection, answer, Arc::clone(&log)));
        }
    });
    (port, seen)
}

async fn answer_one(mut connection: TcpStream, answer: Answer, log: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let head = loop {
        let Ok(read @ 1..) = connection.read(&mut buffer).await else { return };
        request.extend_from_slice(&buffer[..read]);
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break String::from_utf8_lossy(&request[..end]).into_owned();
        }
    };
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body_left = length.unwrap_or(0_usize).saturating_sub(request.len() - head.len() - 4);
    while body_left > 0 {
        let Ok(read @ 1..) = connection.read(&mut buffer).await else { return };
        body_left = body_left.saturating_sub(read);
    }
    let first_line = head.lines().next().unwrap_or_default().to_owned();
    log.lock().unwrap().push(first_line.clone());
    let (Reply::Text(text) | Reply::Stall(text)) = &answer(&first_line);
    let _ = connection.write_all(text.as_bytes()).await;
    if matches!(answer(&first_line), Reply::Stall(_)) {
        // Until the client has had enough.
        let _ = connection.read(&mut buffer).await;
    }
}

fn status(line: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Text(format!("HTTP/1.1 {line}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"))
}

/// Options under which even the most patient test ends soon.
fn hasty() -> Options {
    let mut options = Options::default();
    options.patience.connect = Duration::from_millis(500);
    options.patience.request = Duration::from_millis(300);
    options.patience.retry = Duration::from_millis(600);
    options
}

fn store_at(port: u16) -> Store {
    let url = format!("s3://titles/dailies?endpoint=http://127.0.0.1:{port}").parse().unwrap();
    Store::open_with(&url, hasty()).unwrap()
}

/// Tries everything a store can do; every try must fail soon, name the endpoint and end in the mend.
async fn everything_fails(store: &Store, port: u16, mend: &str) {
    let digest = Digest::of(b"x");
    let copy = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let (put, get, stat, fetch, list, named, large, check) = tokio::join!(
        store.put("x"),
        store.get(&digest, 10),
        store.exists(&digest),
        store.fetch_to(&digest, copy.path().join("x")),
        store.list_blobs(10, None),
        store.put_named("a", "x", "text/plain"),
        store.put(vec![0; 100_000]),
        store.check(),
    );
    let elapsed = began.elapsed();
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    let errors = [
        put.unwrap_err(),
        get.unwrap_err(),
        stat.unwrap_err(),
        fetch.unwrap_err(),
        list.unwrap_err(),
        named.unwrap_err(),
        large.unwrap_err(),
        check.unwrap_err(),
    ];
    for error in errors {
        let message = error.to_string();
        assert!(matches!(error, Error::Endpoint { .. }), "{message}");
        assert!(message.contains(&format!("endpoint=http://127.0.0.1:{port}")), "{message}");
        assert!(message.ends_with(mend), "{message}");
        assert!(!message.contains('\n') && message.len() < 900, "{message}");
    }
}

#[tokio::test]
async fn an_endpoint_that_hangs_is_given_up() {
    let (port, seen) = serve(|_| Reply::Stall(String::new())).await;
    let mend = "check that the endpoint is up and can be reached from here; it did not answer in time";
    everything_fails(&store_at(port), port, mend).await;
    assert!(!seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_fails_is_tried_again_and_given_up() {
    let (port, seen) = serve(|_| status("500 Internal Server Error", "<Code>InternalError</Code>\n\n")).await;
    everything_fails(&store_at(port), port, "look at the endpoint's own log, and try again when it is well")
        .await;
    let heads = seen.lock().unwrap().iter().filter(|line| line.starts_with("HEAD")).count();
    assert!(heads > 4, "each of four was tried again, {heads} requests in all");
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    everything_fails(&store_at(port), port, "check the endpoint's address and port and that it is up").await;
}

#[tokio::test]
async fn an_endpoint_that_is_no_http_server_is_named() {
    let (port, _) = serve(|_| Reply::Text("220 mail.example.org ESMTP\r\n".to_owned())).await;
    everything_fails(&store_at(port), port, "check the network between here and the endpoint, and try again")
        .await;
}

#[tokio::test]
async fn a_body_that_stops_in_the_middle_is_given_up() {
    fn half(line: &str) -> Reply {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nETag: \"1\"\r\n\r\n";
        if line.starts_with("HEAD") {
            Reply::Text(head.to_owned())
        } else {
            Reply::Stall(format!("{head}half"))
        }
    }
    let (port, _) = serve(half).await;
    let store = store_at(port);
    let began = Instant::now();
    let error = store.get(&Digest::of(b"x"), 1 << 20).await.unwrap_err();
    assert!(matches!(error, Error::Endpoint { .. }), "{error}");
    let copy = tempfile::tempdir().unwrap();
    let error = store.fetch_to(&Digest::of(b"x"), copy.path().join("x")).await.unwrap_err();
    assert!(matches!(error, Error::Endpoint { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_upload_that_fails_is_aborted() {
    fn refuse_parts(line: &str) -> Reply {
        if line.starts_with("HEAD") {
            status("404 Not Found", "")
        } else if line.starts_with("POST") {
            status(
                "200 OK",
                "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>",
            )
        } else if line.starts_with("DELETE") {
            status("204 No Content", "")
        } else if line.contains("partNumber=2") {
            status("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>")
        } else {
            Reply::Text(
                "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
            )
        }
    }
    let (port, seen) = serve(refuse_parts).await;
    let url = format!("s3://titles/dailies?endpoint=http://127.0.0.1:{port}");
    let store = Store::open(&url).unwrap();
    let error = store.put_reader(noise(1, 30 << 20).as_slice()).await.unwrap_err();
    let mend = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and what they may do in this bucket";
    assert!(error.to_string().ends_with(mend), "{error}");
    let seen = seen.lock().unwrap().clone();
    let aborts: Vec<_> = seen.iter().filter(|line| line.starts_with("DELETE")).collect();
    assert!(matches!(aborts[..], [line] if line.contains("uploadId=u1")), "{seen:?}");
    let completions =
        seen.iter().filter(|line| line.starts_with("POST") && line.contains("uploadId")).count();
    assert_eq!(completions, 0, "{seen:?}");
}

#[tokio::test]
async fn an_upload_that_is_given_up_is_aborted() {
    fn hold_parts(line: &str) -> Reply {
        if line.starts_with("HEAD") {
            status("404 Not Found", "")
        } else if line.starts_with("POST") {
            status(
                "200 OK",
                "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>",
            )
        } else if line.starts_with("DELETE") {
            status("204 No Content", "")
        } else {
            Reply::Stall(String::new())
        }
    }
    let (port, seen) = serve(hold_parts).await;
    let store = Store::open(&format!("s3://titles?endpoint=http://127.0.0.1:{port}")).unwrap();
    let put = tokio::spawn(async move { store.put_reader(noise(1, 30 << 20).as_slice()).await });
    let saw = async |start: &str| {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !seen.lock().unwrap().iter().any(|line| line.starts_with(start)) {
            assert!(Instant::now() < deadline, "no {start} came");
            tokio::task::yield_now().await;
        }
    };
    saw("PUT").await;
    put.abort();
    assert!(put.await.unwrap_err().is_cancelled());
    saw("DELETE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_and_buckets_are_told_apart() {
    let place = Place::s3s().await;
    let wrong_keys = |id: &str, secret: &str| {
        let mut options = hasty();
        options.credentials = Some(Credentials::new(id, secret));
        Store::open_with(place.store.url(), options).unwrap()
    };
    let digest = Digest::of(b"x");
    let message = wrong_keys("nobody", "hush").get(&digest, 10).await.unwrap_err().to_string();
    assert!(message.contains("AWS_ACCESS_KEY_ID") && !message.contains("hush"), "{message}");
    let message = wrong_keys("backlot", "hush").get(&digest, 10).await.unwrap_err().to_string();
    assert!(
        message.ends_with("correct AWS_SECRET_ACCESS_KEY: it does not fit the key's identifier"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_is_named() {
    let Some(place) = Place::moto().await else { return };
    let url = place.url.replace("backlot-test", "no-such-bucket");
    let store = Store::open_with(&url.parse().unwrap(), hasty()).unwrap();
    let mend = "create the bucket, or correct its name in the store's URL";
    for message in [
        store.put("x").await.unwrap_err().to_string(),
        store.list_blobs(10, None).await.unwrap_err().to_string(),
        store.check().await.unwrap_err().to_string(),
    ] {
        assert!(message.ends_with(mend), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_bounded_but_never_loses_what_is_used() {
    let place = Place::s3s().await;
    let mut options = Options::default();
    options.cache_bytes = 250_000;
    let store = Store::open_with(place.store.url(), options).unwrap();
    let cache = place.scratch.path().join("cache");
    let cached = || std::fs::read_dir(&cache).unwrap().count();
    let mut digests = Vec::new();
    for seed in 0..5 {
        digests.push(store.put(noise(seed, 100_000)).await.unwrap().digest);
    }
    let held = store.materialize(&digests[0], &cache).await.unwrap();
    for digest in &digests[1..] {
        let file = store.materialize(digest, &cache).await.unwrap();
        assert_eq!(Digest::of(&std::fs::read(&file).unwrap()), *digest);
    }
    assert_eq!(cached(), 2, "200,000 of 250,000 bytes");
    assert_eq!(Digest::of(&std::fs::read(&held).unwrap()), digests[0], "the oldest is in use");
    let all =
        futures::future::try_join_all(digests.iter().map(|digest| store.materialize(digest, &cache))).await;
    for (file, digest) in all.unwrap().iter().zip(&digests) {
        assert_eq!(Digest::of(&std::fs::read(file).unwrap()), *digest, "more than the bound, but all in use");
    }
    drop(held);
    store.materialize(&digests[0], &cache).await.unwrap();
    let other = store.put(noise(9, 100_000)).await.unwrap();
    store.materialize(&other.digest, &cache).await.unwrap();
    assert_eq!(cached(), 2, "what is no longer used is removed at the next fetch");
}
