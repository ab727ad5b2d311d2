"""Analyses of signals, by the same Rust code that the server runs.

    import numpy as np
    from backlot import signals

    found = signals.changes(values)            # NaN is a missing point
    found.ends, found.earliest                 # where segments end, and how early each change may lie
    signals.changes_many(table)                # one signal in each row, on all processors
    signals.lagged(alert, table, reach=60)     # correlations; at a positive lag the row follows the alert
    signals.explain(alert, table, at=1400)     # which rows explain what happened to the alert
    signals.matrix_profile(values, window=100) # shapes that repeat, and those that are like no other
    signals.outliers(hosts, expected=2)        # which rows do not behave like the others
    signals.Detector().push(values)            # changes while the signal comes in
    signals.forecast(values, steps=24, season=24)
    signals.rpca(values, period=24)            # what stands out of a signal that repeats
    signals.seasonal(values, period=24)        # trend, season, remainder

A signal is anything that NumPy makes floats of, or an Arrow array; a table is an array with one signal in each **row**, or a frame (pandas, polars, an Arrow table) with
one signal in each **column**. Arrays of float64 that are C-contiguous, and Arrow arrays of doubles without nulls, go in without a copy; others are converted first. A null
is a missing point. Other Python threads run meanwhile.

What does not do is a ``ValueError`` that says which point and why: infinite values, signals shorter than a segment, a table whose rows are not as long as the alert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Optional, Union

import numpy as np

from . import _native

__all__ = [
    "Alarm",
    "Changes",
    "Cluster",
    "Detector",
    "Discord",
    "Entry",
    "Explanation",
    "Forecast",
    "MatrixProfile",
    "Motif",
    "Outliers",
    "Peak",
    "Rpca",
    "Seasonal",
    "changes",
    "changes_many",
    "explain",
    "forecast",
    "lagged",
    "least_squares",
    "matrix_profile",
    "outliers",
    "rpca",
    "seasonal",
]


@dataclass(frozen=True)
class Changes:
    """Where a signal changes."""

    ends: list[int]
    """The ends of its segments; the last is the number of points."""
    earliest: list[int]
    """For each change point, how early it may lie: the start of the gap before it, or the change point itself."""
    penalty: float
    """What a change point had to gain."""


@dataclass(frozen=True)
class Peak:
    """The strongest correlation of a signal's moves with the alert's."""

    r: float
    """-1 to 1."""
    lag: int
    """In points; positive when the signal follows the alert."""
    lag_interval: tuple[int, int]
    """Lags that cannot be told from it."""
    p: float
    """The chance of so strong a one at any lag between unrelated signals."""


@dataclass(frozen=True)
class Entry:
    """A signal that changed around the alert."""

    row: int
    """Its row (or column) of the table."""
    name: str
    """What it is called; its row's number unless names are known."""
    score: float
    """0 to 1: early, strong, followed by others, part of the alert's incident."""
    at: int
    """The first point after its change."""
    interval: tuple[int, int]
    """Where the change may lie instead (95 percent)."""
    effect: float
    """The shift in standard deviations of its own noise."""
    before: float
    """The level before."""
    after: float
    """The level after."""
    lag: int
    """Points from the alert's own change to this one; negative before it."""
    lag_interval: tuple[int, int]
    """The same from the intervals of both."""
    q: float
    """The least rate of false discoveries at which this is one."""
    correlation: Optional[Peak]
    """How its moves correlate with the alert's."""
    cluster: int
    """Its place in ``clusters``."""
    first_mover: bool
    """Whether nothing of the incident surely changed before it."""
    in_incident: bool
    """Whether it belongs to the incident of the alert."""
    season: float
    """The share of its variance that the season explained."""


@dataclass(frozen=True)
class Cluster:
    """Signals that moved together."""

    leader: int
    """The row of the first in the ranking."""
    members: list[int]
    """The rows of all of them."""
    first: int
    """When the first of them changed."""


@dataclass(frozen=True)
class Explanation:
    """Which signals explain an alert."""

    changed: Optional[int]
    """The first point after the alert's own change, if it has one."""
    tested: int
    """Signals that were tested."""
    ranked: list[Entry]
    """What changed, most explaining first."""
    clusters: list[Cluster]
    """What moved together."""
    untested: dict[str, str]
    """Signals that could not be tested, and why: ``sparse``, ``constant`` or ``infinite``."""


def _is_frame(values: Any) -> bool:
    return hasattr(values, "columns") and not isinstance(values, np.ndarray)


def _floats(values: Any) -> Any:
    """A C-contiguous array of float64: the array itself where it is one."""
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values, dtype=np.float64)
    if _is_frame(values) and hasattr(values, "iloc"):
        # pandas: its own conversion knows all of its missing values.
        return np.ascontiguousarray(values.to_numpy(dtype=np.float64, na_value=np.nan).T)
    if hasattr(values, "iloc"):
        return np.ascontiguousarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
    if hasattr(values, "__arrow_c_array__") or hasattr(values, "__arrow_c_stream__"):
        return np.asarray(_native.arrow_floats(values))
    return np.ascontiguousarray(values, dtype=np.float64)


