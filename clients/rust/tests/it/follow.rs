//! Following, over servers that go away and come back.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use backlot_client::{Client, Error, EventFilter, Next, RunState, TaskPlace};
use serde_json::json;

use crate::support::{DEADLINE, Lot, in_time, submit};

const LIMIT: Option<Duration> = Some(DEADLINE);

#[test]
fn a_wait_ends_at_its_limit_and_the_run_goes_on() {
    let lot = Lot::open();
    let client = lot.client();
    let run = submit(&client, "slow", &json!([{ "name": "wait", "kind": "test.wait" }]));
    let error = client.wait(&run, Some(Duration::from_millis(50)), |_| {}).unwrap_err();
    assert!(matches!(&error, Error::TimedOut { what, .. } if what.contains(&run)), "{error:?}");
    lot.open.send_replace(true);
    assert_eq!(client.wait(&run, LIMIT, |_| {}).unwrap().state, RunState::Succeeded);
    assert_eq!(client.wait(&run, Some(Duration::ZERO), |_| {}).unwrap().state, RunState::Succeeded);
    assert_eq!(client.wait("nosuchrun0000", LIMIT, |_| {}).unwrap_err().code(), "not_found");
}

#[test]
fn a_log_is_followed_from_before_its_task_is_there() {
    let lot = Lot::open();
    let client = lot.client();
    let steps = json!([
        { "name": "first", "kind": "test.wait" },
        { "name": "second", "kind": "test.wait", "input": "not the first again", "after": ["first"] }
    ]);
    let run = submit(&client, "slow", &steps);
    let mut lines = client.follow_log(&TaskPlace::new(&run, "second", 0)).unwrap();
    assert_eq!(lines.next_within(Some(Duration::ZERO)).unwrap(), Next::Nothing);
    lot.open.send_replace(true);
    let text: Vec<String> = in_time(lines).map(|line| line.unwrap()).collect();
    assert_eq!(text.join("\n"), "waiting\nwent on");
    for (step, index) in [("second", 1), ("third", 0)] {
        let mut never = in_time(client.follow_log(&TaskPlace::new(&run, step, index)).unwrap());
        assert_eq!(never.next().unwrap().unwrap_err().code(), "not_found");
        assert!(never.next().is_none());
    }
}

#[test]
fn followers_go_on_where_they_were_when_the_server_returns_elsewhere() {
    let mut lot = Lot::open();
    let client = lot.client().with_patience(Duration::from_secs(30));
    let run = submit(&client, "slow", &json!([{ "name": "wait", "kind": "test.wait" }]));
    let mut lines = in_time(client.follow_log(&TaskPlace::new(&run, "wait", 0)).unwrap());
    assert_eq!(lines.next().unwrap().unwrap(), "waiting");
    let mut events = in_time(client.follow_events(&EventFilter::default()));
    let before = events.find(|event| event.as_ref().unwrap().kind == "backlot.work.run.queued");
    assert!(before.is_some());
    let mut states = in_time(client.follow(&run).unwrap());
    assert_eq!(states.next().unwrap().unwrap().id, run);

    let old = client.url();
    lot.stop_server();
    // Something else may have taken the port by now, so that the address says nothing.
    lot.start_server();
    lot.open.send_replace(true);
    assert_eq!(lines.map(|line| line.unwrap()).collect::<Vec<_>>(), ["went on"]);
    assert_eq!(states.last().unwrap().unwrap().state, RunState::Succeeded);
    let mut seqs = Vec::new();
    for event in events {
        let event = event.unwrap();
        seqs.push(event.seq().unwrap());
        if event.kind == "backlot.work.run.succeeded" {
            break;
        }
    }
    assert!(seqs.is_sorted_by(|a, b| a < b), "each event comes once, in order: {seqs:?}");
    assert_eq!(client.run(&run).unwrap().state, RunState::Succeeded);
    assert_ne!(client.url(), old);
}

#[test]
fn patience_ends() {
    let mut lot = Lot::open();
    let client = lot.client().with_patience(Duration::from_millis(200));
    let run = submit(&client, "slow", &json!([{ "name": "wait", "kind": "test.wait" }]));
    let mut states = in_time(client.follow(&run).unwrap());
    states.next().unwrap().unwrap();
    lot.stop_server();
    let begun = Instant::now();
    let error = states.find_map(Result::err).unwrap();
    assert!(matches!(error, Error::Unreachable { .. }) && error.is_passing(), "{error:?}");
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(client.wait(&run, LIMIT, |_| {}).unwrap_err().code(), "unreachable");
    assert_eq!(client.run(&run).unwrap_err().code(), "unreachable");
}

#[test]
fn a_follower_that_is_dropped_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
    let events = client.follow_events(&EventFilter::default());
    let (mut connection, _) = listener.accept().unwrap();
    connection.set_read_timeout(LIMIT).unwrap();
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        asked.extend(byte);
    }
    assert!(asked.starts_with(b"GET /events/api/v1/stream?after=0 HTTP/1.1\r\n"));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    connection.write_all(head.as_bytes()).unwrap();
    drop(events);
    match connection.read(&mut [0]) {
        Ok(count) => assert_eq!(count, 0),
        // It was closed before it had read our head.
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn what_is_no_backlot_server_is_told_apart() {
    let answer = |answer: &'static str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
        let served = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            assert!(connection.read(&mut request).unwrap() > 0);
            connection.write_all(answer.as_bytes()).unwrap();
        });
        let error = client.run("someone").unwrap_err();
        served.join().unwrap();
        error
    };
    let page = answer("HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>");
    assert_eq!(page.code(), "bad_answer");
    let moved = answer(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(moved.code(), "bad_answer");
    let proxy = answer("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbad");
    assert!(proxy.code() == "http_502" && proxy.is_passing(), "{proxy:?}");
    let cut = answer("HTTP/1.1 200 OK\r\ncontent-length: 600\r\nconnection: close\r\n\r\n{");
    assert_eq!(cut.code(), "unreachable");
    let nonsense = answer("SSH-2.0-OpenSSH_9.2\r\n");
    assert!(["unreachable", "bad_answer"].contains(&nonsense.code()), "{nonsense:?}");
}
