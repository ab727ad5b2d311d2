"""How far two segmentations are apart."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

__all__ = ["BadPartitions", "hamming", "hausdorff", "meantime", "precision_recall", "randindex", "sanity_check"]


class BadPartitions(Exception):
    """Two lists that are no segmentations of one signal."""


def sanity_check(bkps1: list[int], bkps2: list[int]) -> None:
    """Refuses lists that are empty, end differently, or repeat an end."""
    for name, bkps in (("first", bkps1), ("second", bkps2)):
        if not bkps:
            raise BadPartitions(f"the {name} segmentation is empty")
        if len(set(bkps)) < len(bkps):
            raise BadPartitions(f"the {name} segmentation repeats an end: {bkps}")
    if max(bkps1) != max(bkps2):
        raise BadPartitions(f"the segmentations end differently: {bkps1}, {bkps2}")


def _distances(bkps1: list[int], bkps2: list[int]) -> Any:
    first, second = np.array(bkps1[:-1], dtype=float), np.array(bkps2[:-1], dtype=float)
    return np.abs(first[:, None] - second[None, :])


def hausdorff(bkps1: list[int], bkps2: list[int]) -> float:
    """The greatest distance of a change point from the nearest of the other segmentation."""
    sanity_check(bkps1, bkps2)
    distances = _distances(bkps1, bkps2)
    return float(max(distances.min(axis=0).max(), distances.min(axis=1).max()))


def meantime(true_bkps: list[int], my_bkps: list[int]) -> float:
    """The mean distance of a found change point from the nearest true one."""
    sanity_check(true_bkps, my_bkps)
    return float(_distances(true_bkps, my_bkps).min(axis=0).mean())


def randindex(bkps1: list[int], bkps2: list[int]) -> float:
    """The share of pairs of points on which the segmentations agree (W. Rand, 1971)."""
    sanity_check(bkps1, bkps2)
    points = max(bkps1)
    sizes = [np.diff([0, *sorted(bkps)]) for bkps in (bkps1, bkps2, sorted({*bkps1, *bkps2}))]
    together = [float((size * (size - 1.0)).sum() / 2.0) for size in sizes]
    pairs = points * (points - 1) / 2.0
    return 1.0 - (together[0] + together[1] - 2.0 * together[2]) / pairs


def hamming(bkps1: list[int], bkps2: list[int]) -> float:
    """The share of pairs of points on which the segmentations disagree."""
    return 1.0 - randindex(bkps1, bkps2)


def precision_recall(true_bkps: list[int], my_bkps: list[int], margin: int = 10) -> tuple[float, float]:
    """The shares of found change points that are true, and of true ones that are found, within ``margin`` points."""
    sanity_check(true_bkps, my_bkps)
    assert margin > 0, f"Margin of error must be positive (margin = {margin})"
    if len(my_bkps) == 1:
        return 0, 0
    used: set[int] = set()
    found = 0
    for true in true_bkps[:-1]:
        near = [bkp for bkp in my_bkps[:-1] if abs(bkp - true) < margin and bkp not in used]
        if near:
            used.add(near[0])
            found += 1
    return found / (len(my_bkps) - 1), found / (len(true_bkps) - 1)


sys.modules[f"{__name__}.sanity_check"] = sys.modules[__name__]
