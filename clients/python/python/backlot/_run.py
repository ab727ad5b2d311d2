"""Runs, their steps and their tasks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable, Literal, Optional, Union

from . import _native
from ._artifact import Artifact, with_artifacts
from ._errors import Error, RunFailed, Timeout
from ._time import moment, read, seconds

RunState = Literal["queued", "running", "paused", "cancelling", "succeeded", "failed", "cancelled", "unknown"]
"""Where a run is; ``unknown`` is a state of a later server."""
StepState = Literal["waiting", "opening", "running", "succeeded", "failed", "skipped", "cancelled", "unknown"]
"""Where a step is."""
TaskState = Literal[
    "held", "ready", "parked", "backoff", "paused", "running", "succeeded", "failed", "cancelled", "unknown"
]
"""Where a task is."""

_FINAL = ("succeeded", "failed", "cancelled")

PAGE = 1000
"""As many as the server gives at once."""

MOST_FAILURES = 5
"""Failed tasks that `RunFailed` names."""


@dataclass(frozen=True)
class TaskCounts:
    """Tasks counted by how they ended, over the steps that have begun."""

    total: int
    """Those known so far."""
    succeeded: int
    """Succeeded, cached ones among them."""
    cached: int
    """Taken from an earlier equal task."""
    failed: int
    """Failed for good."""
    cancelled: int
    """Cancelled."""

    @property
    def ended(self) -> int:
        """Succeeded, failed or cancelled."""
        return self.succeeded + self.failed + self.cancelled


def _counts(data: Mapping[str, int]) -> TaskCounts:
    return TaskCounts(data["total"], data["succeeded"], data["cached"], data["failed"], data["cancelled"])


@dataclass(frozen=True)
class StepStatus:
    """A step of a run, as it was when it was asked for."""

    name: str
    """Its name."""
    kind: str
    """The kind of its tasks; ``command`` for a program."""
    state: StepState
    """Where it is."""
    needs: tuple[str, ...]
    """The steps it waits for."""
    is_map: bool
    """Whether it has one task for each item of a list."""
    counts: TaskCounts
    """Its tasks."""
    started: Optional[datetime]
    """When its first task was laid down, in UTC."""
    finished: Optional[datetime]
    """When it ended, in UTC."""
    error: Optional[str]
    """Why it failed."""

    @property
    def duration(self) -> Optional[float]:
        """Seconds from its start to its end, once it has ended."""
        return seconds(self.started, self.finished)


def _step(data: Mapping[str, Any]) -> StepStatus:
    return StepStatus(
        name=data["name"],
        kind=data["kind"],
        state=data["state"],
        needs=tuple(data["needs"]),
        is_map=data["map"],
        counts=_counts(data["tasks"]),
        started=moment(data["started"]),
        finished=moment(data["finished"]),
        error=data["error"],
    )


@dataclass(frozen=True)
class TaskStatus:
    """A task of a step, as it was when it was asked for."""

    run: str
    """The run's id."""
    step: str
    """The step's name."""
    index: int
    """Its position in the map, from 0."""
    number: int
    """Its number in the ledger, by which lists go on."""
    state: TaskState
    """Where it is."""
    cached: bool
    """Whether its result is an earlier task's."""
    attempt: int
    """Attempts begun."""
    failures: int
    """Attempts that failed."""
    worker: Optional[int]
    """The number of the worker that has it."""
    started: Optional[datetime]
    """When its latest attempt started, in UTC."""
    finished: Optional[datetime]
    """When it ended, in UTC."""
    progress: Optional[float]
    """How far it is, 0 to 1."""
    message: Optional[str]
    """What it is doing."""
    error: Optional[str]
    """Why its latest attempt failed."""
    parked_on: Optional[str]
    """The key it waits for."""
    item: Any
    """Its item, in a map."""
    outputs: Any
    """Its named results, blobs among them as `Artifact`; ``None`` before it has succeeded."""
    _client: _native.Client = field(repr=False, compare=False)

    @property
    def duration(self) -> Optional[float]:
        """Seconds from the start of its latest attempt to its end, once it has ended."""
        return seconds(self.started, self.finished)

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Every artifact among its outputs, by its path."""
        return {artifact.path: artifact for artifact in _artifacts(self.outputs)}

    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """What it wrote, line by line; with ``follow``, as it writes, to its end."""
        return log_lines(self._client, self.run, self.step, self.index, follow)

    def __repr__(self) -> str:
        more = " cached" if self.cached else ""
        if self.state == "running" and self.progress is not None:
            more = f" {self.progress:.0%} {self.message or ''}".rstrip()
        if self.state == "failed":
            more = f": {self.error}"
        return f"<Task {self.step}/{self.index} {self.state}{more}>"


def _task(client: _native.Client, data: Mapping[str, Any]) -> TaskStatus:
    run, step, index = data["run"], data["step"], data["index"]
    return TaskStatus(
        run=run,
        step=step,
        index=index,
        number=data["task"],
        state=data["state"],
        cached=data["cached"],
        attempt=data["attempt"],
        failures=data["failures"],
        worker=data["worker"],
        started=moment(data["started"]),
        finished=moment(data["finished"]),
        progress=data["progress"],
        message=data["message"],
        error=data["error"],
        parked_on=data["parked_on"],
        item=data["item"],
        outputs=with_artifacts(client, run, step, index, data["outputs"]),
        _client=client,
    )


def _artifacts(outputs: Any) -> Iterator[Artifact]:
    if isinstance(outputs, Artifact):
        yield outputs
    elif isinstance(outputs, (list, dict)):
        for value in outputs.values() if isinstance(outputs, dict) else outputs:
            yield from _artifacts(value)


def log_lines(client: _native.Client, run: str, step: str, index: int, follow: bool) -> Iterator[str]:
    """The lines of a task's log."""
    if follow:
        lines = client.follow_log(run, step, index)
        try:
            for text in lines:
                yield from text.splitlines()
        finally:
            lines.close()
        return
    texts, after = client.log(run, step, index, None)
    while texts:
        for text in texts:
            yield from text.splitlines()
        texts, after = client.log(run, step, index, after)


