//! Kills servers and workers at random moments and checks that every result is committed exactly once.

use std::path::PathBuf;
use std::process::ExitCode;

use backlot_benches::crash::harness::{self, Database, Plan};
use backlot_benches::crash::process::{self, CHILD_ARGUMENT};
use backlot_benches::house::AnyError;
use backlot_ledger::testing::Postgres;
use clap::Parser;

/// Starts a server and two workers on one home and kills them at random moments while they work.
#[derive(Parser)]
struct Arguments {
    /// How many SIGKILLs.
    #[arg(long, default_value_t = 100)]
    kills: u32,
    /// Ten kills: for continuous integration.
    #[arg(long, conflicts_with = "kills")]
    quick: bool,
    /// Tasks in each run.
    #[arg(long, default_value_t = 300)]
    tasks: usize,
    /// Chooses victims and moments; a new one each time unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// PostgreSQL instead of SQLite: a private server (which is crashed too), or the empty database at URL.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    postgres: Option<String>,
    /// Where the home is made; the system's temporary directory unless said.
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
    /// Leaves the home there, for a look at what happened.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let mut raw = std::env::args().skip(1);
    let outcome = match (raw.next().as_deref(), raw.next()) {
        (Some(CHILD_ARGUMENT), Some(role)) => process::play(&role),
        _ => disturb(&Arguments::parse()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn disturb(arguments: &Arguments) -> Result<(), AnyError> {
    let parent = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut home = tempfile::Builder::new()
        .prefix("backlot-crash-")
        .tempdir_in(&parent)
        .map_err(|error| format!("{}: {error}; give a directory with --dir", parent.display()))?;
    if arguments.keep {
        home.disable_cleanup(true);
        eprintln!("home: {}", home.path().display());
    }
    let (database, backend) = match arguments.postgres.as_deref() {
        None => (Database::Sqlite, "SQLite"),
        Some("") => match Postgres::start() {
            Some(server) => (Database::Private(server), "PostgreSQL"),
            None => return Ok(()), // it has said why
        },
        Some(url) => (Database::Url(url.to_owned()), "PostgreSQL"),
    };
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let kills = if arguments.quick { 10 } else { arguments.kills };
    let plan = Plan { kills, tasks: arguments.tasks, seed };
    match harness::run(plan, home.path(), database) {
        Ok(verdict) => {
            println!("{backend}, seed {seed}: {verdict}");
            Ok(())
        }
        Err(error) => Err(format!("{backend}, seed {seed}: {error}").into()),
    }
}
