//! The tables of durable work, one SQL text for both backends.
//!
//! `work_runs`, `work_steps` and `work_tasks` are the run, the steps of its graph and the tasks of each step.
//! A step's row counts its tasks by how they ended, so that the end of a step is seen without looking at its tasks;
//! a task's row is found by one of the partial indexes below, each of which holds only the tasks in that state, so
//! that claiming costs the same whether a thousand or a hundred thousand tasks wait.

use backlot_ledger::Migration;

/// The owner under which the ledger records these migrations.
pub(crate) const OWNER: &str = "work";

pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "runs, steps, tasks, workers",
    sql: r"
CREATE TABLE work_runs (
    id {identity},
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    spec TEXT NOT NULL,
    params TEXT NOT NULL,
    cache BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    generation BIGINT NOT NULL DEFAULT 1,
    state TEXT NOT NULL,
    created BIGINT NOT NULL,
    started BIGINT,
    finished BIGINT,
    deadline BIGINT,
    open_steps BIGINT NOT NULL,
    failed_steps BIGINT NOT NULL DEFAULT 0,
    error TEXT,
    submitted_by TEXT NOT NULL,
    submit_key TEXT UNIQUE
);
CREATE INDEX work_runs_active ON work_runs (state) WHERE finished IS NULL;
CREATE INDEX work_runs_name ON work_runs (name, id);

CREATE TABLE work_steps (
    run BIGINT NOT NULL,
    step BIGINT NOT NULL,
    state TEXT NOT NULL,
    waiting BIGINT NOT NULL,
    upstream_failed BIGINT NOT NULL DEFAULT 0,
    upstream_skipped BIGINT NOT NULL DEFAULT 0,
    total BIGINT NOT NULL DEFAULT 0,
    expanded BIGINT NOT NULL DEFAULT 0,
    held BIGINT NOT NULL DEFAULT 0,
    succeeded BIGINT NOT NULL DEFAULT 0,
    cached BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    cancelled BIGINT NOT NULL DEFAULT 0,
    started BIGINT,
    finished BIGINT,
    error TEXT,
    PRIMARY KEY (run, step)
);
CREATE INDEX work_steps_opening ON work_steps (run, step) WHERE state = 'opening';

CREATE TABLE work_tasks (
    id {identity},
    run BIGINT NOT NULL,
    step BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    priority BIGINT NOT NULL,
    item TEXT,
    cpus BIGINT NOT NULL,
    memory BIGINT NOT NULL,
    keys TEXT,
    parked_on TEXT,
    not_before BIGINT,
    attempt BIGINT NOT NULL DEFAULT 0,
    failures BIGINT NOT NULL DEFAULT 0,
    losses BIGINT NOT NULL DEFAULT 0,
    worker BIGINT,
    finished_token BIGINT,
    started BIGINT,
    finished BIGINT,
    cached BIGINT NOT NULL DEFAULT 0,
    progress DOUBLE PRECISION,
    message TEXT,
    outputs TEXT,
    error TEXT
);
CREATE UNIQUE INDEX work_tasks_place ON work_tasks (run, step, idx);
CREATE INDEX work_tasks_ready ON work_tasks (priority DESC, id) WHERE state = 'ready';
CREATE INDEX work_tasks_running ON work_tasks (worker) WHERE state = 'running';
CREATE INDEX work_tasks_backoff ON work_tasks (not_before) WHERE state = 'backoff';
CREATE INDEX work_tasks_parked ON work_tasks (parked_on, priority DESC, id) WHERE state = 'parked';
CREATE INDEX work_tasks_held ON work_tasks (run, step, idx) WHERE state = 'held';

CREATE TABLE work_meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE work_limits (
    name TEXT PRIMARY KEY,
    capacity BIGINT NOT NULL,
    held BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE work_workers (
    id {identity},
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    process_start BIGINT NOT NULL,
    cpus BIGINT NOT NULL,
    memory BIGINT NOT NULL,
    state TEXT NOT NULL,
    started BIGINT NOT NULL,
    alive_until BIGINT NOT NULL
);
CREATE INDEX work_workers_alive ON work_workers (alive_until) WHERE state = 'alive';

CREATE TABLE work_cache (
    key BYTEA PRIMARY KEY,
    outputs TEXT NOT NULL,
    task BIGINT NOT NULL,
    created BIGINT NOT NULL
);

CREATE TABLE work_logs (
    task BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (task, attempt, seq)
);
",
}];
