"""Picture quality from Python: the real program on clips that ffmpeg makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]
import pyarrow  # type: ignore[import-not-found,import-untyped,unused-ignore]
import pytest
from backlot import media
from support import missing

FRAMES = 20


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    found = os.environ.get("BACKLOT_FFMPEG") or shutil.which("ffmpeg")
    if not found:
        missing("there is no ffmpeg", "install it with `apt-get install ffmpeg`")
    return str(found)


@pytest.fixture(scope="session")
def clips(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A clip, and a smaller, lossy rendition of it that begins three frames late."""
    folder = tmp_path_factory.mktemp("clips")
    reference, rendition = folder / "film.mkv", folder / "low.mp4"
    source = ["-f", "lavfi", "-i", f"mandelbrot=size=320x240:rate=25,trim=end_frame={FRAMES}"]
    run = [ffmpeg, "-v", "error", "-y"]
    subprocess.run([*run, *source, "-pix_fmt", "yuv420p", "-c:v", "ffv1", reference], check=True)
    late = "tpad=start=3:color=gray,scale=160:120"
    subprocess.run([*run, "-i", reference, "-vf", late, "-c:v", "libx264", "-crf", "30", rendition], check=True)
    return reference, rendition


def test_a_frame_has_a_row_for_each_frame(binary: Path, clips: tuple[Path, Path]) -> None:
    scores = media.vmaf(*clips, model="none", binary=binary)
    assert isinstance(scores, pandas.DataFrame)
    assert list(scores.columns[:3]) == ["rendition", "frame", "psnr_y"]
    assert list(scores["frame"]) == list(range(FRAMES))
    rendition = scores.attrs["renditions"][0]
    assert rendition["offset"] == 3
    assert any("begins 3 frames later" in note for note in rendition["notes"])
    told = {score["name"]: score["mean"] for score in rendition["scores"]}
    assert scores["psnr_y"].mean() == pytest.approx(told["psnr_y"])


def test_renditions_of_one_reference_are_told_apart(binary: Path, clips: tuple[Path, Path]) -> None:
    reference, rendition = clips
    table = media.vmaf(reference, [rendition, reference], model="none", binary=binary, output="arrow")
    assert isinstance(table, pyarrow.Table)
    assert table["rendition"].to_pylist() == [0] * FRAMES + [1] * FRAMES
    first, second = table["ssim_all"].to_pylist()[:FRAMES], table["ssim_all"].to_pylist()[FRAMES:]
    assert max(first) < 1.0 and min(second) == 1.0
    assert json.loads(table.schema.metadata[b"backlot"])["model"] is None


def test_a_refusal_is_told_in_the_programs_words(binary: Path, tmp_path: Path) -> None:
    with pytest.raises(media.MediaError, match="does not exist; give the path of a video file"):
        media.compare(tmp_path / "none.mp4", tmp_path / "none.mp4", binary=binary)
    with pytest.raises(ValueError, match="no rendition"):
        media.compare(tmp_path / "none.mp4", [])
    with pytest.raises(ValueError, match="neither"):
        media.vmaf(tmp_path / "a", tmp_path / "b", output="csv")  # type: ignore[arg-type]


def test_without_the_program_the_mend_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BACKLOT_BIN", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(media.MediaError, match="put it on PATH"):
        media.compare("a.mp4", "b.mp4")
