//! `backlot jupyter`: the server alone, started and stopped as stock `jupyter lab` is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use backlot_department::{CommandContext, CommandError};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::kernel::culling::Culling;
use crate::server::{Config, Server};

/// Jupyter's own port, and how many after it are tried, as it does.
const PORT: u16 = 8888;
const PORT_RETRIES: u16 = 50;

/// How long answers under way may take when the server ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The command.
pub fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    // As stock: `--x`, or `--x=True`.
    let switch = |name: &'static str, help: &'static str| {
        let values = PossibleValuesParser::new(["True", "False"]);
        let is_true = values.map(|value| value.eq_ignore_ascii_case("true"));
        Arg::new(name)
            .long(name)
            .help(help)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("True")
            .ignore_case(true)
            .hide_possible_values(true)
            .value_parser(is_true)
    };
    Command::new("jupyter")
        .about("Serves a folder to JupyterLab and other Jupyter clients, without a house")
        .long_about(
            "Serves a folder to JupyterLab and other Jupyter clients, without a house.\n\nPrints the address with its token, as `jupyter lab` \
             does. Output goes on into the notebook when the tab is closed. `backlot up` has the same under /jupyter.",
        )
        .arg(option("root", "DIR", "The folder to serve").default_value(".").value_parser(value_parser!(PathBuf)))
        .arg(
            option("state", "DIR", "Where trust, settings, workspaces and the activity log are kept [default: HOME/jupyter]")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            option("ip", "ADDRESS", "The address to listen on")
                .default_value("127.0.0.1")
                .value_parser(value_parser!(IpAddr)),
        )
        .arg(
            option("port", "PORT", "The port; 0 takes a free one [default: 8888, or the next that is free]")
                .value_parser(value_parser!(u16)),
        )
        .arg(
            option("token", "TOKEN", "What clients must show; one is made up if none is given, and '' asks for none [env: JUPYTER_TOKEN]")
                .env("JUPYTER_TOKEN")
                .hide_env(true),
        )
        .arg(option("base-url", "PATH", "The URL path of the server").default_value("/"))
        .arg(option("allow-origin", "ORIGIN", "Another origin whose pages may use the server, or *"))
        .arg(
            option("cull-idle-timeout", "SECONDS", "End kernels that do nothing for longer than this; 0 ends none [default: 0]")
                .aliases(["cull-after", "MappingKernelManager.cull_idle_timeout"])
                .value_parser(value_parser!(u64)),
        )
        .arg(
            option("cull-interval", "SECONDS", "How often to look for kernels to end [default: 300]")
                .alias("MappingKernelManager.cull_interval")
                .value_parser(value_parser!(u64).range(1..)),
        )
        .arg(
            switch("cull-connected", "End also kernels that clients are connected to")
                .alias("MappingKernelManager.cull_connected"),
        )
        .arg(
            switch("cull-busy", "End also kernels that run something and publish nothing")
                .alias("MappingKernelManager.cull_busy"),
        )
}

/// Runs it until it is told to end.
///
/// # Errors
/// A folder or an address that cannot be used.
pub async fn run(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let root = matches.get_one::<PathBuf>("root").cloned().unwrap_or_else(|| ".".into());
    let state = matches.get_one::<PathBuf>("state").cloned().unwrap_or_else(|| context.home.join("jupyter"));
    let mut config = Config::new(root, state).base_url(&text("base-url").unwrap_or_default());
    config.allow_origin = text("allow-origin");
    config.may_shut_down = true;
    let seconds = |name: &str| matches.get_one::<u64>(name).copied().map(Duration::from_secs);
    let is_set = |name: &str| matches.get_one::<bool>(name).copied().unwrap_or(false);
    config.culling = Culling {
        idle_timeout: seconds("cull-idle-timeout").filter(|timeout| !timeout.is_zero()),
        interval: seconds("cull-interval").unwrap_or(Culling::INTERVAL),
        connected: is_set("cull-connected"),
        busy: is_set("cull-busy"),
    };
    config.token = match text("token") {
        None => Some(crate::chance::hex(&crate::chance::bytes(24))),
        Some(token) => Some(token).filter(|token| !token.is_empty()),
    };
    let ip = matches.get_one::<IpAddr>("ip").copied().unwrap_or(Ipv4Addr::LOCALHOST.into());
    if config.token.is_none() && !ip.is_loopback() {
        return Err(CommandError::usage(
            "without a token whoever reaches the port may run code",
            "leave out --token, or listen on 127.0.0.1",
        ));
    }
    let listener = bind(ip, matches.get_one::<u16>("port").copied()).await?;
    let server = Server::open(config).map_err(|error| {
        let text = error.to_string();
        let (message, mend) = text.rsplit_once("; ").unwrap_or((&text, "name other folders"));
        CommandError::failed(message, mend)
    })?;
    let address = listener.local_addr().map_err(|error| broken(&error))?;
    announce(context, &server, address)?;
    serve(listener, &server).await?;
    server.end_all().await;
    Ok(ExitCode::SUCCESS)
}

