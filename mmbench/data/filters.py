"""What is good enough to train on: every filter's arithmetic, without networks and files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import RequestError
from mmbench.face.geometry import area, largest
from mmbench.trigger import TRIGGER, without_trigger

if TYPE_CHECKING:
    from mmbench.data.settings import ClipBounds, FaceBounds
    from mmbench.face.geometry import Array
    from mmbench.face.types import Face
    from mmbench.flow.types import FlowBackend
    from mmbench.video.clip import Frame

Fault = tuple[str, float | str]
"""A filter's name and what it measured."""

FACE_FILTERS = ("no_face", "score", "face_side", "face_share", "second_face")

_MODEL = np.array([[-32, 0, 0], [32, 0, 0], [0, 36, 30], [-26, 68, 6], [26, 68, 6]], np.float64)
"""Five points of an average head in mm, as (right in the picture, down, towards the viewer)."""


def short_side(height: int, width: int, least: int) -> Fault | None:
    """The picture is too small."""
    return ("short_side", float(min(height, width))) if min(height, width) < least else None


def face_side(box: Array) -> float:
    """The shorter side of a face's box."""
    return float(min(box[2] - box[0], box[3] - box[1]))


def one_face(faces: Sequence[Face], height: int, width: int, bounds: FaceBounds) -> Face | Fault:
    """The picture's main face, the largest, or why the picture has none that can be used."""
    if not faces:
        return "no_face", 0.0
    main = faces[largest([face.box for face in faces])]
    if main.score < bounds.score:
        return "score", round(float(main.score), 4)
    if face_side(main.box) < bounds.side:
        return "face_side", round(face_side(main.box), 2)
    share = float(area(main.box)) / (height * width)
    if share < bounds.share:
        return "face_share", round(share, 5)
    second = max((float(area(face.box)) for face in faces if face is not main), default=0.0)
    if second >= bounds.second * float(area(main.box)):
        return "second_face", round(second / float(area(main.box)), 4)
    return main


def text_word(caption: str, lexicon: Sequence[str]) -> str:
    """The first word of a caption that speaks of writing in the picture, in singular or plural; "" without one."""
    stems = sorted({word.removesuffix("s") for word in lexicon}, key=len, reverse=True)
    found = re.search(rf"\b(?:{'|'.join(map(re.escape, stems))})s?\b", caption, re.IGNORECASE) if stems else None
    return found[0].lower() if found else ""


def marked(caption: str) -> str | None:
    """The caption with the trigger after its first word for one person; None without such a word."""
    from mmbench.model.pipeline.prompt import parse_prompt

    plain = " ".join(without_trigger(caption).split())
    try:
        found = parse_prompt(plain)
    except RequestError:
        return None
    return f"{plain[: found.end]} {TRIGGER}{plain[found.end :]}"


def cosine(one: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> float:
    """Cosine of two vectors; 0 where one has no length."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return round(float(a @ b) / length, 6) if length > 0 else 0.0


def pose(points: Array) -> tuple[float, float]:
    """Yaw and pitch in degrees, rough, of five points (5, 2): an average head under weak perspective.

    Yaw is positive where the nose points to the picture's right, pitch where it points down. Good for differences of
    one person's pictures: how far the nose stands out differs between people.
    """
    shape = _MODEL - _MODEL.mean(axis=0)
    seen = points.astype(np.float64) - points.astype(np.float64).mean(axis=0)
    camera = np.linalg.lstsq(shape, seen, rcond=None)[0].T  # scale times the first two rows of the rotation
    left, _, right = np.linalg.svd(camera, full_matrices=False)
    rows = left @ right
    towards = np.cross(rows[0], rows[1])  # third row: the depth of what the model turns to
    forward = np.array([rows[0, 2], rows[1, 2], towards[2]])  # where the head's own axis goes
    yaw = float(np.degrees(np.arctan2(forward[0], forward[2])))
    pitch = float(np.degrees(np.arctan2(forward[1], np.hypot(forward[0], forward[2]))))
    return yaw, pitch


def turned(one: Array, other: Array) -> float:
    """The larger of the differences in yaw and pitch of two faces' points, in degrees."""
    (yaw, pitch), (other_yaw, other_pitch) = pose(one), pose(other)
    return round(max(abs(yaw - other_yaw), abs(pitch - other_pitch)), 2)


def colours(frame: Frame) -> NDArray[np.float32]:
    """A frame's hue, saturation and value on a grid, (36, 64, 3), each 0 to 255: what cuts are found by."""
    import cv2

    small = cv2.resize(frame, (64, 36), interpolation=cv2.INTER_AREA)
    found: NDArray[np.float32] = cv2.cvtColor(small, cv2.COLOR_RGB2HSV_FULL).astype(np.float32)
    return found


def change(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """Mean change of hue (around its circle), saturation and value between two frames' `colours`."""
    gap = np.abs(now - before)
    gap[..., 0] = np.minimum(gap[..., 0], 256 - gap[..., 0])
    return float(gap.mean())


def shots(changes: Sequence[float], cut: float) -> list[tuple[int, int]]:
    """(first frame, frame after the last) of every shot; `changes[k]` lies between frames k and k + 1."""
    starts = [0, *(k + 1 for k, moved in enumerate(changes) if moved >= cut)]
    return list(zip(starts, [*starts[1:], len(changes) + 1], strict=True))


def frames_at(times: NDArray[np.float64], first: int, after: int, count: int, fps: float) -> tuple[int, ...]:
    """Numbers of `count` frames of a shot at `fps`, the nearest in time; fewer where the shot is shorter.

    Raises ValueError where the clip has fewer frames a second, so that one would be taken twice.
    """
    inside = times[first:after]
    if len(inside) == 1:
        return (first,)
    wanted = inside[0] + np.arange(count) / fps
    wanted = wanted[wanted <= inside[-1] + 0.5 * float(np.median(np.diff(inside)))]
    right = np.searchsorted(inside, wanted).clip(1, len(inside) - 1)
    nearer = np.where(wanted - inside[right - 1] <= inside[right] - wanted, right - 1, right)
    if len(np.unique(nearer)) < len(nearer):
        raise ValueError(f"fewer than {fps:g} frames a second")
    return tuple(int(first + k) for k in nearer)


def track_fault(boxes: NDArray[np.float32], seconds: NDArray[np.bool_], bounds: ClipBounds) -> Fault | None:
    """Why a clip's face cannot be used: boxes [F, 4], NaN without a face; `seconds` [F], a second one beside it."""
    seen = ~np.isnan(boxes[:, 0])
    if not seen.any():
        return "no_face", 0.0
    if seen.mean() < bounds.face_rate:
        return "face_rate", round(float(seen.mean()), 4)
    side = float(np.median([face_side(box) for box in boxes[seen]]))
    if side < bounds.face_side:
        return "face_side", round(side, 2)
    if seconds.mean() > 1 - bounds.face_rate:
        return "second_face", round(float(seconds.mean()), 4)
    return None


def mean_flow(frames: Sequence[Frame], flow: FlowBackend, height: int = 240) -> float:
    """Mean length of the flow from each frame to the next, in pixels of frames `height` high."""
    import cv2

    width = round(frames[0].shape[1] * height / frames[0].shape[0])
    resized = (cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames)
    small = [np.asarray(frame, dtype=np.uint8) for frame in resized]
    lengths = []
    before = flow.encode(small[:1])
    for first, second in pairwise(small):
        after = flow.encode([second])
        field = flow.flows([first], before, after)
        lengths.append(float(field.norm(dim=1).mean()))
        before = after
    return round(float(np.mean(lengths)), 4) if lengths else 0.0
