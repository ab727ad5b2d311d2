"""The server that each test gets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import backlot
import pytest
from support import WORKSPACE, Gate, Server, missing


@pytest.fixture(scope="session")
def binary() -> Path:
    target = Path(os.environ.get("CARGO_TARGET_DIR") or WORKSPACE / "target")
    path = Path(os.environ.get("BACKLOT_BIN") or target / "debug" / "backlot")
    if not path.is_file():
        missing(f"there is no server at {path}", "build it with `cargo build`, or set BACKLOT_BIN")
    return path.resolve()


@pytest.fixture
def server(binary: Path, tmp_path: Path) -> Iterator[Server]:
    server = Server(binary, tmp_path)
    server.start()
    yield server
    server.end()


@pytest.fixture
def client(server: Server) -> backlot.Client:
    return server.client()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path)
    yield gate
    gate.release()
