"""Control systems: "models" whose right ranking is known beforehand, because their clips are built, not generated.

Each system turns the same clip plan (an identity, a scene, a natural motion) into frames:

- `truth`        the right person moving naturally: high identity, motion, no decay, the face always there.
- `still`        one frame of it repeated: the same identity, and every measure of motion zero.
- `copy-paste`   the reference photo itself, panned: near-perfect identity with no facial motion, so low FMref.
- `drift`        the right person becomes somebody else, evenly to 80 %: the largest similarity decay.
- `stranger`     another person of the group performs it: low identity, no decay, the same motion.
- `jitter`       the right person with a tremor of the head in every frame: motion smoothness suffers, identity hardly.
- `vanish`       the right person walks out of the picture half-way: only the face rate (and what is scaled
by it) falls.
- `camera-only`  the right person stone still, camera panning and zooming: FMinter is moved, camera-free
columns are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.algebra import smoothstep
from mmbench.synth.clip import render_clip
from mmbench.synth.identity import SyntheticIdentity
from mmbench.synth.kit import Kit
from mmbench.synth.motion import Motion, perform, tremble
from mmbench.synth.person import Person, Pose, blend_people, build_person, wear_style
from mmbench.synth.picture import render
from mmbench.synth.scene import Scene, State

Picture = NDArray[np.uint8]
System = Literal["truth", "still", "copy-paste", "drift", "stranger", "jitter", "vanish", "camera-only"]
SYSTEMS: tuple[System, ...] = get_args(System)

NATURAL: tuple[tuple[tuple[Motion, float], ...], ...] = (
    (("mixed", 1.0),),
    (("talk", 1.0), ("sway", 0.7)),
    (("smile", 1.0), ("look", 1.2), ("blink", 1.0)),
    (("nod", 0.7), ("sway", 0.8), ("blink", 1.0)),
)
"""The natural performance of each of an identity's four prompts."""
DRIFT_REACH = 0.8
STILL_AT = 0.4  # clip time of the frame that `still` repeats


@dataclass(frozen=True)
class ClipPlan:
    """What one control clip shows. `other` plays the stranger, `becomes` is whom drift goes to; `photo` is the first
    reference, uint8 RGB."""

    identity: SyntheticIdentity
    other: SyntheticIdentity
    becomes: SyntheticIdentity
    photo: Picture
    scene: Scene
    prompt_index: int
    frames: int = 24
    seed: int = 0


class Cast:
    """Builds people once and keeps the last few: neighbouring plans share them."""

    def __init__(self, kit: Kit, keep: int = 6) -> None:
        self.kit = kit
        self._keep = keep
        self._built: list[Person] = []

    def person(self, identity: SyntheticIdentity) -> Person:
        """The built person of an identity."""
        for person in self._built:
            if person.identity == identity:
                return person
        person = build_person(self.kit, identity)
        self._built = [*self._built, person][-self._keep :]
        return person


def control_clip(cast: Cast, system: System, plan: ClipPlan) -> Iterator[Picture]:
    """The frames of one system's clip, in order. Deterministic in the plan."""
    return _MAKERS[system](cast, plan)


def natural_states(plan: ClipPlan) -> list[State]:
    """The performance every moving system shares."""
    return perform(NATURAL[plan.prompt_index % len(NATURAL)], plan.frames, plan.seed)


def drift_fractions(frames: int) -> NDArray[np.float64]:
    """Morph fraction of every frame of `drift`, evenly from 0 to DRIFT_REACH."""
    return np.linspace(0, DRIFT_REACH, frames)


def vanish_states(plan: ClipPlan) -> list[State]:
    """The natural performance, walking out sideways between 38 % and 58 % of the clip and staying away."""
    side = 1.0 if plan.seed % 2 else -1.0
    states = []
    for k, state in enumerate(natural_states(plan)):
        t = k / max(plan.frames - 1, 1)
        away = 2.0 * side * float(smoothstep(0.36, 0.62, t))
        turned = Pose(state.pose.yaw + 20 * side * float(smoothstep(0.3, 0.5, t)), state.pose.pitch, state.pose.roll)
        states.append(replace(state, pose=turned, shift=(state.shift[0] + away, state.shift[1])))
    return states


def camera_states(plan: ClipPlan) -> list[State]:
    """A rigid face under a pan that sweeps and a slow zoom in."""
    pose = natural_states(plan)[0].pose
    states = []
    for k in range(plan.frames):
        t = k / max(plan.frames - 1, 1)
        swing = 0.24 * float(np.sin(2 * np.pi * (t + plan.seed % 7 / 7)))
        states.append(State(pose=pose, pan=(swing, 0.06 * float(np.cos(2 * np.pi * t))), zoom=float(1.25**t)))
    return states


def _frames(cast: Cast, identity: SyntheticIdentity, plan: ClipPlan, states: list[State]) -> Iterator[Picture]:
    person = cast.person(identity)
    return (frame.image for frame in render_clip(person, plan.scene, states, plan.seed))


def _truth(cast: Cast, plan: ClipPlan) -> Iterator[Picture]:
    return _frames(cast, plan.identity, plan, natural_states(plan))


def _still(cast: Cast, plan: ClipPlan) -> Iterator[Picture]:
    states = natural_states(plan)
    image = render(cast.person(plan.identity), plan.scene, states[int(STILL_AT * (plan.frames - 1))], plan.seed)
    return (image for _ in states)


def _copy_paste(cast: Cast, plan: ClipPlan) -> Iterator[Picture]:
    """The photo fills the frame a little enlarged; the window slides over it along an ellipse."""
    from PIL import Image

    height, width = plan.scene.height, plan.scene.width
    photo = Image.fromarray(plan.photo)
    scale = 1.18 * max(height / photo.height, width / photo.width)
    spare_x, spare_y = photo.width * scale - width, photo.height * scale - height
    for k in range(plan.frames):
        turn = 2 * np.pi * k / max(plan.frames - 1, 1)
        left = spare_x * (0.5 + 0.45 * np.cos(turn)) / scale
        top = spare_y * (0.5 + 0.45 * np.sin(turn)) / scale
        window = (left, top, left + width / scale, top + height / scale)
        yield np.asarray(photo.resize((width, height), Image.Resampling.BICUBIC, box=window))


def _drift(cast: Cast, plan: ClipPlan) -> Iterator[Picture]:
    first = cast.person(plan.identity)
    last = cast.person(wear_style(plan.becomes, plan.identity))
    fractions = drift_fractions(plan.frames)
    clip = render_clip(
        lambda k: blend_people(first, last, float(fractions[k])), plan.scene, natural_states(plan), plan.seed
    )
    return (frame.image for frame in clip)


def _stranger(cast: Cast, plan: ClipPlan) -> Iterator[Picture]:
    return _frames(cast, plan.other, plan, natural_states(plan))


def _jitter(cast: Cast, plan: ClipPlan) -> Iterator[Picture]:
    return _frames(cast, plan.identity, plan, tremble(natural_states(plan), plan.seed))


def _vanish(cast: Cast, plan: ClipPlan) -> Iterator[Picture]:
    return _frames(cast, plan.identity, plan, vanish_states(plan))


def _camera_only(cast: Cast, plan: ClipPlan) -> Iterator[Picture]:
    return _frames(cast, plan.identity, plan, camera_states(plan))


_MAKERS: dict[System, Callable[[Cast, ClipPlan], Iterator[Picture]]] = {
    "truth": _truth, "still": _still, "copy-paste": _copy_paste, "drift": _drift, "stranger": _stranger,
    "jitter": _jitter, "vanish": _vanish, "camera-only": _camera_only,
}  # fmt: skip
