"""Who sees what: sheets of equal work on which every model, pair and clip comes as often as any other."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mmbench.studies.user_study.design import Kind

TRIES = 200
"""Shuffles of a sheet before two tasks of one scene may follow each other."""

Shown = tuple[int, ...]
"""Places of the clips of one task, from left to right; negative numbers are attention checks: -1 - which one."""


@dataclass(frozen=True)
class PlannedClip:
    """What planning knows of a clip: its model and its scene."""

    model: str
    scene: str


@dataclass(frozen=True)
class PlanOptions:
    """`sheets` of `tasks` clips or pairs each, of which `repeats` come twice; `checks` attention checks besides."""

    sheets: int = 50
    tasks: int = 24
    repeats: int = 3
    checks: int = 2
    seed: int = 0


@dataclass(frozen=True)
class _Unit:
    """What is judged at once: its group (the model, or the two), its scene, its clips."""

    group: tuple[str, ...]
    scene: str
    clips: Shown


def plan_sheets(clips: Sequence[PlannedClip], kind: Kind, options: PlanOptions) -> list[list[Shown]]:
    """Sheets, each a list of tasks in the order they are shown; the same for the same clips, options and seed.

    Over all sheets every model (pair of models) is shown equally often, to within one; so is, within it, every clip
    (scene). On a sheet nothing comes twice but the repeats, which come in its last third, sides exchanged. A model
    stands on the left as often as on the right, to within one for each pair of models. Raises ValueError where there is
    nothing to show.
    """
    units = _units(clips, kind)
    if not units:
        raise ValueError("there is no clip, or no two clips of one scene, to be judged")
    rng = random.Random(f"mmbench study {options.seed}")
    groups: dict[tuple[str, ...], list[_Unit]] = defaultdict(list)
    for unit in units:
        groups[unit.group].append(unit)
    shown: Counter[tuple[str, ...]] = Counter(dict.fromkeys(groups, 0))
    seen: Counter[Shown] = Counter()
    swapped: Counter[tuple[str, ...]] = Counter()
    sheets = []
    for _ in range(options.sheets):
        chosen = _choose(groups, shown, seen, min(options.tasks, len(units)), rng)
        tasks = []
        for unit in chosen:
            flip = len(unit.clips) == 2 and swapped[unit.group] % 2 == 1
            swapped[unit.group] += 1
            tasks.append((unit.scene, unit.clips[::-1] if flip else unit.clips))
        sheets.append(_arrange(tasks, options, rng))
    return sheets


def _units(clips: Sequence[PlannedClip], kind: Kind) -> list[_Unit]:
    if kind == "aspects":
        return [_Unit((clip.model,), clip.scene, (place,)) for place, clip in enumerate(clips)]
    scenes: dict[str, list[int]] = defaultdict(list)
    for place, clip in enumerate(clips):
        scenes[clip.scene].append(place)
    units = []
    for scene, places in scenes.items():
        ordered = sorted(places, key=lambda place: (clips[place].model, place))
        for at, first in enumerate(ordered):
            for second in ordered[at + 1 :]:
                if clips[first].model != clips[second].model:
                    units.append(_Unit((clips[first].model, clips[second].model), scene, (first, second)))
    return units


def _choose(
    groups: dict[tuple[str, ...], list[_Unit]],
    shown: Counter[tuple[str, ...]],
    seen: Counter[Shown],
    count: int,
    rng: random.Random,
) -> list[_Unit]:
    """The units that were shown least so far, group by group; scenes that are not on the sheet yet come first."""
    chosen: list[_Unit] = []
    on_sheet: set[Shown] = set()
    scenes: Counter[str] = Counter()
    while len(chosen) < count:
        for group in sorted(groups, key=lambda group: (shown[group], rng.random())):
            free = [unit for unit in groups[group] if unit.clips not in on_sheet]
            if free:
                break
        unit = min(free, key=lambda one: (seen[one.clips], scenes[one.scene], rng.random()))
        chosen.append(unit)
        on_sheet.add(unit.clips)
        scenes[unit.scene] += 1
        seen[unit.clips] += 1
        shown[unit.group] += 1
    return chosen


def _arrange(tasks: list[tuple[str, Shown]], options: PlanOptions, rng: random.Random) -> list[Shown]:
    """Shuffled, one scene not twice in a row where that can be; repeats late, checks anywhere but first."""
    best, fewest = list(tasks), len(tasks) + 1
    for _ in range(TRIES):
        order = rng.sample(tasks, len(tasks))
        close = sum(a[0] == b[0] for a, b in pairwise(order))
        if close < fewest:
            best, fewest = order, close
        if not close:
            break
    sheet = [shown for _, shown in best]
    early = sheet[: max(1, len(sheet) // 2)]
    late = max(1, len(sheet) - len(sheet) // 3)
    for shown in rng.sample(early, min(options.repeats, len(early))):
        sheet.insert(rng.randint(late, len(sheet)), shown[::-1])
    for number in range(options.checks):
        sheet.insert(rng.randint(1, len(sheet)), (-1 - number,))
    return sheet
