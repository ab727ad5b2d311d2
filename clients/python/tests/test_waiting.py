"""Waiting: limits, signals, and servers that go away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import backlot
import pytest
from backlot import RunSpec, Step
from support import DEADLINE, Gate, Server, environment, in_time


def held(gate: Gate) -> RunSpec:
    return RunSpec("held", steps=[Step("wait", argv=gate.argv)])


def test_a_wait_has_a_limit(client: backlot.Client, gate: Gate) -> None:
    run = client.submit(held(gate))
    begun = time.monotonic()
    with pytest.raises(backlot.Timeout, match=r"has not ended within 0\.2 s; wait longer") as caught:
        run.wait(timeout=0.2)
    assert 0.2 <= time.monotonic() - begun < DEADLINE
    assert caught.value.code == "timed_out" and isinstance(caught.value, (TimeoutError, backlot.Error))
    assert not run.ended
    gate.open()
    assert run.wait(DEADLINE).state == "succeeded"
    assert run.wait(timeout=0).state == "succeeded"
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="timeout"):
            run.wait(timeout=wrong)


def test_progress_is_shown(client: backlot.Client, gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    run = client.submit(held(gate))
    gate.open()
    run.wait(DEADLINE, progress=True)
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.splitlines()[-1].startswith("held succeeded in ")


def test_logs_are_followed_as_they_are_written(client: backlot.Client, gate: Gate) -> None:
    script = f"echo first >&2; cat {gate.path} >&2"
    spec = RunSpec("talk", steps=[Step("before", argv=["true"]), Step("talk", argv=["sh", "-c", script], after=["before"])])
    run = client.submit(spec)
    lines = run.logs("talk", follow=True)
    assert in_time("the first line", lambda: next(lines)) == "first"
    assert not run.refresh().ended
    gate.open("second\nthird\n")
    assert in_time("the rest", lambda: list(lines)) == ["second", "third"]
    assert run.wait(DEADLINE).task("talk").state == "succeeded"
    with pytest.raises(backlot.Error) as caught:
        next(run.logs("nosuch", follow=True))
    assert caught.value.code == "not_found"


def test_a_wait_outlasts_a_restart(server: Server, gate: Gate) -> None:
    client = server.client(patience=DEADLINE)
    run = client.submit(held(gate))
    looked = threading.Event()
    thread = threading.Thread(target=lambda: run.wait(DEADLINE, progress=lambda _: looked.set()), daemon=True)
    thread.start()
    assert looked.wait(DEADLINE)
    old = server.url
    server.end()
    server.start()
    gate.open("through")
    thread.join(DEADLINE)
    assert not thread.is_alive() and run.state == "succeeded"
    assert run.outputs("wait")["stdout"].text() == "through"
    assert client.url == server.url != old


def test_a_server_that_is_gone_ends_the_wait(server: Server, gate: Gate) -> None:
    client = server.client(patience=0.5)
    run = client.submit(held(gate))
    killer = threading.Thread(target=server.end, args=(signal.SIGKILL,))

    def kill_once(_: backlot.Run) -> None:
        if not killer.ident:
            killer.start()

    begun = time.monotonic()
    with pytest.raises(backlot.Error) as caught:
        run.wait(DEADLINE, progress=kill_once)
    killer.join()
    assert caught.value.code == "unreachable" and "backlot up" in caught.value.mend
    assert 0.5 <= time.monotonic() - begun < DEADLINE / 2
    with pytest.raises(backlot.Error, match="no server answers at http://127.0.0.1"):
        client.run(run.id)


def test_no_server(tmp_path: Path) -> None:
    with pytest.raises(backlot.Error) as caught:
        backlot.Client(home=tmp_path)
    assert (caught.value.code, str(tmp_path) in caught.value.message) == ("no_server", True)
    with pytest.raises(backlot.Error) as caught:
        backlot.Client("127.0.0.1:7700")
    assert caught.value.code == "bad_argument" and "http://127.0.0.1:7700" in caught.value.mend
    with pytest.raises(ValueError, match="one of them"):
        backlot.Client("http://127.0.0.1:1", home=tmp_path)
    with pytest.raises(ValueError, match="token alone"):
        backlot.Client(token="x")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(backlot.Error, match="refused"):
        backlot.Client(f"http://127.0.0.1:{port}").run("someone")


def test_the_environment_names_the_server(server: Server) -> None:
    script = "import backlot; c = backlot.Client(); print(c.url, [r.name for r in c.runs()])"

    def said(**variables: str) -> str:
        return subprocess.run(
            [sys.executable, "-P", "-c", script], env=environment(**variables), text=True, timeout=DEADLINE, capture_output=True
        ).stdout

    assert said(BACKLOT_HOME=str(server.home)) == f"{server.url} []\n"
    assert said(BACKLOT_URL=server.url, BACKLOT_TOKEN=server.token) == f"{server.url} []\n"
    assert said(BACKLOT_URL=server.url, BACKLOT_TOKEN="wrong") == ""


def interrupted(script: str, *arguments: str) -> str:
    """Runs a script until it says `ready`, sends Ctrl-C, and gives what it said then."""
    # A shell starts what it puts into the background with SIGINT ignored, and children inherit that: a terminal would not.
    as_at_a_terminal = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", as_at_a_terminal + script, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert in_time("the script's wait", process.stdout.readline) == "ready\n"
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=DEADLINE / 4)
    finally:
        process.kill()
    assert process.returncode == 0
    return said


def test_ctrl_c_ends_a_wait_and_not_the_run(server: Server, client: backlot.Client, gate: Gate) -> None:
    run = client.submit(held(gate))
    script = """
import sys, backlot
run = backlot.Client(home=sys.argv[1]).run(sys.argv[2])
try:
    run.wait(progress=lambda _: print("ready", flush=True))
except KeyboardInterrupt:
    print("interrupted", run.refresh().ended)
"""
    said = interrupted(script, str(server.home), run.id)
    assert said.splitlines()[-1] == "interrupted False"
    gate.open()
    assert run.wait(DEADLINE).state == "succeeded"


def test_ctrl_c_ends_a_call_to_a_server_that_says_nothing() -> None:
    script = """
import sys, threading, backlot
def ready():
    connection, _ = listener.accept()
    connection.recv(1)
    print("ready", flush=True)
    threading.Event().wait()
import socket
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=ready, daemon=True).start()
try:
    backlot.Client(f"http://127.0.0.1:{listener.getsockname()[1]}").run("someone")
except KeyboardInterrupt:
    print("interrupted")
"""
    assert interrupted(script) == "interrupted\n"


def test_one_client_serves_many_threads(client: backlot.Client) -> None:
    def one(number: int) -> str:
        spec = RunSpec("many", steps=[Step("a", argv=["echo", str(number)], cpus=0)])
        return str(client.submit(spec).wait(DEADLINE).outputs("a")["stdout"].text())

    said: dict[int, str] = {}
    threads = [threading.Thread(target=lambda n=n: said.update({n: one(n)}), daemon=True) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert said == {number: f"{number}\n" for number in range(8)}


def test_followers_leave_no_threads_behind(client: backlot.Client) -> None:
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    run = client.submit(RunSpec("one", steps=[Step("a", argv=["true"])])).wait(DEADLINE)
    before = threads()
    for _ in range(20):
        following = client.events(follow=True)
        next(following)
        following.close()  # type: ignore[attr-defined]
        run.wait(DEADLINE)
    deadline = time.monotonic() + DEADLINE
    while threads() > before and time.monotonic() < deadline:
        client.run(run.id)
    assert threads() <= before
