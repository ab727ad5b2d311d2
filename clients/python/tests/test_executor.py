"""Calls as durable tasks: on the real server, with workers that are killed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import CancelledError, as_completed, wait
from pathlib import Path
from typing import Any

import backlot
import pytest
import shipped_module
from backlot import _ship
from support import DEADLINE, Gate, Server, environment, in_time

FACTOR = 10


def scaled(number: int) -> int:
    """Not importable by a worker, like a function of a notebook: it travels as code."""
    return helper(number) + 1


def helper(number: int) -> int:
    return FACTOR * number


def as_of_a_notebook(function: Any) -> Any:
    function.__module__ = "__main__"
    return function


for each in (scaled, helper):
    as_of_a_notebook(each)


def test_functions_travel_by_name_or_as_code() -> None:
    def back(thing: Any) -> Any:
        return _ship.loads(_ship.dumps(thing))

    assert back(os.path.join) is os.path.join
    assert back(scaled)(4) == 41
    assert back(lambda number: number + FACTOR)(1) == 11
    factor = 3

    def closed(number: int, *, more: int = 2) -> int:
        return number * factor * more

    assert back(closed)(5) == 30 and back(closed)(5, more=1) == 15

    def factorial(number: int) -> int:
        return 1 if number < 2 else number * factorial(number - 1)

    assert back(factorial)(5) == 120
    assert back(lambda text: os.path.basename(text))("/a/b") == "b"
    assert [back(lambda: [scaled(n) for n in range(3)])()] == [[1, 11, 21]]
    with pytest.raises(pickle.PicklingError, match="does not travel"):
        kind = type("Own", (), {"__module__": "__main__"})
        _ship.dumps(lambda: kind)
    code, name, python, cells = _ship._Pickler(open(os.devnull, "wb")).reducer_override(scaled)[1]
    with pytest.raises(RuntimeError, match="module that workers can import"):
        _ship.make(code, name, (python[0], python[1] + 1), cells)


def test_results_and_exceptions_come_back(client: backlot.Client) -> None:
    with backlot.Executor(client, modules=[shipped_module]) as pool:
        power, own = pool.submit(pow, 2, 10), pool.submit(scaled, 4)
        named = pool.submit(shipped_module.triple, number=7)
        wrong, theirs = pool.submit(divmod, 1, 0), pool.submit(shipped_module.refuse, 3)
        mapped = list(pool.map(lambda a, b: a * b, range(25), range(25), chunksize=4))
        assert (power.result(DEADLINE), own.result(DEADLINE), named.result(DEADLINE)) == (1024, 41, 21)
        assert mapped == [number * number for number in range(25)]
        with pytest.raises(ZeroDivisionError) as raised:
            wrong.result(DEADLINE)
        assert "Traceback" in str(raised.value.__cause__)
        with pytest.raises(shipped_module.Odd, match="3 is odd"):
            theirs.result(DEADLINE)
        assert {future.result() for future in as_completed([power, own], DEADLINE)} == {1024, 41}
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(pow, 1, 1)
    tasks = [task for run in client.runs(name="python") for task in run.tasks()]
    assert len(tasks) == 5 + 7 and all(task.failures == 0 for task in tasks)


def test_what_is_too_large_or_ends_its_process_is_said(client: backlot.Client) -> None:
    with backlot.Executor(client) as pool:
        with pytest.raises(ValueError, match="store"):
            pool.submit(len, b"x" * 2_000_000)
        with pytest.raises(ValueError, match="chunksize"):
            pool.map(len, ["a"], chunksize=0)
        gone = pool.submit(os._exit, 7)
        exits = pool.submit(sys.exit, 3)
        large = pool.submit(bytes, 3_000_000)
        assert len(large.result(DEADLINE)) == 3_000_000
        with pytest.raises(backlot.Error, match="without a result") as raised:
            gone.result(DEADLINE)
        assert raised.value.code == "call_failed"
        with pytest.raises(RuntimeError, match="SystemExit"):
            exits.result(DEADLINE)


def test_calls_are_cancelled_on_the_server(client: backlot.Client, gate: Gate) -> None:
    pool = backlot.Executor(client)
    path = str(gate.path)
    waiting = pool.submit(lambda: open(path).read())
    assert waiting.cancel() and waiting.cancelled()
    with pytest.raises(CancelledError):
        waiting.result(1)
    [run] = client.runs(name="python")
    assert run.wait(DEADLINE, check=False).state == "cancelled"
    pool.shutdown(wait=True, cancel_futures=True)


def test_killed_workers_lose_nothing_and_double_nothing(server: Server, tmp_path: Path) -> None:
    """Two workers beside the server's own; one is killed in the middle of its calls."""
    client = server.client()
    started = tmp_path / "started"
    started.mkdir()
    gate = Gate(tmp_path)

    def work(number: int) -> int:
        import os
        import time

        (open(os.path.join(str(started), f"{number}-{os.getpid()}-{time.monotonic_ns()}"), "w")).close()
        if number < 4:
            # The first calls stand at the gate until they are let through, or their worker dies.
            with open(path) as waiting:
                waiting.read()
        return number * number

    path = str(gate.path)
    command = [server.binary, "--home", server.home, "worker", "--cpus", "2"]
    workers = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
        for _ in range(2)
    ]
    try:
        with backlot.Executor(client, cpus=1.0) as pool:
            futures = [pool.submit(work, number) for number in range(40)]
            seen = threading.Event()

            def some_wait() -> None:
                while len({name.name.split("-")[0] for name in started.iterdir()} & {"0", "1", "2", "3"}) < 3:
                    seen.wait(0.05)

            in_time("calls at the gate", some_wait)
            workers[0].send_signal(signal.SIGKILL)
            workers[0].wait()
            opener = threading.Thread(target=_let_through, args=(gate, futures), daemon=True)
            opener.start()
            done, open_calls = wait(futures, DEADLINE)
            assert not open_calls
            assert [future.result() for future in futures] == [number * number for number in range(40)]
        runs = list(client.runs(name="python"))
        assert len(runs) == 40 and all(run.counts.succeeded == 1 for run in runs)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _let_through(gate: Gate, futures: list[Any]) -> None:
    while not all(future.done() for future in futures):
        gate.release()
        threading.Event().wait(0.1)
