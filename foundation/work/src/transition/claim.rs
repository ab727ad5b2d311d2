//! A worker takes ready tasks.
//!
//! Tasks are taken strictly in order: higher priority first, then the older one. A task that fits the worker but not
//! the room it has left right now holds the line, so that a large task is not starved by small ones behind it. A task
//! whose keys are held by others is parked on the first such key and comes back when the key is released; so a claim
//! looks at each waiting task once, not at every claim.

use std::collections::{BTreeMap, BTreeSet};

use backlot_ledger::{Value as Sql, params};
use serde_json::json;

use super::Transition;
use crate::error::{Error, Result};
use crate::state::RunState;

/// The most rows looked at in one query of a claim.
const PAGE: usize = 512;

/// Pages of parked tasks a claim goes through before it lets others write.
const MAX_PAGES: usize = 8;

/// What a worker can take now.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// All its thousandths of a processor.
    pub(crate) total_cpus: i64,
    /// Those not in use.
    pub(crate) free_cpus: i64,
    /// All its memory, in bytes.
    pub(crate) total_memory: i64,
    /// That not in use.
    pub(crate) free_memory: i64,
    /// Tasks it may hold beyond its free processors, to be started as others end.
    pub(crate) ahead: usize,
    /// The most tasks to take.
    pub(crate) most: usize,
    /// The kinds it can run.
    pub(crate) kinds: Vec<String>,
}

impl Room {
    /// Rows to look at in one query: few tasks are passed over, so not many more than can be taken.
    fn page(&self) -> usize {
        PAGE.min(self.most + 64)
    }
}

/// A task taken.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) task: i64,
    pub(crate) run: i64,
    pub(crate) step: usize,
    pub(crate) index: i64,
    pub(crate) generation: i64,
    pub(crate) kind: String,
    pub(crate) item: Option<String>,
    /// The attempt's number, from 1: with the worker, the fencing token.
    pub(crate) attempt: i64,
    /// Attempts that failed before.
    pub(crate) failures: i64,
    pub(crate) cpus: i64,
    pub(crate) memory: i64,
    pub(crate) keys: Vec<String>,
}

impl Transition<'_, '_> {
    /// Takes tasks for `worker`; the flag is true when more may be ready than were taken.
    pub(crate) fn claim(&mut self, worker: i64, mut room: Room) -> Result<(Vec<Claimed>, bool)> {
        let mut claimed: Vec<Claimed> = Vec::new();
        let mut more = false;
        let mut limits = Limits::default();
        let mut after: Option<(i64, i64)> = None;
        for _ in 0..MAX_PAGES {
            let page = self.ready_page(&room, after)?;
            let full_page = page.len() == room.page();
            let mut line_held = false;
            for (priority, task) in page {
                after = Some((priority, task.task));
                let cpus = task.cpus.min(room.total_cpus); // a task that asks for more than there is runs alone
                if task.memory > room.total_memory {
                    continue; // never fits here; another worker may take it
                }
                let starts_now = cpus <= room.free_cpus && task.memory <= room.free_memory;
                if claimed.len() >= room.most || (!starts_now && room.ahead == 0) {
                    line_held = true;
                    more = claimed.len() >= room.most;
                    break;
                }
                if let Some(key) = limits.refuses(self, &task.keys)? {
                    self.tx.execute(
                        "UPDATE work_tasks SET state = 'parked', parked_on = $2 WHERE id = $1",
                        params![task.task, key],
                    )?;
                    continue;
                }
                if starts_now {
                    room.free_cpus -= cpus;
                    room.free_memory -= task.memory;
                } else {
                    room.ahead -= 1;
                }
                claimed.push(Claimed { attempt: task.attempt + 1, cpus, ..task });
            }
            if line_held || !full_page {
                break;
            }
            more = true;
        }
        let rows: Vec<Vec<Sql>> = claimed
            .iter()
            .map(|task| vec![task.task.into(), task.attempt.into(), worker.into(), self.now.into()])
            .collect();
        self.tx.execute_many(
            "UPDATE work_tasks SET state = 'running', attempt = $2, worker = $3, started = $4 WHERE id = $1",
            &rows,
        )?;
        limits.write(self)?;
        let mut runs = BTreeSet::new();
        for task in &claimed {
            let plan = self.plan(task.run)?;
            if runs.insert(task.run) && self.state_of(task.run)? == RunState::Queued {
                self.tx.execute(
                    "UPDATE work_runs SET started = COALESCE(started, $2) WHERE id = $1",
                    params![task.run, self.now],
                )?;
                self.set_state(task.run, RunState::Running)?;
                self.event(
                    "run.started",
                    plan.public_id.clone(),
                    json!({"run": plan.public_id, "name": plan.spec.name}),
                );
            }
            self.task_event(
                "task.started",
                &plan,
                task.step,
                task.index,
                json!({"attempt": task.attempt, "worker": worker}),
            );
        }
        Ok((claimed, more))
    }

