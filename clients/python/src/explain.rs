//! Which rows of a table explain an alert, callable from Python.

use std::num::NonZeroUsize;

use backlot_signals_kernels::Error;
use backlot_signals_kernels::correlate::Peak;
use backlot_signals_kernels::explain::{Explained, Outcome, Question, Reference, conclude};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::array::Array;
use crate::signals::{columns, each, refuse};

/// What explains the alert: a dict of plain values, in points.
#[pyfunction]
#[pyo3(signature = (alert, table, *, at, before, after, lags, season, rate, min_size, threads=None))]
#[expect(clippy::too_many_arguments, reason = "they are the keywords of the Python function")]
pub(crate) fn signal_explain<'py>(
    py: Python<'py>,
    alert: &Bound<'py, PyAny>,
    table: &Bound<'py, PyAny>,
    at: usize,
    before: usize,
    after: usize,
    lags: usize,
    season: Option<usize>,
    rate: f64,
    min_size: usize,
    threads: Option<NonZeroUsize>,
) -> PyResult<Bound<'py, PyDict>> {
    let (alert, table) = (Array::of(alert)?, Array::of(table)?);
    let width = columns(&table)?;
    let question = Question { alert: at, before, after, lags, season, rate, min_size };
    let signals: Vec<(usize, &[f64])> = table.values().chunks_exact(width).enumerate().collect();
    let alert = alert.values();
    let (own, conclusion) = py
        .detach(|| {
            let reference = Reference::new(alert, question.clone())?;
            let findings = each(&signals, threads, |(place, values)| reference.examine(*place, values))?;
            Ok::<_, Error>((reference.own().clone(), conclude(&findings, reference.own(), &question)))
        })
        .map_err(refuse)?;
    let answer = PyDict::new(py);
    let changed = match own {
        Outcome::Tested { change: Some(change), .. } => Some(change.at),
        _ => None,
    };
    answer.set_item("changed", changed)?;
    answer.set_item("tested", conclusion.tested)?;
    let ranked = conclusion.ranked.iter().map(|one| entry(py, one));
    answer.set_item("ranked", PyList::new(py, ranked.collect::<PyResult<Vec<_>>>()?)?)?;
    let clusters: Vec<(usize, Vec<usize>, usize)> = conclusion
        .clusters
        .into_iter()
        .map(|cluster| (cluster.leader, cluster.members, cluster.first))
        .collect();
    answer.set_item("clusters", clusters)?;
    let untested: Vec<(usize, String)> = conclusion
        .untested
        .into_iter()
        .map(|(place, why)| {
            (
                place,
                serde_json::to_value(why)
                    .ok()
                    .and_then(|why| why.as_str().map(str::to_owned))
                    .unwrap_or_default(),
            )
        })
        .collect();
    answer.set_item("untested", untested)?;
    Ok(answer)
}

fn entry<'py>(py: Python<'py>, one: &Explained) -> PyResult<Bound<'py, PyDict>> {
    let entry = PyDict::new(py);
    entry.set_item("row", one.candidate)?;
    entry.set_item("score", one.score)?;
    entry.set_item("at", one.change.at)?;
    entry.set_item("interval", one.change.interval)?;
    entry.set_item("effect", one.change.effect)?;
    entry.set_item("before", one.change.before)?;
    entry.set_item("after", one.change.after)?;
    entry.set_item("lag", one.lag)?;
    entry.set_item("lag_interval", one.lag_interval)?;
    entry.set_item("q", one.q)?;
    let correlation = one.correlation.map(|Peak { r, lag, lag_interval, p, .. }| (r, lag, lag_interval, p));
    entry.set_item("correlation", correlation)?;
    entry.set_item("cluster", one.cluster)?;
    entry.set_item("first_mover", one.first_mover)?;
    entry.set_item("in_incident", one.in_incident)?;
    entry.set_item("season", one.season)?;
    Ok(entry)
}
