//! Kernels through sessions and websockets.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::socket::Socket;
use crate::web::Site;

/// How long anything may take on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The folder of the Python environment's kernels, or a line that says what is missing.
pub(crate) fn kernels() -> Option<PathBuf> {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../.venv");
    let venv =
        std::env::var_os("BACKLOT_VENV").filter(|venv| !venv.is_empty()).map_or_else(own, PathBuf::from);
    let folder = venv.join("share/jupyter/kernels");
    if folder.join("python3/kernel.json").is_file() {
        return Some(folder);
    }
    let what = "skipped: ipykernel is missing; cargo xtask setup";
    assert!(std::env::var_os("BACKLOT_REQUIRE_ALL").is_none_or(|all| all != "1"), "{what}");
    eprintln!("{what}");
    None
}

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("in time")
}

pub(crate) fn notebook() -> Value {
    let cell = json!({"cell_type": "code", "id": "loop", "metadata": {}, "source": "", "outputs": [], "execution_count": null});
    json!({"type": "notebook", "content": {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}})
}

/// A site with a saved notebook, and a session for it: its kernel.
pub(crate) async fn session(folder: PathBuf) -> (Site, u16, String) {
    let site = Site::with_kernels(vec![folder]);
    let (port, kernel) = begin(&site).await;
    (site, port, kernel)
}

/// Lets a site listen, saves a notebook there, and begins a session for it: the port and the kernel.
pub(crate) async fn begin(site: &Site) -> (u16, String) {
    let port = site.listen().await;
    site.ask("PUT", "/api/contents/n.ipynb", notebook()).await;
    let wish = json!({"path": "n.ipynb", "name": "", "type": "notebook", "kernel": {"name": "python3"}});
    let begun = site.ask("POST", "/api/sessions", wish).await;
    assert_eq!(begun.status, 201, "{}", begun.json);
    let kernel = begun.json["kernel"]["id"].as_str().expect("a kernel").to_owned();
    (port, kernel)
}

pub(crate) fn execute(code: &str) -> Value {
    json!({"code": code, "silent": false, "store_history": true, "user_expressions": {}, "allow_stdin": true, "stop_on_error": true})
}

#[tokio::test]
async fn output_survives_a_closed_tab() {
    let Some(folder) = kernels() else { return };
    let (site, port, kernel) = session(folder).await;
    let mut socket =
        Socket::open(port, &format!("/jupyter/api/kernels/{kernel}/channels?session_id=s")).await;
    let code =
        "import time\nfor i in range(20):\n    print('line', i, flush=True)\n    time.sleep(0.05)\n'done'";
    let request = socket.send("shell", "execute_request", json!({"cellId": "loop"}), execute(code)).await;
    within(socket.until("stream", &request)).await;
    drop(socket);
    let file = site.server.root().join("n.ipynb");
    let outputs = within(async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            let text = std::fs::read(&file).expect("the file");
            let notebook: Value = serde_json::from_slice(&text).expect("a whole notebook at any moment");
            let cell = &notebook["cells"][0];
            if cell["outputs"].as_array().is_some_and(|outputs| outputs.len() == 2)
                && cell["execution_count"] == 1
            {
                return cell["outputs"].clone();
            }
            looks.tick().await;
        }
    })
    .await;
    let lines: Vec<String> = (0..20).map(|i| format!("line {i}\n")).collect();
    assert_eq!(outputs[0]["text"], json!(lines));
    assert_eq!(outputs[1]["data"]["text/plain"], json!(["'done'"]));
    assert_eq!(site.ask("DELETE", &format!("/api/kernels/{kernel}"), Value::Null).await.status, 204);
}

#[tokio::test]
async fn a_kernel_asks_is_interrupted_restarted_and_survives_its_death() {
    let Some(folder) = kernels() else { return };
    let (site, port, kernel) = session(folder).await;
    let mut socket = Socket::open(port, &format!("/jupyter/api/kernels/{kernel}/channels")).await;
    // Standard input goes to the client that asked.
    let request = socket.send("shell", "execute_request", json!({}), execute("input('name?')")).await;
    let asked = within(socket.until("input_request", &request)).await;
    assert_eq!(
        (asked["channel"].as_str(), asked["content"]["prompt"].as_str()),
        (Some("stdin"), Some("name?"))
    );
    socket.send("stdin", "input_reply", json!({}), json!({"value": "ann"})).await;
    let result = within(socket.until("execute_result", &request)).await;
    assert_eq!(result["content"]["data"]["text/plain"], "'ann'");
    // Interrupt.
    let request = socket
        .send(
            "shell",
            "execute_request",
            json!({}),
            execute("print(1, flush=True)\nimport time\ntime.sleep(600)"),
        )
        .await;
    within(socket.until("stream", &request)).await;
    assert_eq!(site.ask("POST", &format!("/api/kernels/{kernel}/interrupt"), Value::Null).await.status, 204);
    let reply = within(socket.until("execute_reply", &request)).await;
    assert_eq!(reply["content"]["ename"], "KeyboardInterrupt");
    // Restart: the same client goes on.
    let restarted = within(site.ask("POST", &format!("/api/kernels/{kernel}/restart"), Value::Null)).await;
    assert_eq!((restarted.status.as_u16(), restarted.json["id"].as_str()), (200, Some(kernel.as_str())));
    // Death: the client is told, and the next kernel answers.
    socket
        .send(
            "shell",
            "execute_request",
            json!({}),
            execute("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"),
        )
        .await;
    within(async {
        loop {
            if socket.next().await["content"]["execution_state"] == "restarting" {
                return;
            }
        }
    })
    .await;
    let request = socket.send("shell", "kernel_info_request", json!({}), json!({})).await;
    let reply = within(socket.until("kernel_info_reply", &request)).await;
    assert_eq!(reply["content"]["language_info"]["name"], "python");
    assert_eq!(site.ask("DELETE", &format!("/api/kernels/{kernel}"), Value::Null).await.status, 204);
    assert_eq!(site.ask("GET", "/api/sessions", Value::Null).await.json, json!([]));
}
