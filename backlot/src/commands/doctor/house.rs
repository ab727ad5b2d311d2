//! What the house itself needs: a home with space, a ledger and a store that answer, a clock that agrees.
//!
//! Looking makes nothing: what the first start would make is not missing as long as it can be made.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use backlot_department::{Check, Finding, Need};
use backlot_ledger::{Backend, Ledger, Timestamp};
use backlot_store::Store;
use backlot_web::console::format;
use rustix::fs::Access;

use crate::home;
use crate::session::{Session, blocking};
use crate::settings::Settings;

/// Below this a single title may fill the disk.
const LEAST_SPACE: u64 = 1 << 30;

/// A database or endpoint that has not answered by then does not answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clocks further apart than this confuse leases and journals.
const MOST_SKEW: Duration = Duration::from_secs(2);

/// A clock before 2026-01-01, this long after the epoch, was never set.
const EARLIEST: Duration = Duration::from_hours(490_896);

pub(super) fn checks(session: &Session) -> Vec<Check> {
    let settings = &session.settings;
    let check = |name: &str,
                 purpose: &str,
                 probe: fn(Arc<Settings>) -> futures::future::BoxFuture<'static, Finding>| {
        let settings = Arc::clone(settings);
        Check::new(name, purpose, Need::Required, move || probe(Arc::clone(&settings)))
    };
    vec![
        check("home", "keeps state and tokens", |settings| Box::pin(async move { look_at_home(&settings) })),
        check("disk space", "holds ledger, blobs and scratch", |settings| {
            Box::pin(async move { look_at_space(&settings) })
        }),
        check("ledger", "holds the SQL state", |settings| Box::pin(in_time(look_at_ledger(settings)))),
        check("store", "holds blobs", |settings| Box::pin(in_time(look_at_store(settings)))),
        check("clock", "orders leases and journals", |settings| Box::pin(in_time(look_at_clock(settings)))),
    ]
}

async fn in_time(look: impl Future<Output = Finding>) -> Finding {
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| {
        Finding::Unusable(format!(
            "no answer within {} s; check the server and the way to it",
            PATIENCE.as_secs()
        ))
    })
}

fn look_at_home(settings: &Settings) -> Finding {
    let path = &settings.home.value;
    if path.exists() {
        // Judges an existing directory only.
        if let Err(error) = home::open(path) {
            return Finding::Unusable(error.to_string());
        }
    }
    let Some(base) = existing(path) else {
        return Finding::Unusable(format!("{} is no path", path.display()));
    };
    if !base.is_dir() {
        return Finding::Unusable(format!("{} is not a directory; name another with --home", base.display()));
    }
    // EACCESS: as the process may, not as its owner might.
    let access = rustix::fs::accessat(
        rustix::fs::CWD,
        &base,
        Access::WRITE_OK | Access::EXEC_OK,
        rustix::fs::AtFlags::EACCESS,
    );
    match access {
        Err(error) => Finding::Unusable(format!(
            "{} cannot be written: {error}; name another with --home",
            base.display()
        )),
        Ok(()) if base == *path => Finding::Found(path.display().to_string()),
        Ok(()) => Finding::Found(format!("{} (made at the first start)", path.display())),
    }
}

/// The longest part of the path that is there.
fn existing(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|ancestor| ancestor.exists()).map(Path::to_owned)
}

fn look_at_space(settings: &Settings) -> Finding {
    let mut places = vec![settings.home.value.clone()];
    places.extend(folder(&settings.store.value));
    places.extend(settings.ledger.value.strip_prefix("sqlite://").map(PathBuf::from));
    let mut least: Option<(u64, PathBuf)> = None;
    for place in places.iter().filter_map(|place| existing(place)) {
        let free = match rustix::fs::statvfs(&place) {
            Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
            Err(error) => return Finding::Unusable(format!("cannot ask {}: {error}", place.display())),
        };
        if least.as_ref().is_none_or(|(known, _)| free < *known) {
            least = Some((free, place));
        }
    }
    match least {
        Some((free, place)) if free < LEAST_SPACE => Finding::Unusable(format!(
            "{} free at {}; make room for at least {}",
            format::bytes(free),
            place.display(),
            format::bytes(LEAST_SPACE)
        )),
        Some((free, _)) => Finding::Found(format!("{} free", format::bytes(free))),
        None => Finding::Missing,
    }
}

/// The folder of a folder store.
fn folder(url: &str) -> Option<PathBuf> {
    // Only to look at the space there: an escaped path is looked at by its ancestors.
    url.strip_prefix("file://").map(PathBuf::from)
}

/// Opens the ledger, unless it is a file that is still to be made.
async fn open_ledger(settings: &Settings) -> Result<Option<Ledger>, Finding> {
    let url = settings.ledger.value.clone();
    if url.strip_prefix("sqlite://").is_some_and(|file| !Path::new(file).exists()) {
        return Ok(None);
    }
    let opened = blocking(move || Ledger::open(&url)).await;
    opened.map(Some).map_err(|error| Finding::Unusable(error.to_string()))
}

async fn look_at_ledger(settings: Arc<Settings>) -> Finding {
    let ledger = match open_ledger(&settings).await {
        Ok(Some(ledger)) => ledger,
        Ok(None) => return Finding::Found("SQLite (made at the first start)".to_owned()),
        Err(finding) => return finding,
    };
    let sql = match ledger.backend() {
        Backend::Sqlite => "SELECT 'SQLite ' || sqlite_version()",
        Backend::Postgres => "SELECT 'PostgreSQL ' || current_setting('server_version')",
    };
    let version =
        ledger.read(move |tx| -> Result<String, backlot_ledger::Error> { tx.query_one(sql, &[])?.get(0) });
    match version.await {
        Ok(version) => Finding::Found(version),
        Err(error) => Finding::Unusable(error.to_string()),
    }
}

async fn look_at_store(settings: Arc<Settings>) -> Finding {
    let url = settings.store.value.clone();
    let shown = url.clone();
    if folder(&url).is_some_and(|folder| !folder.exists()) {
        return Finding::Found("a folder (made at the first start)".to_owned());
    }
    let checked = async {
        let store = blocking(move || Store::open(&url)).await?;
        store.check().await
    };
    match checked.await {
        Ok(()) => Finding::Found(shown),
        Err(error) => Finding::Unusable(error.to_string()),
    }
}

async fn look_at_clock(settings: Arc<Settings>) -> Finding {
    let unset = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since < EARLIEST);
    if unset {
        return Finding::Unusable("it stands before 2026; set it (timedatectl set-ntp true)".to_owned());
    }
    // What a database that cannot be asked has to say, the check of the ledger says.
    let Ok(Some(ledger)) = open_ledger(&settings).await else { return Finding::Found("set".to_owned()) };
    if ledger.backend() == Backend::Sqlite {
        return Finding::Found("set".to_owned());
    }
    let server = ledger.read(|tx| -> Result<Timestamp, backlot_ledger::Error> { Ok(tx.now()) }).await;
    let here = Timestamp::from_system_time(SystemTime::now());
    match server {
        Ok(there) => {
            let skew = here.saturating_since(there).max(there.saturating_since(here));
            if skew > MOST_SKEW {
                let skew = format::duration(skew);
                return Finding::Unusable(format!("{skew} apart from the database's; set both by NTP"));
            }
            Finding::Found(format!("{} apart from the database's", format::duration(skew)))
        }
        Err(_) => Finding::Found("set".to_owned()),
    }
}
