//! The client's calls, one for each method of the Rust client.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backlot_client::{self as client, EventFilter, RunFilter, SubmitOptions, TaskFilter, TaskPlace};
use jiff::Timestamp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::errors;
use crate::follow::{Follow, Following};
use crate::json::{to_json, to_object, to_python};
use crate::waiting::{seconds, wait_for};

/// Stops a transfer when the call that waits for it ends early.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A transfer's flag, as its holder and as its reader have it.
fn stoppable() -> (StopOnDrop, impl FnMut(u64) -> ControlFlow<()> + Send) {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    let look = move |_| {
        if seen.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    (StopOnDrop(flag), look)
}

/// Reads words such as states.
fn words<T: DeserializeOwned + PartialEq>(what: &str, words: Vec<String>, unknown: T) -> PyResult<Vec<T>> {
    let read = |word: String| match serde_json::from_value(Value::String(word.clone())) {
        Ok(state) if state != unknown => Ok(state),
        _ => Err(PyValueError::new_err(format!("there is no {what} {word:?}"))),
    };
    words.into_iter().map(read).collect()
}

/// Waits for a call and gives its result as Python values.
fn call<T: Serialize + Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, client::Error> + Send + 'static,
) -> PyResult<Bound<'_, PyAny>> {
    to_python(py, &wait_for(py, work)?)
}

