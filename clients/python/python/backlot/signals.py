"""Analyses of signals, by the same Rust code that the server runs.

    import numpy as np
    from backlot import signals

    found = signals.changes(values)            # NaN is a missing point
    found.ends, found.earliest                 # where segments end, and how early each change may lie
    signals.changes_many(table)                # one signal in each row, on all processors
    signals.lagged(alert, table, reach=60)     # correlations; at a positive lag the row follows the alert

Arrays of float64 that are C-contiguous go in without a copy, others are converted first. Other Python threads run meanwhile.
Infinite values, and signals shorter than a segment, are a ``ValueError`` that says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from . import _native

__all__ = ["Changes", "changes", "changes_many", "lagged", "least_squares"]


@dataclass(frozen=True)
class Changes:
    """Where a signal changes."""

    ends: list[int]
    """The ends of its segments; the last is the number of points."""
    earliest: list[int]
    """For each change point, how early it may lie: the start of the gap before it, or the change point itself."""
    penalty: float
    """What a change point had to gain."""


def _floats(values: Any) -> Any:
    return np.ascontiguousarray(values, dtype=np.float64)


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
    """The ends of the segments of each row."""
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
