"""Searches for change points, in Rust. A segmentation is the list of its segments' ends."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from .. import _native
from .base import BaseCost, BaseEstimator
from .costs import _Native, cost_factory
from .exceptions import BadSegmentationParameters
from .utils import sanity_check

__all__ = ["Binseg", "BottomUp", "Dynp", "KernelCPD", "Pelt", "Window"]


def _cost(model: str, custom_cost: Optional[BaseCost], params: Optional[dict[str, Any]]) -> BaseCost:
    if isinstance(custom_cost, BaseCost):
        return custom_cost
    return cost_factory(model, **(params or {}))


class _Search(BaseEstimator):
    """What the searches have in common: a cost, the least size of a segment, and the grid of change points."""

    def __init__(
        self,
        model: str = "l2",
        custom_cost: Optional[BaseCost] = None,
        min_size: int = 2,
        jump: int = 1,
        params: Optional[dict[str, Any]] = None,
    ) -> None:
        self.cost = _cost(model, custom_cost, params)
        self.min_size = max(min_size, self.cost.min_size)
        self.jump = jump
        self.n_samples: Any = None
        self.signal: Any = None

    def fit(self, signal: Any) -> Any:
        """Takes a signal: points, or rows of points of several dimensions."""
        signal = np.asarray(signal)
        self.cost.fit(signal)
        self.signal = signal.reshape(-1, 1) if signal.ndim == 1 else signal
        self.n_samples = len(signal)
        return self

    def _native(self) -> Any:
        if isinstance(self.cost, _Native):
            return self.cost._cost
        return _native.SegmentCost.custom(self.cost, self.n_samples, self.cost.min_size)

    def _check(self, n_bkps: int) -> None:
        if not sanity_check(self.n_samples, n_bkps, self.jump, self.min_size):
            raise BadSegmentationParameters(
                f"{n_bkps} change points do not fit {self.n_samples} points in segments of at least {self.min_size}"
            )


class Pelt(_Search):
    """The best penalised segmentation, exactly (Killick and others, 2012), for every ``min_size`` and ``jump``."""

    def predict(self, pen: float) -> list[int]:
        """The segmentation with the least cost plus ``pen`` for each segment."""
        self._check(0)
        found: list[int] = self._native().pelt(float(pen), self.min_size, self.jump)
        return found

    def fit_predict(self, signal: Any, pen: float) -> list[int]:
        """Takes a signal and segments it."""
        self.fit(signal)
        return self.predict(pen)


class Dynp(_Search):
    """The best segmentation with a number of change points, exactly, by dynamic programming."""

    def predict(self, n_bkps: int) -> list[int]:
        """The segmentation with ``n_bkps`` change points."""
        self._check(n_bkps)
        found: list[int] = self._native().dynp(int(n_bkps), self.min_size, self.jump)
        return found

    def fit_predict(self, signal: Any, n_bkps: int) -> list[int]:
        """Takes a signal and segments it."""
        self.fit(signal)
        return self.predict(n_bkps)


class _Greedy(_Search):
    """Searches that stop at a number of change points, a penalty, or a rest."""

    _method = ""

    def _arguments(self) -> tuple[Any, ...]:
        return (self.min_size, self.jump)

    def predict(
        self, n_bkps: Optional[int] = None, pen: Optional[float] = None, epsilon: Optional[float] = None
    ) -> list[int]:
        """Segments until there are ``n_bkps`` change points, or one gains less than ``pen``, or the cost is ``epsilon``."""
        assert any(given is not None for given in (n_bkps, pen, epsilon)), "Give a parameter."
        self._check(0 if n_bkps is None else n_bkps)
        method = getattr(self._native(), self._method)
        found: list[int] = method(*self._arguments(), n_bkps, pen, epsilon)
        return found

    def fit_predict(
        self,
        signal: Any,
        n_bkps: Optional[int] = None,
        pen: Optional[float] = None,
        epsilon: Optional[float] = None,
    ) -> list[int]:
        """Takes a signal and segments it."""
        self.fit(signal)
        return self.predict(n_bkps=n_bkps, pen=pen, epsilon=epsilon)


class _SingleBkp:
    """The best change point of one segment and what it gains; ``(None, 0)`` where there is none."""

    def __init__(self, search: Binseg) -> None:
        self._search = search

    def __call__(self, start: int, end: int) -> tuple[Optional[int], float]:
        search = self._search
        whole = search.cost.error(start, end)
        if np.isneginf(whole):
            return None, 0
        cuts = range(start + search.min_size, end - search.min_size + 1)
        gains = [
            (whole - search.cost.error(start, cut) - search.cost.error(cut, end), cut)
            for cut in cuts
            if (cut - start) % search.jump == 0
        ]
        if not gains:
            return None, 0
        gain, cut = max(gains)
        return cut, gain


class Binseg(_Greedy):
    """Binary segmentation."""

    _method = "binseg"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.single_bkp = _SingleBkp(self)


class BottomUp(_Greedy):
    """Cuts everywhere, then joins neighbours."""

    _method = "bottom_up"


class Window(_Greedy):
    """Compares the halves of a sliding window of ``width`` points."""

    _method = "window"

    def __init__(
        self,
        width: int = 100,
        model: str = "l2",
        custom_cost: Optional[BaseCost] = None,
        min_size: int = 2,
        jump: int = 1,
        params: Optional[dict[str, Any]] = None,
    ) -> None:
        super().__init__(model, custom_cost, min_size, jump, params)
        self.min_size = min_size
        self.width = 2 * (width // 2)

    def _arguments(self) -> tuple[Any, ...]:
        return (self.width, self.min_size, self.jump)


class KernelCPD(BaseEstimator):
    """The best segmentation under a kernel: ``linear``, ``rbf`` or ``cosine``. Every place is admissible (``jump`` is 1)."""

    def __init__(
        self, kernel: str = "linear", min_size: int = 2, jump: int = 1, params: Optional[dict[str, Any]] = None
    ) -> None:
        assert kernel in ("linear", "rbf", "cosine"), f"Kernel not found: {kernel}."
        self.kernel_name = kernel
        self.model_name = "l2" if kernel == "linear" else kernel
        self.params = params
        self.cost: Any = cost_factory(self.model_name, **(params or {}))
        self.min_size = max(min_size, self.cost.min_size)
        self.jump = 1
        self.n_samples: Any = None
        self.segmentations_dict: dict[int, list[int]] = {}

    def fit(self, signal: Any) -> Any:
        """Takes a signal."""
        self.segmentations_dict = {}
        self.cost.fit(np.asarray(signal, dtype=np.float64))
        self.n_samples = len(signal)
        return self

    def predict(self, n_bkps: Optional[int] = None, pen: Optional[float] = None) -> list[int]:
        """The segmentation with ``n_bkps`` change points, or with the least cost plus ``pen`` for each segment."""
        wanted = 1 if n_bkps is None else int(n_bkps)
        if not sanity_check(self.n_samples, wanted, self.jump, self.min_size):
            raise BadSegmentationParameters
        if n_bkps is not None:
            assert wanted > 0, f"The number of changes must be positive: {n_bkps}"
            if wanted not in self.segmentations_dict:
                self.segmentations_dict[wanted] = self.cost._cost.dynp(wanted, self.min_size, 1)
            return self.segmentations_dict[wanted]
        assert pen is not None and pen > 0, f"The penalty must be positive: {pen}"
        if self.kernel_name == "linear" and self.cost.signal.shape[1] == 1:
            values = np.ascontiguousarray(self.cost.signal[:, 0], dtype=np.float64)
            return _native.signal_least_squares(values, self.min_size, float(pen))
        found: list[int] = self.cost._cost.pelt(float(pen), self.min_size, 1)
        return found

    def fit_predict(self, signal: Any, n_bkps: Optional[int] = None, pen: Optional[float] = None) -> list[int]:
        """Takes a signal and segments it."""
        self.fit(signal)
        return self.predict(n_bkps=n_bkps, pen=pen)
