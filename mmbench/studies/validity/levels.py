"""How much is rendered and measured: the levels of every experiment, in full and for a quick look."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Levels:
    """Levels of each quantity that is varied.

    `people` are identities of synthetic50. `fractions` of the way from a person to another one; `reaches`, the
    fraction a drifting clip ends at; `yaws` in degrees; `strengths` of an expression; `amplitudes` of a motion (1
    is lively); `pans` and `zooms` of the camera; `sizes`, factors on the picture; `blurs`, Gaussian sigma in
    pixels; `holds`, a frame is repeated every so many (0 never); `crfs` of x264; `sides` in pixels; `strides`,
    every n-th frame is kept; `lengths`, frames from the start. `views` a level, `turns` views by angles of their
    own, `frames` a clip, `long` the clip that is degraded.
    """

    people: tuple[str, ...] = (
        "man-00",
        "woman-00",
        "elderly-man-00",
        "elderly-woman-00",
        "boy-00",
        "girl-00",
        "baby-00",
    )
    fractions: tuple[float, ...] = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
    reaches: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    yaws: tuple[float, ...] = (-60.0, -45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0, 60.0)
    strengths: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    amplitudes: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 1.5)
    pans: tuple[float, ...] = (0.25, 0.5, 1.0)
    zooms: tuple[float, ...] = (0.5, 1.0)
    sizes: tuple[float, ...] = (1.0, 0.6, 0.42, 0.34, 0.28, 0.22, 0.16)
    blurs: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0, 4.5, 6.0)
    holds: tuple[int, ...] = (0, 6, 4, 3, 2)
    crfs: tuple[int, ...] = (18, 24, 30, 36, 40)
    sides: tuple[int, ...] = (192, 128, 96)
    strides: tuple[int, ...] = (2, 4)
    lengths: tuple[int, ...] = (25, 17, 9)
    views: int = 4
    turns: int = 30
    frames: int = 12
    long: int = 33


FULL = Levels()
QUICK = Levels(
    people=("man-00", "girl-00"),
    fractions=(0.0, 0.5, 1.0),
    reaches=(0.0, 1.0),
    yaws=(-45.0, 0.0, 45.0),
    strengths=(0.0, 1.0),
    amplitudes=(0.0, 0.5, 1.5),
    pans=(1.0,),
    zooms=(1.0,),
    sizes=(1.0, 0.34, 0.16),
    blurs=(0.0, 6.0),
    holds=(0, 2),
    crfs=(18, 40),
    sides=(96,),
    strides=(2,),
    lengths=(9,),
    views=2,
    turns=6,
    frames=8,
    long=17,
)
