"""Draws an identity from (group, seed): shape weights round a template of the group, then colours, hair, marks of age.

Shape. Three shape bases are mixed by a Dirichlet(0.35) draw; age is a mix of two neighbouring ages; some eighty pairs
of opposite details are normal draws with a standard deviation near a quarter of a detail's range, clipped at 0.8: wider
draws make caricatures, narrower ones people whom a face recogniser mixes up. The template moves the mean of a few
details: larger eyes and a smaller nose for children and babies, whom the kit's own age axis leaves too old.
"""

from __future__ import annotations

import numpy as np

from mmbench.synth.identity import GROUPS, Group, SyntheticIdentity
from mmbench.synth.kit import BASES, Kit
from mmbench.synth.looks import sample_look

ASYMMETRIES = tuple(
    f"{place}-{k}"
    for place, count in (
        ("brown", 2),
        ("cheek", 2),
        ("eye", 8),
        ("jaw", 3),
        ("mouth", 2),
        ("nose", 4),
        ("temple", 2),
        ("top", 2),
    )
    for k in range(1, count + 1)
)
HEAD_SHAPES = ("diamond", "invertedtriangular", "oval", "rectangular", "round", "square", "triangular")

# name: (one end, other end). Both sides of a paired detail get the same draw and a little of their own.
PAIRS: dict[str, tuple[str, str]] = {
    **{f"cheek-{n}": ("decr", "incr") for n in ("bones", "inner", "volume")},
    "cheek-trans": ("down", "up"),
    **{f"chin-{n}": ("decr", "incr") for n in ("bones", "cleft", "height", "jaw-drop", "prognathism",
        "prominent", "width")},
    **{f"ear-{n}": ("decr", "incr") for n in ("scale", "wing", "lobe", "flap")},
    "ear-trans": ("down", "up"),
    "eyebrows-angle": ("down", "up"),
    "eyebrows-trans": ("down", "up"),
    **{f"eye-{n}": ("decr", "incr") for n in ("bag", "height1", "height2", "height3", "scale")},
    **{f"eye-{n}": ("down", "up") for n in ("corner1", "corner2", "eyefold", "eyefold-angle", "trans")},
    "eye-epicanthus": ("in", "out"),
    "eye-push1": ("in", "out"),
    "eye-push2": ("in", "out"),
    "eye-spacing": ("in", "out"),
    **{f"forehead-{n}": ("decr", "incr") for n in ("nubian", "scale-vert", "temple")},
    "forehead-trans": ("backward", "forward"),
    "head-angle": ("in", "out"),
    **{f"head-{n}": ("decr", "incr") for n in ("age", "fat", "scale-depth", "scale-horiz", "scale-vert")},
    **{f"mouth-{n}": ("decr", "incr") for n in (
        "cupidsbow", "cupidsbow-width", "lowerlip-height", "lowerlip-volume", "lowerlip-width", "philtrum-volume",
        "scale-depth", "scale-horiz", "scale-vert", "upperlip-height", "upperlip-volume", "upperlip-width")},
    **{f"mouth-{n}": ("down", "up") for n in ("angles", "lowerlip-ext", "trans", "upperlip-ext")},
    "mouth-dimples": ("in", "out"),
    "mouth-laugh-lines": ("in", "out"),
    "neck-scale-horiz": ("decr", "incr"),
    "neck-double": ("decr", "incr"),
    **{f"nose-{n}": ("decr", "incr") for n in (
        "flaring", "greek", "hump", "nostrils-width", "point-width", "scale-depth", "scale-horiz", "scale-vert",
        "septumangle", "volume", "width1", "width2", "width3")},
    **{f"nose-{n}": ("down", "up") for n in ("base", "nostrils-angle", "point", "trans")},
    "nose-compression": ("compress", "uncompress"),
    "nose-curve": ("concave", "convex"),
    "nose-protrusion": ("backward", "forward"),
}  # fmt: skip
_SHAPE_OF = {"eye-spacing": "eye-trans", "nose-protrusion": "nose-trans"}
# Identity sits in proportions more than in relief: these vary a quarter more than the rest.
TELLING = {
    "eye-spacing", "eye-scale", "eye-trans", "mouth-scale-horiz", "mouth-trans", "nose-scale-horiz", "nose-scale-vert",
    "nose-trans", "head-scale-horiz", "head-scale-vert", "chin-height", "chin-width", "head-fat", "cheek-volume",
}  # fmt: skip
DAMPED = {
    "mouth-laugh-lines": 0.5, "eye-bag": 0.5, "head-age": 0.4, "neck-double": 0.4, "eye-height1": 0.5,
    "eye-height2": 0.5,
    "eye-height3": 0.5, "head-scale-vert": 0.7, "head-scale-horiz": 0.8, "head-scale-depth": 0.5, "chin-bones": 0.7,
    "mouth-angles": 0.6, "nose-septumangle": 0.6, "mouth-scale-depth": 0.5, "eyebrows-angle": 0.6,
    "mouth-dimples": 0.5, "forehead-scale-vert": 0.25, "forehead-nubian": 0.4, "forehead-temple": 0.6,
    "forehead-trans": 0.5, "nose-greek": 0.6, "chin-jaw-drop": 0.6, "chin-prognathism": 0.6, "nose-point": 0.7,
}  # fmt: skip
GROWN = {
    "mouth-laugh-lines", "eye-bag", "head-age", "neck-double", "nose-hump", "nose-greek", "chin-bones", "cheek-bones",
    "forehead-temple", "mouth-dimples", "chin-jaw-drop", "chin-cleft", "chin-prognathism", "nose-volume",
}  # fmt: skip
SPREAD: dict[Group, float] = {
    "man": 0.52, "woman": 0.50, "elderly man": 0.52, "elderly woman": 0.50, "boy": 0.52, "girl": 0.52, "baby": 0.46
}  # fmt: skip
CLIP = 0.8

