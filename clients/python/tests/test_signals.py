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


def incident() -> tuple[Any, Any, int]:
    """An alert at point 280 of 300, a cause at 270 in row 3, and noise."""
    rng = np.random.default_rng(5)
    table = rng.normal(50, 2, size=(20, 300))
    table[3, 270:] += 15
    table[7, 274:] -= 12
    alert = rng.normal(10, 1, size=300)
    alert[278:] += 20
    return alert, table, 280


def test_an_alert_is_explained_as_the_server_does() -> None:
    alert, table, at = incident()
    found = signals.explain(alert, table, at=at, before=60, after=15)
    assert [entry.row for entry in found.ranked] == [3, 7]
    first = found.ranked[0]
    assert (first.name, first.first_mover, first.in_incident) == ("3", True, True)
    assert first.interval[0] <= 270 <= first.interval[1] and first.lag < 0 and 5 < first.effect < 11
    assert (found.changed, found.tested, found.untested) == (278, 20, {})
    assert sorted(member for cluster in found.clusters for member in cluster.members) == [3, 7]
    for threads in (1, 2, 8):
        assert signals.explain(alert, table, at=at, before=60, after=15, threads=threads) == found


def test_odd_signals_are_named() -> None:
    alert, table, at = incident()
    table[0] = 7
    table[1, 5] = np.inf
    table[2, ::2] = np.nan
    table[2, 1::4] = np.nan
    names = [f"s{row}" for row in range(20)]
    found = signals.explain(alert, table, at=at, before=60, after=15, names=names)
    assert found.untested == {"s0": "constant", "s1": "infinite", "s2": "sparse"}
    assert found.ranked[0].name == "s3"
    # A hundred values that are only 0 or 1, then 4 or 5: ties are no special case.
    table[0] = np.arange(300) * 31 % 2 + np.where(np.arange(300) < 268, 0, 4)
    assert 0 in [entry.row for entry in signals.explain(alert, table, at=at, before=60, after=15).ranked]
    with pytest.raises(ValueError, match="point 4 is inf"):
        signals.explain(np.r_[alert[:4], np.inf, alert[5:]], table, at=at)
    with pytest.raises(ValueError, match="too few"):
        signals.explain(alert[:50], table[:, :50])
    with pytest.raises(ValueError, match="299 points stand beside 300"):
        signals.explain(alert, table[:, :299], at=at, before=60)
    with pytest.raises(ValueError, match="no point 300"):
        signals.explain(alert, table, at=300)
    with pytest.raises(ValueError, match="names"):
        signals.explain(alert, table, at=at, names=["a"])
    with pytest.raises(ValueError, match="rate"):
        signals.explain(alert, table, at=at, rate=0)


def test_frames_and_arrow_are_taken() -> None:
    pa: Any = pytest.importorskip("pyarrow", reason="skipped: pyarrow is missing; pip install pyarrow")
    pd: Any = pytest.importorskip("pandas", reason="skipped: pandas is missing; pip install pandas")
    from backlot import _native

    values = step()
    plain = pa.array(values)
    view = _native.arrow_floats(plain)
    assert view.is_view and np.shares_memory(np.asarray(view), plain.to_numpy())
    assert _native.arrow_floats(plain.slice(3, 40)).is_view
    assert np.array_equal(np.asarray(_native.arrow_floats(plain.slice(3, 40))), values[3:43])
    for array in (
        plain,
        pa.chunked_array([values[:20], values[20:]]),
        pa.array(values.astype(np.int16)),
        pa.array(values.astype(np.float32)),
        pa.array(values > 2),
        pd.Series(values),
        pd.Series(values).astype("Int64"),
        pd.Series(values).astype("double[pyarrow]"),
    ):
        assert signals.changes(array).ends == [33, 63], type(array)
    holes = pa.array([None if 30 <= point < 34 else float(value) for point, value in enumerate(values)])
    found = signals.changes(holes)
    assert (found.ends, found.earliest) == ([34, 63], [30])
    assert signals.changes(pd.Series(holes.to_pandas()).astype("Float64")).ends == [34, 63]
    frame = pd.DataFrame({"up": values, "down": values[::-1]})
    table = pa.table(frame)
    for given in (frame, table, table.slice(0), frame.astype("Float64"), table.combine_chunks().to_batches()[0]):
        assert signals.changes_many(given) == [[33, 63], [30, 63]], type(given)
    assert signals.changes_many(table.slice(1, 60)) == [[32, 60], [29, 60]]
    assert signals.changes_many(table.to_batches()[0].slice(1, 60)) == [[32, 60], [29, 60]]
    alert, rows, at = incident()
    named = pd.DataFrame(rows.T, columns=[f"s{row}" for row in range(20)])
    from_frame = signals.explain(alert, named, at=at, before=60, after=15)
    from_arrow = signals.explain(pa.array(alert), pa.table(named), at=at, before=60, after=15)
    assert from_frame == from_arrow and from_frame.ranked[0].name == "s3"
    with pytest.raises(TypeError, match="cast it to float64"):
        signals.changes(pa.array(["a", "b"]))
    with pytest.raises(TypeError, match="dictionary"):
        signals.changes(pa.array([1.0, 1.0]).dictionary_encode())
    with pytest.raises(ValueError, match="point 1 is inf"):
        signals.changes(pa.array([1.0, float("inf"), 2.0, 3.0]))


