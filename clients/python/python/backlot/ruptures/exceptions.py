"""Why there is no segmentation."""

from __future__ import annotations

__all__ = ["BadSegmentationParameters", "NotEnoughPoints"]


class NotEnoughPoints(Exception):
    """A segment is shorter than its cost needs."""


class BadSegmentationParameters(Exception):
    """That many segments of that size do not fit the signal."""
