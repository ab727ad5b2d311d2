"""Building a run's spec in Python; what a TOML or JSON file says can be said here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Optional, Union

Span = Union[float, str, timedelta]
"""A length of time: seconds, a `timedelta`, or text such as ``"250ms"``, ``"10m"``, ``"2h"``."""

_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def ref(path: str) -> str:
    """A reference, to stand where a value is wanted: ``ref("params.clip")``, ``ref("steps.probe.shots")``, ``ref("item.start")``,
    ``ref("index")``, ``ref("run.id")``. Alone in a string it is the value itself, with its type; within a longer string it is
    written as text.
    """
    return "${" + path + "}"


@dataclass
class Param:
    """A parameter that a submission may or must give."""

    type: str = "json"
    """``string``, ``integer``, ``number``, ``boolean`` or ``json``."""
    default: Any = None
    """Used when a submission does not give it; without one it must be given."""
    choices: Sequence[Any] = ()
    """If there are any, the only values allowed."""
    description: str = ""
    """One line for people."""

    def to_dict(self) -> dict[str, Any]:
        """The parameter in the spec's own form."""
        return _given(
            {
                "type": self.type,
                "choices": list(self.choices),
                "description": self.description,
            },
            default=self.default,
        )


@dataclass
class Step:
    """One step: a task of a registered ``kind`` with its ``input``, or a program (``argv``).

    Strings anywhere in it may hold references (`ref`); a step waits for the steps it refers to and for those in ``after``.
    """

    name: str
    """The step's name, unique in the run; letters, digits, ``-`` and ``_``."""
    kind: Optional[str] = None
    """The task kind, such as ``media.probe``; left out for a program."""
    input: Any = None
    """The kind's input."""
    argv: Optional[Sequence[Any]] = None
    """The program and its arguments; a blob among them becomes the path of a file with its bytes. No shell is involved."""
    env: Mapping[str, Any] = field(default_factory=dict)
    """The program's environment variables, besides PATH, HOME, LANG, TZ and TMPDIR."""
    files: Mapping[str, Any] = field(default_factory=dict)
    """Files laid into the program's directory before it starts: relative path to blob, text or JSON value."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Files taken up after the program's success: output's name to relative path. ``stdout`` is always an output."""
    over: Any = None
    """Makes the step a map with one task for each item: a list, or a reference to one."""
    concurrency: Optional[int] = None
    """At most so many of a map's tasks at once."""
    keep_going: bool = False
    """In a map: go on with the other items after one has failed. The step still fails."""
    after: Sequence[str] = ()
    """Steps to wait for besides those it refers to."""
    when: Optional[str] = None
    """A condition; the step is skipped when it does not hold."""
    on: str = "success"
    """Which ends of the steps before it let it start: ``success``, ``done``, ``failure`` or ``always``."""
    retries: int = 0
    """Attempts after the first, with growing waits between."""
    backoff: Optional[Span] = None
    """The wait after the first failure; 1 s unless said otherwise. It doubles each time, up to 5 minutes."""
    timeout: Optional[Span] = None
    """How long one attempt may take."""
    keys: Sequence[str] = ()
    """Names of which only a limited number of tasks may hold each at once: licences, devices, databases."""
    cpus: Optional[float] = None
    """Processors that one task uses; 1 unless said otherwise, 0 for one that only waits."""
    memory: Union[int, str, None] = None
    """Memory that one task uses: bytes, or text such as ``"512MiB"``."""
    priority: int = 0
    """Added to the run's priority."""
    cache: Optional[bool] = None
    """Whether an equal task's result may be reused; the run's setting unless said here."""

    def output(self, *path: str | int) -> str:
        """A reference to what this step puts out: ``probe.output("shots", 0, "start")``; for a map the list of its tasks'."""
        return ref(".".join(["steps", self.name, *map(str, path)]))

    def to_dict(self) -> dict[str, Any]:
        """The step in the spec's own form."""
        command = None
        if self.argv is not None:
            parts = {"env": dict(self.env), "files": dict(self.files), "outputs": dict(self.outputs)}
            command = {"argv": list(self.argv), **_given(parts)}
        elif self.env or self.files or self.outputs:
            raise ValueError(f"step {self.name!r} has env, files or outputs but no program; give argv")
        retry = {"max": self.retries, **_given({"backoff": _span(self.backoff)})} if self.retries else None
        return _given(
            {
                "name": self.name,
                "kind": self.kind,
                "command": command,
                "map": None if self.over is None else _given({"concurrency": self.concurrency}, over=self.over),
                "keep_going": self.keep_going,
                "after": list(self.after),
                "when": self.when,
                "on": None if self.on == "success" else self.on,
                "retry": retry,
                "timeout": _span(self.timeout),
                "keys": list(self.keys),
                "memory": self.memory,
                "priority": self.priority,
            },
            input=self.input,
            cpus=self.cpus,
            cache=self.cache,
        )


@dataclass
class RunSpec:
    """A directed acyclic graph of steps with typed parameters.

        spec = RunSpec("thumbnails", params={"clip": str})
        probe = spec.add(Step("probe", kind="media.probe", input={"clip": ref("params.clip")}))
        spec.add(Step("thumb", argv=["make-thumb", ref("item.start")], over=probe.output("shots"), outputs={"thumb": "t.jpg"}))
        run = client.submit(spec, {"clip": "a.mp4"})
    """

    name: str
    """What the run is called in lists; letters, digits, ``-``, ``_`` and ``.``."""
    steps: list[Step] = field(default_factory=list)
    """The steps, in any order."""
    params: Mapping[str, Union[Param, type]] = field(default_factory=dict)
    """The parameters; ``str``, ``int``, ``float`` and ``bool`` are short for required ones of that type."""
    description: str = ""
    """One line for people."""
    priority: int = 0
    """Tasks of higher priority start first."""
    deadline: Optional[Span] = None
    """The run is cancelled when it has not ended this long after its submission."""
    cache: bool = True
    """Whether results of earlier, equal tasks may be reused."""

    def add(self, step: Step) -> Step:
        """Adds a step and returns it."""
        self.steps.append(step)
        return step

    def extend(self, steps: Iterable[Step]) -> None:
        """Adds several steps."""
        self.steps.extend(steps)

    def to_dict(self) -> dict[str, Any]:
        """The spec in its own form, which is plain JSON."""
        spec = _given(
            {
                "description": self.description,
                "params": {name: _param(name, param) for name, param in self.params.items()},
                "priority": self.priority,
                "deadline": _span(self.deadline),
            }
        )
        return {"name": self.name, **spec, "cache": self.cache, "step": [step.to_dict() for step in self.steps]}

    def to_json(self) -> str:
        """The spec as the text of a JSON file, for ``backlot run``."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)


def _given(parts: dict[str, Any], **kept: Any) -> dict[str, Any]:
    """What says something: without ``None`` and without what is empty, false or zero among ``parts``."""
    some = {name: value for name, value in parts.items() if value not in (None, "", [], {}, False, 0)}
    return {**some, **{name: value for name, value in kept.items() if value is not None}}


def _span(span: Optional[Span]) -> Union[float, str, None]:
    return span.total_seconds() if isinstance(span, timedelta) else span


def _param(name: str, param: Union[Param, type]) -> dict[str, Any]:
    if isinstance(param, Param):
        return param.to_dict()
    if param in _JSON_TYPES:
        return {"type": _JSON_TYPES[param]}
    raise TypeError(f"the parameter {name!r} is {param!r}; give a Param, or str, int, float or bool")
