//! The spec of a run: its parameters and its steps, as built in Rust or written in TOML or JSON.
//!
//! ```toml
//! name = "thumbnails"
//! [params.clip]
//! type = "string"
//!
//! [[step]]
//! name = "probe"
//! kind = "media.probe"
//! input = { clip = "${params.clip}" }
//!
//! [[step]]
//! name = "thumb"
//! map = { over = "${steps.probe.shots}", concurrency = 4 }
//! command = { argv = ["make-thumb", "${item.start}"], outputs = { thumb = "thumb.jpg" } }
//! ```
//!
//! A spec is data: it is checked whole before anything runs ([`RunSpec::check`]), stored with its run, and never
//! changed afterwards.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::condition::Condition;
use crate::reference::{Reference, Root, references};
use crate::units::{ByteSize, Span};

/// The name under which command steps are run.
pub const COMMAND_KIND: &str = "command";

/// The most steps a spec may have. A step is a line of a person's plan; lists of work are maps, which have no such limit.
pub const MAX_STEPS: usize = 20_000;

/// The longest name of a run, step, parameter or output, in bytes: it becomes part of paths and of event subjects.
const MAX_NAME: usize = 128;

/// A spec that cannot run, and why; the text names the step and the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(pub String);

/// A directed acyclic graph of steps with typed parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// What the run is called in lists; letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The parameters that a submission may or must give.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, ParamSpec>,
    /// The steps, in any order.
    #[serde(rename = "step", alias = "steps", default)]
    pub steps: Vec<StepSpec>,
    /// Tasks of higher priority start first; 0 unless said otherwise.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// The run is cancelled when it has not ended this long after its submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// Whether results of earlier, equal tasks may be reused; true unless said otherwise.
    #[serde(default = "yes")]
    pub cache: bool,
}

/// The declaration of one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamSpec {
    /// Which values it takes.
    #[serde(rename = "type", default)]
    pub param_type: ParamType,
    /// Used when a submission does not give it; without a default it must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// If not empty, the only values allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Value>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamType {
    /// Text.
    String,
    /// A whole number that fits 64 bits.
    Integer,
    /// Any JSON number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Any JSON value.
    #[default]
    Json,
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// The step's name, unique in the run; letters, digits, `-` and `_`.
    pub name: String,
    /// The task kind that does the work; left out when `command` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A program to run instead of a registered kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandSpec>,
    /// The kind's input; strings may hold references.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// Makes the step a map: one task for each item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<MapSpec>,
    /// Steps to wait for besides those that the references name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// A condition; when it does not hold the step is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Which ends of the steps before it let this step start.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on: Trigger,
    /// What happens after a failed attempt.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: RetrySpec,
    /// How long one attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Names of which only a limited number of tasks may hold each at once (licences, devices, databases). May hold references.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Processors that one task uses; 0 for tasks that only wait.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub cpus: f64,
    /// Memory that one task uses.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory: ByteSize,
    /// Added to the run's priority.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// Whether an equal task's result may be reused; the run's setting unless said here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<bool>,
    /// In a map: go on with the other items after one has failed (the step still ends as failed).
    #[serde(default, skip_serializing_if = "is_default")]
    pub keep_going: bool,
}

/// Fan-out over a list known only when the run gets there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapSpec {
    /// A reference to a list, or a list.
    pub over: Value,
    /// At most so many of the step's tasks at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

/// A program to run. Strings may hold references; a blob in `argv` is replaced by the path of a file with its bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// The program and its arguments; no shell is involved.
    pub argv: Vec<Value>,
    /// Environment variables. A child gets these, PATH, HOME, LANG and TMPDIR, and nothing else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Value>,
    /// Names of variables handed on from the worker's own environment (for secrets: their values are never stored).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_pass: Vec<String>,
    /// The directory to run in; a fresh scratch directory unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// What the program reads on standard input: a blob, or text.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub stdin: Value,
    /// Files laid into the scratch directory before the start: relative path to blob, text or JSON value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Value>,
    /// Files taken from the scratch directory after success: output name to relative path. Standard output is always the output `stdout`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
}

/// Which ends of the steps before it let a step start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// All of them succeeded; otherwise this step is skipped.
    #[default]
    Success,
    /// None of them failed; skipped ones do not matter.
    Done,
    /// At least one of them failed.
    Failure,
    /// Whatever happened.
    Always,
}

