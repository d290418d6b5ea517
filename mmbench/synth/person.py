"""A person: geometry, textures and occlusion of one identity, built once (about a second), posed for each frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import RequestError
from mmbench.synth.algebra import noise, rotation, turn_partly
from mmbench.synth.body import Body, body
from mmbench.synth.expression import NEUTRAL, UNITS, Expression, unit_weights
from mmbench.synth.faceframe import SIZE, face_frame
from mmbench.synth.hair import axis_scale, hair_positions, strand_noise, tip_table
from mmbench.synth.identity import SyntheticIdentity, blend
from mmbench.synth.kit import BASES, EYE_L, EYE_R, SKIN, Kit
from mmbench.synth.occlusion import ambient_occlusion
from mmbench.synth.raster import vertex_normals
from mmbench.synth.skin import paint_skin

F32 = NDArray[np.float32]

_UPPER_LID = {"left": (43, 44), "right": (37, 38)}
_LOWER_LID = {"left": (46, 47), "right": (40, 41)}
_CLOTH = 0.03  # dm of cloth over the body


@dataclass(frozen=True)
class Pose:
    """Head pose in degrees: yaw > 0 turns the face to image right, pitch > 0 looks up, roll > 0 tilts clockwise."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True)
class Gaze:
    """Where the eyes look relative to the head, in degrees, signs as in `Pose`."""

    yaw: float = 0.0
    pitch: float = 0.0


@dataclass(frozen=True)
class Person:
    """Everything of an identity that does not change from frame to frame. Positions in dm from the head joint.

    `neutral` (V_body, 3) with clothes puffed out; `units` (len(UNITS), V_body, 3) expression displacements at weight 1;
    `eyes` per side (centre (3,), radius); `closing` blink weights left, right; `texture` from `skin.paint_skin`;
    `occlusion` (V,) share of open sky; `face_scale` about 1 for an adult; `framing` chin-to-crown height
    and its middle, dm.
    """

    kit: Kit
    identity: SyntheticIdentity
    body: Body
    neutral: F32
    units: F32
    eyes: tuple[tuple[F32, float], tuple[F32, float]]
    closing: tuple[float, float]
    texture: F32
    occlusion: F32
    hair_scale: F32
    strands: F32
    tips: F32
    iris: F32
    face_scale: float
    framing: tuple[float, float]

    def landmarks(self, vertices: F32) -> F32:
        """The 68 iBUG points (68, 3) of posed vertices."""
        return self.kit.landmarks(vertices)

    def vertices(self, expression: Expression = NEUTRAL, gaze: Gaze | None = None, pose: Pose | None = None) -> F32:
        """Posed vertices (V, 3), float32 dm. Head and neck turn about a pivot at the neck's top, the chest stays."""
        gaze, pose = gaze or Gaze(), pose or Pose()
        skin = self.neutral.copy()
        for name, weight in unit_weights(expression, self.closing).items():
            skin += np.float32(weight) * self.units[UNITS.index(name)]
        parts = [skin]
        for sign, (centre, radius) in zip((1.0, -1.0), self.eyes, strict=True):
            turned = rotation(gaze.yaw + sign, gaze.pitch - 3.0, 0)  # at rest eyes look a little down
            d = self.body.eye_directions
            cornea = radius * (1 + 0.07 * np.exp(-(((1 - d[:, 2]) / 0.09) ** 2)))
            parts.append((centre + (d * cornea[:, None]) @ turned.T).astype(np.float32))
        if self.body.style is not None:
            parts.append(hair_positions(self.body.style.mesh, skin, self.hair_scale, self.identity.look.hair_volume))
        matrix = rotation(pose.yaw, pose.pitch, pose.roll)
        pivot = np.array([0, -0.35 * self.face_scale, -0.05], np.float32)
        return turn_partly(np.concatenate(parts), self.body.share, pivot, matrix)


def _fit_sphere(points: F32) -> tuple[F32, float]:
    """Least-squares sphere through points."""
    p = points.astype(np.float64)
    solution = np.linalg.lstsq(np.c_[2 * p, np.ones(len(p))], (p**2).sum(1), rcond=None)[0]
    return solution[:3].astype(np.float32), float(np.sqrt(solution[3] + solution[:3] @ solution[:3]))


def _expression_units(kit: Kit, bases: tuple[float, float, float], scale: float) -> F32:
    """Dense displacements of `UNITS`, mixed over the bases and scaled to the face."""
    units = np.zeros((len(UNITS), len(kit.verts), 3), np.float32)
    for k, name in enumerate(UNITS):
        fit = 1.0 if "closure" in name else scale
        for base, share in zip(BASES, bases, strict=True):
            index, delta = kit.shape(f"expr/{base}/{name}")
            units[k][index] += np.float32(share * fit) * delta
    return units


def _closing(kit: Kit, neutral: F32, units: F32, side: str) -> float:
    """Weight of the lid-closing unit at which upper and lower lid meet."""

    def gap(vertices: F32) -> float:
        points = kit.landmarks(vertices)[:, 1]
        return float(points[list(_UPPER_LID[side])].mean() - points[list(_LOWER_LID[side])].mean())

    opened = gap(neutral)
    closed = gap(neutral + units[UNITS.index(f"eye-{side}-closure")])
    return float(np.clip(1.02 * opened / max(opened - closed, 1e-3), 0.3, 1.6))


