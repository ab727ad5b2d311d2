//! Runs that outlive their client: versions of what they left, and the page that is opened meanwhile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backlot_jupyter::{AfterSave, KernelSearch};
use backlot_notebooks_model::{SaveError, SaveHook};
use serde_json::{Value, json};

use crate::kernels::{begin, execute, kernels, notebook, within};
use crate::socket::Socket;
use crate::web::Site;

/// What became a version, in its order.
#[derive(Default)]
struct Kept(Mutex<Vec<(String, Value, String)>>);

impl Kept {
    fn all(&self) -> Vec<(String, Value, String)> {
        self.0.lock().unwrap().clone()
    }
}

impl SaveHook for Kept {
    fn saved(&self, path: &str, content: &[u8], who: &str) -> Result<(), SaveError> {
        let content = serde_json::from_slice(content).expect("a whole notebook");
        self.0.lock().unwrap().push((path.to_owned(), content, who.to_owned()));
        Ok(())
    }
}

async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            looks.tick().await;
            if let Some(seen) = look().await {
                return seen;
            }
        }
    })
    .await
}

/// A file whose presence lets a cell go on.
fn gate(site: &Site, name: &str) -> (std::path::PathBuf, String) {
    let gate = site.folder.path().join(name);
    let wait =
        format!("\nimport os, time\nwhile not os.path.exists({:?}): time.sleep(0.01)\n", gate.display());
    (gate, wait)
}

fn open_gate(gate: &std::path::Path) {
    std::fs::write(gate, "").unwrap();
}

#[tokio::test]
async fn what_a_run_left_after_its_client_becomes_a_version_when_it_ends() {
    let Some(folder) = kernels() else { return };
    let kept = Arc::new(Kept::default());
    let site = Site::configured(|config| {
        config.kernels = KernelSearch::new(vec![folder]);
        config.after_save = AfterSave::tell(kept.clone());
    });
    let (port, kernel) = begin(&site).await;
    assert_eq!(kept.all().len(), 1, "the client's own save");
    let (first, wait) = gate(&site, "first");
    let channels = format!("/jupyter/api/kernels/{kernel}/channels?session_id=s");
    let mut socket = Socket::open(port, &channels).await;
    let code = format!("print('before', flush=True){wait}print('after')");
    let request = socket.send("shell", "execute_request", json!({"cellId": "loop"}), execute(&code)).await;
    socket.send("shell", "execute_request", json!({"cellId": "second"}), execute("'the last'")).await;
    within(socket.until("stream", &request)).await;
    drop(socket);
    // It is saved while it runs, and that is no version yet.
    let file = site.server.root().join("n.ipynb");
    until(async || std::fs::read_to_string(&file).unwrap().contains("before").then_some(())).await;
    assert_eq!(kept.all().len(), 1);
    open_gate(&first);
    let versions = until(async || Some(kept.all()).filter(|all| all.len() > 1)).await;
    let (path, content, who) = &versions[1];
    assert_eq!((path.as_str(), who.is_empty()), ("n.ipynb", false));
    assert_eq!(content["cells"][0]["outputs"][0]["text"], json!(["before\n", "after\n"]));
    assert_eq!(content["cells"][1]["outputs"][0]["data"]["text/plain"], json!(["'the last'"]));
    assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap(), *content);
    site.server.end_all().await;
    assert_eq!(kept.all().len(), 2, "one version of the two cells");
}

#[tokio::test]
async fn a_page_that_is_opened_during_a_run_takes_it_over() {
    let Some(folder) = kernels() else { return };
    let site = Site::with_kernels(vec![folder]);
    let (port, kernel) = begin(&site).await;
    let (first, wait) = gate(&site, "first");
    let (second, more) = gate(&site, "second");
    let channels = |session: &str| format!("/jupyter/api/kernels/{kernel}/channels?session_id={session}");
    let mut socket = Socket::open(port, &channels("gone")).await;
    let code = format!("print(1, flush=True){wait}print(2, flush=True){more}print(3)");
    let request = socket.send("shell", "execute_request", json!({"cellId": "loop"}), execute(&code)).await;
    within(socket.until("stream", &request)).await;
    drop(socket);
    let file = site.server.root().join("n.ipynb");
    let saved = || std::fs::read_to_string(&file).unwrap();
    until(async || saved().contains("1\\n").then_some(())).await;
    // The page comes, and takes the run over.
    let mut page = Socket::open(port, &channels("page")).await;
    let runs = format!("/api/kernels/{kernel}/runs");
    let adopted = site.ask("POST", &runs, json!({"session": "page"})).await;
    assert_eq!(adopted.json[0]["cell"], "loop", "{}", adopted.json);
    assert_eq!(adopted.json[0]["request"], request.as_str());
    assert_eq!(adopted.json[0]["outputs"][0]["text"], "1\n");
    let before = saved();
    open_gate(&first);
    // It hears of what comes, and asks for it.
    let heard = within(page.until("stream", &request)).await;
    assert_eq!(heard["content"]["text"], "2\n");
    let one = format!("{runs}/{request}");
    let shown = site.ask("GET", &one, Value::Null).await.json;
    assert_eq!((&shown["outputs"][0]["text"], &shown["is_over"]), (&json!("1\n2\n"), &json!(false)));
    // Another page finds nothing that is free; one that is not connected, nothing at all.
    for session in ["page", "nobody"] {
        assert_eq!(site.ask("POST", &runs, json!({"session": session})).await.json, json!([]));
    }
    assert_eq!(site.ask("POST", &runs, Value::Null).await.status, 400);
    assert_eq!(saved(), before, "the page saves; the server does not write beside it");
    // The page goes as well: the run is the server's again.
    drop(page);
    open_gate(&second);
    until(async || saved().contains("3\\n").then_some(())).await;
    let cells: Value = serde_json::from_str(&saved()).unwrap();
    assert_eq!(cells["cells"][0]["outputs"][0]["text"], json!(["1\n", "2\n", "3\n"]));
    site.server.end_all().await;
}