    fn ready_page(&mut self, room: &Room, after: Option<(i64, i64)>) -> Result<Vec<(i64, Claimed)>> {
        let mut sql = "SELECT id, run, step, idx, generation, kind, item, attempt, failures, cpus, memory, keys, priority \
                       FROM work_tasks WHERE state = 'ready'"
            .to_owned();
        let mut values: Vec<Sql> = Vec::new();
        let place = |values: &mut Vec<Sql>, value: Sql| {
            values.push(value);
            format!("${}", values.len())
        };
        let kinds: Vec<String> =
            room.kinds.iter().map(|kind| place(&mut values, kind.as_str().into())).collect();
        sql.push_str(&format!(" AND kind IN ({})", kinds.join(", ")));
        if let Some((priority, id)) = after {
            let priority = place(&mut values, priority.into());
            let id = place(&mut values, id.into());
            sql.push_str(&format!(" AND (priority < {priority} OR (priority = {priority} AND id > {id}))"));
        }
        let limit = place(&mut values, (room.page() as i64).into());
        sql.push_str(&format!(" ORDER BY priority DESC, id LIMIT {limit}"));
        let rows = self.tx.query(&sql, &values)?;
        rows.iter()
            .map(|row| {
                let keys: Option<String> = row.get(11)?;
                let keys = match keys {
                    Some(text) => {
                        serde_json::from_str(&text).map_err(|_| Error::Unreadable("a task's keys".into()))?
                    }
                    None => Vec::new(),
                };
                let claimed = Claimed {
                    task: row.get(0)?,
                    run: row.get(1)?,
                    step: row.get::<i64>(2)? as usize,
                    index: row.get(3)?,
                    generation: row.get(4)?,
                    kind: row.get(5)?,
                    item: row.get(6)?,
                    attempt: row.get(7)?,
                    failures: row.get(8)?,
                    cpus: row.get(9)?,
                    memory: row.get(10)?,
                    keys,
                };
                Ok((row.get(12)?, claimed))
            })
            .collect()
    }
}

/// The keys touched by one claim: capacity and holders, read once, written once.
#[derive(Default)]
struct Limits(BTreeMap<String, (i64, i64, bool)>);

impl Limits {
    /// The first of `keys` that is full; when none is, all of them are taken.
    fn refuses(&mut self, transition: &mut Transition<'_, '_>, keys: &[String]) -> Result<Option<String>> {
        for key in keys {
            if !self.0.contains_key(key) {
                let row = transition.tx.query_opt(
                    "SELECT capacity, held FROM work_limits WHERE name = $1",
                    params![key.as_str()],
                )?;
                // A key that nobody set a limit for lets one task through at a time.
                let (capacity, held) =
                    row.map_or(Ok((1, 0)), |row| Ok::<_, Error>((row.get(0)?, row.get(1)?)))?;
                self.0.insert(key.clone(), (capacity, held, false));
            }
            if self.0.get(key).is_some_and(|(capacity, held, _)| held >= capacity) {
                return Ok(Some(key.clone()));
            }
        }
        for key in keys {
            if let Some((_, held, changed)) = self.0.get_mut(key) {
                *held += 1;
                *changed = true;
            }
        }
        Ok(None)
    }

    fn write(&self, transition: &mut Transition<'_, '_>) -> Result<()> {
        for (key, (capacity, held, _)) in self.0.iter().filter(|(_, (_, _, changed))| *changed) {
            transition.tx.execute(
                "INSERT INTO work_limits (name, capacity, held) VALUES ($1, $2, $3) \
                 ON CONFLICT (name) DO UPDATE SET held = excluded.held",
                params![key.as_str(), *capacity, *held],
            )?;
        }
        Ok(())
    }
}
