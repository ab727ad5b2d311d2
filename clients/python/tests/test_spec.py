"""Building specs."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from backlot import Param, RunSpec, Step, ref


def test_a_spec_says_what_was_given_and_nothing_else() -> None:
    assert RunSpec("x", steps=[Step("a", kind="k")]).to_dict() == {
        "name": "x",
        "cache": True,
        "step": [{"name": "a", "kind": "k"}],
    }
    full = RunSpec(
        "x",
        description="all of it",
        params={"n": Param("integer", default=0, choices=[0, 1], description="how many"), "f": bool},
        priority=-1,
        deadline=timedelta(hours=1),
        cache=False,
    )
    step = full.add(
        Step(
            "a",
            argv=["p", ref("params.n"), 3],
            env={"A": "b"},
            files={"in.json": {"x": 0}},
            outputs={"o": "o.txt"},
            over=[],
            concurrency=2,
            keep_going=True,
            after=["b"],
            when="${params.f}",
            on="always",
            retries=2,
            backoff="250ms",
            timeout=1.5,
            keys=["licence"],
            cpus=0,
            memory="1GiB",
            priority=1,
            cache=False,
        )
    )
    full.extend([Step("b", kind="k", input=0)])
    assert full.to_dict() == {
        "name": "x",
        "description": "all of it",
        "params": {
            "n": {"type": "integer", "choices": [0, 1], "description": "how many", "default": 0},
            "f": {"type": "boolean"},
        },
        "priority": -1,
        "deadline": 3600.0,
        "cache": False,
        "step": [
            {
                "name": "a",
                "command": {"argv": ["p", "${params.n}", 3], "env": {"A": "b"}, "files": {"in.json": {"x": 0}}, "outputs": {"o": "o.txt"}},
                "map": {"concurrency": 2, "over": []},
                "keep_going": True,
                "after": ["b"],
                "when": "${params.f}",
                "on": "always",
                "retry": {"max": 2, "backoff": "250ms"},
                "timeout": 1.5,
                "keys": ["licence"],
                "memory": "1GiB",
                "priority": 1,
                "cpus": 0,
                "cache": False,
            },
            {"name": "b", "kind": "k", "input": 0},
        ],
    }
    assert json.loads(full.to_json()) == full.to_dict()
    assert step.output("o", 3, "x") == "${steps.a.o.3.x}" and step.output() == "${steps.a}"


def test_mistakes_are_told_early() -> None:
    with pytest.raises(TypeError, match="'p' is <class 'list'>; give a Param"):
        RunSpec("x", params={"p": list}).to_dict()
    with pytest.raises(ValueError, match="give argv"):
        Step("a", kind="k", env={"A": "b"}).to_dict()
