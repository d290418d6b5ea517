"""Paints one identity's skin in the canonical face frame: tone, flush, lips, wrinkles, brows, beard, scalp hair.

The result is one (size, size, 6) float32 texture: linear albedo (3), gloss (1), slope of the relief along u and v (2).
Lengths are decimetres of the canonical head. Amounts come from `identity.Appearance`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.algebra import linear, noise, smoothstep
from mmbench.synth.faceframe import BOTTOM, SIZE, TOP, TURN, FaceFrame
from mmbench.synth.identity import Appearance, SyntheticIdentity
from mmbench.synth.strokes import brow_mask

F32 = NDArray[np.float32]
_METRES_PER_TURN = 1.15  # texel columns to dm: a mean head radius


@dataclass
class Canvas:
    """What is being painted: display colour, relief height in dm, and the coordinates every stroke needs."""

    frame: FaceFrame
    rng: np.random.Generator
    colour: F32
    relief: F32
    ax: F32  # |x|: the two halves of the face are painted alike

    def noise(self, blob_x: float, blob_y: float, octaves: int = 1) -> F32:
        """Noise whose blobs are given in texels of the full-size frame; a smaller frame cannot show finer ones."""
        share, side = self.frame.size / SIZE, self.frame.size
        return noise(self.rng, side, side, max(blob_x * share, 1.2), max(blob_y * share, 1.2), octaves)

    def spot(self, x: float, y: float, width: float, height: float) -> F32:
        """A soft ellipse on both halves."""
        return np.exp(-(((self.ax - x) / width) ** 2) - ((self.frame.y - y) / height) ** 2)

    def darken(self, amount: F32, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> None:
        amount = np.asarray(amount, np.float32)
        for channel, share in enumerate(tint):
            self.colour[..., channel] *= 1 - np.float32(share) * amount

    def cover(self, alpha: F32, colour: F32) -> None:
        self.colour += (colour - self.colour) * alpha[..., None]

    def crease(self, line: F32, depth: float, dark: float) -> None:
        self.relief -= np.float32(depth) * line
        self.darken(np.float32(dark) * line.clip(0, 1), (0.75, 1.0, 1.0))


def paint_skin(frame: FaceFrame, identity: SyntheticIdentity) -> F32:
    """The skin texture of an identity, (size, size, 6) float32. The same identity paints the same texture."""
    look, size = identity.look, frame.size
    rng = np.random.default_rng([identity.seed, len(identity.group), int(identity.years * 8), 77])
    colour = np.ones((size, size, 3), np.float32) * np.array(look.skin, np.float32)
    canvas = Canvas(frame, rng, colour, np.zeros((size, size), np.float32), np.abs(frame.x))
    _tone(canvas, look)
    _age(canvas, look)
    _marks(canvas, look)
    lips = _lips(canvas, look)
    gloss = (
        0.15
        + 0.10 * canvas.spot(0, 6.95, 0.13, 0.3)
        + 0.06 * smoothstep(7.45, 7.8, frame.y) * smoothstep(0.5, 0.2, canvas.ax)
    )
    gloss = np.clip(gloss + 0.22 * lips + 0.02 * canvas.noise(12, 12, 2), 0.03, 1) * look.oil
    beard = _beard(canvas, look)
    scalp = _scalp(canvas, look)
    brows = brow_mask(frame, look, rng)
    canvas.cover(brows, np.array(look.brow, np.float32) * (1 + 0.12 * canvas.noise(2, 2)[..., None]))
    canvas.relief += 0.0015 * brows
    gloss *= 1 - 0.8 * np.clip(beard + scalp + brows, 0, 1)
    du = np.gradient(canvas.relief, axis=1) / (2 * TURN / size * _METRES_PER_TURN)
    dv = -np.gradient(canvas.relief, axis=0) / ((TOP - BOTTOM) / size)
    stack = [linear(canvas.colour.clip(0.02, 1)), gloss[..., None], du[..., None], dv[..., None]]
    return np.ascontiguousarray(np.concatenate(stack, -1), np.float32)


def _tone(c: Canvas, look: Appearance) -> None:
    m, y, ax = look.mottle, c.frame.y, c.ax
    c.colour *= 1 + m * (0.018 * c.noise(90, 90, 4)[..., None] + 0.010 * c.noise(6, 6, 2)[..., None])
    c.colour[..., 0] *= 1 + m * 0.006 * c.noise(50, 50, 3)
    c.colour[..., 2] *= 1 + m * 0.010 * c.noise(50, 50, 3)
    red = (
        0.115 * c.spot(0.40, 6.93, 0.20, 0.19) + 0.09 * c.spot(0, 6.90, 0.14, 0.12) + 0.05 * c.spot(0, 6.25, 0.2, 0.12)
    )
    red += 0.035 * c.spot(0.3, 7.22, 0.2, 0.1)
    flush = look.flush * (1 - 0.55 * look.darkness)
    c.colour *= 1 + flush * red[..., None] * np.array([0.35, -1.05, -0.85], np.float32)
    c.darken((0.04 + 0.16 * look.bags) * c.spot(0.30, 7.16, 0.14, 0.06), (0.8, 1.0, 0.85))
    c.relief -= 0.004 * look.bags * c.spot(0.30, 7.13, 0.15, 0.018)
    c.darken(0.09 * c.spot(0.30, 7.345, 0.18, 0.05), (0.8, 1.0, 1.0))
    c.darken(0.05 * c.spot(0.10, 7.25, 0.07, 0.10), (0.8, 1.0, 0.95))
    # Lid margins: a thin shade where the lids meet the eye, drawn out by liner.
    c.darken((0.12 + 0.45 * look.liner) * smoothstep(0.5, 0.95, c.frame.lids) * c.spot(0.30, 7.30, 0.18, 0.035))
    fold = np.exp(-((np.abs(ax - 0.20 - 0.10 * (6.9 - y) / 0.3) / 0.03) ** 2)) * ((y < 6.9) & (y > 6.6))
    c.darken((0.06 * (0.2 + 0.8 * look.wrinkles)) * fold.astype(np.float32))
    c.relief += 0.00025 * c.noise(2.2, 2.2, 2) + 0.00025 * c.noise(8, 8, 2)


def _age(c: Canvas, look: Appearance) -> None:
    w, y, ax = look.wrinkles, c.frame.y, c.ax
    if w > 0.02:
        sway = 0.03 * c.noise(120, 300, 2)
        for level in np.linspace(7.62, 8.0, 5) + c.rng.normal(0, 0.012, 5):
            line = np.exp(-(((y - level - sway - 0.06 * (ax / 0.5) ** 2) / 0.009) ** 2)) * smoothstep(0.62, 0.3, ax)
            c.crease(line * (0.6 + 0.4 * c.noise(150, 60).clip(-1, 1)), 0.0045 * w, 0.10 * w)
        for q in range(5):  # crow's feet
            turn = (q - 2) * 0.34 + c.rng.normal(0, 0.05)
            dx, dy = ax - 0.47, y - 7.27
            u, v = dx * np.cos(turn) + dy * np.sin(turn), -dx * np.sin(turn) + dy * np.cos(turn)
            v = v + 0.15 * u * u * np.sign(q - 2)
            c.crease(
                np.exp(-((v / 0.007) ** 2)) * smoothstep(0, 0.03, u) * smoothstep(0.2, 0.08, u),
                0.004 * w,
                0.09 * w,
            )
        for x in (0.045, 0.075):  # frown lines
            line = np.exp(-(((ax - x - 0.02 * (y - 7.45)) / 0.008) ** 2))
            c.crease(line * smoothstep(7.33, 7.38, y) * smoothstep(7.55, 7.46, y), 0.003 * w, 0.08 * w)
        for q in range(3):  # under the eyes
            line = np.exp(-(((y - (7.14 - 0.035 * q) - 0.035 * ((ax - 0.3) / 0.2) ** 2) / 0.007) ** 2))
            c.crease(line * c.spot(0.3, 7.1, 0.17, 0.2), 0.003 * w, 0.07 * w)
        for q in range(6):  # above the lip
            line = np.exp(-(((ax - 0.03 - q * 0.04) / 0.005) ** 2))
            c.crease(line * smoothstep(6.70, 6.73, y) * smoothstep(6.80, 6.75, y), 0.0015 * w, 0.045 * w)
        c.relief += 0.0003 * w * c.noise(10, 4, 2)
    if look.spots > 0:
        c.darken(0.28 * look.spots * np.clip(c.noise(16, 14) - 2.0, 0, 1), (0.7, 1.0, 1.2))


def _marks(c: Canvas, look: Appearance) -> None:
    x, y = c.frame.x, c.frame.y
    if look.freckles:
        where = smoothstep(0.75, 0.35, c.ax) * smoothstep(6.7, 6.95, y) * smoothstep(7.7, 7.3, y)
        c.darken(0.26 * look.freckles * smoothstep(1.3, 2.0, c.noise(3.2, 3.2)) * where, (0.55, 0.9, 1.1))
    for _ in range(look.moles):
        mx, my, size = c.rng.uniform(-0.6, 0.6), c.rng.uniform(6.25, 7.7), c.rng.uniform(0.006, 0.013)
        if abs(abs(mx) - 0.3) < 0.2 and 7.1 < my < 7.45:
            continue  # not on the lids
        c.darken(0.42 * np.exp(-((((x - mx) / size) ** 2 + ((y - my) / size) ** 2) ** 2)), (0.7, 0.9, 1.0))


def _lips(c: Canvas, look: Appearance) -> F32:
    lips = np.asarray(smoothstep(0.2, 0.85, c.frame.lips), np.float32)
    c.cover(lips * look.lip_amount, np.array(look.lip, np.float32) * (1 + 0.04 * c.noise(3, 12)[..., None]))
    c.relief += 0.001 * lips * c.noise(2.5, 10)
    return lips


def _beard(c: Canvas, look: Appearance) -> F32:
    x, y, ax = c.frame.x, c.frame.y, c.ax
    if look.beard + look.moustache + look.stubble == 0:
        return np.zeros_like(x)
    jaw = smoothstep(6.80, 6.58, y - 0.38 * smoothstep(0.35, 0.7, ax)) * smoothstep(5.75, 6.05, y)
    lip_free = 1 - smoothstep(0.1, 0.5, c.frame.lips)
    soul = 1 - 0.9 * np.exp(-((x / 0.10) ** 2) - ((y - 6.44) / 0.03) ** 2)
    moustache = np.clip(c.spot(0.10, 6.765, 0.17, 0.045) + 0.8 * c.spot(0.22, 6.68, 0.05, 0.08), 0, 1)
    chin = c.spot(0, 6.27, 0.22, 0.2) * smoothstep(6.5, 6.42, y)
    area = chin if look.goatee else jaw * smoothstep(0.16, 0.30, np.hypot(ax * 0.9, (y - 6.62) * 1.15))
    grain = np.clip(0.78 + 0.3 * c.noise(1.8, 5, 2), 0, 1)
    beard = np.clip((look.beard * area * soul + look.moustache * moustache) * lip_free, 0, 1) * grain
    shade = look.stubble * np.clip(jaw * soul + moustache, 0, 1) * lip_free
    shade = shade * np.clip(0.7 + 0.3 * c.noise(1.5, 1.5), 0, 1)
    c.darken(0.30 * np.asarray(shade, np.float32), (1.0, 0.95, 0.8))
    hair = np.asarray(np.array(look.hair) * (1 + 0.15 * c.noise(2, 6, 2)[..., None]) * 0.85, np.float32)
    c.cover(np.asarray(beard, np.float32), hair)
    c.relief += 0.002 * beard * c.noise(1.8, 4, 2)
    return np.asarray(beard, np.float32)


_DENSITY = {"bald": 0.06, "thin": 0.42, "buzz": 0.82, "balding": 0.78}


def _scalp(c: Canvas, look: Appearance) -> F32:
    angle, y, style = np.abs(c.frame.angle), c.frame.y, look.hair_style
    line = 7.98 + look.hairline - 0.03 * np.cos(6 * angle) - 0.42 * smoothstep(0.55, 0.98, angle)
    line = line - 0.35 * smoothstep(1.02, 1.25, angle) - 0.55 * smoothstep(1.25, 1.6, angle)
    line = np.where(angle > 1.62, 6.6, line) + 0.025 * c.noise(6, 20, 2)
    if style == "thin":  # a baby's down: no line, only more of it towards the crown
        cover = np.asarray(smoothstep(-0.12, 0.42, y - line), np.float32) * np.clip(
            0.8 + 0.25 * c.noise(5, 24, 2), 0, 1
        )
    else:
        grain = (
            np.clip(0.85 + 0.2 * c.noise(2, 3, 2), 0, 1)
            if style == "buzz"
            else np.clip(0.8 + 0.3 * c.noise(2.2, 9, 2), 0, 1)
        )
        cover = np.asarray(smoothstep(-0.05, 0.12, y - line), np.float32) * grain
    if style == "balding":
        cover = cover * smoothstep(0.85, 1.15, angle) * smoothstep(8.15, 7.75, y)
    cover = np.asarray(np.clip(cover * _DENSITY.get(style, 0.9), 0, 1), np.float32)
    c.cover(cover, np.array(look.hair, np.float32) * (1 + 0.12 * c.noise(2, 8, 2)[..., None]))
    c.relief += 0.0018 * cover * c.noise(2, 7, 2)
    return cover
