"""Archer jobs in Python: split a clip, map a function over its parts, collect the results.

    from backlot import archer

    @archer.map(frames=archer.Frames("raw", format="gray", every=5))
    def brightness(part):
        return [sum(frame.read()) / frame.size for frame in part.frames]

    @archer.collect
    def brightest(results):
        return max(value for result in results for value in result.value)

    archer.split(shots=True)

    if __name__ == "__main__":
        archer.main()

``python job.py CLIP`` runs it here, with the program ``backlot`` to decode but no server; ``backlot archer run job.py CLIP`` runs it
as durable tasks on workers. The result has the same bytes. Decorated functions stay plain functions, so tests can call them.

This module needs nothing but the standard library: workers lay it beside the job, so they need not have the package.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, NoReturn, Optional, TypeVar, Union

__all__ = [
    "AudioTrack",
    "Frame",
    "Frames",
    "Part",
    "Result",
    "Source",
    "collect",
    "job",
    "main",
    "map",
    "out",
    "split",
]

F = TypeVar("F", bound=Callable[..., Any])

_CHANNELS = {"gray": 1, "rgb24": 3, "bgr24": 3, "rgba": 4}
_PARAMS = {str: "string", int: "integer", float: "number", bool: "boolean"}


@dataclass(frozen=True)
class AudioTrack:
    """An audio track of the clip."""

    codec: str
    sample_rate: int
    layout: str
    duration: float


@dataclass(frozen=True)
class Source:
    """The clip."""

    path: Path
    """The file, to be read only."""
    name: str
    width: int
    height: int
    frames: int
    rate: tuple[int, int]
    """Frames per second, as numerator and denominator."""
    duration: float
    """Length in seconds."""
    pixel_format: str
    bit_depth: int
    audio: tuple[AudioTrack, ...] = ()


@dataclass(frozen=True)
class Frame:
    """A delivered frame."""

    index: int
    """Its number in the clip."""
    time: float
    """When it is shown, in seconds from the clip's begin."""
    path: Path
    """The picture or raw file."""
    width: int
    height: int
    format: str
    """ffmpeg's name of the pixel format."""

    @property
    def size(self) -> int:
        """The file's length in bytes."""
        return self.path.stat().st_size

    def read(self) -> bytes:
        """The file's bytes."""
        return self.path.read_bytes()

    def array(self) -> Any:
        """A raw frame as a numpy array, height by width (by channels); of planar formats the planes in one row of bytes."""
        import numpy

        data = numpy.fromfile(self.path, dtype=numpy.uint16 if self.format.endswith("le") else numpy.uint8)
        channels = {"gray10le": 1, "gray12le": 1, "gray16le": 1, "rgb48le": 3, **_CHANNELS}.get(self.format)
        if channels is None:
            return data
        shape = (self.height, self.width) if channels == 1 else (self.height, self.width, channels)
        return data.reshape(shape)


@dataclass(frozen=True)
class Part:
    """Frames ``start`` up to but not including ``end``; what map looks at."""

    start: int
    end: int
    data: Any = None
    """What split said about it."""
    index: int = 0
    """Its number."""
    frames: tuple[Frame, ...] = ()
    """The frames that the job asked for; with ``lead`` the first ones lie before the part."""
    source: Optional[Source] = None