#[tokio::test]
async fn a_clients_save_is_not_undone_by_the_servers() {
    let Some(folder) = kernels() else { return };
    let site = Site::with_kernels(vec![folder]);
    let (port, kernel) = begin(&site).await;
    let channels = format!("/jupyter/api/kernels/{kernel}/channels?session_id=s");
    let mut socket = Socket::open(port, &channels).await;
    let gate = site.folder.path().join("gate");
    let code = format!(
        "import os, time\nwhile not os.path.exists({:?}):\n    print('on', flush=True)\n    time.sleep(0.005)\nprint('the end')",
        gate.display()
    );
    let request = socket.send("shell", "execute_request", json!({"cellId": "loop"}), execute(&code)).await;
    within(socket.until("stream", &request)).await;
    drop(socket);
    // Another client saves a new cell again and again while the server writes outputs beside it.
    let file = site.server.root().join("n.ipynb");
    for number in 0..100 {
        let mut changed = notebook();
        let text = format!("number {number}");
        let cell = json!({"cell_type": "markdown", "id": "text", "metadata": {}, "source": text});
        changed["content"]["cells"].as_array_mut().unwrap().push(cell);
        assert_eq!(site.ask("PUT", "/api/contents/n.ipynb", changed).await.status, 200);
        let saved: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(saved["cells"][1]["source"], json!([text]));
    }
    open_gate(&gate);
    until(async || std::fs::read_to_string(&file).unwrap().contains("the end\\n").then_some(())).await;
    let saved: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(saved["cells"][1]["source"], json!(["number 99"]));
    site.server.end_all().await;
}

#[tokio::test]
async fn a_client_that_comes_back_hears_what_it_missed_and_saves_again() {
    let Some(folder) = kernels() else { return };
    let site = Site::with_kernels(vec![folder]);
    let (port, kernel) = begin(&site).await;
    let (first, wait) = gate(&site, "first");
    let (second, more) = gate(&site, "second");
    let channels = format!("/jupyter/api/kernels/{kernel}/channels?session_id=s");
    let mut socket = Socket::open(port, &channels).await;
    let code = format!("print(1, flush=True){wait}print(2, flush=True){more}print(3)");
    let request = socket.send("shell", "execute_request", json!({"cellId": "loop"}), execute(&code)).await;
    within(socket.until("stream", &request)).await;
    drop(socket);
    let file = site.server.root().join("n.ipynb");
    let saved = || std::fs::read_to_string(&file).unwrap();
    until(async || saved().contains("1\\n").then_some(())).await;
    open_gate(&first);
    until(async || saved().contains("2\\n").then_some(())).await;
    let before = saved();
    let mut back = Socket::open(port, &channels).await;
    let missed = within(back.until("stream", &request)).await;
    assert_eq!(missed["content"]["text"], "2\n");
    open_gate(&second);
    // The reply goes another way than the output, so either may come first.
    let (mut output, mut is_answered) = (String::new(), false);
    within(async {
        while !output.ends_with('\n') || !is_answered {
            let message = back.next().await;
            if message["parent_header"]["msg_id"] != request {
                continue;
            }
            match message["msg_type"].as_str() {
                Some("stream") => output += message["content"]["text"].as_str().unwrap(),
                Some("execute_reply") => is_answered = true,
                _ => {}
            }
        }
    })
    .await;
    assert_eq!(output, "3\n");
    assert_eq!(saved(), before, "it is connected and saves; the server does not write beside it");
    site.server.end_all().await;
}
