"""A number holds exactly as long as all it was made of: random edits of a run against fresh runs."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.config import EvaluateSettings, SuccessSettings
from mmbench.items import Item
from mmbench.metrics.registry import forget
from mmbench.runs.evaluate.evaluate import EvaluateResult, evaluate
from mmbench.runs.evaluate.store import read_rows

PACKAGE = '''
import zlib
from typing import Any

import numpy as np

from mmbench.metrics.base import (
    ClipMetric, DerivedMetric, FrameNeed, Maker, MetricFacts, RunNeed, SetMetric, StoredFeatures
)
from mmbench.scores import Score
from mmbench.video.need import content_of

DONE: list[tuple[str, str]] = []
MADE: list[str] = []


def facts(name, scope="clip"):
    return MetricFacts(name, name, True, "", (None, None), "toy", "toy", scope=scope)


class Pass:
    name = "shade"

    def start(self, clip: Any) -> None:
        self.seen = []

    def feed(self, index: int, frame: Any) -> None:
        self.seen.append(float(frame.mean()))

    def finish(self) -> Any:
        return np.array(self.seen)


class Shades(FrameNeed):
    name = "shades"
    reads = ()

    def depends_on(self, settings):
        return {}

    def make(self, settings, networks):
        MADE.append(self.name)
        return Maker(Pass)


class Pictures(RunNeed):
    """What the references weigh: an item's own, or those of everybody."""

    reads = ()

    def __init__(self, name, everybody):
        self.name = self.store = name
        self.everybody = everybody

    def depends_on(self, settings):
        return {}

    def make(self, settings, networks):
        MADE.append(self.name)

    def prepare(self, items, settings, networks, wanted, run, progress):
        pass

    def inputs(self, items):
        whole = sorted({(item.identity, *map(content_of, item.references)) for item in items})
        return lambda item: repr(whole) if self.everybody else repr([content_of(path) for path in item.references])

    def read(self, items, run):
        said = self.inputs(items)
        return lambda item: zlib.crc32(said(item).encode())


SHADES, OWN, ALL = Shades(), Pictures("own pictures", False), Pictures("all pictures", True)


class Toy(ClipMetric):
    reads = ()

    def measure(self, evidence):
        DONE.append((self.facts.name, evidence.item.id))
        return [Score.ok(self.facts.name, self.value(evidence))]


class Shade(Toy):
    facts, needs = facts("shade"), (SHADES,)

    def value(self, evidence):
        return evidence[SHADES].mean()


class Said(Toy):
    facts, reads = facts("said"), ("prompt",)

    def value(self, evidence):
        return len(evidence.item.prompt or "")


class Pace(Toy):
    facts, reads = facts("pace"), ("fps",)

    def value(self, evidence):
        return evidence.clip.fps


class Likeness(Toy):
    facts, needs = facts("likeness"), (SHADES, OWN)

    def value(self, evidence):
        return evidence[SHADES].mean() + evidence[OWN]


class Crowd(Toy):
    facts, needs = facts("crowd"), (ALL,)

    def value(self, evidence):
        return evidence[ALL]


class Limited(Toy):
    facts = facts("limited")

    def __init__(self, limit=0.0):
        super().__init__()
        self.limit = limit

    @classmethod
    def from_settings(cls, settings):
        return cls(settings.success.face_rate_min)

    def value(self, evidence):
        return self.limit


class Both(DerivedMetric):
    facts, requires, reads = facts("both"), ("said", "limited"), ()

    def derive(self, scores):
        return [Score.ok("both", scores["said"].value + scores["limited"].value)]


class Spread(SetMetric):
    facts, needs, reads = facts("spread", "set"), (SHADES,), ()

    def features(self, evidence):
        DONE.append(("spread", evidence.item.id))
        return StoredFeatures(evidence.item, {"shades": evidence[SHADES]})

    def measure_set(self, clips):
        MADE.append("a set")
        return [Score.ok("spread", np.concatenate([clip.arrays["shades"] for clip in clips]).std())]
