"""A `concurrent.futures.Executor` over durable work: calls are tasks, which any worker of the server does."""

from __future__ import annotations

import inspect
import itertools
import pickle
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor as _Base
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Optional, TypeVar, Union

from . import _ship
from ._client import Client
from ._errors import Error, RunFailed
from ._run import Run, TaskStatus
from ._spec import RunSpec, Span, Step, ref

T = TypeVar("T")

MOST_CALL_BYTES = 1 << 20
"""A function, or the arguments of one call, as they travel: they are kept in the server's ledger with the run."""

MOST_RUN_BYTES = 4 << 20
"""The calls of one run together: what the server takes in one request, with room to spare."""

MOST_RUN_CALLS = 500
"""The tasks of one run: so many are looked through at each look at it."""

_SUBMIT_TRIES = 5
_FIRST_LOOK, _LAST_LOOK = 0.02, 0.5


class RemoteTraceback(Exception):
    """The cause of an exception that a worker's Python raised: its text is the traceback there."""

    def __init__(self, told: str) -> None:
        super().__init__(told)
        self.told = told

    def __str__(self) -> str:
        return f'\n"""\n{self.told}"""'


class _Call(Future[T]):
    """A call on its way. It is pending until its result is there: where it is meanwhile only the server knows."""

    _group: _Group

    def cancel(self) -> bool:
        """Takes the call back; the server stops it even if a worker has begun, unless other calls of its run go on."""
        cancelled = super().cancel()
        if cancelled:
            self._group.call_cancelled()
        return cancelled


class _Single(_Call[T]):
    """A call by itself: its task gives a list of one result."""

    def set_result(self, result: Any) -> None:
        super().set_result(result[0])


class _Group:
    """The calls of one run."""

    def __init__(self, run: Run, futures: Sequence[_Call[Any]]) -> None:
        self.run = run
        self.futures: dict[int, _Call[Any]] = dict(enumerate(futures))
        for future in futures:
            future._group = self

    def call_cancelled(self) -> None:
        if all(future.done() for future in list(self.futures.values())):
            try:
                self.run.cancel("all of its calls were cancelled")
            except Error:
                pass  # It ends by itself, and nobody waits for it.


