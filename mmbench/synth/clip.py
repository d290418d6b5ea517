"""A clip: one person (or a person per frame, in a morph) through a list of states, with pictures and truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import RequestError
from mmbench.synth.person import Person
from mmbench.synth.picture import develop
from mmbench.synth.scene import Scene, State
from mmbench.synth.stage import Staged, stage
from mmbench.synth.truth import Truth, measure

Picture = NDArray[np.uint8]
Cast = Person | Callable[[int], Person]
"""One person for the whole clip, or the person of each frame (same hair mesh throughout, see `blend_people`)."""


@dataclass(frozen=True)
class Rendered:
    """One frame: `image` uint8 RGB (H, W, 3), and its truth where asked for."""

    image: Picture
    truth: Truth | None


def render_clip(
    cast: Cast, scene: Scene, states: Sequence[State], seed: int = 0, truth: bool = False
) -> Iterator[Rendered]:
    """Frames in order, one at a time. `seed` draws the grain. With `truth`, every frame but the last carries flow."""
    if not states:
        raise RequestError("A clip needs at least one frame.", "Give at least one state.")

    def person(k: int) -> Person:
        return cast if isinstance(cast, Person) else cast(k)

    ahead: Staged | None = None
    for k, state in enumerate(states):
        image = develop(stage(person(k), scene, state, scene.samples), np.random.default_rng([seed, k, 5]))
        facts: Truth | None = None
        if truth:
            now = ahead or stage(person(k), scene, state)
            ahead = stage(person(k + 1), scene, states[k + 1]) if k + 1 < len(states) else None
            facts = measure(now, ahead)
        yield Rendered(image, facts)


def clip_truth(cast: Cast, scene: Scene, states: Sequence[State]) -> Iterator[Truth]:
    """The truth of a clip without its pictures: a tenth of the time."""
    ahead: Staged | None = None
    for k, state in enumerate(states):
        now = ahead or stage(cast if isinstance(cast, Person) else cast(k), scene, state)
        last = k + 1 == len(states)
        ahead = None if last else stage(cast if isinstance(cast, Person) else cast(k + 1), scene, states[k + 1])
        yield measure(now, ahead)
