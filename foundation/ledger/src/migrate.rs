//! Migrations: each owner's numbered SQL texts, run once, in order, and never changed afterwards.
//!
//! What was applied is kept in `ledger_migrations` with a BLAKE3 checksum of the text as written (before `{identity}`
//! is filled in, so it is the same on both backends). All that an owner still lacks is applied in one transaction.

use std::collections::BTreeMap;

use crate::{Backend, Error, Ledger, Tx, params};

/// One step of an owner's schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// 1, 2, 3 … within the owner.
    pub version: u32,
    /// A few words, for messages.
    pub name: &'static str,
    /// One or more statements, the same text for both backends. `{identity}` stands for the type and constraint of an
    /// automatic BIGINT primary key.
    pub sql: &'static str,
}

/// An applied migration as [`crate::CheckReport`] lists it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AppliedMigration {
    /// Whose migration.
    pub owner: String,
    /// Its number.
    pub version: u32,
    /// Its name when it was applied.
    pub name: String,
    /// BLAKE3 of its text, in hexadecimal.
    pub checksum: String,
    /// When it was applied.
    pub applied_at: crate::Timestamp,
}

/// The checksums of the migrations this program knows: owner, version, checksum.
pub(crate) type KnownMigrations = BTreeMap<String, BTreeMap<u32, String>>;

const OWN_TABLE: &str = "CREATE TABLE IF NOT EXISTS ledger_migrations (
    owner TEXT NOT NULL,
    version BIGINT NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    PRIMARY KEY (owner, version)
)";

/// The owner of the ledger's own tables.
const OWN: &str = "ledger";

impl Ledger {
    /// Brings the schema of `owner` up to date. Blocks.
    ///
    /// Refused, with nothing applied: versions that are not 1, 2, 3 … ([`Error::MigrationOrder`]), an applied
    /// migration whose text changed ([`Error::MigrationChanged`]), a database that is ahead of this program
    /// ([`Error::NewerSchema`]). When a statement fails, none of the new migrations is kept
    /// ([`Error::MigrationFailed`]).
    pub fn migrate(&self, owner: &str, migrations: &[Migration]) -> Result<(), Error> {
        for (migration, expected) in migrations.iter().zip(1..) {
            if migration.version != expected {
                return Err(Error::MigrationOrder {
                    owner: owner.to_owned(),
                    expected,
                    found: migration.version,
                });
            }
        }
        let checksums = migrations.iter().map(|m| (m.version, checksum(m))).collect();
        let (for_closure, wanted) = (owner.to_owned(), migrations.to_vec());
        self.write_blocking(move |tx| apply(tx, &for_closure, &wanted))?;
        let mut known = self.known().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.insert(owner.to_owned(), checksums);
        Ok(())
    }
}

/// Creates the tables of migrations, journal and leases.
pub(crate) fn create_own_tables(ledger: &Ledger) -> Result<(), Error> {
    ledger.write_blocking(|tx| tx.execute(OWN_TABLE, &[]).map(|_| ()))?;
    let journal_guard = match ledger.backend() {
        Backend::Sqlite => crate::journal::GUARD_SQLITE,
        Backend::Postgres => crate::journal::GUARD_POSTGRES,
    };
    let migrations = [
        Migration { version: 1, name: "journal", sql: crate::journal::TABLE },
        Migration { version: 2, name: "journal refuses changes", sql: journal_guard },
        Migration { version: 3, name: "leases", sql: crate::lease::TABLE },
    ];
    ledger.migrate(OWN, &migrations)
}

fn apply(tx: &mut Tx<'_>, owner: &str, wanted: &[Migration]) -> Result<(), Error> {
    let applied = applied_to(tx, owner)?;
    let known = wanted.len() as u32;
    for done in &applied {
        let Some(migration) = wanted.iter().find(|m| m.version == done.version) else {
            return Err(Error::NewerSchema { owner: owner.to_owned(), found: done.version, known });
        };
        if checksum(migration) != done.checksum {
            return Err(Error::MigrationChanged {
                owner: owner.to_owned(),
                version: migration.version,
                name: migration.name.to_owned(),
            });
        }
    }
    for migration in wanted.iter().skip(applied.len()) {
        let outcome = tx.script(&for_backend(migration.sql, tx.backend()));
        outcome.map_err(|e| Error::MigrationFailed {
            owner: owner.to_owned(),
            version: migration.version,
            name: migration.name.to_owned(),
            problem: e.to_string(),
        })?;
        tx.execute(
            "INSERT INTO ledger_migrations (owner, version, name, checksum, applied_at) VALUES ($1, $2, $3, $4, $5)",
            params![owner, migration.version, migration.name, checksum(migration), tx.now()],
        )?;
    }
    Ok(())
}

/// All migrations of `owner` that the database has, in order.
fn applied_to(tx: &mut Tx<'_>, owner: &str) -> Result<Vec<AppliedMigration>, Error> {
    let mut all = applied(tx)?;
    all.retain(|migration| migration.owner == owner);
    Ok(all)
}

/// All migrations that the database has, by owner and version.
pub(crate) fn applied(tx: &mut Tx<'_>) -> Result<Vec<AppliedMigration>, Error> {
    let rows = tx.query(
        "SELECT owner, version, name, checksum, applied_at FROM ledger_migrations ORDER BY owner, version",
        &[],
    )?;
    let read = |row: &crate::Row| {
        Ok(AppliedMigration {
            owner: row.get(0)?,
            version: row.get(1)?,
            name: row.get(2)?,
            checksum: row.get(3)?,
            applied_at: row.get(4)?,
        })
    };
    rows.iter().map(read).collect()
}

fn checksum(migration: &Migration) -> String {
    blake3::hash(migration.sql.as_bytes()).to_hex().to_string()
}

fn for_backend(sql: &str, backend: Backend) -> String {
    sql.replace(
        "{identity}",
        match backend {
            // AUTOINCREMENT: a number is never given twice, even after its row was deleted.
            Backend::Sqlite => "INTEGER PRIMARY KEY AUTOINCREMENT",
            Backend::Postgres => "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        },
    )
}
