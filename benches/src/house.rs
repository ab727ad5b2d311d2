//! A house to measure in: a ledger, a store and durable work on them.

use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_events::Events;
use backlot_ledger::Ledger;
use backlot_store::Store;
use backlot_work::Work;

/// What goes wrong in a benchmark ends it; the text is for a person.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Opens durable work on the ledger at `ledger_url` (or a SQLite file in `home`) with a folder store in `home`.
pub fn open(home: &Path, ledger_url: Option<&str>) -> Result<Work, AnyError> {
    let own = sqlite_url(home);
    let ledger = Ledger::open(ledger_url.unwrap_or(&own))?;
    let store = Store::open(&format!("file://{}", home.join("store").display()))?;
    let events = Events::open(&ledger)?;
    Ok(Work::open(&ledger, &store, &events)?)
}

/// The URL of the SQLite ledger of `home`.
pub fn sqlite_url(home: &Path) -> String {
    format!("sqlite://{}", home.join("ledger.db").display())
}

/// The program `backlot`: the one that `BACKLOT_BIN` names, or that of this workspace, built in release.
pub fn binary() -> Result<PathBuf, AnyError> {
    if let Some(given) = std::env::var_os("BACKLOT_BIN") {
        return Ok(std::fs::canonicalize(given)?);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "--package", "backlot", "--bin", "backlot"];
    let built = Command::new(cargo).args(build).status()?;
    let beside = std::env::current_exe()?.with_file_name("backlot");
    if built.success() && beside.exists() {
        return Ok(beside);
    }
    Err("the program backlot cannot be built; name one with BACKLOT_BIN".into())
}