'''
CLASSES = ("Shade", "Said", "Pace", "Likeness", "Crowd", "Limited", "Both", "Spread")
NAMES = tuple(name.lower() for name in CLASSES)
READS = {
    "shade": (),
    "said": ("prompt",),
    "pace": ("fps",),
    "likeness": ("own",),
    "crowd": ("all",),
    "limited": ("limit",),
    "spread": (),
}


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The module of an installed-looking package of metrics that say what they read, and count."""
    folder = tmp_path_factory.mktemp("edits")
    info = folder / "edits-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: edits\nVersion: 1.0\n")
    points = [f"{name.lower()} = edits_toys:{name}" for name in CLASSES]
    (info / "entry_points.txt").write_text("\n".join(["[mmbench.metrics]", *points, ""]))
    (folder / "edits_toys.py").write_text(PACKAGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        forget()
        yield import_module("edits_toys")
    forget()
    sys.modules.pop("edits_toys", None)


class World:
    """What a user edits, and what should follow."""

    def __init__(self, folder: Path, clips: list[Item], rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.clips = {item.id: item for item in clips}
        self.prompts = dict.fromkeys(self.clips, "a")
        self.rates: dict[str, float | None] = dict.fromkeys(self.clips)
        self.pictures = {item.identity: item.identity for item in clips}
        self.named = [item.id for item in clips[:3]]
        self.limit = 0.5
        self.metrics = ["shade", "likeness"]
        self.ever: set[object] = set()

    def edit(self) -> None:
        """One change of one kind."""
        kind = self.rng.choice(("prompt", "fps", "picture", "add", "remove", "metric", "limit", "nothing"))
        which = self.rng.choice(self.named)
        if kind == "prompt":
            self.prompts[which] = self.rng.choice(["a", "bb", "ccc"])
        elif kind == "fps":
            self.rates[which] = self.rng.choice((None, 8.0, 12.0))
        elif kind == "picture":
            self.pictures[self.clips[which].identity] = self.rng.choice("xyz")
        elif kind == "add":
            self.named = self.named + [name for name in self.clips if name not in self.named][:1]
        elif kind == "remove" and len(self.named) > 1:
            self.named = [name for name in self.named if name != which]
        elif kind == "metric":
            self.metrics = sorted({*self.metrics, self.rng.choice(NAMES)})
        elif kind == "limit":
            self.limit = self.rng.choice((0.25, 0.5))
        self.rng.shuffle(self.named)

    def items(self) -> list[Item]:
        """The items as they are now."""
        found = []
        for name in self.named:
            item = self.clips[name]
            picture = self.folder / f"{item.identity}.png"
            picture.write_text(self.pictures[item.identity])
            found.append(replace(item, references=(picture,), prompt=self.prompts[name], fps=self.rates[name]))
        return found

    def evaluate(self, run: str) -> EvaluateResult:
        """The command as it would be given now."""
        options = EvaluateSettings(metrics=tuple(self.metrics), success=SuccessSettings(face_rate_min=self.limit))
        return evaluate(self.items(), self.folder / run, options)

    def expected(self) -> set[tuple[str, str]]:
        """The numbers whose inputs never stood together before."""
        metrics = {name for name in self.metrics if name != "both"}
        metrics |= {"said", "limited"} if "both" in self.metrics else set()
        everybody = tuple(sorted({(i, self.pictures[i]) for i in (self.clips[name].identity for name in self.named)}))
        new = set()
        for item in self.items():
            now = {
                "prompt": item.prompt,
                "fps": item.fps,
                "own": self.pictures[item.identity],
                "all": everybody,
                "limit": self.limit,
            }
            for metric in metrics:
                made_of = (metric, item.id, *(now[what] for what in READS[metric]))
                if made_of not in self.ever:
                    self.ever.add(made_of)
                    new.add((metric, item.id))
        return new


def plain(rows: Any) -> list[Any]:
    """Rows without their seconds, in the order of their names."""
    found = [replace(row, seconds=0.0, scores=tuple(replace(s, seconds=0.0) for s in row.scores)) for row in rows]
    return sorted(found, key=lambda row: row.item.id)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_after_any_edits_a_run_is_a_fresh_run_and_only_what_changed_was_measured(
    seed: int, tmp_path_factory: pytest.TempPathFactory, clips: list[Item], toys: Any
) -> None:
    world = World(tmp_path_factory.mktemp("world"), clips[:6], random.Random(seed))
    for step in range(7):
        toys.DONE.clear()
        result = world.evaluate("run")
        done = list(toys.DONE)
        assert len(set(done)) == len(done)
        assert set(done) == world.expected()
        fresh = world.evaluate(f"fresh-{step}")
        assert result.complete
        assert plain(result.rows) == plain(fresh.rows)
        assert sorted(result.sets, key=str) == sorted(fresh.sets, key=str)
        kept, sets = read_rows(result.run)
        assert plain(kept) == plain(fresh.rows)  # what a report reads
        assert sorted((row.model, row.scores) for row in sets if row.scores) == sorted(
            (row.model, row.scores) for row in fresh.sets
        )
        world.edit()


def test_an_unchanged_run_makes_nothing_and_writes_nothing(tmp_path: Path, clips: list[Item], toys: Any) -> None:
    world = World(tmp_path, clips[:6], random.Random(0))
    world.metrics = list(NAMES)
    world.evaluate("run")
    before = sorted(path.name for path in (tmp_path / "run" / "rows").iterdir())
    toys.DONE.clear(), toys.MADE.clear()
    assert world.evaluate("run").measured_now == 0
    assert not toys.DONE and not toys.MADE
    assert sorted(path.name for path in (tmp_path / "run" / "rows").iterdir()) == before
