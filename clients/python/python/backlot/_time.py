"""Moments on the wire and in Python."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Optional

_FRACTION = re.compile(r"\.(\d+)")


def moment(text: Optional[str]) -> Optional[datetime]:
    """An RFC 3339 moment in UTC, with microseconds."""
    return None if text is None else read(text)


def read(text: str) -> datetime:
    """The same where there always is one."""
    # Python 3.9 reads neither `Z` nor a fraction of other than three or six digits.
    padded = _FRACTION.sub(lambda found: f".{found[1][:6]:0<6}", text.replace("Z", "+00:00"))
    return datetime.fromisoformat(padded).astimezone(timezone.utc)


def write(when: datetime) -> str:
    """A moment for the wire. One without a time zone is local time, as everywhere in Python."""
    return when.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def seconds(started: Optional[datetime], finished: Optional[datetime]) -> Optional[float]:
    """The seconds between, where both are known."""
    return None if started is None or finished is None else (finished - started).total_seconds()