def _names(table: Any, count: int) -> list[str]:
    """What the signals of a table are called."""
    if _is_frame(table):
        named = getattr(table, "column_names", None)  # an Arrow table's `columns` are the data
        return [str(name) for name in (table.columns if named is None else named)]
    return [str(row) for row in range(count)]


def changes(values: Any, *, model: str = "l2", min_size: int = 2, penalty: Optional[float] = None) -> Changes:
    """Change points of one signal; without ``penalty`` it is chosen from the noise."""
    return Changes(*_native.signal_changes(_floats(values), model, min_size, penalty))


def changes_many(
    table: Any,
    *,
    model: str = "l2",
    min_size: int = 2,
    penalty: Optional[float] = None,
    threads: Optional[int] = None,
) -> list[list[int]]:
    """The ends of the segments of each signal."""
    return _native.signal_changes_many(_floats(table), model, min_size, penalty, threads)


def least_squares(values: Any, *, penalty: float, min_size: int = 2) -> list[int]:
    """The exact penalised segmentation of one signal without gaps by squared distances from segment means."""
    return _native.signal_least_squares(_floats(values), min_size, penalty)


def lagged(signal: Any, table: Any, *, reach: int, threads: Optional[int] = None) -> Any:
    """Correlations of ``signal`` with each row over the lags from ``-reach`` to ``reach``, one row for each.

    Column ``reach + lag`` holds the correlation of ``signal[t]`` with ``row[t + lag]``: at a positive lag the row follows the signal.
    A row without variance has NaN.
    """
    table = _floats(table)
    out = np.empty((len(table), 2 * reach + 1))
    _native.signal_lagged(_floats(signal), table, reach, out, threads)
    return out


def explain(
    alert: Any,
    table: Any,
    *,
    at: Optional[int] = None,
    before: int = 60,
    after: int = 30,
    lags: Optional[int] = None,
    season: Optional[int] = None,
    rate: float = 0.05,
    min_size: int = 3,
    names: Optional[Sequence[str]] = None,
    threads: Optional[int] = None,
) -> Explanation:
    """Which signals of ``table`` explain what happened to ``alert`` at the point ``at`` (its last unless given).

    Causes are looked for from ``before`` points ahead of it to ``after`` points behind; correlations are taken over ``lags`` (as ``before`` unless given);
    ``season`` is the number of points after which signals repeat. Among the signals reported at most the share ``rate`` is there by chance.
    The answer does not depend on ``threads``.
    """
    signal = _floats(alert)
    rows = _floats(table)
    named = _names(table, len(rows)) if names is None else [str(name) for name in names]
    if len(named) != len(rows):
        raise ValueError(f"{len(named)} names stand for {len(rows)} signals; give one for each")
    told = _native.signal_explain(
        signal,
        rows,
        at=_point(at, len(signal)),
        before=before,
        after=after,
        lags=min(before, max(len(signal) - 1, 0)) if lags is None else lags,
        season=season,
        rate=rate,
        min_size=min_size,
        threads=threads,
    )
    return Explanation(
        changed=told["changed"],
        tested=told["tested"],
        ranked=[_entry(named, entry) for entry in told["ranked"]],
        clusters=[Cluster(*cluster) for cluster in told["clusters"]],
        untested={named[row]: why for row, why in told["untested"]},
    )


def _point(at: Union[int, None], points: int) -> int:
    if at is None:
        return max(points - 1, 0)
    if not 0 <= at < points:
        raise ValueError(f"there is no point {at} of {points}; give the place of the alert, from 0")
    return at


def _entry(named: list[str], told: dict[str, Any]) -> Entry:
    peak = told.pop("correlation")
    return Entry(name=named[told["row"]], correlation=None if peak is None else Peak(*peak), **told)


@dataclass(frozen=True)
class Motif:
    """Two windows that are alike."""

    at: int
    """Where one begins."""
    other: int
    """Where the other does."""
    distance: float
    """The distance of their z-normalised shapes."""


@dataclass(frozen=True)
class Discord:
    """A window that is like no other."""

    at: int
    """Where it begins."""
    nearest: int
    """Where the nearest window begins."""
    distance: float
    """Their distance."""


@dataclass(frozen=True)
class MatrixProfile:
    """For each window of a signal the most similar other window."""

    window: int
    """Points of a window."""
    distances: Any
    """The distance to the nearest window; infinite for a window without one."""
    nearest: Any
    """Where that begins; -1 without one."""
    left: Any
    """The same among windows that begin earlier; empty for a join of two signals."""
    right: Any
    """The same among windows that begin later."""
    motifs: list[Motif]
    """The most alike pairs."""
    discords: list[Discord]
    """The least alike windows."""


