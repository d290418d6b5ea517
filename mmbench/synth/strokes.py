"""Brows drawn hair by hair into the face frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.faceframe import BOTTOM, SIZE, TOP, TURN, FaceFrame
from mmbench.synth.identity import Appearance

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
_OVERSAMPLE = 3


def _draw(frame: FaceFrame, points: F64, angles: F64, lengths: F64) -> F32:
    """Coverage (size, size) of straight hairs from front-view points, angles in radians, lengths in dm."""
    from PIL import Image, ImageDraw

    size = frame.size
    image = Image.new("L", (size * _OVERSAMPLE, size * _OVERSAMPLE))
    pen = ImageDraw.Draw(image)
    columns, rows = frame.texel(points[:, 0], points[:, 1])
    per_x, per_y = size / (2 * TURN) / 1.15, size / (TOP - BOTTOM)
    for column, row, angle, length in zip(columns, rows, angles, lengths, strict=True):
        end = (column + np.cos(angle) * length * per_x, row - np.sin(angle) * length * per_y)
        line = [column * _OVERSAMPLE, row * _OVERSAMPLE, end[0] * _OVERSAMPLE, end[1] * _OVERSAMPLE]
        pen.line([float(v) for v in line], fill=255, width=2)
    small = np.asarray(image.resize((size, size), Image.Resampling.BOX), np.float32)
    return small / np.float32(255)


def brow_mask(frame: FaceFrame, look: Appearance, rng: np.random.Generator) -> F32:
    """Opacity (size, size) of both brows: some 500 strokes a side, fanned from upright inside to flat outside."""
    from PIL import Image, ImageFilter

    count = max(int(560 * look.brow_density), 40)
    alpha = np.zeros((frame.size, frame.size), np.float32)
    for side in (1, -1):
        t = rng.random(count) ** 0.9
        x = look.brow_inner + (look.brow_outer - look.brow_inner) * t
        arch = 0.04 * np.sin(np.pi * np.clip(t * 1.02, 0, 1) ** 1.2) + 2 * look.brow_arch * np.exp(
            -(((t - 0.62) / 0.25) ** 2)
        )
        fall = look.brow_tilt * (t - 0.5) * 2 - 0.12 * np.clip(t - 0.62, 0, 1) ** 1.3
        thick = (
            look.brow_thick
            * (0.75 + 0.5 * np.sin(np.pi * np.clip(t + 0.12, 0, 1)))
            * (1 - 1.2 * np.clip(t - 0.55, 0, 1))
        )
        off = rng.uniform(-1, 1, count) * thick
        y = 7.395 + look.brow_height + arch + fall + off
        angle = np.deg2rad(72 - 78 * np.clip(t * 1.25, 0, 1) + rng.normal(0, 10, count) - 10 * off / look.brow_thick)
        points = np.stack([side * x, y], 1)
        alpha = np.maximum(
            alpha, _draw(frame, points, angle if side > 0 else np.pi - angle, rng.uniform(0.03, 0.055, count))
        )
    soft = Image.fromarray((alpha * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(4 * frame.size / SIZE))
    blurred = np.asarray(soft, np.float32) / 255
    cover = np.clip(0.62 * alpha + 0.55 * blurred, 0, 1) * np.float32(min(0.30 + 0.6 * look.brow_density, 0.9))
    return np.asarray(cover, np.float32)
