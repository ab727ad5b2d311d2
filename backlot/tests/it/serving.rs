//! `up`: beginning, ending, crashing, and who may serve what.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Lot, Service, Stage, finish, get};

/// What the house promises from the start of the process to its first reply.
const FIRST_REPLY: Duration = Duration::from_millis(300);

#[test]
fn a_server_answers_is_found_and_ends_in_order() {
    let lot = Lot::new();
    let server = lot.up(&[]);
    assert_eq!(server.get("/healthz", None).0, 200);
    assert_eq!(server.get("/readyz", None).0, 200, "a worker runs in it");
    assert_eq!(server.ready["pid"], server.pid());
    assert_eq!(lot.home().metadata().unwrap().permissions().mode() & 0o777, 0o700);

    let link = lot.run(&["console", "--output", "json"]).ends(0).json()["url"].as_str().unwrap().to_owned();
    assert!(link.starts_with(&format!("{}/login?token=", server.url())), "{link}");
    assert_eq!(get(&link, None).0, 303, "the link signs in and leads on");
    let doors = lot.run(&["doors", "--output", "json"]).ends(0).json();
    assert_eq!((doors["running"].as_bool(), doors["base"].as_str()), (Some(true), Some(server.url())));

    assert_eq!(server.stop(), 0);
    assert!(!lot.home().join("server.json").exists());
    lot.run(&["console"]).ends(3).complains_of(&["no server runs", "backlot up"]);
}