/// What happens after a failed attempt: attempt n+1 waits `backoff * factor^(n-1)`, at most `max_backoff`, and up to
/// `jitter` of that more or less, so that many tasks that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrySpec {
    /// Attempts after the first.
    #[serde(default)]
    pub max: u32,
    /// The wait after the first failure.
    #[serde(default = "RetrySpec::backoff")]
    pub backoff: Span,
    /// The growth of the wait.
    #[serde(default = "RetrySpec::factor")]
    pub factor: f64,
    /// The longest wait.
    #[serde(default = "RetrySpec::max_backoff")]
    pub max_backoff: Span,
    /// The random part of the wait, 0 to 1.
    #[serde(default = "RetrySpec::jitter")]
    pub jitter: f64,
}

impl RetrySpec {
    fn backoff() -> Span {
        Span::seconds(1)
    }
    fn factor() -> f64 {
        2.0
    }
    fn max_backoff() -> Span {
        Span::seconds(300)
    }
    fn jitter() -> f64 {
        0.2
    }

    /// The wait before the attempt that follows `failures` failed ones; `random` lies in 0..1.
    pub fn wait(&self, failures: u32, random: f64) -> std::time::Duration {
        let base = self.backoff.duration().as_secs_f64();
        let longest = self.max_backoff.duration().as_secs_f64();
        let grown = base * self.factor.powi(failures.saturating_sub(1).min(1000) as i32);
        let capped = if grown.is_finite() { grown.min(longest) } else { longest };
        std::time::Duration::from_secs_f64(capped * (1.0 + self.jitter * (2.0 * random - 1.0)))
    }
}

impl Default for RetrySpec {
    fn default() -> RetrySpec {
        RetrySpec {
            max: 0,
            backoff: RetrySpec::backoff(),
            factor: RetrySpec::factor(),
            max_backoff: RetrySpec::max_backoff(),
            jitter: RetrySpec::jitter(),
        }
    }
}

