//! Mail by SMTP (RFC 5321), with STARTTLS (RFC 3207) and AUTH PLAIN (RFC 4954).
//!
//! A password is sent over an encrypted session only. Addresses and headers were checked for line breaks when the configuration was
//! read; values from alerts go into headers without theirs.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Failure;
use crate::config::Email;
use crate::engine::Notification;
use crate::template::Values;
use crate::wire::WebhookBody;

/// Longest reply of a server that is read.
const LONGEST_REPLY: u64 = 16 << 10;

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

struct Session {
    wire: BufReader<Box<dyn Wire>>,
}

impl Session {
    /// Sends a line, if there is one, and reads the reply: its code and its lines.
    async fn say(&mut self, line: Option<&str>) -> Result<(u16, String), Failure> {
        let broken = |error: std::io::Error| Failure::passing(format!("mail: the session broke: {error}"));
        if let Some(line) = line {
            self.wire.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.map_err(broken)?;
            self.wire.get_mut().flush().await.map_err(broken)?;
        }
        let mut text = String::new();
        loop {
            let mut line = String::new();
            let left = LONGEST_REPLY.saturating_sub(text.len() as u64);
            let read = (&mut self.wire).take(left).read_line(&mut line).await.map_err(broken)?;
            if read == 0 {
                return Err(Failure::passing("mail: the server ended the session"));
            }
            let code = line.get(..3).and_then(|digits| digits.parse::<u16>().ok());
            let Some(code) = code else {
                return Err(Failure::lasting(format!("mail: `{}` is no reply of SMTP", line.trim())));
            };
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            text.push_str(line.get(4..).unwrap_or_default());
            if is_last {
                return Ok((code, text));
            }
        }
    }

    /// The same, where the reply must be a success.
    async fn expect(&mut self, line: Option<&str>, what: &str) -> Result<String, Failure> {
        let (code, text) = self.say(line).await?;
        match code {
            200..=399 => Ok(text),
            400..=499 => Err(Failure::passing(format!("mail: {what} put off: {code} {}", text.trim()))),
            _ => Err(Failure::lasting(format!("mail: {what} refused: {code} {}", text.trim()))),
        }
    }
}

fn offers(extensions: &str, word: &str) -> bool {
    extensions
        .lines()
        .any(|line| line.split_whitespace().next().is_some_and(|first| first.eq_ignore_ascii_case(word)))
}

/// Sends the mail.
pub(super) async fn send(
    email: &Email,
    notification: &Notification,
    body: &WebhookBody,
    external_url: &str,
) -> Result<(), Failure> {
    let message = message(email, notification, body, external_url);
    let host = email.smarthost.rsplit_once(':').map_or(email.smarthost.as_str(), |(host, _)| host);
    let stream = TcpStream::connect(&email.smarthost)
        .await
        .map_err(|error| Failure::passing(format!("mail: {} cannot be reached: {error}", email.smarthost)))?;
    let mut session = Session { wire: BufReader::new(Box::new(stream) as Box<dyn Wire>) };
    session.expect(None, "the session").await?;
    let hello = format!("EHLO {}", email.hello);
    let mut extensions = session.expect(Some(&hello), "EHLO").await?;
    let mut encrypted = false;
    if offers(&extensions, "STARTTLS") {
        session.expect(Some("STARTTLS"), "STARTTLS").await?;
        session = Session { wire: BufReader::new(encrypt(session.wire.into_inner(), host).await?) };
        extensions = session.expect(Some(&hello), "EHLO").await?;
        encrypted = true;
    } else if email.require_tls {
        return Err(Failure::lasting(
            "mail: the server offers no STARTTLS; set `require_tls: false` if it need not be encrypted",
        ));
    }
    if let Some((user, password)) = &email.auth {
        if !encrypted {
            return Err(Failure::lasting(
                "mail: a password is not sent over a session that is not encrypted",
            ));
        }
        if !offers(&extensions, "AUTH") {
            return Err(Failure::lasting("mail: the server takes no password; leave `auth_username` out"));
        }
        let token = STANDARD.encode(format!("\0{user}\0{}", password.0));
        session.expect(Some(&format!("AUTH PLAIN {token}")), "the password").await?;
    }
    session.expect(Some(&format!("MAIL FROM:<{}>", bare(&email.from))), "the sender").await?;
    for to in email.to.split(',') {
        session.expect(Some(&format!("RCPT TO:<{}>", bare(to))), "the recipient").await?;
    }
    session.expect(Some("DATA"), "DATA").await?;
    // A line that begins with a dot gets a second one; a dot alone ends the message.
    let stuffed = message.replace("\r\n.", "\r\n..");
    session.expect(Some(&format!("{stuffed}\r\n.")), "the message").await?;
    // The message is taken; a farewell that fails changes nothing.
    let _ = session.say(Some("QUIT")).await;
    Ok(())
}

