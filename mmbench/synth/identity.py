"""Who a person is: a frozen bundle of shape weights and appearance, sampled from (group, seed) or blended from two."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import numpy as np

from mmbench.errors import RequestError

Group = Literal["man", "woman", "elderly man", "elderly woman", "boy", "girl", "baby"]
GROUPS: tuple[Group, ...] = get_args(Group)
Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Appearance:
    """Everything painted rather than shaped. Colours are display RGB 0..1; amounts run 0..1 unless said otherwise."""

    skin: Rgb
    darkness: float  # 0 lightest .. 1 darkest of the tone ramp: less red shows through
    flush: float
    mottle: float
    oil: float
    freckles: float
    moles: int
    wrinkles: float
    bags: float
    spots: float
    hair: Rgb
    grey: float  # share of grey strands among the coloured ones
    hair_style: str  # a style of the kit, or painted: bald, balding, thin, buzz
    hair_volume: float  # factor on the distance of the hair mesh from the scalp
    hairline: float
    strand_depth: float
    brow: Rgb
    brow_thick: float
    brow_density: float
    brow_arch: float
    brow_tilt: float
    brow_height: float
    brow_inner: float
    brow_outer: float
    iris: Rgb
    iris_radius: float  # radians seen from the eyeball's centre
    lip: Rgb
    lip_amount: float
    lashes: float
    liner: float
    beard: float
    goatee: bool
    moustache: float
    stubble: float


@dataclass(frozen=True)
class SyntheticIdentity:
    """`shape` are weights of the kit's shapes; `bases` how the three expression bases mix (sums to 1)."""

    group: Group
    seed: int
    sex: Literal["male", "female"]
    years: float
    bases: tuple[float, float, float]
    shape: dict[str, float]
    look: Appearance

    @property
    def name(self) -> str:
        """`elderly-woman-07`: unique among sampled identities, safe as a file name."""
        return f"{self.group.replace(' ', '-')}-{self.seed:02d}"


def parse_name(name: str) -> tuple[Group, int]:
    """`elderly-woman-07` -> ("elderly woman", 7). Raises `RequestError` on anything else."""
    head, _, number = name.rpartition("-")
    group = head.replace("-", " ")
    for known in GROUPS:
        if group == known and number.isdigit():
            return known, int(number)
    raise RequestError(
        f"{name!r} is not an identity.",
        f"Write GROUP-SEED, for example woman-03; groups: {', '.join(GROUPS)}.",
    )


def blend(first: SyntheticIdentity, second: SyntheticIdentity, fraction: float) -> SyntheticIdentity:
    """The identity `fraction` of the way from `first` (0) to `second` (1).

    Numbers mix linearly. What cannot mix (hair style, sex, moles, goatee) stays the first's, so that hair never jumps
    inside a morph; `person.blend_people` does the same on built people, which is what clips use.
    """
    t = float(fraction)
    names = first.shape.keys() | second.shape.keys()
    shape = {n: (1 - t) * first.shape.get(n, 0.0) + t * second.shape.get(n, 0.0) for n in sorted(names)}
    mixed: dict[str, float | Rgb] = {}
    for spec in fields(Appearance):
        a, b = getattr(first.look, spec.name), getattr(second.look, spec.name)
        if isinstance(a, float):
            mixed[spec.name] = (1 - t) * a + t * b
        elif isinstance(a, tuple):
            mixed[spec.name] = tuple((1 - t) * p + t * q for p, q in zip(a, b, strict=True))
    bases = np.array(first.bases) * (1 - t) + np.array(second.bases) * t
    return replace(
        first,
        years=(1 - t) * first.years + t * second.years,
        bases=(float(bases[0]), float(bases[1]), float(bases[2])),
        shape={n: w for n, w in shape.items() if abs(w) > 1e-6},
        look=replace(first.look, **mixed),  # type: ignore[arg-type]
    )
