"""The clips the experiments look at: a shot says which person does what how much, and everything follows from that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from mmbench.synth.control import Cast
    from mmbench.synth.person import Person
    from mmbench.synth.scene import Scene, State

Kind = Literal["photo", "morph", "drift", "yaw", "turns", "smile", "open", "mixed", "camera-pan", "camera-zoom", "long"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STILLS: tuple[Kind, ...] = ("photo", "morph", "yaw", "turns", "smile", "open")
"""Kinds whose frames are separate views (own light, clothes and backdrop each); the others are clips in one scene."""

SIZE = 256


@dataclass(frozen=True)
class Shot:
    """`person` of synthetic50, `kind` of picture, `level` of what the kind varies, number of frames.

    photo: frontal, neutral, `level` unused: the reference of known pose. morph: `level` of the way to another
    person of the group, in `frames` views. drift: a clip that ends there. yaw: head turned by `level` degrees.
    turns: each view by another angle, `drawn_yaws`. smile, open: that expression control at `level`. mixed, camera-
    pan, camera-zoom: the motion of that name at amplitude `level`. long: a natural performance.
    """

    person: str
    kind: Kind
    level: float = 0.0
    frames: int = 1

    @property
    def name(self) -> str:
        """Safe as a file name and unique among shots."""
        return f"{self.person}_{self.kind}_{self.level:+.3f}_{self.frames}"

    @property
    def moving(self) -> bool:
        """Whether the frames are one clip."""
        return self.kind not in STILLS


@dataclass(frozen=True)
class Staging:
    """What one frame shows."""

    person: Person
    scene: Scene
    state: State


def stage_shot(cast: Cast, shot: Shot) -> list[Staging]:
    """Every frame of a shot. Scenes and rest poses depend on the person and the frame, never on the level."""
    from mmbench.synth.identity import GROUPS, parse_name

    group, seed = parse_name(shot.person)
    number = [seed, GROUPS.index(group)]
    if shot.moving:
        return _clip(cast, shot, number)
    return [_view(cast, shot, k, number) for k in range(shot.frames)]


def _view(cast: Cast, shot: Shot, k: int, number: list[int]) -> Staging:
    from mmbench.synth.person import Pose
    from mmbench.synth.scene import State
    from mmbench.synth.views import random_scene

    if shot.kind == "photo":
        return Staging(
            _lead(cast, shot), random_scene(np.random.default_rng([*number, 71]), SIZE, gentle=True), State()
        )
    rng = np.random.default_rng([*number, k, 73])
    scene = random_scene(rng, SIZE, gentle=True)
    slight = Pose(float(rng.uniform(-10, 10)), float(rng.uniform(-4, 4)), float(rng.uniform(-3, 3)))
    state = State(pose=slight)
    if shot.kind == "yaw":
        state = replace(state, pose=replace(slight, yaw=shot.level))
    elif shot.kind == "turns":
        state = replace(state, pose=replace(slight, yaw=drawn_yaws(shot)[k]))
    elif shot.kind == "smile":
        state = replace(
            state,
            expression=replace(state.expression, smile=shot.level, teeth=0.45 * shot.level),
            pose=Pose(),
        )
    elif shot.kind == "open":
        state = replace(state, expression=replace(state.expression, open=shot.level), pose=Pose())
    person = _between(cast, shot, shot.level) if shot.kind == "morph" else _lead(cast, shot)
    return Staging(person, scene, state)


def drawn_yaws(shot: Shot) -> list[float]:
    """The yaw of each view of a shot of turns, in degrees: evenly drawn up to `level`, either way."""
    from mmbench.synth.identity import GROUPS, parse_name

    group, seed = parse_name(shot.person)
    rng = np.random.default_rng([seed, GROUPS.index(group), 83])
    return [float(yaw) for yaw in rng.uniform(-shot.level, shot.level, shot.frames)]


def _clip(cast: Cast, shot: Shot, number: list[int]) -> list[Staging]:
    from mmbench.synth.motion import perform, trajectory
    from mmbench.synth.views import random_scene

    scene = random_scene(np.random.default_rng([*number, 79]), SIZE, gentle=True)
    seed = number[0] + 100 * number[1]
    if shot.kind in ("mixed", "camera-pan", "camera-zoom"):
        states = trajectory(shot.kind, shot.frames, seed, shot.level)
    elif shot.kind == "long":
        states = perform((("mixed", 1.0), ("talk", 0.6)), shot.frames, seed)
    else:
        states = trajectory("sway", shot.frames, seed, 0.7)
    fractions = np.linspace(0, shot.level, shot.frames) if shot.kind == "drift" else np.zeros(shot.frames)
    return [Staging(_between(cast, shot, float(f)), scene, state) for f, state in zip(fractions, states, strict=True)]


def _lead(cast: Cast, shot: Shot) -> Person:
    from mmbench.synth.identity import parse_name
    from mmbench.synth.sampling import sample_identity

    return cast.person(sample_identity(cast.kit, *parse_name(shot.person)))


def _between(cast: Cast, shot: Shot, fraction: float) -> Person:
    """The person on the way to the group mate whom synthetic50's drift ends in, wearing the person's hair."""
    from mmbench.studies.synthetic50.members import members
    from mmbench.synth.identity import parse_name
    from mmbench.synth.person import blend_people, wear_style
    from mmbench.synth.sampling import sample_identity
    from mmbench.testsets.synthetic50 import root

    first = _lead(cast, shot)
    if fraction == 0:
        return first
    becomes = next(member.becomes for member in members(root()) if member.name == shot.person)
    other = wear_style(sample_identity(cast.kit, *parse_name(becomes)), first.identity)
    return blend_people(first, cast.person(other), fraction)
