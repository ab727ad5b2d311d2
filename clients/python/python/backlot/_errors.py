"""What can go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from ._run import Run, TaskStatus


class Error(Exception):
    """A call that failed.

    ``code`` is one word for programs: the server's own (``not_found``, ``conflict``, ``invalid``, ``unauthorized``,
    ``scope_missing``, …), or one of ``unreachable``, ``no_server``, ``bad_answer``, ``bad_home``, ``bad_argument``,
    ``bad_spec``, ``file``, ``corrupt``, ``timed_out``, ``run_failed``, ``run_cancelled``. ``message`` says what happened and
    ``mend`` what to do about it; the text of the exception is both in one line. ``request_id`` names the request in the
    server's log, where the server answered.
    """

    code: str
    message: str
    mend: str
    request_id: Optional[str]

    def __init__(self, message: str, *, code: str, mend: str, request_id: str | None = None) -> None:
        super().__init__(f"{message}; {mend}" if mend else message)
        self.code = code
        self.message = message
        self.mend = mend
        self.request_id = request_id

    def __reduce__(self) -> tuple[object, ...]:
        # The constructor takes its parts by name, which pickling does not know of itself.
        return (_rebuilt, (type(self), self.args), self.__dict__)


def _rebuilt(kind: type[Error], args: tuple[object, ...]) -> Error:
    error = kind.__new__(kind)
    error.args = args
    return error


class Timeout(Error, TimeoutError):
    """A wait that took longer than its ``timeout``. What was waited for goes on. The code is ``timed_out``."""


class RunFailed(Error):
    """A run that ended without success. The code is ``run_failed`` or ``run_cancelled``.

    ``run`` is the run as it ended, ``failures`` its first failed tasks (at most 5).
    """

    run: Run
    failures: list[TaskStatus]

    def __init__(self, run: Run, failures: list[TaskStatus]) -> None:
        told = [f"{task.step}/{task.index}: {task.error or 'no reason was given'}" for task in failures]
        reasons = told or ([run.error] if run.error else [])
        why = f": {'; '.join(reasons)}" if reasons else ""
        if run.state == "cancelled":
            mend = "`retry()` runs what did not succeed"
        else:
            mend = "see `logs()` of the failed tasks; `retry()` runs again what did not succeed"
        super().__init__(f"run {run.id} ({run.name}) {run.state}{why}", code=f"run_{run.state}", mend=mend)
        self.run = run
        self.failures = failures

    def __reduce__(self) -> tuple[object, ...]:
        # Connections do not travel to other processes: there it is an `Error` with the same text, code and mend.
        parts = {name: value for name, value in self.__dict__.items() if name not in ("run", "failures")}
        return (_rebuilt, (Error, self.args), parts)
