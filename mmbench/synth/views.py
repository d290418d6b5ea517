"""Random views of an identity: pose, expression, light, clothes and backdrop drawn apart from who it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmbench.synth.expression import Expression
from mmbench.synth.person import Gaze, Pose
from mmbench.synth.scene import BACKDROPS, PATTERNS, Backdrop, Clothes, Light, Scene, State

FACES = (
    Expression(), Expression(smile=0.5), Expression(smile=0.85, teeth=0.4), Expression(open=0.35),
    Expression(pucker=0.4),
    Expression(brow_up=0.6), Expression(frown=0.4), Expression(surprise=0.5),
)  # fmt: skip


def random_scene(rng: np.random.Generator, size: int = 256, gentle: bool = False) -> Scene:
    """Light, clothes and backdrop from `rng` alone; `gentle` keeps the light in front."""
    side = float(rng.uniform(-0.55, 0.55) if gentle else rng.uniform(-0.8, 0.8))
    warm = float(rng.uniform(-0.05, 0.05))
    light = Light(
        towards=(side, float(rng.uniform(0.25, 0.6)), 0.8),
        key=float(rng.uniform(0.70, 0.92)),
        key_colour=(1.0 + max(warm, 0), 0.97, 0.94 - warm),
        ambient=float(rng.uniform(0.38, 0.55)),
        ambient_colour=(0.96 - warm / 2, 0.98, 1.03 + warm / 2),
        rim=float(rng.uniform(0.1, 0.4)),
    )
    base = rng.uniform(0.12, 0.85) * (1 + rng.normal(0, 0.22, 3))
    second = rng.uniform(0.12, 0.9) * (1 + rng.normal(0, 0.22, 3))
    clothes = Clothes(
        _colour(base), _colour(second), PATTERNS[int(rng.integers(len(PATTERNS)))], int(rng.integers(1 << 30))
    )
    backdrop = Backdrop(BACKDROPS[int(rng.integers(len(BACKDROPS)))], int(rng.integers(1 << 30)))
    return Scene(height=size, width=size, light=light, clothes=clothes, backdrop=backdrop)


def _colour(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float, float]:
    r, g, b = np.clip(values, 0.05, 0.92)
    return float(r), float(g), float(b)


def random_view(rng: np.random.Generator, young: bool, size: int = 256) -> tuple[Scene, State]:
    """A fresh view: yaw within 30 degrees, pitch 10, roll 8, one of eight expressions, zoom 0.9-1.2."""
    scene = replace(random_scene(rng, size), zoom=float(rng.uniform(0.9, 1.2)))
    face = FACES[int(rng.integers(len(FACES)))].scaled(0.8 if young else 1.0)
    pose = Pose(float(rng.uniform(-30, 30)), float(rng.uniform(-10, 10)), float(rng.uniform(-8, 8)))
    gaze = Gaze(float(rng.uniform(-6, 6)), float(rng.uniform(-3, 3)))
    return scene, State(expression=face, gaze=gaze, pose=pose)
