"""Hair meshes on a head: where strands run, where sheets are cut into tips, what trims a fringe off the eyes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.algebra import noise, smoothstep
from mmbench.synth.kit import HairMesh, Kit

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FRINGED = ("bob01", "bob02", "braid01", "short03")
"""Styles whose fringe hangs over an eye unless trimmed."""
_CENTRE = np.array([0.0, 7.45, 0.35], np.float32)
_CROWN = np.array([0.0, 1.0, -0.15], np.float32)
_BACK = np.array([0.0, 0.45, -1.0], np.float32)
_POLE = {"ponytail01": _BACK, "braid01": _BACK}
_END = 0.20  # dm from a sheet's border within which strands may end


@dataclass(frozen=True)
class HairStyle:
    """A style on the canonical head. `strand` (m, 3, 2): per corner, turns across the strands and dm along them;
    `edge` (m, 3): 0 at a sheet's border, 1 deep inside (or trimmed: below 0); `canonical` (n, 3)."""

    mesh: HairMesh
    canonical: F32
    strand: F32
    edge: F32


def axis_scale(mesh: HairMesh, verts: F32) -> F32:
    """Scale (3,) of a style's offsets on a morphed body."""
    return np.array(
        [abs(verts[int(a), k] - verts[int(b), k]) / c for k, (a, b, c) in enumerate(mesh.scale)], np.float32
    )


def hair_positions(mesh: HairMesh, verts: F32, scale: F32, volume: float) -> F32:
    """Hair vertices (n, 3) on a body: `volume` shrinks or fluffs the distance from the scalp."""
    bound = (verts[mesh.index] * mesh.weight[..., None]).sum(1)
    return np.asarray(bound + mesh.offset * scale * np.float32(volume), np.float32)


@lru_cache(maxsize=16)
def hair_style(kit: Kit, style: str) -> HairStyle:
    """Strand coordinates and cut-out values of a style, computed once per kit."""
    mesh = kit.hair(style)
    points = hair_positions(mesh, kit.verts, axis_scale(mesh, kit.verts), 1.0)
    pole = _POLE.get(style, _CROWN)
    pole = pole / np.linalg.norm(pole)
    side = np.array([1.0, 0.0, 0.0], np.float32)
    front = np.cross(side, pole)
    rel = points - _CENTRE
    turns: F32 | F64 = np.arctan2(rel @ side, rel @ front) / (2 * np.pi)
    radius = np.linalg.norm(rel, axis=1)
    down = np.arccos(np.clip((rel @ pole) / (radius + 1e-6), -1, 1)) + np.clip(_CENTRE[1] - 0.6 - points[:, 1], 0, None)
    if style in _POLE:  # the tail hangs: strands run straight down again
        hang = smoothstep(7.0, 6.6, points[:, 1]) * smoothstep(0.1, -0.3, points[:, 2])
        turns = np.asarray(turns * (1 - hang) + hang * points[:, 0] / 2.0)
    corner = turns[mesh.tri].astype(np.float32)
    first = corner[:, :1]
    corner = np.asarray(first + (corner - first + 0.5) % 1.0 - 0.5, np.float32)  # no jump inside a triangle
    strand = np.stack([corner, down[mesh.tri].astype(np.float32)], -1)
    edge = _border_distance(points, mesh.tri)
    if style.startswith("afro"):  # hundreds of small curled sheets: cut, they would look like shingles
        edge = np.maximum(edge, 1.0)
    if style in FRINGED:
        x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
        inside = np.minimum.reduce([7.66 - y, (0.70 - x) * 0.9, (z - 0.45) * 0.9, y - 5.9])
        edge = np.asarray(np.minimum(edge, 0.6 - inside / 0.07), np.float32)
    return HairStyle(mesh, points, np.ascontiguousarray(strand), np.ascontiguousarray(edge[mesh.tri], np.float32))


def _border_distance(points: F32, tri: NDArray[np.int32]) -> F32:
    """Distance along mesh edges to the nearest open border, as a share of `_END` or of what a narrow strip has."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = np.sort(np.concatenate([tri[:, [0, 1]], tri[:, [1, 2]], tri[:, [2, 0]]]), axis=1)
    edges, count = np.unique(pairs, axis=0, return_counts=True)
    n = len(points)
    away = np.full(n, np.inf, np.float32)
    away[edges[count == 1].ravel()] = 0.0
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    for _ in range(24):
        np.minimum.at(away, edges[:, 0], away[edges[:, 1]] + length)
        np.minimum.at(away, edges[:, 1], away[edges[:, 0]] + length)
    away = np.minimum(away, 1.0)
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    label = connected_components(graph, directed=False)[1]
    deepest = np.zeros(label.max() + 1, np.float32)
    np.maximum.at(deepest, label, away)
    # A strip one quad wide has only border vertices: leave it whole.
    reach = np.where(deepest[label] < 1e-3, 0, np.minimum(_END, 0.9 * deepest[label]))
    return np.where(reach > 0, away / np.maximum(reach, 1e-3), 0.75).astype(np.float32)


def strand_noise(rng: np.random.Generator) -> F32:
    """Brightness of strands (256 along, 2048 across, 1) about 1, periodic."""
    field = 0.21 * noise(rng, 256, 2048, 4, 110, 2) + 0.15 * noise(rng, 256, 2048, 13, 160, 2)
    return np.asarray(np.clip(1 + field, 0.35, 1.8)[..., None], np.float32)


def tip_table(rng: np.random.Generator) -> F32:
    """How far from a border each strand ends, (2048,) in 0..~0.9."""
    ragged = noise(rng, 8, 2048, 9, 50, 2)[0] * 0.20 + noise(rng, 8, 2048, 40, 50, 1)[0] * 0.14
    return np.asarray(np.clip(0.34 + ragged, 0.02, 0.9), np.float32)
