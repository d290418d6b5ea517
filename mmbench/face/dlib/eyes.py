"""The default face backend, on dlib: HOG, then a CNN where HOG sees nothing, 68 points, 128-d embeddings.

The detectors and the recogniser are public domain; the 68-point model was trained on iBUG 300-W, which allows
no commercial use. HOG alone finds about 60 % of the faces of clips with large head motion, with the CNN over
90 %, so HOG alone would drop the very frames the motion metrics are about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmbench.device import multiplied, torch_device
from mmbench.face.dlib.mmod import load_mmod
from mmbench.face.dlib.recogniser import DlibRecogniser, import_dlib, rectangle
from mmbench.face.geometry import enclosing_box, five_from_68
from mmbench.face.types import Face
from mmbench.scores import Provenance
from mmbench.weights.checked import checked

if TYPE_CHECKING:
    from mmbench.video.clip import Frame

# Up to this many pixels HOG sees the frame enlarged twice, as face_recognition does (faces from 36 px).
# Beyond, memory and time quadruple for faces the tiny rule (4 % of the short side) would drop anyway.
UPSAMPLE_PIXELS = 1_300_000

# Larger frames are shrunk to this for the CNN, which takes 0.4 s of one core for them; at 480p it still sees faces of
# 70 px.
CNN_PIXELS = 600_000


class DlibBackend:
    """Detection, landmarks and embeddings by dlib; see `FaceBackend`. `threads` spreads HOG over cores.

    `device` is where the CNN and the recogniser run, in torch ("cpu", "cuda", "cuda:1"); HOG and the landmarks are
    dlib's own, on the processor.

    Only HOG releases Python's lock; one detector a thread, so results do not depend on `threads`.
    """

    name = "dlib"

    def __init__(self, *, threads: int = 1, device: str = "cpu") -> None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        dlib = import_dlib()
        self._dlib = dlib
        self._recogniser = DlibRecogniser(device)
        recogniser = self._recogniser.provenance
        weights = dict(recogniser.weights)
        self._points68 = dlib.shape_predictor(checked("dlib-landmarks-68", weights))
        self._device = torch_device(device)
        self._cnn = load_mmod(checked("dlib-detector-mmod", weights)).to(self._device)
        self._hogs = [dlib.get_frontal_face_detector() for _ in range(threads)]
        self.provenance = Provenance("dlib", dict(sorted(weights.items())), recogniser.versions)
        self.embedding_provenance = self.provenance

    def detect(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """HOG on every frame, the CNN on those where it found nothing."""
        found = self.detect_fast(frames)
        return [faces or self._detect_cnn(frame) for faces, frame in zip(found, frames, strict=True)]

    def detect_fast(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """HOG alone (about 0.13 s of one core for a 480x720 frame)."""
        threads = len(self._hogs)
        if threads == 1 or len(frames) == 1:
            return [self._detect_hog(self._hogs[0], frame) for frame in frames]
        results: list[list[Face]] = [[] for _ in frames]

        def work(worker: int) -> None:
            for index in range(worker, len(frames), threads):
                results[index] = self._detect_hog(self._hogs[worker], frames[index])

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
        return results

    def detect_slow(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """The CNN alone (about 0.25 s of one core for a 480x720 frame)."""
        return [self._detect_cnn(frame) for frame in frames]

    def chip(self, frame: Frame, face: Face) -> NDArray[np.uint8]:
        """The aligned face, (150, 150, 3) uint8 RGB."""
        return self._recogniser.chip(frame, face)

    def embed(self, chips: NDArray[Any]) -> NDArray[np.float32]:
        """(M, 150, 150, 3) uint8 -> (M, 128) float32, raw."""
        return self._recogniser.embed(chips)

    def _detect_hog(self, hog: Any, frame: Frame) -> list[Face]:
        upsample = 1 if frame.shape[0] * frame.shape[1] <= UPSAMPLE_PIXELS else 0
        boxes, scores, _ = hog.run(frame, upsample, 0.0)
        return [self._face(frame, box, score) for box, score in zip(boxes, scores, strict=True)]

    def _detect_cnn(self, frame: Frame) -> list[Face]:
        small, scale = shrink(frame, CNN_PIXELS)
        faces = []
        with torch.inference_mode(), multiplied(self._device, "fp32"):
            found = self._cnn.detect(small)
        for *box, score in found:
            sides = [scale * side for side in box]
            faces.append(self._face(frame, rectangle(self._dlib, sides), score))
        return faces

    def _face(self, frame: Frame, box: Any, score: float) -> Face:
        shape = self._points68(frame, box)
        points68 = np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float32)
        return Face(
            box=np.array([box.left(), box.top(), box.right(), box.bottom()], dtype=np.float32),
            score=float(score),
            points=five_from_68(points68),
            points68=points68,
            tight_box=enclosing_box(points68),
        )


def shrink(frame: Frame, max_pixels: int) -> tuple[Frame, float]:
    """The frame at `max_pixels` or fewer, aspect kept, and the factor from its pixels back to the frame's."""
    height, width = frame.shape[:2]
    if height * width <= max_pixels:
        return frame, 1.0
    import cv2

    scale = math.sqrt(height * width / max_pixels)
    size = (max(1, int(width / scale)), max(1, int(height / scale)))
    small = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return small, width / size[0]
