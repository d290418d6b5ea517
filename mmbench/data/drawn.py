"""Stand-ins that cost nothing: people drawn as a magenta frame around a grey pattern, and what finds and makes them.

To try a build without any weights (`faces`, `captioner`, `generator`: drawn), and for tests: whom a picture shows, how
sure the detector is, where the head turns and what the captioner says are all painted into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.data.types import Size
from mmbench.face.cut import SIDE, TEMPLATE
from mmbench.face.types import Face

if TYPE_CHECKING:
    from mmbench.video.clip import Frame

GRID = 4
WIDTH = 32
CONTRAST = 180.0
CORNER = 8
"""Pixels of the square in the corner whose grey is ten times the caption's number."""
TURN = 0.5
"""Template pixels that the nose moves for one step of the frame's blue."""
CAPTIONS = (
    "a woman is smiling",
    "a man with a watermark over him",
    "a red car on a street",
    "a boy is walking",
    "before " + "very " * 300 + "many walls there is a woman",
)
NOT_SHOWN = 25
"""The caption's number at which `DrawnJudge` is sure that a picture is not to be shown."""


def vector_of(seed: int) -> NDArray[np.float32]:
    """A person: a direction in 16 dimensions."""
    found = np.random.default_rng(seed).standard_normal(GRID * GRID)
    unit: NDArray[np.float32] = (found / np.linalg.norm(found)).astype(np.float32)
    return unit


def like(person: NDArray[np.float32], cosine: float, seed: int = 0) -> NDArray[np.float32]:
    """Somebody at that cosine to a person."""
    other = vector_of(10_000 + seed)
    other = other - person * float(other @ person)
    other /= np.linalg.norm(other)
    made: NDArray[np.float32] = (cosine * person + np.sqrt(1 - cosine**2) * other).astype(np.float32)
    return made


def paint(
    canvas: NDArray[np.uint8],
    person: NDArray[np.float32],
    left: int,
    top: int,
    side: int,
    look: tuple[float, int] = (1.0, 0),
) -> None:
    """Draw a face of `side` pixels into a picture; `look` is the detector's score and the turn, 0 to 55."""
    score, turn = look
    ring = max(1, side // 16)
    canvas[top : top + side, left : left + side] = (255, round((1 - score) * 100), 200 + turn)
    inner = side - 2 * ring
    cells = np.floor(np.arange(inner) * GRID / inner).astype(int)
    grey = np.clip(np.round(128 + CONTRAST * person.reshape(GRID, GRID)), 0, 255).astype(np.uint8)
    inside = grey[np.ix_(cells, cells)][..., None]
    canvas[top + ring : top + side - ring, left + ring : left + side - ring] = inside


def backdrop(height: int, width: int, seed: int = 0, caption: int = 0) -> NDArray[np.uint8]:
    """A picture without a face: coarse noise in green and blue, and the caption's number in its corner."""
    import cv2

    coarse = np.random.default_rng(seed).integers(40, 160, (9, 12, 3)).astype(np.uint8)
    canvas = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    canvas[:CORNER, :CORNER] = 10 * caption
    return canvas


class DrawnFaces:
    """Finds and knows drawn people: an `Analyser`."""

    def find(self, picture: Frame, side: int = 640) -> list[Face]:
        """All drawn faces, best first. `side` changes nothing."""
        import cv2

        red, green, blue = (picture[..., channel] for channel in range(3))
        mask = ((red >= 250) & (green <= 100) & (blue >= 200)).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        return sorted((_face(picture, stats[k]) for k in range(1, count)), key=lambda face: -face.score)

    def embed(self, picture: Frame, face: Face) -> NDArray[np.float32]:
        """(32,) float32: the greys inside the frame, and zeros: as long as the smoke model's vectors."""
        import cv2

        left, top, right, bottom = (round(float(edge)) for edge in face.box)
        ring = max(1, (right - left) // 16)
        inside = picture[top + ring : bottom - ring, left + ring : right - ring].mean(axis=-1).astype(np.float32)
        cells = cv2.resize(inside, (GRID, GRID), interpolation=cv2.INTER_AREA)
        return np.pad((cells.ravel() - 128) / CONTRAST, (0, WIDTH - GRID * GRID)).astype(np.float32)


def _face(picture: Frame, stats: NDArray[Any]) -> Face:
    left, top, width, height = (int(value) for value in stats[:4])
    _, green, blue = (int(value) for value in picture[top, left])
    points = TEMPLATE.copy()
    points[2, 0] += TURN * (blue - 200)
    box = np.array([left, top, left + width, top + height], np.float32)
    scaled = (points * (width / SIDE) + box[:2]).astype(np.float32)
    return Face(box=box, score=1 - green / 100, points=scaled, points68=None, tight_box=box)


class DrawnCaptions:
    """Says what the corner of the first frame tells it to."""

    def caption(self, frames: Sequence[Frame]) -> str:
        """One of `CAPTIONS`."""
        return CAPTIONS[round(float(frames[0][1, 1].mean()) / 10) % len(CAPTIONS)]


class DrawnJudge:
    """Is against pictures whose corner says so."""

    def score(self, picture: Frame) -> float:
        """1.0 for a corner of `NOT_SHOWN`, 0.0 for any other."""
        return float(round(float(picture[1, 1].mean()) / 10) == NOT_SHOWN)


class DrawnGenerator:
    """Draws the references' person again, turned; under a prompt that says "stranger", somebody at a cosine of 0.6."""

    def make(self, prompt: str, references: Sequence[Frame], size: Size, seed: int) -> Frame:
        """(H, W, 3): "ahead" in the prompt keeps the pose."""
        eyes = DrawnFaces()
        person = eyes.embed(references[0], eyes.find(references[0])[0])[: GRID * GRID]
        person = person / np.linalg.norm(person)
        if "stranger" in prompt:
            person = like(person, 0.6, seed)
        canvas = backdrop(*size, seed=seed)
        side = min(size) // 2
        turn = 0 if "ahead" in prompt else 20
        paint(canvas, person, (size[1] - side) // 2, (size[0] - side) // 2, side, (1.0, turn))
        return canvas
