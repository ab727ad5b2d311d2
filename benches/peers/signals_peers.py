"""The peers of `cargo xtask bench signals`: the same analyses of the same numbers with ruptures, stumpy, NumPy, SciPy and Dask.

``signals_peers.py TASK FOLDER RUNS`` reads ``signals.f64`` (rows of ``POINTS``) or ``long.f64``, writes what it found to ``TASK.json`` or ``TASK.f64`` and prints one line of JSON: version, note,
seconds of each run.
"""

from __future__ import annotations

import json
import multiprocessing
import pathlib
import sys
import time

import numpy as np

POINTS = 1440
MIN_SIZE = 5
REACH = 60
WINDOW = 100
PENALTY = 3.0 * np.log(POINTS)


def changes_of(row):
    import ruptures

    return ruptures.KernelCPD(kernel="linear", min_size=MIN_SIZE, jump=1).fit(row).predict(pen=PENALTY)


def changes_of_many(rows):
    return [changes_of(row) for row in rows]


def measure(runs, once):
    seconds, found = [], None
    for _ in range(runs):
        begin = time.perf_counter()
        found = once()
        seconds.append(time.perf_counter() - begin)
    return seconds, found


def changes(table, runs):
    import ruptures

    changes_of(table[0])
    seconds, found = measure(runs, lambda: changes_of_many(table))
    return ruptures.__version__, "KernelCPD, linear kernel, in C, one process and thread", seconds, found


def changes_pool(table, runs):
    import ruptures

    with multiprocessing.Pool(2) as pool:
        pool.map(changes_of, table[:8], chunksize=4)
        seconds, found = measure(runs, lambda: pool.map(changes_of, table, chunksize=50))
    return ruptures.__version__, "KernelCPD in multiprocessing.Pool(2), two processors", seconds, found


def changes_dask(table, runs):
    import distributed

    parts = np.array_split(table, 20)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            client.gather(client.map(changes_of_many, [table[:2], table[2:4]], pure=False))

            def once():
                return [ends for part in client.gather(client.map(changes_of_many, parts, pure=False)) for ends in part]

            seconds, found = measure(runs, once)
    return distributed.__version__, "KernelCPD on distributed.LocalCluster, 2 workers", seconds, found


def lagged_by(fft, table):
    size = 1500  # 1440 points and 60 lags; 2²·3·5³
    alert = table[0] - table[0].mean()
    alert /= np.sqrt((alert * alert).sum())
    rows = table - table.mean(axis=1, keepdims=True)
    rows /= np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    both = np.conj(fft.rfft(alert, size)) * fft.rfft(rows, size, axis=1)
    circular = fft.irfft(both, size, axis=1)
    return np.concatenate([circular[:, -REACH:], circular[:, : REACH + 1]], axis=1)


def lagged_numpy(table, runs):
    lagged_by(np.fft, table)
    seconds, found = measure(runs, lambda: lagged_by(np.fft, table))
    return np.__version__, "numpy.fft, 1500 points, which has one thread", seconds, found


def lagged_scipy(table, runs):
    import scipy
    import scipy.fft

    with scipy.fft.set_workers(2):
        lagged_by(scipy.fft, table)
        seconds, found = measure(runs, lambda: lagged_by(scipy.fft, table))
    return scipy.__version__, "scipy.fft, 2 workers", seconds, found


def robust(table, runs):
    def once():
        middle = np.median(table, axis=1, keepdims=True)
        spread = 1.482602218505602 * np.median(np.abs(table - middle), axis=1, keepdims=True)
        return (table - middle) / spread

    once()
    seconds, found = measure(runs, once)
    return np.__version__, "numpy.median twice, one thread", seconds, found


def pairs(table, runs):
    np.corrcoef(table)
    seconds, found = measure(runs, lambda: np.corrcoef(table))
    return np.__version__, "numpy.corrcoef (BLAS, all processors)", seconds, found


def profile(signal, runs):
    import numba
    import stumpy

    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    stumpy.stump(signal[:2000], WINDOW)  # compiles
    seconds, found = measure(runs, lambda: stumpy.stump(signal, WINDOW))
    return stumpy.__version__, "stumpy.stump, numba on 2 threads", seconds, found[:, 0].astype(float)


def append(signal, runs):
    import stumpy

    start, count = 5000, 60
    stream = stumpy.stumpi(signal[:start], WINDOW, egress=False)
    stream.update(signal[start])  # compiles
    seconds, _ = measure(1, lambda: [stream.update(value) for value in signal[start + 1 : start + 1 + count]])
    return stumpy.__version__, "stumpy.stumpi, a point at 5,000", [value / count for value in seconds], stream.P_


TASKS = {task.__name__: task for task in (changes, changes_pool, changes_dask, lagged_numpy, lagged_scipy, robust, pairs)}
LONG = {task.__name__: task for task in (profile, append)}


def main():
    name, folder, runs = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    if name in LONG:
        version, note, seconds, found = LONG[name](np.fromfile(folder / "long.f64"), runs)
    else:
        table = np.fromfile(folder / "signals.f64").reshape(-1, POINTS)
        version, note, seconds, found = TASKS[name](table, runs)
    if name.startswith("changes"):
        (folder / f"{name}.json").write_text(json.dumps([list(map(int, ends)) for ends in found]))
    else:
        np.ascontiguousarray(found, dtype=np.float64).tofile(folder / f"{name}.f64")
    print(json.dumps({"version": version, "note": note, "seconds": seconds}))


if __name__ == "__main__":
    main()
