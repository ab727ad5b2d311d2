"""Drawing a segmentation, with matplotlib where it is installed."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Optional

import numpy as np

from .utils import pairwise

__all__ = ["MatplotlibMissingError", "display"]


class MatplotlibMissingError(RuntimeError):
    """Drawing needs matplotlib."""


def display(
    signal: Any,
    true_chg_pts: list[int],
    computed_chg_pts: Optional[list[int]] = None,
    computed_chg_pts_color: str = "k",
    computed_chg_pts_linewidth: int = 3,
    computed_chg_pts_linestyle: str = "--",
    computed_chg_pts_alpha: float = 1.0,
    **kwargs: Any,
) -> Any:
    """Draws each dimension, true segments as bands, computed change points as lines; gives figure and axes."""
    try:
        plt: Any = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        raise MatplotlibMissingError("drawing needs matplotlib; run `pip install matplotlib`") from None
    signal = np.asarray(signal)
    signal = signal.reshape(-1, 1) if signal.ndim == 1 else signal
    options = {"figsize": (10, 2 * signal.shape[1]), **kwargs}
    figure, axes = plt.subplots(nrows=signal.shape[1], sharex=True, squeeze=False, **options)
    for axis, values in zip(axes[:, 0], signal.T):
        axis.plot(values)
        for number, (start, end) in enumerate(pairwise([0, *sorted(true_chg_pts)])):
            axis.axvspan(max(0, start - 0.5), end - 0.5, facecolor=("#4286f4", "#f44174")[number % 2], alpha=0.2)
        for place in (computed_chg_pts or [])[:-1]:
            axis.axvline(
                place - 0.5,
                color=computed_chg_pts_color,
                linewidth=computed_chg_pts_linewidth,
                linestyle=computed_chg_pts_linestyle,
                alpha=computed_chg_pts_alpha,
            )
    figure.tight_layout()
    return figure, axes[:, 0]


sys.modules[f"{__name__}.display"] = sys.modules[__name__]
