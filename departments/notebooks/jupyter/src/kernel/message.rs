//! Jupyter messages, passed through byte for byte: only the headers are looked into.
//!
//! On a ZeroMQ socket: `[identities…, "<IDS|MSG>", signature, header, parent header, metadata, content, buffers…]`, the signature being
//! HMAC-SHA256 in hexadecimal over the four JSON parts. On a websocket, one of two frames ([`Framing`]).

use backlot_notebooks_model::json::{self, Value};
use bytes::Bytes;
use ring::hmac;
use serde::Deserialize;

const DELIMITER: &[u8] = b"<IDS|MSG>";

/// A conversation with a kernel, or one half of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Shell,
    Iopub,
    Stdin,
    Control,
}

impl Channel {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Channel::Shell => "shell",
            Channel::Iopub => "iopub",
            Channel::Stdin => "stdin",
            Channel::Control => "control",
        }
    }

    fn parse(name: &[u8]) -> Option<Channel> {
        [Channel::Shell, Channel::Iopub, Channel::Stdin, Channel::Control]
            .into_iter()
            .find(|channel| channel.name().as_bytes() == name)
    }
}

/// A message as it travels.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Header, parent header, metadata, content: JSON texts.
    pub(crate) parts: [Bytes; 4],
    pub(crate) buffers: Vec<Bytes>,
}

/// What a header says, as far as anybody here asks.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Header {
    pub(crate) msg_id: String,
    pub(crate) msg_type: String,
    pub(crate) date: Option<String>,
}

impl Message {
    /// A message of ours.
    pub(crate) fn new(kind: &str, parent: &Bytes, content: &serde_json::Value) -> Message {
        let header = serde_json::json!({
            "msg_id": crate::chance::uuid(), "msg_type": kind, "username": "backlot", "session": "backlot",
            "date": crate::web::now(), "version": "5.3",
        });
        let parts = [
            header.to_string().into(),
            parent.clone(),
            Bytes::from_static(b"{}"),
            content.to_string().into(),
        ];
        Message { parts, buffers: Vec::new() }
    }

    pub(crate) fn header(&self) -> Header {
        serde_json::from_slice(&self.parts[0]).unwrap_or_default()
    }

    pub(crate) fn parent(&self) -> Header {
        serde_json::from_slice(&self.parts[1]).unwrap_or_default()
    }

    /// The content, every number as it came.
    pub(crate) fn content(&self) -> Option<Value> {
        json::parse(std::str::from_utf8(&self.parts[3]).ok()?).ok()
    }

    /// How long it is.
    pub(crate) fn size(&self) -> usize {
        self.parts.iter().chain(&self.buffers).map(Bytes::len).sum()
    }

    /// The frames of a socket, signed.
    pub(crate) fn sign(&self, key: &hmac::Key) -> Vec<Bytes> {
        let mut context = hmac::Context::with_key(key);
        self.parts.iter().for_each(|part| context.update(part));
        let signature = crate::chance::hex(context.sign().as_ref());
        let mut frames = vec![Bytes::from_static(DELIMITER), Bytes::from(signature)];
        frames.extend(self.parts.iter().cloned());
        frames.extend(self.buffers.iter().cloned());
        frames
    }

    /// Reads the frames of a socket; `None` if they are malformed or signed with another key.
    pub(crate) fn verify(frames: Vec<Bytes>, key: &hmac::Key) -> Option<Message> {
        let start = frames.iter().position(|frame| frame == DELIMITER)?;
        let mut rest = frames.into_iter().skip(start + 1);
        let signature = unhex(&rest.next()?)?;
        let parts = [rest.next()?, rest.next()?, rest.next()?, rest.next()?];
        hmac::verify(key, &parts.concat(), &signature).ok()?;
        Some(Message { parts, buffers: rest.collect() })
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| Some((digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?) as u8);
    text.chunks(2).map(pair).collect()
}

/// How messages are framed on a websocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// JSON text; with buffers, big-endian offsets before JSON and buffers.
    Legacy,
    /// `v1.kernel.websocket.jupyter.org`: little-endian offsets before channel, parts and buffers.
    V1,
}

/// The subprotocol of [`Framing::V1`].
pub(crate) const V1: &str = "v1.kernel.websocket.jupyter.org";

/// A frame of a websocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Binary(Bytes),
}

impl Framing {
    /// A message for a client.
    pub(crate) fn encode(self, channel: Channel, message: &Message) -> Frame {
        match self {
            Framing::V1 => Frame::Binary(encode_v1(channel, message)),
            Framing::Legacy => encode_legacy(channel, message),
        }
    }

    /// A message from a client; `None` if it is malformed.
    pub(crate) fn decode(self, frame: &Frame) -> Option<(Channel, Message)> {
        match (self, frame) {
            (Framing::V1, Frame::Binary(bytes)) => decode_v1(bytes),
            (_, Frame::Text(text)) => decode_legacy(text, Vec::new()),
            (Framing::Legacy, Frame::Binary(bytes)) => decode_legacy_binary(bytes),
        }
    }
}