def matrix_profile(
    values: Any,
    window: int,
    *,
    other: Optional[Any] = None,
    motifs: int = 3,
    discords: int = 3,
    threads: Optional[int] = None,
) -> MatrixProfile:
    """The matrix profile of a signal, or of its windows among those of ``other``."""
    told = _native.signal_matrix_profile(
        _floats(values), window, None if other is None else _floats(other), motifs, discords, threads
    )
    places = (np.asarray(part, dtype=np.int64) for part in told[1:4])
    nearest, left, right = places
    return MatrixProfile(
        window,
        np.asarray(told[0]),
        nearest,
        left,
        right,
        [Motif(*one) for one in told[4]],
        [Discord(*one) for one in told[5]],
    )


@dataclass(frozen=True)
class Outliers:
    """Which hosts do not behave like the others."""

    rows: list[int]
    """The outliers, the farthest off first."""
    labels: list[str]
    """For each host ``usual``, ``outlier`` or ``sparse``."""
    scores: Any
    """For each host how far off it is; NaN for a sparse one."""
    threshold: float
    """Above this a host is an outlier."""


def outliers(
    hosts: Any,
    *,
    expected: int,
    method: Literal["dbscan", "mad"] = "dbscan",
    neighbours: Optional[int] = None,
    least: float = 3.5,
) -> Outliers:
    """Which of the hosts, one in each row over the same window, are off; at most ``expected`` are believed.

    ``dbscan`` asks which windows lie where few others do, with ``neighbours`` near a core; ``mad`` which levels lie far from the others', by at least
    ``least`` robust standard deviations.
    """
    rows, labels, scores, threshold = _native.signal_outliers(_floats(hosts), method, expected, neighbours, least)
    return Outliers(rows, labels, np.asarray(scores), threshold)


@dataclass(frozen=True)
class Alarm:
    """The mean has changed."""

    at: int
    """The first point after the change, counted from the first ever pushed."""
    seen: int
    """The point that raised the alarm."""
    statistic: float
    """The evidence, in units of the noise's variance."""
    before: float
    """The mean before."""
    after: float
    """The mean after."""


class Detector:
    """Finds changes of a signal's mean while it comes in (FOCuS).

    Without ``sigma`` the noise is measured on the first ``warm_up`` points. A signal that does not change raises a false alarm about once in ``run_length`` points; ``threshold``
    sets the evidence itself.
    """

    def __init__(
        self,
        *,
        sigma: Optional[float] = None,
        run_length: Optional[float] = None,
        threshold: Optional[float] = None,
        warm_up: Optional[int] = None,
    ) -> None:
        self._native = _native.OnlineDetector(sigma, run_length, threshold, warm_up)

    @property
    def threshold(self) -> float:
        """The evidence that raises an alarm."""
        return self._native.threshold

    def push(self, values: Any) -> list[Alarm]:
        """Takes a point or several; the alarms that they raise."""
        return [Alarm(*alarm) for alarm in self._native.push(np.atleast_1d(_floats(values)))]


@dataclass(frozen=True)
class Forecast:
    """What is expected of a signal's next points."""

    mean: Any
    """What is expected."""
    lower: Any
    """Where the intervals begin."""
    upper: Any
    """Where they end."""
    fitted: Any
    """For each point of the signal what was expected of it from those before; NaN where there were too few."""
    sigma: float
    """The standard deviation of what was off by one step."""
    weights: list[float]
    """Alpha, beta and, with a season, gamma."""


def forecast(
    values: Any,
    steps: int,
    *,
    season: Optional[int] = None,
    confidence: float = 0.95,
    weights: Optional[Sequence[float]] = None,
) -> Forecast:
    """Double exponential smoothing or, with a ``season`` of so many points, Holt-Winters; weights are fitted unless given."""
    given = None if weights is None else [float(weight) for weight in weights]
    fitted, mean, lower, upper, sigma, used = _native.signal_forecast(_floats(values), steps, season, confidence, given)
    return Forecast(np.asarray(mean), np.asarray(lower), np.asarray(upper), np.asarray(fitted), sigma, used)


@dataclass(frozen=True)
class Rpca:
    """A signal that repeats, in parts."""

    usual: Any
    """What repeats."""
    anomalous: Any
    """What stands out; 0 where nothing does."""
    noise: Any
    """The rest."""
    is_differenced: bool
    """Whether these are parts of the differences."""


def rpca(
    values: Any,
    period: int,
    *,
    differences: Optional[bool] = None,
    low_rank: float = 1.0,
    sparse: Optional[float] = None,
) -> Rpca:
    """Robust principal components of a signal of whole periods: what stands out of what repeats.

    Without ``differences`` a test for a unit root says whether differences are looked at.
    """
    usual, anomalous, noise, is_differenced = _native.signal_rpca(_floats(values), period, differences, low_rank, sparse)
    return Rpca(np.asarray(usual), np.asarray(anomalous), np.asarray(noise), is_differenced)


@dataclass(frozen=True)
class Seasonal:
    """A signal as the sum of three."""

    trend: Any
    """The moving average."""
    seasonal: Any
    """What repeats, with mean 0 over a period."""
    remainder: Any
    """What is left."""


def seasonal(values: Any, period: int) -> Seasonal:
    """Additive decomposition, with the median of each phase."""
    parts = _native.signal_seasonal(_floats(values), period)
    return Seasonal(*(np.asarray(part) for part in parts))
