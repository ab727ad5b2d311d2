//! The native half of the Python package `backlot`: the HTTP client, made callable from Python.
//!
//! It serves `python/backlot`, whose classes are what people see; here are only the calls. Each gives plain Python values
//! (dicts, lists, texts) in the shape of the server's JSON.
//!
//! The central idea: **Python goes on while a call waits.** The interpreter's lock is released, other Python threads run, and
//! a signal (Ctrl-C) ends the waiting within a twentieth of a second, whatever the network does.

mod analyses;
mod array;
mod arrow;
mod client;
mod errors;
mod explain;
mod follow;
mod json;
mod signals;
mod waiting;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<client::Client>()?;
    module.add_class::<follow::Follow>()?;
    module.add_class::<signals::SegmentCost>()?;
    module.add_class::<arrow::Floats>()?;
    module.add_class::<analyses::OnlineDetector>()?;
    module.add_function(wrap_pyfunction!(analyses::signal_matrix_profile, module)?)?;
    module.add_function(wrap_pyfunction!(analyses::signal_outliers, module)?)?;
    module.add_function(wrap_pyfunction!(analyses::signal_forecast, module)?)?;
    module.add_function(wrap_pyfunction!(analyses::signal_rpca, module)?)?;
    module.add_function(wrap_pyfunction!(analyses::signal_seasonal, module)?)?;
    module.add_function(wrap_pyfunction!(arrow::arrow_floats, module)?)?;
    module.add_function(wrap_pyfunction!(explain::signal_explain, module)?)?;
    module.add_function(wrap_pyfunction!(signals::signal_changes, module)?)?;
    module.add_function(wrap_pyfunction!(signals::signal_changes_many, module)?)?;
    module.add_function(wrap_pyfunction!(signals::signal_least_squares, module)?)?;
    module.add_function(wrap_pyfunction!(signals::signal_lagged, module)?)?;
    module.add_function(wrap_pyfunction!(client::read_spec, module)?)
}
