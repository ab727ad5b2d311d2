//! The audit journal: who did what to which subject, when, with the state before and after. Rows are only ever added;
//! triggers refuse UPDATE, DELETE and TRUNCATE on both backends.

use serde_json::Value as Json;

use crate::{Error, Row, Timestamp, Tx, params};

/// What is to be written into the journal. The time is the transaction's [`Tx::now`].
#[derive(Debug, Clone, PartialEq)]
pub struct JournalEntry {
    /// Who did it: a user, a token's name, or a part of the program.
    pub actor: String,
    /// What was done, such as `token.create`.
    pub action: String,
    /// What it was done to, such as `token/ci`.
    pub subject: String,
    /// The state before; `None` when there was none.
    pub before: Option<Json>,
    /// The state after; `None` when there is none.
    pub after: Option<Json>,
}

/// A journal row.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct JournalRecord {
    /// Grows with every entry.
    pub id: i64,
    /// When it was written.
    pub at: Timestamp,
    /// See [`JournalEntry::actor`].
    pub actor: String,
    /// See [`JournalEntry::action`].
    pub action: String,
    /// See [`JournalEntry::subject`].
    pub subject: String,
    /// See [`JournalEntry::before`].
    pub before: Option<Json>,
    /// See [`JournalEntry::after`].
    pub after: Option<Json>,
}

pub(crate) const TABLE: &str = "
CREATE TABLE ledger_journal (
    id {identity},
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    before_json TEXT,
    after_json TEXT
);
CREATE INDEX ledger_journal_subject ON ledger_journal (subject, id);
";

pub(crate) const GUARD_SQLITE: &str = "
CREATE TRIGGER ledger_journal_no_update BEFORE UPDATE ON ledger_journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER ledger_journal_no_delete BEFORE DELETE ON ledger_journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
";

pub(crate) const GUARD_POSTGRES: &str = "
CREATE FUNCTION ledger_journal_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$;
CREATE TRIGGER ledger_journal_no_change BEFORE UPDATE OR DELETE ON ledger_journal
FOR EACH ROW EXECUTE FUNCTION ledger_journal_refuse();
CREATE TRIGGER ledger_journal_no_truncate BEFORE TRUNCATE ON ledger_journal
FOR EACH STATEMENT EXECUTE FUNCTION ledger_journal_refuse();
";

impl Tx<'_> {
    /// Writes `entry` into the audit journal, in this transaction.
    pub fn journal(&mut self, entry: &JournalEntry) -> Result<(), Error> {
        let text = |json: &Option<Json>| json.as_ref().map(Json::to_string);
        self.execute(
            "INSERT INTO ledger_journal (at, actor, action, subject, before_json, after_json)
             VALUES ($1, $2, $3, $4, $5, $6)",
            params![
                self.now(),
                &entry.actor,
                &entry.action,
                &entry.subject,
                text(&entry.before),
                text(&entry.after)
            ],
        )?;
        Ok(())
    }

    /// Journal entries with an id greater than `after`, oldest first, at most `limit`; all subjects or one.
    pub fn journal_after(
        &mut self,
        after: i64,
        subject: Option<&str>,
        limit: u32,
    ) -> Result<Vec<JournalRecord>, Error> {
        const COLUMNS: &str =
            "SELECT id, at, actor, action, subject, before_json, after_json FROM ledger_journal";
        let rows = match subject {
            None => {
                self.query(&format!("{COLUMNS} WHERE id > $1 ORDER BY id LIMIT $2"), params![after, limit])?
            }
            Some(subject) => self.query(
                &format!("{COLUMNS} WHERE subject = $1 AND id > $2 ORDER BY id LIMIT $3"),
                params![subject, after, limit],
            )?,
        };
        rows.iter().map(record).collect()
    }
}

fn record(row: &Row) -> Result<JournalRecord, Error> {
    let json = |index: usize| -> Result<Option<Json>, Error> {
        let text: Option<String> = row.get(index)?;
        text.map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|e| Error::Column { index, problem: format!("not JSON: {e}") })
    };
    Ok(JournalRecord {
        id: row.get(0)?,
        at: row.get(1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        subject: row.get(4)?,
        before: json(5)?,
        after: json(6)?,
    })
}
