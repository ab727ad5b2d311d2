//! What goes wrong in the field: kernels that die or flood, clients that vanish, full disks, files that mean harm.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use backlot_jupyter::{KernelSearch, Pings};
use serde_json::{Value, json};

use crate::kernels::{begin, execute, kernels, notebook, session, within};
use crate::socket::Socket;
use crate::web::Site;

/// The notebook's first cell, when it is as wanted.
async fn first_cell(file: &Path, is_wanted: impl Fn(&Value) -> bool) -> Value {
    within(async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            looks.tick().await;
            let text = std::fs::read(file).expect("the file");
            let notebook: Value = serde_json::from_slice(&text).expect("a whole notebook at any moment");
            if is_wanted(&notebook["cells"][0]) {
                return notebook["cells"][0].clone();
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_kernel_killed_in_a_cell_is_in_the_file_of_a_closed_tab() {
    let Some(folder) = kernels() else { return };
    let (site, port, kernel) = session(folder).await;
    let mut socket =
        Socket::open(port, &format!("/jupyter/api/kernels/{kernel}/channels?session_id=s")).await;
    let code = "import os, signal, time\nprint('before', flush=True)\ntime.sleep(0.3)\nos.kill(os.getpid(), signal.SIGKILL)";
    let request = socket.send("shell", "execute_request", json!({"cellId": "loop"}), execute(code)).await;
    within(socket.until("stream", &request)).await;
    drop(socket);
    let file = site.server.root().join("n.ipynb");
    let cell =
        first_cell(&file, |cell| cell["outputs"].as_array().is_some_and(|outputs| outputs.len() == 2)).await;
    assert_eq!(cell["outputs"][0]["text"], json!(["before\n"]));
    assert_eq!(cell["outputs"][1]["ename"], "DeadKernelError");
    site.server.end_all().await;
}

/// The memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn a_kernel_that_floods_fills_neither_memory_nor_its_client() {
    const MESSAGES: usize = 100_000;
    let Some(folder) = kernels() else { return };
    let (site, port, kernel) = session(folder).await;
    let channels = format!("/jupyter/api/kernels/{kernel}/channels?session_id=s");
    let mut socket = Socket::open(port, &channels).await;
    let before = resident();
    // Serialised once, or Python needs a minute to make them.
    let code = format!(
        "k = get_ipython().kernel\nm = k.session.msg('stream', {{'name': 'stdout', 'text': 'x' * 79 + '\\n'}}, parent=k.get_parent())\n\
         frames = [b'stream'] + k.session.serialize(m)\nfor i in range({MESSAGES}):\n    k.iopub_socket.send_multipart(frames)\n"
    );
    let request = socket.send("shell", "execute_request", json!({"cellId": "loop"}), execute(&code)).await;
    let (mut streams, mut warnings) = (0, 0);
    within(async {
        loop {
            let message = socket.next().await;
            if message["msg_type"] == "stream" {
                streams += 1;
                warnings +=
                    usize::from(message["content"]["text"].as_str().unwrap().contains("rate exceeded"));
            }
            if message["msg_type"] == "status"
                && message["content"]["execution_state"] == "idle"
                && message["parent_header"]["msg_id"] == request.as_str()
            {
                return;
            }
        }
    })
    .await;
    assert!(streams < MESSAGES / 2 && warnings > 0, "{streams} messages, {warnings} warnings");
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 << 20, "{} MiB", grown >> 20);
    // The file gets every line when the tab is closed.
    drop(socket);
    let file = site.server.root().join("n.ipynb");
    let cell = first_cell(&file, |cell| cell["execution_count"] == 1).await;
    let outputs = cell["outputs"].as_array().into_iter().flatten();
    let lines: usize = outputs.map(|output| output["text"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(lines, MESSAGES);
    site.server.end_all().await;
}

#[tokio::test]
async fn a_client_that_is_gone_without_a_word_is_found() {
    let Some(folder) = kernels() else { return };
    let pings = Pings { every: Duration::from_millis(20), patience: Duration::from_millis(200) };
    let site = Site::configured(|config| {
        config.kernels = KernelSearch::new(vec![folder]);
        config.pings = pings;
    });
    let port = site.listen().await;
    let kernel = site.ask("POST", "/api/kernels", Value::Null).await.json["id"].as_str().unwrap().to_owned();
    let path = format!("/api/kernels/{kernel}");
    within(async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while site.ask("GET", &path, Value::Null).await.json["execution_state"] != "idle" {
            looks.tick().await;
        }
    })
    .await;
    // It stays connected and answers no ping, as a laptop that was shut.
    let mut socket = Socket::open(port, &format!("/jupyter/api/kernels/{kernel}/channels")).await;
    // The kernel's task hears of it before it hears of what comes next.
    site.ask("POST", &format!("{path}/interrupt"), Value::Null).await;
    assert_eq!(site.ask("GET", &path, Value::Null).await.json["connections"], 1);
    within(async { while socket.try_next().await.is_some() {} }).await;
    within(async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while site.ask("GET", &path, Value::Null).await.json["connections"] != 0 {
            looks.tick().await;
        }
    })
    .await;
    site.server.end_all().await;
}

#[tokio::test]
async fn the_limits_of_kernels_hold() {
    let Some(folder) = kernels() else { return };
    let site = Site::configured(|config| {
        config.kernels = KernelSearch::new(vec![folder]);
        config.limits.count = 1;
        config.limits.open_files = Some(200);
    });
    let port = site.listen().await;
    let kernel = site.ask("POST", "/api/kernels", Value::Null).await.json["id"].as_str().unwrap().to_owned();
    let refused = site.ask("POST", "/api/kernels", Value::Null).await;
    assert_eq!(refused.status, 403);
    assert!(refused.json["message"].as_str().unwrap().contains("end some"));
    let mut socket = Socket::open(port, &format!("/jupyter/api/kernels/{kernel}/channels")).await;
    let code = "import resource; resource.getrlimit(resource.RLIMIT_NOFILE)[0]";
    let request = socket.send("shell", "execute_request", json!({}), execute(code)).await;
    let result = within(socket.until("execute_result", &request)).await;
    assert_eq!(result["content"]["data"]["text/plain"], "200");
    site.server.end_all().await;
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// A file system of 256 KiB, or a line that says what is missing.
fn small_disk() -> Option<tempfile::TempDir> {
    let room = tempfile::tempdir().unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs"]).arg(room.path());
    if mount.status().is_ok_and(|status| status.success()) {
        return Some(room);
    }
    let what = "skipped: the right to mount a small tmpfs is missing; run the tests as root";
    assert!(std::env::var_os("BACKLOT_REQUIRE_ALL").is_none_or(|all| all != "1"), "{what}");
    eprintln!("{what}");
    None
}

#[tokio::test]
async fn outputs_that_a_full_disk_does_not_take_are_saved_when_it_has_room() {
    let Some(folder) = kernels() else { return };
    let Some(room) = small_disk() else { return };
    let unmount = Unmount(room.path());
    let root = room.path().to_owned();
    let site = Site::configured(|config| {
        config.root = root;
        config.kernels = KernelSearch::new(vec![folder]);
    });
    let (port, kernel) = begin(&site).await;
    let mut socket =
        Socket::open(port, &format!("/jupyter/api/kernels/{kernel}/channels?session_id=s")).await;
    let filler = room.path().join("filler");
    let wait =
        format!("import os, time\nwhile not os.path.exists({:?}): time.sleep(0.01)\n", filler.display());
    let code = format!("print('begun', flush=True)\n{wait}print('x' * 100_000)");
    let request = socket.send("shell", "execute_request", json!({"cellId": "loop"}), execute(&code)).await;
    within(socket.until("stream", &request)).await;
    drop(socket);
    let file = site.server.root().join("n.ipynb");
    first_cell(&file, |cell| cell["outputs"][0]["text"] == json!(["begun\n"])).await;
    // The last bytes go, and then the kernel is let on.
    let staged = room.path().join("staged");
    let full = std::fs::write(&staged, vec![0; 1 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    std::fs::rename(&staged, &filler).unwrap();
    let path = format!("/api/kernels/{kernel}");
    within(async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while site.ask("GET", &path, Value::Null).await.json["execution_state"] != "idle" {
            looks.tick().await;
        }
    })
    .await;
    // Saves are tried four times a second; the old file is there, whole, whatever comes of them.
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..40 {
        looks.tick().await;
        let cell = first_cell(&file, |_| true).await;
        assert_eq!(cell["outputs"][0]["text"], json!(["begun\n"]));
    }
    std::fs::remove_file(&filler).unwrap();
    let cell = first_cell(&file, |cell| cell["outputs"][0]["text"] != json!(["begun\n"])).await;
    assert_eq!(cell["outputs"][0]["text"][1].as_str().map(str::len), Some(100_001));
    site.server.end_all().await;
    drop(unmount);
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_file() {
    let Some(room) = small_disk() else { return };
    let unmount = Unmount(room.path());
    let root = room.path().to_owned();
    let site = Site::configured(|config| config.root = root);
    assert_eq!(site.ask("PUT", "/api/contents/n.ipynb", notebook()).await.status, 201);
    let file = room.path().join("n.ipynb");
    let before = std::fs::read(&file).unwrap();
    let mut large = notebook();
    large["content"]["cells"][0]["source"] = json!("x".repeat(1 << 20));
    let refused = site.ask("PUT", "/api/contents/n.ipynb", large).await;
    assert_eq!(refused.status, 507, "{}", refused.json);
    assert!(refused.json["message"].as_str().unwrap().contains("disk is full"));
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let left: Vec<_> = std::fs::read_dir(room.path())
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    assert!(left.iter().all(|name| !name.contains("saving")), "{left:?}");
    assert_eq!(site.ask("PUT", "/api/contents/n.ipynb", notebook()).await.status, 200);
    drop(unmount);
}

#[tokio::test]
async fn paths_in_every_disguise_stay_inside() {
    let site = Site::new();
    std::fs::write(site.folder.path().join("secret.txt"), "x").unwrap();
    for path in [
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "%2e%2e%2fsecret.txt",
        "a/..%2f..%2fsecret.txt",
        "%00secret",
        "..%5csecret.txt",
        "%252e%252e/secret.txt",
    ] {
        for route in ["/api/contents/", "/files/", "/view/", "/nbconvert/html/"] {
            let answer = site.ask("GET", &format!("{route}{path}"), Value::Null).await;
            assert!(answer.status.is_client_error(), "{route}{path}: {}", answer.status);
            assert!(
                !answer.text.contains("secret.txt\"") || !answer.text.contains("\"content\""),
                "{}",
                answer.text
            );
        }
        let body = json!({"type": "file", "format": "text", "content": "overwritten"});
        let answer = site.ask("PUT", &format!("/api/contents/{path}"), body).await;
        assert_eq!(
            std::fs::read_to_string(site.folder.path().join("secret.txt")).unwrap(),
            "x",
            "{path}: {}",
            answer.status
        );
    }
    let body = json!({"path": "../moved.txt"});
    std::fs::write(site.server.root().join("a.txt"), "a").unwrap();
    assert!(site.ask("PATCH", "/api/contents/a.txt", body).await.status.is_client_error());
    assert!(!site.folder.path().join("moved.txt").exists());
}

#[tokio::test]
async fn what_an_output_holds_runs_nowhere_with_the_servers_rights() {
    let site = Site::new();
    let script = "<script>fetch('/jupyter/api/contents')</script>";
    std::fs::write(site.server.root().join("x.html"), script).unwrap();
    std::fs::write(
        site.server.root().join("x.svg"),
        format!("<svg xmlns='http://www.w3.org/2000/svg'>{script}</svg>"),
    )
    .unwrap();
    for file in ["x.html", "x.svg"] {
        let answer = site.ask("GET", &format!("/files/{file}"), Value::Null).await;
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("sandbox") && !policy.contains("allow-same-origin"), "{policy}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
    let view = site.ask("GET", "/view/x.html", Value::Null).await;
    assert!(view.text.contains("sandbox=\"allow-scripts\"") && !view.text.contains("<script"));
    let strange = "a\"><img src=x onerror=alert(1)>.html";
    std::fs::write(site.server.root().join(strange), "x").unwrap();
    let view = site.ask("GET", "/view/a%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E.html", Value::Null).await;
    assert!(view.status == 200 && !view.text.contains("<img"), "{}", view.text);
    // The answers of the interface are never pages.
    let mut shown = notebook();
    shown["content"]["cells"][0]["outputs"] =
        json!([{"output_type": "display_data", "metadata": {}, "data": {"text/html": script}}]);
    site.ask("PUT", "/api/contents/n.ipynb", shown).await;
    let answer = site.ask("GET", "/api/contents/n.ipynb", Value::Null).await;
    assert!(answer.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    assert_eq!(answer.headers["content-type"], "application/json");
    // A page shows it only if the user trusts the notebook: it says it does not.
    assert_eq!(answer.json["content"]["cells"][0]["metadata"]["trusted"], false);
}

#[tokio::test]
async fn hostile_notebooks_are_read_as_what_they_are() {
    let site = Site::new();
    let root = site.server.root();
    let cell = |id: &str| json!({"cell_type": "code", "id": id, "metadata": {}, "source": "1", "outputs": [], "execution_count": null});
    let twice = json!({"cells": [cell("a"), cell("a")], "metadata": {}, "nbformat": 4, "nbformat_minor": 5});
    std::fs::write(root.join("twice.ipynb"), twice.to_string()).unwrap();
    let got = site.ask("GET", "/api/contents/twice.ipynb", Value::Null).await;
    assert_eq!((got.status.as_u16(), got.json["content"]["cells"].as_array().map(Vec::len)), (200, Some(2)));
    let old = json!({
        "metadata": {"name": ""}, "nbformat": 3, "nbformat_minor": 0,
        "worksheets": [{"cells": [{"cell_type": "code", "collapsed": false, "input": "print(1)", "language": "python", "outputs": []}]}],
    });
    std::fs::write(root.join("old.ipynb"), old.to_string()).unwrap();
    let got = site.ask("GET", "/api/contents/old.ipynb", Value::Null).await.json;
    assert_eq!(
        (&got["content"]["nbformat"], &got["content"]["cells"][0]["source"]),
        (&json!(4), &json!("print(1)"))
    );
    let huge = "y".repeat(20 << 20);
    let mut long = notebook()["content"].clone();
    long["cells"][0]["source"] = json!(huge);
    std::fs::write(root.join("huge.ipynb"), long.to_string()).unwrap();
    let got = site.ask("GET", "/api/contents/huge.ipynb", Value::Null).await.json;
    assert_eq!(got["content"]["cells"][0]["source"].as_str().map(str::len), Some(huge.len()));
    std::fs::write(root.join("late.ipynb"), r#"{"nbformat": 99, "cells": []}"#).unwrap();
    std::fs::write(root.join("latin.ipynb"), b"{\"cells\": [\"\xe9\"]}").unwrap();
    for file in ["late.ipynb", "latin.ipynb"] {
        let got = site.ask("GET", &format!("/api/contents/{file}"), Value::Null).await;
        assert!(got.status == 400 || got.json["message"].is_string(), "{file}: {}", got.status);
    }
}
