"""Draws what is painted rather than shaped: skin, hair, brows, eyes, lips, beard and marks of age."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.identity import Appearance, Group, Rgb
from mmbench.synth.kit import Kit

F64 = NDArray[np.float64]

SKIN_RAMP = np.array([
    [0.97, 0.83, 0.75], [0.93, 0.76, 0.66], [0.87, 0.67, 0.55], [0.77, 0.56, 0.43], [0.62, 0.43, 0.32],
    [0.47, 0.31, 0.23],
    [0.34, 0.22, 0.165],
])  # fmt: skip
HAIR_COLOURS: dict[str, Rgb] = {
    "black": (0.085, 0.07, 0.065), "dark brown": (0.17, 0.11, 0.08), "brown": (0.30, 0.195, 0.125),
    "light brown": (0.43, 0.30, 0.19), "blond": (0.70, 0.56, 0.36), "red": (0.48, 0.22, 0.10),
    "grey": (0.55, 0.545, 0.535), "white": (0.76, 0.75, 0.73),
}  # fmt: skip
EYE_COLOURS: dict[str, Rgb] = {
    "brown": (0.36, 0.20, 0.10), "dark brown": (0.23, 0.125, 0.075), "hazel": (0.40, 0.30, 0.14),
    "green": (0.33, 0.42, 0.24), "blue": (0.30, 0.45, 0.62), "grey": (0.45, 0.50, 0.54),
}  # fmt: skip
LIPSTICKS = np.array(
    [[0.70, 0.20, 0.22], [0.74, 0.36, 0.37], [0.60, 0.22, 0.27], [0.74, 0.42, 0.38], [0.62, 0.27, 0.25]]
)
PAINTED_STYLES = ("bald", "balding", "thin", "buzz")


def _pick(rng: np.random.Generator, chances: Mapping[str, float]) -> str:
    names = list(chances)
    p = np.array([chances[n] for n in names])
    return str(rng.choice(names, p=p / p.sum()))


def _rgb(values: F64, low: float = 0.03, high: float = 0.95) -> Rgb:
    r, g, b = np.clip(values, low, high)
    return float(r), float(g), float(b)


def _style(kit: Kit, group: Group, male: bool, years: float, coily: bool, rng: np.random.Generator) -> str:
    if group == "baby":
        chances = {"thin": 3.0, "bald": 0.6, "buzz": 0.6}
    elif group == "elderly man":
        chances = {"balding": 2.0, "bald": 0.8, "buzz": 1.0, "short01": 1.0, "short04": 1.0, "short02": 0.8}
    elif group == "elderly woman":
        chances = {
            "short02": 0.8,
            "short01": 0.4,
            "bob01": 0.8,
            "bob02": 1.2,
            "ponytail01": 1.0,
            "afro01": 1.6,
            "long01": 0.3,
        }
    elif male:
        chances = {"short01": 1.0, "short04": 1.0, "short02": 0.9, "short03": 0.6, "buzz": 0.8}
        if years > 28:
            chances |= {"bald": 0.6, "balding": 0.5}
    elif group == "girl":
        chances = {
            "long01": 1.3,
            "bob01": 1.2,
            "bob02": 1.2,
            "ponytail01": 0.7,
            "braid01": 0.6,
            "short02": 0.3,
        }
    else:
        chances = {
            "long01": 1.0,
            "ponytail01": 1.2,
            "bob01": 1.0,
            "bob02": 1.0,
            "braid01": 0.8,
            "short02": 0.6,
        }
    if coily and group in ("man", "woman", "boy", "girl"):
        chances["afro01"] = 1.5
    return _pick(rng, {n: p for n, p in chances.items() if n in kit.hair_names or n in PAINTED_STYLES})


def _skin(first: float, second: float, third: float, rng: np.random.Generator) -> tuple[float, F64]:
    """How dark, 0 to 1, and the tone (3,)."""
    darkness = float(
        np.clip(
            third * rng.uniform(0.55, 0.95) + second * rng.uniform(0.10, 0.42) + first * rng.uniform(0, 0.28),
            0,
            1,
        )
    )
    step = min(int(darkness * 6), 5)
    skin = SKIN_RAMP[step] * (1 - (darkness * 6 - step)) + SKIN_RAMP[step + 1] * (darkness * 6 - step)
    skin = skin * (1 + rng.normal(0, [0.012, 0.012, 0.03])) * rng.uniform(0.96, 1.03)
    return darkness, skin


def _hair(group: Group, years: float, bases: F64, skin: F64, rng: np.random.Generator) -> tuple[float, F64, F64]:
    """How grey, 0 to 1, and the colours (3,) of hair and brows."""
    first, second, third = (float(b) for b in bases)
    colours = {
        "black": 0.14 * first + 0.75 * second + 0.85 * third, "dark brown": 0.3, "brown": 0.3 * first,
        "light brown": 0.25 * first, "blond": 0.25 * first, "red": 0.09 * first,
    }  # fmt: skip
    colour = _pick(rng, colours)
    grey = 0.0
    if years > 60:
        grey = float(rng.uniform(0.55, 1.0))
    elif years > 42:
        grey = float(rng.uniform(0.0, 0.45))
    hair = np.array(HAIR_COLOURS[colour]) * rng.uniform(0.85, 1.2) * (1 + rng.normal(0, 0.04, 3))
    if group == "baby":
        hair = 0.7 * hair + 0.3 * skin * 0.8
    faded = np.array(HAIR_COLOURS["grey" if rng.random() < 0.5 else "white"])
    base = hair * (1 - grey) + faded * grey
    brow = (hair * (1 - 0.75 * grey) + np.array([0.42, 0.40, 0.38]) * 0.75 * grey) * rng.uniform(0.6, 0.95)
    if colour in ("blond", "light brown"):
        brow = brow * 0.72
    if years < 3:
        brow = 0.6 * brow + 0.4 * skin * 0.8
    return grey, base, brow


def _iris(first: float, second: float, third: float, rng: np.random.Generator) -> F64:
    """Colour (3,) of the eyes."""
    eyes = {
        "brown": 0.3, "dark brown": 0.12 + 0.9 * (second + third), "hazel": 0.2 * first, "green": 0.15 * first,
        "blue": 0.32 * first, "grey": 0.12 * first,
    }  # fmt: skip
    iris = np.array(EYE_COLOURS[_pick(rng, eyes)]) * rng.uniform(0.85, 1.15) * (1 + rng.normal(0, 0.05, 3))
    return np.asarray(iris)


def _lips(skin: F64, darkness: float, pale: bool, woman: bool, rng: np.random.Generator) -> tuple[F64, float]:
    """Colour (3,) and how much of it shows; `pale` lips show less."""
    lip = (skin * np.array([0.88, 0.66, 0.66]) + np.array([0.04, -0.005, 0.0])) * rng.uniform(0.9, 1.05)
    lip_amount = float(rng.uniform(0.5, 0.85)) * (0.75 if pale else 1.0)
    if woman and rng.random() < 0.55:
        lip = LIPSTICKS[rng.integers(len(LIPSTICKS))] * (1 - 0.3 * darkness) * rng.uniform(0.9, 1.08)
        lip_amount = float(rng.uniform(0.5, 0.85))
    return lip, lip_amount


def _beard(grown: bool, rng: np.random.Generator) -> tuple[float, float, bool, float]:
    """Beard, moustache, whether it is a goatee, and stubble; all nothing unless a man is `grown`."""
    beard, moustache, goatee = 0.0, 0.0, False
    stubble = float(rng.uniform(0.05, 0.4)) if grown else 0.0
    if grown:
        u = rng.random()
        if u < 0.20:
            beard, moustache = float(rng.uniform(0.6, 0.95)), float(rng.uniform(0.6, 0.95))
        elif u < 0.30:
            moustache = float(rng.uniform(0.6, 0.95))
        elif u < 0.40:
            beard, moustache, goatee = float(rng.uniform(0.5, 0.9)), float(rng.uniform(0.4, 0.9)), True
    return beard, moustache, goatee, stubble


def sample_look(kit: Kit, group: Group, male: bool, years: float, bases: F64, rng: np.random.Generator) -> Appearance:
    """The appearance of one identity; `bases` are the shape bases' shares, with which tones correlate loosely."""
    first, second, third = (float(b) for b in bases)
    child, woman = years < 14, not male and years > 16
    darkness, skin = _skin(first, second, third, rng)
    grey, base, brow = _hair(group, years, bases, skin, rng)
    iris = _iris(first, second, third, rng)
    lip, lip_amount = _lips(skin, darkness, male or child, woman, rng)
    beard, moustache, goatee, stubble = _beard(male and years > 19, rng)
    style = _style(kit, group, male, years, third > 0.45, rng)
    age = float(np.clip((years - 32) / 45, 0, 1))
    volume = {"elderly woman": 0.75, "elderly man": 0.7, "boy": 0.85, "girl": 0.9}.get(group, 0.95)
    return Appearance(
        skin=_rgb(skin, 0.1, 0.98),
        darkness=darkness,
        flush=float(rng.uniform(0.15, 0.8)) * (1.2 if years < 8 else 1.0),
        mottle=float(rng.uniform(0.5, 1.0)) * (0.5 if child else 1.0 + 0.6 * age),
        oil=float(rng.uniform(0.6, 1.2)) * (0.75 if child else 1.0),
        freckles=float(rng.uniform(0.25, 0.8)) if first > 0.55 and years > 4 and rng.random() < 0.28 else 0.0,
        moles=int(rng.integers(0, 4)) if years > 6 else 0,
        wrinkles=age * float(rng.uniform(0.7, 1.15)),
        bags=float(np.clip(rng.normal(0.18, 0.18) + 0.4 * age, 0, 1)) * (0.25 if child else 1.0),
        spots=float(np.clip((years - 55) / 30, 0, 1) * rng.uniform(0, 1)),
        hair=_rgb(base),
        grey=grey,
        hair_style=style,
        hair_volume=volume * float(rng.uniform(0.85, 1.12)),
        hairline=float(rng.normal(0, 0.05)),
        strand_depth=float(rng.uniform(0.8, 1.2)),
        brow=_rgb(brow, 0.03, 0.8),
        brow_thick=float(rng.uniform(0.018, 0.042))
        * (1.15 if male else 0.85)
        * (0.75 if child else 1)
        * (0.85 if years < 3 else 1),
        brow_density=float(rng.uniform(0.6, 1))
        * (0.45 if years < 3 else 0.72 if child else 1)
        * (0.65 if years > 62 and not male else 0.8 if years > 62 else 1),
        brow_arch=float(rng.normal(0.005, 0.009)),
        brow_tilt=float(rng.normal(-0.010, 0.011)),
        brow_height=float(rng.normal(0.012, 0.012)),
        brow_inner=float(rng.uniform(0.095, 0.155)),
        brow_outer=float(rng.uniform(0.5, 0.6)),
        iris=_rgb(iris, 0.03, 0.9),
        iris_radius=float(rng.uniform(0.47, 0.53)) + (0.045 if years < 3 else 0.03 if child else 0.0),
        lip=_rgb(lip, 0.08, 0.95),
        lip_amount=lip_amount,
        lashes=float(rng.uniform(0.35, 0.6)) + (0.3 if woman else 0.1 if child else 0.0),
        liner=float(rng.uniform(0.1, 0.7)) if woman and rng.random() < 0.6 else 0.0,
        beard=beard,
        goatee=goatee,
        moustache=moustache,
        stubble=stubble,
    )
