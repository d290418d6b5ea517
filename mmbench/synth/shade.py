"""Light on surfaces: wrapped diffuse key with shadows, sky and fill under ambient occlusion, gloss, hair highlights.

All arithmetic is per visible sample on float32 columns; colours are linear light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.algebra import unit
from mmbench.synth.raster import rasterise, shadow_share
from mmbench.synth.scene import Light
from mmbench.synth.stage import Staged

F32 = NDArray[np.float32]

_SUBSURFACE = np.array([0.32, 0.14, 0.09], np.float32)  # how far red, green and blue light creep past the terminator


@dataclass
class Surface:
    """Visible samples, one row each: geometry, then material. `glossy` scales and `sharp` shapes the highlight."""

    normal: F32
    view: F32
    position: F32
    albedo: F32
    gloss: F32
    sharp: F32
    translucent: F32  # 1 fair skin .. 0 cloth, hair
    occlusion: F32
    hair: NDArray[np.int64]  # rows that are hair
    strand: F32  # strand brightness of those rows
    hair_tint: F32  # (3,) colour of hair highlights


def key_light(staged: Staged, surface: Surface) -> F32:
    """Share of the key light that reaches each sample, (N,) in 0..1: soft edges from a 3x3 look into a shadow map."""
    towards = unit(np.array(staged.scene.light.towards, np.float32))
    right = unit(np.cross([0.0, 1, 0], towards))
    above = np.cross(towards, right).astype(np.float32)
    shift = np.array([staged.state.shift[0], staged.state.shift[1], 0], np.float32) * np.float32(
        staged.person.framing[0]
    )
    centre = shift + np.array([0, -0.1, 0.2], np.float32)
    half = 2.1 * max(staged.person.face_scale, 0.6)
    side = staged.scene.shadows
    scale = np.float32(side / 2 / half)

    def flatten(points: F32) -> tuple[F32, F32, F32]:
        q = points - centre
        return q @ right * scale + side / 2, -(q @ above) * scale + side / 2, 20 - q @ towards

    x, y, z = flatten(staged.vertices)
    casters = staged.person.body.tri[staged.person.body.caster]
    nearest = rasterise(np.stack([x, y], 1), z, casters, side, side).depth
    x, y, z = flatten(surface.position)
    slope = 1 - np.clip(surface.normal @ towards, 0, 1)
    return 0.10 + 0.90 * shadow_share(nearest, x, y, z, (0.045 + 0.05 * slope).astype(np.float32), 1.3)


def shade(light: Light, surface: Surface, lit: F32) -> F32:
    """Linear light (N, 3) leaving the samples towards the camera; `lit` is `key_light`."""
    towards = unit(np.array(light.towards, np.float32))
    fill_from = unit(np.array([-towards[0], 0.1, 0.7], np.float32))
    n, occlusion, through = surface.normal, surface.occlusion, surface.translucent[:, None]
    key = np.array(light.key_colour, np.float32) * np.float32(light.key)
    sky = np.array(light.ambient_colour, np.float32) * np.float32(light.ambient)
    cosine = n @ towards
    wrap = _SUBSURFACE * through
    diffuse = np.clip((cosine[:, None] + wrap) / (1 + wrap), 0, 1) * lit[:, None]
    around = (0.62 + 0.38 * n[:, 1]) * np.float32(0.55) + np.clip(n @ fill_from * 0.6 + 0.4, 0, 1) * np.float32(0.45)
    # Occluded skin is lit by red light from its neighbours: open it a little more in red.
    log_open = np.log(np.maximum(occlusion, 1e-3))[:, None]
    opened = np.exp(log_open * (1 + np.array([-0.28, 0.08, 0.12], np.float32) * through))
    half = unit(towards + surface.view)
    shine = np.clip(np.einsum("nk,nk->n", n, half), 0, 1) ** surface.sharp * (surface.sharp + 8) / 30
    shine = shine * surface.gloss * lit * np.clip(cosine * 4, 0, 1) * np.float32(0.26)
    facing = np.clip(np.einsum("nk,nk->n", n, surface.view), 0, 1)
    edge = (1 - facing) ** 4 * np.clip(n[:, 1] * 0.5 + 0.6, 0, 1) * occlusion * np.float32(0.35 * light.rim)
    edge[surface.hair] *= np.float32(0.4)
    out = surface.albedo * (key * diffuse * (0.4 + 0.6 * opened) + sky * around[:, None] * opened)
    out += key * shine[:, None] + sky * edge[:, None]
    if len(surface.hair):
        out[surface.hair] += _hair_shine(surface, half[surface.hair], key, lit[surface.hair])
    return np.asarray(out, np.float32)


def _hair_shine(surface: Surface, half: F32, key: F32, lit: F32) -> F32:
    """Two shifted Kajiya-Kay bands along the fall of the hair: a white one and one in the hair's own colour."""
    n = surface.normal[surface.hair]
    fall = np.broadcast_to(np.array([0, 1.0, 0.25], np.float32), n.shape)
    along = unit(np.cross(n, np.cross(fall, n)))
    jitter = surface.strand - 1
    seen = (surface.occlusion[surface.hair] * lit * surface.strand)[:, None]
    out = np.zeros_like(n)
    for offset, power, strength, tint in (
        (0.08, 60.0, 0.10, 0.35 + 0.65 * surface.hair_tint),
        (-0.12, 18.0, 0.14, surface.hair_tint),
    ):
        slant = np.einsum("nk,nk->n", along, half) + np.float32(0.14) * jitter + np.float32(offset)
        band = np.clip(1 - slant**2, 0, 1) ** np.float32(power / 2)
        out += key * (band * np.float32(strength))[:, None] * seen * tint
    return out
