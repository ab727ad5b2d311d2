//! Clients that send too much, too slowly, or do not read.

use std::time::Duration;

use backlot_web::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use backlot_web::testing::{Answer, in_time};

use crate::support::House;

/// Short enough to wait for, long enough for a busy machine to answer a good client in.
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_however_it_is_sent() {
    let house = House::open_limited(Limits { body_bytes: 1000, ..Limits::default() }).await;
    assert_eq!(house.send("POST /odd/count", &[], &"x".repeat(1000)).await.text(), "1000");
    let told = house.send("POST /odd/count", &[], &"x".repeat(1001)).await;
    assert_eq!((told.status, told.code().as_str()), (413, "body_too_large"));
    let chunk = format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001));
    let head = "POST /odd/count HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let untold = house.raw(format!("{head}{chunk}").as_bytes()).await;
    assert_eq!((untold.status, untold.code().as_str()), (413, "body_too_large"));
    // Said, but not sent: no need to wait for it.
    let huge = "POST /odd/count HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 99999999999999\r\n\r\n";
    assert_eq!(house.raw(huge.as_bytes()).await.status, 413);
    // A door's own limit outranks the house's, and axum's built-in one of 2 MB is not in the way.
    let large = "x".repeat(3_000_000);
    assert_eq!(house.send("POST /large/count", &[], &large).await.text(), "3000000");
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_cut_off() {
    let house = House::open_limited(Limits { header_read: SHORT, ..Limits::default() }).await;
    let mut silent = house.connect().await;
    let mut halfway = house.connect().await;
    halfway.write_all(b"GET /healthz HTTP/1.1\r\nhost: loc").await.unwrap();
    let mut rest = Vec::new();
    let _ = in_time("silent client", silent.read_to_end(&mut rest)).await;
    let _ = in_time("halfway client", halfway.read_to_end(&mut rest)).await;
    assert_eq!(house.get("/healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn a_client_that_pauses_in_its_body_is_told_and_cut_off() {
    let house = House::open_limited(Limits { body_stall: SHORT, ..Limits::default() }).await;
    let mut slow = house.connect().await;
    slow.write_all(b"POST /odd/count HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nabc")
        .await
        .unwrap();
    let answer = Answer::read(&mut slow).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[tokio::test]
async fn a_request_that_takes_too_long_says_whose_fault_it_is() {
    let house = House::open_limited(Limits { request: SHORT, ..Limits::default() }).await;
    let server = house.get("/odd/never", &[]).await;
    assert_eq!((server.status, server.code().as_str()), (503, "timed_out"));
    let mut slow = house.connect().await;
    slow.write_all(b"POST /odd/count HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nabc")
        .await
        .unwrap();
    let client = Answer::read(&mut slow).await;
    assert_eq!((client.status, client.code().as_str()), (408, "request_too_slow"));
}

#[tokio::test]
async fn an_event_stream_outlives_the_request_limit() {
    let house = House::open_limited(Limits { request: SHORT, ..Limits::default() }).await;
    let mut stream = house.connect().await;
    stream.write_all(b"GET /odd/quiet HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    house.wait_for_streams(1).await;
    // A request that is cut off by the limit proves that the limit has passed for the stream as well.
    assert_eq!(house.get("/odd/never", &[]).await.status, 503);
    assert_eq!(*house.streams.borrow(), 1);
    drop(stream);
    house.wait_for_streams(0).await;
}

#[tokio::test]
async fn a_hundred_clients_that_leave_their_streams_free_everything() {
    let house = House::open().await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = house.connect().await;
        client.write_all(b"GET /odd/quiet HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        clients.push(client);
    }
    house.wait_for_streams(100).await;
    drop(clients);
    house.wait_for_streams(0).await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_let_go() {
    let house = House::open_limited(Limits { write_stall: SHORT, ..Limits::default() }).await;
    let mut client = house.connect().await;
    client.write_all(b"GET /odd/flood HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    house.wait_for_streams(1).await;
    house.wait_for_streams(0).await;
    drop(client);
}

#[tokio::test]
async fn beyond_the_connection_cap_clients_are_told() {
    let house = House::open_limited(Limits { connections: 2, ..Limits::default() }).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = house.connect().await;
        client.write_all(b"GET /odd/quiet HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        clients.push(client);
    }
    house.wait_for_streams(2).await;
    let mut refused = house.connect().await;
    let answer = Answer::read(&mut refused).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "over_capacity"));
    assert_eq!(answer.header("retry-after"), "1");
    drop(clients);
    house.wait_for_streams(0).await;
    // The slot is free a moment after the stream is.
    in_time("a free slot", async {
        loop {
            let mut client = house.connect().await;
            // The server may have refused and closed already.
            let _ = client
                .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .await;
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer).await;
            if answer.starts_with(b"HTTP/1.1 200") {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn small_answers_are_not_held_back() {
    // Nagle's algorithm and delayed acknowledgements together would cost 40 ms for each of these.
    let house = House::open().await;
    let mut client = house.connect().await;
    client.set_nodelay(true).unwrap();
    let started = std::time::Instant::now();
    let rounds = 100;
    for _ in 0..rounds {
        client
            .write_all(b"GET /odd/id HTTP/1.1\r\nhost: localhost\r\nx-request-id: q\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nq") {
            let mut piece = [0; 4096];
            let count = in_time("answer", client.read(&mut piece)).await.unwrap();
            assert_ne!(count, 0);
            answer.extend_from_slice(&piece[..count]);
        }
    }
    assert!(started.elapsed() < Duration::from_millis(40) * rounds, "{:?}", started.elapsed());
}
