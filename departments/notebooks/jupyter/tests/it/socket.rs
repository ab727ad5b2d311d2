//! A websocket client, as small as a test needs: text frames, legacy framing.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub(crate) struct Socket {
    stream: BufReader<TcpStream>,
    sent: u32,
}

impl Socket {
    /// Opens the channels of a kernel.
    pub(crate) async fn open(port: u16, path: &str) -> Socket {
        Socket::open_as(port, path, "Authorization: token secret\r\n").await
    }

    /// Opens a websocket with these header fields.
    pub(crate) async fn open_as(port: u16, path: &str, fields: &str) -> Socket {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        let mut stream = BufReader::new(stream);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Socket { stream, sent: 0 }
    }

    /// Sends a request on a channel; its id.
    pub(crate) async fn send(
        &mut self,
        channel: &str,
        kind: &str,
        metadata: Value,
        content: Value,
    ) -> String {
        self.sent += 1;
        let id = format!("request-{}", self.sent);
        let header = json!({"msg_id": id, "msg_type": kind, "username": "", "session": "s", "date": "", "version": "5.3"});
        let body = json!({
            "header": header, "parent_header": {}, "metadata": metadata, "content": content, "channel": channel, "buffers": [],
        });
        self.send_text(&body.to_string()).await;
        id
    }

    /// Sends a text.
    pub(crate) async fn send_text(&mut self, body: &str) {
        let mut frame = vec![0x81];
        let length = u16::try_from(body.len()).expect("a short message");
        if length < 126 {
            frame.push(0x80 | length as u8);
        } else {
            frame.push(0xfe);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        frame.extend_from_slice(&[0; 4]); // masked with zeros
        frame.extend_from_slice(body.as_bytes());
        self.stream.write_all(&frame).await.expect("a frame");
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        self.try_next().await.expect("a message")
    }

    /// The next message; none when the server has closed. Pings are not answered.
    pub(crate) async fn try_next(&mut self) -> Option<Value> {
        loop {
            let first = self.stream.read_u8().await.ok()?;
            let length = match self.stream.read_u8().await.ok()? {
                126 => u64::from(self.stream.read_u16().await.expect("a length")),
                127 => self.stream.read_u64().await.expect("a length"),
                short => u64::from(short),
            };
            let mut body = vec![0; length as usize];
            self.stream.read_exact(&mut body).await.expect("a body");
            match first & 0x0f {
                1 => return Some(serde_json::from_slice(&body).expect("JSON")),
                8 => return None,
                _ => {}
            }
        }
    }

    /// Reads until a message of this type that answers the request.
    pub(crate) async fn until(&mut self, kind: &str, request: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["msg_type"] == kind && message["parent_header"]["msg_id"] == request {
                return message;
            }
        }
    }
}
