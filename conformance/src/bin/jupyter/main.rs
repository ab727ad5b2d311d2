//! jupyter_server's own API tests against our Jupyter server: `cargo xtask conformance jupyter`.
//!
//! The tests are those of jupyter_server's source package; a pytest plugin replaces the fixtures that start a server and fetch from it.
//! What is left out is listed with its reason, and printed with the counts. This program is also the server that the tests talk to
//! (`jupyter serve …`). After the tests come the real clients; `services`, `gateway`, `lab` and `tests` run one of the four alone.

mod clients;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use backlot_conformance::Environment;
use backlot_jupyter::{Config, KernelSearch, Server};

/// The version whose tests these are.
const PACKAGE: &str = "jupyter_server==2.21.1";

/// The files of tests that speak to a server over HTTP.
const FILES: [&str; 11] = [
    "tests/services/contents/test_api.py",
    "tests/services/api/test_api.py",
    "tests/services/config/test_api.py",
    "tests/services/kernelspecs/test_api.py",
    "tests/services/kernels/test_api.py",
    "tests/services/sessions/test_api.py",
    "tests/services/events/test_api.py",
    "tests/services/nbconvert/test_api.py",
    "tests/test_terminal.py",
    "tests/test_files.py",
    "tests/test_view.py",
];

/// Tests that are left out, and why.
const EXCLUDED: [(&str, &str); 14] = [
    ("test_regression_is_hidden", "patches Python functions inside the server"),
    ("test_password_identity", "replaces the identity provider inside the server"),
    ("test_identity", "replaces the identity provider inside the server"),
    ("test_update_user", "replaces the identity provider inside the server"),
    ("test_subscribe_websocket_self_removes", "looks into the Python handler's listeners"),
    ("test_kernel_handler_startup_error_pending", "sets Python's kernel manager to pending kernels"),
    ("test_create_bad_pending", "sets Python's kernel manager to pending kernels"),
    ("test_save_hooks", "registers Python functions inside the server"),
    ("test_hidden_files", "changes a setting inside the running server"),
    ("test_terminal_create_with_cwd", "compares with a setting inside the Python server"),
    ("test_culling", "configures Python's terminal manager"),
    ("test_shell_command_override", "configures Python's terminal manager"),
    ("test_importing_shims", "imports Python modules"),
    ("test_resolve_path_server_expands_user", "changes HOME of the server's own process while it runs"),
];

pub(crate) type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "serve") {
        return serve(&arguments[1..]).await.map(|()| ExitCode::SUCCESS);
    }
    let folder = std::env::current_exe()?.parent().ok_or("this program has no folder")?.join("jupyter-suite");
    std::fs::create_dir_all(&folder)?;
    let python = python(&folder)?;
    match arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("services", _)) => clients::services(&python, &folder)?,
        Some(("gateway", _)) => clients::gateway(&python, &folder)?,
        Some(("lab", _)) => clients::lab(&python, &folder)?,
        Some(("tests", more)) => return tests(&python, &folder, more),
        _ => {
            let tested = tests(&python, &folder, &arguments)?;
            clients::services(&python, &folder)?;
            clients::gateway(&python, &folder)?;
            clients::lab(&python, &folder)?;
            return Ok(tested);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves as the plugin asks: `--root R --state S --token T --base-url B`; the first line tells the address.
async fn serve(arguments: &[String]) -> Result<(), Failure> {
    use axum::serve::ListenerExt;
    let option = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name);
        place.and_then(|place| arguments.get(place + 1)).cloned().ok_or_else(|| format!("{name} is missing"))
    };
    let config = Config::new(option("--root")?, option("--state")?).token(option("--token")?);
    let mut config = config.base_url(&option("--base-url")?);
    config.kernels = KernelSearch::from_env();
    let server = Server::open(config)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}{}", listener.local_addr()?, option("--base-url")?);
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    Ok(axum::serve(listener, server.router_at_base()).await?)
}

/// Runs jupyter_server's own tests.
fn tests(python: &Path, folder: &Path, more: &[String]) -> Result<ExitCode, Failure> {
    let own = std::env::current_exe()?;
    let source = sources(python, folder)?;
    println!("left out:");
    for (name, reason) in EXCLUDED {
        println!("  {name}*: {reason}");
    }
    let exclusions: Vec<String> = EXCLUDED.iter().map(|(name, _)| format!("not {name}")).collect();
    let server = serde_json::json!([own, "serve"]).to_string();
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("jupyter");
    let status = Command::new(python)
        .args(["-m", "pytest", "-q", "-p", "backlot_plugin", "-p", "no:cacheprovider", "--timeout=60", "-k"])
        .arg(exclusions.join(" and "))
        .args(["-W", "ignore", "-o", "addopts="])
        .args(FILES)
        .args(more)
        .current_dir(source)
        .env("PYTHONPATH", plugin)
        .env("BACKLOT_JUPYTER_SERVER", server)
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The Python of the suite's own environment; `BACKLOT_JUPYTER_VENV` names one that is there.
fn python(folder: &Path) -> Result<PathBuf, Failure> {
    let given = std::env::var_os("BACKLOT_JUPYTER_VENV").map(PathBuf::from);
    let venv = given.unwrap_or_else(|| folder.join("venv"));
    let environment = match Environment::at(venv.clone()) {
        Ok(environment) => environment,
        Err(_) => {
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
            Environment::at(venv)?
        }
    };
    let python = environment.python();
    let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("requirements-jupyter.txt");
    run(Command::new(&python).args(["-m", "pip", "install", "-q", "-r"]).arg(pins))?;
    if !environment.add_bash_kernel() {
        return Err(format!("`{} -m bash_kernel.install --sys-prefix` fails", python.display()).into());
    }
    Ok(python)
}

fn sources(python: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    let known = || -> Option<PathBuf> {
        let entries = std::fs::read_dir(folder).ok()?;
        entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.join("tests/conftest.py").is_file())
    };
    if let Some(known) = known() {
        return Ok(known);
    }
    let download = ["-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", PACKAGE, "-d", "."];
    run(Command::new(python).args(download).current_dir(folder))?;
    let archives = std::fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path());
    let archive =
        archives.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "gz"));
    run(Command::new("tar").arg("xzf").arg(archive.ok_or("pip brought no archive")?).current_dir(folder))?;
    known().ok_or_else(|| "the source package holds no tests".into())
}

pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    if command.status()?.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
}
