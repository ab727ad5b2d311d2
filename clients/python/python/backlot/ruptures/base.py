"""What estimators and costs have in common; own costs derive from `BaseCost`."""

from __future__ import annotations

import abc
from typing import Any

from .utils import pairwise

__all__ = ["BaseCost", "BaseEstimator"]


class BaseEstimator(abc.ABC):
    """A search for change points."""

    @abc.abstractmethod
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Takes a signal."""

    @abc.abstractmethod
    def predict(self, *args: Any, **kwargs: Any) -> list[int]:
        """Gives the ends of its segments."""

    @abc.abstractmethod
    def fit_predict(self, *args: Any, **kwargs: Any) -> list[int]:
        """Both."""


class BaseCost(abc.ABC):
    """How badly a segment is described."""

    min_size: int

    @abc.abstractmethod
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Takes a signal."""

    @abc.abstractmethod
    def error(self, start: int, end: int) -> float:
        """The cost of the points from ``start`` up to ``end``."""

    def sum_of_costs(self, bkps: list[int]) -> float:
        """The cost of all segments."""
        return sum(self.error(start, end) for start, end in pairwise([0, *bkps]))

    @property
    @abc.abstractmethod
    def model(self) -> str:
        """Its name."""