fn yes() -> bool {
    true
}
fn one() -> f64 {
    1.0
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_one(number: &f64) -> bool {
    *number == 1.0
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl RunSpec {
    /// A spec with a name and no steps yet.
    pub fn new(name: impl Into<String>) -> RunSpec {
        RunSpec {
            name: name.into(),
            description: String::new(),
            params: BTreeMap::new(),
            steps: Vec::new(),
            priority: 0,
            deadline: None,
            cache: true,
        }
    }

    /// Adds a parameter; `default` of `None` makes it required.
    pub fn param(mut self, name: &str, param_type: ParamType, default: Option<Value>) -> RunSpec {
        let spec = ParamSpec { param_type, default, choices: Vec::new(), description: String::new() };
        self.params.insert(name.to_owned(), spec);
        self
    }

    /// Adds a step.
    pub fn step(mut self, step: StepSpec) -> RunSpec {
        self.steps.push(step);
        self
    }

    /// Reads TOML.
    pub fn from_toml(text: &str) -> Result<RunSpec, SpecError> {
        toml::from_str(text).map_err(|error| SpecError(one_line(&error.to_string())))
    }

    /// Reads JSON.
    pub fn from_json(text: &str) -> Result<RunSpec, SpecError> {
        serde_json::from_str(text).map_err(|error| SpecError(error.to_string()))
    }

    /// Checks everything that can be known before the run, and works out who waits for whom.
    pub fn check(&self) -> Result<Graph, SpecError> {
        check_name("run", &self.name, true)?;
        if self.steps.is_empty() {
            return Err(SpecError(format!("run `{}` has no steps; add a [[step]]", self.name)));
        }
        if self.steps.len() > MAX_STEPS {
            return Err(SpecError(format!(
                "run `{}` has {} steps, more than {MAX_STEPS}; make equal steps one step with a map",
                self.name,
                self.steps.len()
            )));
        }
        for (name, param) in &self.params {
            check_name("parameter", name, false)?;
            if let Some(default) = &param.default {
                param.accept(name, default.clone())?;
            }
        }
        let mut index = BTreeMap::new();
        for (position, step) in self.steps.iter().enumerate() {
            check_name("step", &step.name, false)?;
            if index.insert(step.name.as_str(), position).is_some() {
                return Err(SpecError(format!("two steps are named `{}`; rename one", step.name)));
            }
        }
        let mut needs = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            needs.push(self.check_step(step, &index)?);
        }
        Graph::new(needs).map_err(|cycle| {
            let names: Vec<&str> = cycle.iter().map(|&step| self.steps[step].name.as_str()).collect();
            SpecError(format!("the steps {} wait for each other in a circle; break it", names.join(" -> ")))
        })
    }

    fn check_step(
        &self,
        step: &StepSpec,
        index: &BTreeMap<&str, usize>,
    ) -> Result<BTreeSet<usize>, SpecError> {
        let bad = |why: String| SpecError(format!("step `{}`: {why}", step.name));
        match (&step.kind, &step.command) {
            (None, None) => return Err(bad("say what it does: give a `kind` or a `command`".into())),
            (Some(_), Some(_)) => return Err(bad("has both a `kind` and a `command`; keep one".into())),
            (None, Some(command)) => {
                if command.argv.is_empty() {
                    return Err(bad("`command.argv` is empty; name the program".into()));
                }
                if !step.input.is_null() {
                    return Err(bad("a command takes no `input`; use argv, env, stdin or files".into()));
                }
                for path in command.files.keys().chain(command.outputs.values()) {
                    let path = std::path::Path::new(path);
                    let inside =
                        path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
                    if !inside || path.as_os_str().is_empty() {
                        return Err(bad(format!(
                            "`{}` must be a relative path without `..`",
                            path.display()
                        )));
                    }
                }
                for name in command.outputs.keys() {
                    check_name("output", name, false)?;
                    if name == "stdout" || name == "exit_code" {
                        return Err(bad(format!("the output name `{name}` is taken; choose another")));
                    }
                }
                let variables = command.env.keys().chain(&command.env_pass);
                if let Some(name) =
                    variables.into_iter().find(|name| name.is_empty() || name.contains(['=', '\0']))
                {
                    return Err(bad(format!("`{name}` cannot be the name of an environment variable")));
                }
            }
            (Some(kind), None) => check_name("kind", kind, true)?,
        }
        if !(step.cpus.is_finite() && (0.0..=4096.0).contains(&step.cpus)) {
            return Err(bad(format!("`cpus` must lie between 0 and 4096, not {}", step.cpus)));
        }
        if !(step.retry.factor.is_finite() && (1.0..=100.0).contains(&step.retry.factor)) {
            return Err(bad(format!("`retry.factor` must lie between 1 and 100, not {}", step.retry.factor)));
        }
        if !(0.0..=1.0).contains(&step.retry.jitter) {
            return Err(bad(format!("`retry.jitter` must lie between 0 and 1, not {}", step.retry.jitter)));
        }
        if step.timeout.is_some_and(|timeout| timeout == Span::seconds(0)) {
            return Err(bad("a `timeout` of 0 lets nothing finish; leave it out for none".into()));
        }
        if step.keys.len() > 16 {
            return Err(bad("holds more than 16 `keys`; merge some".into()));
        }
        if let Some(map) = &step.map {
            if map.concurrency == Some(0) {
                return Err(bad("a `concurrency` of 0 lets nothing start; leave it out for no limit".into()));
            }
            let is_reference = map.over.as_str().is_some_and(|text| text.contains("${"));
            if !map.over.is_array() && !is_reference {
                return Err(bad("`map.over` must be a list or a reference to one".into()));
            }
        }

        let mut used: Vec<(Reference, bool)> = Vec::new();
        let mut gather = |value: &Value, with_item: bool| -> Result<(), SpecError> {
            let found = references(value).map_err(|error| bad(error.0))?;
            used.extend(found.into_iter().map(|reference| (reference, with_item)));
            Ok(())
        };
        let mapped = step.map.is_some();
        gather(&step.task_input(), mapped)?;
        for key in &step.keys {
            gather(&Value::String(key.clone()), mapped)?;
        }
        if let Some(map) = &step.map {
            gather(&map.over, false)?;
        }
        if let Some(when) = &step.when {
            let condition = Condition::parse(when).map_err(|error| bad(error.0))?;
            used.extend(condition.references().into_iter().map(|reference| (reference.clone(), false)));
        }

        let find = |name: &str| {
            index.get(name).copied().ok_or_else(|| {
                let near = nearest(name, index.keys().copied());
                bad(format!("there is no step `{name}`{near}"))
            })
        };
        let mut needs = BTreeSet::new();
        for name in &step.after {
            needs.insert(find(name)?);
        }
        for (reference, with_item) in used {
            match &reference.root {
                Root::Step(name) => {
                    needs.insert(find(name)?);
                }
                Root::Param(name) if !self.params.contains_key(name) => {
                    let near = nearest(name, self.params.keys().map(String::as_str));
                    return Err(bad(format!(
                        "`{reference}`: there is no parameter `{name}`{near}; declare it under [params]"
                    )));
                }
                Root::Item | Root::Index if !with_item => {
                    return Err(bad(format!(
                        "`{reference}` has a meaning only in the input of a step with a map"
                    )));
                }
                _ => {}
            }
        }
        Ok(needs)
    }

    /// Checks the given parameters against their declarations and fills in the defaults.
    pub fn bind(&self, given: Map<String, Value>) -> Result<Map<String, Value>, SpecError> {
        let mut bound = Map::new();
        for (name, value) in given {
            let param = self.params.get(&name).ok_or_else(|| {
                let near = nearest(&name, self.params.keys().map(String::as_str));
                SpecError(format!("run `{}` takes no parameter `{name}`{near}", self.name))
            })?;
            let value = param.accept(&name, value)?;
            bound.insert(name, value);
        }
        for (name, param) in &self.params {
            if !bound.contains_key(name) {
                let default = param.default.clone().ok_or_else(|| {
                    SpecError(format!("parameter `{name}` is missing; give it with -p {name}=VALUE"))
                })?;
                bound.insert(name.clone(), default);
            }
        }
        Ok(bound)
    }

    /// Reads one `-p name=text` of a command line: the text is taken as the declared type wants it.
    pub fn param_from_text(&self, name: &str, text: &str) -> Result<Value, SpecError> {
        let Some(param) = self.params.get(name) else {
            return Ok(Value::String(text.to_owned())); // `bind` refuses it, with the names there are
        };
        let parsed = match param.param_type {
            ParamType::String => Some(Value::String(text.to_owned())),
            ParamType::Json => {
                Some(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
            }
            _ => serde_json::from_str(text).ok(),
        };
        let value = parsed.ok_or_else(|| param.refuse(name, text))?;
        param.accept(name, value)
    }
}

impl ParamSpec {
    fn refuse(&self, name: &str, value: &str) -> SpecError {
        let wanted = match self.param_type {
            ParamType::String => "a string",
            ParamType::Integer => "a whole number",
            ParamType::Number => "a number",
            ParamType::Boolean => "true or false",
            ParamType::Json => "a JSON value",
        };
        SpecError(format!("parameter `{name}` must be {wanted}, not {value}"))
    }

    fn accept(&self, name: &str, value: Value) -> Result<Value, SpecError> {
        let fits = match self.param_type {
            ParamType::String => value.is_string(),
            ParamType::Integer => value.is_i64() || value.is_u64(),
            ParamType::Number => value.is_number(),
            ParamType::Boolean => value.is_boolean(),
            ParamType::Json => true,
        };
        if !fits {
            return Err(self.refuse(name, &value.to_string()));
        }
        if !self.choices.is_empty() && !self.choices.contains(&value) {
            let choices: Vec<String> = self.choices.iter().map(ToString::to_string).collect();
            return Err(SpecError(format!(
                "parameter `{name}` must be one of {}, not {value}",
                choices.join(", ")
            )));
        }
        Ok(value)
    }
}

impl StepSpec {
    /// A step of a registered kind.
    pub fn new(name: impl Into<String>, kind: impl Into<String>, input: Value) -> StepSpec {
        StepSpec { kind: Some(kind.into()), input, ..StepSpec::bare(name.into()) }
    }

    /// A step that runs a program.
    pub fn command(name: impl Into<String>, command: CommandSpec) -> StepSpec {
        StepSpec { command: Some(command), ..StepSpec::bare(name.into()) }
    }

    fn bare(name: String) -> StepSpec {
        StepSpec {
            name,
            kind: None,
            command: None,
            input: Value::Null,
            map: None,
            after: Vec::new(),
            when: None,
            on: Trigger::default(),
            retry: RetrySpec::default(),
            timeout: None,
            keys: Vec::new(),
            cpus: 1.0,
            memory: ByteSize::default(),
            priority: 0,
            cache: None,
            keep_going: false,
        }
    }

    /// Makes the step a map over `over`.
    pub fn map_over(mut self, over: Value, concurrency: Option<u32>) -> StepSpec {
        self.map = Some(MapSpec { over, concurrency });
        self
    }

    /// Waits also for the step `name`.
    pub fn after(mut self, name: impl Into<String>) -> StepSpec {
        self.after.push(name.into());
        self
    }

    /// Sets the number of retries, with the default waits.
    pub fn retries(mut self, max: u32) -> StepSpec {
        self.retry.max = max;
        self
    }

    /// The kind that runs the step's tasks.
    pub fn kind_name(&self) -> &str {
        self.kind.as_deref().unwrap_or(COMMAND_KIND)
    }

    /// The unresolved input of the step's tasks; for a command, the command itself.
    pub fn task_input(&self) -> Value {
        match &self.command {
            Some(command) => serde_json::to_value(command).unwrap_or(Value::Null),
            None if self.input.is_null() => Value::Object(Map::new()),
            None => self.input.clone(),
        }
    }

    /// Whether something must be evaluated before the step's tasks exist: a list, a condition or keys with references.
    pub(crate) fn needs_opening(&self) -> bool {
        self.map.is_some() || self.when.is_some() || self.keys.iter().any(|key| key.contains("${"))
    }
}

/// Who waits for whom, by position in [`RunSpec::steps`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    needs: Vec<Vec<usize>>,
    dependents: Vec<Vec<usize>>,
}

impl Graph {
    fn new(needs: Vec<BTreeSet<usize>>) -> Result<Graph, Vec<usize>> {
        let needs: Vec<Vec<usize>> = needs.into_iter().map(|set| set.into_iter().collect()).collect();
        let mut dependents = vec![Vec::new(); needs.len()];
        for (step, upstream) in needs.iter().enumerate() {
            for &before in upstream {
                dependents[before].push(step);
            }
        }
        let graph = Graph { needs, dependents };
        match graph.circle() {
            Some(circle) => Err(circle),
            None => Ok(graph),
        }
    }

    /// The steps that `step` waits for.
    pub fn needs(&self, step: usize) -> &[usize] {
        &self.needs[step]
    }

    /// The steps that wait for `step`.
    pub fn dependents(&self, step: usize) -> &[usize] {
        &self.dependents[step]
    }

    /// Every step that depends on `step`, directly or not, in ascending order; `step` itself is left out.
    pub fn downstream(&self, step: usize) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let mut open = self.dependents[step].clone();
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(&self.dependents[next]);
            }
        }
        seen
    }

    /// A circle, if there is one: peel off steps that wait for nothing until none is left or none can be peeled.
    fn circle(&self) -> Option<Vec<usize>> {
        let mut waiting: Vec<usize> = self.needs.iter().map(Vec::len).collect();
        let mut free: Vec<usize> = (0..waiting.len()).filter(|&step| waiting[step] == 0).collect();
        let mut peeled = 0;
        while let Some(step) = free.pop() {
            peeled += 1;
            for &next in &self.dependents[step] {
                waiting[next] -= 1;
                if waiting[next] == 0 {
                    free.push(next);
                }
            }
        }
        if peeled == waiting.len() {
            return None;
        }
        // Walk upstream among the steps left over: each still waits for another one of them.
        let start = waiting.iter().position(|&count| count > 0)?;
        let mut trail = vec![start];
        loop {
            let at = *trail.last()?;
            let before = *self.needs[at].iter().find(|&&before| waiting[before] > 0)?;
            if let Some(seen) = trail.iter().position(|&step| step == before) {
                let mut circle = trail.split_off(seen);
                circle.reverse();
                circle.push(circle[0]);
                return Some(circle);
            }
            trail.push(before);
        }
    }
}

