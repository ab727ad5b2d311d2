"""Signals with known change points."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

__all__ = ["pw_constant", "pw_linear", "pw_normal", "pw_wavy"]


def _ends(n_samples: int, n_bkps: int, rng: np.random.Generator) -> list[int]:
    """Ends of segments that are about equally long."""
    shares = rng.uniform(0.7, 1.3, size=n_bkps + 1)
    ends = np.floor(np.cumsum(shares) / shares.sum() * n_samples).astype(int).tolist()
    ends[-1] = n_samples
    return [int(end) for end in ends]


def _segment(n_samples: int, ends: list[int]) -> Any:
    """The number of each point's segment."""
    return np.searchsorted(np.array(ends), np.arange(n_samples), side="right")


def pw_constant(
    n_samples: int = 200,
    n_features: int = 1,
    n_bkps: int = 3,
    noise_std: Optional[float] = None,
    delta: tuple[float, float] = (1, 10),
    seed: Optional[int] = None,
) -> tuple[Any, list[int]]:
    """Constant pieces, each ``delta`` away from the one before."""
    rng = np.random.default_rng(seed)
    ends = _ends(n_samples, n_bkps, rng)
    steps = rng.uniform(*delta, size=(n_bkps + 1, n_features)) * rng.choice([-1, 1], (n_bkps + 1, n_features))
    signal = np.cumsum(steps, axis=0)[_segment(n_samples, ends)]
    if noise_std is not None:
        signal = signal + rng.normal(size=signal.shape) * noise_std
    return signal, ends


def pw_linear(
    n_samples: int = 200,
    n_features: int = 1,
    n_bkps: int = 3,
    noise_std: Optional[float] = None,
    seed: Optional[int] = None,
) -> tuple[Any, list[int]]:
    """A first dimension that is linear in the others, with other coefficients in each piece."""
    rng = np.random.default_rng(seed)
    ends = _ends(n_samples, n_bkps, rng)
    regressors = rng.normal(size=(n_samples, n_features))
    coefficients = rng.normal(size=(n_bkps + 1, n_features))[_segment(n_samples, ends)]
    target = (regressors * coefficients).sum(axis=1)
    if noise_std is not None:
        target = target + rng.normal(size=n_samples) * noise_std
    return np.column_stack([target, regressors]), ends


def pw_normal(n_samples: int = 200, n_bkps: int = 3, seed: Optional[int] = None) -> tuple[Any, list[int]]:
    """Two normal dimensions whose correlation changes its sign."""
    rng = np.random.default_rng(seed)
    ends = _ends(n_samples, n_bkps, rng)
    first, second = rng.normal(size=(2, n_samples))
    correlation = np.where(_segment(n_samples, ends) % 2 == 0, 0.9, -0.9)
    return np.column_stack([first, correlation * first + np.sqrt(1 - correlation**2) * second]), ends


def pw_wavy(
    n_samples: int = 200, n_bkps: int = 3, noise_std: Optional[float] = None, seed: Optional[int] = None
) -> tuple[Any, list[int]]:
    """Two sine waves whose frequencies change."""
    rng = np.random.default_rng(seed)
    ends = _ends(n_samples, n_bkps, rng)
    slow = _segment(n_samples, ends) % 2 == 0
    first, second = np.where(slow, 0.075, 0.1), np.where(slow, 0.1, 0.125)
    places = np.arange(n_samples)
    signal = np.sin(2 * np.pi * first * places) + np.sin(2 * np.pi * second * places)
    if noise_std is not None:
        signal = signal + rng.normal(size=n_samples) * noise_std
    return signal, ends
