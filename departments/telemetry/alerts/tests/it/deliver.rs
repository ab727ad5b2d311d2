//! Receivers against servers of the test's own.

use std::time::{Duration, Instant};

use backlot_alerts::config::{Config, Target};
use backlot_alerts::deliver::send;
use backlot_alerts::engine::{Engine, Kept, Posted};
use backlot_alerts::{Labels, Notification};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

fn notification() -> Notification {
    let text = "route: {receiver: 'te.am-x', group_by: [alertname], group_wait: 0s}\nreceivers: [{name: 'te.am-x', webhook_configs: [{url: 'http://localhost:9'}]}]";
    let now = "2026-11-29T12:00:00Z".parse().unwrap();
    let mut engine = Engine::new(Config::parse(text).unwrap().into(), Kept::default(), now);
    let labels: Labels = [("alertname", "Disk"), ("host", "a\"b")].into_iter().collect();
    let annotations = [("summary", ".\r\n.leading dots")].into_iter().collect();
    engine.put(vec![Posted { labels, annotations, ..Posted::default() }], now);
    engine.tick(now).1.remove(0)
}

fn target(receiver: &str) -> Target {
    let text = format!("route: {{receiver: a}}\nreceivers:\n- name: a\n  {receiver}\n");
    let config = Config::parse(&text).unwrap();
    config.receivers["a"].integrations[0].target.clone()
}

/// A server that gives these statuses, one a connection, and then hangs; gives what it was sent.
async fn server(statuses: Vec<u16>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut bodies = Vec::new();
        for status in statuses {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            bodies.push(String::from_utf8(body).unwrap());
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
            stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
        }
        bodies
    });
    (address, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_get_alertmanagers_body_and_servers_in_trouble_are_asked_again() {
    let (url, task) = server(vec![503, 200]).await;
    let target = target(&format!("webhook_configs: [{{url: '{url}'}}]"));
    send(&target, &notification(), "http://here/alertmanager", Duration::from_secs(20)).await.unwrap();
    let bodies = task.await.unwrap();
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(
        bodies[0],
        r#"{"receiver":"te\\.am-x","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"Disk","host":"a\"b"},"annotations":{"summary":".\r\n.leading dots"},"startsAt":"2026-11-29T12:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"FP"}],"groupLabels":{"alertname":"Disk"},"commonLabels":{"alertname":"Disk","host":"a\"b"},"commonAnnotations":{"summary":".\r\n.leading dots"},"externalURL":"http://here/alertmanager","version":"4","groupKey":"{}:{alertname=\"Disk\"}","truncatedAlerts":0}"#
            .replace("FP", &notification().alerts[0].fingerprint().to_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_final_and_silence_ends_at_the_deadline() {
    let (url, task) = server(vec![400]).await;
    let refusing = target(&format!("webhook_configs: [{{url: '{url}'}}]"));
    let error = send(&refusing, &notification(), "", Duration::from_secs(20)).await.unwrap_err();
    assert_eq!(error, "webhook: unexpected status code 400: no (tried once)");
    task.await.unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = target(&format!("webhook_configs: [{{url: 'http://{}'}}]", listener.local_addr().unwrap()));
    let begun = Instant::now();
    let error = send(&hanging, &notification(), "", Duration::from_millis(300)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5) && error.contains("tried once"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_get_the_body_and_end_with_their_children() {
    let folder = tempfile::tempdir().unwrap();
    let (out, child) = (folder.path().join("out"), folder.path().join("child"));
    let script =
        |text: String| target(&format!("command_configs: [{{command: [sh, -c, '{text}'], timeout: 10s}}]"));
    let good = script(format!("cat > {}", out.display()));
    send(&good, &notification(), "", Duration::from_secs(10)).await.unwrap();
    assert!(std::fs::read_to_string(&out).unwrap().contains(r#""groupKey""#));

    let bad = script("echo broken >&2; exit 3".to_owned());
    let error = send(&bad, &notification(), "", Duration::from_millis(400)).await.unwrap_err();
    assert!(error.contains("broken") && error.contains("exit status: 3"), "{error}");

    // A command that hangs is ended, and so is what it started.
    let slow = script(format!("sleep 60 & echo $! > {}; wait", child.display()));
    let begun = Instant::now();
    let error = send(&slow, &notification(), "", Duration::from_secs(1)).await.unwrap_err();
    assert!(error.contains("no answer") && begun.elapsed() < Duration::from_secs(8), "{error}");
    let id = std::fs::read_to_string(&child).unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", id.trim()));
    let deadline = Instant::now() + Duration::from_secs(5);
    while state().is_ok_and(|text| !text.contains(") Z ")) {
        assert!(Instant::now() < deadline, "the child lives on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_as_smtp_wants_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut lines = Vec::new();
        stream.get_mut().write_all(b"220 hi\r\n").await.unwrap();
        let mut in_data = false;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap() == 0 {
                return lines;
            }
            let line = line.trim_end_matches("\r\n").to_owned();
            let answer: &[u8] = match line.as_str() {
                "." => {
                    in_data = false;
                    b"250 taken\r\n"
                }
                _ if in_data => b"",
                "DATA" => {
                    in_data = true;
                    b"354 go on\r\n"
                }
                text if text.starts_with("EHLO") => b"250-me\r\n250 8BITMIME\r\n",
                _ => b"250 ok\r\n",
            };
            lines.push(line);
            stream.get_mut().write_all(answer).await.unwrap();
        }
    });
    let mail = target(&format!(
        "email_configs: [{{to: 'a@x.org, B <b@x.org>', from: me@x.org, smarthost: '{address}', require_tls: false}}]"
    ));
    send(&mail, &notification(), "http://here", Duration::from_secs(10)).await.unwrap();
    let lines = server.await.unwrap();
    assert_eq!(lines[1..5], ["MAIL FROM:<me@x.org>", "RCPT TO:<a@x.org>", "RCPT TO:<b@x.org>", "DATA"]);
    let subject = lines.iter().find(|line| line.starts_with("Subject:")).unwrap();
    assert_eq!(subject, "Subject: [FIRING] alertname=Disk (alertname=Disk host=a\"b)");
    // Without encryption no password, and where encryption is wanted nothing at all.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 hi\r\n250 me\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let strict = target(&format!("email_configs: [{{to: a@x.org, from: me@x.org, smarthost: '{address}'}}]"));
    let error = send(&strict, &notification(), "", Duration::from_secs(10)).await.unwrap_err();
    assert!(error.contains("STARTTLS"), "{error}");
}