@dataclass(frozen=True)
class Shape:
    """The unpainted part of a person; fields as in `Person`, `neutral` without clothes."""

    neutral: F32
    units: F32
    eyes: tuple[tuple[F32, float], tuple[F32, float]]
    closing: tuple[float, float]
    face_scale: float
    framing: tuple[float, float]

    def unit(self, name: str) -> F32:
        """Displacement (V_body, 3) of one of `UNITS`."""
        return np.asarray(self.units[UNITS.index(name)])


def shape_person(kit: Kit, identity: SyntheticIdentity) -> Shape:
    """The geometry of an identity, without paint or light: some tens of milliseconds."""
    verts = kit.morph(identity.shape)
    neutral = verts - kit.joint("head", verts)
    points = kit.landmarks(neutral)
    eye_distance = float(np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0)))
    mouth = float(np.linalg.norm(points[48] - points[54]))
    face_scale = float(np.clip(eye_distance / 0.62 * 0.5 + mouth / 0.5 * 0.5, 0.5, 1.1))
    crown, chin = float(neutral[np.unique(kit.tri[kit.part == SKIN]), 1].max()), float(points[8, 1])
    left, right = (_fit_sphere(neutral[np.unique(kit.tri[kit.part == part])]) for part in (EYE_L, EYE_R))
    units = _expression_units(kit, identity.bases, face_scale)
    closing = (_closing(kit, neutral, units, "left"), _closing(kit, neutral, units, "right"))
    return Shape(neutral, units, (left, right), closing, face_scale, (crown - chin, (crown + chin) / 2))


def build_person(kit: Kit, identity: SyntheticIdentity, texture: int = SIZE) -> Person:
    """Shape, paint and pre-light an identity. Deterministic; about a second on one core.

    `texture` is the side of the skin texture in texels: 256 is enough for pictures of 64 pixels and four times faster.
    """
    shape = shape_person(kit, identity)
    made = body(kit, identity.look.hair_style)
    normals = vertex_normals(shape.neutral, kit.tri[kit.part == SKIN])
    cloth = made.masks[: made.n_body, 3] * np.float32(_CLOTH)
    style = made.style
    rng = np.random.default_rng([identity.seed, len(identity.group), 3])
    person = Person(
        kit=kit,
        identity=identity,
        body=made,
        neutral=(shape.neutral + normals * cloth[:, None]).astype(np.float32),
        units=shape.units,
        eyes=shape.eyes,
        closing=shape.closing,
        texture=paint_skin(face_frame(kit, texture), identity),
        occlusion=np.ones(made.n_vertices, np.float32),
        hair_scale=axis_scale(style.mesh, shape.neutral) if style is not None else np.ones(3, np.float32),
        strands=strand_noise(rng),
        tips=tip_table(rng),
        iris=noise(rng, 64, 512, 6, 40, 2)[..., None],
        face_scale=shape.face_scale,
        framing=shape.framing,
    )
    return replace(person, occlusion=ambient_occlusion(person.vertices(), made))


def blend_people(first: Person, second: Person, fraction: float) -> Person:
    """The person `fraction` of the way from `first` to `second`, in tens of milliseconds: arrays mix linearly.

    Both must wear the same hair style (build the second with `wear_style`), or `RequestError` is raised. Framing stays
    the first's, so that a morph does not look like a zoom.
    """
    if first.body is not second.body:
        raise RequestError(
            "Two people with different hair meshes cannot be blended.",
            "Build the second with `wear_style(kit, ...)`.",
        )
    t = np.float32(fraction)

    def mix(a: F32, b: F32) -> F32:
        return np.asarray(a + (b - a) * t, np.float32)

    def mix_number(a: float, b: float) -> float:
        return a + (b - a) * float(fraction)

    eyes = [(mix(a[0], b[0]), mix_number(a[1], b[1])) for a, b in zip(first.eyes, second.eyes, strict=True)]
    return replace(
        first,
        identity=blend(first.identity, second.identity, fraction),
        neutral=mix(first.neutral, second.neutral),
        units=mix(first.units, second.units),
        eyes=(eyes[0], eyes[1]),
        closing=(
            mix_number(first.closing[0], second.closing[0]),
            mix_number(first.closing[1], second.closing[1]),
        ),
        texture=mix(first.texture, second.texture),
        occlusion=mix(first.occlusion, second.occlusion),
        hair_scale=mix(first.hair_scale, second.hair_scale),
        face_scale=mix_number(first.face_scale, second.face_scale),
    )


def wear_style(identity: SyntheticIdentity, other: SyntheticIdentity) -> SyntheticIdentity:
    """`identity` with the hair of `other`: the far end of a morph that keeps the hair."""
    look = replace(
        identity.look,
        hair_style=other.look.hair_style,
        hair_volume=other.look.hair_volume,
        hairline=other.look.hairline,
        hair=other.look.hair,
        grey=other.look.grey,
    )
    return replace(identity, look=look)
