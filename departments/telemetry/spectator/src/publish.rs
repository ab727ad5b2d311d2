//! Publishing the measurements of an interval to an aggregator.
//!
//! The agent hands batches to a [`Publisher`]; [`HttpPublisher`] posts them. A payload carries no time: an aggregator books it on
//! the step in which it arrives. So what could not be sent within its interval is dropped and counted, not kept: later it
//! would be booked on the wrong step. And a batch is sent again only when it is certain that it was not taken (no connection,
//! 429, 503): after a time-out the counts may have been added already.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backlot_meters::Measurement;
use serde_json::Value;

use crate::payload::{self, Format};

/// Measurements to publish together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Tags of all of them; an id's own tag of the same key stands.
    pub common_tags: Arc<[(String, String)]>,
    /// The measurements; all values are finite.
    pub measurements: Vec<Measurement>,
    /// When it is too late to publish them.
    pub deadline: Instant,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Measurements that were taken.
    pub sent: u64,
    /// Measurements that the aggregator refused as invalid.
    pub invalid: u64,
    /// Measurements that were lost to a server error.
    pub http_error: u64,
    /// Measurements that were lost otherwise: no connection, a time-out, an answer that makes no sense.
    pub other: u64,
    /// What was said about those, some of it.
    pub messages: Vec<String>,
}

impl Outcome {
    /// Both together.
    pub fn add(&mut self, other: Outcome) {
        self.sent += other.sent;
        self.invalid += other.invalid;
        self.http_error += other.http_error;
        self.other += other.other;
        let room = MESSAGES.saturating_sub(self.messages.len());
        self.messages.extend(other.messages.into_iter().take(room));
    }

    /// Measurements that were not taken.
    pub fn dropped(&self) -> u64 {
        self.invalid + self.http_error + self.other
    }
}

/// Messages of one flush that are kept for the log. An aggregator gives five for each batch.
const MESSAGES: usize = 20;

/// Where measurements go.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Publishes a batch, once. Comes back soon after the batch's deadline, whatever happens.
    async fn publish(&self, batch: Batch) -> Outcome;
}

/// How to reach an aggregator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpTarget {
    /// The whole address, such as `http://localhost:7700/atlas/api/v4/update`.
    pub uri: String,
    /// Smile unless said, as from spectatord.
    pub format: Format,
    /// gzip unless said.
    pub compression: Compression,
    /// How long a connection may take. spectatord's is two seconds.
    pub connect_timeout: Duration,
    /// How long an answer may take. spectatord's is three seconds.
    pub answer_timeout: Duration,
}

/// Whether a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// With gzip.
    Gzip,
}

impl HttpTarget {
    /// An aggregator at this address.
    pub fn new(uri: impl Into<String>) -> HttpTarget {
        HttpTarget {
            uri: uri.into(),
            format: Format::Smile,
            compression: Compression::Gzip,
            connect_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(3),
        }
    }

    /// In this format.
    #[must_use]
    pub fn format(mut self, format: Format) -> HttpTarget {
        self.format = format;
        self
    }

    /// Compressed so.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> HttpTarget {
        self.compression = compression;
        self
    }
}

/// Posts batches to an aggregator, over connections that are kept.
#[derive(Clone, Debug)]
pub struct HttpPublisher {
    target: Arc<HttpTarget>,
    client: ureq::Agent,
}

impl HttpPublisher {
    /// A publisher to this aggregator. It connects when there is something to publish.
    pub fn new(target: HttpTarget) -> HttpPublisher {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(target.connect_timeout))
            .timeout_recv_response(Some(target.answer_timeout))
            .timeout_recv_body(Some(target.answer_timeout))
            .timeout_send_body(Some(target.answer_timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("backlot-spectator/", env!("CARGO_PKG_VERSION")))
            .build();
        HttpPublisher { target: Arc::new(target), client: config.into() }
    }

