//! The events door.

use backlot_web::testing::read_until;
use serde_json::{Value, json};

use crate::support::Lot;

const EVENTS: &str = "/events/api/v1/events";

fn seqs(list: &Value) -> Vec<u64> {
    let id = |event: &Value| event["id"].as_str().unwrap().parse().unwrap();
    list["events"].as_array().unwrap().iter().map(id).collect()
}

#[tokio::test]
async fn events_are_listed_filtered_and_paged() {
    let lot = Lot::open().await;
    let run = lot.submit("one", json!([{ "name": "a", "kind": "test.echo" }])).await;
    lot.ended(&run).await;
    let all = lot.get(EVENTS).await.json();
    let numbers = seqs(&all);
    assert!(numbers.len() >= 3 && numbers.is_sorted(), "{all}");
    assert_eq!(all["events"][0]["specversion"], "1.0");
    let first = lot.get(&format!("{EVENTS}?limit=1")).await.json();
    let rest = lot.get(&format!("{EVENTS}?after={}", first["next"])).await.json();
    assert_eq!([seqs(&first), seqs(&rest)].concat(), numbers);
    let runs = lot.get(&format!("{EVENTS}?kind=backlot.work.run&subject={run}")).await.json();
    assert!(seqs(&runs).len() >= 2 && seqs(&runs).len() < numbers.len(), "{runs}");
    assert!(runs["events"].as_array().unwrap().iter().all(|event| event["subject"] == run.as_str()));
    assert_eq!(lot.get(&format!("{EVENTS}?since=2999-01-01T00:00:00Z")).await.json()["events"], json!([]));
    let mistake = lot.get(&format!("{EVENTS}?since=yesterday")).await;
    assert!(mistake.status == 400 && mistake.text().contains("yesterday"), "{}", mistake.text());
}

#[tokio::test]
async fn the_stream_replays_and_goes_on() {
    let lot = Lot::open().await;
    let bearer = lot.bearer();
    let first = lot.submit("one", json!([{ "name": "a", "kind": "test.echo" }])).await;
    lot.ended(&first).await;
    let mut stream =
        lot.server.open("/events/api/v1/stream?kind=backlot.work.run", &[("authorization", &bearer)]).await;
    read_until(&mut stream, &format!("\"subject\":\"{first}\"")).await;
    let second = lot.submit("two", json!([{ "name": "a", "kind": "test.echo" }])).await;
    let live = read_until(&mut stream, &format!("\"subject\":\"{second}\"")).await;
    // A client that reconnects names the last it saw, here the first event of the second run; it outranks the address.
    let seen = live.split(&second).next().unwrap();
    let id = seen.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().unwrap().to_owned();
    lot.ended(&second).await;
    let fields = [("authorization", bearer.as_str()), ("last-event-id", id.as_str())];
    let mut again = lot.server.open("/events/api/v1/stream?after=0", &fields).await;
    let replayed = read_until(&mut again, "succeeded").await;
    assert!(!replayed.contains(&first), "{replayed}");
}

#[tokio::test]
async fn events_from_outside_are_taken_once() {
    let lot = Lot::open().await;
    let bearer = lot.bearer();
    let send = async |media_type: &str, body: &Value| {
        let fields = [("authorization", bearer.as_str()), ("content-type", media_type)];
        lot.server.send(&format!("POST {EVENTS}"), &fields, &body.to_string()).await
    };
    let event = |id: &str, source: &str| json!({ "specversion": "1.0", "id": id, "source": source, "type": "clip.arrived" });
    let one = "application/cloudevents+json";
    assert_eq!(send(one, &event("1", "/dock")).await.json(), json!({ "received": ["appended"] }));
    let batch = json!([event("1", "/dock"), event("2", "/dock"), event("1", "/gate")]);
    let answer = send("application/cloudevents-batch+json; charset=utf-8", &batch).await;
    assert_eq!(answer.json(), json!({ "received": ["duplicate", "appended", "appended"] }));
    assert_eq!(seqs(&lot.get(&format!("{EVENTS}?source=/dock")).await.json()), [1, 2]);
    for (media_type, body, status) in [
        (one, json!({ "specversion": "1.0", "id": "3", "type": "x" }), 400),
        (one, event("3", "/backlot/work"), 422),
        (one, json!([1]), 400),
        ("application/json", event("3", "/dock"), 415),
    ] {
        let answer = send(media_type, &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(!answer.code().is_empty());
    }
    assert!(lot.get("/events").await.text().contains("clip.arrived"));
}
