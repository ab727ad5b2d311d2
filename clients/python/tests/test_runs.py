"""Submitting, reading and steering runs on the real server."""

from __future__ import annotations

import json
import pickle
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import backlot
import pytest
from backlot import Param, RunSpec, Step, ref
from support import DEADLINE, Gate, Server

SQUARES = RunSpec(
    "squares",
    params={"numbers": Param("json", default=[1, 2, 3]), "label": str},
    steps=[
        Step("list", argv=["printf", "%s", ref("params.label")]),
        Step(
            "square",
            argv=["sh", "-c", 'echo "working on $1" >&2; echo $(($1 * $1)) > out.txt', "sh", ref("item")],
            over=ref("params.numbers"),
            concurrency=2,
            outputs={"square": "out.txt"},
            after=["list"],
        ),
        Step("join", argv=["cat", ref("steps.square.square.0"), ref("steps.square.square.2")]),
    ],
)


def test_a_run_with_commands_and_a_map(client: backlot.Client) -> None:
    run = client.submit(SQUARES, {"label": "héllo"}, priority=2)
    assert re.fullmatch(r"<Run \w+ squares (queued|running): \d+ of \d+ tasks, \d of 3 steps ended>", repr(run))
    seen: list[str] = []
    assert run.wait(DEADLINE, progress=lambda run: seen.append(run.state)) is run
    assert (run.state, run.ended, run.error, run.priority) == ("succeeded", True, None, 2)
    assert seen[-1] == "succeeded"
    assert run.params == {"numbers": [1, 2, 3], "label": "héllo"}
    assert (run.counts.total, run.counts.succeeded, run.counts.ended) == (5, 5, 5)
    assert (run.step_count, run.steps_ended, run.submitted_by) == (3, 3, "admin")
    assert run.started is not None and run.finished is not None
    assert run.created <= run.started <= run.finished and run.created.tzinfo == timezone.utc
    assert run.duration is not None and run.duration > 0
    assert re.fullmatch(r"<Run \w+ squares succeeded in \d+\.\d s: 5 of 5 tasks succeeded>", repr(run))

    steps = run.steps()
    assert [step.name for step in steps] == ["list", "square", "join"]
    assert (steps[1].is_map, steps[1].needs, steps[1].kind, steps[1].state) == (True, ("list",), "command", "succeeded")
    tasks = list(run.tasks(step="square", state="succeeded"))
    assert [(task.index, task.item) for task in tasks] == [(0, 1), (1, 2), (2, 3)]
    assert [task.outputs["square"].text() for task in tasks] == ["1\n", "4\n", "9\n"]
    assert list(run.tasks(state=["failed", "cancelled"])) == []
    assert list(tasks[1].logs()) == ["working on 2"]
    assert list(run.logs("square", 2)) == ["working on 3"]
    assert list(run.logs("square", 2, follow=True)) == ["working on 3"]
    assert run.outputs("list")["stdout"].text() == "héllo"
    assert run.outputs("join")["stdout"].read() == b"1\n9\n"
    assert [outputs["exit_code"] for outputs in run.outputs("square")] == [0, 0, 0]
    assert run.task("join").duration is not None
    assert run.spec()["name"] == "squares"


def test_runs_are_found_again(client: backlot.Client) -> None:
    spec = {"name": "one", "step": [{"name": "a", "command": {"argv": ["true"]}}]}
    first = client.submit(spec, key="only-once").wait(DEADLINE)
    assert client.submit(spec, key="only-once") == first
    second = client.submit({**spec, "name": "two"}).wait(DEADLINE)
    assert second.counts.cached == 1 and second.task("a").cached
    third = client.submit({**spec, "name": "three"}, cache=False).wait(DEADLINE)
    assert third.counts.cached == 0
    assert [run.name for run in client.runs()] == ["three", "two", "one"]
    assert [run.name for run in client.runs(limit=2)] == ["three", "two"]
    assert list(client.runs(name="two")) == [second]
    assert list(client.runs(state=["failed", "running"])) == []
    assert client.run(first.id[:12]) == first and len({first, client.run(first.id)}) == 1


def test_more_than_a_page(client: backlot.Client) -> None:
    spec = RunSpec("many", steps=[Step("each", argv=["true"], over=list(range(1203)), cpus=0)])
    run = client.submit(spec)

    def stop_once_laid_down(run: backlot.Run) -> None:
        if run.state == "running" and run.steps()[0].state == "running":
            run.cancel("enough")

    with pytest.raises(backlot.RunFailed):
        run.wait(DEADLINE, progress=stop_once_laid_down)
    assert [task.index for task in run.tasks()] == list(range(1203))


