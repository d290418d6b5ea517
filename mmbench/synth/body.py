"""What a body is made of, whoever it is: triangles, parts, canonical positions, masks. One per kit and hair style."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.algebra import smoothstep
from mmbench.synth.hair import FRINGED, HairStyle, hair_style
from mmbench.synth.kit import EYE_L, EYE_R, HAIR, SKIN, TEETH_UPPER, TONGUE, Kit

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

_EYE_RINGS, _EYE_SPOKES = 14, 24


@dataclass(frozen=True)
class Body:
    """Topology and per-vertex constants. Vertices: kit body, left eyeball, right eyeball, hair.

    `canonical` (V, 3): base position (for eyeballs: direction in the eye's own frame). `masks` (V, 4): lips, inside of
    the mouth, ears, clothes. `share` (V,): how far a vertex follows the head. `lash_reach` (V,): 0 at a
    lash's root, 1 at its tip. `push` (T,) dm: inner-mouth triangles are drawn farther away, or they poke through closed
    lips. `caster` (T,) bool casts shadows.
    """

    style: HairStyle | None
    tri: I32
    part: I32
    canonical: F32
    masks: F32
    share: F32
    lash_reach: F32
    push: F32
    caster: NDArray[np.bool_]
    opaque: NDArray[np.int64]
    hairy: NDArray[np.int64]
    lashes: NDArray[np.int64]
    n_body: int
    n_eye: int
    n_vertices: int
    eye_directions: F32

    def eye_slice(self, right: bool) -> slice:
        start = self.n_body + (self.n_eye if right else 0)
        return slice(start, start + self.n_eye)

    @property
    def hair_slice(self) -> slice:
        return slice(self.n_body + 2 * self.n_eye, self.n_vertices)


def _eyeball() -> tuple[F32, I32]:
    """Unit directions (n, 3) of a sphere's front with its pole at +z, and its triangles."""
    fall, turn = (
        np.linspace(0, np.pi * 0.62, _EYE_RINGS),
        np.linspace(0, 2 * np.pi, _EYE_SPOKES, endpoint=False),
    )
    ring = np.stack([np.sin(fall)[:, None] * np.cos(turn), np.sin(fall)[:, None] * np.sin(turn)], -1)
    height = np.repeat(np.cos(fall)[:, None], _EYE_SPOKES, 1)
    a = np.arange(_EYE_RINGS - 1)[:, None] * _EYE_SPOKES + np.arange(_EYE_SPOKES)
    b = np.arange(_EYE_RINGS - 1)[:, None] * _EYE_SPOKES + (np.arange(_EYE_SPOKES) + 1) % _EYE_SPOKES
    lower = np.stack([a, a + _EYE_SPOKES, b], -1).reshape(-1, 3)
    upper = np.stack([b, a + _EYE_SPOKES, b + _EYE_SPOKES], -1).reshape(-1, 3)
    directions = np.concatenate([ring, height[..., None]], -1).reshape(-1, 3)
    return directions.astype(np.float32), np.concatenate([lower, upper]).astype(np.int32)


def neckline(canonical: F32) -> F32:
    """Clothes mask 0..1 from canonical positions: a round neck, higher at the back, cut off the shoulders' outside."""
    x, y, z = np.abs(canonical[:, 0]), canonical[:, 1], canonical[:, 2]
    edge = 5.78 - 0.28 * np.clip(z - 0.2, -0.6, 1.2) + 0.5 * smoothstep(0.62, 0.85, x)
    return np.asarray(smoothstep(0.0, 0.06, edge - y), np.float32)


def _lash_reach(kit: Kit) -> F32:
    """Distance from the lid along each lash strip, 0..1 (V_body,)."""
    from scipy.spatial import cKDTree

    lash = np.unique(kit.tri[(kit.part > TONGUE) & (kit.part < HAIR)])
    skin = np.unique(kit.tri[kit.part == SKIN])
    away = cKDTree(kit.verts[skin]).query(kit.verts[lash])[0]
    reach = np.zeros(len(kit.verts), np.float32)
    reach[lash] = np.clip(away / np.percentile(away, 95), 0, 1)
    return reach


@lru_cache(maxsize=16)
def body(kit: Kit, style_name: str) -> Body:
    """The body of a kit with a hair style; a painted style (bald, thin, ...) has no hair mesh."""
    keep = (kit.part == SKIN) | (kit.part >= TEETH_UPPER)
    directions, eye_tri = _eyeball()
    n_body, n_eye = len(kit.verts), len(directions)
    tris = [kit.tri[keep], eye_tri + n_body, eye_tri + n_body + n_eye]
    parts = [kit.part[keep], np.full(len(eye_tri), EYE_L), np.full(len(eye_tri), EYE_R)]
    canonical = [kit.verts, directions, directions]
    style = hair_style(kit, style_name) if style_name in kit.hair_names else None
    if style is not None:
        tris.append(style.mesh.tri + n_body + 2 * n_eye)
        parts.append(np.full(len(style.mesh.tri), HAIR))
        canonical.append(style.canonical)
    tri, part = np.concatenate(tris).astype(np.int32), np.concatenate(parts).astype(np.int32)
    positions = np.concatenate(canonical).astype(np.float32)
    n = len(positions)

    masks = np.zeros((n, 4), np.float32)
    for column, name in enumerate(("lips", "inside_mouth", "ears")):
        masks[:n_body, column] = kit.mask(name)
    masks[:n_body, 3] = neckline(kit.verts)
    share = np.ones(n, np.float32)
    share[:n_body] = kit.turn_fraction
    if style is not None:
        bound = (share[style.mesh.index] * style.mesh.weight).sum(1)
        share[n_body + 2 * n_eye :] = np.clip(np.maximum(bound, smoothstep(5.6, 6.6, style.canonical[:, 1])), 0, 1)
    reach = np.zeros(n, np.float32)
    reach[:n_body] = _lash_reach(kit)
    inner = (masks[:, 1][tri].min(1) > 0.5) & (part == SKIN)
    push = np.where(inner, 0.16, np.where((part >= TEETH_UPPER) & (part <= TONGUE), 0.05, 0)).astype(np.float32)
    centre = positions[tri].mean(1)
    fringe = (part == HAIR) & (style_name in FRINGED) & (centre[:, 2] > 0.4) & (centre[:, 1] < 7.64)
    fringe &= (np.abs(centre[:, 0]) < 0.70) & (centre[:, 1] > 5.9)
    return Body(
        style=style,
        tri=tri,
        part=part,
        canonical=positions,
        masks=masks,
        share=share,
        lash_reach=reach,
        push=push,
        caster=((part == SKIN) | (part == HAIR)) & ~fringe,
        opaque=np.nonzero(part <= TONGUE)[0],
        hairy=np.nonzero(part == HAIR)[0],
        lashes=np.nonzero((part > TONGUE) & (part < HAIR))[0],
        n_body=n_body,
        n_eye=n_eye,
        n_vertices=n,
        eye_directions=directions,
    )
