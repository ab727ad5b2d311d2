//! The client: one method for each thing that the doors do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use ureq::http::Response;
use ureq::{Agent, Body};
use url::Url;

use crate::artifact::is_digest;
use crate::endpoint::{Endpoint, default_home};
use crate::follow::{Follow, Heard, IsThere, Next, Stream, follow};
use crate::http::{self, Ask, Target};
use crate::shapes::{
    Event, EventFilter, EventPage, LogPage, Run, RunFilter, Step, SubmitOptions, Task, TaskFilter,
};
use crate::sse::Message;
use crate::{Artifact, Error};

const RUNS: &str = "runs/api/v1/runs";
const EVENTS: &str = "events/api/v1";

/// How long followers put up with a server that does not answer, unless said otherwise: enough for a restart.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client of one server. A cheap handle: clones share its connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    /// The home whose note names the server; none for a server that was named.
    home: Option<PathBuf>,
    /// A token that was given, and outranks the home's.
    token: Option<String>,
    endpoint: Mutex<Endpoint>,
    agent: Agent,
    patience: Duration,
}

/// A task's place: its run (the id, or an unambiguous start of it), step, and position in the map from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskPlace {
    /// The run.
    pub run: String,
    /// The step.
    pub step: String,
    /// The position; 0 where the step is no map.
    pub index: u64,
}

impl TaskPlace {
    /// A task's place.
    pub fn new(run: impl Into<String>, step: impl Into<String>, index: u64) -> Self {
        Self { run: run.into(), step: step.into(), index }
    }

    fn target(&self) -> Result<Target, Error> {
        let step = at_run(&self.run)?.fixed("steps").segment("step", &self.step)?;
        Ok(step.fixed("tasks").fixed(&self.index.to_string()))
    }
}

fn at_run(run: &str) -> Result<Target, Error> {
    Target::new(RUNS).segment("run", run)
}

fn words<T: fmt::Display>(words: &[T]) -> Option<String> {
    let all: Vec<String> = words.iter().map(ToString::to_string).collect();
    (!all.is_empty()).then(|| all.join(","))
}

fn some(limit: u32) -> Option<u32> {
    (limit > 0).then_some(limit)
}