async fn encrypt(wire: Box<dyn Wire>, host: &str) -> Result<Box<dyn Wire>, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::lasting(format!("mail: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(host.to_owned())
        .map_err(|_| Failure::lasting(format!("mail: `{host}` is no name of a host")))?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, wire).await;
    let stream = stream
        .map_err(|error| Failure::passing(format!("mail: the session cannot be encrypted: {error}")))?;
    Ok(Box::new(stream))
}

/// `a@b` of `Name <a@b>`.
fn bare(address: &str) -> &str {
    let inner = address.rsplit_once('<').map_or(address, |(_, rest)| rest);
    inner.trim().trim_end_matches('>').trim()
}

fn message(email: &Email, notification: &Notification, body: &WebhookBody, external_url: &str) -> String {
    let values = Values {
        status: body.status(),
        receiver: &notification.key.receiver,
        external_url,
        group: &notification.group_labels,
        common: body.common_labels(),
        annotations: body.common_annotations(),
    };
    let mut text = format!(
        "From: {}\r\nTo: {}\r\nSubject: {}\r\nDate: {}\r\nMessage-Id: <{}.{}@{}>\r\n",
        one_line(&email.from),
        one_line(&email.to),
        encoded(&email.subject.fill(&values)),
        notification.at.strftime("%a, %d %b %Y %H:%M:%S +0000"),
        notification.at.as_nanosecond(),
        notification.id,
        one_line(&email.hello),
    );
    for (name, value) in &email.headers {
        text.push_str(&format!("{name}: {}\r\n", encoded(&value.fill(&values))));
    }
    text.push_str("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    let content = match &email.text {
        Some(template) => template.fill(&values),
        None => listing(notification, external_url),
    };
    let coded = STANDARD.encode(content);
    for line in coded.as_bytes().chunks(76) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push_str("\r\n");
    }
    text
}

/// The alerts, one after the other.
fn listing(notification: &Notification, external_url: &str) -> String {
    let mut text = String::new();
    for alert in &notification.alerts {
        let state = if alert.is_resolved(notification.at) { "RESOLVED" } else { "FIRING" };
        text.push_str(&format!("{state} {} since {}\n", alert.name(), alert.starts_at));
        for (name, value) in alert.labels.iter().filter(|(name, _)| *name != "alertname") {
            text.push_str(&format!("  {name} = {value}\n"));
        }
        for (name, value) in alert.annotations.iter() {
            text.push_str(&format!("  {name}: {value}\n"));
        }
        if !alert.generator_url.is_empty() {
            text.push_str(&format!("  {}\n", alert.generator_url));
        }
        text.push('\n');
    }
    text.push_str(&format!("{external_url}\n"));
    text
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// A header's text: as it is if it is ASCII, else as an encoded word (RFC 2047).
fn encoded(text: &str) -> String {
    let line: String = one_line(text).chars().take(500).collect();
    if line.is_ascii() {
        return line;
    }
    // An encoded word has at most 75 letters: 40 bytes of text.
    let mut words = Vec::new();
    let mut word = String::new();
    for letter in line.chars() {
        if word.len() + letter.len_utf8() > 40 {
            words.push(std::mem::take(&mut word));
        }
        word.push(letter);
    }
    words.push(word);
    let encode = |word: String| format!("=?utf-8?B?{}?=", STANDARD.encode(word));
    words.into_iter().map(encode).collect::<Vec<_>>().join("\r\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_stay_one_line_and_ascii() {
        assert_eq!(encoded("a\r\nBcc: x"), "a  Bcc: x");
        assert_eq!(encoded("Grüße"), "=?utf-8?B?R3LDvMOfZQ==?=");
        assert!(encoded(&"é".repeat(100)).lines().all(|line| line.len() < 76));
        assert_eq!((bare("A B <a@b>"), bare(" a@b ")), ("a@b", "a@b"));
    }
}
