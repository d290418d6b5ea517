"""Pictures leave memory as soon as they are read, and each is shown by its own display matrix."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame

from mmbench.video.container import shown
from mmbench.video.container.reader import Container
from mmbench.video.container.shown import KEY_FRAMES_APART, Upright
from mmbench.video.limits import DEFAULT_LIMITS
from tests.video.conftest import encode

TURNS = {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), -90: (0, 1, -1, 0)}


@pytest.mark.parametrize(("codec", "name"), [("libx264", "clip.mp4"), ("mpeg4", "clip.mkv")])
def test_no_picture_waits_for_the_collector_of_cycles(tmp_path: Path, frames: list[Any], codec: str, name: str) -> None:
    path = encode(tmp_path / name, frames * 3, codec, "yuv420p")
    gc.collect()
    others = sum(isinstance(one, VideoFrame) for one in gc.get_objects())
    gc.disable()
    try:
        alive = []
        reader = Container(path, "mov" if name.endswith("mp4") else "matroska", DEFAULT_LIMITS)
        for _ in reader.frames():
            alive.append(sum(isinstance(one, VideoFrame) for one in gc.get_objects()))
    finally:
        gc.enable()
    assert len(alive) == len(frames) * 3 and max(alive) - others <= 5


class Picture:
    """What is asked of a picture: its turn, whether it is a key frame, and its matrix, which is counted."""

    def __init__(self, turn: int, mirrored: bool, key: bool) -> None:
        self.rotation, self.key_frame = turn, key
        self.matrix = np.array(TURNS[turn], float).reshape(2, 2) @ np.diag([1.0, -1.0 if mirrored else 1.0])


def test_each_picture_has_its_own_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Picture] = []

    def matrix(picture: Any) -> Any:
        asked.append(picture)
        return picture.matrix

    monkeypatch.setattr(shown, "display_matrix", matrix)
    rng = np.random.default_rng(0)
    upright, turn, mirrored = Upright(), 0, False
    for number in range(1000):
        key = number % 8 == 0
        if rng.random() < 0.02:
            turn = int(rng.choice(list(TURNS)))
        given: Any = Picture(turn, mirrored, key)
        np.testing.assert_array_equal(upright.matrix(given), given.matrix)
    assert len(asked) < 60
    mirrored = True  # with the same turn: seen at the next key frame that is asked
    late = [upright.matrix(Picture(turn, mirrored, True)).tolist() for _ in range(KEY_FRAMES_APART + 1)]  # type: ignore[arg-type]
    assert late[-1] == Picture(turn, mirrored, True).matrix.tolist()
