"""A test set of two people, runs of it with noise for videos, and a board's rules for them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import mmbench
from mmbench.config import BoardSettings
from mmbench.items import Item
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.submit.pack import pack
from mmbench.testsets.types import TestSet
from mmbench.trigger import without_trigger
from mmbench.video.write import write_video

PEOPLE, PROMPTS = ("man-01", "woman-05"), 2
METRICS = ("dynamic_degree", "motion_smoothness", "fm_ref", "copy_gap", "inception_score_nano")


def make_testset(folder: Path) -> TestSet:
    """Two of the bundled set's people with two of their prompts."""
    bundled = mmbench.load_testset("synthetic50")
    document = json.loads((bundled.folder / "identities.json").read_text(encoding="utf-8"))
    document["name"] = "two"
    document["identities"] = [one for one in document["identities"] if one["id"] in PEOPLE]
    for one in document["identities"]:
        for name in one["references"]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(bundled.folder / name, folder / name)
    (folder / "identities.json").write_text(json.dumps(document), encoding="utf-8")
    head, *lines = (bundled.folder / "prompts.csv").read_text(encoding="utf-8-sig").splitlines()
    kept = [line for line in lines if line.split(",")[0] in PEOPLE and int(line.split(",")[1]) < PROMPTS]
    (folder / "prompts.csv").write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
    return mmbench.load_testset(folder)


def items_of(testset: TestSet, videos: Path, models: Sequence[str], seed: int = 0) -> list[Item]:
    """A video of noise for every model and prompt; another `seed`, other videos."""
    items = []
    rng = np.random.default_rng(seed)
    for model in models:
        for person in testset.identities:
            for prompt in person.prompts:
                path = videos / model / f"{person.id}_{prompt.index}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_video(path, rng.integers(0, 255, (4, 64, 64, 3), dtype=np.uint8), 8.0)
                items.append(
                    Item(
                        f"{model}/{path.stem}",
                        model,
                        person.id,
                        path,
                        references=person.references,
                        shown=person.shown,
                        group=person.group,
                        prompt=without_trigger(prompt.short),
                        prompt_long=without_trigger(prompt.long),
                        prompt_index=prompt.index,
                        seed=0,
                    )
                )
    return items


class Made:
    """The test set, the rules, and a run of two models of which submissions are packed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.testset = make_testset(folder / "testset")
        self.rules = BoardSettings.filled(
            testset=str(folder / "testset"),
            clips=2,
            evaluate={"metrics": METRICS, "flow": {"backend": "dis"}},
        )
        self.items = items_of(self.testset, folder / "videos", ("ours", "theirs"))
        self.items = [
            replace(item, condition=self.testset.identities[0].references[0]) if item.model == "theirs" else item
            for item in self.items
        ]
        self.run = evaluate(self.items, folder / "run", self.rules.evaluate).run

    def pack(self, out: Path, models: Sequence[str] = ()) -> Path:
        """A new submission of the run."""
        pack(self.run, out, self.rules.testset, models=models, clips=self.rules.clips)
        return out


def lines_of(submission: Path) -> list[dict[str, Any]]:
    """The rows of a submission as they are written."""
    return [json.loads(line) for line in (submission / "rows.jsonl").read_text(encoding="utf-8").splitlines()]


def rewrite(submission: Path, lines: Sequence[Any] | None = None, **card: Any) -> None:
    """Forge a submission: other rows, another card, and digests of files that fit."""
    from mmbench.files import sha256_file

    if lines is not None:
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        (submission / "rows.jsonl").write_text(text, encoding="utf-8")
    said = json.loads((submission / "submission.json").read_text(encoding="utf-8"))
    said["files"] = {
        path.relative_to(submission).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(submission.rglob("*"))
        if path.is_file() and path.name != "submission.json"
    }
    said.update(card)
    (submission / "submission.json").write_text(json.dumps(said), encoding="utf-8")
