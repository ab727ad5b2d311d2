"""Artifacts: read, saved, and never wrong."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import backlot
import pytest
from backlot import RunSpec, Step
from support import DEADLINE, Server

SIZE = 5_000_000


@pytest.fixture
def run(client: backlot.Client) -> backlot.Run:
    script = f"head -c {SIZE} /dev/zero | tr '\\0' x > big.bin; echo '{{\"a\": [1, 2]}}' > report.json; printf '\\344' > latin.txt"
    outputs = {"big": "big.bin", "report": "report.json", "latin": "latin.txt"}
    spec = RunSpec("make", steps=[Step("make", argv=["sh", "-c", script], outputs=outputs)])
    return client.submit(spec).wait(DEADLINE)


def test_artifacts_are_read_and_saved(run: backlot.Run, tmp_path: Path) -> None:
    outputs = run.outputs("make")
    big: backlot.Artifact = outputs["big"]
    assert (big.size, big.name, big.media_type, big.step, big.index) == (SIZE, "big", "application/octet-stream", "make", 0)
    assert big.read() == b"x" * SIZE
    assert outputs["report"].json() == {"a": [1, 2]} and outputs["report"].media_type == "application/json"
    assert outputs["latin"].text("latin-1") == "ä"
    assert repr(big).startswith("<Artifact make/0/big application/octet-stream 4.8 MiB blake3:")
    assert run.task("make").artifacts["big"] == big and set(run.task("make").artifacts) == {"big", "report", "latin", "stdout"}

    target = tmp_path / "out" / "copy.bin"
    target.parent.mkdir()
    assert big.save(target) == target
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(b"x" * SIZE).digest()
    assert outputs["report"].save(str(tmp_path / "out")) == tmp_path / "out" / "report"
    assert sorted(os.listdir(target.parent)) == ["copy.bin", "report"]
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask
    with pytest.raises(backlot.Error) as caught:
        big.save(tmp_path / "no" / "such" / "folder")
    assert caught.value.code == "file" and "free space" in caught.value.mend


def test_a_damaged_artifact_is_not_given_out(server: Server, run: backlot.Run, tmp_path: Path) -> None:
    big: backlot.Artifact = run.outputs("make")["big"]
    stored = [path for path in (server.home / "store").rglob("*") if path.is_file() and path.stat().st_size == SIZE]
    assert len(stored) == 1
    stored[0].chmod(0o600)
    with stored[0].open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"y")
    target = tmp_path / "copy.bin"
    target.write_text("before")
    for fetch in (big.read, lambda: big.save(target)):
        with pytest.raises(backlot.Error) as caught:
            fetch()
        assert caught.value.code in ("corrupt", "unreachable"), caught.value
    assert target.read_text() == "before" and list(tmp_path.glob(".backlot-*")) == []


def test_a_retried_task_does_not_pass_for_the_old_one(client: backlot.Client, tmp_path: Path) -> None:
    spec = RunSpec("now", steps=[Step("now", argv=["cat", str(tmp_path / "now")], cache=False)])
    (tmp_path / "now").write_text("old")
    run = client.submit(spec).wait(DEADLINE)
    old = run.outputs("now")["stdout"]
    (tmp_path / "now").write_text("new")
    run.retry(from_step="now").wait(DEADLINE)
    assert run.outputs("now")["stdout"].text() == "new"
    with pytest.raises(backlot.Error) as caught:
        old.read()
    assert caught.value.code == "corrupt"
