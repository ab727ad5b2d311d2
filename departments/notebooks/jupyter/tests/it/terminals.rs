//! Terminals: a shell, its screen, its end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kernels::within;
use crate::socket::Socket;
use crate::web::Site;

/// A site whose terminals run a shell without anybody's profile.
fn site(cull: Option<Duration>) -> Site {
    Site::configured(|config| {
        config.shell = vec!["/bin/sh".to_owned()];
        config.cull_terminals_after = cull;
    })
}

/// What a terminal shows, until it shows this.
async fn shows(socket: &mut Socket, wanted: &str) -> String {
    let mut screen = String::new();
    within(async {
        while !screen.contains(wanted) {
            let message = socket.next().await;
            if message[0] == "stdout" {
                screen.push_str(message[1].as_str().expect("text"));
            }
        }
    })
    .await;
    screen
}

#[tokio::test]
async fn a_terminal_runs_a_shell_that_has_job_control_and_a_size() {
    let site = site(None);
    let port = site.listen().await;
    assert_eq!(site.ask("GET", "/api/terminals", Value::Null).await.json, json!([]));
    let made = site.ask("POST", "/api/terminals", Value::Null).await.json;
    assert_eq!(made["name"], "1");
    let mut socket = Socket::open(port, "/jupyter/terminals/websocket/1").await;
    assert_eq!(socket.next().await, json!(["setup", {}]));
    socket.send_text(r#"["set_size", 33, 101, 0, 0]"#).await;
    socket.send_text(r#"["stdin", "stty size; echo a$((6*7))\r"]"#).await;
    let screen = shows(&mut socket, "a42").await;
    assert!(screen.contains("33 101"), "{screen}");
    // Ctrl-C ends what runs and not the shell. What prints is what runs, so that it is in the foreground by then.
    socket.send_text(r#"["stdin", "sh -c 'echo beg\"\"un; exec sleep 600'\r"]"#).await;
    shows(&mut socket, "begun").await;
    socket.send_text("[\"stdin\", \"\\u0003\"]").await;
    // What is typed before the terminal has seen it is thrown away with the line.
    shows(&mut socket, "^C").await;
    socket.send_text(r#"["stdin", "echo b$((6*8))\r"]"#).await;
    shows(&mut socket, "b48").await;
    // Another client sees the same screen.
    let mut other = Socket::open(port, "/jupyter/terminals/websocket/1").await;
    assert_eq!(other.next().await, json!(["setup", {}]));
    assert!(shows(&mut other, "b48").await.contains("a42"));
    assert_eq!(site.ask("DELETE", "/api/terminals/1", Value::Null).await.status, 204);
    assert_eq!(site.ask("GET", "/api/terminals/1", Value::Null).await.status, 404);
    within(async { while other.try_next().await.is_some() {} }).await;
}

#[tokio::test]
async fn a_shell_that_ends_takes_its_terminal_with_it() {
    let site = site(None);
    let port = site.listen().await;
    site.ask("POST", "/api/terminals", json!({"cwd": "no/such/folder"})).await;
    let mut socket = Socket::open(port, "/jupyter/terminals/websocket/1").await;
    socket.send_text(r#"["stdin", "exit\r"]"#).await;
    let mut last = Value::Null;
    within(async {
        while let Some(message) = socket.try_next().await {
            last = message;
        }
    })
    .await;
    assert_eq!(last, json!(["disconnect", 1]));
    assert_eq!(site.ask("GET", "/api/terminals", Value::Null).await.json, json!([]));
}

#[tokio::test]
async fn an_idle_terminal_is_culled() {
    let site = site(Some(Duration::ZERO));
    let port = site.listen().await;
    site.ask("POST", "/api/terminals", Value::Null).await;
    let mut socket = Socket::open(port, "/jupyter/terminals/websocket/1").await;
    within(async { while socket.try_next().await.is_some() {} }).await;
}
