"""The inner loops of the renderer compiled by numba. Imported only when numba is there; `raster` holds the
numpy twins."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def fill(xy, key, tri, height, width, ids, bary, depth, cut, coord, edge, table):  # type: ignore[no-untyped-def]
    """Z-buffer triangles; `cut` switches the cut-out test: keep a fragment where edge > table[coord]."""
    n_table = table.shape[0]
    for k in range(tri.shape[0]):
        a, b, c = tri[k, 0], tri[k, 1], tri[k, 2]
        x0, y0, x1, y1, x2, y2 = xy[a, 0], xy[a, 1], xy[b, 0], xy[b, 1], xy[c, 0], xy[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        left = max(0, int(np.ceil(min(x0, x1, x2) - 0.5)))
        right = min(width - 1, int(np.floor(max(x0, x1, x2) - 0.5)))
        top = max(0, int(np.ceil(min(y0, y1, y2) - 0.5)))
        bottom = min(height - 1, int(np.floor(max(y0, y1, y2) - 0.5)))
        inv = 1.0 / area
        for j in range(top, bottom + 1):
            cy = j + 0.5
            for i in range(left, right + 1):
                cx = i + 0.5
                b0 = ((x1 - cx) * (y2 - cy) - (x2 - cx) * (y1 - cy)) * inv
                b1 = ((x2 - cx) * (y0 - cy) - (x0 - cx) * (y2 - cy)) * inv
                b2 = 1.0 - b0 - b1
                if b0 >= -1e-5 and b1 >= -1e-5 and b2 >= -1e-5:
                    d = b0 * key[a] + b1 * key[b] + b2 * key[c]
                    if d < depth[j, i]:
                        if cut:
                            u = b0 * coord[k, 0] + b1 * coord[k, 1] + b2 * coord[k, 2]
                            e = b0 * edge[k, 0] + b1 * edge[k, 1] + b2 * edge[k, 2]
                            if e <= table[int(np.floor(u * n_table)) % n_table]:
                                continue
                        depth[j, i] = d
                        ids[j, i] = k
                        bary[j, i, 0] = b0
                        bary[j, i, 1] = b1
                        bary[j, i, 2] = b2


@njit(cache=True, nogil=True)
def gather(corners, bary, values, out):  # type: ignore[no-untyped-def]
    """out[n] = sum_k bary[n, k] * values[corners[n, k]]."""
    for n in range(corners.shape[0]):
        a, b, c = corners[n, 0], corners[n, 1], corners[n, 2]
        p, q, r = bary[n, 0], bary[n, 1], bary[n, 2]
        for k in range(values.shape[1]):
            out[n, k] = p * values[a, k] + q * values[b, k] + r * values[c, k]


@njit(cache=True, nogil=True)
def bilinear(texture, u, v, out):  # type: ignore[no-untyped-def]
    """Clamped bilinear look-up; u and v in 0..1 over the whole texture."""
    height, width, channels = texture.shape
    for n in range(u.shape[0]):
        x = min(max(u[n] * width - 0.5, 0.0), width - 1.001)
        y = min(max(v[n] * height - 0.5, 0.0), height - 1.001)
        i, j = int(x), int(y)
        fx, fy = x - i, y - j
        for k in range(channels):
            upper = texture[j, i, k] * (1.0 - fx) + texture[j, i + 1, k] * fx
            lower = texture[j + 1, i, k] * (1.0 - fx) + texture[j + 1, i + 1, k] * fx
            out[n, k] = upper * (1.0 - fy) + lower * fy


@njit(cache=True, nogil=True)
def vertex_normals(verts, tri, out):  # type: ignore[no-untyped-def]
    """Area-weighted normals, unit length."""
    for k in range(tri.shape[0]):
        a, b, c = tri[k, 0], tri[k, 1], tri[k, 2]
        ux, uy, uz = verts[b, 0] - verts[a, 0], verts[b, 1] - verts[a, 1], verts[b, 2] - verts[a, 2]
        vx, vy, vz = verts[c, 0] - verts[a, 0], verts[c, 1] - verts[a, 1], verts[c, 2] - verts[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for p in (a, b, c):
            out[p, 0] += nx
            out[p, 1] += ny
            out[p, 2] += nz
    for p in range(out.shape[0]):
        s = np.sqrt(out[p, 0] ** 2 + out[p, 1] ** 2 + out[p, 2] ** 2) + 1e-12
        out[p, 0] /= s
        out[p, 1] /= s
        out[p, 2] /= s


@njit(cache=True, nogil=True)
def shadow(depth_map, x, y, z, bias, reach, out):  # type: ignore[no-untyped-def]
    """Share of a 3x3 neighbourhood of the shadow map that does not lie in front of the point."""
    size = depth_map.shape[0]
    for n in range(x.shape[0]):
        hits = 0
        for oy in range(-1, 2):
            j = min(max(int(y[n] + oy * reach), 0), size - 1)
            for ox in range(-1, 2):
                i = min(max(int(x[n] + ox * reach), 0), size - 1)
                if z[n] <= depth_map[j, i] + bias[n]:
                    hits += 1
        out[n] = hits / 9.0