def test_specs_from_files(client: backlot.Client, tmp_path: Path) -> None:
    path = tmp_path / "hello.toml"
    path.write_text('name = "hello"\n[params.who]\ntype = "string"\n[[step]]\nname = "a"\ncommand = { argv = ["echo", "${params.who}"] }\n')
    run = client.submit(path, {"who": "you"}).wait(DEADLINE)
    assert run.outputs("a")["stdout"].text() == "you\n"
    as_json = tmp_path / "squares.json"
    as_json.write_text(SQUARES.to_json())
    assert client.submit(str(as_json), {"label": "x"}).spec() == client.submit(SQUARES, {"label": "x"}).spec()
    path.write_text("name = \n")
    with pytest.raises(backlot.Error, match=r"hello\.toml cannot be read: line 1.*name a TOML or JSON file") as caught:
        client.submit(path)
    assert caught.value.code == "bad_spec"


def test_a_failure_says_what_failed(client: backlot.Client) -> None:
    script = 'echo "$1 is odd" >&2; exit $(($1 % 2))'
    spec = RunSpec(
        "odd",
        steps=[
            Step("check", argv=["sh", "-c", script, "sh", ref("item")], over=[2, 3, 4, 5], keep_going=True),
            Step("then", argv=["true"], after=["check"]),
            Step("anyway", argv=["true"], after=["check"], on="always"),
        ],
    )
    run = client.submit(spec)
    with pytest.raises(backlot.RunFailed) as caught:
        run.wait(DEADLINE)
    error = caught.value
    assert error.run is run and run.state == "failed"
    assert [(task.step, task.index) for task in error.failures] == [("check", 1), ("check", 3)]
    assert "3 is odd" in str(error.failures[0].error)
    assert (error.code, isinstance(error, backlot.Error)) == ("run_failed", True)
    assert "check/1: " in error.message and "retry()" in error.mend and str(error) == f"{error.message}; {error.mend}"
    assert "failed: " in repr(error.failures[0])
    assert [step.state for step in run.steps()] == ["failed", "skipped", "succeeded"]
    assert run.wait(check=False).state == "failed"
    assert run.outputs("then") is None
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.code, copy.mend) == (str(error), "run_failed", error.mend)


def test_a_failure_is_mended_and_retried(client: backlot.Client, tmp_path: Path) -> None:
    part = tmp_path / "part"
    spec = RunSpec(
        "mended",
        steps=[
            Step("first", argv=["sh", "-c", f"echo . >> {tmp_path}/count"], cache=False),
            Step("second", argv=["cat", str(part)], after=["first"]),
        ],
    )
    run = client.submit(spec)
    with pytest.raises(backlot.RunFailed, match="No such file"):
        run.wait(DEADLINE)
    part.write_text("here")
    assert run.retry().wait(DEADLINE).state == "succeeded"
    assert (tmp_path / "count").read_text() == ".\n", "what had succeeded did not run again"
    assert run.outputs("second")["stdout"].text() == "here"
    run.retry(from_step="first").wait(DEADLINE)
    assert (tmp_path / "count").read_text() == ".\n.\n"


def test_cancel_pause_and_resume(client: backlot.Client, gate: Gate) -> None:
    spec = RunSpec("held", steps=[Step("wait", argv=gate.argv), Step("then", argv=["true"], after=["wait"])])
    run = client.submit(spec)
    gate.open("through\n")
    assert run.wait(DEADLINE).outputs("wait")["stdout"].text() == "through\n"

    run = client.submit(spec, cache=False)
    assert run.pause().state == "paused"
    assert run.resume().state in ("queued", "running")
    assert run.cancel("changed my mind").state in ("cancelling", "cancelled")
    with pytest.raises(backlot.RunFailed, match="changed my mind") as caught:
        run.wait(DEADLINE)
    assert (caught.value.code, run.state) == ("run_cancelled", "cancelled")
    assert run.cancel().state == "cancelled"
    with pytest.raises(backlot.Error) as caught_again:
        run.pause()
    assert caught_again.value.code == "conflict"