@dataclass(frozen=True)
class Result:
    """What map made of a part."""

    part: Part
    value: Any
    failed: Optional[str] = None
    """Why map failed for good, in a job that collects all the same."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """The files that map wrote."""


@dataclass(frozen=True)
class Frames:
    """The frames that are laid beside map."""

    encoding: str = "png"
    """``png``, ``jpeg`` or ``raw``."""
    format: Optional[str] = None
    """The pixel format, in ffmpeg's names: ``gray``, ``rgb24``, ``yuv420p10le``."""
    crop: Optional[tuple[int, int, int, int]] = None
    """Width, height, and the columns and rows before it."""
    scale: Optional[tuple[Optional[int], Optional[int]]] = None
    """Width and height; None for the one that follows from the shape."""
    every: int = 1
    """Only frames whose number is a multiple of this."""
    lead: int = 0
    """So many frames before each part as well."""
    quality: int = 3
    """JPEG's quantiser, 1 (best) to 31."""

    def to_dict(self) -> dict[str, Any]:
        """The request in the job's own form."""
        request: dict[str, Any] = {"encoding": self.encoding, "every": self.every, "lead": self.lead, "quality": self.quality}
        if self.format is not None:
            request["format"] = self.format
        if self.crop is not None:
            width, height, x, y = self.crop
            request["crop"] = {"width": width, "height": height, "x": x, "y": y}
        if self.scale is not None:
            sides = zip(("width", "height"), self.scale)
            request["scale"] = {name: side for name, side in sides if side is not None}
        return request


class _Job:
    """The job of this process: what the decorators gather."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.python = "python3"
        self.files: list[str] = []
        self.split: Any = "shots"
        self.frames: Optional[Frames] = None
        self.functions: dict[str, Callable[..., Any]] = {}

    def describe(self, file: Path) -> dict[str, Any]:
        """The job as `backlot archer run` reads it."""
        if "map" not in self.functions:
            raise SystemExit(f"{file.name}: no function is decorated with @archer.map; decorate the one that looks at a part")
        call = {"argv": [self.python, file.name]}
        description: dict[str, Any] = {
            "name": re.sub(r"[^A-Za-z0-9_-]", "-", file.stem),
            "split": call if "split" in self.functions else self.split,
            "map": call,
            "files": {name: name for name in [file.name, *self.files]},
            **self.facts,
        }
        if self.frames is not None:
            description["frames"] = self.frames.to_dict()
        if "collect" in self.functions:
            description["collect"] = call
        return description


_job = _Job()


def job(
    name: Optional[str] = None,
    *,
    description: Optional[str] = None,
    params: Optional[Mapping[str, Any]] = None,
    limits: Optional[Mapping[str, Any]] = None,
    env: Optional[Mapping[str, str]] = None,
    files: Sequence[str] = (),
    container: Optional[Mapping[str, Any]] = None,
    on_failure: Optional[str] = None,
    python: str = "python3",
) -> None:
    """Says more about the job.

    ``params`` maps names to default values, or to ``str``, ``int``, ``float``, ``bool`` for parameters that must be given.
    ``limits`` may hold ``timeout``, ``memory``, ``processes``, ``cpus``, ``retries``, ``concurrency``. ``files`` are laid beside the
    functions on every worker. ``on_failure="collect"`` runs collect although parts have failed.
    """
    facts: dict[str, Any] = {
        "name": name,
        "description": description,
        "limits": None if limits is None else dict(limits),
        "env": None if env is None else dict(env),
        "container": None if container is None else dict(container),
        "on_failure": on_failure,
    }
    if params is not None:
        facts["params"] = {key: _param(value) for key, value in params.items()}
    _job.facts.update({key: value for key, value in facts.items() if value is not None})
    _job.files.extend(files)
    _job.python = python


def _param(value: Any) -> dict[str, Any]:
    if isinstance(value, type):
        return {"type": _PARAMS.get(value, "json")}
    return {"type": _PARAMS.get(type(value), "json"), "default": value}


def split(
    function: Optional[F] = None,
    *,
    frames: Optional[int] = None,
    seconds: Optional[float] = None,
    shots: bool = False,
    whole: bool = False,
) -> Any:
    """Decorates the function that cuts the clip, or names a built-in split: ``archer.split(seconds=2)``.

    The function is given the `Source` (and the parameters, if it takes two arguments) and returns parts: `Part`, or pairs of
    first frame and one past the last.
    """
    if function is not None:
        _job.functions["split"] = function
        return function
    choices = {"frames": frames, "seconds": seconds, "shots": shots or None, "whole": whole or None}
    chosen = {name: value for name, value in choices.items() if value is not None}
    if len(chosen) != 1:
        raise ValueError("say one of frames=N, seconds=S, shots=True, whole=True, or decorate a function")
    [(name, value)] = chosen.items()
    _job.split = name if value is True else {name: value}
    return None


def map(function: Optional[F] = None, *, frames: Optional[Frames] = None) -> Any:
    """Decorates the function that looks at one `Part` (and is given the parameters, if it takes two arguments).

    What it returns must be JSON. Files that it writes to ``archer.out(name)`` are kept.
    """

    def decorate(function: F) -> F:
        _job.functions["map"] = function
        _job.frames = frames
        return function

    return decorate if function is None else decorate(function)


def collect(function: F) -> F:
    """Decorates the function that makes one result of all: it is given the list of `Result` in the order of the parts (and the
    parameters, if it takes two arguments). Without one the result is the list of map's results.
    """
    _job.functions["collect"] = function
    return function


def out(name: Union[str, Path]) -> Path:
    """Where a function writes a file that is to be kept."""
    path = Path("out") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """What a job's file ends with: does what the platform asks for, or runs the job here on the clip of the command line."""
    file = Path(sys.modules["__main__"].__file__ or "job.py").resolve()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given == ["--describe"]:
        json.dump(_job.describe(file), sys.stdout)
        return
    function = os.environ.get("ARCHER_FUNCTION")
    if function is not None:
        _perform(function)
        return
    _run_here(file, given)