    fn post(&self, batch: &Batch) -> Outcome {
        let count = batch.measurements.len() as u64;
        let plain = payload::encode(self.target.format, &batch.common_tags, &batch.measurements);
        let body = match self.target.compression {
            Compression::None => plain,
            Compression::Gzip => payload::compress(&plain),
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let attempt = self.attempt(&body, batch.deadline);
            let is_refused = match &attempt {
                Ok((status, _)) => matches!(status, 429 | 503),
                Err(error) => was_not_sent(error),
            };
            if !is_refused || Instant::now() + pause >= batch.deadline {
                return match attempt {
                    Ok((status, answer)) => judge(count, status, &answer),
                    Err(error) => lost(count, format!("{}: {error}", self.target.uri)),
                };
            }
            // On a thread of its own, for blocking.
            std::thread::sleep(pause);
            pause *= 2;
        }
    }

    fn attempt(&self, body: &[u8], deadline: Instant) -> Result<(u16, String), ureq::Error> {
        // A final flush may come with next to no time; one quick try is still worth it.
        let left = deadline.saturating_duration_since(Instant::now()).max(FIRST_PAUSE);
        let request = self.client.post(&self.target.uri).config().timeout_global(Some(left)).build();
        let mut request = request.content_type(self.target.format.content_type());
        if self.target.compression == Compression::Gzip {
            request = request.header("Content-Encoding", "gzip");
        }
        let mut response = request.send(body)?;
        let status = response.status().as_u16();
        let answer = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_string();
        // Whatever was said, the status tells what became of the batch.
        Ok((status, answer.unwrap_or_default()))
    }
}

/// The first pause before a batch is sent again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest answer that is read: an aggregator's holds five messages.
const LONGEST_ANSWER: u64 = 1 << 20;

#[async_trait]
impl Publisher for HttpPublisher {
    async fn publish(&self, batch: Batch) -> Outcome {
        let count = batch.measurements.len() as u64;
        let publisher = self.clone();
        let posted = tokio::task::spawn_blocking(move || publisher.post(&batch)).await;
        posted.unwrap_or_else(|error| lost(count, error.to_string()))
    }
}

/// Whether it is certain that the server did not get the request.
fn was_not_sent(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
        ureq::Error::Timeout(timeout) => matches!(timeout, ureq::Timeout::Connect | ureq::Timeout::Resolve),
        ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

fn lost(count: u64, message: String) -> Outcome {
    Outcome { other: count, messages: vec![message], ..Outcome::default() }
}

/// What an answer says of a batch: 200 all taken, 202 some invalid, 400 all invalid, with their number.
fn judge(count: u64, status: u16, answer: &str) -> Outcome {
    match status {
        200 => Outcome { sent: count, ..Outcome::default() },
        500.. => {
            let messages = vec![format!("the aggregator answered {status}")];
            Outcome { http_error: count, messages, ..Outcome::default() }
        }
        _ => {
            let answer: Value = serde_json::from_str(answer).unwrap_or_default();
            let Some(errors) = answer["errorCount"].as_u64() else {
                return lost(count, format!("the aggregator answered {status} without a count of errors"));
            };
            let invalid = errors.min(count);
            let messages = answer["message"].as_array().into_iter().flatten();
            let messages = messages.filter_map(Value::as_str).map(str::to_owned).take(MESSAGES).collect();
            Outcome { sent: count - invalid, invalid, messages, ..Outcome::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        let outcome = |sent, invalid, http_error, other| (sent, invalid, http_error, other);
        let partial = r#"{"type":"partial","errorCount":2,"message":["invalid key (tags={})"]}"#;
        let all = r#"{"type":"error","errorCount":99,"message":["x"]}"#;
        let table = [
            (200, "{}", outcome(10, 0, 0, 0)),
            (202, partial, outcome(8, 2, 0, 0)),
            (400, all, outcome(0, 10, 0, 0)),
            (404, "not found", outcome(0, 0, 0, 10)),
            (302, "", outcome(0, 0, 0, 10)),
            (500, "", outcome(0, 0, 10, 0)),
            (503, "", outcome(0, 0, 10, 0)),
        ];
        for (status, answer, expected) in table {
            let judged = judge(10, status, answer);
            assert_eq!(
                (judged.sent, judged.invalid, judged.http_error, judged.other),
                expected,
                "{status} {answer}"
            );
            assert_eq!(judged.sent + judged.dropped(), 10);
        }
        assert_eq!(judge(10, 202, partial).messages, ["invalid key (tags={})"]);
    }
}
