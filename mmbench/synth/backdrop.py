"""Backdrops painted from a seed: a studio wall, out-of-focus lights, a room, a garden, a haze."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.algebra import linear, noise, smoothstep
from mmbench.synth.raster import bilinear
from mmbench.synth.scene import Backdrop, Camera

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_SIZE = 512
_SPAN = 22.0  # dm of wall one texture covers; it is mirrored beyond
_BLUR = {"studio": 0.0, "lights": 3.0, "room": 2.2, "garden": 5.0, "haze": 2.0}


def _hue(rng: np.random.Generator, low: float, high: float, spread: float = 0.10) -> F64:
    """A muted colour: one level, channels a little apart."""
    return np.asarray(rng.uniform(low, high) * (1 + rng.normal(0, spread, 3)))


def _studio(rng: np.random.Generator, x: F64, y: F64) -> F64:
    tone = _hue(rng, 0.30, 0.75)
    glow = np.exp(-(((x - 0.5 + rng.normal(0, 0.08)) / 0.38) ** 2) - ((y - 0.48) / 0.36) ** 2)
    return tone * (0.62 + 0.45 * glow)[..., None] + 0.012 * noise(rng, _SIZE, _SIZE, 40, 40, 3)[..., None]


def _lights(rng: np.random.Generator, x: F64, y: F64) -> F64:
    image = np.ones((_SIZE, _SIZE, 3)) * _hue(rng, 0.08, 0.28)
    image += 0.06 * noise(rng, _SIZE, _SIZE, 140, 140, 3)[..., None] * (1 + 0.3 * rng.normal(0, 1, 3))
    for _ in range(34):
        px, py, radius = rng.random(), rng.random(), rng.uniform(0.012, 0.055)
        disc = smoothstep(radius, radius * 0.86, np.hypot(x - px, y - py)) * (
            0.75 + 0.25 * np.hypot(x - px, y - py) / radius
        )
        image += disc[..., None] * _hue(rng, 0.08, 0.32, 0.3)
    return image


def _room(rng: np.random.Generator, x: F64, y: F64) -> F64:
    wall = _hue(rng, 0.40, 0.78, 0.06)
    image = wall * (1.05 - 0.28 * x)[..., None]
    for _ in range(int(rng.integers(2, 5))):  # pictures
        left, top = rng.uniform(0, 0.85), rng.uniform(0.08, 0.5)
        wide, high = rng.uniform(0.08, 0.18), rng.uniform(0.10, 0.2)
        frame = (x > left) & (x < left + wide) & (y > top) & (y < top + high)
        inner = (x > left + 0.012) & (x < left + wide - 0.012) & (y > top + 0.012) & (y < top + high - 0.012)
        image[frame] = _hue(rng, 0.1, 0.5)
        image[inner] = _hue(rng, 0.3, 0.8, 0.15) + 0.05 * noise(rng, _SIZE, _SIZE, 30, 30, 2)[inner][:, None]
    if rng.random() < 0.6:  # a window
        left = rng.uniform(0.02, 0.75)
        pane = (np.abs(x - left - 0.11) < 0.11) & (np.abs(y - 0.3) < 0.2)
        bar = (np.abs(x - left - 0.11) < 0.008) | (np.abs(y - 0.3) < 0.008)
        image[pane & ~bar] = np.array([0.86, 0.90, 0.95]) * rng.uniform(0.85, 1.05)
    image[y > 0.74] = _hue(rng, 0.15, 0.45) * 0.9
    return image


def _garden(rng: np.random.Generator, x: F64, y: F64) -> F64:
    sky = np.array([0.78, 0.85, 0.93]) * rng.uniform(0.9, 1.05)
    leaf = np.array([0.40, 0.50, 0.30]) * rng.uniform(0.75, 1.2) * (1 + 0.06 * rng.normal(0, 1, 3))
    lawn = np.array([0.52, 0.58, 0.36]) * rng.uniform(0.8, 1.1)
    hedge = 0.40 + 0.05 * noise(rng, _SIZE, _SIZE, 90, 500, 3) + 0.015 * noise(rng, _SIZE, _SIZE, 16, 16, 2)
    leaves = leaf * (1 + 0.16 * noise(rng, _SIZE, _SIZE, 34, 34, 4))[..., None] * (1.25 - 0.6 * y)[..., None]
    image = np.where((y < hedge - 0.12)[..., None], sky, leaves)
    lit = lawn * (1 + 0.05 * noise(rng, _SIZE, _SIZE, 120, 20, 3))[..., None]
    return np.where((y > hedge + 0.16)[..., None], lit, image)


def _haze(rng: np.random.Generator, x: F64, y: F64) -> F64:
    tone = _hue(rng, 0.2, 0.7)
    return tone * (1 + 0.10 * noise(rng, _SIZE, _SIZE, 200, 200, 5, 0.55)[..., None]) * (1.1 - 0.3 * y)[..., None]


_PAINTERS = {"studio": _studio, "lights": _lights, "room": _room, "garden": _garden, "haze": _haze}


@lru_cache(maxsize=32)
def wall_texture(backdrop: Backdrop) -> F32:
    """Linear light (512, 512, 3) float32 of a backdrop."""
    from PIL import Image, ImageFilter

    rng = np.random.default_rng([backdrop.seed, len(backdrop.kind), 11])
    rows, columns = np.mgrid[0:_SIZE, 0:_SIZE] / _SIZE
    painted = np.clip(_PAINTERS[backdrop.kind](rng, columns, rows), 0.02, 0.98)
    image = Image.fromarray((painted * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(_BLUR[backdrop.kind]))
    return linear(np.asarray(image, np.float32) / 255)


def paint_wall(backdrop: Backdrop, view: Camera) -> F32:
    """The backdrop as the camera sees it, linear light (H, W, 3)."""
    rows, columns = np.mgrid[0 : view.height, 0 : view.width].astype(np.float32)
    a, b = view.wall_points(columns.ravel() + np.float32(0.5), rows.ravel() + np.float32(0.5))
    u, v = _mirror(a / np.float32(_SPAN) + np.float32(0.5)), _mirror(np.float32(0.5) - b / np.float32(_SPAN))
    return bilinear(wall_texture(backdrop), u, v).reshape(view.height, view.width, 3)


def _mirror(u: F32) -> F32:
    """Reflected into 0..1; the wall is never seen farther than one reflection each way."""
    return np.asarray(1 - np.abs(1 - np.abs(u)), np.float32)
