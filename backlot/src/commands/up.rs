//! `backlot up`: the server, its console and a worker, in one process.
//!
//! The order is that of what can be refused: the home's lock and the address first, before anything is opened or migrated;
//! then the house, the shell, the worker; the note that commands find comes last, so that whoever reads it finds an open door.
//! The listener's queue holds clients that come before the shell serves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_department::{CommandError, Endpoint, House, OutputFormat, shell_part};
use backlot_telemetry::systemd;
use backlot_web::{Shell, Tokens, WebConfig};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};
use std::io::IsTerminal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::console::login;
use crate::exit;
use crate::home::{self, HomeLock};
use crate::session::{Session, blocking, house_failure};
use crate::settings::{Origin, keys};
use crate::signals::Stop;

/// The shell answers its first request in milliseconds; one that takes this long is not coming.
const FIRST_REPLY: Duration = Duration::from_secs(10);

pub(super) fn command() -> Command {
    Command::new("up")
        .about("Starts the server, its console and a worker")
        .long_about(
            "Starts the server, its console and a worker.\n\nOn SIGTERM or SIGINT it answers the requests under way, gives \
             its running tasks back and ends; a second signal ends it at once. Nothing that was answered is lost either way.",
        )
        .args([keys::BIND.arg(), keys::HOSTS.arg()])
        .arg(
            Arg::new("no-worker")
                .long("no-worker")
                .action(ArgAction::SetTrue)
                .help("Work on no tasks here; `backlot worker` does elsewhere"),
        )
        .arg(
            Arg::new("no-agent").long("no-agent").action(ArgAction::SetTrue).help(
                "Open no ports for metrics (UDP 1234 and 8125, TCP 1234), as `[telemetry.agent] enabled = false` does",
            ),
        )
        .args([keys::CPUS.arg(), keys::MEMORY.arg()])
        .arg(
            Arg::new("timing")
                .long("timing")
                .action(ArgAction::SetTrue)
                .help("Say on standard error how long each part of the start took, up to the first reply"),
        )
}

pub(super) async fn run(matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    let without;
    let session = if matches.get_flag("no-agent") {
        without = without_agent(session.clone());
        &without
    } else {
        session
    };
    let mut timing = Timing::new(session.started);
    let stop = Stop::on_signals()?;
    home::open(session.home())?;
    let lock = HomeLock::acquire(session.home()).await?;
    let listener = bind(session)?;
    timing.mark("home and address");

    let house = session.require_house().await?;
    timing.mark("ledger, store and departments");

    let tokens = Tokens::open(session.home()).map_err(|error| exit::failure(CommandError::FAILED, &error))?;
    house.serve(&session.departments).await.map_err(house_failure)?;
    timing.mark("sockets of departments");
    let served = serve(matches, session, &house, tokens, listener, stop, timing).await;
    house.stop(&session.departments).await;
    drop(lock);
    served?;
    Ok(ExitCode::SUCCESS)
}

/// As if the configuration switched the agent of telemetry off. A section that is no table is refused later, by its department.
fn without_agent(mut session: Session) -> Session {
    let sections = &mut Arc::make_mut(&mut session.settings).sections;
    let telemetry = sections.entry("telemetry").or_insert_with(|| json!({}));
    let agent = telemetry.as_object_mut().map(|table| table.entry("agent").or_insert_with(|| json!({})));
    if let Some(agent) = agent.and_then(Value::as_object_mut) {
        agent.insert("enabled".to_owned(), json!(false));
    }
    session
}

/// From the shell's making to its last answer.
async fn serve(
    matches: &ArgMatches,
    session: &Session,
    house: &House,
    tokens: Tokens,
    listener: TcpListener,
    stop: Stop,
    mut timing: Timing,
) -> Result<(), CommandError> {
    let address = listener.local_addr().map_err(broken)?;
    let shell = shell(session, house, tokens, address)?;
    timing.mark("shell");

    let worker = if matches.get_flag("no-worker") {
        None
    } else {
        Some(super::worker::start(house, &session.settings, None).await?)
    };
    timing.mark("worker");

    let note = Note::leave(session.home(), &url(address)).await?;
    if matches.get_flag("timing") {
        tokio::spawn(timing.first_reply(address));
    }
    announce(session, address)?;
    // The listener's queue holds who comes now; what serves it is one call away.
    systemd::notify("READY=1");
    let served = shell.serve(listener, stop.clone().wait());
    let ended = async {
        stop.clone().wait().await;
        systemd::notify("STOPPING=1");
        if let Some(worker) = worker {
            worker.stop().await;
        }
    };
    // Both have bounds of their own; the worker gives tasks back while the last requests are answered.
    let (served, ()) = tokio::join!(served, ended);
    note.withdraw().await;
    served.map_err(|error| exit::failure(CommandError::FAILED, &error))
}

pub(super) fn broken(error: std::io::Error) -> CommandError {
    CommandError::failed(format!("the listener does not work: {error}"), "choose another address with --bind")
}

