"""Analyses of signals: the Rust code on NumPy arrays."""

from __future__ import annotations

import threading
from typing import Any

import pytest

np: Any = pytest.importorskip("numpy", reason="skipped: numpy is missing; pip install numpy")

import backlot.ruptures as rpt  # noqa: E402
from backlot import signals  # noqa: E402


def step() -> Any:
    return np.r_[np.zeros(33), np.full(30, 5.0)]


def test_the_step_is_where_it_is() -> None:
    assert signals.changes(step()).ends == [33, 63]
    assert rpt.Pelt(model="l2").fit(step()).predict(pen=1) == [33, 63]
    assert rpt.KernelCPD().fit(step()).predict(pen=1) == [33, 63]
    for search in (rpt.Binseg, rpt.Dynp):
        assert search().fit(step()).predict(n_bkps=1) == [33, 63]


def test_missing_points_are_gaps_and_infinite_ones_errors() -> None:
    values = step()
    values[30:34] = np.nan
    found = signals.changes(values)
    assert (found.ends, found.earliest) == ([34, 63], [30])
    values[3] = np.inf
    with pytest.raises(ValueError, match="point 3 is inf"):
        signals.changes(values)
    with pytest.raises(ValueError, match="NaN"):
        rpt.Pelt().fit(np.array([1.0, np.nan, 2.0]))


def test_any_array_is_taken() -> None:
    table = np.stack([step(), step()[::-1]])
    expected = [[33, 63], [30, 63]]
    for given in (table, table.astype(np.float32), np.asfortranarray(table), table.tolist(), table.astype(int)):
        assert signals.changes_many(given, threads=2) == expected
    assert signals.changes(step()[::-1]).ends == [30, 63]
    read_only = step()
    read_only.flags.writeable = False
    assert signals.changes(read_only).ends == [33, 63]
    with pytest.raises(ValueError, match="two dimensions"):
        signals.changes_many(step())
    with pytest.raises(ValueError, match="no cost"):
        signals.changes(step(), model="l3")


def test_lags_have_the_sign_that_is_documented() -> None:
    rng = np.random.default_rng(1)
    alert = rng.normal(size=300)
    later, earlier = np.roll(alert, 7), np.roll(alert, -4)
    found = signals.lagged(alert, np.stack([later, earlier, np.ones(300)]), reach=20)
    assert found.shape == (3, 41)
    assert found[0].argmax() - 20 == 7 and found[1].argmax() - 20 == -4
    assert np.isnan(found[2]).all()
    a, b = alert - alert.mean(), later - later.mean()
    expected = (a[:-5] * b[5:]).sum() / np.sqrt((a**2).sum() * (b**2).sum())
    assert found[0][25] == pytest.approx(expected, abs=1e-12)


def test_own_costs_are_searched_and_their_errors_raised() -> None:
    class Range(rpt.base.BaseCost):
        model = "range"
        min_size = 2

        def fit(self, signal: Any) -> Any:
            self.signal = np.asarray(signal)
            return self

        def error(self, start: int, end: int) -> float:
            if self.signal.max() > 100:
                raise RuntimeError("too much")
            return float(np.ptp(self.signal[start:end]))

    assert rpt.Pelt(custom_cost=Range()).fit(step()).predict(pen=1) == [33, 63]
    with pytest.raises(RuntimeError, match="too much"):
        rpt.Pelt(custom_cost=Range()).fit(100 * step()).predict(pen=1)


def test_other_threads_run_meanwhile() -> None:
    table = np.random.default_rng(2).normal(size=(4, 1500))
    stop, count = threading.Event(), [0]

    def spin() -> None:
        while not stop.is_set():
            count[0] += 1

    spinner = threading.Thread(target=spin)
    spinner.start()
    while count[0] == 0:
        pass
    before = count[0]
    signals.changes_many(table, model="l1", min_size=20, penalty=1e9, threads=1)
    after = count[0]
    stop.set()
    spinner.join()
    assert after > before
