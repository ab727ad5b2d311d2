//! Kills, restarts, and the verdict.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backlot_ledger::testing::Postgres;
use backlot_work::{RunFilter, RunStatus, TaskState, Work};
use tokio::runtime::Runtime;

use crate::crash::process::{LEASE, Process, Role, programs_of};
use crate::crash::scenario::{self, FEWEST_TASKS, LICENCE};
use crate::crash::verify::{self, Executions, Results};
use crate::house::{self, AnyError};

/// The longest a run may take from its last disturbance to its end; beyond it something is stuck.
const PATIENCE: Duration = Duration::from_mins(1);

/// The longest pause between two kills, in milliseconds.
const GAP: u64 = 220;

/// Of ten kills, the one whose victim comes back only after its lease has run out.
const LONG_ABSENCE: u32 = 4;

/// Of ten kills, the one after which another process is frozen for longer than its lease.
const FREEZE: u32 = 7;

/// Of ten kills, the one before which a private database server crashes.
const DATABASE_CRASH: u32 = 2;

/// What the harness does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// SIGKILLs in all.
    pub kills: u32,
    /// Tasks in each run.
    pub tasks: usize,
    /// Makes the choice of victims and moments repeatable (what the machine does in between is not).
    pub seed: u64,
}

/// Where the ledger is.
pub enum Database {
    /// A SQLite file in the home.
    Sqlite,
    /// An empty PostgreSQL database of somebody else's server.
    Url(String),
    /// A private PostgreSQL server, which is crashed as well.
    Private(Postgres),
}

/// What happened; only a harness that found nothing wrong gives one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict {
    /// SIGKILLs.
    pub kills: u32,
    /// Of those, to the process that had submitted the run.
    pub server_kills: u32,
    /// Processes stopped for longer than their lease.
    pub freezes: u32,
    /// Crashes of the database server.
    pub database_crashes: u32,
    /// Disturbed runs.
    pub runs: u32,
    /// Their tasks.
    pub executions: Executions,
    /// From the first start to the end.
    pub seconds: f64,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Executions { tasks, begun, reused, failed, .. } = self.executions;
        write!(
            f,
            "{} kills ({} of the server), {} freezes, {} database crashes over {} runs: {tasks} tasks, each result \
             committed once and equal to the undisturbed run's; {begun} executions, {} of them repeated after a crash, \
             {failed} failed on purpose, {reused} results reused; nothing stuck, nothing left running; {:.1} s",
            self.kills,
            self.server_kills,
            self.freezes,
            self.database_crashes,
            self.runs,
            self.executions.repeated(),
            self.seconds,
        )
    }
}

struct Harness {
    plan: Plan,
    home: PathBuf,
    database: Database,
    runtime: Runtime,
    work: Work,
    random: fastrand::Rng,
    /// The server is the first.
    processes: Vec<Process>,
    verdict: Verdict,
}

/// Carries out the plan in `home`, an empty directory. An error is a defect found, or a machine that cannot do it.
pub fn run(plan: Plan, home: &Path, database: Database) -> Result<Verdict, AnyError> {
    if plan.tasks < FEWEST_TASKS {
        return Err(format!(
            "a run of {} tasks is too small; give --tasks {FEWEST_TASKS} or more",
            plan.tasks
        )
        .into());
    }
    let started = Instant::now();
    std::fs::create_dir_all(scenario::markers(home))?;
    let ledger = match &database {
        Database::Sqlite => house::sqlite_url(home),
        Database::Url(url) => url.clone(),
        Database::Private(server) => server.url("crash"),
    };
    let runtime = Runtime::new()?;
    let work = house::open(home, Some(&ledger))?;
    runtime.block_on(work.set_limit(LICENCE, 2))?;
    let role = |name: &str| Role {
        name: name.to_owned(),
        home: home.to_owned(),
        ledger: ledger.clone(),
        tasks: plan.tasks,
    };
    let mut processes = Vec::new();
    for name in ["server", "worker-1", "worker-2"] {
        processes.push(Process::start(&role(name))?);
    }
    let random = fastrand::Rng::with_seed(plan.seed);
    let mut harness = Harness {
        plan,
        home: home.to_owned(),
        database,
        runtime,
        work,
        random,
        processes,
        verdict: Verdict::default(),
    };

    harness.processes[0].submit("reference");
    let reference = harness.await_end("reference")?;
    let (reference, _) = harness.verify(&reference, None)?;
    while harness.verdict.kills < harness.plan.kills {
        harness.disturbed_round(&reference)?;
    }
    for process in std::mem::take(&mut harness.processes) {
        process.stop()?;
    }
    let left = programs_of(home);
    if !left.is_empty() {
        return Err(format!(
            "{} programs of tasks still run after all workers stopped: {left:?}",
            left.len()
        )
        .into());
    }
    harness.runtime.block_on(verify::at_rest(&harness.work, home))?;
    harness.verdict.seconds = started.elapsed().as_secs_f64();
    Ok(harness.verdict)
}

