//! A house to measure in: a ledger, a store and durable work on them.

use std::path::Path;

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
