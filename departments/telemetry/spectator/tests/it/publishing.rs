//! Batches, formats, failures of the aggregator, and what the agent tells of itself.

use std::time::Duration;

use backlot_meters::Registry;
use backlot_spectator::payload::Format;
use backlot_spectator::registry::Limits;
use backlot_spectator::testing::Answer;
use backlot_spectator::{Compression, HttpTarget, Status};

use crate::aggregator::Aggregator;
use crate::support::{config, seen, send, start, start_with, until};

#[tokio::test]
async fn each_format_is_sent_with_its_headers() {
    let formats = [
        (Format::Smile, Compression::Gzip, "application/x-jackson-smile", Some("gzip")),
        (Format::Smile, Compression::None, "application/x-jackson-smile", None),
        (Format::Json, Compression::Gzip, "application/json", Some("gzip")),
        (Format::Json, Compression::None, "application/json", None),
    ];
    for (format, compression, content_type, encoding) in formats {
        let aggregator = Aggregator::start();
        let target = HttpTarget::new(aggregator.uri()).format(format).compression(compression);
        let agent = start_with(config(), target).await;
        send(&agent, &[b"c:n:1"]);
        seen(&agent, 1).await;
        let flushed = agent.stop().await;
        assert_eq!((flushed.outcome.sent, flushed.outcome.dropped()), (flushed.measurements as u64, 0));
        let received = aggregator.received();
        assert_eq!(received[0].path, "/api/v4/update");
        assert_eq!(received[0].headers["content-type"], content_type);
        assert_eq!(received[0].headers.get("content-encoding").map(String::as_str), encoding);
        assert_eq!(aggregator.lines(), ["n,statistic=count Add 1"]);
    }
}

#[tokio::test]
async fn much_is_sent_in_batches_at_once() {
    let aggregator = Aggregator::start();
    let mut config = config();
    (config.batch_size, config.status) = (100, Status::Silent);
    let agent = start(config, &aggregator).await;
    let lines: Vec<String> = (0..1050).map(|i| format!("c:n,i={i}:1\n")).collect();
    send(&agent, &[lines.concat().as_bytes()]);
    seen(&agent, 1050).await;
    let flushed = agent.flush().await;
    assert_eq!((flushed.measurements, flushed.outcome.sent), (1050, 1050));
    let received = aggregator.received();
    let mut sizes: Vec<usize> = received.iter().map(|one| one.payload.as_ref().unwrap().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100]);
    assert_eq!(aggregator.lines().len(), 1050);
    // Nothing to tell, nothing sent.
    assert_eq!(agent.flush().await.measurements, 0);
    assert_eq!(aggregator.received().len(), 11);
    agent.stop().await;
}

#[tokio::test]
async fn a_busy_aggregator_is_asked_again() {
    let aggregator = Aggregator::start();
    let agent = start(config(), &aggregator).await;
    send(&agent, &[b"c:n:1"]);
    seen(&agent, 1).await;
    aggregator.answers(&[(503, ""), (429, "")]);
    assert_eq!(agent.flush().await.outcome.dropped(), 0);
    assert_eq!(aggregator.lines(), ["n,statistic=count Add 1"]);
    agent.stop().await;
}

#[tokio::test]
async fn what_may_have_been_taken_is_not_sent_again() {
    let aggregator = Aggregator::start();
    let agent = start(config(), &aggregator).await;
    // The aggregator takes the batch and the connection breaks before its answer.
    aggregator.answer([Answer::Break]);
    send(&agent, &[b"c:n:1"]);
    seen(&agent, 1).await;
    let flushed = agent.flush().await;
    assert_eq!((flushed.outcome.sent, flushed.outcome.other), (0, flushed.measurements as u64));
    agent.flush().await;
    assert_eq!(aggregator.lines(), ["n,statistic=count Add 1"]);
    agent.stop().await;
}