impl Harness {
    /// One run from its submission to its end, with kills as long as it lasts.
    fn disturbed_round(&mut self, reference: &Results) -> Result<(), AnyError> {
        let round = format!("round-{}", self.verdict.runs);
        self.processes[0].submit(&round);
        while self.verdict.kills < self.plan.kills {
            std::thread::sleep(Duration::from_millis(self.random.u64(..GAP)));
            if self.find(&round)?.is_some_and(|run| run.state.is_final()) {
                break;
            }
            self.disturb(&round)?;
        }
        let run = self.await_end(&round)?;
        let (_, executions) = self.verify(&run, Some(reference))?;
        self.verdict.runs += 1;
        self.verdict.executions.add(executions);
        Ok(())
    }

    fn disturb(&mut self, round: &str) -> Result<(), AnyError> {
        let number = self.verdict.kills % 10;
        if number == DATABASE_CRASH
            && let Database::Private(server) = &self.database
        {
            server.stop()?;
            std::thread::sleep(Duration::from_millis(self.random.u64(..GAP)));
            server.start_again()?;
            self.verdict.database_crashes += 1;
        }
        let victim = self.random.usize(..self.processes.len());
        let role = self.processes.remove(victim).kill()?;
        self.verdict.kills += 1;
        self.verdict.server_kills += u32::from(victim == 0);
        let absence =
            if number == LONG_ABSENCE { LEASE * 2 } else { Duration::from_millis(self.random.u64(..40)) };
        std::thread::sleep(absence);
        if number == LONG_ABSENCE {
            self.check_nothing_outlived(&role)?;
        }
        self.processes.insert(victim, Process::start(&role)?);
        if victim == 0 {
            self.processes[0].submit(round);
        }
        if number == FREEZE {
            let frozen = self.random.usize(..self.processes.len());
            self.processes[frozen].freeze()?;
            std::thread::sleep(LEASE * 2);
            self.processes[frozen].thaw()?;
            self.verdict.freezes += 1;
        }
        Ok(())
    }

    /// After its lease has run out, what a dead worker had started must have been ended by those that live.
    fn check_nothing_outlived(&self, role: &Role) -> Result<(), AnyError> {
        let tag = |pid: u32| -> Option<i64> {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
            let variable =
                environment.split(|&byte| byte == 0).find_map(|v| v.strip_prefix(b"BACKLOT_WORKER="))?;
            String::from_utf8_lossy(variable).rsplit('-').next()?.parse().ok()
        };
        let workers = self.runtime.block_on(self.work.workers())?;
        for pid in programs_of(&self.home) {
            let owner = tag(pid).and_then(|id| workers.iter().find(|worker| worker.worker == id));
            if let Some(owner) = owner.filter(|owner| owner.state == "lost") {
                return Err(format!(
                    "program {pid} of worker {} ({}), killed and lost, still runs while {} is away",
                    owner.worker, owner.name, role.name
                )
                .into());
            }
        }
        Ok(())
    }

    fn find(&mut self, round: &str) -> Result<Option<RunStatus>, AnyError> {
        for process in &mut self.processes {
            process.check_alive()?;
        }
        let name = Some(scenario::run_name(round));
        let mut found =
            self.runtime.block_on(self.work.runs(RunFilter { name, limit: 2, ..RunFilter::default() }))?;
        if found.len() > 1 {
            return Err(format!("{round} was submitted twice under one key").into());
        }
        Ok(found.pop())
    }

    fn await_end(&mut self, round: &str) -> Result<RunStatus, AnyError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(run) = self.find(round)?.filter(|run| run.state.is_final()) {
                return Ok(run);
            }
            if Instant::now() > deadline {
                return Err(self.describe_stuck(round)?.into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn verify(
        &self,
        run: &RunStatus,
        reference: Option<&Results>,
    ) -> Result<(Results, Executions), AnyError> {
        let verified = verify::run(&self.work, &self.home, &run.id, self.plan.tasks, reference);
        self.runtime.block_on(verified)
    }

    fn describe_stuck(&mut self, round: &str) -> Result<String, AnyError> {
        let Some(run) = self.find(round)? else { return Ok(format!("{round} was never submitted")) };
        let mut lines = vec![format!("{round} is stuck: run {} is {}", run.id, run.state)];
        for step in self.runtime.block_on(self.work.steps(&run.id))? {
            lines.push(format!("  step {} is {}: {:?}", step.name, step.state, step.tasks));
        }
        let tasks = self.runtime.block_on(verify::tasks(&self.work, &run.id))?;
        for task in tasks.iter().filter(|task| task.state != TaskState::Succeeded).take(10) {
            lines.push(format!(
                "  task {}/{} is {}, attempt {}, worker {:?}, parked on {:?}",
                task.step, task.index, task.state, task.attempt, task.worker, task.parked_on
            ));
        }
        for worker in self.runtime.block_on(self.work.workers())?.iter().take(6) {
            lines.push(format!(
                "  worker {} ({}) is {}, holds {}",
                worker.worker, worker.name, worker.state, worker.running
            ));
        }
        Ok(lines.join("\n"))
    }
}
