"""The people of the nano world: who belongs to which split, and the small cut-out pictures rendered of each.

A person has two clips of nine frames and six stills, every one in a light, a shirt and a camera of its own. The wall
is left out: it is laid behind the picture when a batch is made, another one each time. Design: 64 pixels a side, the
head three quarters of the height.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.expression import Expression
from mmbench.synth.identity import GROUPS, Group, parse_name
from mmbench.synth.kit import Kit
from mmbench.synth.motion import trajectory
from mmbench.synth.person import Gaze, Person, Pose, build_person
from mmbench.synth.picture import render_cutout
from mmbench.synth.sampling import sample_identity
from mmbench.synth.scene import Clothes, Light, Scene, State
from mmbench.synth.views import FACES
from mmbench.synth.world.grammar import ACTIONS, COLOURS

Split = Literal["train", "validation", "test"]
FIRST_SEED: Final[dict[Split, int]] = {"train": 20_000, "validation": 50_000, "test": 60_000}
"""Seeds of the splits' people. The bundled set synthetic50 uses seeds below 100, `mmbench synth render` from 1000."""

SIZE: Final = 64
"""Pixels a side."""
CLIPS: Final = 2
STILLS: Final = 6
FRAMES: Final = 9
"""Frames a clip."""
PER_PERSON: Final = CLIPS * FRAMES + STILLS

_TEXTURE = 256  # texels a side: as much as 64 pixels can show, in a quarter of the time
_SHADOWS = 192
_AMPLITUDE = {"turn": 0.7, "shake": 0.8, "sway": 0.7}  # keeps the whole head in the narrow picture


@dataclass(frozen=True)
class WorldPerson:
    """Everything rendered of one person: first the clips' frames, then the stills.

    `frames` (24, 64, 64, 4) uint8 RGBA with straight colour; `five` (24, 5, 2) float32 pixels from the corner;
    `actions` (2,) uint8 into the keys of `ACTIONS`, one a clip; `shirts` (8,) uint8 into `COLOURS`, one a clip, then
    one a still.
    """

    name: str
    frames: NDArray[np.uint8]
    five: NDArray[np.float32]
    actions: NDArray[np.uint8]
    shirts: NDArray[np.uint8]

    @property
    def group(self) -> Group:
        return parse_name(self.name)[0]


def people_of(split: Split, count: int) -> list[str]:
    """Names of the first `count` people of a split, going round the seven groups."""
    return [f"{GROUPS[k % 7].replace(' ', '-')}-{FIRST_SEED[split] + k // 7}" for k in range(count)]


def world_scene(rng: np.random.Generator, shirt: str, size: int = SIZE) -> Scene:
    """A scene of the world: light from in front, a plain shirt near the named colour, no grain."""
    light = Light(
        towards=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(0.25, 0.55)), 0.8),
        key=float(rng.uniform(0.72, 0.9)),
        ambient=float(rng.uniform(0.4, 0.55)),
        rim=float(rng.uniform(0.1, 0.4)),
    )
    colour = np.clip(np.array(COLOURS[shirt]) * (1 + rng.normal(0, 0.08)), 0.03, 0.95)
    r, g, b = (float(value) for value in colour)
    clothes = Clothes((r, g, b), (r * 0.6, g * 0.6, b * 0.6), "plain", int(rng.integers(1 << 30)))
    return Scene(height=size, width=size, zoom=1.2, light=light, clothes=clothes, grain=0.0, shadows=_SHADOWS)


def clip_states(action: str, seed: int, amplitude: float = 1.0, frames: int = FRAMES) -> list[State]:
    """The states of a clip of `action`. Periodic motions run at half speed, else nine frames would alias them."""
    motion = ACTIONS[action]
    whole = frames if motion in ("smile", "turn") else 2 * frames - 1
    return trajectory(motion, whole, seed, amplitude * _AMPLITUDE.get(motion, 1.0))[:frames]


def still_state(rng: np.random.Generator, young: bool) -> State:
    """A pose for a picture: yaw within 25 degrees, pitch 8, roll 5, one of eight expressions."""
    face: Expression = FACES[int(rng.integers(len(FACES)))].scaled(0.8 if young else 1.0)
    pose = Pose(float(rng.uniform(-25, 25)), float(rng.uniform(-8, 8)), float(rng.uniform(-5, 5)))
    return State(expression=face, gaze=Gaze(float(rng.uniform(-6, 6)), float(rng.uniform(-3, 3))), pose=pose)


def world_person(kit: Kit, name: str, texture: int = _TEXTURE) -> Person:
    """A built person of the world, about a quarter of a second."""
    return build_person(kit, sample_identity(kit, *parse_name(name)), texture)


def render_person(kit: Kit, name: str) -> WorldPerson:
    """Render a person, about a second. Equal names give equal pictures on one back end of the renderer."""
    group, seed = parse_name(name)
    person = world_person(kit, name)
    rng = np.random.default_rng([seed, GROUPS.index(group), 7])
    young = group in ("boy", "girl", "baby")
    shots, actions, shirts = [], [], []
    for action in rng.permutation(len(ACTIONS))[:CLIPS]:
        shirt = int(rng.integers(len(COLOURS)))
        scene = world_scene(rng, list(COLOURS)[shirt])
        states = clip_states(list(ACTIONS)[action], int(rng.integers(1 << 30)), float(rng.uniform(0.8, 1.1)))
        shots += [render_cutout(person, scene, state) for state in states]
        actions.append(action)
        shirts.append(shirt)
    for _ in range(STILLS):
        shirt = int(rng.integers(len(COLOURS)))
        scene = world_scene(rng, list(COLOURS)[shirt])
        shots.append(render_cutout(person, scene, still_state(rng, young)))
        shirts.append(shirt)
    frames, five = zip(*shots, strict=True)
    return WorldPerson(name, np.stack(frames), np.stack(five), np.array(actions, np.uint8), np.array(shirts, np.uint8))


def blocks(names: Sequence[str], size: int = 35) -> Iterator[tuple[int, Sequence[str]]]:
    """Number and names of each block of people: the unit of rendering and of files."""
    for number, first in enumerate(range(0, len(names), size)):
        yield number, names[first : first + size]