#[tokio::test]
async fn losses_are_told_with_the_next_flush() {
    let aggregator = Aggregator::start();
    let agent = start(config(), &aggregator).await;
    let partial = r#"{"type":"partial","errorCount":2,"message":["key too long (tags={})"]}"#;
    aggregator.answers(&[(202, partial), (500, "")]);
    let first = agent.flush().await;
    assert_eq!(first.outcome.messages, ["key too long (tags={})"]);
    let second = agent.flush().await;
    assert_eq!(second.outcome.http_error, second.measurements as u64);
    let third = agent.stop().await;
    let lines = aggregator.all_lines();
    let expected = [
        // Of the second flush, told by the third; what the second told of the first was lost.
        format!(
            "spectator.measurements,error=http-error,id=dropped,nf.process=spectatord,statistic=count Add {}",
            second.measurements
        ),
    ];
    for line in &expected {
        assert!(lines.contains(line), "{line} is not in {lines:?}");
    }
    assert_eq!(third.outcome.dropped(), 0);
}

#[tokio::test]
async fn an_aggregator_that_is_away_costs_an_interval() {
    let mut config = config();
    config.frequency = Duration::from_millis(300);
    let agent = start_with(config, HttpTarget::new("http://127.0.0.1:1/api/v4/update")).await;
    send(&agent, &[b"c:n:1"]);
    seen(&agent, 1).await;
    let flushed = agent.flush().await;
    assert_eq!(flushed.outcome.other, flushed.measurements as u64);
    assert!(flushed.outcome.messages[0].contains("127.0.0.1:1"), "{:?}", flushed.outcome.messages);
    agent.stop().await;
}

#[tokio::test]
async fn it_publishes_by_itself() {
    let aggregator = Aggregator::start();
    let mut config = config();
    config.frequency = Duration::from_millis(20);
    let agent = start(config, &aggregator).await;
    send(&agent, &[b"c:n:1"]);
    until(|| aggregator.lines() == ["n,statistic=count Add 1"]).await;
    agent.stop().await;
}

#[tokio::test]
async fn it_tells_of_itself() {
    let aggregator = Aggregator::start();
    let mut config = config();
    config.limits = Limits { meters: 2, ..Limits::default() };
    config.process = "agent-1".to_owned();
    let agent = start(config, &aggregator).await;
    send(&agent, &[b"c:n:1\nc:n:1\nT:t:1junk\nc:over:1\ng:over:1\nbad\nc:n:-1"]);
    seen(&agent, 7).await;
    let measurements = agent.flush().await.measurements;
    agent.stop().await;
    let lines = aggregator.all_lines();
    let expected = [
        "spectatord.parsedCount,statistic=count Add 6",
        "spectatord.parseErrors,statistic=count Add 1",
        "spectatord.parseWarnings,statistic=count Add 1",
        "spectatord.valuesIgnored,statistic=count Add 1",
        "spectatord.poolAccess,id=hit,statistic=count Add 2",
        "spectatord.poolAccess,id=miss,statistic=count Add 4",
        "spectatord.idsOverLimit,id=folded,statistic=count Add 1",
        "spectatord.idsOverLimit,id=dropped,statistic=count Add 1",
        "spectatord.percentileCacheSize,id=timer,statistic=gauge Max 1",
        "spectatord.percentileCacheSize,id=dist-summary,statistic=gauge Max 0",
        "spectatord.poolEntries,statistic=gauge Max 2",
        "spectatord.udpRxQueue,statistic=max Max 0",
        "spectator.registrySize,nf.process=agent-1,statistic=totalAmount Add 7",
        &format!("spectator.measurements,id=sent,nf.process=agent-1,statistic=count Add {measurements}"),
        "over,overflow=ids,statistic=count Add 1",
    ];
    for line in expected {
        assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:#?}");
    }
}

#[tokio::test]
async fn the_meters_of_its_own_program_ride_along() {
    let aggregator = Aggregator::start();
    let mut config = config();
    let registry = Registry::default();
    (config.meters, config.status) = (Some(registry.clone()), Status::Silent);
    config.common_tags = vec![("nf.node".to_owned(), "i-1".to_owned())];
    let agent = start(config, &aggregator).await;
    registry.counter("runs.tasks").add(3);
    agent.flush().await;
    agent.stop().await;
    assert_eq!(aggregator.lines(), ["runs.tasks,nf.node=i-1,statistic=count Add 3"]);
}
