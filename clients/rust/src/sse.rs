//! Reading server-sent events (HTML standard, section 9.2.6) from a response as it arrives.
//!
//! Of the standard's three line ends a lone carriage return is not understood: telling it from half of a `\r\n` would mean
//! waiting for the next byte, and our server never writes it.

use std::io::{self, BufRead, Read};

/// The longest line and the longest message; what is longer is not our server's, whose events and log pieces are far shorter.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The kind of message; empty when it has none.
    pub(crate) event: String,
    /// Its number, if it has one.
    pub(crate) id: Option<u64>,
    /// Its text.
    pub(crate) data: String,
}

/// The next message; `None` when the stream ends. A message that the end cuts off is dropped, as the standard says.
pub(crate) fn read_message(stream: &mut impl BufRead) -> io::Result<Option<Message>> {
    let mut message = Message::default();
    let mut has_data = false;
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = stream.by_ref().take(MOST_BYTES as u64).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return if count < MOST_BYTES { Ok(None) } else { Err(too_long()) };
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let text = String::from_utf8_lossy(&line);
        if text.is_empty() {
            if has_data {
                return Ok(Some(message));
            }
            message = Message::default();
            continue;
        }
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut message.event),
            "id" => message.id = value.parse().ok(),
            "data" => {
                if message.data.len() + value.len() > MOST_BYTES {
                    return Err(too_long());
                }
                if has_data {
                    message.data.push('\n');
                }
                message.data.push_str(value);
                has_data = true;
            }
            // A comment, `retry`, or a field of a later standard.
            _ => {}
        }
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message of more than 16 MiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Message> {
        let mut stream = text.as_bytes();
        std::iter::from_fn(|| read_message(&mut stream).unwrap()).collect()
    }

    fn message(event: &str, id: Option<u64>, data: &str) -> Message {
        Message { event: event.to_owned(), id, data: data.to_owned() }
    }

    #[test]
    fn messages_are_read_as_the_standard_says() {
        let text = ":keep-alive\n\nevent: line\nid: 7\ndata: a\ndata:\ndata:  b\n\ndata: x\r\n\r\nevent: end\ndata: \n\n";
        let expected =
            [message("line", Some(7), "a\n\n b"), message("", None, "x"), message("end", None, "")];
        assert_eq!(all(text), expected);
    }

    #[test]
    fn what_is_cut_off_or_empty_is_not_delivered() {
        assert_eq!(all(""), []);
        assert_eq!(all("data: a\n"), []);
        assert_eq!(all("data: a"), []);
        assert_eq!(all("event: x\n\ndata: y\n\n"), [message("", None, "y")]);
        assert_eq!(all("id: seven\nunknown: 1\ndata: y\n\n"), [message("", None, "y")]);
    }

    #[test]
    fn endless_lines_and_messages_are_refused() {
        let line = format!("data: {}", "x".repeat(MOST_BYTES));
        assert!(read_message(&mut line.as_bytes()).is_err());
        let half = "x".repeat(MOST_BYTES / 2);
        let message = format!("data: {half}\ndata: {half}x\n\n");
        assert!(read_message(&mut message.as_bytes()).is_err());
    }
}
