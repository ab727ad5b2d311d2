//! Fenced leases: the right to do something, held by one holder for a limited time.
//!
//! A lease carries a token that grows with every change of hands. Whoever acts on a lease shows its token inside the
//! transaction that acts ([`Tx::lease_check`]); a holder that was paused past its time shows an old token, or the
//! right one too late, and is refused. The row of a released lease stays, so that its token goes on growing.

use std::time::Duration;

use crate::{Error, Timestamp, Tx, params};

/// A lease as it was acquired or renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What is leased.
    pub name: String,
    /// To whom.
    pub holder: String,
    /// The fencing token: grows with every change of hands.
    pub token: i64,
    /// Held before this instant, no longer at it.
    pub expires: Timestamp,
}

pub(crate) const TABLE: &str = "
CREATE TABLE ledger_leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    token BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
";

impl Tx<'_> {
    /// Acquires `name` for `holder` until `ttl` from now; `None` when another holds it.
    ///
    /// The token grows by one, except when `holder` already holds the lease: then only its time is extended.
    pub fn lease_acquire(&mut self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let expires = self.expiry(ttl);
        let row = self.query_opt(
            "INSERT INTO ledger_leases (name, holder, token, expires_at) VALUES ($1, $2, 1, $3)
             ON CONFLICT (name) DO UPDATE SET
                 token = ledger_leases.token + CASE WHEN ledger_leases.expires_at > $4 THEN 0 ELSE 1 END,
                 holder = excluded.holder,
                 expires_at = excluded.expires_at
             WHERE ledger_leases.expires_at <= $4 OR ledger_leases.holder = excluded.holder
             RETURNING token",
            params![name, holder, expires, self.now()],
        )?;
        let Some(row) = row else { return Ok(None) };
        let token = row.get(0)?;
        Ok(Some(Lease { name: name.to_owned(), holder: holder.to_owned(), token, expires }))
    }

    /// Extends `lease` to `ttl` from now. [`Error::StaleLease`] when it expired, was released or changed hands.
    pub fn lease_renew(&mut self, lease: &Lease, ttl: Duration) -> Result<Lease, Error> {
        let expires = self.expiry(ttl);
        let renewed = self.execute(
            "UPDATE ledger_leases SET expires_at = $1 WHERE name = $2 AND token = $3 AND expires_at > $4",
            params![expires, &lease.name, lease.token, self.now()],
        )?;
        if renewed == 0 {
            return Err(self.stale(&lease.name, lease.token)?);
        }
        Ok(Lease { expires, ..lease.clone() })
    }

    /// Gives `lease` up. [`Error::StaleLease`] when it was no longer held, which the caller may well ignore.
    pub fn lease_release(&mut self, lease: &Lease) -> Result<(), Error> {
        let released = self.execute(
            "UPDATE ledger_leases SET expires_at = $1 WHERE name = $2 AND token = $3 AND expires_at > $1",
            params![self.now(), &lease.name, lease.token],
        )?;
        if released == 0 {
            return Err(self.stale(&lease.name, lease.token)?);
        }
        Ok(())
    }

    /// Refuses with [`Error::StaleLease`] unless `token` is the token of `name` and its time has not run out.
    ///
    /// Called in the transaction that acts on the lease, it makes the act and the check one.
    pub fn lease_check(&mut self, name: &str, token: i64) -> Result<(), Error> {
        let row = self.query_opt(
            "SELECT 1 FROM ledger_leases WHERE name = $1 AND token = $2 AND expires_at > $3",
            params![name, token, self.now()],
        )?;
        match row {
            Some(_) => Ok(()),
            None => Err(self.stale(name, token)?),
        }
    }

    /// The lease `name`, if somebody holds it now.
    pub fn lease_holder(&mut self, name: &str) -> Result<Option<Lease>, Error> {
        let row = self.query_opt(
            "SELECT holder, token, expires_at FROM ledger_leases WHERE name = $1 AND expires_at > $2",
            params![name, self.now()],
        )?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Lease {
            name: name.to_owned(),
            holder: row.get(0)?,
            token: row.get(1)?,
            expires: row.get(2)?,
        }))
    }

    fn expiry(&self, ttl: Duration) -> Timestamp {
        self.now().checked_add(ttl).unwrap_or(Timestamp::from_micros(i64::MAX))
    }

    fn stale(&mut self, name: &str, token: i64) -> Result<Error, Error> {
        let now_held = match self.lease_holder(name)? {
            None => "nobody holds it now".to_owned(),
            Some(held) => format!("{} holds it with token {}", held.holder, held.token),
        };
        Ok(Error::StaleLease { name: name.to_owned(), token, now_held })
    }
}
