//! Messages, and how they are written.

use backlot_series::Tags;

/// A message to a subscriber.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    /// What an expression was taken apart into.
    Subscription { expression: String, kind: String, parts: Vec<Part> },
    /// A value.
    Datapoint { timestamp: i64, id: String, tags: Tags, value: f64 },
    /// Something about an expression.
    About { id: String, kind: String, text: String },
    /// Something about the stream.
    Diagnostic { kind: &'static str, text: String },
    /// The stream lives; a step is complete.
    Heartbeat { timestamp: i64, step: i64 },
}

/// A data expression of a subscription.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) id: String,
    pub(crate) expression: String,
    pub(crate) frequency: i64,
}

/// Messages as one Smile array.
pub(crate) fn encode(messages: &[Message]) -> Vec<u8> {
    let mut out = Smile(b":)\n\x00".to_vec());
    out.0.push(0xf8);
    for message in messages {
        match message {
            Message::Subscription { expression, kind, parts } => {
                out.integer(7);
                out.text(expression);
                out.text(kind);
                out.0.push(0xf8);
                for part in parts {
                    out.text(&part.id);
                    out.text(&part.expression);
                    out.integer(part.frequency);
                }
                out.0.push(0xf9);
            }
            Message::Datapoint { timestamp, id, tags, value } => {
                out.integer(2);
                out.integer(*timestamp);
                out.text(id);
                out.integer(tags.len() as i64);
                for (key, value) in tags.iter() {
                    out.text(key);
                    out.text(value);
                }
                out.double(*value);
            }
            Message::About { id, kind, text } => {
                out.integer(3);
                out.text(id);
                out.text(kind);
                out.text(text);
            }
            Message::Diagnostic { kind, text } => {
                out.integer(4);
                out.text(kind);
                out.text(text);
            }
            Message::Heartbeat { timestamp, step } => {
                out.integer(5);
                out.integer(*timestamp);
                out.integer(*step);
            }
        }
    }
    out.0.push(0xf9);
    out.0
}

/// Values of Smile without shared texts ("Efficient JSON-compatible binary format: Smile", format definition 1.0.6).
struct Smile(Vec<u8>);

impl Smile {
    fn integer(&mut self, value: i64) {
        let zigzag = ((value << 1) ^ (value >> 63)) as u64;
        if zigzag < 32 {
            self.0.push(0xc0 + zigzag as u8);
            return;
        }
        self.0.push(if i32::try_from(value).is_ok() { 0x24 } else { 0x25 });
        // The last byte carries six bits and a mark, those before it seven each.
        let mut groups = vec![0x80 | (zigzag & 0x3f) as u8];
        let mut rest = zigzag >> 6;
        while rest > 0 {
            groups.push((rest & 0x7f) as u8);
            rest >>= 7;
        }
        self.0.extend(groups.iter().rev());
    }

    fn double(&mut self, value: f64) {
        self.0.push(0x29);
        // 64 bits as ten groups of seven, the first has one.
        let bits = value.to_bits();
        self.0.extend((0..10).rev().map(|group| (bits >> (7 * group) & 0x7f) as u8));
    }

    fn text(&mut self, text: &str) {
        let (len, is_ascii) = (text.len(), text.is_ascii());
        // Short texts carry their length in the first byte: two ranges for ASCII, two for what is not.
        let short = match len {
            0 => Some(0x20),
            1..=32 if is_ascii => Some(0x40 + (len - 1)),
            33..=64 if is_ascii => Some(0x60 + (len - 33)),
            _ if is_ascii || len > 65 => None,
            34.. => Some(0xa0 + (len - 34)),
            _ => Some(0x80 + (len - 2)),
        };
        match short {
            Some(first) => {
                self.0.push(first as u8);
                self.0.extend(text.as_bytes());
            }
            None => {
                self.0.push(if is_ascii { 0xe0 } else { 0xe4 });
                self.0.extend(text.as_bytes());
                self.0.push(0xfc);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backlot_atlas::wire::{Smile as Reader, Token, Tokens};

    #[test]
    fn our_own_reader_reads_it_back() {
        let text = "é".repeat(20);
        let long = "x".repeat(500);
        let messages = [
            Message::Diagnostic { kind: "info", text: String::new() },
            Message::Datapoint {
                timestamp: 1_700_000_000_000,
                id: "0123456789abcdef0123456789abcdef01234567".to_owned(),
                tags: Tags::new([("name", text.as_str()), ("host", long.as_str())]),
                value: -1.5e-300,
            },
            Message::Heartbeat { timestamp: -17, step: 60_000 },
        ];
        let bytes = encode(&messages);
        let mut reader = Reader::new(&bytes).unwrap();
        let mut seen = Vec::new();
        loop {
            seen.push(match reader.token().unwrap() {
                Token::Text(text) => text.into_owned(),
                Token::Number(number) => number.to_string(),
                Token::End => break,
                other => format!("{other:?}"),
            });
        }
        let host = ["host", &long, "name", &text];
        assert_eq!(seen[1..5], ["4", "info", "", "2"]);
        assert_eq!(seen[5..8], ["1700000000000", "0123456789abcdef0123456789abcdef01234567", "2"]);
        assert_eq!(seen[8..12], host);
        assert_eq!(seen[12].parse::<f64>().unwrap(), -1.5e-300);
        assert_eq!(seen[13..16], ["5", "-17", "60000"]);
    }
}