def _run_here(file: Path, arguments: Sequence[str]) -> NoReturn:
    program = os.environ.get("BACKLOT_BIN") or shutil.which("backlot")
    if not program:
        raise SystemExit(f"{file.name}: the program `backlot` is not on PATH; install it, or set BACKLOT_BIN to its path")
    sys.stdout.flush()
    os.execv(program, [program, "archer", "run", "--local", str(file), *arguments])


def _perform(name: str) -> None:
    task = json.loads(Path("task.json").read_text("utf-8"))
    function = _job.functions.get(name)
    if function is None:
        raise SystemExit(f"no function is decorated with @archer.{name}")
    source = _source(task["source"])
    if name == "split":
        argument: Any = source
    elif name == "map":
        argument = _part(task["part"], source, task.get("frames"))
    else:
        argument = [
            Result(
                _part(one["part"], source, None),
                one["result"],
                one.get("failed"),
                {file: Path(path) for file, path in one["files"].items()},
            )
            for one in task["results"]
        ]
    takes_params = len(inspect.signature(function).parameters) >= 2
    value = function(argument, task["params"]) if takes_params else function(argument)
    if name == "split":
        value = [_described(part) for part in value]
    text = json.dumps(_plain(value), allow_nan=False, ensure_ascii=False)
    Path("result.json.partial").write_text(text, "utf-8")
    os.replace("result.json.partial", "result.json")


def _source(told: Mapping[str, Any]) -> Source:
    facts = dict(told, path=Path(told["path"]), rate=tuple(told["rate"]))
    facts["audio"] = tuple(AudioTrack(**track) for track in told["audio"])
    return Source(**facts)


def _part(told: Mapping[str, Any], source: Source, frames: Optional[Mapping[str, Any]]) -> Part:
    files = [] if frames is None else frames["files"]
    looks = {} if frames is None else {key: frames[key] for key in ("width", "height", "format")}
    delivered = tuple(Frame(one["frame"], one["time"], Path(one["path"]), **looks) for one in files)
    return Part(told["start"], told["end"], told["data"], told["index"], delivered, source)


def _described(part: Any) -> Any:
    if isinstance(part, Part):
        return {"start": part.start, "end": part.end, "data": _plain(part.data)}
    return _plain(part)


def _plain(value: Any) -> Any:
    """The value as JSON has it: numpy's numbers and arrays become Python's, and a number that JSON cannot say is an error."""
    if hasattr(value, "tolist") and not isinstance(value, (str, bytes)):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} cannot be said in JSON; return None or a finite number")
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
