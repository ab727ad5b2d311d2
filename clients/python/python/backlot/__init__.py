"""Submit, follow and read runs of a Backlot server.

    import backlot

    client = backlot.Client()
    run = client.submit("thumbnails.toml", {"clip": "store:clips/a.mp4"})
    run.wait(progress=True)
    for task in run.tasks(step="thumb"):
        task.outputs["thumb"].save(f"thumb-{task.index}.jpg")

``Client()`` finds the server that runs for your home directory; ``Client(url, token)`` names another. Waiting lets other
threads run, heeds Ctrl-C, and outlasts a restart of the server. Every failure is a `backlot.Error` with a ``code`` for
programs, a ``message`` and a ``mend`` for people.
"""

from __future__ import annotations

from ._artifact import Artifact
from ._client import Client, Event
from ._errors import Error, RunFailed, Timeout
from ._executor import Executor
from ._native import __version__
from ._run import Run, StepStatus, TaskCounts, TaskStatus
from ._spec import Param, RunSpec, Step, ref

__all__ = [
    "Artifact",
    "Client",
    "Error",
    "Event",
    "Executor",
    "Param",
    "Run",
    "RunFailed",
    "RunSpec",
    "Step",
    "StepStatus",
    "TaskCounts",
    "TaskStatus",
    "Timeout",
    "__version__",
    "ref",
]