class Executor(_Base):
    """Runs Python functions as durable tasks on the workers of a server.

        with backlot.Executor() as pool:
            future = pool.submit(pow, 2, 10)
            for value in pool.map(work, range(1000), chunksize=10):
                ...
        future.result()

    Each result comes back exactly once, whatever happened to workers meanwhile; a function may have been begun more than once when a worker died, so
    let it change nothing that it must not change twice. An exception comes back as itself, with the traceback of the worker as its cause. Calls
    outlive this process: their runs are called ``name`` and stay on the server with their logs.

    Functions of modules travel by name, so the workers' Python must have the module: ``modules`` lays the files of your own beside each call. Functions
    of notebooks and scripts, lambdas and closures travel as code with the globals that they name; their workers need the same minor version of Python. Classes of
    ``__main__`` do not travel. Arguments and results are pickled; arguments of a call are at most 1 MiB, results have no limit.

    ``python`` is the interpreter that workers start: this one unless given, which suits workers on this machine; give ``"python3"`` for others.
    ``timeout``, ``retries``, ``cpus``, ``memory`` and ``priority`` are each task's. With ``reuse`` an equal call's earlier result is taken.
    """

    def __init__(
        self,
        client: Optional[Client] = None,
        *,
        name: str = "python",
        python: Optional[str] = None,
        modules: Sequence[Union[ModuleType, str, Path]] = (),
        timeout: Optional[Span] = None,
        retries: int = 0,
        cpus: Optional[float] = None,
        memory: Union[int, str, None] = None,
        priority: int = 0,
        reuse: bool = False,
    ) -> None:
        self._client = Client() if client is None else client
        self._name = name
        self._python = python or sys.executable or "python3"
        self._files = {"call.py": inspect.getsource(_ship), **_sources(modules)}
        self._task: dict[str, Any] = {"timeout": timeout, "retries": retries, "cpus": cpus, "memory": memory}
        self._priority = priority
        self._reuse = reuse
        self._lock = threading.Condition()
        self._groups: list[_Group] = []
        self._watcher: Optional[threading.Thread] = None
        self._fetchers = ThreadPoolExecutor(4, thread_name_prefix="backlot-results")
        self._closed = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Submits a call; it is durable when this returns."""
        future: Future[T] = self._send(_packed(fn), [_packed_call([(args, kwargs)])], _Single)[0]
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: Optional[float] = None,
        chunksize: int = 1,
        buffersize: Optional[int] = None,
    ) -> Iterator[T]:
        """Calls the function with each item, all submitted at once, ``chunksize`` items in one task; the results in the order of the items.

        ``timeout`` is in seconds from this call; leaving the iterator early cancels what is left. ``buffersize`` is taken and has no effect: calls do not wait in this process.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be at least 1")
        function = _packed(fn)
        items = zip(*iterables)
        chunks = iter(lambda: list(itertools.islice(items, chunksize)), [])
        calls = [_packed_call([(tuple(item), {}) for item in chunk]) for chunk in chunks]
        futures: list[_Call[list[T]]] = []
        for batch in _batches(calls):
            futures.extend(self._send(function, batch, _Call))
        return _results(futures, None if timeout is None else time.monotonic() + timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls; waits for those that there are, or cancels them."""
        with self._lock:
            self._closed = True
            watcher = self._watcher
            futures = [future for group in self._groups for future in group.futures.values()]
            self._lock.notify_all()
        if cancel_futures:
            for future in futures:
                future.cancel()
        if wait and watcher is not None:
            watcher.join()
            self._fetchers.shutdown(wait=True)

    def _send(self, function: str, calls: Sequence[str], kind: type[_Call[Any]]) -> list[_Call[Any]]:
        with self._lock:
            if self._closed:
                raise RuntimeError("the executor is shut down and takes no more calls; make another")
        step = Step(
            "call",
            argv=[self._python, "call.py"],
            files={**self._files, "function.b64": function, "call.b64": ref("item")},
            outputs={"result": "result.pickle"},
            over=list(calls),
            keep_going=True,
            **self._task,
        )
        spec = RunSpec(self._name, steps=[step], description="Calls of a Python executor")
        run = self._submit(spec)
        futures: list[_Call[Any]] = [kind() for _ in calls]
        group = _Group(run, futures)
        with self._lock:
            self._groups.append(group)
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="backlot-executor", daemon=True)
                self._watcher.start()
            self._lock.notify_all()
        return futures

    def _submit(self, spec: RunSpec) -> Run:
        # With one key a submission whose answer was lost is not a second one.
        key = f"python-executor-{uuid.uuid4().hex}"
        for left in reversed(range(_SUBMIT_TRIES)):
            try:
                return self._client.submit(spec, priority=self._priority, cache=self._reuse, key=key)
            except Error as error:
                if error.code != "unreachable" or left == 0:
                    raise
                time.sleep(2 ** (_SUBMIT_TRIES - left) / 10)
        raise AssertionError("unreachable")

    def _watch(self) -> None:
        """Looks at the runs until all of them have ended and no more can come."""
        pause = _FIRST_LOOK
        while True:
            with self._lock:
                self._groups = [group for group in self._groups if group.futures]
                if not self._groups:
                    if self._closed:
                        return
                    self._lock.wait()
                    pause = _FIRST_LOOK
                    continue
                groups = list(self._groups)
            moved = False
            for group in groups:
                try:
                    moved |= self._look(group)
                except Error as error:
                    if error.code not in ("unreachable", "no_server", "unavailable"):
                        _fail(group, error)
                except Exception as error:
                    _fail(group, error)
            pause = _FIRST_LOOK if moved else min(pause * 1.5, _LAST_LOOK)
            with self._lock:
                self._lock.wait(pause)

    def _look(self, group: _Group) -> bool:
        """Whether something had ended."""
        run = group.run.refresh()
        open_calls = len(group.futures)
        if run.counts.ended > 0 or run.ended:
            ended = {task.index: task for task in run.tasks("call", ["succeeded", "failed", "cancelled"]) if task.index in group.futures}
            list(self._fetchers.map(lambda task: _resolve(group.futures[task.index], task), ended.values()))
            for index in ended:
                del group.futures[index]
        for index, future in list(group.futures.items()):
            if future.cancelled():
                del group.futures[index]
        if run.ended and group.futures:
            _fail(group, RunFailed(run, []))
        return len(group.futures) < open_calls


def _sources(modules: Sequence[Union[ModuleType, str, Path]]) -> dict[str, str]:
    files = {}
    for module in modules:
        found = inspect.getsourcefile(module) if isinstance(module, ModuleType) else module
        if found is None:
            raise ValueError(f"{module!r} has no source file; install it where the workers are")
        path = Path(found)
        if path.name == "__init__.py":
            raise ValueError(f"{path.parent.name} is a package; install it where the workers are, or name its single files")
        files[path.name] = path.read_text("utf-8")
    return files


def _packed(fn: Callable[..., Any]) -> str:
    return _small(_ship.dumps(fn), "the function with what it names")


def _packed_call(arguments: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> str:
    return _small(_ship.dumps(arguments), "the arguments of a call")


def _small(text: str, what: str) -> str:
    if len(text) > MOST_CALL_BYTES * 4 // 3:
        raise ValueError(f"{what} take {len(text) * 3 // 4} bytes, more than {MOST_CALL_BYTES}; write large data to a file or the store, and send its name")
    return text


def _batches(calls: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for call in calls:
        if batch and (len(batch) == MOST_RUN_CALLS or size + len(call) > MOST_RUN_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(call)
        size += len(call)
    if batch:
        yield batch


def _resolve(future: _Call[Any], task: TaskStatus) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        if task.state != "succeeded":
            raise Error(
                f"the call ended without a result: {task.error or task.state}",
                code="call_failed",
                mend=f"see the log of task {task.step}/{task.index} of run {task.run}",
            )
        answer = pickle.loads(task.outputs["result"].read())
        if answer[0]:
            future.set_result(answer[1])
            return
        error, told = answer[1], answer[2]
        if error is None:
            last = told.strip().splitlines()[-1] if told.strip() else "no reason"
            error = Error(f"the call raised what cannot be sent: {last}", code="call_failed", mend="raise a plain exception")
        error.__cause__ = RemoteTraceback(told)
        future.set_exception(error)
    except BaseException as error:
        future.set_exception(error)


def _fail(group: _Group, error: BaseException) -> None:
    for future in group.futures.values():
        if future.set_running_or_notify_cancel():
            future.set_exception(error)
    group.futures.clear()


def _results(futures: list[_Call[list[T]]], deadline: Optional[float]) -> Iterator[T]:
    # Not a generator itself: the calls are submitted when `map` is called, not when its result is first looked at.
    def each() -> Iterator[T]:
        waiting = list(reversed(futures))
        try:
            while waiting:
                left = None if deadline is None else max(deadline - time.monotonic(), 0)
                results = waiting[-1].result(left)
                waiting.pop()
                yield from results
        finally:
            for future in waiting:
                future.cancel()

    return each()
