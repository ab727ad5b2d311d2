//! Server-sent events: a stream of messages to a browser or a command line, over plain HTTP.
//!
//! A stream ends when its source ends, when the client goes away, or when the server shuts down: [`respond`] watches
//! [`Closing`], so that open streams never hold a shutdown up. A comment every 15 seconds keeps proxies from closing
//! a quiet stream, and finds clients that have gone. A client that reconnects says the last id it saw ([`LastEventId`]);
//! a handler that numbers its messages continues after it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};

use crate::Closing;

/// Shorter than the 30 to 60 seconds after which common proxies close a silent connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// One message of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    event: Option<String>,
    id: Option<String>,
    data: String,
}

impl Message {
    /// A message with this text, which may hold several lines.
    pub fn new(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// A message with this value as JSON.
    ///
    /// # Errors
    /// When the value cannot be written as JSON (a map with keys that are not text, say).
    pub fn json<T: serde::Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self::new(serde_json::to_string(value)?))
    }

    /// Names the kind of message; a browser dispatches it under this name.
    pub fn event(mut self, event: impl Into<String>) -> Self {
        self.event = Some(event.into());
        self
    }

    /// Gives the message an id, which the client returns when it reconnects.
    pub fn id(mut self, id: impl ToString) -> Self {
        self.id = Some(id.to_string());
        self
    }
}

impl Message {
    /// The message on the wire (HTML standard, section 9.2.5). There a bare carriage return ends a line too, so all three line
    /// ends mean the same; and a message without a data line is not delivered, so an empty text is an empty line.
    fn encode(&self) -> Bytes {
        let one_line = |text: &str| text.replace(['\r', '\n', '\0'], " ");
        let mut text = String::with_capacity(self.data.len() + 32);
        let mut add = |field: &str, value: &str| {
            for part in [field, ": ", value, "\n"] {
                text.push_str(part);
            }
        };
        if let Some(event) = &self.event {
            add("event", &one_line(event));
        }
        if let Some(id) = &self.id {
            add("id", &one_line(id));
        }
        for line in self.data.replace("\r\n", "\n").split(['\r', '\n']) {
            add("data", line);
        }
        text.push('\n');
        text.into()
    }
}

/// The response that sends `messages` until they end, the client goes, or the server closes.
pub fn respond<S>(closing: Closing, messages: S) -> Response
where
    S: Stream<Item = Message> + Send + 'static,
{
    let messages = Box::pin(messages.take_until(closing.wait()));
    let pieces = futures::stream::unfold(messages, |mut messages| async move {
        let piece = match tokio::time::timeout(KEEP_ALIVE, messages.next()).await {
            Ok(message) => message?.encode(),
            Err(_) => Bytes::from_static(b":\n\n"),
        };
        Some((Ok::<_, Infallible>(piece), messages))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx buffers responses unless told not to.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

/// The number of the last message that a reconnecting client saw; `None` at a first connection, or when the id is not
/// a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastEventId(pub Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let value = parts.headers.get("last-event-id");
        Ok(Self(value.and_then(|text| text.to_str().ok()?.trim().parse().ok())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_cannot_break_out_of_their_lines() {
        let hostile = Message::new("a\nevent: fake\r\rb\r\n").event("x\ndata: y").id("1\0\r2");
        let wire = "event: x data: y\nid: 1  2\ndata: a\ndata: event: fake\ndata: \ndata: b\ndata: \n\n";
        assert_eq!(hostile.encode(), wire);
    }

    #[test]
    fn an_empty_message_is_delivered() {
        assert_eq!(Message::default().event("end").encode(), "event: end\ndata: \n\n");
    }
}
