//! Debian's clients, unmodified.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::AnyError;
use crate::hook::Hook;
use crate::script::post;
use crate::servers::{self, Server};

const CONFIG: &str = "route: {receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s}\nreceivers: [{name: hook, webhook_configs: [{url: 'HOOK/a'}]}]\n";

async fn started(folder: &Path) -> Result<(Server, Hook), AnyError> {
    let hook = Hook::start().await?;
    let file = folder.join("alertmanager.yml");
    std::fs::write(&file, CONFIG.replace("HOOK", &hook.url))?;
    Ok((servers::ours(folder, &file, servers::free_port()?).await?, hook))
}

/// Runs amtool; what it said.
async fn tool(url: &str, arguments: &[&str]) -> Result<String, AnyError> {
    let output = Command::new("amtool")
        .arg(format!("--alertmanager.url={url}"))
        .args(arguments)
        // No configuration of this machine's user.
        .env("HOME", "/nonexistent")
        .output()
        .await
        .map_err(|error| format!("amtool cannot be started: {error}; run `cargo xtask setup`"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(format!("amtool {} failed: {said}{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr))
        .into())
}

fn check(holds: bool, what: &str, said: &str) -> Result<(), AnyError> {
    if holds { Ok(()) } else { Err(format!("{what}: {said}").into()) }
}

/// What people do with amtool.
pub(crate) async fn amtool() -> Result<String, AnyError> {
    let folder = tempfile::tempdir()?;
    let (server, _hook) = started(folder.path()).await?;
    let url = &server.url;
    let mut commands = 0;
    let mut run = async |arguments: &[&str]| {
        commands += 1;
        tool(url, arguments).await
    };
    run(&[
        "alert",
        "add",
        "alertname=Disk",
        "host=a",
        "severity=page",
        "--annotation=summary=full",
        "--generator-url=http://g/",
    ])
    .await?;
    run(&["alert", "add", "Net", "host=b", "--end=2099-01-01T00:00:00Z"]).await?;
    let all = run(&["alert", "query"]).await?;
    check(all.contains("Disk") && all.contains("Net"), "alert query", &all)?;
    let one = run(&["-o", "json", "alert", "query", "host=~a|x", "alertname!=Net"]).await?;
    let read: Value = serde_json::from_str(&one)?;
    check(
        read.as_array().map(Vec::len) == Some(1) && read[0]["labels"]["host"] == "a",
        "alert query with matchers",
        &one,
    )?;
    let receiver = run(&["-o", "simple", "alert", "query", "--receiver=nobody"]).await?;
    check(!receiver.contains("Disk"), "alert query --receiver", &receiver)?;
    let id =
        run(&["silence", "add", "host=a", "severity=~p.*", "--comment=x", "--author=me", "--duration=1h"])
            .await?;
    let id = id.trim();
    let active = run(&["alert", "query", "--active"]).await?;
    check(active.contains("Net") && !active.contains("Disk"), "alert query --active", &active)?;
    let silenced = run(&["alert", "query", "--silenced"]).await?;
    check(silenced.contains("Disk"), "alert query --silenced", &silenced)?;
    let list = run(&["silence", "query", "host=a"]).await?;
    check(list.contains(id), "silence query", &list)?;
    let updated = run(&["silence", "update", id, "--duration=2h", "--comment=longer"]).await?;
    check(updated.contains("longer"), "silence update", &updated)?;
    let exported = run(&["-o", "json", "silence", "query"]).await?;
    let file = folder.path().join("silences.json");
    std::fs::write(&file, &exported)?;
    run(&["silence", "import", &file.display().to_string()]).await?;
    let quiet = run(&["silence", "query", "-q"]).await?;
    for id in quiet.split_whitespace() {
        run(&["silence", "expire", id]).await?;
    }
    let none = run(&["silence", "query", "-q"]).await?;
    check(none.trim().is_empty(), "silence expire", &none)?;
    let expired = run(&["silence", "query", "--expired", "--within=1h", "-q"]).await?;
    check(expired.contains(id), "silence query --expired", &expired)?;
    let config = run(&["config", "show"]).await?;
    check(config.contains("group_wait: 0s"), "config show", &config)?;
    let routes = run(&["config", "routes", "test", "alertname=Disk"]).await?;
    check(routes.trim() == "hook", "config routes test", &routes)?;
    let tree = run(&["config", "routes", "show"]).await?;
    check(tree.contains("receiver: hook"), "config routes show", &tree)?;
    run(&["cluster", "show"]).await?;
    Ok(format!("{commands} commands"))
}

/// Waits until an alert is shown.
async fn shown(url: &str, name: &str) -> Result<Value, AnyError> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let address = format!("{url}/api/v2/alerts?filter=alertname%3D{name}");
        let text =
            tokio::task::spawn_blocking(move || ureq::get(&address).call()?.body_mut().read_to_string())
                .await??;
        let list: Value = serde_json::from_str(&text)?;
        if let Some(alert) = list.get(0) {
            return Ok(alert.clone());
        }
        if Instant::now() > deadline {
            return Err(format!("{name} did not come").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn rules(folder: &Path) -> Result<PathBuf, AnyError> {
    let file = folder.join("rules.yml");
    let text = "groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: Always\n    expr: vector(7) > 0\n    labels: {severity: page}\n    annotations: {summary: 'value {{ $value }}'}\n";
    std::fs::write(&file, text)?;
    Ok(file)
}

fn came_whole(alert: &Value) -> Result<(), AnyError> {
    let whole = alert["labels"]["severity"] == "page"
        && alert["annotations"]["summary"] == "value 7"
        && alert["generatorURL"].as_str().is_some_and(|url| url.starts_with("http"))
        && alert["status"]["state"] == "active";
    check(whole, "the alert", &alert.to_string())
}

/// Prometheus with an alerting rule.
pub(crate) async fn prometheus() -> Result<String, AnyError> {
    let folder = tempfile::tempdir()?;
    let (server, hook) = started(folder.path()).await?;
    let rules = rules(folder.path())?;
    let host = server.url.trim_start_matches("http://").trim_end_matches("/alertmanager");
    let config = folder.path().join("prometheus.yml");
    let text = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: ['{}']\nalerting:\n  alertmanagers:\n  - path_prefix: /alertmanager\n    static_configs: [{{targets: ['{host}']}}]\n",
        rules.display()
    );
    std::fs::write(&config, text)?;
    let _child = servers::program(
        "prometheus",
        &[
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()),
            format!("--web.listen-address=127.0.0.1:{}", servers::free_port()?),
            // Its first try may come before it has found us; the next would come a minute later.
            "--rules.alert.resend-delay=1s".to_owned(),
        ],
    )?;
    came_whole(&shown(&server.url, "Always").await?)?;
    hook.wait(1, Duration::from_secs(10)).await?;
    Ok("with path_prefix /alertmanager".to_owned())
}

/// vmalert with an alerting rule, and VictoriaMetrics to ask.
pub(crate) async fn vmalert() -> Result<String, AnyError> {
    let folder = tempfile::tempdir()?;
    let (server, hook) = started(folder.path()).await?;
    let rules = rules(folder.path())?;
    let port = servers::free_port()?;
    let _store = servers::program(
        "victoria-metrics",
        &[
            format!("-storageDataPath={}", folder.path().join("vm").display()),
            format!("-httpListenAddr=127.0.0.1:{port}"),
        ],
    )?;
    servers::answers(&format!("http://127.0.0.1:{port}/health")).await?;
    let _child = servers::program(
        "vmalert",
        &[
            format!("-rule={}", rules.display()),
            format!("-datasource.url=http://127.0.0.1:{port}"),
            format!("-notifier.url={}", server.url),
            format!("-httpListenAddr=127.0.0.1:{}", servers::free_port()?),
            "-evaluationInterval=1s".to_owned(),
        ],
    )?;
    came_whole(&shown(&server.url, "Always").await?)?;
    hook.wait(1, Duration::from_secs(10)).await?;
    Ok("with -notifier.url".to_owned())
}

/// A mail by SMTP; the server is Python's own.
pub(crate) async fn mail() -> Result<String, AnyError> {
    let folder = tempfile::tempdir()?;
    let port = servers::free_port()?;
    let log = folder.path().join("mail");
    let output = std::fs::File::create(&log)?;
    let _server = Command::new("/usr/bin/python3")
        .args([
            "-u",
            "-W",
            "ignore",
            "-m",
            "smtpd",
            "-n",
            "-c",
            "DebuggingServer",
            &format!("127.0.0.1:{port}"),
        ])
        .stdout(output)
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let file = folder.path().join("alertmanager.yml");
    let text = format!(
        "global: {{smtp_smarthost: '127.0.0.1:{port}', smtp_from: 'house@example.org', smtp_require_tls: false}}\nroute: {{receiver: mail, group_wait: 0s}}\nreceivers:\n- name: mail\n  email_configs:\n  - to: you@example.org\n    headers: {{Subject: '[{{{{ .Status | toUpper }}}}] {{{{ .CommonLabels.alertname }}}}'}}\n"
    );
    std::fs::write(&file, text)?;
    let server = servers::ours(folder.path(), &file, servers::free_port()?).await?;
    post(format!("{}/api/v2/alerts", server.url), json!([{ "labels": { "alertname": "Disk" } }])).await?;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let said = std::fs::read_to_string(&log)?;
        if said.contains("END MESSAGE") {
            check(
                said.contains("Subject: [FIRING] Disk") && said.contains("you@example.org"),
                "the mail",
                &said,
            )?;
            return Ok("taken, with its subject".to_owned());
        }
        if Instant::now() > deadline {
            return Err(format!("no mail came: {said}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
