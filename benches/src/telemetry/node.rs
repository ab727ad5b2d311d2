//! What machines really measure: the text of Debian's node-exporter, scraped while this machine works, or recorded before.

use std::fs;
use std::hint::black_box;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::house::AnyError;
use crate::telemetry::client::Client;

/// The program of Debian's package.
pub const EXPORTER: &str = "prometheus-node-exporter";

/// Recorded texts in the order of their names.
///
/// # Errors
/// A folder that cannot be read.
pub fn recorded(folder: &Path) -> Result<Vec<String>, AnyError> {
    let mut paths: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();
    let texts: Vec<String> = paths.iter().map(fs::read_to_string).collect::<Result<_, _>>()?;
    Ok(texts.into_iter().filter(|text| text.ends_with('\n')).collect())
}

/// Scrapes so many times, and works between so that something changes; `None` where the exporter is not installed.
///
/// # Errors
/// An exporter that does not answer.
pub fn scraped(times: usize, between: Duration) -> Result<Option<Vec<String>>, AnyError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join(EXPORTER).is_file()) {
        return Ok(None);
    }
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut child = Command::new(EXPORTER)
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let texts = scrape(port, times, between);
    child.kill()?;
    child.wait()?;
    texts.map(Some)
}

fn scrape(port: u16, times: usize, between: Duration) -> Result<Vec<String>, AnyError> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut client = loop {
        match Client::new(port) {
            Ok(client) => break client,
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let mut texts = Vec::with_capacity(times);
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..times {
        let next = Instant::now() + between;
        texts.push(String::from_utf8(client.get("/metrics")?.to_vec())?);
        let busy = between.mul_f64(random.f64());
        let began = Instant::now();
        while began.elapsed() < busy {
            black_box((0..10_000u64).map(|number| number.wrapping_mul(31)).sum::<u64>());
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(texts)
}

/// The text with a time after each sample, and how many samples it has.
pub fn timed(text: &str, time: i64) -> (String, usize) {
    let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (mut timed, mut count) = (String::with_capacity(text.len()), 0);
    for sample in samples {
        timed.push_str(sample);
        timed.push_str(&format!(" {time}\n"));
        count += 1;
    }
    (timed, count)
}
