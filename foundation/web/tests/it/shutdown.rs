//! The end: streams are told, answers under way are finished, and nothing holds it up for longer than the bound.

use std::time::Duration;

use backlot_web::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use backlot_web::testing::{Answer, in_time};

use crate::support::House;

#[tokio::test]
async fn streams_end_and_idle_connections_close() {
    let mut house = House::open().await;
    let mut stream = house.connect().await;
    stream.write_all(b"GET /odd/quiet HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut idle = house.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    in_time("first answer", idle.read_exact(&mut first)).await.unwrap();
    house.wait_for_streams(1).await;
    house.server.stop();
    let answer = Answer::read(&mut stream).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
    assert!(
        answer.text().contains("event: line") && answer.text().contains("data: hello"),
        "{}",
        answer.text()
    );
    let mut rest = Vec::new();
    in_time("idle connection", idle.read_to_end(&mut rest)).await.unwrap();
    house.server.ended().await.unwrap();
}

#[tokio::test]
async fn an_answer_under_way_is_finished() {
    let mut house = House::open().await;
    let mut client = house.connect().await;
    client.write_all(b"POST /odd/echo HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n").await.unwrap();
    // The server asks for the body: the handler is at work.
    let mut interim = [0; 25];
    in_time("100 Continue", client.read_exact(&mut interim)).await.unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&interim));
    house.server.stop();
    client.write_all(b"done").await.unwrap();
    let answer = Answer::read(&mut client).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
    house.server.ended().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_never_comes_is_cut_off() {
    let bound = Duration::from_millis(300);
    let mut house = House::open_limited(Limits { shutdown: bound, ..Limits::default() }).await;
    let mut client = house.connect().await;
    client.write_all(b"GET /odd/never HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    // A later connection that is answered proves that the earlier one was accepted.
    assert_eq!(house.get("/healthz", &[]).await.status, 200);
    house.server.stop();
    house.server.ended().await.unwrap();
    let mut rest = Vec::new();
    let _ = in_time("cut-off client", client.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
}
