//! Prometheus' own programs, unmodified, as Debian ships them: vmagent and Prometheus feed us, promtool reads what we show.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::doors::Serving;

/// How long the programs may take on a busy machine. vmagent scrapes and writes in its first second. Prometheus hands the first
/// targets over five seconds after its start, which no flag changes, scrapes within the second after, and writes at once.
const DEADLINE: Duration = Duration::from_secs(60);

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// A program on the path; says so once where there is none.
pub(crate) fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        let line = format!("skipped: {name} is missing; apt-get install {package}");
        assert!(std::env::var_os("BACKLOT_REQUIRE_ALL").is_none(), "{line}");
        eprintln!("{line}");
    }
    found
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Running {
    fn start(program: &PathBuf, arguments: &[String], folder: &std::path::Path) -> Self {
        let log = fs::File::create(folder.join("log")).expect("a log");
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Self(command.spawn().expect("it starts"))
    }
}

async fn until(serving: &Serving, path: &str, wanted: Value, log: &std::path::Path) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let found = serving.json(path).await;
        if found == wanted {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{path}: {found}\n{}",
            fs::read_to_string(log).unwrap_or_default()
        );
        tokio::time::timeout(PAUSE, std::future::pending::<()>()).await.unwrap_err();
    }
}

/// A configuration that scrapes our own server, as Prometheus and vmagent both read it.
fn scrape_config(target: &str) -> String {
    json!({
        "global": { "scrape_interval": "1s", "scrape_timeout": "1s" },
        "scrape_configs": [{
            "job_name": "backlot", "metrics_path": "/prometheus/metrics",
            "static_configs": [{ "targets": [target] }],
        }],
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_to_complain_about() {
    let Some(promtool) = program("promtool", "prometheus") else { return };
    let serving = Serving::new(json!({ "step": "1s", "self_metrics": true })).await;
    let timer = serving.house.meters.percentile_timer("test.latency");
    timer.record(Duration::from_millis(3));
    // The samples of the first interval are counted in the second.
    let deadline = Instant::now() + Duration::from_secs(20);
    let text = loop {
        let text = serving.server.get("/prometheus/metrics", &[]).await.text();
        if text.contains("telemetry_samples_total") {
            break text;
        }
        assert!(Instant::now() < deadline, "{text}");
        tokio::task::yield_now().await;
    };
    assert!(text.contains("test_latency_seconds_count 1"), "{text}");
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("its input"), text.as_bytes())
        .expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn vmagent_scrapes_and_writes() {
    let Some(vmagent) = program("vmagent", "victoria-metrics") else { return };
    let serving = Serving::new(json!({})).await;
    let address = serving.server.address();
    let folder = tempfile::tempdir().expect("a directory");
    fs::write(folder.path().join("scrape.yml"), scrape_config(&address.to_string()))
        .expect("a configuration");
    let arguments = [
        "-promscrape.config=scrape.yml".to_owned(),
        format!("-remoteWrite.url=http://{address}/prometheus/api/v1/write"),
        "-remoteWrite.tmpDataPath=queue".to_owned(),
        "-remoteWrite.flushInterval=200ms".to_owned(),
        "-httpListenAddr=127.0.0.1:0".to_owned(),
    ];
    let _running = Running::start(&vmagent, &arguments, folder.path());
    let log = folder.path().join("log");
    until(&serving, "/atlas/api/v1/tags/job?q=name,up,:eq", json!(["backlot"]), &log).await;
    // The first scrape may have come before the server was ready to answer.
    let graph = "/atlas/api/v1/graph?q=name,up,:eq,:max&s=e-20m&e=now%2B1m&format=std.json&tz=UTC";
    let deadline = Instant::now() + DEADLINE;
    loop {
        let rows = serving.json(graph).await["values"].clone();
        if rows.as_array().expect("rows").contains(&json!([1.0])) {
            return;
        }
        assert!(Instant::now() < deadline, "{rows}");
        tokio::time::timeout(PAUSE, std::future::pending::<()>()).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_writes_what_it_scrapes() {
    let Some(prometheus) = program("prometheus", "prometheus") else { return };
    let serving = Serving::new(json!({})).await;
    let address = serving.server.address();
    let folder = tempfile::tempdir().expect("a directory");
    let mut config: Value = serde_json::from_str(&scrape_config(&address.to_string())).expect("JSON");
    config["remote_write"] = json!([{ "url": format!("http://{address}/prometheus/api/v1/write"), "queue_config": { "batch_send_deadline": "200ms" } }]);
    fs::write(folder.path().join("prometheus.yml"), config.to_string()).expect("a configuration");
    let arguments =
        ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"];
    let _running = Running::start(&prometheus, &arguments.map(str::to_owned), folder.path());
    let log = folder.path().join("log");
    until(&serving, "/atlas/api/v1/tags/job?q=name,up,:eq", json!(["backlot"]), &log).await;
    until(&serving, "/atlas/api/v1/tags/instance?q=name,up,:eq", json!([address.to_string()]), &log).await;
}
