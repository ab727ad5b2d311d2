//! Waiting that lets Python go on and heeds its signals.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use backlot_client::Error;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::errors;

/// The longest time without a look at signals: not noticed by a person, and 20 looks a second cost nothing.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Does `work` on a thread of its own and waits for it. When a signal's handler raises, the work is left to itself: it ends
/// with its own time limits, and what it did on the server stays done.
pub(crate) fn wait_for<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> PyResult<T> {
    let (sender, mut receiver) = channel();
    thread::spawn(move || sender.send(work()));
    loop {
        let received;
        (received, receiver) = py.detach(move || (receiver.recv_timeout(LOOK), receiver));
        match received {
            Ok(result) => return result.map_err(|error| errors::raise(py, &error)),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("the call ended without a result; please report this"));
            }
        }
    }
}

/// A time in seconds as Python gives it; `None` and infinity are no limit.
pub(crate) fn seconds(name: &str, value: Option<f64>) -> PyResult<Option<Duration>> {
    match value {
        None | Some(f64::INFINITY) => Ok(None),
        Some(value) => match Duration::try_from_secs_f64(value) {
            Ok(duration) => Ok(Some(duration)),
            Err(_) => {
                Err(PyValueError::new_err(format!("{name} must be a number of seconds from 0, not {value}")))
            }
        },
    }
}
