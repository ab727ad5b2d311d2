"""Picture quality of encodes: VMAF and the metrics beside it, frame by frame.

    from backlot import media

    scores = media.vmaf("film.mov", "encode.mp4")              # a pandas frame, one row for each frame
    scores["vmaf"].mean()
    scores.attrs["renditions"][0]["offset"]                    # frames that the encode lies behind the film

    media.vmaf("film.mov", ["low.mp4", "high.mp4"], output="arrow")   # a pyarrow table; its column `rendition` tells them apart

The clips may have any container, size, pixel format and frame rate: the program ``backlot`` (``BACKLOT_BIN``, else ``PATH``) brings
them together, and aligns them to the frame before it scores them. The reference is decoded once for all renditions.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any, Literal, Optional, Union

__all__ = ["MediaError", "compare", "vmaf"]

_Path = Union[str, "os.PathLike[str]"]


class MediaError(RuntimeError):
    """What ``backlot vmaf compare`` refused, in its own words."""


def compare(
    reference: _Path,
    distorted: Union[_Path, Sequence[_Path]],
    *,
    model: Optional[str] = None,
    fps: Optional[str] = None,
    max_offset: Optional[int] = None,
    binary: Optional[_Path] = None,
) -> dict[str, Any]:
    """Compares one or more renditions with their reference; gives what ``backlot vmaf compare --output json`` prints.

    ``model`` is a version such as ``vmaf_v0.6.1``, ``path=FILE``, ``none`` for PSNR and SSIM alone, or ``auto`` (the default): the VMAF v1 that
    suits the picture, else v0.6.1, else none. ``fps`` makes the rate of all clips constant at this one (``"25"``, ``"30000/1001"``).
    ``max_offset`` is how many frames a rendition is looked for before and after its place; with 0 frames are taken as they come.
    """
    renditions = [distorted] if isinstance(distorted, (str, os.PathLike)) else list(distorted)
    if not renditions:
        raise ValueError("there is no rendition; give the path of one or more")
    command = [_program(binary), "vmaf", "compare", "--output", "json"]
    for name, value in (("--model", model), ("--fps", fps), ("--max-offset", max_offset)):
        if value is not None:
            command += [name, str(value)]
    command += ["--", os.fspath(reference), *(os.fspath(path) for path in renditions)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise MediaError(_told(ended.stderr) or f"it ended with status {ended.returncode} and no word")
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer


def vmaf(
    reference: _Path,
    distorted: Union[_Path, Sequence[_Path]],
    *,
    model: Optional[str] = None,
    fps: Optional[str] = None,
    max_offset: Optional[int] = None,
    binary: Optional[_Path] = None,
    output: Literal["pandas", "arrow"] = "pandas",
) -> Any:
    """The scores of every frame of one or more renditions, as a pandas frame or a pyarrow table.

    Columns: ``rendition`` (its number, from 0), ``frame`` (of the reference), then one for each score, ``vmaf`` first where a model was at
    hand. Everything else that is known (sizes, offsets, notes, pooled scores, the model) is in the frame's ``attrs``, or under
    ``backlot`` in the table's schema metadata as JSON. The arguments are those of :func:`compare`.
    """
    if output not in ("pandas", "arrow"):
        raise ValueError(f"output {output!r} is neither 'pandas' nor 'arrow'")
    answer = compare(reference, distorted, model=model, fps=fps, max_offset=max_offset, binary=binary)
    columns: dict[str, list[Any]] = {"rendition": [], "frame": []}
    for number, rendition in enumerate(answer["renditions"]):
        count, first = rendition["compared"], rendition["first_frame"]
        columns["rendition"] += [number] * count
        columns["frame"] += range(first, first + count)
        for score in rendition["scores"]:
            columns.setdefault(score["name"], []).extend(score.pop("frames"))
    if output == "arrow":
        import pyarrow  # type: ignore[import-not-found,import-untyped,unused-ignore]

        table = pyarrow.table(columns)
        return table.replace_schema_metadata({"backlot": json.dumps(answer)})
    import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]

    frame = pandas.DataFrame(columns)
    frame.attrs.update(answer)
    return frame


def _told(errors: str) -> str:
    """The reason in the last line of standard error: one of JSON, or whatever was printed."""
    lines = [line for line in errors.splitlines() if line.strip()]
    if not lines:
        return ""
    try:
        error = json.loads(lines[-1])["error"]
        return f"{error['message']}; {error['mend']}"
    except (ValueError, KeyError, TypeError):
        return lines[-1].removeprefix("error: ")


def _program(binary: Optional[_Path]) -> str:
    named = os.fspath(binary) if binary is not None else os.environ.get("BACKLOT_BIN")
    found = named or shutil.which("backlot")
    if not found:
        raise MediaError("the program backlot is missing; put it on PATH, or name it in BACKLOT_BIN")
    return found
