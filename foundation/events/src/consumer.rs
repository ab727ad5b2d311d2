//! Consumer groups: a durable position in the log, served by one member at a time.
//!
//! The member that holds the group's lease is the active one; the others stand by and take over when the lease runs
//! out. A position is committed only together with a check of the lease, in one transaction, so a member that was
//! paused past its time cannot move the position under its successor. What was read but not committed is read again:
//! delivery is at least once. A consumer whose effects live in the same ledger commits with a
//! [`Ticket`] in the transaction of the effect, and then it is exactly once.

use std::time::Duration;

use backlot_ledger::{Lease, Tx, params};

use crate::log::{Events, Query, last_seq, select};
use crate::{Error, Event};

/// How long a member may go without polling before another takes over.
const LEASE: Duration = Duration::from_secs(30);
/// How often a waiting member looks whether the active one is gone (and renews its own lease).
const LOOK: Duration = Duration::from_secs(5);
/// Characters in a group's name.
const NAME_LIMIT: usize = 200;

/// One member of a consumer group.
pub struct Consumer {
    events: Events,
    group: String,
    member: String,
    lease: Option<Lease>,
    /// The last event handed out by this member; the next poll goes on after it.
    position: Option<u64>,
}

/// A consumer group as it stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// All events up to this number are done.
    pub committed: u64,
    /// How far it is behind the newest event, in sequence numbers: the number of events, or a little more.
    pub lag: u64,
    /// The active member, if there is one.
    pub active: Option<String>,
}

impl Events {
    /// A new member of the group `name`. A group that is new begins with the oldest event; see [`Consumer::seek`].
    pub fn consumer(&self, name: &str) -> Result<Consumer, Error> {
        if name.is_empty() || name.chars().count() > NAME_LIMIT {
            return Err(Error::GroupName { name: name.chars().take(NAME_LIMIT).collect() });
        }
        Ok(Consumer {
            events: self.clone(),
            group: name.to_owned(),
            member: format!("{}-{:016x}", std::process::id(), fastrand::u64(..)),
            lease: None,
            position: None,
        })
    }

    /// All consumer groups, by name.
    pub async fn consumers(&self) -> Result<Vec<Group>, Error> {
        self.ledger()
            .read(|tx| {
                let newest = last_seq(tx)?;
                let rows = tx.query("SELECT name, committed FROM events_consumers ORDER BY name", &[])?;
                let mut groups = Vec::with_capacity(rows.len());
                for row in rows {
                    let (name, committed): (String, u64) = (row.get(0)?, row.get(1)?);
                    let active = tx.lease_holder(&lease_name(&name))?.map(|lease| lease.holder);
                    groups.push(Group { lag: newest.saturating_sub(committed), name, committed, active });
                }
                Ok(groups)
            })
            .await
    }

    /// Forgets the group `name` and its position. A member that still polls begins anew.
    pub async fn remove_consumer(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        self.ledger()
            .write(move |tx| {
                tx.execute("DELETE FROM events_consumers WHERE name = $1", params![name])?;
                Ok(())
            })
            .await
    }
}

fn lease_name(group: &str) -> String {
    format!("events/consumer/{group}")
}

impl Consumer {
    /// The group's name.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Whether this member was the active one when it last polled.
    pub fn is_active(&self) -> bool {
        self.lease.is_some()
    }

    /// The next events in order, at most `limit`; none when there is nothing new or another member is active
    /// ([`Consumer::is_active`] tells which). Successive polls go on where the last ended; a member that takes over
    /// begins after the committed position.
    ///
    /// Polling keeps the lease. A member that neither polls nor commits for 30 seconds may lose it to another.
    pub async fn poll(&mut self, limit: usize) -> Result<Vec<Event>, Error> {
        if !self.hold_lease().await? {
            return Ok(Vec::new());
        }
        let (group, position) = (self.group.clone(), self.position);
        let (events, from) = self
            .events
            .ledger()
            .read(move |tx| {
                let after = match position {
                    Some(position) => position,
                    None => committed(tx, &group)?,
                };
                let events = select(tx, &Query { after, limit, ..Query::default() })?;
                Ok::<_, Error>((events, after))
            })
            .await?;
        self.position = Some(events.last().and_then(|event| event.seq).unwrap_or(from));
        Ok(events)
    }

