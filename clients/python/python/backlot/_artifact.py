"""Artifacts: the blobs among a task's outputs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import _native

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class Artifact:
    """A blob that a task has put out. Its bytes stay on the server until they are asked for."""

    run: str
    """The run's id."""
    step: str
    """The step's name."""
    index: int
    """The task's position in its map, from 0."""
    path: str
    """Its place in the task's outputs: ``clip``, ``thumbs/3``."""
    digest: str
    """The BLAKE3 digest of its content: ``blake3:`` and 64 hexadecimal digits."""
    size: int
    """Its length in bytes."""
    media_type: str
    """Its media type, such as ``video/mp4``."""
    _client: _native.Client = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rsplit("/", 1)[-1]

    def read(self) -> bytes:
        """Fetches the whole content, checked against the digest, into memory."""
        return self._client.artifact(self.run, self.step, self.index, self.path, self.digest)

    def text(self, encoding: str = "utf-8") -> str:
        """Fetches the content as text."""
        return self.read().decode(encoding)

    def json(self) -> Any:
        """Fetches the content as JSON."""
        return json.loads(self.read())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Fetches the content into a file, streamed, and returns the file's path; in a directory the file gets the artifact's
        name.

        Until everything has arrived and is checked against the digest, nothing stands under the name, and a file that stands
        there already is left as it is.
        """
        target = Path(path)
        if target.is_dir():
            target = target / self.name
        self._client.save_artifact(self.run, self.step, self.index, self.path, self.digest, target)
        return target

    def __repr__(self) -> str:
        return f"<Artifact {self.step}/{self.index}/{self.path} {self.media_type} {_sized(self.size)} {self.digest[:15]}…>"


def _sized(size: int) -> str:
    scaled, unit = float(size), 0
    while scaled >= 1024 and unit < len(_UNITS) - 1:
        scaled, unit = scaled / 1024, unit + 1
    return f"{size} bytes" if unit == 0 else f"{scaled:.1f} {_UNITS[unit]}"


def with_artifacts(client: _native.Client, run: str, step: str, index: int, outputs: Any, path: str = "") -> Any:
    """The same outputs with an `Artifact` for each blob."""

    def below(name: object, value: Any) -> Any:
        return with_artifacts(client, run, step, index, value, f"{path}/{name}" if path else str(name))

    if isinstance(outputs, list):
        return [below(place, item) for place, item in enumerate(outputs)]
    if not isinstance(outputs, dict):
        return outputs
    digest, size, media_type = (outputs.get(key) for key in ("$blob", "size", "type"))
    if isinstance(digest, str) and isinstance(size, int) and isinstance(media_type, str):
        return Artifact(run, step, index, path, digest, size, media_type, client)
    return {name: below(name, value) for name, value in outputs.items()}
