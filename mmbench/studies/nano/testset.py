"""The test set of the nano world: people who were never trained on, four pictures and four captions each."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmbench.files import whole
from mmbench.synth.identity import GROUPS, parse_name
from mmbench.synth.kit import Kit, load_kit
from mmbench.synth.person import Pose
from mmbench.synth.picture import render_cutout
from mmbench.synth.scene import State
from mmbench.synth.world.grammar import ACTIONS, COLOURS, Caption
from mmbench.synth.world.people import people_of, still_state, world_person, world_scene

PEOPLE: Final = 70
PICTURES: Final = 4
PROMPTS: Final = 4
SIDE: Final = 256
"""Pixels a side of the reference pictures."""
NAME: Final = "nano70"

Progress = Callable[[int, int, str], None]


def build_testset(out: Path, people: int = PEOPLE, progress: Progress | None = None, *, after: int = 0) -> Path:
    """Write `identities.json`, `prompts.csv` and `references/NAME/1.jpg` to `4.jpg` into `out`. Returns `out`.

    The first picture is nearly frontal and is the one that models are shown; the others are held out to measure with.
    The first `after` people of the split are left out: a finding on one set is tried again on the people behind it.
    Pictures that are there are kept. Raises KitError without the face kit.
    """
    names = people_of("test", after + people)[after:]
    kit = load_kit()
    out.mkdir(parents=True, exist_ok=True)
    for done, name in enumerate(names, start=1):
        _pictures(kit, name, out / "references" / name)
        if progress is not None:
            progress(done, len(names), "people")
    document = {
        "name": NAME if (people, after) == (PEOPLE, 0) else f"nano{people}-after{after}",
        "licence": "CC0-1.0: rendered by mmbench, no real person",
        "shown": 1,
        "identities": [
            {
                "id": name,
                "group": parse_name(name)[0],
                "class_word": parse_name(name)[0].split()[-1],
                "seed": parse_name(name)[1],
                "references": [f"references/{name}/{k}.jpg" for k in range(1, PICTURES + 1)],
            }
            for name in names
        ],
    }
    with whole(out / "identities.json") as part:
        part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["identity", "prompt_index", "prompt", "prompt_long"])
    for name in names:
        for index, caption in enumerate(captions_of(name)):
            writer.writerow([name, index, caption.text, caption.text])
    with whole(out / "prompts.csv") as part:
        part.write_text(table.getvalue(), encoding="utf-8")
    return out


def captions_of(name: str) -> list[Caption]:
    """Four captions of a person with four different actions; shirt and wall are drawn and differ."""
    group, seed = parse_name(name)
    rng = np.random.default_rng([seed, GROUPS.index(group), 11])
    actions = rng.permutation(list(ACTIONS))[:PROMPTS]
    made = []
    for action in actions:
        shirt, wall = rng.permutation(list(COLOURS))[:2]
        made.append(Caption(group, str(action), str(shirt), str(wall)))
    return made


def _pictures(kit: Kit, name: str, folder: Path) -> None:
    from PIL import Image

    paths = [folder / f"{k}.jpg" for k in range(1, PICTURES + 1)]
    if all(path.is_file() for path in paths):
        return
    group, seed = parse_name(name)
    rng = np.random.default_rng([seed, GROUPS.index(group), 13])
    person = world_person(kit, name, texture=1024)
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        scene = world_scene(rng, str(rng.choice(list(COLOURS))), SIDE)
        state = still_state(rng, group in ("boy", "girl", "baby"))
        if number == 0:
            state = _nearly_frontal(state)
        rgba, _ = render_cutout(person, scene, state)
        wall = np.array(COLOURS[str(rng.choice(list(COLOURS)))]) * 255
        with whole(path) as part:
            Image.fromarray(before_wall(rgba, wall)).save(part, format="JPEG", quality=92)


def _nearly_frontal(state: State) -> State:
    return replace(state, pose=Pose(state.pose.yaw / 4, state.pose.pitch / 4, state.pose.roll / 2))


def before_wall(rgba: NDArray[np.uint8], wall: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A cut-out uint8 (H, W, 4) before a wall of one colour (3,) in 0-255: uint8 (H, W, 3)."""
    cover = rgba[..., 3:].astype(np.float64) / 255
    return np.asarray(rgba[..., :3] * cover + wall * (1 - cover) + 0.5, np.uint8)
