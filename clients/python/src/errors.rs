//! The client's errors as Python's `backlot.Error`.

use backlot_client::Error;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

static ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The exception to raise for an error of the client.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let make = || -> PyResult<Bound<'_, PyAny>> {
        let class = ERROR.import(py, "backlot._errors", "Error")?;
        let parts = PyDict::new(py);
        parts.set_item("code", error.code())?;
        parts.set_item("mend", error.mend())?;
        if let Error::Refused { request_id, .. } = error {
            parts.set_item("request_id", request_id)?;
        }
        class.call((error.message(),), Some(&parts))
    };
    make().map_or_else(|error| error, PyErr::from_value)
}
