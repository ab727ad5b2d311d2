"""The SDK of Archer: what a job's file says of itself, and what its functions are given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SDK = Path(__file__).parent.parent / "python" / "backlot" / "archer.py"

JOB = """
from backlot import archer

archer.job(params={"limit": 3, "name": str}, limits={"timeout": "5s"}, files=["helper.py"])
archer.split(seconds=2)

@archer.map(frames=archer.Frames("raw", format="gray", crop=(8, 4, 1, 0), scale=(None, 2), every=5))
def look(part, params):
    archer.out("a/b.txt").write_text("kept")
    return {"sum": sum(sum(frame.read()) for frame in part.frames), "limit": params["limit"], "rate": part.source.rate}

@archer.collect
def gather(results):
    return [(result.part.index, result.value, result.failed, sorted(result.files)) for result in results]

if __name__ == "__main__":
    archer.main()
"""

SOURCE = {
    "path": "source.mp4", "name": "a.mp4", "width": 8, "height": 4, "frames": 10, "rate": [25, 1], "duration": 0.4,
    "pixel_format": "gray", "bit_depth": 8,
    "audio": [{"codec": "aac", "sample_rate": 48000, "layout": "stereo", "duration": 0.4}],
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with the job, and the module alone on the path: workers have no more."""
    package = tmp_path / "sdk" / "backlot"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "archer.py").write_text(SDK.read_text())
    (tmp_path / "count-pixels.py").write_text(JOB)
    return tmp_path


def run(place: Path, *arguments: str, function: str | None = None) -> str:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(place / "sdk")}
    if function is not None:
        environment["ARCHER_FUNCTION"] = function
    command = [sys.executable, "count-pixels.py", *arguments]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_file_describes_its_job(place: Path) -> None:
    call = {"argv": ["python3", "count-pixels.py"]}
    assert json.loads(run(place, "--describe")) == {
        "name": "count-pixels",
        "split": {"seconds": 2},
        "map": call,
        "collect": call,
        "files": {"count-pixels.py": "count-pixels.py", "helper.py": "helper.py"},
        "limits": {"timeout": "5s"},
        "params": {"limit": {"type": "integer", "default": 3}, "name": {"type": "string"}},
        "frames": {
            "encoding": "raw", "format": "gray", "every": 5, "lead": 0, "quality": 3,
            "crop": {"width": 8, "height": 4, "x": 1, "y": 0}, "scale": {"height": 2},
        },
    }  # fmt: skip


def perform(place: Path, function: str, **task: Any) -> Any:
    told = {"archer": 1, "job": "x", "function": function, "params": {"limit": 3}, "source": SOURCE, **task}
    (place / "task.json").write_text(json.dumps(told))
    run(place, function=function)
    return json.loads((place / "result.json").read_text())


def test_map_and_collect_are_given_objects_and_leave_json(place: Path) -> None:
    (place / "frames").mkdir()
    (place / "frames" / "000000005.raw").write_bytes(bytes([1, 2, 3]))
    part = {"index": 2, "start": 4, "end": 8, "data": None}
    frame = {"frame": 5, "time": 0.2, "path": "frames/000000005.raw"}
    frames = {"width": 3, "height": 1, "format": "gray", "encoding": "raw", "files": [frame]}
    assert perform(place, "map", part=part, frames=frames) == {"sum": 6, "limit": 3, "rate": [25, 1]}
    assert (place / "out" / "a" / "b.txt").read_text() == "kept"
    results = [
        {"part": part, "result": 0.1, "files": {"a/b.txt": "parts/000002/a/b.txt"}},
        {"part": part, "result": None, "failed": "why", "files": {}},
    ]
    assert perform(place, "collect", results=results) == [[2, 0.1, None, ["a/b.txt"]], [2, None, "why", []]]


def test_without_the_program_the_mend_is_named(place: Path) -> None:
    (place / "empty").mkdir()
    environment = {"PATH": str(place / "empty"), "PYTHONPATH": str(place / "sdk")}
    command = [sys.executable, "count-pixels.py", "clip.mp4"]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "BACKLOT_BIN" in done.stderr
