//! Subscriptions through the house's own shell, by a websocket client of somebody else, read by somebody else's Smile.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::doors::Serving;

/// A step of a second, its grace, and a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    address: String,
}

impl Client {
    async fn connect(serving: &Serving, name: &str) -> Self {
        let url = format!("ws://{}/telemetry/api/v2/subscribe/{name}", serving.server.address());
        let (socket, _) = connect_async(url).await.expect("the websocket opens");
        let MaybeTlsStream::Plain(stream) = socket.get_ref() else { panic!("a plain connection") };
        let address = stream.local_addr().expect("an address").to_string();
        Self { socket, address }
    }

    async fn subscribe(&mut self, wanted: Value) {
        let frame = Message::Binary(wanted.to_string().into_bytes().into());
        self.socket.send(frame).await.expect("it is sent");
    }

    /// The next batch, as values one after the other.
    async fn batch(&mut self) -> Vec<Value> {
        let next = tokio::time::timeout(DEADLINE, self.socket.next()).await;
        match next.expect("a message in time").expect("an open stream").expect("a message") {
            Message::Binary(bytes) => serde_smile::from_slice(&bytes).expect("an array of Smile"),
            other => panic!("{other:?}"),
        }
    }

    /// The batch that begins with a message of this number, past heartbeats and what else comes.
    async fn batch_of(&mut self, number: i64) -> Vec<Value> {
        loop {
            let batch = self.batch().await;
            if batch.first() == Some(&json!(number)) {
                return batch;
            }
        }
    }
}

/// Id, tags, value.
type Datapoint = (String, BTreeMap<String, String>, f64);

/// A datapoint at the front of a batch, and what follows it.
fn datapoint(batch: &[Value]) -> (Datapoint, &[Value]) {
    let [number, _at, id, count, rest @ ..] = batch else { panic!("{batch:?}") };
    assert_eq!(number, &json!(2));
    let count = count.as_u64().expect("a number of tags") as usize;
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let tags = rest[..2 * count].chunks(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
    ((text(id), tags, rest[2 * count].as_f64().expect("a value")), &rest[2 * count + 1..])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_is_sent_what_arrives() {
    let serving = Serving::new(json!({ "step": "1s", "alerts": { "grace": "0s" } })).await;
    let mut client = Client::connect(&serving, "one").await;
    let hello = client.batch().await;
    assert_eq!((&hello[0], &hello[1]), (&json!(4), &json!("info")), "{hello:?}");

    let expression = "name,rps,:eq,:sum,(,nf.node,),:by,name,none,:eq,:max,:add";
    client.subscribe(json!([{ "expression": expression, "exprType": "TIME_SERIES", "step": 1000 }])).await;
    let subscription = client.batch_of(7).await;
    assert_eq!(subscription[1..3], [json!(expression), json!("TIME_SERIES")]);
    let parts = subscription[3].as_array().expect("the parts");
    let (first, second) = ("name,rps,:eq,:sum,(,nf.node,),:by", "name,none,:eq,:max");
    assert_eq!((&parts[1], &parts[2], &parts[4]), (&json!(first), &json!(1000), &json!(second)));
    let id = parts[0].as_str().expect("an id").to_owned();

    // Datapoints come at the end of the step that they were sent in.
    let publishing = async {
        loop {
            let now = serving.now();
            let metric = |node: &str, shard: &str, value: f64| {
                json!({ "timestamp": now, "value": value, "tags": {
                    "name": "rps", "nf.node": node, "shard": shard, "atlas.dstype": "gauge" } })
            };
            let body = json!({ "metrics": [metric("i-1", "a", 3.0), metric("i-1", "b", 4.0), metric("i-2", "a", 5.5)] });
            assert_eq!(serving.post("/atlas/api/v1/publish", &body.to_string()).await.status, 200);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let batch = tokio::select! { batch = client.batch_of(2) => batch, () = publishing => unreachable!() };
    let mut got = BTreeMap::new();
    let mut rest = &batch[..];
    while !rest.is_empty() {
        let (point, after) = datapoint(rest);
        assert_eq!((point.0.as_str(), point.1["name"].as_str()), (id.as_str(), "rps"));
        got.insert(point.1["nf.node"].clone(), point.2);
        rest = after;
    }
    assert_eq!(got, BTreeMap::from([("i-1".to_owned(), 7.0), ("i-2".to_owned(), 5.5)]));

    let stream = serving.json("/telemetry/api/v1/streams/one").await;
    assert_eq!(stream["metadata"]["remoteAddress"], json!(client.address), "{stream}");
    assert_eq!(stream["expressions"].as_array().map(Vec::len), Some(2));
    assert_eq!(client.batch_of(5).await[2], json!(1000), "a heartbeat names the step");

    // A list takes the place of the one before; what cannot be had is told.
    client.subscribe(json!([{ "expression": second }, { "expression": ":foo" }])).await;
    let answer = client.batch_of(7).await;
    assert!(
        answer.iter().any(|value| value.as_str().is_some_and(|text| text.contains("unknown word"))),
        "{answer:?}"
    );
    let stream = serving.json("/telemetry/api/v1/streams/one").await;
    let texts: Vec<&Value> =
        stream["expressions"].as_array().expect("all").iter().map(|one| &one["expression"]).collect();
    assert_eq!(texts, [&json!(second)]);

    drop(client);
    let deadline = std::time::Instant::now() + DEADLINE;
    while serving.json("/telemetry/api/v1/streams").await != json!([]) {
        assert!(std::time::Instant::now() < deadline, "the subscriber is not forgotten");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_of_a_name_takes_the_place_of_the_old_one() {
    let serving = Serving::new(json!({})).await;
    let mut old = Client::connect(&serving, "same").await;
    old.batch().await;
    let new = Client::connect(&serving, "same").await;
    let told = old.batch_of(4).await;
    assert!(told[2].as_str().is_some_and(|text| text.contains("another connection")), "{told:?}");
    let stream = serving.json("/telemetry/api/v1/streams/same").await;
    assert_eq!(stream["metadata"]["remoteAddress"], json!(new.address), "{stream}");
}