impl fmt::Debug for Client {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url()).field("home", &self.0.home).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at this URL (`http://127.0.0.1:7700`). Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Argument`] for a URL or token that cannot be one.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, Error> {
        Ok(Self::with(None, token, Endpoint::new(url, token)?, PATIENCE))
    }

    /// A client of the server that runs for this home, with the home's admin token unless another is given. It finds the
    /// server again after a restart on another port.
    ///
    /// # Errors
    /// [`Error::NoServer`] when none runs; [`Error::HomeFile`] or [`Error::Exposed`] for files that cannot be used.
    pub fn discover(home: &Path, token: Option<&str>) -> Result<Self, Error> {
        Ok(Self::with(Some(home.to_owned()), token, Endpoint::discover(home, token)?, PATIENCE))
    }

    /// A client as the environment has it: of `$BACKLOT_URL` with the token `$BACKLOT_TOKEN`, else of the server that runs
    /// for `$BACKLOT_HOME` or the user's default home.
    ///
    /// # Errors
    /// As [`Client::new`] and [`Client::discover`]; [`Error::NoHome`] when the environment names nothing.
    pub fn from_environment() -> Result<Self, Error> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let token = variable("BACKLOT_TOKEN");
        match variable("BACKLOT_URL") {
            Some(url) => Self::new(&url, token.as_deref()),
            None => Self::discover(&default_home(variable)?, token.as_deref()),
        }
    }

    /// The same client with another patience: how long followers and waits put up with a server that does not answer.
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self::with(self.0.home.clone(), self.0.token.as_deref(), self.endpoint(), patience)
    }

    fn with(home: Option<PathBuf>, token: Option<&str>, endpoint: Endpoint, patience: Duration) -> Self {
        let agent = http::agent(&endpoint);
        let token = token.map(str::to_owned);
        Self(Arc::new(Inner { home, token, endpoint: Mutex::new(endpoint), agent, patience }))
    }

    /// The server's address, without a slash at its end.
    pub fn url(&self) -> String {
        self.base().as_str().trim_end_matches('/').to_owned()
    }

    /// The home whose server it is, if it was found by one.
    pub fn home(&self) -> Option<&Path> {
        self.0.home.as_deref()
    }

    pub(crate) fn base(&self) -> Url {
        self.endpoint().url
    }

    pub(crate) fn patience(&self) -> Duration {
        self.0.patience
    }

    /// The same client with connections of its own.
    pub(crate) fn apart(&self) -> Self {
        self.with_patience(self.0.patience)
    }

    /// Closes every connection, also under a request that waits; no further request succeeds.
    pub(crate) fn shut(&self) {
        self.0.agent.clone().shutdown();
    }

    fn endpoint(&self) -> Endpoint {
        self.0.endpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The server that the home's note names by now, if that is another.
    fn moved(&self, known: &Endpoint) -> Option<Endpoint> {
        let found = Endpoint::discover(self.0.home.as_deref()?, self.0.token.as_deref()).ok()?;
        if found == *known {
            return None;
        }
        self.0.endpoint.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
        Some(found)
    }

    /// Asks, and asks a server that has moved once more if that is harmless.
    pub(crate) fn ask(&self, target: &Target, ask: Ask<'_>) -> Result<Response<Body>, Error> {
        let endpoint = self.endpoint();
        let failure = match http::send(&self.0.agent, &endpoint, target, ask) {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        let is_lost = matches!(failure.error, Error::Unreachable { .. });
        let is_harmless = failure.is_undone || (is_lost && !matches!(ask, Ask::Post(_)));
        match is_harmless.then(|| self.moved(&endpoint)).flatten() {
            Some(moved) => http::send(&self.0.agent, &moved, target, ask).map_err(|failure| failure.error),
            None => Err(failure.error),
        }
    }

    fn get<T: DeserializeOwned>(&self, target: &Target) -> Result<T, Error> {
        http::read_json(self.ask(target, Ask::Get)?, &target.url(&self.base()))
    }

    fn post<T: DeserializeOwned>(&self, target: &Target, body: &Value) -> Result<T, Error> {
        http::read_json(self.ask(target, Ask::Post(body))?, &target.url(&self.base()))
    }

    /// Submits a run; it is durable when this returns. `spec` is the spec as JSON (see [`crate::read_spec`]), `params` the
    /// values of its parameters.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `invalid` for a spec or parameters that cannot run. After [`Error::Unreachable`] the
    /// run may have been submitted all the same; with a [`SubmitOptions::key`] submitting again is harmless.
    pub fn submit(
        &self,
        spec: &Value,
        params: &Map<String, Value>,
        options: &SubmitOptions,
    ) -> Result<Run, Error> {
        let mut body = json!(options);
        body["spec"] = spec.clone();
        body["params"] = Value::Object(params.clone());
        self.post(&Target::new(RUNS), &body)
    }

    /// A run, by its id or an unambiguous start of it.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `not_found` or `conflict` when it names none or several.
    pub fn run(&self, run: &str) -> Result<Run, Error> {
        self.get(&at_run(run)?)
    }

    /// One page of runs, newest first; [`RunFilter::before`] the last one's id is the next.
    ///
    /// # Errors
    /// What the server refuses.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, Error> {
        #[derive(Deserialize)]
        struct Runs {
            runs: Vec<Run>,
        }
        let target = Target::new(RUNS)
            .query("state", words(&filter.states))
            .query("name", filter.name.as_ref())
            .query("before", filter.before.as_ref())
            .query("limit", some(filter.limit));
        self.get::<Runs>(&target).map(|list| list.runs)
    }

    /// The spec a run was submitted with.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub fn spec(&self, run: &str) -> Result<Value, Error> {
        self.get(&at_run(run)?.fixed("spec"))
    }

    /// The steps of a run, in the order of its spec.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub fn steps(&self, run: &str) -> Result<Vec<Step>, Error> {
        #[derive(Deserialize)]
        struct Steps {
            steps: Vec<Step>,
        }
        self.get::<Steps>(&at_run(run)?.fixed("steps")).map(|list| list.steps)
    }

    /// One page of a run's tasks, in the order of its steps and items; [`TaskFilter::after`] the last one's number is the
    /// next.
    ///
    /// # Errors
    /// As [`Client::run`]; `not_found` for a step that the run does not have.
    pub fn tasks(&self, run: &str, filter: &TaskFilter) -> Result<Vec<Task>, Error> {
        #[derive(Deserialize)]
        struct Tasks {
            tasks: Vec<Task>,
        }
        let target = at_run(run)?
            .fixed("tasks")
            .query("step", filter.step.as_ref())
            .query("state", words(&filter.states))
            .query("after", filter.after)
            .query("limit", some(filter.limit));
        self.get::<Tasks>(&target).map(|list| list.tasks)
    }

    /// One task.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `not_found`, also for a task that is not laid down yet.
    pub fn task(&self, place: &TaskPlace) -> Result<Task, Error> {
        self.get(&place.target()?)
    }

    /// What a step gave: an object, or for a map the list of its tasks' objects; null where a task has given nothing. Blobs
    /// stand in it as [`crate::BlobRef`].
    ///
    /// # Errors
    /// As [`Client::tasks`].
    pub fn outputs(&self, run: &str, step: &str) -> Result<Value, Error> {
        self.get(&at_run(run)?.fixed("steps").segment("step", step)?.fixed("outputs"))
    }

    /// Begins to fetch a blob of a task's outputs. `path` is its place there, with slashes: `clip`, `thumbs/3`. With a
    /// `digest` (`blake3:…`) other content is refused; without one the digest that the server names is.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `not_found` for a place without a blob.
    pub fn artifact(&self, place: &TaskPlace, path: &str, digest: Option<&str>) -> Result<Artifact, Error> {
        if let Some(wrong) = digest.filter(|digest| !is_digest(digest)) {
            let what = format!("{wrong:?} is no digest");
            return Err(Error::Argument {
                what,
                mend: "give `blake3:` and 64 lower-case hexadecimal digits",
            });
        }
        let mut target = place.target()?.fixed("artifacts");
        for part in path.split('/') {
            target = target.segment("place of an artifact", part)?;
        }
        Ok(Artifact::open(self.ask(&target, Ask::Get)?, &target.url(&self.base()), digest))
    }

    /// Pieces of a task's log after the cursor `after`, oldest first, as many as the server gives at once.
    ///
    /// # Errors
    /// As [`Client::task`].
    pub fn log(&self, place: &TaskPlace, after: Option<u64>) -> Result<LogPage, Error> {
        self.get(&place.target()?.fixed("log").query("after", after))
    }

    /// Follows a task's log to the task's end, each item one or more whole lines. A task that is not laid down yet is waited
    /// for.
    ///
    /// # Errors
    /// [`Error::Argument`] for names that cannot be.
    pub fn follow_log(&self, place: &TaskPlace) -> Result<Follow<String>, Error> {
        let task = place.clone();
        let is_there: Box<IsThere> = Box::new(move |client| client.is_laid_down(&task));
        let hear = |message: Message| match message.event.as_str() {
            "line" => Ok(Heard::Item(message.data)),
            other => of_all_streams(other, &message.data),
        };
        Ok(follow(
            self,
            Stream { target: place.target()?.fixed("log/stream"), is_there: Some(is_there), hear },
        ))
    }

    /// Whether a task is there; an error when it never will be.
    fn is_laid_down(&self, place: &TaskPlace) -> Result<bool, Error> {
        let missing = match self.task(place) {
            Ok(_) => return Ok(true),
            Err(error) if error.is_not_found() => error,
            Err(error) => return Err(error),
        };
        // A step that knows how many tasks it has may still be laying them down.
        let may_come = |step: &Step| {
            let is_expected = step.tasks.total == 0 || place.index < step.tasks.total;
            step.name == place.step && !step.state.is_final() && is_expected
        };
        if self.steps(&place.run)?.iter().any(may_come) { Ok(false) } else { Err(missing) }
    }

    /// Follows a run to its end, each item its state after a change; the first comes at once.
    ///
    /// # Errors
    /// [`Error::Argument`] for text that is no id.
    pub fn follow(&self, run: &str) -> Result<Follow<Run>, Error> {
        let hear = |message: Message| match message.event.as_str() {
            "run" => understood(&message.data).map(Heard::Item),
            other => of_all_streams(other, &message.data),
        };
        Ok(follow(self, Stream { target: at_run(run)?.fixed("stream"), is_there: None, hear }))
    }

    /// Waits for a run's end, and shows each change on the way; with a limit of zero it looks once. A run that failed is no
    /// error here.
    ///
    /// # Errors
    /// [`Error::TimedOut`] after `limit`; the run goes on. [`Error::Unreachable`] when the server stays away longer than the
    /// client's patience.
    pub fn wait(
        &self,
        run: &str,
        limit: Option<Duration>,
        mut on_change: impl FnMut(&Run),
    ) -> Result<Run, Error> {
        let begun = Instant::now();
        let mut states = self.follow(run)?;
        loop {
            match states.next_within(limit.map(|limit| limit.saturating_sub(begun.elapsed())))? {
                Next::Item(state) => {
                    on_change(&state);
                    if state.state.is_final() {
                        return Ok(state);
                    }
                }
                Next::Nothing => {
                    let limit =
                        limit.expect("invariant: without a limit there is always something or the end");
                    // It may have ended in this moment; with a limit of zero this is the only look.
                    let state = self.run(run)?;
                    on_change(&state);
                    if state.state.is_final() {
                        return Ok(state);
                    }
                    return Err(Error::TimedOut { what: format!("the end of run {run}"), limit });
                }
                Next::End => {
                    let reason = format!("run {run} has not ended, but its stream has");
                    return Err(Error::Answer { url: self.url(), reason });
                }
            }
        }
    }

    /// Stops a run; running tasks are ended. A run that has ended stays as it is. Returns the run as it is then.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub fn cancel(&self, run: &str, reason: Option<&str>) -> Result<Run, Error> {
        self.post(&at_run(run)?.fixed("cancel"), &json!({ "reason": reason }))
    }

    /// Lets no further task of a run start.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `conflict` for a run that has ended.
    pub fn pause(&self, run: &str) -> Result<Run, Error> {
        self.post(&at_run(run)?.fixed("pause"), &json!({}))
    }

    /// Lets a paused run go on.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `conflict` for a run that is not paused.
    pub fn resume(&self, run: &str) -> Result<Run, Error> {
        self.post(&at_run(run)?.fixed("resume"), &json!({}))
    }

    /// Runs again what did not succeed, and the step `from` with all after it as well.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `conflict` for a run that has not ended, `not_found` for a step that it does not
    /// have.
    pub fn retry(&self, run: &str, from: Option<&str>) -> Result<Run, Error> {
        self.post(&at_run(run)?.fixed("retry"), &json!({ "from": from }))
    }

    /// One page of events, oldest first.
    ///
    /// # Errors
    /// What the server refuses.
    pub fn events(&self, filter: &EventFilter) -> Result<EventPage, Error> {
        let target = event_target("events", filter).query("since", filter.since);
        self.get(&target.query("limit", some(filter.limit)))
    }

    /// Follows the events from [`EventFilter::after`] on, then as they happen. It has no end.
    pub fn follow_events(&self, filter: &EventFilter) -> Follow<Event> {
        let hear = |message: Message| match message.event.as_str() {
            "event" => understood(&message.data).map(Heard::Item),
            other => of_all_streams(other, &message.data),
        };
        follow(self, Stream { target: event_target("stream", filter), is_there: None, hear })
    }
}

fn event_target(door: &str, filter: &EventFilter) -> Target {
    Target::new(EVENTS)
        .fixed(door)
        .query("after", Some(filter.after))
        .query("kind", filter.kind.as_ref())
        .query("source", filter.source.as_ref())
        .query("subject", filter.subject.as_ref())
}

fn understood<T: DeserializeOwned>(data: &str) -> Result<T, Error> {
    let failed =
        |error: serde_json::Error| Error::Answer { url: "the stream".to_owned(), reason: error.to_string() };
    serde_json::from_str(data).map_err(failed)
}

/// The messages that every stream may have.
fn of_all_streams<T>(event: &str, data: &str) -> Result<Heard<T>, Error> {
    match event {
        "end" => Ok(Heard::End),
        "error" => {
            let (message, mend) = data.split_once("; ").unwrap_or((data, "look at the server's log"));
            Err(Error::Refused {
                status: 500,
                code: "stream".to_owned(),
                message: message.to_owned(),
                mend: mend.to_owned(),
                request_id: None,
            })
        }
        _ => Ok(Heard::Nothing),
    }
}
