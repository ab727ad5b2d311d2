"""A module that only its file brings to a worker."""

from __future__ import annotations


class Odd(Exception):
    """An exception of the module's own."""


def triple(number: int) -> int:
    return 3 * number


def refuse(number: int) -> int:
    raise Odd(f"{number} is odd")
