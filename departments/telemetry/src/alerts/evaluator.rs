//! The evaluator's thread: the stream, the rules on it, and who else watches data expressions.
//!
//! It closes a step when the step and a grace for late senders have passed. A rule that is new, or that this process has not seen
//! a whole step of, is evaluated at its first step from the store, over as much of the past as it remembers; from then on
//! from the stream. So neither a restart in the middle of a step nor a new rule sees half a step.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use backlot_alerts::engine::Posted;
use backlot_alerts::{Fingerprint, Origin, stamp};
use backlot_atlas::stream::{DataId, ExprId, Input, Stream};
use backlot_atlas::{DataExpr, Database, Line, zone};
use backlot_ledger::Ledger;
use backlot_series::{Grid, Tags};
use tokio::sync::mpsc::Sender;

use super::clock;
use super::feed::{Feed, Message};
use super::meters::AlertMeters;
use super::rules::{Compiled, Rule, RuleState};
use crate::store::{Effect, Store};

/// Most steps of the past that a new rule is given: what a graph shows at most.
const LONGEST_PAST: usize = 1440;

/// The evaluator looks at the clock at least this often.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// What a step has changed.
#[derive(Debug, Default)]
pub(crate) struct StepOutcome {
    pub(crate) posted: Vec<Posted>,
    pub(crate) over: Vec<Fingerprint>,
}

/// Who is told the values of data expressions.
pub(crate) trait Watcher: Send {
    /// The groups of a data expression that have a value in the step that ends at `at`.
    fn values(&mut self, data: DataId, at: i64, values: &mut dyn Iterator<Item = (&Tags, f64)>);

    /// The data expressions that it watches.
    fn wanted(&self) -> Vec<DataId>;
}

/// What became of the evaluation, for pages and meters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// The last step that has closed.
    pub(crate) closed: i64,
    /// How long evaluating it took.
    pub(crate) took: Duration,
    pub(crate) rules: usize,
    pub(crate) series: usize,
    pub(crate) late: u64,
    pub(crate) refused: u64,
    pub(crate) errors: usize,
}

/// The state of the evaluator's thread.
pub(crate) struct Evaluator {
    stream: Stream,
    rules: HashMap<ExprId, Running>,
    by_id: HashMap<String, ExprId>,
    watchers: Vec<Box<dyn Watcher>>,
    store: Arc<Store>,
    ledger: Ledger,
    step: i64,
    /// The end of the step that was under way at the start.
    first: i64,
    grace: i64,
    external_url: String,
    outcomes: Sender<StepOutcome>,
    progress: Arc<std::sync::Mutex<Progress>>,
    errors: Arc<std::sync::Mutex<HashMap<String, String>>>,
    feed: Feed,
    meters: AlertMeters,
}

struct Running {
    rule: Rule,
    compiled: Compiled,
    state: RuleState,
    /// Whether the stream has not had a whole step of it yet.
    fresh: bool,
}

/// What an evaluator is made of.
pub(crate) struct Parts {
    pub(crate) store: Arc<Store>,
    pub(crate) ledger: Ledger,
    /// After the end of a step, in milliseconds.
    pub(crate) grace: i64,
    pub(crate) max_series: usize,
    pub(crate) external_url: String,
    pub(crate) outcomes: Sender<StepOutcome>,
    pub(crate) progress: Arc<std::sync::Mutex<Progress>>,
    pub(crate) errors: Arc<std::sync::Mutex<HashMap<String, String>>>,
    pub(crate) feed: Feed,
    pub(crate) meters: AlertMeters,
}

impl Evaluator {
    pub(crate) fn new(parts: Parts) -> Result<Self, backlot_atlas::Error> {
        let step = parts.store.options().step;
        let now = parts.ledger.now().micros().div_euclid(1000);
        Ok(Self {
            first: now - now.rem_euclid(step) + step,
            stream: Stream::new(step, parts.max_series, zone("UTC")?),
            rules: HashMap::new(),
            by_id: HashMap::new(),
            watchers: Vec::new(),
            store: parts.store,
            ledger: parts.ledger,
            step,
            grace: parts.grace,
            external_url: parts.external_url,
            outcomes: parts.outcomes,
            progress: parts.progress,
            errors: parts.errors,
            feed: parts.feed,
            meters: parts.meters,
        })
    }