#[test]
fn systemd_is_told_once_the_server_answers_and_when_it_ends() {
    let lot = Lot::new();
    let notified = lot.path().join("notify");
    let socket = UnixDatagram::bind(&notified).unwrap();
    socket.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
    let mut buffer = [0; 64];
    let mut next = || {
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut command = lot.command(&["up", "--bind", "127.0.0.1:0", "--output", "json"]);
    command.env("NOTIFY_SOCKET", &notified);
    let server = Service::start(command);
    assert_eq!(next(), "READY=1");
    assert_eq!(server.get("/healthz", None).0, 200);
    assert_eq!(server.stop(), 0);
    assert_eq!(next(), "STOPPING=1");
}

#[test]
fn a_server_without_the_agent_leaves_its_ports() {
    let lot = Lot::new();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let section = format!(
        "[telemetry.agent]\nlines = \"{address}\"\nstatsd = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n"
    );
    let config = lot.file("config.toml", section);
    let server = lot.up(&["--config", &config]);
    let warning = server.says("another program has the port");
    assert!(warning.contains(&address.to_string()) && warning.contains("--no-agent"), "{warning}");
    assert_eq!(server.stop(), 0);

    drop(taken);
    let server = lot.up(&["--config", &config, "--no-agent"]);
    UdpSocket::bind(address).expect("nobody has the port");
    assert_eq!(server.stop(), 0);
    assert!(lot.run(&["up", "--help"]).ends(0).out.contains("--no-agent"));
}

#[test]
fn what_is_piped_holds_no_token() {
    let lot = Lot::new();
    let mut command = lot.command(&["up", "--bind", "127.0.0.1:0", "-v"]);
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let output = crate::support::lines(child.stdout.take().unwrap());
    let first = output.recv_timeout(crate::support::DEADLINE).unwrap();
    let token = std::fs::read_to_string(lot.home().join("admin.token")).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    let errors = crate::support::Answer::new(child.wait_with_output().unwrap()).ends(0).err;
    assert!(first.contains("backlot console"), "{first}");
    assert!(!first.contains(token.trim()) && !errors.contains(token.trim()));
}

#[test]
fn a_second_server_of_a_home_is_refused_with_the_first_ones_process() {
    let lot = Lot::new();
    let server = lot.up(&[]);
    let pid = format!("process {}", server.pid());
    lot.run(&["up", "--bind", "127.0.0.1:0"]).ends(5).complains_of(&[&pid, "home", "--home"]);
    assert_eq!(server.get("/healthz", None).0, 200, "the first is not disturbed");
}

#[test]
fn after_a_crash_the_home_is_free_and_its_state_is_there() {
    let lot = Lot::new();
    let server = lot.up(&["--no-worker"]);
    let stage = Stage::new();
    let run = lot.submit_for(&stage);
    server.kill();
    assert!(lot.home().join("server.json").exists(), "a crash takes nothing away");
    lot.run(&["console"]).ends(3);

    let server = lot.up(&[]);
    stage.next().cue("survived");
    let followed = lot.run(&["runs", "follow", &run, "--output", "json"]).ends(0).json();
    assert_eq!(followed["state"], "succeeded");
    assert_eq!(server.stop(), 0);
}

#[test]
fn an_address_in_use_is_refused_before_anything_is_opened() {
    let lot = Lot::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    lot.run(&["up", "--bind", &address]).ends(5).complains_of(&[&address, "another program", "--bind"]);
    assert!(!lot.home().join("ledger.db").exists());
    lot.run(&["up", "--bind", "192.0.2.1:7700"]).ends(1).complains_of(&["192.0.2.1:7700", "--bind"]);
}

#[test]
fn a_home_that_cannot_be_written_is_refused() {
    let lot = Lot::new();
    let set_mode =
        |mode| std::fs::set_permissions(lot.home(), std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::create_dir(lot.home()).unwrap();
    let mut command = lot.command(&["up", "--bind", "127.0.0.1:0"]);
    if rustix::process::geteuid().is_root() {
        // To root everything is writable, so the child is nobody.
        const NOBODY: u32 = 65534;
        std::fs::set_permissions(lot.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        chown(lot.home(), Some(NOBODY), Some(NOBODY)).unwrap();
        // The built binary may lie where nobody may go, such as below root's home.
        let copy = lot.path().join("backlot");
        std::fs::copy(env!("CARGO_BIN_EXE_backlot"), &copy).unwrap();
        let mut as_nobody = std::process::Command::new(copy);
        as_nobody.args(command.get_args()).current_dir("/");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => as_nobody.env(name, value),
                None => as_nobody.env_remove(name),
            };
        }
        command = as_nobody;
        command.uid(NOBODY).gid(NOBODY);
    }
    set_mode(0o500);
    finish(command).ends(1).complains_of(&["home", "ermission denied", "--home"]);
    set_mode(0o755);
    lot.run(&["up", "--bind", "127.0.0.1:0"]).ends(1).complains_of(&["other users", "chmod 700"]);
    lot.run(&["up", "--home", "/dev/null/home"]).ends(1).complains_of(&["/dev/null/home", "--home"]);
}

#[test]
fn a_second_signal_ends_at_once() {
    let lot = Lot::new();
    let server = lot.up(&[]);
    let stage = Stage::new();
    lot.submit_for(&stage);
    let actor = stage.next();
    let asked = Instant::now();
    server.send(Signal::TERM);
    server.says("shutting down");
    server.send(Signal::TERM);
    assert_eq!(server.ended(), 143);
    assert!(asked.elapsed() < Duration::from_secs(5), "the task ignores SIGTERM and was not waited for");
    // The task's process, which heeds nothing, is ended by the next worker of this home.
    let server = lot.up(&[]);
    actor.gone();
    stage.next().cue("again");
    assert_eq!(server.stop(), 0);
}

#[test]
fn the_first_reply_comes_in_time() {
    let mut spans: Vec<Duration> = (0..5)
        .map(|_| {
            let lot = Lot::new();
            let begun = Instant::now();
            let server = lot.up(&["--timing"]);
            assert_eq!(server.get("/healthz", None).0, 200);
            let span = begun.elapsed();
            println!("{}", server.says("start-up:"));
            span
        })
        .collect();
    spans.sort_unstable();
    println!("from spawn to the first reply in a fresh home, best to worst of five: {spans:?}");
    // The best of five: what else the machine does is not the server's doing.
    assert!(spans[0] < FIRST_REPLY, "{spans:?}");
}
