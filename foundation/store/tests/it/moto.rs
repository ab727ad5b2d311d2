//! The test server leaves no process behind.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backlot_store::testing::Moto;

/// Waits until nothing listens at the endpoint any more.
fn wait_for_its_end(endpoint: &str) {
    let address = endpoint.strip_prefix("http://").unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "the server at {endpoint} lives on");
        std::thread::yield_now();
    }
}

#[test]
fn a_dropped_server_has_ended() {
    let Some(moto) = Moto::start() else { return };
    let endpoint = moto.endpoint();
    assert!(TcpStream::connect(endpoint.strip_prefix("http://").unwrap()).is_ok());
    assert!(moto.url("bucket", "a/b").starts_with("s3://bucket/a/b?endpoint=http://127.0.0.1:"));
    drop(moto);
    wait_for_its_end(&endpoint);
}

/// Plays two parts: as itself, and, started by itself with the variable set, the owner that is killed.
#[test]
fn a_server_ends_with_a_killed_owner() {
    const OWNER: &str = "BACKLOT_TEST_MOTO_OWNER";

    if std::env::var_os(OWNER).is_some() {
        let moto = Moto::start().unwrap();
        println!("\nendpoint {}", moto.endpoint());
        // Until it is killed, or the test is.
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    if Moto::start().is_none() {
        return;
    }
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "moto::a_server_ends_with_a_killed_owner", "--nocapture"])
        .env(OWNER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let endpoint =
        lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("endpoint ")?.to_owned()));
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_for_its_end(&endpoint.unwrap());
}