def test_irregular_short_and_constant_signals() -> None:
    assert signals.changes(np.ones(50)).ends == [50]
    with pytest.raises(ValueError, match="too few"):
        signals.changes([1.0])
    with pytest.raises(ValueError, match="too few"):
        signals.changes(np.full(10, np.nan))
    with pytest.raises(ValueError, match="-inf"):
        signals.changes_many([[1.0, -np.inf, 2.0, 2.0]])


def test_shapes_that_repeat_and_that_do_not() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=600)
    shape = 4 * np.sin(np.linspace(0, 6, 40))
    values[100:140] += shape
    values[400:440] += shape
    found = signals.matrix_profile(values, 40)
    first, second = sorted((found.motifs[0].at, found.motifs[0].other))
    assert abs(first - 100) < 30 and abs(second - 400) < 30
    assert found.distances.shape == found.nearest.shape == (561,) and found.nearest.dtype == np.int64
    windows = np.lib.stride_tricks.sliding_window_view(values, 40)
    shapes = (windows - windows.mean(1, keepdims=True)) / windows.std(1, keepdims=True)
    apart = np.sqrt(((shapes[found.nearest] - shapes) ** 2).sum(1))
    assert np.allclose(apart, found.distances, atol=1e-6)
    joined = signals.matrix_profile(values[90:150], 40, other=values[390:450])
    assert joined.distances.min() < 5 and len(joined.left) == 0
    with pytest.raises(ValueError):
        signals.matrix_profile(values, 700)
    with pytest.raises(ValueError, match="inf"):
        signals.matrix_profile(np.r_[np.inf, values], 40)


def test_hosts_that_are_off() -> None:
    rng = np.random.default_rng(4)
    hosts = rng.normal(10, 1, size=(30, 60))
    hosts[7] += 12
    hosts[11, ::2] = np.nan
    for method in ("dbscan", "mad"):
        found = signals.outliers(hosts, expected=2, method=method)
        assert found.rows == [7], method
        assert (found.labels[7], found.labels[11], found.labels[0]) == ("outlier", "sparse", "usual")
        assert np.isnan(found.scores[11]) and found.scores[7] > found.threshold
    with pytest.raises(ValueError, match="no method"):
        signals.outliers(hosts, expected=1, method="lof")  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        signals.outliers(hosts[:2], expected=1)


def test_changes_while_the_signal_comes_in() -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(size=900)
    values[600:] += 3
    detector = signals.Detector(sigma=1)
    alarms = [alarm for value in values for alarm in detector.push(value)]
    assert len(alarms) == 1 and abs(alarms[0].at - 600) <= 5 and alarms[0].seen >= alarms[0].at
    assert signals.Detector(sigma=1).push(values) == alarms
    assert signals.Detector(threshold=50).threshold == 50
    with pytest.raises(ValueError, match="inf"):
        detector.push(np.inf)
    with pytest.raises(ValueError):
        signals.Detector(sigma=0)


def test_forecasts_and_parts() -> None:
    days = np.arange(96) + np.tile([0.0, 5, -5, 0], 24)
    found = signals.forecast(days, 4, season=4, weights=[0.4, 0.1, 0.2])
    assert np.allclose(found.mean, [96, 102, 93, 99]) and (found.lower <= found.mean).all() and found.weights == [0.4, 0.1, 0.2]
    line = signals.forecast(3 + 2.0 * np.arange(40), 2)
    assert np.allclose(line.mean, [83, 85], atol=1e-6) and len(line.weights) == 2
    with pytest.raises(ValueError, match="alpha and beta"):
        signals.forecast(days, 1, weights=[0.1])
    values = np.tile(np.arange(24.0), 10)
    values[100] += 70
    parts = signals.rpca(values, 24, differences=False)
    assert parts.anomalous.argmax() == 100 and parts.anomalous[100] > 15 and not parts.is_differenced
    split = signals.seasonal(days, 4)
    assert np.allclose(split.seasonal[:4], [0, 5, -5, 0], atol=0.3)
    for wrong in (lambda: signals.rpca(values, 23), lambda: signals.seasonal(days, 1), lambda: signals.rpca(np.r_[np.nan, values[1:]], 24)):
        with pytest.raises(ValueError):
            wrong()
