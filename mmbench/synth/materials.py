"""What each visible sample is made of: skin and cloth, eyes, teeth, hair. Turns a staged frame into a `Surface`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.algebra import linear, rotation, smoothstep, unit
from mmbench.synth.faceframe import uv
from mmbench.synth.kit import EYE_L, EYE_R, HAIR, SKIN, TEETH_LOWER, TEETH_UPPER, TONGUE
from mmbench.synth.person import Person
from mmbench.synth.raster import bilinear, gather, vertex_normals
from mmbench.synth.scene import Clothes
from mmbench.synth.shade import Surface
from mmbench.synth.stage import Staged

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

_MOUTH = np.array([0.10, 0.022, 0.02], np.float32)
_UPPER = {EYE_L: (43, 44), EYE_R: (37, 38)}
_LOWER = {EYE_L: (46, 47), EYE_R: (40, 41)}


def surface(staged: Staged) -> tuple[Surface, NDArray[np.bool_]]:
    """The visible samples of a frame and the mask (H, W) of pixels they fill, row-major."""
    person, made = staged.person, staged.person.body
    look = person.identity.look
    hit = staged.buffer.tri >= 0
    triangles = staged.buffer.tri[hit].astype(np.int64)
    corners = made.tri[triangles]
    weights = staged.perspective(triangles, staged.buffer.bary[hit])
    normals = vertex_normals(staged.vertices, made.tri)
    packed = np.concatenate([normals, staged.vertices, made.canonical, made.masks, person.occlusion[:, None]], 1)
    values = gather(corners, weights, packed)
    part = made.part[triangles]
    n = len(part)
    normal, position, canonical = unit(values[:, :3]), values[:, 3:6], values[:, 6:9]
    view = unit(staged.view.eye - position)
    away = (np.einsum("nk,nk->n", normal, view) < 0) & (part != SKIN)
    normal[away] *= -1
    out = Surface(
        normal=normal,
        view=view,
        position=position,
        albedo=np.full((n, 3), 0.5, np.float32),
        gloss=np.full(n, 0.1, np.float32),
        sharp=np.full(n, 22.0, np.float32),
        translucent=np.zeros(n, np.float32),
        occlusion=values[:, 13].copy(),
        hair=np.nonzero(part == HAIR)[0],
        strand=np.ones(0, np.float32),
        hair_tint=linear(look.hair) / max(float(linear(look.hair).max()), 0.02),
    )
    head = rotation(staged.state.pose.yaw, staged.state.pose.pitch, staged.state.pose.roll)
    rows = np.nonzero(part == SKIN)[0]
    _skin(out, rows, canonical[rows], values[rows, 9:13], person, staged.scene.clothes, head)
    for side in (EYE_L, EYE_R):
        rows = np.nonzero(part == side)[0]
        if len(rows):
            _eye(out, rows, unit(canonical[rows]), person, side, staged, head)
    toothless = person.identity.years < 3
    for which, colour, gloss, sharp, open_ in (
        ((TEETH_UPPER, TEETH_LOWER), (0.66, 0.38, 0.36) if toothless else (0.88, 0.84, 0.77), 0.4, 60.0, 0.6),
        ((TONGUE,), (0.70, 0.36, 0.34), 0.3, 22.0, 0.9),
    ):
        rows = np.nonzero(np.isin(part, which))[0]
        out.albedo[rows], out.gloss[rows], out.sharp[rows] = linear(colour), gloss, sharp
        out.occlusion[rows] = out.occlusion[rows] * open_ + 0.08
    if len(out.hair):
        _hair(out, triangles[out.hair], weights[out.hair], person, staged.vertices[made.hair_slice].mean(0))
    return out, hit


def _skin(out: Surface, rows: I64, canonical: F32, masks: F32, person: Person, clothes: Clothes, head: F32) -> None:
    look = person.identity.look
    u, v = uv(canonical)
    texel = bilinear(person.texture, u, v)
    colour, gloss, slope = texel[:, :3], texel[:, 3], texel[:, 4:6]
    lips, inside, ears, cloth = masks[:, 0], masks[:, 1], masks[:, 2], masks[:, 3]
    ear = linear(np.array(look.skin) * np.array([1.0, 0.90, 0.88]))
    colour = colour + (ear - colour) * ears[:, None]
    gloss = gloss + (np.float32(0.1) - gloss) * ears
    dark = (smoothstep(0.55, 0.95, inside) * (1 - 0.7 * smoothstep(0.5, 1, lips))).astype(np.float32)
    colour = colour + (_MOUTH - colour) * dark[:, None]
    gloss = gloss * (1 - 0.6 * dark)
    worn = cloth > 0.5
    if worn.any():
        woven, folds = _cloth(clothes, canonical[worn])
        colour[worn], gloss[worn] = woven, 0.02
        slope = slope.copy()
        slope[worn] = folds
        seam = worn & (cloth < 0.9)
        colour[seam] *= np.float32(0.8)
    fringe = (cloth > 0.15) & ~worn
    colour[fringe] *= np.float32(0.80)  # the garment's shadow on the neck
    out.albedo[rows], out.gloss[rows] = colour, gloss
    out.translucent[rows] = np.where(worn, 0, 1 - 0.5 * look.darkness)
    normal = out.normal[rows]
    across = unit(np.cross(np.broadcast_to(head[:, 1], normal.shape), normal))
    along = np.cross(normal, across)
    out.normal[rows] = unit(normal - (across * slope[:, :1] + along * slope[:, 1:]) * np.float32(0.9))


def _cloth(clothes: Clothes, p: F32) -> tuple[F32, F32]:
    """Colour (N, 3) and relief slopes (N, 2) of the garment at canonical positions."""
    x, y = p[:, 0], p[:, 1]
    kind = clothes.pattern
    if kind == "stripes":
        second = np.sin(y * 38) > 0.2
    elif kind == "checks":
        second = (np.sin(y * 30) > 0.3) ^ (np.sin(x * 30) > 0.3)
    elif kind == "dots":
        second = (np.sin(y * 34) + np.sin(x * 34 + 3 * np.floor(y * 34 / (2 * np.pi)))) > 1.35
    elif kind == "yoke":
        second = y < 5.15 - 0.1 * np.cos(x * 2)
    elif kind == "fleck":
        second = np.sin(x * 71 + 9 * np.sin(y * 43)) * np.sin(y * 83 + 7 * np.sin(x * 37)) > 0.55
    else:
        second = np.zeros(len(p), bool)
    colour = np.where(second[:, None], linear(clothes.second), linear(clothes.colour))
    phase = (clothes.seed % 97) * 0.37
    weave = 1 + 0.05 * np.sin(x * 190) * np.sin(y * 190)
    du = 0.16 * np.sin(x * 3.1 + y * 5.7 + phase) + 0.10 * np.sin(x * 8.3 - y * 6.1 + 2 * phase)
    dv = 0.16 * np.sin(y * 6.3 - x * 4.2 + phase * 1.7) + 0.08 * np.sin(y * 11.0 + x * 3.0)
    return (colour * weave[:, None]).astype(np.float32), np.stack([du, dv], 1).astype(np.float32)


def _eye(out: Surface, rows: I64, d: F32, person: Person, side: int, staged: Staged, head: F32) -> None:
    """Iris with fibres and a dark rim, pupil, sclera; darker under the upper lid and in the corners."""
    look = person.identity.look
    angle = np.arccos(np.clip(d[:, 2], -1, 1))
    r = angle / look.iris_radius
    around = np.asarray(np.arctan2(d[:, 1], d[:, 0]) / np.float32(2 * np.pi) + np.float32(0.5), np.float32)
    fibres = bilinear(person.iris, around, np.asarray(np.clip(r, 0, 1), np.float32))
    iris = linear(look.iris) * (1 + 0.22 * fibres) * (1.25 - 0.5 * np.abs(r - 0.55))[:, None]
    iris = iris * (1.12 - 0.30 * d[:, 1:2] / look.iris_radius)  # light falls through to the lower half
    iris = iris * (1 - 0.72 * smoothstep(0.80, 1.0, r)[:, None])
    pupil = smoothstep(0.36, 0.43, r)[:, None]
    iris = iris * pupil + 0.006 * (1 - pupil)
    redder = np.array([0, 0.035, 0.04]) * smoothstep(0.6, 1.4, angle)[:, None]
    white = linear(np.array([0.95, 0.93, 0.92]) - redder)
    rim = smoothstep(0.94, 1.07, r)[:, None]
    out.albedo[rows] = iris * (1 - rim) + white * rim
    out.gloss[rows], out.sharp[rows] = 0.9, 260.0
    points = person.landmarks(staged.vertices)
    upper, lower = points[list(_UPPER[side])].mean(0), points[list(_LOWER[side])].mean(0)
    up = head[:, 1]
    gap = max(float((upper - lower) @ up), 0.01)
    below = ((out.position[rows] - upper) @ up) / gap
    aside = np.abs((out.position[rows] - (upper + lower) / 2) @ head[:, 0]) / person.eyes[side - 1][1]
    shade = (0.52 + 0.48 * smoothstep(0.05, -0.36, below)) * (1 - 0.30 * smoothstep(0.55, 1.05, aside))
    out.occlusion[rows] = shade * (1 - 0.12 * smoothstep(-0.8, -1.0, below))


def _hair(out: Surface, triangles: I64, weights: F32, person: Person, middle: F32) -> None:
    """Strand brightness along the flow, grey strands among the coloured, darker towards the roots."""
    style = person.body.style
    assert style is not None
    look = person.identity.look
    own = triangles - person.body.hairy[0]
    at = np.einsum("nk,nkc->nc", weights, style.strand[own])
    u = at[:, 0] % 1
    curly = look.hair_style.startswith("afro")
    v = np.abs(at[:, 1] * np.float32(24.0 if curly else 0.35)) % 2
    strand = bilinear(person.strands, u, np.where(v > 1, 2 - v, v).astype(np.float32))[:, 0]
    depth = 1 + (strand - 1) * look.strand_depth
    out.strand = np.clip(depth, 0.3, 1.9)
    colour = linear(look.hair) * out.strand[:, None] ** 1.5
    if 0.02 < look.grey < 0.98:  # single hairs are grey or not; their mean is the look's colour
        streak = smoothstep(0.8, 1.5, bilinear(person.strands, (u * 3) % 1, np.full_like(u, 0.3))[:, 0])
        colour = colour * (1 + 0.5 * (streak - 0.5))[:, None]
    edge = (weights * style.edge[own]).sum(1)
    colour = colour * (0.80 + 0.20 * smoothstep(0.2, 0.9, edge))[:, None]
    if curly:  # hundreds of tiny sheets: lit one by one they would look like shingles, so light the whole volume
        place = out.position[out.hair]
        out.hair_tint = out.hair_tint * np.float32(0.15)
        out.normal[out.hair] = unit(unit(place - middle) + np.float32(0.55) * _curls(place / person.framing[0]))
        out.occlusion[out.hair] = np.clip(0.75 + 0.25 * out.occlusion[out.hair], 0, 1)
    out.albedo[out.hair] = colour
    out.gloss[out.hair] = 0


def _curls(p: F32) -> F32:
    """A bumpy direction field for tight curls, from positions in head heights."""
    q = p * np.float32(46)
    return np.stack(
        [
            np.sin(q[:, 1] + 2 * np.sin(q[:, 2])),
            np.sin(q[:, 2] + 2 * np.sin(q[:, 0])),
            np.sin(q[:, 0] + 2 * np.sin(q[:, 1])),
        ],
        1,
    )