/// A client of one server.
#[pyclass(module = "backlot._native", frozen)]
pub(crate) struct Client(client::Client);

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (url, token, home, patience))]
    fn new(
        py: Python<'_>,
        url: Option<&str>,
        token: Option<&str>,
        home: Option<PathBuf>,
        patience: f64,
    ) -> PyResult<Self> {
        let patience = seconds("patience", Some(patience))?.unwrap_or(Duration::MAX);
        let made = match (url, home) {
            (Some(_), Some(_)) => {
                return Err(PyValueError::new_err(
                    "url and home are two ways to name a server; give one of them",
                ));
            }
            (Some(url), None) => client::Client::new(url, token),
            (None, Some(home)) => client::Client::discover(&home, token),
            (None, None) if token.is_some() => {
                return Err(PyValueError::new_err(
                    "a token alone names no server; give its url or home as well",
                ));
            }
            (None, None) => client::Client::from_environment(),
        };
        made.map(|client| Self(client.with_patience(patience))).map_err(|error| errors::raise(py, &error))
    }

    #[getter]
    fn url(&self) -> String {
        self.0.url()
    }

    #[pyo3(signature = (spec, params, priority, no_cache, key))]
    fn submit<'py>(
        &self,
        py: Python<'py>,
        spec: &Bound<'py, PyAny>,
        params: &Bound<'py, PyAny>,
        priority: i32,
        no_cache: bool,
        key: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (client, spec, params) = (self.0.clone(), to_json("spec", spec)?, to_object("params", params)?);
        let options = SubmitOptions { priority, no_cache, key };
        call(py, move || client.submit(&spec, &params, &options))
    }

    fn run<'py>(&self, py: Python<'py>, run: String) -> PyResult<Bound<'py, PyAny>> {
        let client = self.0.clone();
        call(py, move || client.run(&run))
    }

    #[pyo3(signature = (states, name, before, limit))]
    fn runs<'py>(
        &self,
        py: Python<'py>,
        states: Vec<String>,
        name: Option<String>,
        before: Option<String>,
        limit: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        let states = words("run state", states, client::RunState::Unknown)?;
        let (client, filter) = (self.0.clone(), RunFilter { states, name, before, limit });
        call(py, move || client.runs(&filter))
    }

    fn spec<'py>(&self, py: Python<'py>, run: String) -> PyResult<Bound<'py, PyAny>> {
        let client = self.0.clone();
        call(py, move || client.spec(&run))
    }

    fn steps<'py>(&self, py: Python<'py>, run: String) -> PyResult<Bound<'py, PyAny>> {
        let client = self.0.clone();
        call(py, move || client.steps(&run))
    }

    #[pyo3(signature = (run, step, states, after, limit))]
    fn tasks<'py>(
        &self,
        py: Python<'py>,
        run: String,
        step: Option<String>,
        states: Vec<String>,
        after: Option<i64>,
        limit: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        let states = words("task state", states, client::TaskState::Unknown)?;
        let (client, filter) = (self.0.clone(), TaskFilter { step, states, after, limit });
        call(py, move || client.tasks(&run, &filter))
    }

    fn task<'py>(
        &self,
        py: Python<'py>,
        run: String,
        step: String,
        index: u64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (client, place) = (self.0.clone(), TaskPlace::new(run, step, index));
        call(py, move || client.task(&place))
    }

    fn outputs<'py>(&self, py: Python<'py>, run: String, step: String) -> PyResult<Bound<'py, PyAny>> {
        let client = self.0.clone();
        call(py, move || client.outputs(&run, &step))
    }

    /// The texts of the log's pieces after the cursor, and the next cursor.
    #[pyo3(signature = (run, step, index, after))]
    fn log(
        &self,
        py: Python<'_>,
        run: String,
        step: String,
        index: u64,
        after: Option<u64>,
    ) -> PyResult<(Vec<String>, Option<u64>)> {
        let (client, place) = (self.0.clone(), TaskPlace::new(run, step, index));
        let page = wait_for(py, move || client.log(&place, after))?;
        Ok((page.pieces.into_iter().map(|piece| piece.text).collect(), page.next))
    }

    #[pyo3(signature = (run, step, index, path, digest))]
    fn artifact<'py>(
        &self,
        py: Python<'py>,
        run: String,
        step: String,
        index: u64,
        path: String,
        digest: Option<String>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (client, place) = (self.0.clone(), TaskPlace::new(run, step, index));
        let (_stop, look) = stoppable();
        let fetch = move || client.artifact(&place, &path, digest.as_deref())?.read_all(look);
        Ok(PyBytes::new(py, &wait_for(py, fetch)?))
    }

    #[pyo3(signature = (run, step, index, path, digest, to))]
    #[expect(
        clippy::too_many_arguments,
        reason = "the artifact's place, and the file's; Python calls it by position"
    )]
    fn save_artifact(
        &self,
        py: Python<'_>,
        run: String,
        step: String,
        index: u64,
        path: String,
        digest: Option<String>,
        to: PathBuf,
    ) -> PyResult<u64> {
        let (client, place) = (self.0.clone(), TaskPlace::new(run, step, index));
        let (_stop, look) = stoppable();
        wait_for(py, move || client.artifact(&place, &path, digest.as_deref())?.save(&to, look))
    }

    #[pyo3(signature = (run, reason))]
    fn cancel<'py>(
        &self,
        py: Python<'py>,
        run: String,
        reason: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.0.clone();
        call(py, move || client.cancel(&run, reason.as_deref()))
    }

    fn pause<'py>(&self, py: Python<'py>, run: String) -> PyResult<Bound<'py, PyAny>> {
        let client = self.0.clone();
        call(py, move || client.pause(&run))
    }

    fn resume<'py>(&self, py: Python<'py>, run: String) -> PyResult<Bound<'py, PyAny>> {
        let client = self.0.clone();
        call(py, move || client.resume(&run))
    }

    #[pyo3(signature = (run, from_step))]
    fn retry<'py>(
        &self,
        py: Python<'py>,
        run: String,
        from_step: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.0.clone();
        call(py, move || client.retry(&run, from_step.as_deref()))
    }

    /// A page of events, and the cursor of the next.
    #[pyo3(signature = (after, kind, source, subject, since, limit))]
    #[expect(clippy::too_many_arguments, reason = "the filter's parts; Python calls it by position")]
    fn events<'py>(
        &self,
        py: Python<'py>,
        after: u64,
        kind: Option<String>,
        source: Option<String>,
        subject: Option<String>,
        since: Option<&str>,
        limit: u32,
    ) -> PyResult<(Bound<'py, PyAny>, u64)> {
        let unreadable = |error: jiff::Error| PyValueError::new_err(format!("since is no moment: {error}"));
        let since = since.map(str::parse::<Timestamp>).transpose().map_err(unreadable)?;
        let (client, filter) = (self.0.clone(), EventFilter { after, kind, source, subject, since, limit });
        let page = wait_for(py, move || client.events(&filter))?;
        Ok((to_python(py, &page.events)?, page.next))
    }

    fn follow_run(&self, py: Python<'_>, run: &str) -> PyResult<Follow> {
        let states = self.0.follow(run).map_err(|error| errors::raise(py, &error))?;
        Ok(Follow::new(Following::Run(states)))
    }

    fn follow_log(&self, py: Python<'_>, run: &str, step: &str, index: u64) -> PyResult<Follow> {
        let lines = self
            .0
            .follow_log(&TaskPlace::new(run, step, index))
            .map_err(|error| errors::raise(py, &error))?;
        Ok(Follow::new(Following::Log(lines)))
    }

    #[pyo3(signature = (after, kind, source, subject))]
    fn follow_events(
        &self,
        after: u64,
        kind: Option<String>,
        source: Option<String>,
        subject: Option<String>,
    ) -> Follow {
        let filter = EventFilter { after, kind, source, subject, ..EventFilter::default() };
        Follow::new(Following::Events(self.0.follow_events(&filter)))
    }
}

/// A spec's file as plain values.
#[pyfunction]
pub(crate) fn read_spec(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyAny>> {
    let spec = client::read_spec(&path).map_err(|error| errors::raise(py, &error))?;
    to_python(py, &spec)
}
