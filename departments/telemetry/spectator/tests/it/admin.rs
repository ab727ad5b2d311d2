//! The admin, asked over HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::aggregator::Aggregator;
use crate::support::{config, seen, send, start};

/// Status and body of an answer.
async fn ask(address: SocketAddr, request: &str, headers: &str, body: &str) -> (u16, String) {
    let host = if headers.to_lowercase().contains("host:") { "" } else { "Host: localhost\r\n" };
    let text = format!(
        "{request} HTTP/1.1\r\n{host}{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
    .await
    .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split_whitespace().nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> Value {
    let (status, body) = ask(address, &format!("GET {path}"), "", "").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn meters_are_shown_and_deleted() {
    let aggregator = Aggregator::start();
    let agent = start(config(), &aggregator).await;
    let admin = agent.addresses().admin.unwrap();
    let lines = b"c:c,a=1:2.5\ng:g,a=1,b=2:1\ng:h:1\nm:m:3\nt:t:0.5\nd:d:4\nC:C:1\nU:U:1\nX,1:X:1\nA:age:1";
    send(&agent, &[lines]);
    seen(&agent, 10).await;
    let metrics = get(admin, "/metrics").await;
    assert_eq!(metrics["counters"], json!([{ "name": "c", "tags": { "a": "1" }, "value": "2.5" }]));
    assert_eq!(metrics["timers"][0]["value"], "500000000");
    assert_eq!(metrics["dist_summaries"][0]["value"], "4");
    assert_eq!(metrics["mono_counters"][0]["value"], "nan");
    assert_eq!(metrics["stats"]["gauges.size"], 2);
    assert_eq!(metrics["stats"]["total.size"], 10);

    let delete = async |path: &str| ask(admin, &format!("DELETE /metrics/{path}"), "", "").await.0;
    assert_eq!(delete("g/g,b=2,a=1").await, 200);
    assert_eq!(delete("g/g,b=2,a=1").await, 404);
    assert_eq!(delete("c/c").await, 404);
    assert_eq!(delete("c").await, 404);
    assert_eq!(delete("A").await, 200);
    let stats = get(admin, "/metrics").await["stats"].clone();
    assert_eq!((stats["gauges.size"].as_u64(), stats["age_gauges.size"].as_u64()), (Some(1), Some(0)));
    agent.stop().await;
}

#[tokio::test]
async fn common_tags_are_set_while_it_runs() {
    let aggregator = Aggregator::start();
    let agent = start(config(), &aggregator).await;
    let admin = agent.addresses().admin.unwrap();
    let post = async |body: &str| {
        let (status, answer) = ask(admin, "POST /config/common_tags", "", body).await;
        (status, serde_json::from_str::<Value>(&answer).unwrap()["message"].clone())
    };
    assert_eq!(post("{").await, (400, json!("json parse exception")));
    assert_eq!(post("[]").await, (400, json!("expected a json object")));
    assert_eq!(post(r#"{"nf.app":"x"}"#).await, (400, json!("only allowed tags may be set")));
    assert_eq!(post(r#"{"mantisUser":1}"#).await, (400, json!("tag values must be strings")));
    assert_eq!(post(r#"{"mantisUser":"a b","mantisJobId":"7"}"#).await, (200, json!("common tags updated")));
    assert_eq!(post(r#"{"mantisJobId":""}"#).await.0, 200);
    assert_eq!(get(admin, "/config").await["common_tags"], json!({ "mantisUser": "a_b" }));
    assert!(get(admin, "/config/common_tags").await["usage"].as_str().unwrap().contains("mantisJobId"));
    send(&agent, &[b"c:n:1"]);
    seen(&agent, 1).await;
    agent.stop().await;
    assert_eq!(aggregator.lines(), ["n,mantisUser=a_b,statistic=count Add 1"]);
}

#[tokio::test]
async fn pages_of_a_browser_are_refused() {
    let aggregator = Aggregator::start();
    let agent = start(config(), &aggregator).await;
    let admin = agent.addresses().admin.unwrap();
    for headers in ["Origin: http://evil.example\r\n", "Host: evil.example\r\n"] {
        assert_eq!(ask(admin, "DELETE /metrics/g", headers, "").await.0, 403);
        assert_eq!(ask(admin, "GET /metrics", headers, "").await.0, 403);
    }
    let root = get(admin, "/").await;
    assert_eq!(root["endpoints"][3], "http://localhost/metrics");
    assert_eq!(ask(admin, "GET /other", "", "").await.0, 404);
    agent.stop().await;
}