    /// Like [`Consumer::poll`], but waits until this member is active and there is at least one event.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<Event>, Error> {
        let mut changes = self.events.ledger().changes();
        loop {
            changes.borrow_and_update();
            let events = self.poll(limit).await?;
            if !events.is_empty() {
                return Ok(events);
            }
            // Either a change, or time to see to the lease.
            if let Ok(Err(_)) = tokio::time::timeout(LOOK, changes.changed()).await {
                return Err(backlot_ledger::Error::Closed.into());
            }
        }
    }

    /// Makes durable that all events up to `seq` are done. [`Error::NotActive`] when another member took over; then
    /// they will be (or were) handed to that one. A smaller number than before changes nothing.
    pub async fn commit(&mut self, seq: u64) -> Result<(), Error> {
        let Some(lease) = self.lease.clone() else { return Err(self.not_active()) };
        let done = self
            .events
            .ledger()
            .write(move |tx| {
                commit_position(tx, &lease, seq)?;
                Ok::<_, Error>(tx.lease_renew(&lease, LEASE)?)
            })
            .await;
        match done {
            Ok(renewed) => {
                self.lease = Some(renewed);
                Ok(())
            }
            Err(Error::Ledger(backlot_ledger::Error::StaleLease { .. })) => {
                self.step_back();
                Err(self.not_active())
            }
            Err(error) => Err(error),
        }
    }

    /// The right to commit the position inside a ledger transaction, to take into its closure.
    pub fn ticket(&self) -> Result<Ticket, Error> {
        let lease = self.lease.clone().ok_or_else(|| self.not_active())?;
        Ok(Ticket { lease })
    }

    /// Sets the group's position: the next event is the first after `seq`. 0 replays everything that is left;
    /// [`Events::last_seq`] skips it. Works only for the active member, or when there is none.
    pub async fn seek(&mut self, seq: u64) -> Result<(), Error> {
        if !self.hold_lease().await? {
            return Err(self.not_active());
        }
        let Some(lease) = self.lease.clone() else { return Err(self.not_active()) };
        let group = self.group.clone();
        self.events
            .ledger()
            .write(move |tx| {
                tx.lease_check(&lease.name, lease.token)?;
                let seq = i64::try_from(seq).unwrap_or(i64::MAX);
                tx.execute(
                    "INSERT INTO events_consumers (name, committed, committed_at) VALUES ($1, $2, $3)
                     ON CONFLICT (name) DO UPDATE
                     SET committed = excluded.committed, committed_at = excluded.committed_at",
                    params![group, seq, tx.now()],
                )?;
                Ok::<_, Error>(())
            })
            .await?;
        self.position = None;
        Ok(())
    }

    /// How far the group's committed position is behind the newest event, in sequence numbers.
    pub async fn lag(&self) -> Result<u64, Error> {
        let group = self.group.clone();
        self.events.ledger().read(move |tx| Ok(last_seq(tx)?.saturating_sub(committed(tx, &group)?))).await
    }

    /// Leaves the group at once, so that another member need not wait for the lease to run out.
    pub async fn close(mut self) -> Result<(), Error> {
        let Some(lease) = self.lease.take() else { return Ok(()) };
        let released = self.events.ledger().write(move |tx| tx.lease_release(&lease)).await;
        match released {
            Ok(()) | Err(backlot_ledger::Error::StaleLease { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Acquires or renews the lease when need be; false when another member has it.
    async fn hold_lease(&mut self) -> Result<bool, Error> {
        let now = self.events.ledger().now();
        if let Some(lease) = &self.lease
            && lease.expires.saturating_since(now) > LEASE / 2
        {
            return Ok(true);
        }
        let (group, member) = (self.group.clone(), self.member.clone());
        let held = self
            .events
            .ledger()
            .write(move |tx| {
                let lease = tx.lease_acquire(&lease_name(&group), &member, LEASE)?;
                if lease.is_some() {
                    // The row makes the group known, so that its events are not pruned before it has seen them.
                    tx.execute(
                        "INSERT INTO events_consumers (name, committed, committed_at) VALUES ($1, 0, $2)
                         ON CONFLICT (name) DO NOTHING",
                        params![group, tx.now()],
                    )?;
                }
                Ok::<_, Error>(lease)
            })
            .await?;
        let same_hands = match (&self.lease, &held) {
            (Some(old), Some(new)) => old.token == new.token,
            _ => false,
        };
        if !same_hands {
            // Somebody else may have moved the group's position meanwhile.
            self.position = None;
        }
        self.lease = held;
        Ok(self.lease.is_some())
    }

    fn step_back(&mut self) {
        self.lease = None;
        self.position = None;
    }

    fn not_active(&self) -> Error {
        Error::NotActive { group: self.group.clone() }
    }
}

/// The right to commit a group's position, for use inside a ledger closure; see [`Consumer::ticket`].
#[derive(Debug, Clone)]
pub struct Ticket {
    lease: Lease,
}

impl Ticket {
    /// Commits `seq` in the caller's transaction, together with what the events brought about. When the lease is
    /// stale the error is the ledger's `StaleLease`, and the whole transaction must fail with it.
    pub fn commit_in(&self, tx: &mut Tx<'_>, seq: u64) -> Result<(), Error> {
        commit_position(tx, &self.lease, seq)
    }
}

fn commit_position(tx: &mut Tx<'_>, lease: &Lease, seq: u64) -> Result<(), Error> {
    tx.lease_check(&lease.name, lease.token)?;
    let group = lease.name.strip_prefix(&lease_name("")).unwrap_or(&lease.name);
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    tx.execute(
        "INSERT INTO events_consumers (name, committed, committed_at) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET committed = excluded.committed, committed_at = excluded.committed_at
         WHERE events_consumers.committed < excluded.committed",
        params![group, seq, tx.now()],
    )?;
    Ok(())
}

fn committed(tx: &mut Tx<'_>, group: &str) -> Result<u64, Error> {
    let row = tx.query_opt("SELECT committed FROM events_consumers WHERE name = $1", params![group])?;
    Ok(row.map(|row| row.get(0)).transpose()?.unwrap_or(0))
}
