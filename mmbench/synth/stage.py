"""Puts a person in front of the camera: posed vertices, their pixels, and which triangle each pixel shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.person import Person
from mmbench.synth.raster import CutOut, GBuffer, rasterise
from mmbench.synth.scene import Camera, Scene, State, camera

F32 = NDArray[np.float32]

_CLOSER = 0.004  # hair this much behind the skin (dm) still covers it


@dataclass(frozen=True)
class Staged:
    """One frame before shading. `pixels` (V, 2) and `depth` (V,) at the G-buffer's resolution; `buffer.depth` in dm."""

    person: Person
    scene: Scene
    state: State
    view: Camera
    vertices: F32
    pixels: F32
    depth: F32
    buffer: GBuffer

    def perspective(self, triangles: NDArray[np.int64], bary: F32) -> F32:
        """Screen-space weights (N, 3) made perspective-correct."""
        weights = bary / self.depth[self.person.body.tri[triangles]]
        return np.asarray(weights / np.einsum("nk->n", weights)[:, None], np.float32)


def stage(person: Person, scene: Scene, state: State, samples: int = 1) -> Staged:
    """Pose, project and rasterise at `samples` times the scene's resolution. Hair is cut out strand by strand."""
    view = camera(person, scene, state, samples)
    head = person.framing[0]
    vertices = person.vertices(state.expression, state.gaze, state.pose)
    vertices += np.array([state.shift[0] * head, state.shift[1] * head, 0], np.float32)
    pixels, depth = view.project(vertices)
    made = person.body
    tri = made.tri[made.opaque]
    key = (-1 / np.maximum(depth, 0.1)).astype(np.float32)  # linear over the screen, and smaller is nearer
    pushed = made.push[made.opaque]
    behind = np.nonzero(pushed > 0)[0]
    extra = tri[behind].ravel()
    push = np.repeat(pushed[behind], 3) * person.face_scale
    tri = tri.copy()
    tri[behind] = len(depth) + np.arange(len(extra)).reshape(-1, 3)
    all_pixels = np.concatenate([pixels, pixels[extra]])
    all_keys = np.concatenate([key, -1 / (depth[extra] + push)]).astype(np.float32)
    base = rasterise(all_pixels, all_keys, tri, view.height, view.width)
    winner = np.where(base.tri >= 0, made.opaque[np.maximum(base.tri, 0)], -1).astype(np.int32)
    far = _distance(base.depth)
    bary = base.bary
    if made.style is not None:
        cut = CutOut(np.ascontiguousarray(made.style.strand[..., 0]), made.style.edge, person.tips)
        hair = rasterise(pixels, key, np.ascontiguousarray(made.tri[made.hairy]), view.height, view.width, cut)
        hair_far = _distance(hair.depth)
        over = (hair.tri >= 0) & (hair_far < far + _CLOSER)
        winner[over] = made.hairy[hair.tri[over]]
        bary[over] = hair.bary[over]
        far[over] = hair_far[over]
    return Staged(person, scene, state, view, vertices, pixels, depth, GBuffer(winner, bary, far))


def _distance(key: F32) -> F32:
    """Depth in dm from keys -1/depth, inf where nothing was hit."""
    with np.errstate(divide="ignore"):
        return np.where(np.isfinite(key), -1 / key, np.inf).astype(np.float32)
