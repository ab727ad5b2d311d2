//! For tests, here and in the crates that build on the ledger: a private PostgreSQL server and a hand-driven clock.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, io};

use crate::{Clock, Ledger, Timestamp};

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Timestamp) -> ManualClock {
        ManualClock(AtomicI64::new(start.micros()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Says that a test could not run, and why. With `BACKLOT_REQUIRE_ALL=1` that is a failure.
pub fn skip(why: &str, mend: &str) {
    assert!(
        env::var_os("BACKLOT_REQUIRE_ALL").is_none_or(|v| v != "1"),
        "a required part is missing: {why}; {mend}"
    );
    // Not `eprintln!`, which the test harness swallows when the test passes.
    let _ = writeln!(io::stderr(), "skipped: {why}; {mend}");
}

/// A private PostgreSQL server: its own cluster in a temporary directory, fsync on, reached by a Unix socket.
///
/// It ends with this value, and also when the test's process dies however it dies: a small shell owns the server and
/// stops it when the pipe from the test's process closes.
pub struct Postgres {
    keeper: Child,
    orders: Mutex<Option<ChildStdin>>,
    answers: Mutex<BufReader<std::process::ChildStdout>>,
    directory: PathBuf,
    databases: AtomicU32,
}

/// The keeper. `$1` directory, `$2` where PostgreSQL's programs are, `$3…` what to put before them to change the account.
///
/// It closes what it inherited, so that nobody waits for a file it does not use, and it survives that nobody hears its
/// answers any more. A shell starts background commands
/// with SIGQUIT ignored, and one that has not yet installed its handler would miss it: SIGTERM goes first, which ends
/// such a one.
const KEEPER: &str = r#"
trap '' PIPE
exec 2>/dev/null 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
directory=$1; programs=$2; shift 2
data=$directory/data
start() { "$@" "$programs/postgres" -D "$data" -k "$directory" >>"$directory/log" 2>&1 </dev/null & server=$!; }
stop() { kill -TERM "$server"; kill -QUIT "$server"; wait "$server"; }
if ! "$@" "$programs/initdb" --auth=trust --username=backlot --encoding=UTF8 --locale=C --no-sync -D "$data" \
    >"$directory/log" 2>&1 </dev/null
then
    echo "initdb failed: $(tail -n 3 "$directory/log" | tr '\n' ' ')"
    rm -rf "$directory"
    exit 1
fi
# Read before the settings of ALTER SYSTEM, so that a test can change them.
printf '%s\n' "listen_addresses = ''" "max_connections = 200" "fsync = on" >>"$data/postgresql.conf"
start "$@"
echo started
while read -r order; do
    case $order in
    stop) stop; echo stopped ;;
    start) start "$@"; echo started ;;
    esac
done
stop
rm -rf "$directory"
"#;

impl Postgres {
    /// Starts a server, or says `skipped: …` and returns `None` when PostgreSQL is not installed.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is there but does not start.
    pub fn start() -> Option<Postgres> {
        let Some(programs) = find_programs() else {
            skip("PostgreSQL's initdb and postgres were not found", "apt-get install postgresql");
            return None;
        };
        match Postgres::start_with(&programs) {
            Ok(started) => Some(started),
            Err(error) => panic!("private PostgreSQL server: {error}"),
        }
    }

    /// One server for all tests of this process, started by the first that asks.
    pub fn shared() -> Option<&'static Postgres> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        SHARED.get_or_init(Postgres::start).as_ref()
    }

    fn start_with(programs: &Path) -> io::Result<Postgres> {
        // Short, because a Unix socket's path has at most 107 bytes.
        let directory = env::temp_dir().join(format!("backlot-pg-{:08x}", fastrand::u32(..)));
        fs::DirBuilder::new().mode(0o755).create(&directory)?;
        let account = unprivileged_account(&directory)?;
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&directory)
            .arg(programs)
            .args(account)
            .current_dir(&directory)
            // Ctrl-C at the test must not reach the server before the keeper tidies up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(orders), Some(answers)) = (keeper.stdin.take(), keeper.stdout.take()) else {
            return Err(io::Error::other("the keeper has no pipes"));
        };
        let started = Postgres {
            keeper,
            orders: Mutex::new(Some(orders)),
            answers: Mutex::new(BufReader::new(answers)),
            directory,
            databases: AtomicU32::new(0),
        };
        started.expect_answer("started")?;
        started.wait_until_ready()?;
        Ok(started)
    }

    /// The URL of a new, empty database whose name begins with `name`.
    ///
    /// # Panics
    ///
    /// When the database cannot be created.
    pub fn url(&self, name: &str) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let database = format!("{name}_{number}");
        let created = self.sql(&format!("CREATE DATABASE \"{database}\""));
        created.unwrap_or_else(|e| panic!("cannot create database {database}: {e}"));
        self.url_of(&database)
    }

    fn url_of(&self, database: &str) -> String {
        let host = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres://backlot@{host}/{database}")
    }

    /// Runs statements in the maintenance database.
    pub fn sql(&self, sql: &str) -> Result<(), String> {
        let host = self.directory.clone();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let mut config = tokio_postgres::Config::new();
        config.host_path(host).user("backlot").dbname("postgres").connect_timeout(Duration::from_secs(5));
        runtime.block_on(async {
            let (client, connection) =
                config.connect(tokio_postgres::NoTls).await.map_err(|e| e.to_string())?;
            tokio::spawn(connection);
            client
                .batch_execute(sql)
                .await
                .map_err(|e| e.as_db_error().map_or_else(|| e.to_string(), ToString::to_string))
        })
    }

    /// Stops the server as a crash would (it recovers from its log at the next start).
    pub fn stop(&self) -> io::Result<()> {
        self.order("stop")?;
        self.expect_answer("stopped")
    }

    /// Starts the server again after [`Postgres::stop`] and waits until it answers.
    pub fn start_again(&self) -> io::Result<()> {
        self.order("start")?;
        self.expect_answer("started")?;
        self.wait_until_ready()
    }

    fn order(&self, order: &str) -> io::Result<()> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = orders.as_mut().ok_or_else(|| io::Error::other("the server is shut down"))?;
        writeln!(pipe, "{order}")?;
        pipe.flush()
    }

    fn expect_answer(&self, expected: &str) -> io::Result<()> {
        let mut line = String::new();
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).read_line(&mut line)?;
        if line.trim() == expected {
            Ok(())
        } else {
            Err(io::Error::other(format!("the keeper said {line:?}")))
        }
    }

    fn wait_until_ready(&self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let Err(problem) = self.sql("SELECT 1") else { return Ok(()) };
            if Instant::now() > deadline {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("no answer within a minute: {problem}; log: {log}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Closing the pipe is the order to finish.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = self.keeper.wait();
    }
}

/// Runs `test` on every backend of this machine: a SQLite file in a fresh directory, and a fresh PostgreSQL database
/// when the server is installed. The URL is given so that a second handle or process can open the same ledger.
pub fn on_each_backend(name: &str, mut test: impl FnMut(&str)) {
    let directory = env::temp_dir().join(format!("backlot-{name}-{:016x}", fastrand::u64(..)));
    fs::create_dir_all(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let _guard = RemoveOnDrop(&directory);
    test(&format!("sqlite://{}/ledger.db", directory.display()));
    if let Some(postgres) = Postgres::shared() {
        test(&postgres.url(name));
    }
}

struct RemoveOnDrop<'a>(&'a Path);

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0);
    }
}

/// Opens a ledger or fails the test.
///
/// # Panics
///
/// When it cannot be opened.
pub fn open(url: &str) -> Ledger {
    Ledger::open(url).unwrap_or_else(|e| panic!("{e}"))
}

/// The command that changes to the account the server runs as, because PostgreSQL refuses root: nothing for an
/// ordinary user; as root `postgres`, to whom `directory` is then given.
fn unprivileged_account(directory: &Path) -> io::Result<Vec<&'static str>> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        return Ok(Vec::new());
    }
    let status = Command::new("chown").arg("postgres").arg(directory).status()?;
    if !status.success() {
        return Err(io::Error::other("as root the account `postgres` is needed; apt-get install postgresql"));
    }
    Ok(vec!["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"])
}

/// The directory with `initdb` and `postgres`: on the PATH, or the newest of Debian's.
fn find_programs() -> Option<PathBuf> {
    let complete =
        |directory: &Path| directory.join("initdb").exists() && directory.join("postgres").exists();
    let path = env::var_os("PATH").unwrap_or_default();
    if let Some(found) = env::split_paths(&path).find(|directory| complete(directory)) {
        return Some(found);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, directory)| complete(directory))
        .collect();
    found.sort();
    found.pop().map(|(_, directory)| directory)
}