fn check_name(what: &str, name: &str, dots: bool) -> Result<(), SpecError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || (dots && c == '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fits) {
        let dot = if dots { ", `.`" } else { "" };
        return Err(SpecError(format!(
            "the {what} name `{}` must be 1 to {MAX_NAME} letters, digits, `-`, `_`{dot}",
            name.chars().take(40).collect::<String>()
        )));
    }
    Ok(())
}

/// ` (did you mean …?)` when a known name is close.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let best = known.map(|candidate| (distance(name, candidate), candidate)).min();
    match best {
        Some((edits, candidate)) if edits <= 1 + name.len() / 4 => format!(" (did you mean `{candidate}`?)"),
        _ => String::new(),
    }
}

/// Levenshtein distance; names are short.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(text: &str) -> RunSpec {
        RunSpec::from_toml(text).unwrap()
    }

    fn refusal(text: &str) -> String {
        match RunSpec::from_toml(text) {
            Ok(spec) => spec.check().unwrap_err().0,
            Err(error) => error.0,
        }
    }

    #[test]
    fn references_make_the_graph() {
        let spec = spec(
            r#"
            name = "x"
            [params.n]
            type = "integer"
            default = 3
            [[step]]
            name = "c"
            kind = "k"
            input = { all = "${steps.b.out}" }
            after = ["a"]
            [[step]]
            name = "a"
            kind = "k"
            [[step]]
            name = "b"
            kind = "k"
            input = { n = "${params.n}", i = "${item}" }
            map = { over = "${steps.a.list}" }
            "#,
        );
        let graph = spec.check().unwrap();
        assert_eq!(graph.needs(0), [1, 2]);
        assert_eq!(graph.dependents(1), [0, 2]);
        assert_eq!(graph.downstream(1).into_iter().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn mistakes_are_named_with_their_mend() {
        let step = "name = 'x'\n[[step]]\nname = 'a'\n";
        let cases = [
            ("name = 'x'".to_owned(), "no steps"),
            (step.to_owned(), "give a `kind` or a `command`"),
            (format!("{step}kind = 'k'\nafter = ['aa']"), "no step `aa` (did you mean `a`?)"),
            (format!("{step}kind = 'k'\nafter = ['a']"), "circle"),
            (format!("{step}kind = 'k'\ninput = '${{item}}'"), "only in the input of a step with a map"),
            (format!("{step}kind = 'k'\ninput = '${{params.q}}'"), "no parameter `q`"),
            (format!("{step}kind = 'k'\nwhen = '1 <'"), "a value is missing"),
            (format!("{step}kind = 'k'\ncpus = -1"), "between 0 and 4096"),
            (format!("{step}kind = 'k'\ntimeout = 'soon'"), "is not a duration"),
            (format!("{step}kind = 'k'\nkindd = 'k'"), "unknown field `kindd`"),
            (format!("{step}command = {{ argv = [] }}"), "name the program"),
            (format!("{step}command = {{ argv = ['x'], outputs = {{ o = '../x' }} }}"), "relative path"),
            (format!("{step}kind = 'k'\n[[step]]\nname = 'a'\nkind = 'k'"), "two steps are named `a`"),
            (format!("{step}kind = 'k'\nmap = {{ over = 3 }}"), "must be a list"),
        ];
        for (text, wanted) in cases {
            let got = refusal(&text);
            assert!(got.contains(wanted), "{text}\n-> {got}");
            assert!(!got.contains('\n'), "one line: {got}");
        }
    }

    #[test]
    fn a_circle_is_shown_in_order() {
        let text = "name='x'\n[[step]]\nname='a'\nkind='k'\nafter=['c']\n[[step]]\nname='b'\nkind='k'\nafter=['a']\n\
                    [[step]]\nname='c'\nkind='k'\nafter=['b']";
        assert!(refusal(text).contains("wait for each other in a circle"));
    }

    #[test]
    fn parameters_are_typed() {
        let spec = spec(
            "name='x'\n[params.n]\ntype='integer'\n[params.codec]\ntype='string'\ndefault='x264'\nchoices=['x264','av1']\n\
             [params.any]\ndefault=[1]\n[[step]]\nname='a'\nkind='k'",
        );
        let given = json!({"n": 4}).as_object().unwrap().clone();
        assert_eq!(Value::Object(spec.bind(given).unwrap()), json!({"n": 4, "codec": "x264", "any": [1]}));
        assert!(spec.bind(Map::new()).unwrap_err().0.contains("-p n=VALUE"));
        assert!(spec.param_from_text("n", "4.5").unwrap_err().0.contains("whole number"));
        assert!(spec.param_from_text("codec", "vp9").unwrap_err().0.contains("one of"));
        assert_eq!(spec.param_from_text("any", "{\"a\":1}").unwrap(), json!({"a": 1}));
        assert_eq!(spec.param_from_text("codec", "av1").unwrap(), json!("av1"));
        assert!(spec.bind(json!({"m": 1}).as_object().unwrap().clone()).is_err());
    }

    #[test]
    fn a_spec_survives_json() {
        let spec = RunSpec::new("x")
            .step(StepSpec::new("a", "k", json!({"x": 1})).map_over(json!([1, 2]), Some(3)).retries(2));
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(RunSpec::from_json(&text).unwrap(), spec);
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        let retry = RetrySpec { max: 9, jitter: 0.0, ..RetrySpec::default() };
        assert_eq!(retry.wait(1, 0.5).as_secs(), 1);
        assert_eq!(retry.wait(4, 0.5).as_secs(), 8);
        assert_eq!(retry.wait(4_000_000, 0.5).as_secs(), 300);
        let jittered = RetrySpec { jitter: 0.5, ..retry };
        assert!(jittered.wait(1, 0.0).as_millis() == 500 && jittered.wait(1, 1.0).as_millis() == 1500);
    }
}
