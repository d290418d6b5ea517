"""How far a face is turned, read off its landmarks: good enough for bins, no angle of a head-pose network.

Two estimates, by what a detector gives. 68 points: a small network that was fitted to rendered people of every group,
as dlib sees them (`mmbench/studies/yaw.py`), so that a long nose counts less as a turn. Five points: a formula with one
mean nose.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmbench.face.geometry import EYE_LEFT, EYE_RIGHT, MOUTH_LEFT, MOUTH_RIGHT, NOSE, Array

Floats = NDArray[np.float64]

WEIGHTS: Final = Path(__file__).parent / "yaw.safetensors"
"""`weight` (H, 136), `bias` (H,), `out` (H,): made by this project, with how in its metadata."""
DEGREES = 30.0
"""Of one unit of the network's answer."""
MIRROR: Final = np.r_[16:-1:-1, 26:16:-1, 27:31, 35:30:-1, 45:41:-1, 47, 46, 39:35:-1, 41, 40, 54:47:-1, 59:54:-1,
    64:59:-1, 67, 66, 65]  # fmt: skip
"""Which of the 68 points each one becomes in a mirror."""

NOSE_LENGTH = 1 / 1.76
"""How far the nose's tip stands out of the plane of eyes and mouth, in inter-ocular distances.

Least squares over 21 rendered people of seven groups (`mmbench.synth`) and yaws up to 60 degrees. One value serves
everybody: a longer nose reads as a larger turn.
"""


def yaw_of(points: Array) -> Floats:
    """Yaw in degrees of faces (..., 68, 2) or (..., 5, 2) px: 0 for a frontal one, positive when the nose points right.

    NaN for NaN points and for faces without extent. How near both come to rendered truth is in `reports/validity`.
    Landmarks that a detector has lost, of heads turned by more than 45 degrees or so, read as frontal. Raises
    ValueError for another number of points.
    """
    p = np.asarray(points, np.float64)
    if p.shape[-2:] == (68, 2):
        return _of_68(p)
    if p.shape[-2:] == (5, 2):
        return _of_five(p)
    raise ValueError(f"yaw is read off 68 or 5 points, not off an array of shape {p.shape}")


def upright(points: Array) -> Floats:
    """The 68 points (..., 68, 2) about the nose's middle, the eyes' line across, in units of their size: (..., 136).

    Their root mean square distance is 1. NaN where all points or both eyes coincide.
    """
    p = np.asarray(points, np.float64)
    about = p - p[..., 27:36, :].mean(axis=-2, keepdims=True)
    across = p[..., 42:48, :].mean(axis=-2) - p[..., 36:42, :].mean(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        right = across / np.linalg.norm(across, axis=-1, keepdims=True)
        down = np.stack([-right[..., 1], right[..., 0]], axis=-1)
        turned = np.stack([_dot(about, right[..., None, :]), _dot(about, down[..., None, :])], axis=-1)
        size = np.sqrt((turned**2).sum(axis=-1).mean(axis=-1))
        placed: Floats = turned / size[..., None, None]
    flat: Floats = placed.reshape(*p.shape[:-2], 136)
    return flat


def mirrored(points: Array) -> Floats:
    """The same faces (..., 68, 2) in a mirror, every point under the number that it has there."""
    return np.asarray(np.asarray(points, np.float64)[..., MIRROR, :] * np.array([-1.0, 1.0]), np.float64)


def face_size(box: Array, width: int, height: int) -> Floats:
    """Height of boxes (..., 4) px, in short sides of the frame: (...)."""
    sides: NDArray[Any] = box[..., 3].astype(np.float64) - box[..., 1]
    return np.asarray(sides / min(width, height), np.float64)


def _of_68(p: Floats) -> Floats:
    """Half of what the network says of the face less what it says of its mirror image: mirrored faces turn back."""
    weight, bias, out = _network()

    def answer(faces: Floats) -> Floats:
        return np.asarray(np.tanh(upright(faces) @ weight.T + bias) @ out, np.float64)

    return np.asarray(DEGREES * (answer(p) - answer(mirrored(p))) / 2, np.float64)


@lru_cache(maxsize=1)
def _network() -> tuple[Floats, Floats, Floats]:
    from safetensors.numpy import load_file

    held = load_file(WEIGHTS)
    weight, bias, out = (held[name].astype(np.float64) for name in ("weight", "bias", "out"))
    return weight, bias, out


def _of_five(p: Floats) -> Floats:
    """The nose's distance from the line through the middles of eyes and mouth, over the distance of the eyes.

    Measured along the line of the eyes, so that roll does not count, it is tan(yaw) times the nose's length in a
    camera that is far away.
    """
    across = p[..., EYE_RIGHT, :] - p[..., EYE_LEFT, :]
    between = np.linalg.norm(across, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        right = across / between[..., None]
        down = np.stack([-right[..., 1], right[..., 0]], axis=-1)
        eyes = (p[..., EYE_LEFT, :] + p[..., EYE_RIGHT, :]) / 2
        mouth = (p[..., MOUTH_LEFT, :] + p[..., MOUTH_RIGHT, :]) / 2 - eyes
        nose = p[..., NOSE, :] - eyes
        lower = _dot(nose, down) / _dot(mouth, down)
        offset = (_dot(nose, right) - lower * _dot(mouth, right)) / between
        yaw = np.degrees(np.arctan(offset / NOSE_LENGTH))
    found: Floats = np.where(between > 0, yaw, np.nan)
    return found


def _dot(one: Floats, other: Floats) -> Floats:
    return np.asarray((one * other).sum(axis=-1))