# Mean offsets of details, in -1..1 along each pair.
TEMPLATE: dict[Group, dict[str, float]] = {
    "man": {"mouth-scale-horiz": 0.15, "eye-scale": 0.05},
    "woman": {"mouth-scale-horiz": 0.12, "eye-scale": 0.15, "mouth-upperlip-volume": 0.15, "chin-width": -0.1},
    "elderly man": {"mouth-scale-horiz": 0.15, "mouth-upperlip-volume": -0.2, "ear-scale": 0.25},
    "elderly woman": {
        "mouth-scale-horiz": 0.12, "mouth-upperlip-volume": 0.05, "eye-scale": 0.2, "chin-width": -0.25,
        "chin-bones": -0.2,
        "cheek-bones": 0.15, "neck-scale-horiz": -0.2, "head-age": -0.15,
    },
    "boy": {"eye-scale": 0.35, "nose-scale-vert": -0.1, "neck-scale-horiz": -0.2, "head-fat": 0.05},
    "girl": {"eye-scale": 0.4, "nose-scale-vert": -0.15, "neck-scale-horiz": -0.25, "chin-width": -0.1,
    "nose-scale-horiz": -0.1},
    "baby": {"eye-scale": 0.4, "mouth-scale-horiz": 0.1},
}  # fmt: skip


def sample_identity(kit: Kit, group: Group, seed: int, spread: float = 1.0) -> SyntheticIdentity:
    """The identity of a group and seed. `spread` scales how far details stray from the group's template."""
    rng = np.random.default_rng([seed, GROUPS.index(group)])
    male = group in ("man", "elderly man", "boy") or (group == "baby" and rng.random() < 0.5)
    bases = rng.dirichlet([0.35] * 3)
    ages, years = _ages(group, rng)
    shape = _macros(male, ages, years, bases, rng)
    for name, weight in _details(kit, group, rng, spread).items():
        shape[name] = shape.get(name, 0.0) + weight
    return SyntheticIdentity(
        group=group,
        seed=seed,
        sex="male" if male else "female",
        years=years,
        bases=(float(bases[0]), float(bases[1]), float(bases[2])),
        shape={n: w for n, w in shape.items() if abs(w) > 1e-4},
        look=sample_look(kit, group, male, years, bases, rng),
    )


