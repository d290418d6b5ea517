"""From a staged frame to pixels: wall, lit surfaces, lashes on top, supersampled in linear light, tone curve, grain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.algebra import GAMMA, linear
from mmbench.synth.backdrop import paint_wall
from mmbench.synth.materials import surface
from mmbench.synth.person import Person
from mmbench.synth.raster import rasterise
from mmbench.synth.scene import Scene, State, camera
from mmbench.synth.shade import key_light, shade
from mmbench.synth.stage import Staged, stage
from mmbench.synth.truth import five_points

F32 = NDArray[np.float32]
Picture = NDArray[np.uint8]


def render(person: Person, scene: Scene, state: State | None = None, seed: int = 0) -> Picture:
    """One picture, uint8 RGB (H, W, 3). `seed` draws the sensor grain and nothing else."""
    return develop(stage(person, scene, state or State(), scene.samples), np.random.default_rng([seed, 5]))


def develop(staged: Staged, rng: np.random.Generator) -> Picture:
    """Shade a frame staged at the scene's supersampling."""
    scene, samples = staged.scene, staged.scene.samples
    seen, hit = surface(staged)
    image = paint_wall(scene.backdrop, camera(staged.person, scene, staged.state))  # out of focus: one sample will do
    if samples > 1:
        image = image.repeat(samples, 0).repeat(samples, 1)
    image[hit] = shade(scene.light, seen, key_light(staged, seen))
    _lashes(image, staged)
    if samples > 1:
        corners = [image[j::samples, i::samples] for j in range(samples) for i in range(samples)]
        image = np.add.reduce(corners) / np.float32(len(corners))
    image = image / (1 + 0.12 * image) * np.float32(1.12)
    display = np.clip(image, 0, 1) ** np.float32(1 / GAMMA)
    if scene.grain:
        display += rng.standard_normal(display.shape, np.float32) * np.float32(scene.grain)
    return np.asarray(np.clip(display, 0, 1) * 255 + 0.5, np.uint8)


def render_cutout(person: Person, scene: Scene, state: State | None = None) -> tuple[Picture, F32]:
    """A person without the wall: uint8 RGBA (H, W, 4) with straight colour and coverage, and the five points.

    The points (5, 2) float32 are pixels from the picture's corner: eye centres, nose tip, mouth corners, image left
    first. A wall can be laid behind the picture afterwards, another one each time; the scene's backdrop and grain are
    not used.
    """
    samples = scene.samples
    staged = stage(person, scene, state or State(), samples)
    seen, hit = surface(staged)
    image = np.zeros((*hit.shape, 3), np.float32)
    image[hit] = shade(scene.light, seen, key_light(staged, seen))
    _lashes(image, staged)
    cover = hit.astype(np.float32)
    image[~hit] = 0
    if samples > 1:
        corners = [(j, i) for j in range(samples) for i in range(samples)]
        image = np.add.reduce([image[j::samples, i::samples] for j, i in corners]) / np.float32(len(corners))
        cover = np.add.reduce([cover[j::samples, i::samples] for j, i in corners]) / np.float32(len(corners))
    image = image / np.maximum(cover, 1e-3)[..., None]
    image = image / (1 + 0.12 * image) * np.float32(1.12)
    display = np.clip(image, 0, 1) ** np.float32(1 / GAMMA)
    points = staged.view.project(person.landmarks(staged.vertices[: person.body.n_body]))[0] / np.float32(samples)
    rgba = np.concatenate([display, cover[..., None]], -1)
    return np.asarray(rgba * 255 + 0.5, np.uint8), five_points(points)


def _lashes(image: F32, staged: Staged) -> None:
    """Lashes as a translucent dark strip, denser at the lid, parted into hairs only where pixels can show them."""
    person, made = staged.person, staged.person.body
    tri = made.tri[made.lashes]
    key = (-1 / np.maximum(staged.depth, 0.1)).astype(np.float32)
    strip = rasterise(staged.pixels, key, tri, staged.view.height, staged.view.width)
    over = strip.tri >= 0
    if not over.any():
        return
    near = -1 / strip.depth[over]
    corners = tri[strip.tri[over]]
    reach = (strip.bary[over] * made.lash_reach[corners]).sum(1)
    alpha = person.identity.look.lashes * 0.62 * np.clip(1 - reach, 0, 1) ** 0.8
    size = np.linalg.norm(
        staged.pixels[person.kit.landmark_index[36, 0]] - staged.pixels[person.kit.landmark_index[45, 0]]
    )
    parted = np.clip((size / staged.scene.samples - 60) / 120, 0, 1)
    if parted > 0:
        x = (strip.bary[over] * made.canonical[corners][..., 0]).sum(1)
        alpha *= 1 - parted * np.float32(0.5) * (1 + np.sin(x * 420)) * np.clip(reach * 2, 0, 1)
    alpha = np.where(near < staged.buffer.depth[over] + 0.01, alpha, 0).astype(np.float32)[:, None]
    dark = linear(np.array(person.identity.look.brow) * 0.35)
    image[over] += (dark - image[over]) * alpha