/// Serves until a signal comes or a client asks for the end.
async fn serve(listener: TcpListener, server: &Arc<Server>) -> Result<(), CommandError> {
    let mut terminated = signal(SignalKind::terminate()).map_err(|error| broken(&error))?;
    let told = Arc::new(Notify::new());
    let hears = told.clone();
    // Answers are small and waited for; Nagle's algorithm would hold each back for a delayed acknowledgement.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let serving = axum::serve(listener, server.router_at_base())
        .with_graceful_shutdown(async move { hears.notified().await })
        .into_future();
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        served = &mut serving => return served.map_err(|error| broken(&error)),
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
        () = server.asked_to_end() => {}
    }
    told.notify_one();
    // Answers under way are sent; connections that are only kept open are not waited for.
    let _ = tokio::time::timeout(LAST_ANSWERS, serving).await;
    Ok(())
}

fn broken(error: &std::io::Error) -> CommandError {
    CommandError::failed(
        format!("the listener does not work: {error}"),
        "choose another address with --ip and --port",
    )
}

async fn bind(ip: IpAddr, port: Option<u16>) -> Result<TcpListener, CommandError> {
    let (first, tries) = port.map_or((PORT, PORT_RETRIES), |port| (port, 0));
    let mut last = None;
    for port in first..=first.saturating_add(tries) {
        match TcpListener::bind((ip, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    let why = last.map_or_else(String::new, |error| format!(": {error}"));
    let what = format!("cannot listen on {}{why}", SocketAddr::new(ip, first));
    Err(CommandError::failed(what, "choose another address with --ip and --port (0 takes a free one)"))
}

/// Says where the server is, in Jupyter's words.
fn announce(context: &CommandContext, server: &Server, address: SocketAddr) -> Result<(), CommandError> {
    let host = if address.ip().is_unspecified() {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port())
    } else {
        address
    };
    let query = server.config.token.as_ref().map_or_else(String::new, |token| format!("?token={token}"));
    let url = format!("http://{host}{}", server.config.base_url);
    let answer = json!({
        "url": url, "token": server.config.token, "root": server.root(), "pid": std::process::id(), "port": address.port(),
    });
    context.print_line(&answer, |_| format!("Jupyter Server is running at:\n    {url}lab{query}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn culling_is_set_by_stocks_names() {
        let matches = |words: &[&str]| command().try_get_matches_from(words);
        let stock = matches(&[
            "jupyter",
            "--MappingKernelManager.cull_idle_timeout=600",
            "--MappingKernelManager.cull_interval=60",
            "--MappingKernelManager.cull_connected=True",
            "--MappingKernelManager.cull_busy=False",
        ]);
        let stock = stock.unwrap();
        assert_eq!(stock.get_one("cull-idle-timeout"), Some(&600_u64));
        assert_eq!(stock.get_one("cull-interval"), Some(&60_u64));
        assert_eq!(
            (stock.get_one("cull-connected"), stock.get_one("cull-busy")),
            (Some(&true), Some(&false))
        );
        let own = matches(&["jupyter", "--cull-after", "5", "--cull-busy"]).unwrap();
        assert_eq!((own.get_one("cull-idle-timeout"), own.get_one("cull-busy")), (Some(&5_u64), Some(&true)));
        assert_eq!(own.get_one::<bool>("cull-connected"), None);
        assert!(matches(&["jupyter", "--cull-busy=maybe"]).is_err());
    }
}
