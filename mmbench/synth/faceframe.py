"""The canonical face frame: a cylinder round the base head in which skin is painted, the same for every identity.

Texture u runs over the angle theta in -TURN..TURN round the axis x = 0, z = AXIS_Z, v over height y from TOP down to
BOTTOM, both of the *canonical* base mesh. Looking a texture up by interpolated canonical position leaves no seams.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.kit import SKIN, Kit
from mmbench.synth.raster import gather, rasterise

F32 = NDArray[np.float32]

AXIS_Z = 0.35
TURN = 1.95
BOTTOM, TOP = 5.3, 8.62
SIZE = 1024


@dataclass(frozen=True)
class FaceFrame:
    """Canonical positions and masks per texel, all (size, size) float32: front-view x, height y, angle, lips, lids."""

    x: F32
    y: F32
    angle: F32
    lips: F32
    lids: F32

    @property
    def size(self) -> int:
        """Texels a side."""
        return len(self.x)

    def texel(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[F32, F32]:
        """Texture column and row (pixels) of front-view points x, y (n,)."""
        row = np.clip(((TOP - y) / (TOP - BOTTOM) * self.size).astype(int), 0, self.size - 1)
        miss = np.abs(self.x[row] - x[:, None]) + 9 * (np.abs(self.angle[row]) > 1.35)
        return miss.argmin(1).astype(np.float32), ((TOP - y) / (TOP - BOTTOM) * self.size).astype(np.float32)


def uv(canonical: F32) -> tuple[F32, F32]:
    """Texture coordinates 0..1 of canonical positions (N, 3)."""
    u = np.arctan2(canonical[:, 0], canonical[:, 2] - np.float32(AXIS_Z)) * np.float32(0.5 / TURN) + np.float32(0.5)
    return u, (np.float32(TOP) - canonical[:, 1]) / np.float32(TOP - BOTTOM)


@lru_cache(maxsize=2)
def face_frame(kit: Kit, size: int = SIZE) -> FaceFrame:
    """The frame of a kit, `size` texels a side, computed once. Always by the numpy back end, so that textures do not
    depend on numba."""
    tri = kit.tri[kit.part == SKIN]
    centre = kit.verts[tri].mean(1)
    inside, ears = kit.mask("inside_mouth")[tri].min(1), kit.mask("ears")[tri].max(1)
    angle = np.arctan2(kit.verts[:, 0], kit.verts[:, 2] - AXIS_Z)
    radius = np.hypot(kit.verts[:, 0], kit.verts[:, 2] - AXIS_Z)
    front = (centre[:, 1] > 5.0) & (np.abs(centre[:, 0]) < 1.2) & (inside < 0.5) & (ears < 0.5)
    tri = tri[front & (np.ptp(angle[tri], axis=1) < 1.5)]
    xy = np.stack([(angle / TURN * 0.5 + 0.5) * size, (TOP - kit.verts[:, 1]) / (TOP - BOTTOM) * size], 1)
    buffer = rasterise(xy.astype(np.float32), (10 - radius).astype(np.float32), tri, size, size, backend="numpy")
    hit = buffer.tri >= 0
    values = np.stack([kit.verts[:, 0], kit.mask("lips"), kit.mask("eyelids")], 1)
    painted = np.zeros((size, size, 3), np.float32)
    painted[hit] = gather(tri[buffer.tri[hit]], buffer.bary[hit], values, backend="numpy")
    rows, columns = np.mgrid[0:size, 0:size]
    y = (TOP - (rows + 0.5) / size * (TOP - BOTTOM)).astype(np.float32)
    theta = (((columns + 0.5) / size - 0.5) * 2 * TURN).astype(np.float32)
    x = np.where(hit, painted[..., 0], 0.75 * np.sin(theta)).astype(np.float32)
    return FaceFrame(x, y, theta, painted[..., 1].copy(), painted[..., 2].copy())