fn encode_v1(channel: Channel, message: &Message) -> Bytes {
    let name = channel.name().as_bytes();
    let count = message.parts.len() + message.buffers.len() + 2;
    let mut out = Vec::with_capacity(8 * (count + 1) + name.len() + message.size());
    let mut offset = 8 * (count as u64 + 1);
    out.extend_from_slice(&(count as u64).to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    let pieces =
        || std::iter::once(name).chain(message.parts.iter().chain(&message.buffers).map(|part| &part[..]));
    for piece in pieces() {
        offset += piece.len() as u64;
        out.extend_from_slice(&offset.to_le_bytes());
    }
    pieces().for_each(|piece| out.extend_from_slice(piece));
    Bytes::from(out)
}

fn decode_v1(bytes: &Bytes) -> Option<(Channel, Message)> {
    let number = |index: usize| {
        let eight = bytes.get(8 * index..8 * index + 8)?;
        Some(u64::from_le_bytes(eight.try_into().ok()?) as usize)
    };
    let count = number(0)?;
    if count < 6 || count > bytes.len() / 8 {
        return None;
    }
    let offsets: Vec<usize> = (1..=count).map(number).collect::<Option<_>>()?;
    let piece = |index: usize| {
        let (start, end) = (offsets[index], offsets[index + 1]);
        (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
    };
    let channel = Channel::parse(&piece(0)?)?;
    let parts = [piece(1)?, piece(2)?, piece(3)?, piece(4)?];
    let buffers = (5..count - 1).map(piece).collect::<Option<_>>()?;
    Some((channel, Message { parts, buffers }))
}

fn encode_legacy(channel: Channel, message: &Message) -> Frame {
    let header = message.header();
    let text = |part: &Bytes| String::from_utf8_lossy(part).into_owned();
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let body = format!(
        "{{\"header\":{},\"msg_id\":{},\"msg_type\":{},\"parent_header\":{},\"metadata\":{},\"content\":{},\"buffers\":[],\"channel\":\"{}\"}}",
        text(&message.parts[0]),
        quoted(&header.msg_id),
        quoted(&header.msg_type),
        text(&message.parts[1]),
        text(&message.parts[2]),
        text(&message.parts[3]),
        channel.name(),
    );
    if message.buffers.is_empty() {
        return Frame::Text(body);
    }
    let count = message.buffers.len() + 1;
    let mut offset = 4 * (count as u32 + 1);
    let mut out = (count as u32).to_be_bytes().to_vec();
    let pieces = || std::iter::once(body.as_bytes()).chain(message.buffers.iter().map(|buffer| &buffer[..]));
    for piece in pieces() {
        out.extend_from_slice(&offset.to_be_bytes());
        offset = offset.saturating_add(piece.len() as u32);
    }
    pieces().for_each(|piece| out.extend_from_slice(piece));
    Frame::Binary(Bytes::from(out))
}

fn decode_legacy(text: &str, buffers: Vec<Bytes>) -> Option<(Channel, Message)> {
    let value = json::parse(text).ok()?;
    let part = |key: &str| {
        let part = value.get(key).filter(|part| part.as_object().is_some());
        Bytes::from(part.map_or_else(|| "{}".to_owned(), Value::to_compact))
    };
    let channel = value.get("channel").and_then(Value::as_str).unwrap_or("shell");
    value.get("header")?.as_object()?;
    let parts = [part("header"), part("parent_header"), part("metadata"), part("content")];
    Some((Channel::parse(channel.as_bytes())?, Message { parts, buffers }))
}

fn decode_legacy_binary(bytes: &Bytes) -> Option<(Channel, Message)> {
    let number = |index: usize| {
        let four = bytes.get(4 * index..4 * index + 4)?;
        Some(u32::from_be_bytes(four.try_into().ok()?) as usize)
    };
    let count = number(0)?;
    if count == 0 || count > bytes.len() / 4 {
        return None;
    }
    let mut offsets: Vec<usize> = (1..=count).map(number).collect::<Option<_>>()?;
    offsets.push(bytes.len());
    let is_sound = offsets.is_sorted() && offsets.iter().all(|offset| *offset <= bytes.len());
    let mut pieces = is_sound.then(|| offsets.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])))?;
    let head = pieces.next()?;
    decode_legacy(std::str::from_utf8(&head).ok()?, pieces.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let mut message =
            Message::new("execute_request", &Bytes::from_static(b"{}"), &serde_json::json!({"code": "1"}));
        message.buffers = vec![Bytes::from_static(b"\x00\xff"), Bytes::new()];
        message
    }

    #[test]
    fn both_framings_bring_every_byte() {
        for framing in [Framing::V1, Framing::Legacy] {
            let sent = message();
            let (channel, got) = framing.decode(&framing.encode(Channel::Control, &sent)).unwrap();
            assert_eq!((channel, &got.buffers), (Channel::Control, &sent.buffers));
            assert_eq!(got.header().msg_id, sent.header().msg_id);
            assert_eq!(got.content(), sent.content());
        }
    }

    #[test]
    fn the_first_offset_of_four_parts_is_56() {
        let mut sent = message();
        sent.buffers.clear();
        let Frame::Binary(bytes) = Framing::V1.encode(Channel::Shell, &sent) else { panic!("text") };
        assert_eq!(bytes[..16], [6, 0, 0, 0, 0, 0, 0, 0, 56, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn malformed_frames_are_refused() {
        for bytes in [&b""[..], b"\x06", &[0xff; 16], &[7, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(Framing::V1.decode(&Frame::Binary(Bytes::copy_from_slice(bytes))).is_none());
            assert!(Framing::Legacy.decode(&Frame::Binary(Bytes::copy_from_slice(bytes))).is_none());
        }
        assert!(Framing::Legacy.decode(&Frame::Text("{}".to_owned())).is_none());
    }

    #[test]
    fn a_wrong_signature_is_refused() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"a");
        let frames = message().sign(&key);
        assert!(Message::verify(frames.clone(), &key).is_some());
        assert!(Message::verify(frames, &hmac::Key::new(hmac::HMAC_SHA256, b"b")).is_none());
    }
}
