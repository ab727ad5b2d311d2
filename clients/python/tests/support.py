"""A home of its own for each test, the real server on a free port, and tasks that wait for their cue."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

import backlot
import pytest

T = TypeVar("T")

DEADLINE = 60.0
"""Seconds; no step of a test takes this long unless it hangs."""

WORKSPACE = Path(__file__).resolve().parents[3]


def in_time(what: str, work: Callable[[], T]) -> T:
    """Does something on a thread that must end."""
    ended: queue.Queue[tuple[Optional[T], Optional[BaseException]]] = queue.Queue()

    def run() -> None:
        try:
            ended.put((work(), None))
        except BaseException as error:
            ended.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = ended.get(timeout=DEADLINE)
    except queue.Empty:
        raise AssertionError(f"{what}: not within {DEADLINE:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def missing(what: str, mend: str) -> None:
    """Skips loudly, or fails where nothing may be missing."""
    if os.environ.get("BACKLOT_REQUIRE_ALL") == "1":
        pytest.fail(f"{what}; {mend}")
    pytest.skip(f"skipped: {what}; {mend}")


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what points to a server or a home."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("BACKLOT_")}
    return {**ours, **more}


class Server:
    """A home, and the server that runs for it."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary = binary
        self.folder = folder
        self.home = folder / "home"
        self.log = folder / "server.log"
        self.process: Optional[subprocess.Popen[str]] = None
        self.url = ""

    def start(self) -> None:
        command = [self.binary, "--home", self.home, "up", "--bind", "127.0.0.1:0", "--output", "json"]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(XDG_CONFIG_HOME=str(self.folder / "config")),
            )
        said = self.process.stdout
        assert said is not None
        line = in_time("the server's first line", said.readline)
        assert line, f"the server did not start: {self.log.read_text()}"
        self.url = json.loads(line)["url"]

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends it: SIGTERM gives its tasks back first, SIGKILL does not."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(DEADLINE)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def client(self, **options: Any) -> backlot.Client:
        return backlot.Client(home=self.home, **options)

    @property
    def token(self) -> str:
        return (self.home / "admin.token").read_text().strip()


class Gate:
    """A task that waits here: ``cat`` on a pipe that has no writer yet."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gate"
        os.mkfifo(self.path)

    @property
    def argv(self) -> list[str]:
        return ["cat", str(self.path)]

    def open(self, text: str = "") -> None:
        """Waits until a task stands at the gate, and lets it through."""

        def write() -> None:
            with self.path.open("w") as pipe:
                pipe.write(text)

        in_time("a task at the gate", write)

    def release(self) -> None:
        """Lets everything through that waits now."""
        os.close(os.open(self.path, os.O_RDWR))
