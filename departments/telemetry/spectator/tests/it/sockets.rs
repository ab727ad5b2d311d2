//! Lines by UDP and unix datagrams, what the kernel loses, and the end.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

use backlot_spectator::testing;
use backlot_spectator::{Agent, AgentError, HttpPublisher, HttpTarget, Reach};

use crate::aggregator::Aggregator;
use crate::support::{config, seen, send, start};

const NOTHING: [&str; 0] = [];

#[tokio::test]
async fn every_kind_of_meter_is_published() {
    let aggregator = Aggregator::start();
    let mut config = config();
    config.common_tags = vec![("nf.app".to_owned(), "www".to_owned())];
    let agent = start(config, &aggregator).await;
    let first = "c:c,id=1:1\nc:c,id=1:2\ng:g:1.5\ng,120:h:2\nm:m:3\nm:m:1\nt:t:0.5\nd:d:3\nd:d:4\nT:T:0.1\nD:D:42\nC:C:10\nU:U:7\nX,1000:X:1\nA:A:1\nS:S:YQ==\n";
    send(&agent, &[first.as_bytes()]);
    seen(&agent, 16).await;
    agent.flush().await;
    let ages: Vec<String> = aggregator.lines().into_iter().filter(|line| line.starts_with("A,")).collect();
    assert!(ages.len() == 1 && ages[0].starts_with("A,nf.app=www,statistic=gauge Max 1"), "{ages:?}");
    let expected = [
        "D,nf.app=www,percentile=D0014,statistic=percentile Add 1",
        "D,nf.app=www,statistic=count Add 1",
        "D,nf.app=www,statistic=max Max 42",
        "D,nf.app=www,statistic=totalAmount Add 42",
        "D,nf.app=www,statistic=totalOfSquares Add 1764",
        "S,distinct=R1B,nf.app=www,statistic=distinct Max 1",
        "T,nf.app=www,percentile=T0073,statistic=percentile Add 1",
        "T,nf.app=www,statistic=count Add 1",
        "T,nf.app=www,statistic=max Max 0.1",
        "T,nf.app=www,statistic=totalOfSquares Add 0.01",
        "T,nf.app=www,statistic=totalTime Add 0.1",
        "c,id=1,nf.app=www,statistic=count Add 3",
        "d,nf.app=www,statistic=count Add 2",
        "d,nf.app=www,statistic=max Max 4",
        "d,nf.app=www,statistic=totalAmount Add 7",
        "d,nf.app=www,statistic=totalOfSquares Add 25",
        "g,nf.app=www,statistic=gauge Max 1.5",
        "h,nf.app=www,statistic=gauge Max 2",
        "m,nf.app=www,statistic=max Max 3",
        "t,nf.app=www,statistic=count Add 1",
        "t,nf.app=www,statistic=max Max 0.5",
        "t,nf.app=www,statistic=totalOfSquares Add 0.25",
        "t,nf.app=www,statistic=totalTime Add 0.5",
    ];
    let others: Vec<String> = aggregator.lines().into_iter().filter(|line| !line.starts_with("A,")).collect();
    assert_eq!(others, expected);

    // Of the second interval: what grew, and the gauges.
    send(&agent, &[b"C:C:15\nU:U:10\nX,3000:X:5"]);
    seen(&agent, 19).await;
    agent.flush().await;
    let second = testing::lines(&aggregator.received()[1..]);
    for line in [
        "C,nf.app=www,statistic=count Add 5",
        "U,nf.app=www,statistic=count Add 3",
        "X,nf.app=www,statistic=count Add 2",
        "g,nf.app=www,statistic=gauge Max 1.5",
    ] {
        assert!(second.iter().any(|found| found == line), "{line} is not in {second:?}");
    }
    assert!(!second.iter().any(|found| found.starts_with("c,")), "{second:?}");
    agent.stop().await;
}

#[tokio::test]
async fn datagrams_of_any_size_and_content_are_taken() {
    let aggregator = Aggregator::start();
    let agent = start(config(), &aggregator).await;
    let mut large = b"c:n:1\n".repeat(10_000);
    large.extend(b"c:n:1");
    let nonsense = vec![0xFF_u8; 65_507];
    send(&agent, &[&large, &nonsense, b"", b"\n\n", b"\0", b"c:n:1"]);
    // 10 001 in the large one, one line of nonsense, one NUL, one more.
    seen(&agent, 10_004).await;
    assert_eq!(agent.tally().refused, 2);
    agent.stop().await;
    assert_eq!(aggregator.lines(), ["n,statistic=count Add 10002"]);
}

