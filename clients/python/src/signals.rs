//! Analyses of signals, callable from Python: arrays go in without a copy, and other Python threads run meanwhile.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use backlot_signals_kernels::correlate::{Standard, lagged_table};
use backlot_signals_kernels::cost::{Model, Pruning};
use backlot_signals_kernels::segment::{
    Dynamic, Grid, Scores, Stop, binary, bottom_up, functional, pelt, window,
};
use backlot_signals_kernels::{Detection, Error, Penalty, Signal, changes, cost};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::array::Array;

pub(crate) fn refuse(error: Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

enum Form {
    Prepared(Box<dyn cost::Cost + Send + Sync>),
    Custom(Custom),
}

/// A cost of a signal: prepared here, or an object of Python's with `error(start, end)`.
#[pyclass(frozen, module = "backlot._native")]
pub(crate) struct SegmentCost {
    form: Form,
    gamma: Option<f64>,
    metric: Option<Vec<f64>>,
}

/// A cost that Python computes.
struct Custom {
    object: Py<PyAny>,
    points: usize,
    min_size: usize,
    /// The first exception, raised when the search has ended.
    raised: Mutex<Option<PyErr>>,
}

impl cost::Cost for Custom {
    fn points(&self) -> usize {
        self.points
    }

    fn min_size(&self) -> usize {
        self.min_size
    }

    fn error(&self, start: usize, end: usize) -> f64 {
        Python::attach(|py| {
            let value = self.object.call_method1(py, "error", (start, end)).and_then(|value| {
                let value = value.bind(py);
                // Some costs give arrays of one value.
                value.extract::<f64>().or_else(|_| value.call_method0("item")?.extract())
            });
            value.unwrap_or_else(|error| {
                self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                f64::NAN
            })
        })
    }

    fn pruning(&self) -> Pruning {
        // Nothing is known of it, so that it is exact every start is tried.
        Pruning::Never
    }
}

impl SegmentCost {
    fn search(
        &self,
        py: Python<'_>,
        search: impl FnOnce(&(dyn cost::Cost + Send + Sync)) -> Result<Vec<usize>, Error> + Send,
    ) -> PyResult<Vec<usize>> {
        match &self.form {
            Form::Prepared(cost) => py.detach(|| search(cost.as_ref())).map_err(refuse),
            Form::Custom(custom) => {
                let found = py.detach(|| search(custom));
                let raised = custom.raised.lock().unwrap_or_else(PoisonError::into_inner).take();
                raised.map_or_else(|| found.map_err(refuse), Err)
            }
        }
    }
}

fn stop(n_bkps: Option<usize>, pen: Option<f64>, epsilon: Option<f64>) -> PyResult<Stop> {
    match (n_bkps, pen, epsilon) {
        (Some(changes), _, _) => Ok(Stop::Changes(changes)),
        (None, Some(penalty), _) => Ok(Stop::Penalty(penalty)),
        (None, None, Some(rest)) => Ok(Stop::Rest(rest)),
        (None, None, None) => {
            Err(PyValueError::new_err("nothing says when to stop; give n_bkps, pen or epsilon"))
        }
    }
}

#[pymethods]
impl SegmentCost {
    #[staticmethod]
    #[pyo3(signature = (model, signal, *, gamma=None, metric=None, order=None, floor=None))]
    fn fit(
        py: Python<'_>,
        model: &str,
        signal: &Bound<'_, PyAny>,
        gamma: Option<f64>,
        metric: Option<Vec<f64>>,
        order: Option<usize>,
        floor: Option<f64>,
    ) -> PyResult<Self> {
        let array = Array::of(signal)?;
        let dimensions = array.shape().get(1).copied().unwrap_or(1);
        let mut named = Model::named(model).ok_or_else(|| {
            PyValueError::new_err(format!(
                "there is no cost `{model}`; there are {}",
                Model::NAMES.join(", ")
            ))
        })?;
        match &mut named {
            Model::Rbf { gamma: own } => *own = gamma,
            Model::Mahalanobis { metric: own } => *own = metric,
            Model::Autoregressive { order: own } => *own = order.unwrap_or(*own),
            Model::Normal { floor: own } => *own = floor.unwrap_or(*own),
            _ => {}
        }
        let values = array.values();
        py.detach(|| {
            let signal = Signal::new(values.to_vec(), dimensions)?;
            let (mut gamma, mut metric) = (None, None);
            let cost: Box<dyn cost::Cost + Send + Sync> = match &named {
                Model::Rbf { gamma: given } => {
                    let kernel = cost::Kernel::rbf(&signal, *given)?;
                    gamma = kernel.gamma();
                    Box::new(kernel)
                }
                Model::Mahalanobis { metric: given } => {
                    let form = cost::Quadratic::mahalanobis(&signal, given.as_deref())?;
                    metric = Some(form.metric().to_vec());
                    Box::new(form)
                }
                other => other.fit(&signal)?,
            };
            Ok(Self { form: Form::Prepared(cost), gamma, metric })
        })
        .map_err(refuse)
    }

    #[staticmethod]
    fn custom(object: Py<PyAny>, points: usize, min_size: usize) -> Self {
        let custom = Custom { object, points, min_size, raised: Mutex::new(None) };
        Self { form: Form::Custom(custom), gamma: None, metric: None }
    }

    #[getter]
    fn gamma(&self) -> Option<f64> {
        self.gamma
    }

    #[getter]
    fn metric(&self) -> Option<Vec<f64>> {
        self.metric.clone()
    }

    fn error(&self, start: usize, end: usize) -> PyResult<f64> {
        let cost: &dyn cost::Cost = match &self.form {
            Form::Prepared(cost) => cost.as_ref(),
            Form::Custom(custom) => custom,
        };
        if start >= end || end > cost.points() {
            return Err(PyValueError::new_err(format!(
                "there is no segment from {start} to {end} of {} points; give a start before an end within them",
                cost.points()
            )));
        }
        Ok(cost.error(start, end))
    }

    fn pelt(&self, py: Python<'_>, pen: f64, min_size: usize, jump: usize) -> PyResult<Vec<usize>> {
        self.search(py, |cost| pelt(cost, Grid { min_size, jump }, pen))
    }

    fn dynp(&self, py: Python<'_>, n_bkps: usize, min_size: usize, jump: usize) -> PyResult<Vec<usize>> {
        self.search(py, |cost| Dynamic::solve(cost, Grid { min_size, jump }, n_bkps)?.segmentation(n_bkps))
    }

    #[pyo3(signature = (min_size, jump, n_bkps=None, pen=None, epsilon=None))]
    fn binseg(
        &self,
        py: Python<'_>,
        min_size: usize,
        jump: usize,
        n_bkps: Option<usize>,
        pen: Option<f64>,
        epsilon: Option<f64>,
    ) -> PyResult<Vec<usize>> {
        let stop = stop(n_bkps, pen, epsilon)?;
        self.search(py, |cost| binary(cost, Grid { min_size, jump }, stop))
    }

    #[pyo3(signature = (min_size, jump, n_bkps=None, pen=None, epsilon=None))]
    fn bottom_up(
        &self,
        py: Python<'_>,
        min_size: usize,
        jump: usize,
        n_bkps: Option<usize>,
        pen: Option<f64>,
        epsilon: Option<f64>,
    ) -> PyResult<Vec<usize>> {
        let stop = stop(n_bkps, pen, epsilon)?;
        self.search(py, |cost| bottom_up(cost, Grid { min_size, jump }, stop))
    }

    #[pyo3(signature = (width, min_size, jump, n_bkps=None, pen=None, epsilon=None))]
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of the Python class")]
    fn window(
        &self,
        py: Python<'_>,
        width: usize,
        min_size: usize,
        jump: usize,
        n_bkps: Option<usize>,
        pen: Option<f64>,
        epsilon: Option<f64>,
    ) -> PyResult<Vec<usize>> {
        let stop = stop(n_bkps, pen, epsilon)?;
        let grid = Grid { min_size, jump };
        self.search(py, |cost| window(cost, grid, &Scores::of(cost, grid, width)?, stop))
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: Py<PyAny>) -> Py<Self> {
        // It never changes.
        slf
    }
}

type Found = (Vec<usize>, Vec<usize>, f64);

/// Change points of a signal with gaps: ends, how early each may lie, penalty.
#[pyfunction]
#[pyo3(signature = (signal, model, min_size, penalty=None))]
pub(crate) fn signal_changes(
    py: Python<'_>,
    signal: &Bound<'_, PyAny>,
    model: &str,
    min_size: usize,
    penalty: Option<f64>,
) -> PyResult<Found> {
    let array = Array::of(signal)?;
    let detection = detection(model, min_size, penalty)?;
    let values = array.values();
    py.detach(|| changes(values, &detection))
        .map(|found| (found.ends, found.earliest, found.penalty))
        .map_err(refuse)
}

fn detection(model: &str, min_size: usize, penalty: Option<f64>) -> PyResult<Detection> {
    let model = Model::named(model).ok_or_else(|| {
        PyValueError::new_err(format!("there is no cost `{model}`; there are {}", Model::NAMES.join(", ")))
    })?;
    Ok(Detection { model, min_size, penalty: penalty.map_or(Penalty::Auto, Penalty::Fixed) })
}

/// The same of each row of a table, on so many threads.
#[pyfunction]
#[pyo3(signature = (signals, model, min_size, penalty=None, threads=None))]
pub(crate) fn signal_changes_many(
    py: Python<'_>,
    signals: &Bound<'_, PyAny>,
    model: &str,
    min_size: usize,
    penalty: Option<f64>,
    threads: Option<NonZeroUsize>,
) -> PyResult<Vec<Vec<usize>>> {
    let array = Array::of(signals)?;
    let width = columns(&array)?;
    let detection = detection(model, min_size, penalty)?;
    let rows: Vec<&[f64]> = array.values().chunks_exact(width).collect();
    py.detach(|| each(&rows, threads, |row| changes(row, &detection).map(|found| found.ends))).map_err(refuse)
}

/// The best penalised segmentation by squared distances of a signal without gaps.
#[pyfunction]
pub(crate) fn signal_least_squares(
    py: Python<'_>,
    signal: &Bound<'_, PyAny>,
    min_size: usize,
    penalty: f64,
) -> PyResult<Vec<usize>> {
    let array = Array::of(signal)?;
    let values = array.values();
    py.detach(|| functional(values, min_size, penalty)).map_err(refuse)
}

/// Correlations of one signal with each row of a table over the lags from -reach to reach, written row after row into `out`.
#[pyfunction]
#[pyo3(signature = (signal, others, reach, out, threads=None))]
pub(crate) fn signal_lagged(
    py: Python<'_>,
    signal: &Bound<'_, PyAny>,
    others: &Bound<'_, PyAny>,
    reach: usize,
    out: &Bound<'_, PyAny>,
    threads: Option<NonZeroUsize>,
) -> PyResult<()> {
    let (first, others, mut out) = (Array::of(signal)?, Array::of(others)?, Array::of(out)?);
    let width = columns(&others)?;
    let lags = 2 * reach + 1;
    let rows: Vec<&[f64]> = others.values().chunks_exact(width).collect();
    if out.shape() != [rows.len(), lags] {
        return Err(PyValueError::new_err(format!("the result needs the shape ({}, {lags})", rows.len())));
    }
    let first = first.values();
    let table = py.detach(|| {
        let Some(first) = Standard::of(first)? else {
            // Without variance there is no correlation, whatever the rows are.
            rows.iter().try_for_each(|row| Standard::of(row).map(drop))?;
            return Ok(vec![f64::NAN; rows.len() * lags]);
        };
        lagged_table(&first, &rows, reach, threads_or_all(threads))
    });
    out.values_mut()?.copy_from_slice(&table.map_err(refuse)?);
    Ok(())
}

pub(crate) fn columns(array: &Array<'_>) -> PyResult<usize> {
    match array.shape() {
        [_, width] if *width > 0 => Ok(*width),
        other => Err(PyValueError::new_err(format!(
            "a table has two dimensions, not the shape {other:?}; give one signal in each row"
        ))),
    }
}

/// As many threads as were asked for, or one for each processor.
fn threads_or_all(threads: Option<NonZeroUsize>) -> NonZeroUsize {
    threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

/// Does something with each row, in an order that does not show in the result.
pub(crate) fn each<R: Sync, T: Send>(
    rows: &[R],
    threads: Option<NonZeroUsize>,
    work: impl Fn(&R) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let threads = threads_or_all(threads).get();
    let next = AtomicUsize::new(0);
    let run = || -> Vec<(usize, Result<T, Error>)> {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(row) = rows.get(at) else { return done };
            done.push((at, work(row)));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.min(rows.len().max(1))).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for helper in helpers {
            match helper.join() {
                Ok(part) => done.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
