"""Stand-ins for a face analyser, for random weights and tests: no network, and they recognise nobody.

Both put "the face" in the middle of the picture and embed a 16 x 16 thumbnail by a fixed random projection, so that
equal pictures get equal vectors and different ones different vectors. They are two because the frames of the random
models that use them are compared from version to version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmbench.face.cut import SIDE, TEMPLATE, square_cut
from mmbench.face.types import Face

if TYPE_CHECKING:
    from mmbench.face.geometry import Array
    from mmbench.video.clip import Frame

THUMBNAIL = 16
LEAST_CONTRAST = 0.02


class CentreFaces:
    """What Magic Mirror's small models have for an `Analyser`: the middle 60 %, vectors of `width` numbers.

    A picture of one colour has no face.
    """

    def __init__(self, width: int = 32) -> None:
        self.width = width

    def find(self, picture: Frame, side: int = 640) -> list[Face]:
        """One face, or none where the thumbnail of the middle has next to no contrast. `side` changes nothing."""
        height, width = picture.shape[:2]
        half = 0.3 * min(height, width)
        # float64: square cuts round the box to pixels, and float32 would round some sizes elsewhere
        box = np.array([width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half])
        if float(self._thumbnail(picture, box).std(axis=(0, 1)).max()) < LEAST_CONTRAST:
            return []
        points = TEMPLATE * (2 * half / SIDE) + box[:2]
        return [Face(box=box, score=1.0, points=points, points68=None, tight_box=box)]

    def embed(self, picture: Frame, face: Face) -> NDArray[np.float32]:
        """(width,) float32: the thumbnail inside the face's box, projected."""
        thumbnail = self._thumbnail(picture, face.box)
        mix = np.random.default_rng(0).standard_normal((thumbnail.size, self.width)).astype(np.float32)
        vector: NDArray[np.float32] = (thumbnail.ravel() - thumbnail.mean()) @ mix
        return vector

    def _thumbnail(self, picture: Frame, box: Array) -> NDArray[np.float32]:
        return square_cut(picture, box, THUMBNAIL, margin=1.0).astype(np.float32) / np.float32(255)


class PictureFaces:
    """What the other generators' tiny weights have for an `Analyser`: the middle 70 %, vectors as long as ArcFace's."""

    width = 512

    def find(self, picture: Frame, side: int = 640) -> list[Face]:
        """One face in every picture. `side` changes nothing."""
        height, width = picture.shape[:2]
        extent = 0.7 * min(width, height)
        left, top = (width - extent) / 2, (height - extent) / 2
        box = np.array([left, top, left + extent, top + extent], dtype=np.float32)
        points = TEMPLATE.astype(np.float32) * np.float32(extent / SIDE) + np.array([left, top], dtype=np.float32)
        # float64 points: `cut.aligned` fits in their precision, and the frames of the tiny models hang on it
        return [Face(box=box, score=1.0, points=points.astype(np.float64), points68=None, tight_box=box)]

    def embed(self, picture: Frame, face: Face) -> NDArray[np.float32]:
        """(512,) float32: the thumbnail of the whole picture, projected to a length of about 20."""
        from PIL import Image

        small = Image.fromarray(picture).resize((THUMBNAIL, THUMBNAIL))
        pixels = np.asarray(small, dtype=np.float32).ravel() / np.float32(127.5) - 1
        mix = np.random.default_rng(512).standard_normal((self.width, pixels.size)).astype(np.float32)
        vector: NDArray[np.float32] = (mix @ pixels * (20 / np.sqrt(pixels.size))).astype(np.float32)
        return vector
