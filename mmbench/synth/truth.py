"""What is known of a rendered frame: landmarks, pose, labels, depth, and the exact flow to the next frame.

Pixel coordinates have their origin at the corner of the top-left pixel, whose centre is (0.5, 0.5): subtract 0.5 to
compare with dlib or PIL, which count from centres. Everything is measured at the picture's own resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.expression import Expression
from mmbench.synth.kit import SKIN
from mmbench.synth.person import Gaze, Pose
from mmbench.synth.stage import Staged

F32 = NDArray[np.float32]

LABELS = (
    "background", "skin", "left eye", "right eye", "upper teeth", "lower teeth", "tongue", "lashes", "lashes", "lashes",
    "lashes", "hair", "clothes",
)  # fmt: skip
"""Name of each value of `Truth.labels`. Lashes are blended over the picture and never labelled."""
_CLOTHES = 12


@dataclass(frozen=True)
class Truth:
    """Ground truth of one frame.

    `landmarks` (68, 2) and `five` (5, 2) in pixels (five: image-left eye, image-right eye, nose tip, image-left and
    image-right mouth corner); `visible` (68,) by depth test; `box` tight around the landmarks, xyxy; `inside` share of
    the landmarks within the frame; `labels` (H, W) uint8 into `LABELS`; `depth` (H, W) dm, inf at the backdrop;
    `flow` (H, W, 2) pixels to the next frame and `occluded` (H, W) bool (leaves the frame or is hidden
    there): None at a clip's last frame.
    """

    landmarks: F32
    five: F32
    visible: NDArray[np.bool_]
    box: F32
    inside: float
    pose: Pose
    expression: Expression
    gaze: Gaze
    labels: NDArray[np.uint8]
    depth: F32
    flow: F32 | None = None
    occluded: NDArray[np.bool_] | None = None


def five_points(landmarks: F32) -> F32:
    """Eye centres, nose tip, mouth corners of 68 points: (5, 2)."""
    points = [landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[30], landmarks[48], landmarks[54]]
    return np.stack(points).astype(np.float32)


def measure(staged: Staged, following: Staged | None = None) -> Truth:
    """Truth of a frame staged at one sample a pixel; `following` is the next frame, staged likewise."""
    person, view, buffer = staged.person, staged.view, staged.buffer
    points, far = view.project(person.landmarks(staged.vertices))
    columns = np.clip(points[:, 0].astype(int), 0, view.width - 1)
    rows = np.clip(points[:, 1].astype(int), 0, view.height - 1)
    within = (points >= 0).all(1) & (points[:, 0] < view.width) & (points[:, 1] < view.height)
    flow, occluded = _flow(staged, following) if following is not None else (None, None)
    return Truth(
        landmarks=points,
        five=five_points(points),
        visible=within & (far <= buffer.depth[rows, columns] + 0.08),
        box=np.concatenate([points.min(0), points.max(0)]),
        inside=float(within.mean()),
        pose=staged.state.pose,
        expression=staged.state.expression,
        gaze=staged.state.gaze,
        labels=_labels(staged),
        depth=buffer.depth,
        flow=flow,
        occluded=occluded,
    )


def _labels(staged: Staged) -> NDArray[np.uint8]:
    made = staged.person.body
    labels = np.zeros(staged.buffer.tri.shape, np.uint8)
    hit = staged.buffer.tri >= 0
    triangles = staged.buffer.tri[hit]
    part = made.part[triangles]
    worn = (staged.buffer.bary[hit] * made.masks[:, 3][made.tri[triangles]]).sum(1) > 0.5
    labels[hit] = np.where((part == SKIN) & worn, _CLOTHES, part + 1)
    return labels


def _flow(now: Staged, then: Staged) -> tuple[F32, NDArray[np.bool_]]:
    """Displacement of what each pixel centre shows, and where it cannot be seen in the next frame."""
    made, view = now.person.body, now.view
    rows, columns = np.mgrid[0 : view.height, 0 : view.width]
    x = (columns + 0.5).astype(np.float32)
    y = (rows + 0.5).astype(np.float32)
    a, b = view.wall_points(x.ravel(), y.ravel())
    wall_x, wall_y = then.view.project_wall(a, b)
    target = np.stack([wall_x, wall_y], 1).reshape(view.height, view.width, 2).astype(np.float32)
    depth = np.full((view.height, view.width), np.inf, np.float32)
    hit = now.buffer.tri >= 0
    triangles = now.buffer.tri[hit].astype(np.int64)
    weights = now.perspective(triangles, now.buffer.bary[hit])
    moved = (weights[..., None] * then.vertices[made.tri[triangles]]).sum(1)
    target[hit], depth[hit] = then.view.project(moved)
    column, row = np.floor(target[..., 0]).astype(np.int64), np.floor(target[..., 1]).astype(np.int64)
    inside = (column >= 0) & (column < view.width) & (row >= 0) & (row < view.height)
    there = then.buffer.depth[np.clip(row, 0, view.height - 1), np.clip(column, 0, view.width - 1)]
    hidden = np.where(hit, depth > there + 0.06, np.isfinite(there))
    return (target - np.stack([x, y], -1)).astype(np.float32), ~inside | hidden
