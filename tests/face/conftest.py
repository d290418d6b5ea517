from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.face.make import make_backend
from mmbench.face.types import Face, FaceBackend
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo, Frame


@pytest.fixture(scope="session")
def dlib_backend() -> FaceBackend:
    return make_backend("dlib")


@pytest.fixture(scope="session")
def portrait() -> Frame:
    """A photograph in the public domain that matplotlib carries: 256x300, one frontal face about 100 px
    wide."""
    from matplotlib.cbook import get_sample_data

    picture = Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    return np.asarray(picture.resize((256, 300), Image.Resampling.LANCZOS))


@pytest.fixture(scope="session")
def portrait_clip(portrait) -> list[Frame]:
    """20 frames 192x224: a camera panning over the portrait."""
    return [np.ascontiguousarray(portrait[2 * i : 2 * i + 224, 20 + i : 212 + i]) for i in range(20)]


@pytest.fixture(scope="session")
def leaning_clip(portrait) -> list[Frame]:
    """20 frames 256x300: the portrait leans over until HOG no longer finds the face but the CNN does."""
    picture = Image.fromarray(portrait)
    return [np.asarray(picture.rotate(angle, Image.Resampling.BICUBIC)) for angle in np.linspace(30, 60, 20)]


@pytest.fixture(scope="session")
def info() -> Callable[..., ClipInfo]:
    def make(frames: Sequence[Frame], fps: float = 8.0, sha256: str = "a" * 64) -> ClipInfo:
        height, width = frames[0].shape[:2]
        return ClipInfo(Path("clip.mp4"), len(frames), width, height, fps, "manifest", fps, False, sha256)

    return make


@pytest.fixture(scope="session")
def run(info):
    def go(face_pass, frames, **facts):
        face_pass.start(info(frames, **facts))
        for index, frame in enumerate(frames):
            face_pass.feed(index, frame)
        return face_pass.finish()

    return go


class Blobs:
    """A real little detector and recogniser: red rectangles are faces, their other channels the embedding.

    The green channel is the detector's score in percent. Brighter-than-200 red is found by the fast stage,
    dimmer red only by the slow one.
    """

    name = "blobs"
    provenance = Provenance("blobs", {"none": "0"}, {"numpy": np.__version__})
    embedding_provenance = provenance

    def __init__(self, *, two_stage: bool = False) -> None:
        self.calls: list[tuple[str, int]] = []
        if two_stage:
            self.detect_fast = lambda frames: self._find(frames, "fast", 200)
            self.detect_slow = lambda frames: self._find(frames, "slow", 100)

    def detect(self, frames):
        return self._find(frames, "detect", 100)

    def chip(self, frame, face):
        left, top, right, bottom = face.box.astype(int)
        return np.array([[frame[(top + bottom) // 2, (left + right) // 2]]], np.uint8)

    def embed(self, chips):
        self.calls.append(("embed", len(chips)))
        return chips.reshape(len(chips), -1).astype(np.float32)

    def _find(self, frames, stage, least):
        self.calls.append((stage, len(frames)))
        return [[self._face(frame, box) for box in rectangles(frame[..., 0] >= least)] for frame in frames]

    @staticmethod
    def _face(frame, box):
        left, top, right, bottom = box
        corners = [
            (left, top),
            (right, top),
            ((left + right) / 2, (top + bottom) / 2),
            (left, bottom),
            (right, bottom),
        ]
        sides = np.array(box, np.float32)
        score = frame[top, left, 1] / 100
        return Face(sides, float(score), np.array(corners, np.float32), None, sides)


def rectangles(mask):
    """Boxes of the connected regions of a mask, by their first pixel."""
    import cv2

    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return [(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h, _ in stats[1:count]]


def draw(faces: Sequence[tuple], width: int = 640, height: int = 480) -> Frame:
    """A black frame with faces (left, top, width, height[, score in percent[, identity[, red]]])."""
    frame = np.zeros((height, width, 3), np.uint8)
    for left, top, w, h, *rest in faces:
        score, identity, red = (*rest, *(100, 7, 255)[len(rest) :])
        frame[max(top, 0) : top + h, max(left, 0) : left + w] = (red, score, identity)
    return frame


@pytest.fixture
def blobs() -> Callable[..., Blobs]:
    return Blobs


@pytest.fixture(scope="session")
def drawn() -> Callable[..., Frame]:
    return draw
