//! The agent inside the server.

use std::net::UdpSocket;

use serde_json::json;

use crate::doors::Serving;

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_leaves_the_others_open() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = json!({ "step": "1h", "agent": {
        "enabled": true, "lines": taken.local_addr().unwrap(), "statsd": free, "admin": null } });
    let serving = Serving::new(settings).await;
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"jobs.done:3|c|#queue:mail", free).unwrap();
    // At its end the agent takes what was sent, and the store keeps it.
    let serving = serving.again(json!({ "step": "1h" })).await;
    assert_eq!(serving.json("/atlas/api/v1/tags/queue").await, json!(["mail"]));
    UdpSocket::bind(free).expect("the agent has given its port back");
}
