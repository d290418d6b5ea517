"""A world of drawn people: as many arrays as the rendered one has, made in no time."""

from __future__ import annotations

import numpy as np
import pytest

from mmbench.synth.world.people import CLIPS, PER_PERSON, SIZE, STILLS, people_of
from mmbench.synth.world.store import World


@pytest.fixture(scope="session")
def drawn_world() -> World:
    """14 people: a disc of one's own colour with two eyes, which moves from picture to picture."""
    rng = np.random.default_rng(0)
    names = people_of("train", 14)
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
    frames = np.zeros((len(names), PER_PERSON, SIZE, SIZE, 4), np.uint8)
    five = np.zeros((len(names), PER_PERSON, 5, 2), np.float32)
    for person in range(len(names)):
        colour, radius = rng.uniform(60, 250, 3), rng.uniform(14, 24)
        for picture in range(PER_PERSON):
            cx, cy = 32 + rng.uniform(-5, 5, 2)
            inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
            points = np.array([[-0.4, -0.2], [0.4, -0.2], [0, 0.1], [-0.3, 0.4], [0.3, 0.4]]) * radius + (cx, cy)
            frames[person, picture][inside] = (*colour, 255)
            for px, py in points[:2]:
                frames[person, picture][(x - px) ** 2 + (y - py) ** 2 < 6] = (10, 10, 10, 255)
            five[person, picture] = points
    actions = rng.integers(0, 6, (len(names), CLIPS)).astype(np.uint8)
    shirts = rng.integers(0, 6, (len(names), CLIPS + STILLS)).astype(np.uint8)
    return World(tuple(names), frames, five, actions, shirts)
