"""Clips that copy the picture a model was shown: what a measure of identity must not take for a person who acts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
PLACED = ("photo static", "photo panned", "photo zoomed", "photo squeezed", "photo sheared", "photo mirrored")
PASTED = "photo pasted"
"""The photograph's face over the face of somebody who moves."""
ADVERSARIES = (*PLACED, PASTED)
ROOM = 1.25
"""By how much a photograph that fills the frame is larger than it, for the camera to move in."""
GROWN = 0.125
"""Share of the face's box that is pasted beyond each side: brow to chin and ear to ear."""


def placed(
    photo: Picture, size: tuple[int, int], frames: int, whole: bool = False
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The photograph held still and moved as a plane: name and clip (frames, H, W, 3); `size` is (H, W).

    It fills the frame and `ROOM` more; with `whole` it is as large as can be seen whole, so that a face that fills its
    photograph is not cut off, which recognisers and landmarks would tell from a copy.

    Panned by a tenth of the width to and fro, zoomed by a fifth, squeezed to three quarters across and back, sheared by
    a sixth to both sides; mirrored is held still.
    """
    fits = [side / own for side, own in zip(size, photo.shape, strict=False)]
    scale = min(fits) if whole else ROOM * max(fits)
    times = np.linspace(0, 1, frames)
    swing = np.sin(2 * np.pi * times)
    moves: Mapping[str, Sequence[NDArray[np.float64]]] = {
        "photo static": [np.eye(2)] * frames,
        "photo zoomed": [np.eye(2) * (1 + 0.2 * t) for t in times],
        "photo squeezed": [np.diag([1 - 0.25 * (1 - np.cos(2 * np.pi * t)) / 2, 1.0]) for t in times],
        "photo sheared": [np.array([[1.0, s / 6], [0.0, 1.0]]) for s in swing],
    }
    for name in PLACED:
        turned = np.ascontiguousarray(photo[:, ::-1]) if name == "photo mirrored" else photo
        shifts = 0.1 * size[1] * swing if name == "photo panned" else np.zeros(frames)
        matrices = moves.get(name, moves["photo static"])
        yield name, np.stack([_seen(turned, size, scale * m, float(s)) for m, s in zip(matrices, shifts, strict=True)])


def _seen(photo: Picture, size: tuple[int, int], matrix: NDArray[np.float64], shift: float) -> Picture:
    """The photograph about the frame's middle, its edges drawn out over what it does not cover."""
    import cv2

    height, width = photo.shape[:2]
    middle = np.array([size[1] / 2 + shift, size[0] / 2])
    place = np.column_stack([matrix, middle - matrix @ np.array([width / 2, height / 2])])
    seen: Any = cv2.warpAffine(photo, place, (size[1], size[0]), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, dtype=np.uint8)


def pasted(photo: Picture, box: NDArray[Any], frames: NDArray[np.uint8], faces: NDArray[Any]) -> NDArray[np.uint8]:
    """The photograph's face over the face of every frame, with soft edges: (N, H, W, 3).

    box (4,): of the face in the photograph; faces (N, 4): of those in `frames`, NaN rows are left as they are.
    """
    from PIL import Image, ImageDraw, ImageFilter

    cut = Image.fromarray(photo).crop(_grown(box))
    made = []
    for frame, face in zip(frames, faces, strict=True):
        whole = Image.fromarray(frame)
        if np.isfinite(face).all():
            left, top, right, bottom = _grown(face)
            small = cut.resize((max(8, right - left), max(8, bottom - top)), Image.Resampling.BICUBIC)
            mask = Image.new("L", small.size, 0)
            ImageDraw.Draw(mask).ellipse((2, 2, small.width - 3, small.height - 3), fill=255)
            whole.paste(small, (left, top), mask.filter(ImageFilter.GaussianBlur(3)))
        made.append(np.asarray(whole))
    return np.stack(made)


def _grown(box: NDArray[Any]) -> tuple[int, int, int, int]:
    left, top, right, bottom = (float(edge) for edge in box)
    wide, high = GROWN * (right - left), GROWN * (bottom - top)
    return int(left - wide), int(top - high), int(right + wide), int(bottom + high)
