//! Backup and check.

use std::fs::{self, File};
use std::path::Path;

use crate::connection::{Connection, Mode};
use crate::migrate::{AppliedMigration, applied};
use crate::{Backend, Error, Ledger, Tx, params};

/// What [`Ledger::check`] found.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// The database's name and version.
    pub engine: String,
    /// The migrations that were applied, by owner and version.
    pub migrations: Vec<AppliedMigration>,
    /// One line each; empty when all is well.
    pub problems: Vec<String>,
}

impl Ledger {
    /// Copies the ledger to the file `to` while it is in use; an older file there is replaced only when the copy is
    /// complete, checked and on disk. To restore, open the copy as a ledger. Blocks.
    ///
    /// SQLite only. A PostgreSQL ledger is one database among others on a server that has its own tools, which keep
    /// roles, grants and point-in-time recovery; the error names the `pg_dump` command.
    pub fn backup(&self, to: &Path) -> Result<(), Error> {
        let failed = |problem: String| Error::Backup { to: to.display().to_string(), problem };
        if self.backend() == Backend::Postgres {
            return Err(failed(format!(
                "a PostgreSQL ledger is backed up with its own tool: pg_dump --format=custom --file={} {}",
                to.display(),
                self.place()
            )));
        }
        let Some(source) = self.sqlite_file() else {
            return Err(failed(
                "a ledger in memory has no backup; open one with sqlite:///path instead".to_owned(),
            ));
        };
        let Some(file_name) = to.file_name() else {
            return Err(failed("it names no file; give a file path".to_owned()));
        };
        if let (Ok(a), Ok(b)) = (fs::canonicalize(source), fs::canonicalize(to))
            && a == b
        {
            return Err(failed("it is the ledger itself; give another path".to_owned()));
        }
        let Connection::Sqlite(connection, _) = self.connect(Mode::Read)? else {
            return Err(failed("the ledger is no SQLite file".to_owned()));
        };

        let mut temporary_name = file_name.to_owned();
        temporary_name.push(format!(".{:08x}.part", fastrand::u32(..)));
        let temporary = to.with_file_name(temporary_name);
        let finish = || -> Result<(), Error> {
            connection.copy_to(&temporary)?;
            let io = |e: std::io::Error| failed(format!("{e}; check the space and the rights there"));
            File::open(&temporary).and_then(|file| file.sync_all()).map_err(io)?;
            fs::rename(&temporary, to).map_err(io)?;
            let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new("."))).and_then(|d| d.sync_all()).map_err(io)
        };
        let outcome = finish();
        if outcome.is_err() {
            // Best effort: the error that matters is the one that is returned.
            let _ = fs::remove_file(&temporary);
        }
        outcome
    }

    /// Examines the database: its integrity as the engine sees it, its foreign keys, and whether its migrations are
    /// those this program knows. Reads everything on SQLite, so it takes time on a large ledger. Blocks.
    pub fn check(&self) -> Result<CheckReport, Error> {
        let known = self.known().lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        self.read_blocking(move |tx| {
            let (engine, mut problems) = match tx.backend() {
                Backend::Sqlite => check_sqlite(tx)?,
                Backend::Postgres => check_postgres(tx)?,
            };
            let migrations = applied(tx)?;
            for migration in &migrations {
                // An owner that this process has not started yet cannot be judged.
                let Some(versions) = known.get(&migration.owner) else { continue };
                let AppliedMigration { owner, version, name, .. } = migration;
                match versions.get(version) {
                    None => problems
                        .push(format!("migration {version} ({name}) of {owner} is unknown to this program")),
                    Some(checksum) if *checksum != migration.checksum => {
                        problems
                            .push(format!("migration {version} ({name}) of {owner} has another checksum"));
                    }
                    Some(_) => {}
                }
            }
            Ok(CheckReport { engine, migrations, problems })
        })
    }
}

fn check_sqlite(tx: &mut Tx<'_>) -> Result<(String, Vec<String>), Error> {
    let version: String = tx.query_one("SELECT sqlite_version()", &[])?.get(0)?;
    let mut problems = Vec::new();
    for row in tx.query("PRAGMA integrity_check", &[])? {
        let line: String = row.get(0)?;
        if line != "ok" {
            problems.push(line);
        }
    }
    for row in tx.query("PRAGMA foreign_key_check", &[])? {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        let row_id: Option<i64> = row.get(1)?;
        let row_id = row_id.map_or_else(|| "without rowid".to_owned(), |id| id.to_string());
        problems.push(format!("row {row_id} of {table} refers to a missing row of {parent}"));
    }
    Ok((format!("SQLite {version}"), problems))
}

/// PostgreSQL guards its pages and keys itself; what can linger are indexes and constraints left half made.
fn check_postgres(tx: &mut Tx<'_>) -> Result<(String, Vec<String>), Error> {
    let version: String = tx.query_one("SELECT current_setting('server_version')", &[])?.get(0)?;
    let mut problems = Vec::new();
    let rows = tx.query(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT (i.indisvalid AND i.indisready) AND n.nspname = current_schema() ORDER BY 1",
        &[],
    )?;
    for row in rows {
        problems.push(format!("index {} is not valid; REINDEX it", row.get::<String>(0)?));
    }
    let rows = tx.query(
        "SELECT conname, conrelid::regclass::text FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
         WHERE NOT convalidated AND n.nspname = current_schema() ORDER BY 1",
        &[],
    )?;
    for row in rows {
        let (constraint, table): (String, String) = (row.get(0)?, row.get(1)?);
        problems.push(format!("constraint {constraint} of {table} is not validated; VALIDATE it"));
    }
    for setting in ["fsync", "full_page_writes"] {
        let value: String = tx.query_one("SELECT current_setting($1)", params![setting])?.get(0)?;
        if value != "on" {
            problems
                .push(format!("the server runs with {setting} = {value}: a crash may lose or damage data"));
        }
    }
    Ok((format!("PostgreSQL {version}"), problems))
}
