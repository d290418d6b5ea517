"""A corpus of drawn people with planted faults, to try a build without data and weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbench.data.drawn import NOT_SHOWN, backdrop, paint, vector_of
from mmbench.data.settings import DataSettings
from mmbench.video.write import write_video

HEIGHT, WIDTH = 32, 48
DRAWN = {"faces": "drawn", "captioner": "drawn", "generator": "drawn", "base": "small:smoke"}
DRAWN["judge"] = "mmbench.data.drawn:DrawnJudge"
Look = tuple[float, int]


def person(
    seed: int, size: tuple[int, int] = (720, 1080), side: int = 300, caption: int = 0, look: Look = (1.0, 0)
) -> NDArray[np.uint8]:
    """A drawn person in the middle of a picture."""
    canvas = backdrop(*size, seed=seed, caption=caption)
    paint(canvas, vector_of(seed), (size[1] - side) // 2, (size[0] - side) // 2, side, look)
    return canvas


def save(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a PNG."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, compress_level=1)


def save_clip(folder: Path, frames: list[NDArray[np.uint8]]) -> None:
    """Write frames as a folder of PNGs."""
    for number, frame in enumerate(frames):
        save(folder / f"{number:04d}.png", frame)


def moving(
    seed: int,
    count: int = 10,
    speed: int = 2,
    side: int = 64,
    size: tuple[int, int] = (144, 216),
    caption: int = 0,
) -> list[Any]:
    """A person who is carried past with the wall behind: `speed` pixels a frame."""
    still = person(seed, size, side, caption)
    corner = still[:8, :8].copy()
    frames = [np.roll(still, speed * number, axis=1) for number in range(count)]
    for frame in frames:
        frame[:8, :8] = corner
    return frames


def pictures(folder: Path) -> dict[str, str]:
    """Source A's pictures, and the filter that has to drop each; "" for the good ones."""
    two = person(5)
    paint(two, vector_of(6), 20, 100, 250)
    planted = {
        "0-good": (person(1), ""),
        "1-small": (person(2, (719, 1080)), "short_side"),
        "2-nobody": (backdrop(720, 1080, 3), "no_face"),
        "3-unsure": (person(4, look=(0.85, 0)), "score"),
        "4-two": (two, "second_face"),
        "5-tiny": (person(7, side=100), "face_side"),
        "6-share": (person(8, (1200, 1800), side=200), "face_share"),
        "7-text": (person(9, caption=1), "text_word"),
        "8-car": (person(10, caption=2), "identity_word"),
        "9-good": (person(11, caption=3), ""),
        "a-hidden": (person(12, caption=NOT_SHOWN), "nsfw"),
        "b-wide": (person(13, (1500, 720), side=600), "crop"),
        "c-late": (person(14, caption=4), "word_rows"),
    }
    for name, (picture, _) in planted.items():
        save(folder / f"{name}.png", picture)
    (folder / "broken.png").write_bytes(b"no picture")
    return {**{f"{name}.png": fault for name, (_, fault) in planted.items()}, "broken.png": "unreadable"}


def videos(folder: Path) -> dict[str, str]:
    """Source D's videos, and the filter that has to drop each."""
    cut = [*moving(3, 6), *moving(40, 6)]
    two = moving(4)
    for number, frame in enumerate(two):
        paint(frame, vector_of(50), 8 + 2 * number, 60, 50)
    empty = [np.roll(backdrop(144, 216, 5), 2 * number, axis=1) for number in range(10)]
    half = [*moving(5, 5, side=40), *empty[5:]]  # the same wall goes on, without the person
    planted = {
        "0-good": (moving(1), ""),
        "1-still": (moving(2, speed=0), "still"),
        "2-cut": (cut, "cut"),
        "3-two": (two, "second_face"),
        "4-half": (half, "face_rate"),
        "5-short": (moving(6, 5), "length"),
        "6-tiny": (moving(7, side=24), "face_side"),
        "7-small": (moving(8, size=(120, 216)), "short_side"),
        "9-wild": (moving(10, speed=8), "wild"),
        "a-hidden": (moving(11, caption=NOT_SHOWN), "nsfw"),
        "8-nobody": ([np.roll(backdrop(144, 216, 9), 2 * n, axis=1) for n in range(10)], "no_face"),
    }
    for name, (frames, _) in planted.items():
        save_clip(folder / name, frames)
    write_video(folder / "b-slow.mp4", moving(12, 20), fps=4)
    return {**{name: fault for name, (_, fault) in planted.items()}, "b-slow.mp4": "rate"}


def drawn_settings(source: str, source_folder: Path, **changes: Any) -> DataSettings:
    """Settings of a drawn build; source D's bounds fit clips of 144 lines."""
    held: dict[str, Any] = {"source": source, "input": source_folder, "height": HEIGHT, "width": WIDTH, "tools": DRAWN}
    if source in ("D", "own", "rendered"):
        held |= {"frames": 9, "clips": {"short_side": 144, "face_side": 32, "references": 2, "most_flow": 10}}
    return DataSettings.model_validate({**held, **changes})
