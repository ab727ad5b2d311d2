"""Small helpers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from math import ceil
from typing import TypeVar

T = TypeVar("T")

__all__ = ["pairwise", "sanity_check"]


def pairwise(items: Iterable[T]) -> Iterator[tuple[T, T]]:
    """Each item with the next."""
    first, second = itertools.tee(items)
    return zip(first, itertools.islice(second, 1, None))


def sanity_check(n_samples: int, n_bkps: int, jump: int, min_size: int) -> bool:
    """Whether so many change points fit."""
    room = n_bkps * ceil(min_size / jump) * jump + min_size
    return n_bkps <= n_samples // jump and room <= n_samples
