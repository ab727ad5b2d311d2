//! The analyses of one signal or of a fleet, callable from Python. Long results go back as [`Floats`], which NumPy looks at without a copy.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use backlot_signals_kernels::forecast::{
    DoubleExponential, Forecast, HoltWinters, Horizon, double_exponential, fit_double_exponential,
    fit_holt_winters, holt_winters,
};
use backlot_signals_kernels::matrix_profile::{Profile, ab_join, self_join};
use backlot_signals_kernels::online::{Detector, Threshold, Watch};
use backlot_signals_kernels::outliers::{Dbscan, Label, Mad, Outliers, dbscan, mad};
use backlot_signals_kernels::rpca::{Differencing, Penalties, anomalies};
use backlot_signals_kernels::seasonal::decompose;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::array::Array;
use crate::arrow::Floats;
use crate::signals::{columns, refuse};

type Pairs = Vec<(usize, usize, f64)>;
type Places = Vec<i64>;

/// Distances, nearest windows (−1 without one), and of those the nearest before and after; then motifs and discords.
#[pyfunction]
#[pyo3(signature = (values, window, other=None, motifs=3, discords=3, threads=None))]
pub(crate) fn signal_matrix_profile(
    py: Python<'_>,
    values: &Bound<'_, PyAny>,
    window: usize,
    other: Option<&Bound<'_, PyAny>>,
    motifs: usize,
    discords: usize,
    threads: Option<NonZeroUsize>,
) -> PyResult<(Floats, Places, Places, Places, Pairs, Pairs)> {
    let threads = threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let values = Array::of(values)?;
    let other = other.map(Array::of).transpose()?;
    let (values, other) = (values.values(), other.as_ref().map(Array::values));
    let found = py.detach(|| {
        let profile: Profile = match other {
            Some(other) => ab_join(values, other, window, threads)?,
            None => self_join(values, window, threads)?,
        };
        let shapes: Pairs =
            profile.motifs(motifs).iter().map(|one| (one.at, one.other, one.distance)).collect();
        let odd: Pairs =
            profile.discords(discords).iter().map(|one| (one.at, one.nearest, one.distance)).collect();
        Ok((profile, shapes, odd))
    });
    let (profile, shapes, odd) = found.map_err(refuse)?;
    let places = |all: Vec<Option<usize>>| {
        all.into_iter().map(|place| place.map_or(-1, |place| place as i64)).collect()
    };
    Ok((
        Floats::of(profile.distances),
        places(profile.nearest),
        places(profile.left),
        places(profile.right),
        shapes,
        odd,
    ))
}

type Apart = (Vec<usize>, Vec<&'static str>, Floats, f64);

/// Which rows do not behave like the others: places, labels, scores, threshold.
#[pyfunction]
#[pyo3(signature = (hosts, method, expected, neighbours=None, least=3.5))]
pub(crate) fn signal_outliers(
    py: Python<'_>,
    hosts: &Bound<'_, PyAny>,
    method: &str,
    expected: usize,
    neighbours: Option<usize>,
    least: f64,
) -> PyResult<Apart> {
    let table = Array::of(hosts)?;
    let width = columns(&table)?;
    let rows: Vec<&[f64]> = table.values().chunks_exact(width).collect();
    let found: Outliers = match method {
        "dbscan" => py.detach(|| dbscan(&rows, Dbscan { expected, neighbours })),
        "mad" => py.detach(|| mad(&rows, Mad { expected, least })),
        other => {
            return Err(PyValueError::new_err(format!(
                "there is no method `{other}`; there are dbscan and mad"
            )));
        }
    }
    .map_err(refuse)?;
    let label = |label: &Label| match label {
        Label::Usual => "usual",
        Label::Outlier => "outlier",
        Label::Sparse => "sparse",
    };
    let labels = found.labels.iter().map(label).collect();
    Ok((found.outliers(), labels, Floats::of(found.scores), found.threshold))
}

type Raised = (usize, usize, f64, f64, f64);

/// Changes of a signal as it comes in.
#[pyclass(frozen, module = "backlot._native")]
pub(crate) struct OnlineDetector(Mutex<Detector>);

#[pymethods]
impl OnlineDetector {
    #[new]
    #[pyo3(signature = (sigma=None, run_length=None, threshold=None, warm_up=None))]
    fn new(
        sigma: Option<f64>,
        run_length: Option<f64>,
        threshold: Option<f64>,
        warm_up: Option<usize>,
    ) -> PyResult<Self> {
        let usual = Watch::default();
        let threshold = match (threshold, run_length) {
            (Some(value), _) => Threshold::Fixed(value),
            (None, Some(points)) => Threshold::RunLength(points),
            (None, None) => usual.threshold,
        };
        let watch = Watch { sigma, threshold, warm_up: warm_up.unwrap_or(usual.warm_up) };
        Detector::new(watch).map(|detector| Self(Mutex::new(detector))).map_err(refuse)
    }

    #[getter]
    fn threshold(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).threshold()
    }

    /// Takes points; the alarms that they raise: change, point seen, statistic, mean before, mean after.
    fn push(&self, py: Python<'_>, values: &Bound<'_, PyAny>) -> PyResult<Vec<Raised>> {
        let values = Array::of(values)?;
        let values = values.values();
        py.detach(|| {
            let mut detector = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut raised = Vec::new();
            for &value in values {
                if let Some(alarm) = detector.push(value)? {
                    raised.push((alarm.at, alarm.seen, alarm.statistic, alarm.before, alarm.after));
                }
            }
            Ok(raised)
        })
        .map_err(refuse)
    }
}

