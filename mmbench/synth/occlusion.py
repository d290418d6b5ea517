"""Ambient occlusion of a posed body: how much of the sky each vertex sees, from depth maps in many directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.body import Body
from mmbench.synth.kit import EYE_L, EYE_R
from mmbench.synth.raster import rasterise, vertex_normals

F32 = NDArray[np.float32]
_DIRECTIONS, _MAP, _HALF = 40, 160, 2.0


def ambient_occlusion(vertices: F32, made: Body) -> F32:
    """Cosine-weighted open share (V,) float32 in 0..1, head and hair as occluders. Eyeballs are shaded elsewhere: 1."""
    normals = vertex_normals(vertices, made.tri)
    casters = np.ascontiguousarray(made.tri[made.caster])
    k = np.arange(_DIRECTIONS) + 0.5
    z, turn = 1 - 2 * k / _DIRECTIONS, np.pi * (1 + 5**0.5) * k
    ring = np.sqrt(1 - z * z)
    total, weight = np.zeros(len(vertices)), np.zeros(len(vertices))
    q = vertices - np.array([0, -0.2, 0.1], np.float32)
    for d in np.stack([ring * np.cos(turn), z, ring * np.sin(turn)], 1):
        up = np.array([0.0, 1, 0]) if abs(d[1]) < 0.9 else np.array([1.0, 0, 0])
        right = np.cross(up, d)
        right /= np.linalg.norm(right)
        above = np.cross(d, right)
        xy = (np.stack([q @ right, -(q @ above)], 1) / _HALF * _MAP / 2 + _MAP / 2).astype(np.float32)
        far = (10 - q @ d).astype(np.float32)
        nearest = rasterise(xy, far, casters, _MAP, _MAP).depth
        at = np.clip(xy.astype(int), 0, _MAP - 1)
        cosine = np.clip(normals @ d, 0, 1)
        total += cosine * (far <= nearest[at[:, 1], at[:, 0]] + 0.07)
        weight += cosine
    share = (total / np.maximum(weight, 1e-6)).astype(np.float32)
    flat = made.tri.ravel()
    degree = np.bincount(flat, minlength=len(vertices))
    for _ in range(2):  # depth maps are coarse: smooth along edges
        around = np.bincount(flat, np.repeat(share[made.tri].mean(1), 3), minlength=len(vertices))
        share = np.where(degree > 0, 0.5 * share + 0.5 * around / np.maximum(degree, 1), share).astype(np.float32)
    for part in (EYE_L, EYE_R):
        share[made.eye_slice(part == EYE_R)] = 1
    return share