def test_what_the_server_refuses(client: backlot.Client) -> None:
    for call, code in [
        (lambda: client.run("nosuchrun0000"), "not_found"),
        (lambda: client.run("../x"), "not_found"),
        (lambda: client.run(".."), "bad_argument"),
        (lambda: client.submit({"name": "x", "step": []}), "invalid"),
        (lambda: client.submit({"name": "x", "step": [{"name": "a", "kind": "no.such.kind"}]}), "invalid"),
        (lambda: client.submit(SQUARES), "invalid"),
        (lambda: client.submit(SQUARES, {"label": 3}), "invalid"),
    ]:
        with pytest.raises(backlot.Error) as caught:
            call()
        error = caught.value
        assert error.code == code, error
        assert error.message and error.mend and "\n" not in str(error)
        if code != "bad_argument":
            assert error.request_id
        copy = pickle.loads(pickle.dumps(error))
        assert (str(copy), copy.code, copy.request_id) == (str(error), code, error.request_id)


def test_what_is_no_json_is_refused_with_its_place(client: backlot.Client) -> None:
    loop: list[object] = []
    loop.append(loop)
    for value, message in [
        ({"a": [1, {2}]}, r'params\["x"\]\["a"\]\[1\] is a set'),
        (float("nan"), r'params\["x"\] is NaN'),
        (2**64, r'params\["x"\] does not fit 64 bits'),
        ({1: 2}, r'params\["x"\] has a key that is a int'),
        (loop, "nested deeper than 128"),
        (datetime.now(), "is a datetime"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            client.submit(SQUARES, {"label": "a", "x": value})


def test_json_survives_the_way_there_and_back(client: backlot.Client) -> None:
    values = [None, True, 0, -1, 2**63 - 1, -(2**63), 0.1, 1e300, "", "ü\n\"'\U0001f3ac", [], {}, {"a": [1, [2.5]]}]
    spec = RunSpec("values", params={"x": Param("json")}, steps=[Step("a", argv=["true"])])
    run = client.submit(spec, {"x": values})
    assert run.params["x"] == values and json.dumps(run.params["x"]) == json.dumps(values)
    run.wait(DEADLINE)


def test_events(client: backlot.Client) -> None:
    before = datetime.now(timezone.utc) - timedelta(seconds=60)
    run = client.submit(RunSpec("one", steps=[Step("a", argv=["true"])])).wait(DEADLINE)
    events = list(client.events())
    assert [event.seq for event in events] == sorted({event.seq for event in events})
    of_run = list(client.events(kind="backlot.work.run.", subject=run.id, source=events[0].source))
    assert [event.kind for event in of_run] == [
        "backlot.work.run.queued",
        "backlot.work.run.started",
        "backlot.work.run.succeeded",
    ]
    assert of_run[0].time >= before and of_run[0].attributes["specversion"] == "1.0" and of_run[0].data["run"] == run.id
    assert list(client.events(after=events[-1].seq)) == []
    assert list(client.events(since=datetime.now(timezone.utc) + timedelta(days=1))) == []
    assert len(list(client.events(since=before.astimezone().replace(tzinfo=None)))) == len(events)

    following = client.events(after=of_run[0].seq, kind="backlot.work.run.", follow=True)
    assert [next(following).kind for _ in range(2)] == [event.kind for event in of_run[1:]]
    second = client.submit(RunSpec("two", steps=[Step("a", argv=["true"])]))
    assert next(following).subject == second.id
    following.close()  # type: ignore[attr-defined]
    second.wait(DEADLINE)


def test_tokens(server: Server, client: backlot.Client) -> None:
    run = client.submit(RunSpec("one", steps=[Step("a", argv=["true"])])).wait(DEADLINE)
    assert backlot.Client(server.url, server.token).run(run.id) == run
    for wrong in (None, "backlot_wrong"):
        with pytest.raises(backlot.Error) as caught:
            backlot.Client(server.url, wrong).run(run.id)
        assert caught.value.code in ("unauthenticated", "unauthorized", "token_missing", "token_unknown"), caught.value.code
        assert "backlot_wrong" not in str(caught.value)
        with pytest.raises(backlot.Error):
            next(iter(backlot.Client(server.url, wrong).events(follow=True)))
    assert server.token not in repr(client) + repr(run)
    (server.home / "admin.token").chmod(0o644)
    with pytest.raises(backlot.Error, match="chmod 600"):
        backlot.Client(home=server.home)
    (server.home / "admin.token").chmod(0o600)
