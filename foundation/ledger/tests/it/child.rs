//! Child processes: this test binary, started again in a role.

use std::io::{BufRead, Write};
use std::process::{Child, Command, Stdio};

use backlot_ledger::{Error, Ledger, params};

const ROLE: &str = "LEDGER_TEST_ROLE";

/// Starts this binary in `role` on the ledger at `url`, with its input and output piped.
pub(crate) fn spawn(role: &str, url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child::entry", "--nocapture", "--test-threads=1"])
        .env(ROLE, format!("{role} {url}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Where a child process begins. Started without a role, it checks that a wrong one is refused.
#[test]
fn entry() {
    match std::env::var(ROLE) {
        Ok(role) => play(&role).unwrap(),
        Err(_) => assert!(play("juggle sqlite::memory:").is_err()),
    }
}

fn play(role: &str) -> Result<(), String> {
    let (role, url) = role.split_once(' ').ok_or("no url")?;
    let ledger = Ledger::open(url).map_err(|e| e.to_string())?;
    match role {
        "count" => (0..200).try_for_each(|_| increment(&ledger)).map_err(|e| e.to_string()),
        "acknowledge" => acknowledge_for_ever(&ledger),
        "write-when-told" => write_when_told(&ledger),
        _ => Err(format!("no such role: {role}")),
    }
}

/// Adds one to the counter in the way that loses updates wherever writers are not serialised.
pub(crate) fn increment(ledger: &Ledger) -> Result<(), Error> {
    ledger.write_blocking(|tx| {
        let n: i64 = tx.query_one("SELECT n FROM counter", &[])?.get(0)?;
        tx.execute("UPDATE counter SET n = $1", params![n + 1])?;
        Ok(())
    })
}

/// Inserts numbers from eight tasks and prints each one after the ledger has acknowledged it.
fn acknowledge_for_ever(ledger: &Ledger) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for task in 0..8i64 {
            let ledger = ledger.clone();
            tasks.push(tokio::spawn(async move {
                for i in (task..).step_by(8) {
                    ledger
                        .write(move |tx| tx.execute("INSERT INTO numbers (n) VALUES ($1)", params![i]))
                        .await?;
                    writeln!(std::io::stdout(), "acknowledged {i}").expect("the parent reads");
                }
                Ok::<_, Error>(())
            }));
        }
        for task in tasks {
            task.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        }
        Ok(())
    })
}

/// One write for every line on standard input.
fn write_when_told(ledger: &Ledger) -> Result<(), String> {
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        line.map_err(|e| e.to_string())?;
        increment(ledger).map_err(|e| e.to_string())?;
    }
    Ok(())
}