    /// Evaluates a rule from the next step on; `firing` are its alerts that fire already.
    pub(crate) fn set_rule(&mut self, rule: Rule, compiled: Compiled, firing: Vec<Fingerprint>) {
        let before =
            self.by_id.get(&rule.id).and_then(|id| self.rules.remove(id).map(|running| (*id, running)));
        let mut state = RuleState::of(firing);
        if let Some((id, running)) = before {
            self.stream.remove(id);
            state = RuleState::of(running.state.firing().chain(state.firing()).collect::<Vec<_>>());
        }
        let id = self.stream.add(compiled.expr.clone());
        self.by_id.insert(rule.id.clone(), id);
        self.rules.insert(id, Running { rule, compiled, state, fresh: true });
        self.feed.set_wanted(!self.stream.is_empty());
    }

    /// Stops to evaluate a rule; its alerts are over.
    pub(crate) fn remove_rule(&mut self, id: &str) {
        let Some(id) = self.by_id.remove(id) else { return };
        self.stream.remove(id);
        if let Some(running) = self.rules.remove(&id) {
            let over: Vec<Fingerprint> = running.state.firing().collect();
            if !over.is_empty() {
                self.send(StepOutcome { posted: Vec::new(), over });
            }
        }
        self.feed.set_wanted(!self.stream.is_empty());
    }

    /// Adds somebody who watches data expressions.
    pub(crate) fn add_watcher(&mut self, watcher: Box<dyn Watcher>) {
        self.watchers.push(watcher);
    }

    /// Watches a data expression.
    pub(crate) fn watch(&mut self, expr: DataExpr) -> DataId {
        let id = self.stream.watch(expr);
        self.feed.set_wanted(true);
        id
    }

    /// Watches it no longer.
    pub(crate) fn unwatch(&mut self, id: DataId) {
        self.stream.unwatch(id);
        self.feed.set_wanted(!self.stream.is_empty());
    }

    fn send(&self, outcome: StepOutcome) {
        // Nobody listens any more when the department stops.
        drop(self.outcomes.blocking_send(outcome));
    }