def _ages(group: Group, rng: np.random.Generator) -> tuple[dict[str, float], float]:
    """Weights of the kit's ages (sum 1) and years to dress and paint by."""
    if group in ("man", "woman"):
        old = float(rng.uniform(0, 0.35))
        return {"young": 1 - old, "old": old}, 21 + old * 75
    if group in ("elderly man", "elderly woman"):
        old = float(rng.uniform(0.72, 1.0))
        return {"young": 1 - old, "old": old}, 25 + old * 52
    if group in ("boy", "girl"):
        baby = float(rng.uniform(0.12, 0.42))
        return {"child": 1 - baby, "baby": baby}, 11 - baby * 14
    baby = float(rng.uniform(0.86, 1.0))
    return {"baby": baby, "child": 1 - baby}, 0.8 + (1 - baby) * 6


def _macros(
    male: bool,
    ages: dict[str, float],
    years: float,
    bases: np.ndarray[tuple[int], np.dtype[np.float64]],
    rng: np.random.Generator,
) -> dict[str, float]:
    """Weights over base x sex x age (each summing to one) and over muscle and weight."""
    fat = float(np.clip(rng.normal(0.15 if years < 2 else 0, 0.4), -0.8, 0.8))
    muscle = min(float(abs(rng.normal(0, 0.3))), 0.6) if male and years > 16 else 0.0
    own = float(np.clip(rng.normal(0.97, 0.05), 0.82, 1.0)) if male and years > 15 else 1.0
    heavy, plump = ("max" if fat > 0 else "min"), abs(fat) * 0.8
    weights: dict[str, float] = {}
    for age, share in ages.items():
        for sex, part in (("male" if male else "female", own), ("female" if male else "male", 1 - own)):
            w = share * part
            for base, amount in zip(BASES, bases, strict=True):
                weights[f"macro/{base}-{sex}-{age}"] = w * float(amount)
            stem = f"macro/universal-{sex}-{age}"
            weights[f"{stem}-averagemuscle-averageweight"] = w * (1 - plump) * (1 - muscle)
            weights[f"{stem}-averagemuscle-{heavy}weight"] = w * plump * (1 - muscle)
            weights[f"{stem}-maxmuscle-averageweight"] = w * muscle
    return weights


def _details(kit: Kit, group: Group, rng: np.random.Generator, spread: float) -> dict[str, float]:
    """Weights of the detail shapes: template + normal draw, clipped; head shapes; asymmetries."""
    young = group in ("boy", "girl", "baby")
    reach = SPREAD[group] * spread
    weights: dict[str, float] = {}
    for name, (low, high) in PAIRS.items():
        sigma = reach * (0.62 if name in TELLING else 0.5) * DAMPED.get(name, 1.0)
        if young and name in GROWN:
            sigma *= 0.3
        if group == "baby" and name.startswith("head-scale"):
            sigma *= 0.6
        value = TEMPLATE[group].get(name, 0.0) + float(np.clip(rng.normal(0, sigma), -CLIP, CLIP))
        stem = _SHAPE_OF.get(name, name)
        paired = f"detail/l-{stem}-{low}" in kit.shape_row
        for side in ("l-", "r-") if paired else ("",):
            v = value + (float(rng.normal(0, 0.05 * spread)) if paired else 0.0)
            weights[f"detail/{side}{stem}-{high if v > 0 else low}"] = abs(v)
    for name in rng.choice(HEAD_SHAPES, 2, replace=False):
        weights[f"detail/head-{name}"] = float(rng.uniform(0, 0.5)) * reach * (0.4 if young else 1.0)
    for name in ASYMMETRIES:
        weights[f"detail/asym-{name}-{'lr'[int(rng.integers(2))]}"] = abs(float(rng.normal(0, 0.16 * spread)))
    return weights
