//! Kernels that do nothing are ended, by jupyter_server's rules.

use std::path::PathBuf;
use std::time::Duration;

use backlot_jupyter::{Culling, KernelSearch};
use serde_json::{Value, json};

use crate::kernels::{execute, kernels, within};
use crate::socket::Socket;
use crate::web::Site;

/// Ends kernels after a moment, in which a kernel on a loaded machine has begun what it was asked for.
fn rules() -> Culling {
    let moment = Duration::from_secs(2);
    Culling { idle_timeout: Some(moment), interval: Duration::from_millis(20), ..Culling::default() }
}

fn site(folders: Vec<PathBuf>, rules: Culling) -> Site {
    Site::configured(|config| {
        config.kernels = KernelSearch::new(folders);
        config.culling = rules;
    })
}

async fn start(site: &Site) -> String {
    let started = site.ask("POST", "/api/kernels", Value::Null).await;
    started.json["id"].as_str().expect("a kernel").to_owned()
}

/// Waits until a kernel is no more.
async fn ended(site: &Site, kernel: &str) {
    let path = format!("/api/kernels/{kernel}");
    within(async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while site.ask("GET", &path, Value::Null).await.status != 404 {
            looks.tick().await;
        }
    })
    .await;
}

async fn runs(site: &Site, kernel: &str) -> bool {
    site.ask("GET", &format!("/api/kernels/{kernel}"), Value::Null).await.status == 200
}

async fn open(port: u16, kernel: &str) -> Socket {
    Socket::open(port, &format!("/jupyter/api/kernels/{kernel}/channels?session_id=s")).await
}

/// Runs a cell that goes on without a word, and returns when it has begun.
async fn occupy(socket: &mut Socket) {
    let code = "print('begun', flush=True)\nimport time\ntime.sleep(600)";
    let request = socket.send("shell", "execute_request", json!({}), execute(code)).await;
    within(socket.until("stream", &request)).await;
}

#[tokio::test]
async fn an_idle_kernel_is_culled_and_one_in_use_is_not() {
    let Some(folder) = kernels() else { return };
    let site = site(vec![folder], rules());
    let port = site.listen().await;
    let connected = start(&site).await;
    let _stays = open(port, &connected).await;
    let busy = start(&site).await;
    let mut leaves = open(port, &busy).await;
    occupy(&mut leaves).await;
    drop(leaves);
    // One that begins after both is ended before them.
    let idle = start(&site).await;
    ended(&site, &idle).await;
    assert!(runs(&site, &connected).await, "a kernel with a client was ended without cull_connected");
    assert!(runs(&site, &busy).await, "a busy kernel was ended without cull_busy");
    site.server.end_all().await;
}

#[tokio::test]
async fn connected_and_busy_kernels_are_culled_where_that_is_asked_for() {
    let Some(folder) = kernels() else { return };
    let site = site(vec![folder], Culling { connected: true, busy: true, ..rules() });
    let port = site.listen().await;
    let kernel = start(&site).await;
    let mut socket = open(port, &kernel).await;
    occupy(&mut socket).await;
    ended(&site, &kernel).await;
    // Its client is told by the end of the socket.
    within(async { while socket.try_next().await.is_some() {} }).await;
    site.server.end_all().await;
}

#[tokio::test]
async fn a_kernelspec_has_a_say() {
    let Some(folder) = kernels() else { return };
    let own = tempfile::tempdir().unwrap();
    let text = std::fs::read(folder.join("python3/kernel.json")).unwrap();
    let mut spec: Value = serde_json::from_slice(&text).unwrap();
    spec["metadata"]["cull_idle_timeout"] = json!(3600);
    // In its own folder, `python` is that of its environment; here it is nobody's.
    spec["argv"][0] = json!(folder.join("../../../bin/python"));
    std::fs::create_dir(own.path().join("patient")).unwrap();
    std::fs::write(own.path().join("patient/kernel.json"), spec.to_string()).unwrap();
    let site = site(vec![own.path().to_owned(), folder], rules());
    let patient = site.ask("POST", "/api/kernels", json!({"name": "patient"})).await;
    let patient = patient.json["id"].as_str().expect("a kernel").to_owned();
    let other = site.ask("POST", "/api/kernels", json!({"name": "python3"})).await;
    ended(&site, other.json["id"].as_str().expect("a kernel")).await;
    assert!(runs(&site, &patient).await, "the rules of its own kernelspec were passed over");
    site.server.end_all().await;
}