    /// Runs until every way to it is gone, or `stopped`.
    pub(crate) fn run(mut self, inbox: &Receiver<Message>, stopped: &std::sync::atomic::AtomicBool) {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let now = self.ledger.now().micros().div_euclid(1000);
            let due = self.due(now);
            if due <= 0 {
                self.close(now);
                continue;
            }
            let wait = Duration::from_millis(due.unsigned_abs()).min(LONGEST_WAIT);
            match inbox.recv_timeout(wait) {
                Ok(Message::Values(values)) => {
                    self.feed.taken(values.len());
                    for one in values {
                        let input = match one.effect {
                            Effect::Set => Input::Set(one.value),
                            Effect::Add => Input::Add(one.value),
                            Effect::Max => Input::Max(one.value),
                        };
                        self.stream.update(one.series, one.end, input, || self.store.tags_of(one.series));
                    }
                }
                Ok(Message::Edit(edit)) => edit(&mut self),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Milliseconds until the next step may be closed.
    fn due(&self, now: i64) -> i64 {
        let next = self.stream.closed().map_or(self.first, |closed| closed + self.step);
        next + self.grace - now
    }

    /// Closes every step that has had its grace.
    pub(crate) fn close(&mut self, now: i64) {
        let begun = std::time::Instant::now();
        let end = (now - self.grace).div_euclid(self.step) * self.step;
        let store = self.store.clone();
        // One for each step: an alert may end in one and begin in the next.
        let mut outcomes: Vec<(i64, StepOutcome)> = Vec::new();
        let mut errors: HashMap<String, String> = HashMap::new();
        let (rules, watchers) = (&mut self.rules, &mut self.watchers);
        let external_url = &self.external_url;
        let step = self.step;
        self.stream.close(
            end,
            &*store,
            |id, at, lines| {
                let Some(running) = rules.get_mut(&id).filter(|running| !running.fresh) else { return };
                match lines {
                    Ok(lines) => {
                        if outcomes.last().is_none_or(|(of, _)| *of != at) {
                            outcomes.push((at, StepOutcome::default()));
                        }
                        if let Some((_, outcome)) = outcomes.last_mut() {
                            running.step(at, &lines, 0, true, step, external_url, outcome);
                        }
                    }
                    Err(error) => {
                        errors.insert(running.rule.id.clone(), error.to_string());
                    }
                }
            },
            |stream, at| {
                for watcher in watchers.iter_mut() {
                    for data in watcher.wanted() {
                        watcher.values(data, at, &mut stream.values(data));
                    }
                }
            },
        );
        let fresh: Vec<ExprId> =
            self.rules.iter().filter(|(_, running)| running.fresh).map(|(id, _)| *id).collect();
        let mut outcome = StepOutcome::default();
        for id in fresh {
            self.catch_up(id, end, &*store, &mut outcome, &mut errors);
        }
        let counts = self.stream.counts();
        let progress = Progress {
            closed: end,
            took: begun.elapsed(),
            rules: self.rules.len(),
            series: self.stream.series(),
            late: counts.late,
            refused: counts.refused,
            errors: errors.len(),
        };
        let before = std::mem::replace(
            &mut *self.progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
            progress,
        );
        self.meters.evaluated(&before, &progress);
        *self.errors.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = errors;
        for (_, outcome) in outcomes.into_iter().chain([(end, outcome)]) {
            if !(outcome.posted.is_empty() && outcome.over.is_empty()) {
                self.send(outcome);
            }
        }
    }

    /// A rule's first step, from the store.
    fn catch_up(
        &mut self,
        id: ExprId,
        end: i64,
        store: &dyn Database,
        outcome: &mut StepOutcome,
        errors: &mut HashMap<String, String>,
    ) {
        let Some(running) = self.rules.get_mut(&id) else { return };
        let waits = usize::try_from(running.compiled.wait / self.step).unwrap_or(0);
        let steps = (running.compiled.expr.memory(self.step) + waits + 1).min(LONGEST_PAST);
        let grid = Grid::new(end - (steps as i64 - 1) * self.step, self.step, steps);
        match self.stream.warm(id, store, grid) {
            Ok(lines) => {
                for position in 0..steps {
                    let at = grid.start + position as i64 * self.step;
                    let is_last = position + 1 == steps;
                    running.step(at, &lines, position, is_last, self.step, &self.external_url, outcome);
                }
                running.fresh = false;
            }
            Err(error) => {
                errors.insert(running.rule.id.clone(), error.to_string());
            }
        }
    }

    /// A rule's alerts and the lines that hold but are not alerts yet.
    pub(crate) fn counts(&self, rule: &str) -> Option<(usize, usize)> {
        self.by_id.get(rule).and_then(|id| self.rules.get(id)).map(|running| running.state.counts())
    }
}

impl Running {
    #[expect(clippy::too_many_arguments, reason = "a step's facts, each used once")]
    fn step(
        &mut self,
        at: i64,
        lines: &[Line],
        position: usize,
        settle: bool,
        step: i64,
        external_url: &str,
        outcome: &mut StepOutcome,
    ) {
        let (begun, over) = self.state.step(&self.rule.spec, self.compiled.wait, at, lines, position, settle);
        for one in begun {
            let house = external_url.trim_end_matches('/').trim_end_matches(super::ALERTMANAGER_DOOR);
            let expression = &self.rule.spec.expression;
            let query = backlot_web::console::widgets::link("/metrics", &[("q", expression)]);
            outcome.posted.push(Posted {
                labels: one.labels,
                annotations: one.annotations,
                starts_at: Some(clock::from_millis(one.since)),
                // The rule says itself when it is over.
                ends_at: Some(stamp::far_future()),
                generator_url: format!("{house}{query}"),
                origin: Some(Origin {
                    rule: self.rule.id.clone(),
                    expression: expression.clone(),
                    value: Some(one.value).filter(|value| value.is_finite()),
                    step_ms: step,
                }),
            });
        }
        outcome.over.extend(over);
    }
}
