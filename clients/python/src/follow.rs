//! Followers as Python iterators.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use backlot_client::{self as client, Error, Next};
use pyo3::exceptions::{PyStopIteration, PyTimeoutError};
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::errors;
use crate::json::to_python;
use crate::waiting::{LOOK, seconds};

/// What is followed.
pub(crate) enum Following {
    Run(client::Follow<client::Run>),
    Log(client::Follow<String>),
    Events(client::Follow<client::Event>),
}

impl Following {
    fn next_within(&mut self, limit: Duration) -> Result<Next<Value>, Error> {
        let limit = Some(limit);
        match self {
            Self::Run(states) => states.next_within(limit).map(plain),
            Self::Log(lines) => lines.next_within(limit).map(plain),
            Self::Events(events) => events.next_within(limit).map(plain),
        }
    }
}

fn plain<T: serde::Serialize>(next: Next<T>) -> Next<Value> {
    match next {
        Next::Item(item) => Next::Item(json!(item)),
        Next::Nothing => Next::Nothing,
        Next::End => Next::End,
    }
}

/// An iterator over what follows. It waits without holding the interpreter's lock, and Ctrl-C ends the waiting, not the
/// follower.
#[pyclass(module = "backlot._native", frozen)]
pub(crate) struct Follow(Mutex<Option<Following>>);

impl Follow {
    pub(crate) fn new(following: Following) -> Self {
        Self(Mutex::new(Some(following)))
    }
}

/// One look; the lock is taken only without the interpreter's, so two threads cannot wait for each other.
fn look(following: &Mutex<Option<Following>>, limit: Duration) -> Result<Next<Value>, Error> {
    let mut following = following.lock().unwrap_or_else(PoisonError::into_inner);
    match following.as_mut() {
        Some(following) => following.next_within(limit),
        None => Ok(Next::End),
    }
}

impl Follow {
    fn advance<'py>(&self, py: Python<'py>, limit: Option<Duration>) -> PyResult<Next<Bound<'py, PyAny>>> {
        let begun = Instant::now();
        loop {
            let left = limit.map_or(LOOK, |limit| limit.saturating_sub(begun.elapsed()).min(LOOK));
            let next = py.detach(|| look(&self.0, left)).map_err(|error| errors::raise(py, &error))?;
            match next {
                Next::Item(item) => return to_python(py, &item).map(Next::Item),
                Next::End => return Ok(Next::End),
                Next::Nothing => py.check_signals()?,
            }
            if limit.is_some_and(|limit| begun.elapsed() >= limit) {
                return Ok(Next::Nothing);
            }
        }
    }
}

#[pymethods]
impl Follow {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.advance(py, None)? {
            Next::Item(item) => Ok(Some(item)),
            // Without a limit it is the end.
            Next::Nothing | Next::End => Ok(None),
        }
    }

    /// What comes next within `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn next<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        match self.advance(py, seconds("timeout", timeout)?)? {
            Next::Item(item) => Ok(item),
            Next::Nothing => Err(PyTimeoutError::new_err("nothing followed in time")),
            Next::End => Err(PyStopIteration::new_err(())),
        }
    }

    /// Closes the connection; the iterator ends.
    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take()));
    }
}
