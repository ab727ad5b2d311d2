"""The package is typed, and its stubs say what is there."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import backlot
import pytest
from support import missing

SAMPLE = """
import backlot

client = backlot.Client()
run = client.submit(backlot.RunSpec("x", params={"n": int}), {"n": 1})
reveal_type(run.wait(1.5, progress=True))
reveal_type(run.duration)
reveal_type(list(client.events()))
reveal_type(next(run.tasks(state="failed")).artifacts["a"].save("x"))
client.runs(state="lost")
run.wait("soon")
run.state = "failed"
"""


@pytest.fixture(autouse=True)
def _mypy() -> None:
    if find_spec("mypy") is None:
        missing("mypy is not installed", "pip install mypy")


def mypy(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", *arguments]
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True, timeout=300)


def test_users_are_told_types_and_mistakes(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    said = mypy("mypy", "--strict", "--no-error-summary", "sample.py", cwd=tmp_path).stdout
    for line, word in [
        (6, 'Revealed type is "backlot._run.Run"'),
        (7, 'Revealed type is "float | None"'),
        (8, 'Revealed type is "list[backlot._client.Event]"'),
        (9, 'Revealed type is "pathlib.Path"'),
        (10, "[arg-type]"),
        (11, "[arg-type]"),
        (12, "[misc]"),
    ]:
        assert any(text.startswith(f"sample.py:{line}:") and word in text for text in said.splitlines()), f"{word}: {said}"
    assert said.count("error:") == 3, said


def test_the_package_itself_is_sound(tmp_path: Path) -> None:
    checked = mypy("mypy", "--strict", "--no-error-summary", "-p", "backlot", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout


def test_the_stubs_are_those_of_the_library(tmp_path: Path) -> None:
    checked = mypy("mypy.stubtest", "backlot._native", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout


def test_everything_public_is_documented() -> None:
    for name in backlot.__all__:
        thing = getattr(backlot, name)
        if name.startswith("__"):
            continue
        assert thing.__doc__, name
        for member, value in vars(thing).items() if isinstance(thing, type) else ():
            if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                assert value.__doc__, f"{name}.{member}"