/// Takes the address for this process.
pub(super) fn bind(session: &Session) -> Result<TcpListener, CommandError> {
    let bind = &session.settings.bind;
    let address = bind.value;
    let listener = std::net::TcpListener::bind(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => CommandError::new(
            exit::IN_USE,
            format!(
                "{} {address} is taken by another program",
                if bind.origin == Origin::Default { "the default address" } else { "the address" }
            ),
            "stop that program, or choose another address with --bind (port 0 takes a free one)",
        ),
        _ => CommandError::failed(
            format!("cannot listen on {address}: {error}"),
            "choose an address of this machine, and a port that you may open, with --bind",
        ),
    })?;
    listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)).map_err(broken)
}

/// Takes a free loopback address.
pub(super) fn bind_anywhere() -> Result<TcpListener, CommandError> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(broken)?;
    listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)).map_err(broken)
}

pub(super) fn shell(
    session: &Session,
    house: &House,
    tokens: Tokens,
    address: SocketAddr,
) -> Result<Shell, CommandError> {
    let mut config = WebConfig::new(tokens);
    config.bind = address;
    config.hosts.clone_from(&session.settings.hosts.value);
    config.meters = Some(house.meters.clone());
    let builder = Shell::builder(config);
    let parts = session.departments.iter().map(|department| shell_part(&**department, house));
    parts
        .fold(builder, backlot_web::ShellBuilder::department)
        .build()
        .map_err(|error| exit::failure(CommandError::FAILED, &error))
}

/// The base URL at which this machine reaches a listener.
pub(super) fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// Says where the console is. The link with its token is for a terminal only: what is piped ends in a log.
fn announce(session: &Session, address: SocketAddr) -> Result<(), CommandError> {
    let context = session.context()?;
    let home = session.home().display();
    let endpoint = Endpoint {
        url: url(address),
        token: Tokens::admin_token(session.home())
            .map_err(|error| exit::failure(CommandError::FAILED, &error))?,
    };
    let answer =
        json!({ "url": endpoint.url, "address": address, "home": session.home(), "pid": std::process::id() });
    match context.format {
        OutputFormat::Json => context.print_line(&answer, |_| String::new()),
        OutputFormat::Text if std::io::stdout().is_terminal() => context
            .write(&format!("Backlot serves {home}; open its console with\n\n    {}\n", login(&endpoint))),
        OutputFormat::Text => context
            .write(&format!("Backlot serves {home} at {}; `backlot console` prints the link", endpoint.url)),
    }
}

/// The note in the home that says where the server is.
pub(super) struct Note<'a> {
    home: &'a Path,
}

impl<'a> Note<'a> {
    pub(super) async fn leave(home: &'a Path, url: &str) -> Result<Self, CommandError> {
        let (place, url) = (home.to_owned(), url.to_owned());
        blocking(move || Endpoint::announce(&place, &url)).await.map_err(CommandError::from)?;
        Ok(Self { home })
    }

    pub(super) async fn withdraw(self) {
        let home = self.home.to_owned();
        if let Err(error) = blocking(move || Endpoint::withdraw(&home)).await {
            tracing::warn!(%error, "the note of this server stays; the next one replaces it");
        }
    }
}

/// How long the parts of the start took.
struct Timing {
    started: Instant,
    last: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Timing {
    fn new(started: Instant) -> Self {
        let now = Instant::now();
        Self { started, last: now, parts: vec![("command line and settings", now - started)] }
    }

    fn mark(&mut self, part: &'static str) {
        let now = Instant::now();
        self.parts.push((part, now - self.last));
        self.last = now;
    }

    /// Asks the server for its first reply and says how long everything took.
    async fn first_reply(mut self, address: SocketAddr) {
        let target = url(address);
        let target = target.trim_start_matches("http://");
        let ask = async {
            let mut stream = TcpStream::connect(target).await?;
            let request = format!("GET /healthz HTTP/1.1\r\nhost: {target}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await?;
            Ok::<_, std::io::Error>(reply)
        };
        match tokio::time::timeout(FIRST_REPLY, ask).await {
            Ok(Ok(reply)) if reply.starts_with("HTTP/1.1 200") => {}
            _ => return eprintln!("start-up: no reply from {target}"),
        }
        self.mark("first reply");
        let millis = |span: Duration| format!("{:.1} ms", span.as_secs_f64() * 1e3);
        let parts: Vec<String> =
            self.parts.iter().map(|(part, span)| format!("{part} {}", millis(*span))).collect();
        eprintln!("start-up: {} to the first reply ({})", millis(self.last - self.started), parts.join(", "));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_listener_on_every_address_is_reached_by_loopback() {
        let url = |text: &str| super::url(text.parse().unwrap());
        assert_eq!(url("0.0.0.0:7700"), "http://127.0.0.1:7700");
        assert_eq!(url("[::]:1"), "http://[::1]:1");
        assert_eq!(url("10.1.2.3:80"), "http://10.1.2.3:80");
    }
}