def states(given: Union[str, Iterable[str], None]) -> list[str]:
    """One state, several, or none for all."""
    return [] if given is None else [given] if isinstance(given, str) else list(given)


class Run:
    """A run as it was when it was last looked at; `refresh` looks again, `wait` looks until its end."""

    def __init__(self, client: _native.Client, data: dict[str, Any]) -> None:
        self._client = client
        self._data = data

    @property
    def id(self) -> str:
        """Its id."""
        return str(self._data["id"])

    @property
    def name(self) -> str:
        """Its spec's name."""
        return str(self._data["name"])

    @property
    def state(self) -> RunState:
        """Where it is: ``queued``, ``running``, ``paused``, ``cancelling``, ``succeeded``, ``failed`` or ``cancelled``."""
        state: RunState = self._data["state"]
        return state

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state in _FINAL

    @property
    def created(self) -> datetime:
        """When it was submitted, in UTC."""
        return read(self._data["created"])

    @property
    def started(self) -> Optional[datetime]:
        """When its first task started, in UTC."""
        return moment(self._data["started"])

    @property
    def finished(self) -> Optional[datetime]:
        """When it ended, in UTC."""
        return moment(self._data["finished"])

    @property
    def deadline(self) -> Optional[datetime]:
        """When it will be cancelled if it has not ended, in UTC."""
        return moment(self._data["deadline"])

    @property
    def duration(self) -> Optional[float]:
        """Seconds from its start to its end, once it has ended."""
        return seconds(self.started, self.finished)

    @property
    def error(self) -> Optional[str]:
        """Why it did not succeed."""
        error: Optional[str] = self._data["error"]
        return error

    @property
    def submitted_by(self) -> str:
        """Who submitted it: the name of a token, or of a user of the server's machine."""
        return str(self._data["submitted_by"])

    @property
    def priority(self) -> int:
        """Its priority; higher ones start first."""
        return int(self._data["priority"])

    @property
    def params(self) -> dict[str, Any]:
        """The values of its parameters, defaults among them."""
        return dict(self._data["params"])

    @property
    def counts(self) -> TaskCounts:
        """Its tasks, over the steps that have begun."""
        return _counts(self._data["tasks"])

    @property
    def step_count(self) -> int:
        """Steps in all."""
        return int(self._data["steps"])

    @property
    def steps_ended(self) -> int:
        """Steps that have ended."""
        return int(self._data["steps_ended"])

    @property
    def url(self) -> str:
        """Its page in the server's console."""
        return f"{self._client.url}/runs/{self.id}"

    def refresh(self) -> Run:
        """Looks again; returns itself."""
        self._data = self._client.run(self.id)
        return self

    def wait(
        self,
        timeout: Optional[float] = None,
        progress: Union[bool, Callable[[Run], object]] = False,
        *,
        check: bool = True,
    ) -> Run:
        """Waits for its end and returns itself.

        ``timeout`` is in seconds, 0 for one look; after it `Timeout` is raised and the run goes on. ``progress`` is called with the run after
        each change, or ``True`` shows the changes on standard error. A run that fails or is cancelled raises `RunFailed`,
        unless ``check`` is false. Ctrl-C ends the waiting, not the run. A server that restarts meanwhile is waited for as long
        as the client's ``patience`` says; then the `Error` has the code ``unreachable``.
        """
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be a number of seconds from 0, not {timeout!r}")
        show = _Progress() if progress is True else progress or None
        begun = time.monotonic()
        following = self._client.follow_run(self.id)
        try:
            while True:
                left = None if timeout is None else max(0.0, begun + timeout - time.monotonic())
                self._data = following.next(left)
                if show is not None:
                    show(self)
                if self.ended:
                    break
        except StopIteration:
            if not self.refresh().ended:
                message = f"run {self.id} has not ended, but its stream has"
                raise Error(message, code="bad_answer", mend="look at the server's log") from None
        except TimeoutError:
            # It may have ended in this moment; with a timeout of 0 this is the only look.
            if not self.refresh().ended:
                raise self._late(timeout) from None
        finally:
            following.close()
            if isinstance(show, _Progress):
                show.close()
        if check and self.state in ("failed", "cancelled"):
            failures = self._client.tasks(self.id, None, ["failed"], None, MOST_FAILURES)
            raise RunFailed(self, [_task(self._client, data) for data in failures])
        return self

    def _late(self, timeout: Optional[float]) -> Timeout:
        message = f"run {self.id} ({self.name}) has not ended within {timeout:g} s"
        return Timeout(message, code="timed_out", mend="wait longer, or `cancel()` it")

    def steps(self) -> list[StepStatus]:
        """Its steps, in the order of its spec."""
        return [_step(data) for data in self._client.steps(self.id)]

    def tasks(
        self, step: Optional[str] = None, state: Union[TaskState, Iterable[TaskState], None] = None
    ) -> Iterator[TaskStatus]:
        """Its tasks, in the order of its steps and items, fetched page by page; only of one step, only in certain states."""
        after = None
        while True:
            page = self._client.tasks(self.id, step, states(state), after, PAGE)
            for data in page:
                yield _task(self._client, data)
            if len(page) < PAGE:
                return
            after = page[-1]["task"]

    def task(self, step: str, index: int = 0) -> TaskStatus:
        """One task."""
        return _task(self._client, self._client.task(self.id, step, index))

    def outputs(self, step: str) -> Any:
        """What a step put out: a dict by name, or for a map the list of its tasks' dicts; ``None`` where there is nothing yet.

        Blobs stand in it as `Artifact`, and so does a value too large for the ledger: its ``json()`` is the value.
        """
        outputs = self._client.outputs(self.id, step)
        if isinstance(outputs, list):
            return [
                with_artifacts(self._client, self.id, step, index, each) for index, each in enumerate(outputs)
            ]
        return with_artifacts(self._client, self.id, step, 0, outputs)

    def logs(self, step: str, index: int = 0, *, follow: bool = False) -> Iterator[str]:
        """What a task wrote, line by line; with ``follow``, from before its start to its end, as it writes."""
        return log_lines(self._client, self.id, step, index, follow)

    def spec(self) -> dict[str, Any]:
        """The spec it was submitted with."""
        return self._client.spec(self.id)

    def cancel(self, reason: Optional[str] = None) -> Run:
        """Stops it; running tasks are ended (SIGTERM, then SIGKILL). A run that has ended stays as it is. Returns itself, as it
        is then.
        """
        self._data = self._client.cancel(self.id, reason)
        return self

    def pause(self) -> Run:
        """Lets no further task start. Returns itself."""
        self._data = self._client.pause(self.id)
        return self

    def resume(self) -> Run:
        """Lets it go on after a pause. Returns itself."""
        self._data = self._client.resume(self.id)
        return self

    def retry(self, from_step: Optional[str] = None) -> Run:
        """Runs again what did not succeed, and ``from_step`` with all after it as well. Returns itself."""
        self._data = self._client.retry(self.id, from_step)
        return self

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.name} {_progress(self)}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)


def _progress(run: Run) -> str:
    counts = run.counts
    if run.ended:
        took = "" if run.duration is None else f" in {run.duration:.1f} s"
        return f"{run.state}{took}: {counts.succeeded} of {counts.total} tasks succeeded"
    return f"{run.state}: {counts.ended} of {counts.total} tasks, {run.steps_ended} of {run.step_count} steps ended"


class _Progress:
    """Shows a run's changes on standard error: in one line that is written over on a terminal, else line by line."""

    def __init__(self) -> None:
        self._width = 0

    def __call__(self, run: Run) -> None:
        line = f"{run.name} {_progress(run)}"
        if sys.stderr.isatty():
            print(f"\r{line:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = len(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._width:
            print(file=sys.stderr, flush=True)
