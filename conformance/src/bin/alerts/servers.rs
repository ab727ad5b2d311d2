//! Ours, and Debian's.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use backlot_department::{Config, Department, House, shell_part};
use backlot_ledger::Ledger;
use backlot_store::Store;
use backlot_telemetry::Telemetry;
use backlot_web::{Shell, Tokens, WebConfig};
use serde_json::json;
use tokio::process::{Child, Command};

use crate::AnyError;

/// Serves until it is killed.
pub(crate) async fn serve(home: &Path, config: &Path, port: u16) -> Result<(), AnyError> {
    let departments: [Box<dyn Department>; 1] = [Box::<Telemetry>::default()];
    let ledger = Ledger::open(&format!("sqlite://{}/ledger.db", home.display()))?;
    let store = Store::open(&format!("file://{}/blobs", home.display()))?;
    let alerts = json!({ "config": config, "external_url": format!("http://127.0.0.1:{port}/alertmanager") });
    let sections = json!({ "telemetry": { "alerts": alerts } }).as_object().cloned().unwrap_or_default();
    let house = House::open(home, Config::new(sections), store, ledger, &departments)?;
    house.start(&departments).await?;
    house.serve(&departments).await?;
    let mut web = WebConfig::new(Tokens::open(home)?);
    web.bind = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let shell = Shell::builder(web).department(shell_part(&*departments[0], &house)).build()?;
    let listener = shell.bind().await?;
    shell.serve(listener, std::future::pending()).await?;
    Ok(())
}

/// A port that nobody has now.
pub(crate) fn free_port() -> Result<u16, AnyError> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A server that ends with this.
pub(crate) struct Server {
    pub(crate) child: Child,
    /// The base URL of Alertmanager's interface.
    pub(crate) url: String,
}

fn spawn(command: &mut Command) -> Result<Child, AnyError> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program} cannot be started: {error}; run `cargo xtask setup`").into())
}

/// Waits until a URL answers with 200.
pub(crate) async fn answers(url: &str) -> Result<(), AnyError> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let own = url.to_owned();
        let answer =
            tokio::task::spawn_blocking(move || ureq::get(&own).call().map(|answer| answer.status())).await?;
        if answer.is_ok_and(|status| status == 200) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{url} does not answer").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Our server.
pub(crate) async fn ours(home: &Path, config: &Path, port: u16) -> Result<Server, AnyError> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("serve")
        .arg("--home")
        .arg(home)
        .arg("--config")
        .arg(config)
        .args(["--port", &port.to_string()]);
    let child = spawn(&mut command)?;
    let url = format!("http://127.0.0.1:{port}/alertmanager");
    answers(&format!("{url}/-/ready")).await?;
    Ok(Server { child, url })
}

/// Debian's Alertmanager.
pub(crate) async fn theirs(home: &Path, config: &Path) -> Result<Server, AnyError> {
    let port = free_port()?;
    let url = format!("http://127.0.0.1:{port}");
    let mut command = Command::new("prometheus-alertmanager");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", home.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .args(["--cluster.listen-address=", "--web.route-prefix=/"])
        .arg(format!("--web.external-url={url}"));
    let child = spawn(&mut command)?;
    answers(&format!("{url}/-/ready")).await?;
    Ok(Server { child, url })
}

/// Another program of Debian's.
pub(crate) fn program(name: &str, arguments: &[String]) -> Result<Child, AnyError> {
    spawn(Command::new(name).args(arguments))
}
