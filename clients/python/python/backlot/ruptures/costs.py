"""Costs of segments, prepared and asked in Rust."""

from __future__ import annotations

import sys
from typing import Any, Optional

import numpy as np

from .. import _native
from .base import BaseCost
from .exceptions import NotEnoughPoints

__all__ = [
    "CostAR",
    "CostCLinear",
    "CostCosine",
    "CostL1",
    "CostL2",
    "CostLinear",
    "CostMl",
    "CostNormal",
    "CostRank",
    "CostRbf",
    "NotEnoughPoints",
    "cost_factory",
]


class _Native(BaseCost):
    """A cost of Backlot's own."""

    _name = ""
    _least = 1

    def __init__(self) -> None:
        self.signal: Any = None
        self.min_size = self._least
        self._cost: Any = None

    @property
    def model(self) -> str:
        return self._name

    def _options(self) -> dict[str, Any]:
        return {}

    def fit(self, signal: Any) -> Any:
        """Prepares the cost of a signal: points, or rows of points of several dimensions."""
        signal = np.asarray(signal)
        self.signal = signal.reshape(-1, 1) if signal.ndim == 1 else signal
        values = np.ascontiguousarray(self.signal, dtype=np.float64)
        self._cost = _native.SegmentCost.fit(self._name, values, **self._options())
        return self

    def error(self, start: int, end: int) -> float:
        if end - start < self.min_size:
            raise NotEnoughPoints
        error: float = self._cost.error(int(start), int(end))
        return error


class CostL1(_Native):
    """Absolute distances from the median."""

    _name, _least = "l1", 2


class CostL2(_Native):
    """Squared distances from the mean."""

    _name, _least = "l2", 1


class CostNormal(_Native):
    """A Gaussian of free mean and covariance."""

    _name, _least = "normal", 2

    def __init__(self, add_small_diag: Optional[bool] = True) -> None:
        super().__init__()
        self.add_small_diag = add_small_diag

    def _options(self) -> dict[str, Any]:
        return {"floor": 1e-6 if self.add_small_diag else 0.0}


class CostRbf(_Native):
    """The Gaussian kernel; without ``gamma`` one over the median squared distance."""

    _name, _least = "rbf", 1

    def __init__(self, gamma: Optional[float] = None) -> None:
        super().__init__()
        self.gamma = gamma

    def _options(self) -> dict[str, Any]:
        return {"gamma": self.gamma}

    def fit(self, signal: Any) -> Any:
        super().fit(signal)
        self.gamma = self._cost.gamma
        return self


class CostCosine(_Native):
    """The cosine kernel."""

    _name, _least = "cosine", 1


class CostLinear(_Native):
    """The first dimension as a linear function of the others."""

    _name, _least = "linear", 2

    def fit(self, signal: Any) -> Any:
        assert np.ndim(signal) > 1, "Not enough dimensions"
        return super().fit(signal)


class CostCLinear(_Native):
    """The line through a segment's ends."""

    _name, _least = "clinear", 3


class CostRank(_Native):
    """The mean of ranks."""

    _name, _least = "rank", 2


class CostMl(_Native):
    """Mahalanobis' metric; without ``metric`` the inverse of the signal's covariance."""

    _name, _least = "ml", 2

    def __init__(self, metric: Any = None) -> None:
        super().__init__()
        self.metric = metric
        self.has_custom_metric = metric is not None

    @property
    def model(self) -> str:
        return "mahalanobis"

    def _options(self) -> dict[str, Any]:
        return {"metric": np.ravel(self.metric).tolist() if self.has_custom_metric else None}

    def fit(self, signal: Any) -> Any:
        try:
            super().fit(signal)
        except ValueError as error:
            if "no inverse" in str(error):
                raise np.linalg.LinAlgError(str(error)) from error
            raise
        size = self.signal.shape[1]
        self.metric = np.reshape(self._cost.metric, (size, size))
        return self


class CostAR(_Native):
    """Autoregression of an order."""

    _name = "ar"

    def __init__(self, order: int = 4) -> None:
        self._least = max(5, order + 1)
        super().__init__()
        self.order = order

    def _options(self) -> dict[str, Any]:
        return {"order": self.order}


_COSTS: dict[str, Any] = {
    "l1": CostL1,
    "l2": CostL2,
    "normal": CostNormal,
    "rbf": CostRbf,
    "cosine": CostCosine,
    "linear": CostLinear,
    "clinear": CostCLinear,
    "rank": CostRank,
    "mahalanobis": CostMl,
    "ar": CostAR,
}


def cost_factory(model: str, *args: Any, **kwargs: Any) -> BaseCost:
    """The cost of this name."""
    if model not in _COSTS:
        raise ValueError(f"there is no cost {model!r}; there are {', '.join(_COSTS)}")
    cost: BaseCost = _COSTS[model](*args, **kwargs)
    return cost


# In ruptures each cost has a module of its own; imports from these find this one.
for _module in ("autoregressive", "clinear", "cosine", "l1", "l2", "linear", "ml", "normal", "rank", "rbf"):
    sys.modules[f"{__name__}.cost{_module}"] = sys.modules[__name__]
__path__: list[str] = []