#[tokio::test]
async fn unix_datagrams_are_taken_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run/agent.unix");
    let aggregator = Aggregator::start();
    let mut config = config();
    config.unix = Some(path.clone());
    let agent = start(config.clone(), &aggregator).await;
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(&path).unwrap();
    for value in 0..1000 {
        socket.send(format!("g:n:{value}\nc:c:1").as_bytes()).unwrap();
    }
    // Nobody waits for the agent to read them: it takes what was sent before it ends.
    agent.stop().await;
    assert_eq!(aggregator.lines(), ["c,statistic=count Add 1000", "n,statistic=gauge Max 999"]);
    assert!(!path.exists());

    // A socket that a dead agent left is replaced, one of a living agent is not, nor is a file.
    drop(UnixDatagram::bind(&path).unwrap());
    let agent = start(config.clone(), &aggregator).await;
    let publisher = || std::sync::Arc::new(HttpPublisher::new(HttpTarget::new("http://localhost")));
    let error = Agent::start(config.clone(), publisher()).await.unwrap_err();
    assert!(error.to_string().contains("another agent listens there"), "{error}");
    agent.stop().await;
    std::fs::write(&path, "precious").unwrap();
    let error = Agent::start(config, publisher()).await.unwrap_err();
    assert!(error.to_string().contains("not a socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn dogstatsd_is_taken_on_its_own_port() {
    let aggregator = Aggregator::start();
    let agent = start(config(), &aggregator).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let statsd = agent.addresses().statsd.unwrap();
    socket.send_to(b"hits:1|c|@0.5|#env:prod,canary\nlat:20|ms\nbad", statsd).unwrap();
    seen(&agent, 3).await;
    agent.stop().await;
    let expected = [
        "hits,canary=1,env=prod,statistic=count Add 2",
        "lat,statistic=count Add 1",
        "lat,statistic=max Max 0.02",
        "lat,statistic=totalOfSquares Add 0.0004",
        "lat,statistic=totalTime Add 0.02",
    ];
    assert_eq!(aggregator.lines(), expected);
}

#[tokio::test]
async fn what_the_kernel_drops_is_told() {
    let aggregator = Aggregator::start();
    let mut config = config();
    // The smallest buffer holds a few datagrams, and the registry is locked while they come.
    config.receive_buffer = 1;
    let agent = start(config, &aggregator).await;
    let datagram = vec![b'\n'; 60_000];
    crate::support::until(|| {
        send(&agent, &[&datagram[..]; 50]);
        agent.dropped_by_kernel() > 0
    })
    .await;
    agent.stop().await;
    let told =
        aggregator.all_lines().into_iter().find(|line| line.starts_with("spectatord.udpPacketsDropped"));
    assert!(told.is_some_and(|line| line.contains("statistic=count Add ")));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let aggregator = Aggregator::start();
    let agent = start(config(), &aggregator).await;
    let mut second = config();
    second.lines = agent.addresses().lines;
    let publisher = std::sync::Arc::new(HttpPublisher::new(HttpTarget::new("http://localhost")));
    let error = Agent::start(second, publisher).await.unwrap_err();
    let expected = format!("cannot listen on {}: ", agent.addresses().lines.unwrap());
    assert!(error.to_string().starts_with(&expected), "{error}");
    agent.stop().await;
    assert_eq!(aggregator.lines(), NOTHING);
}

#[tokio::test]
async fn nothing_listens_to_the_network_unasked() {
    let publisher = || std::sync::Arc::new(HttpPublisher::new(HttpTarget::new("http://localhost")));
    let any = Some("0.0.0.0:0".parse().unwrap());
    let mut open = config();
    open.lines = any;
    assert!(matches!(Agent::start(open.clone(), publisher()).await, Err(AgentError::Exposed(_))));
    open.reach = Reach::Anyone;
    open.status = backlot_spectator::Status::Silent;
    Agent::start(open.clone(), publisher()).await.unwrap().stop().await;
    open.admin = any;
    assert!(matches!(Agent::start(open, publisher()).await, Err(AgentError::ExposedAdmin(_))));
}
