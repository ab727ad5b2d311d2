"""The client."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional, Union

from . import _native
from ._run import PAGE, Run, RunState, states
from ._spec import RunSpec
from ._time import read, write


@dataclass(frozen=True)
class Event:
    """Something that happened, as a CloudEvents 1.0 envelope."""

    seq: int
    """Its place in the log: it grows from each event to the next. ``client.events(after=seq)`` goes on behind it."""
    id: str
    """Unique within its source."""
    source: str
    """Where it happened, a URI reference."""
    kind: str
    """What happened (CloudEvents ``type``), such as ``backlot.work.run.succeeded``."""
    subject: Optional[str]
    """What it happened to: a run's id, or ``run/step/index``."""
    time: datetime
    """When it happened, in UTC."""
    data: Any
    """Its JSON payload."""
    attributes: dict[str, Any]
    """The whole envelope, extensions among it."""


def _event(data: dict[str, Any]) -> Event:
    return Event(
        seq=int(data["backlotseq"]),
        id=data["id"],
        source=data["source"],
        kind=data["type"],
        subject=data.get("subject"),
        time=read(data["time"]),
        data=data.get("data"),
        attributes=data,
    )


class Client:
    """A client of one server.

    ``Client(url, token)`` names the server: ``http://127.0.0.1:7700``. ``Client(home=…)`` finds the one that runs for a home
    directory, with the home's admin token unless another is given, and finds it again when it comes back on another port.
    ``Client()`` does as the environment says: ``BACKLOT_URL`` with ``BACKLOT_TOKEN``, else ``BACKLOT_HOME``, else the user's
    default home (``$XDG_DATA_HOME/backlot``).

    ``patience``, in seconds, is how long waits and followers put up with a server that does not answer, for example while it
    is restarted.

    One client may be used from many threads.
    """

    def __init__(
        self,
        url: Optional[str] = None,
        token: Optional[str] = None,
        home: Union[str, os.PathLike[str], None] = None,
        *,
        patience: float = 10.0,
    ) -> None:
        self._native = _native.Client(url, token, home, patience)

    @property
    def url(self) -> str:
        """The server's address."""
        return self._native.url

    def submit(
        self,
        spec: Union[RunSpec, Mapping[str, Any], str, os.PathLike[str]],
        params: Optional[Mapping[str, Any]] = None,
        *,
        priority: int = 0,
        cache: bool = True,
        key: Optional[str] = None,
    ) -> Run:
        """Submits a run and returns it; it is durable then.

        ``spec`` is a `RunSpec`, a dict in a spec's own form, or the path of a TOML or JSON file; ``params`` are the values of
        its parameters. Runs of higher ``priority`` start first. ``cache=False`` reuses no earlier results. Submissions with
        the same ``key`` are one run, so a submission whose answer was lost can be sent again.
        """
        if isinstance(spec, RunSpec):
            plain = spec.to_dict()
        elif isinstance(spec, Mapping):
            plain = dict(spec)
        else:
            plain = _native.read_spec(spec)
        return Run(self._native, self._native.submit(plain, dict(params or {}), priority, not cache, key))

    def run(self, id: str) -> Run:
        """A run, by its id or an unambiguous start of it."""
        return Run(self._native, self._native.run(id))

    def runs(
        self,
        state: Union[RunState, Iterable[RunState], None] = None,
        name: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> Iterator[Run]:
        """Runs, newest first, fetched page by page; only in certain states, only of one name, at most so many."""
        before = None
        left = limit
        while left is None or left > 0:
            asked = PAGE if left is None else min(left, PAGE)
            page = self._native.runs(states(state), name, before, asked)
            for data in page:
                yield Run(self._native, data)
            if len(page) < asked:
                return
            before = page[-1]["id"]
            left = None if left is None else left - len(page)

    def events(
        self,
        after: int = 0,
        *,
        kind: Optional[str] = None,
        source: Optional[str] = None,
        subject: Optional[str] = None,
        since: Optional[datetime] = None,
        follow: bool = False,
    ) -> Iterator[Event]:
        """Events, oldest first, from behind the place ``after`` in the log on; with ``follow``, then as they happen, without end.

        Only kinds that start with ``kind``, only from one ``source``, only about one ``subject``, only at the moment
        ``since`` or later.
        """
        if not follow:
            moment = None if since is None else write(since)
            while True:
                page, after = self._native.events(after, kind, source, subject, moment, PAGE)
                yield from map(_event, page)
                if len(page) < PAGE:
                    return
        following = self._native.follow_events(after, kind, source, subject)
        try:
            for data in following:
                event = _event(data)
                if since is None or event.time >= since:
                    yield event
        finally:
            following.close()

    def __repr__(self) -> str:
        return f"<Client {self.url}>"
