"""Z-buffer, attribute interpolation and texture look-up, in numpy or compiled by numba: the same few functions twice.

Pixel (0, 0) is the top-left pixel and its centre lies at (0.5, 0.5). Both back ends agree on the winning triangle in
more than 99.9 % of pixels (rounding on shared edges differs); each alone is deterministic.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Backend = Literal["numba", "numpy"]

_CHUNK = 3_000_000  # fragments tested at once by the numpy rasteriser


@dataclass(frozen=True)
class GBuffer:
    """`tri` (H, W) int32, -1 where nothing; `bary` (H, W, 3) screen-space weights; `depth` (H, W), inf there."""

    tri: I32
    bary: F32
    depth: F32


@dataclass(frozen=True)
class CutOut:
    """Where a surface is cut away: a fragment stays if its `edge` exceeds `table` at its `coord`.

    `coord` (T, 3) per corner, in turns (one turn runs through the table once); `edge` (T, 3) per corner;
    `table` (n,) float32. A function of the surface alone, so nothing flickers.
    """

    coord: F32
    edge: F32
    table: F32


@lru_cache(maxsize=1)
def default_backend() -> Backend:
    """numba where it is installed, unless `MMBENCH_RASTER=numpy`."""
    wanted = os.environ.get("MMBENCH_RASTER")
    if wanted == "numpy" or importlib.util.find_spec("numba") is None:
        return "numpy"
    return "numba"


def rasterise(
    xy: F32,
    key: F32,
    tri: I32,
    height: int,
    width: int,
    cut: CutOut | None = None,
    backend: Backend | None = None,
) -> GBuffer:
    """Visible triangle per pixel. `xy` (V, 2) pixels, `key` (V,) smaller is nearer and linear over the screen."""
    ids = np.full((height, width), -1, np.int32)
    bary = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    if (backend or default_backend()) == "numba":
        from mmbench.synth import kernels

        empty = np.zeros((1, 3), np.float32)
        coord, edge, table = (cut.coord, cut.edge, cut.table) if cut else (empty, empty, empty[0])
        kernels.fill(
            np.ascontiguousarray(xy, np.float32), np.ascontiguousarray(key, np.float32),
            np.ascontiguousarray(tri, np.int32),
            height, width, ids, bary, depth, cut is not None, coord, edge, table,
        )  # fmt: skip
    else:
        _rasterise_numpy(xy, key, tri, cut, GBuffer(ids, bary, depth))
    return GBuffer(ids, bary, depth)


def _rasterise_numpy(xy: F32, key: F32, tri: I32, cut: CutOut | None, out: GBuffer) -> None:
    """Triangles grouped by power-of-two box size; every group's edge functions are evaluated in one broadcast."""
    height, width = out.tri.shape
    ids, bary, depth = out.tri.reshape(-1), out.bary.reshape(-1, 3), out.depth.reshape(-1)
    p, z = xy[tri].astype(np.float64), key[tri].astype(np.float64)
    x, y = p[..., 0], p[..., 1]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    left, right = np.maximum(np.ceil(x.min(1) - 0.5), 0), np.minimum(np.floor(x.max(1) - 0.5), width - 1)
    top, bottom = np.maximum(np.ceil(y.min(1) - 0.5), 0), np.minimum(np.floor(y.max(1) - 0.5), height - 1)
    seen = np.nonzero((np.abs(area) >= 1e-9) & (right >= left) & (bottom >= top))[0]
    box_w = 1 << np.ceil(np.log2(right[seen] - left[seen] + 1)).astype(np.int64)
    box_h = 1 << np.ceil(np.log2(bottom[seen] - top[seen] + 1)).astype(np.int64)
    group = box_w * 65536 + box_h
    found: list[tuple[NDArray[np.int64], F32, NDArray[np.int64], F32, F32]] = []
    for code in np.unique(group):
        w, h = int(code >> 16), int(code & 65535)
        members, step = seen[group == code], max(1, _CHUNK // (w * h))
        oy, ox = np.divmod(np.arange(w * h), w)
        for start in range(0, len(members), step):
            t = members[start : start + step]
            px, py = left[t][:, None] + ox, top[t][:, None] + oy
            cx, cy, inv = px + 0.5, py + 0.5, 1.0 / area[t][:, None]
            b0 = ((x[t, 1, None] - cx) * (y[t, 2, None] - cy) - (x[t, 2, None] - cx) * (y[t, 1, None] - cy)) * inv
            b1 = ((x[t, 2, None] - cx) * (y[t, 0, None] - cy) - (x[t, 0, None] - cx) * (y[t, 2, None] - cy)) * inv
            inside = (b0 >= -1e-5) & (b1 >= -1e-5) & (1 - b0 - b1 >= -1e-5)
            inside &= (px <= right[t][:, None]) & (py <= bottom[t][:, None])
            r, c = np.nonzero(inside)
            owner, c0, c1 = t[r], b0[r, c], b1[r, c]
            if cut is not None:
                u = c0 * cut.coord[owner, 0] + c1 * cut.coord[owner, 1] + (1 - c0 - c1) * cut.coord[owner, 2]
                e = c0 * cut.edge[owner, 0] + c1 * cut.edge[owner, 1] + (1 - c0 - c1) * cut.edge[owner, 2]
                keep = e > cut.table[np.floor(u * len(cut.table)).astype(np.int64) % len(cut.table)]
                r, c, owner, c0, c1 = r[keep], c[keep], owner[keep], c0[keep], c1[keep]
            d = c0 * z[owner, 0] + c1 * z[owner, 1] + (1 - c0 - c1) * z[owner, 2]
            pixel = (py[r, c] * width + px[r, c]).astype(np.int64)
            found.append((pixel, d.astype(np.float32), owner, c0.astype(np.float32), c1.astype(np.float32)))
    if not found:
        return
    pixel, d, owner, c0, c1 = (np.concatenate(column) for column in zip(*found, strict=True))
    np.minimum.at(depth, pixel, d)
    win = d <= depth[pixel]
    at = pixel[win]
    ids[at] = owner[win]
    bary[at, 0], bary[at, 1], bary[at, 2] = c0[win], c1[win], 1 - c0[win] - c1[win]


def gather(corners: I32, bary: F32, values: F32, backend: Backend | None = None) -> F32:
    """Vertex values (V, C) interpolated at points given by corners (N, 3) and weights (N, 3): (N, C) float32."""
    if (backend or default_backend()) == "numba":
        from mmbench.synth import kernels

        out = np.empty((len(corners), values.shape[1]), np.float32)
        kernels.gather(corners, bary, np.ascontiguousarray(values, np.float32), out)
        return out
    mixed = bary[:, :1] * values[corners[:, 0]]
    mixed += bary[:, 1:2] * values[corners[:, 1]]
    mixed += bary[:, 2:] * values[corners[:, 2]]
    return mixed.astype(np.float32, copy=False)


def bilinear(texture: F32, u: F32, v: F32, backend: Backend | None = None) -> F32:
    """Texture (H, W, C) at u, v (N,) in 0..1, clamped at the border: (N, C) float32."""
    if (backend or default_backend()) == "numba":
        from mmbench.synth import kernels

        out = np.empty((len(u), texture.shape[2]), np.float32)
        kernels.bilinear(texture, np.ascontiguousarray(u, np.float32), np.ascontiguousarray(v, np.float32), out)
        return out
    height, width, _ = texture.shape
    x = np.clip(u * width - 0.5, 0, width - 1.001)
    y = np.clip(v * height - 0.5, 0, height - 1.001)
    i, j = x.astype(np.int32), y.astype(np.int32)
    fx, fy = (x - i)[:, None], (y - j)[:, None]
    upper = texture[j, i] * (1 - fx) + texture[j, i + 1] * fx
    lower = texture[j + 1, i] * (1 - fx) + texture[j + 1, i + 1] * fx
    return np.asarray(upper * (1 - fy) + lower * fy, np.float32)


def vertex_normals(verts: F32, tri: I32, backend: Backend | None = None) -> F32:
    """Area-weighted unit normals, (V, 3)."""
    if (backend or default_backend()) == "numba":
        from mmbench.synth import kernels

        out = np.zeros((len(verts), 3), np.float32)
        kernels.vertex_normals(np.ascontiguousarray(verts, np.float32), tri, out)
        return out
    face = np.cross(verts[tri[:, 1]] - verts[tri[:, 0]], verts[tri[:, 2]] - verts[tri[:, 0]])
    flat = tri.ravel()
    total = np.stack([np.bincount(flat, np.repeat(face[:, k], 3), minlength=len(verts)) for k in range(3)], 1)
    return np.asarray(total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-12), np.float32)


def shadow_share(
    depth_map: F32, x: F32, y: F32, z: F32, bias: F32, reach: float, backend: Backend | None = None
) -> F32:
    """Light share 0..1 of points by a 3x3 look into a square depth map, `reach` texels apart: (N,)."""
    if (backend or default_backend()) == "numba":
        from mmbench.synth import kernels

        out = np.empty(len(x), np.float32)
        kernels.shadow(depth_map, x, y, z, bias, np.float32(reach), out)
        return out
    size, total = len(depth_map), np.zeros(len(x), np.float32)
    for oy in (-reach, 0.0, reach):
        j = np.clip((y + np.float32(oy)).astype(np.int64), 0, size - 1)
        for ox in (-reach, 0.0, reach):
            i = np.clip((x + np.float32(ox)).astype(np.int64), 0, size - 1)
            total += z <= depth_map[j, i] + bias
    return total / np.float32(9)
