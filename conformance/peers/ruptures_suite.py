"""Runs ruptures' own tests on ``backlot.ruptures``, and counts how often ruptures and we miss the exact segmentation.

``RUPTURES_TESTS`` names the folder ``tests`` of a checkout of https://github.com/deepcharles/ruptures.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SUITES = ["test_detection.py", "test_costs.py", "test_metrics.py", "test_datasets.py"]

# Signals of the comparison: random walks and steps, for minimum sizes from 2 on.
SIGNALS = 1000

SHIM = '''
import importlib, sys
import backlot.ruptures as ours
for name in ("base", "costs", "datasets", "detection", "exceptions", "metrics", "show", "utils"):
    module = importlib.import_module("backlot.ruptures." + name)
    sys.modules["ruptures." + name] = module
for name, module in list(sys.modules.items()):
    if name.startswith("backlot.ruptures."):
        sys.modules["ruptures." + name[len("backlot.ruptures."):]] = module
sys.modules["ruptures"] = ours
'''


def run_suites() -> int:
    given = os.environ.get("RUPTURES_TESTS")
    if not given:
        print("skipped: ruptures' tests are missing; clone its repository and set RUPTURES_TESTS to its folder tests")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "conftest.py").write_text(SHIM)
        for suite in SUITES:
            shutil.copy(pathlib.Path(given) / suite, folder)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", str(folder)]
        print("ruptures: its own tests on backlot.ruptures:", ", ".join(SUITES), flush=True)
        return subprocess.run(command, cwd=folder, check=False).returncode


def compare() -> int:
    """Both against an exhaustive search over squared distances, with every place admissible."""
    if importlib.util.find_spec("ruptures") is None:
        print("skipped: ruptures is missing; run `cargo xtask setup`")
        return 0
    import numpy as np
    import ruptures

    import backlot.ruptures as ours

    missed = {"ruptures": 0, "backlot": 0}
    rng = np.random.default_rng(20260101)
    for number in range(SIGNALS):
        points, min_size = int(rng.integers(20, 60)), int(rng.integers(2, 8))
        values = rng.normal(size=points)
        if number % 2:
            values = np.cumsum(values)
        penalty = float(np.exp(rng.uniform(-1, 2)))
        first, second = np.r_[0, np.cumsum(values)], np.r_[0, np.cumsum(values**2)]

        def cost(start, end):
            return second[end] - second[start] - (first[end] - first[start]) ** 2 / (end - start)

        best = [0.0] + [np.inf] * points
        for end in range(min_size, points + 1):
            best[end] = min(best[start] + cost(start, end) + penalty for start in range(end - min_size + 1))
        for name, package in (("ruptures", ruptures), ("backlot", ours)):
            ends = package.Pelt(model="l2", min_size=min_size, jump=1).fit(values).predict(pen=penalty)
            total = sum(cost(start, end) + penalty for start, end in zip([0, *ends], ends))
            missed[name] += total > best[points] + 1e-9 * (1 + abs(best[points]))
    for name, count in missed.items():
        print(f"ruptures: Pelt of {name} misses the best segmentation of {count} in {SIGNALS} signals")
    return int(missed["backlot"] > 0)


if __name__ == "__main__":
    sys.exit(max(run_suites(), compare()))
