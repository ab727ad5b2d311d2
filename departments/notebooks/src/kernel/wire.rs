//! Jupyter messages: five signed JSON parts behind a delimiter, then buffers.
//!
//! Protocol 5.3 as jupyter_client documents it: `[identities…, "<IDS|MSG>", signature, header, parent header, metadata, content,
//! buffers…]`, the signature being HMAC-SHA256 in hexadecimal over the four JSON parts.

use backlot_notebooks_model::json::{self, Object, Value};
use base64::Engine;
use bytes::Bytes;
use ring::hmac;

const DELIMITER: &[u8] = b"<IDS|MSG>";
const VERSION: &str = "5.3";

/// One client's end of a conversation with a kernel: its name, its key, and the numbers of its messages.
pub(crate) struct Session {
    key: hmac::Key,
    id: String,
    sent: u64,
}

/// A message from a kernel.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: String,
    /// When it was sent, as its header says.
    pub(crate) date: String,
    /// The id of the request that caused it.
    pub(crate) parent: String,
    pub(crate) content: Value,
    buffers: Vec<Bytes>,
}

impl Message {
    /// The binary parts, in base64.
    pub(crate) fn encoded_buffers(&self) -> Vec<String> {
        self.buffers.iter().map(|buffer| base64::engine::general_purpose::STANDARD.encode(buffer)).collect()
    }

    /// A text of the content.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.content.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Session {
    /// A session with the key of the kernel's connection file.
    pub(crate) fn new(key: &str, id: String) -> Session {
        Session { key: hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), id, sent: 0 }
    }

    /// Its name, which is its identity on the sockets.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// A request: its id and its frames.
    pub(crate) fn request(&mut self, kind: &str, content: &Value, now: &str) -> (String, Vec<Vec<u8>>) {
        self.sent += 1;
        let id = format!("{}_{}", self.id, self.sent);
        let header: Object = [
            ("msg_id", id.as_str()),
            ("msg_type", kind),
            ("username", "backlot"),
            ("session", &self.id),
            ("date", now),
            ("version", VERSION),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .collect();
        let parts =
            [Value::Object(header).to_compact(), "{}".to_owned(), "{}".to_owned(), content.to_compact()];
        let mut context = hmac::Context::with_key(&self.key);
        for part in &parts {
            context.update(part.as_bytes());
        }
        let mut frames = vec![DELIMITER.to_vec(), crate::chance::hex(context.sign().as_ref()).into_bytes()];
        frames.extend(parts.into_iter().map(String::into_bytes));
        (id, frames)
    }

    /// Reads a message; `None` if it is none of ours: malformed, or signed with another key.
    pub(crate) fn read(&self, frames: Vec<Bytes>) -> Option<Message> {
        let start = frames.iter().position(|frame| frame == DELIMITER)?;
        let mut parts = frames.into_iter().skip(start + 1);
        let signature = unhex(&parts.next()?)?;
        let signed: Vec<Bytes> = parts.by_ref().take(4).collect();
        if signed.len() < 4 {
            return None;
        }
        hmac::verify(&self.key, &signed.concat(), &signature).ok()?;
        let parse = |bytes: &Bytes| json::parse(std::str::from_utf8(bytes).ok()?).ok();
        let header = parse(&signed[0])?;
        let parent = parse(&signed[1])?;
        let text =
            |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Message {
            kind: text(&header, "msg_type"),
            date: text(&header, "date"),
            parent: text(&parent, "msg_id"),
            content: parse(&signed[3])?,
            buffers: parts.collect(),
        })
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| Some((digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?) as u8);
    text.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(key: &str) -> Vec<Bytes> {
        let mut session = Session::new(key, "s".to_owned());
        let content = json::parse(r#"{"code":"1"}"#).unwrap();
        let (id, frames) = session.request("execute_request", &content, "2026-01-01T00:00:00Z");
        assert_eq!(id, "s_1");
        std::iter::once(Bytes::from("identity")).chain(frames.into_iter().map(Bytes::from)).collect()
    }

    #[test]
    fn a_signed_message_is_read() {
        let message = Session::new("key", "other".to_owned()).read(sent("key")).unwrap();
        assert_eq!((message.kind.as_str(), message.text("code")), ("execute_request", "1"));
    }

    #[test]
    fn what_is_not_signed_with_our_key_is_dropped() {
        let session = Session::new("key", "s".to_owned());
        assert!(session.read(sent("another")).is_none());
        let mut changed = sent("key");
        changed[6] = Bytes::from(r#"{"code":"2"}"#);
        assert!(session.read(changed).is_none());
        assert!(session.read(sent("key").into_iter().take(5).collect()).is_none());
        assert!(session.read(Vec::new()).is_none());
    }
}
