//! Real clients against our server: `@jupyterlab/services`, JupyterLab in a browser, and jupyter_server as a gateway's client.
//!
//! The server is this program (`jupyter serve …`) with the kernels and pages of the suite's environment; what the browser saw is left as
//! pictures in the suite's folder.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Failure, run};

const TOKEN: &str = "conformance";

/// The scripts and their pins.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("jupyter")
}

/// A server of ours, ended when dropped.
struct Server {
    child: Child,
    /// `http://127.0.0.1:PORT/jupyter/`
    url: String,
    root: tempfile::TempDir,
}

impl Server {
    fn start(python: &Path) -> Result<Server, Failure> {
        let root = tempfile::tempdir()?;
        let venv = python.parent().and_then(Path::parent).ok_or("the Python has no environment")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg("--root").arg(root.path().join("files"));
        command.arg("--state").arg(root.path().join("state"));
        command.args(["--token", TOKEN, "--base-url", "/jupyter/"]);
        std::fs::create_dir(root.path().join("files"))?;
        let mut child =
            command.env("VIRTUAL_ENV", venv).env_remove("BACKLOT_VENV").stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("the server says nothing")?).read_line(&mut line)?;
        Ok(Server { child, url: line.trim().to_owned(), root })
    }

    fn files(&self) -> PathBuf {
        self.root.path().join("files")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// Node with the clients of `package.json`, which are installed unless they are there.
fn node(folder: &Path) -> Result<Command, Failure> {
    let folder = folder.join("node");
    let pins = std::fs::read_to_string(scripts().join("package.json"))?;
    if std::fs::read_to_string(folder.join("installed-pins")).ok().as_deref() != Some(&pins) {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("package.json"), &pins)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&folder);
        run(&mut npm)?;
        std::fs::write(folder.join("installed-pins"), &pins)?;
    }
    let mut node = Command::new("node");
    node.env("NODE_PATH", folder.join("node_modules"));
    Ok(node)
}

/// A front end's session through `@jupyterlab/services`, with every kernel that is there.
pub(crate) fn services(python: &Path, folder: &Path) -> Result<(), Failure> {
    let server = Server::start(python)?;
    let mut kernels = vec!["python3", "bash"];
    if Path::new("/usr/share/jupyter/kernels/ir").is_dir() {
        kernels.push("ir");
    } else {
        println!("skipped: the R kernel is missing; apt-get install r-cran-irkernel");
    }
    let mut node = node(folder)?;
    run(node.arg(scripts().join("services.js")).arg(&server.url).arg(TOKEN).args(kernels))
}

/// JupyterLab in Chromium: a notebook whose tab is closed while its cell runs.
pub(crate) fn lab(python: &Path, folder: &Path) -> Result<(), Failure> {
    let server = Server::start(python)?;
    let pictures = folder.join("pictures");
    std::fs::create_dir_all(&pictures)?;
    let browsers = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let browser = browsers
        .iter()
        .find(|path| Path::new(path).exists())
        .ok_or("chromium is missing; apt-get install chromium")?;
    let mut node = node(folder)?;
    node.arg(scripts().join("lab.js")).arg(format!("{}lab?token={TOKEN}", server.url));
    run(node.arg(browser).arg(&pictures).arg(server.files().join("Untitled.ipynb")))?;
    println!("pictures: {}", pictures.display());
    Ok(())
}

/// A stock jupyter_server that has no kernels of its own and runs its notebooks through ours.
pub(crate) fn gateway(python: &Path, folder: &Path) -> Result<(), Failure> {
    let server = Server::start(python)?;
    let home = tempfile::tempdir()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let log = std::fs::File::create(folder.join("gateway.log"))?;
    let mut stock = Command::new(python);
    stock.args(["-m", "jupyter_server", "--allow-root", "--no-browser", "--ServerApp.base_url=/stock/"]);
    stock.arg(format!("--port={port}")).arg(format!("--IdentityProvider.token={TOKEN}"));
    stock.arg(format!("--ServerApp.root_dir={}", home.path().display()));
    stock.arg(format!("--gateway-url={}", server.url.trim_end_matches('/')));
    stock.arg(format!("--GatewayClient.auth_token={TOKEN}"));
    stock
        .env("HOME", home.path())
        .env("KERNEL_GREETING", "by way of the gateway")
        .stdout(Stdio::null())
        .stderr(log);
    let mut stock = stock.spawn()?;
    let url = format!("http://127.0.0.1:{port}/stock/");
    let tried = run(Command::new(python).arg(scripts().join("gateway.py")).args([&url, TOKEN, &server.url]));
    let _ = stock.kill(); // it may have ended
    let _ = stock.wait();
    tried
}