type Ahead = (Floats, Floats, Floats, Floats, f64, Vec<f64>);

/// What is expected of the next points: fitted, mean, lower, upper, sigma, weights.
#[pyfunction]
#[pyo3(signature = (values, steps, season=None, confidence=0.95, weights=None))]
pub(crate) fn signal_forecast(
    py: Python<'_>,
    values: &Bound<'_, PyAny>,
    steps: usize,
    season: Option<usize>,
    confidence: f64,
    weights: Option<Vec<f64>>,
) -> PyResult<Ahead> {
    let values = Array::of(values)?;
    let values = values.values();
    let horizon = Horizon { steps, confidence };
    let wrong =
        || PyValueError::new_err("the weights are alpha and beta, with a season also gamma; give so many");
    let (forecast, weights): (Forecast, Vec<f64>) = match season {
        None => {
            let given = match weights.as_deref() {
                None => None,
                Some(&[alpha, beta]) => Some(DoubleExponential { alpha, beta }),
                Some(_) => return Err(wrong()),
            };
            py.detach(|| {
                let weights = given.map_or_else(|| fit_double_exponential(values), Ok)?;
                Ok((double_exponential(values, weights, horizon)?, vec![weights.alpha, weights.beta]))
            })
        }
        Some(season) => {
            let given = match weights.as_deref() {
                None => None,
                Some(&[alpha, beta, gamma]) => Some(HoltWinters { season, alpha, beta, gamma }),
                Some(_) => return Err(wrong()),
            };
            py.detach(|| {
                let weights = given.map_or_else(|| fit_holt_winters(values, season), Ok)?;
                Ok((
                    holt_winters(values, weights, horizon)?,
                    vec![weights.alpha, weights.beta, weights.gamma],
                ))
            })
        }
    }
    .map_err(refuse)?;
    let Forecast { fitted, mean, lower, upper, sigma, .. } = forecast;
    Ok((Floats::of(fitted), Floats::of(mean), Floats::of(lower), Floats::of(upper), sigma, weights))
}

/// What stands out of a signal that repeats: usual, anomalous, noise, whether they are of differences.
#[pyfunction]
#[pyo3(signature = (values, period, differences=None, low_rank=1.0, sparse=None))]
pub(crate) fn signal_rpca(
    py: Python<'_>,
    values: &Bound<'_, PyAny>,
    period: usize,
    differences: Option<bool>,
    low_rank: f64,
    sparse: Option<f64>,
) -> PyResult<(Floats, Floats, Floats, bool)> {
    let values = Array::of(values)?;
    let values = values.values();
    let differencing = match differences {
        None => Differencing::Auto,
        Some(true) => Differencing::Always,
        Some(false) => Differencing::Never,
    };
    let found = py
        .detach(|| anomalies(values, period, differencing, Penalties { low_rank, sparse }))
        .map_err(refuse)?;
    Ok((Floats::of(found.usual), Floats::of(found.anomalous), Floats::of(found.noise), found.is_differenced))
}

/// A signal as trend, season and remainder.
#[pyfunction]
pub(crate) fn signal_seasonal(
    py: Python<'_>,
    values: &Bound<'_, PyAny>,
    period: usize,
) -> PyResult<(Floats, Floats, Floats)> {
    let values = Array::of(values)?;
    let values = values.values();
    let parts = py.detach(|| decompose(values, period)).map_err(refuse)?;
    Ok((Floats::of(parts.trend), Floats::of(parts.seasonal), Floats::of(parts.remainder)))
}
