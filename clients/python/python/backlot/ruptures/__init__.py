"""The interface of the package ``ruptures`` over the searches and costs of Backlot.

    import backlot.ruptures as rpt

    rpt.Pelt(model="l2").fit(signal).predict(pen=10)

Names, arguments, attributes and exceptions are those of ruptures 1.1. What differs, and why:

- ``jump`` is 1 unless given (ruptures: 5), so change points are where they are.
- ``Pelt`` and ``KernelCPD`` find the best segmentation for every ``min_size``; ruptures misses it about once in a hundred signals.
- NaN and infinite values are a ``ValueError``; ruptures returns change points that mean nothing.
- Costs of regression give the distance from the regressors' span for every segment; ruptures gives 0 where regressors depend on
  one another. ``CostCosine`` counts a point as like itself, as ``KernelCPD`` does.
- ``CostAR`` regresses each dimension on its own past.
"""

from __future__ import annotations

from . import base, costs, datasets, detection, exceptions, metrics, show, utils
from .datasets import pw_constant, pw_linear, pw_normal, pw_wavy
from .detection import Binseg, BottomUp, Dynp, KernelCPD, Pelt, Window
from .show import display

__all__ = [
    "Binseg",
    "BottomUp",
    "Dynp",
    "KernelCPD",
    "Pelt",
    "Window",
    "base",
    "costs",
    "datasets",
    "detection",
    "display",
    "exceptions",
    "metrics",
    "pw_constant",
    "pw_linear",
    "pw_normal",
    "pw_wavy",
    "show",
    "utils",
]
