"""What lower precision changes: bundled clips measured in fp32 and in another arithmetic, number by number.

    python tests/benchmarks/precision.py --device cuda --arms tf32 bf16 raft-bf16 --out reports/profile/precision.md

"tf32" and "bf16" are `precision`, of ViCLIP, CLIP and Inception; "raft-bf16" and "raft-fp16" are `flow.precision`. For
every score: how far it moves, how many yes/no verdicts turn, and how many pairs of models change their order of means.
`--random-weights` takes tiny untrained networks, which tries the arithmetic out and says nothing of trained ones; the
page says so.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mmbench
from mmbench.config import EvaluateSettings
from mmbench.items import Item
from mmbench.runs.evaluate.evaluate import evaluate

METRICS = ("dynamic_degree", "text_alignment", "inception_score", "motion_smoothness")
Values = dict[str, dict[tuple[str, str], float]]
"""By score, then by model and item (of a set: no item)."""


@dataclass(frozen=True)
class Changed:
    """One score under another arithmetic: counts are of `of` pairs of numbers, `pairs` of models."""

    score: str
    of: int
    median: float
    largest: float
    verdict: bool
    yes: int
    turned: int
    pairs: int
    swapped: int


def settings_of(arm: str, device: str, random: bool) -> EvaluateSettings:
    """fp32 but for what the arm names."""
    said: dict[str, Any] = {"metrics": METRICS, "device": device, "random_weights": random}
    if arm.startswith("raft-"):
        said["flow"] = {"precision": arm.removeprefix("raft-")}
    else:
        said["precision"] = arm
    return EvaluateSettings(**said)


def measured(items: list[Item], run: Path, settings: EvaluateSettings) -> Values:
    """Every number of a run, and why the missing ones are."""
    found: Values = defaultdict(dict)
    result = evaluate(items, run, settings)
    for row in result.rows:
        for score in row.scores:
            if score.value is not None:
                found[score.metric][row.item.model, row.item.id] = float(score.value)
    for of_set in result.sets:
        for score in of_set.scores:
            if score.value is not None:
                found[score.metric][of_set.model, ""] = float(score.value)
    return found


def compared(exact: Values, other: Values) -> list[Changed]:
    """What has changed, by score. Raises ValueError where another arithmetic has measured other clips."""
    told = []
    for score, before in sorted(exact.items()):
        now = other.get(score, {})
        if before.keys() != now.keys():
            raise ValueError(f"{score}: measured {len(now)} times, in fp32 {len(before)} times")
        a, b = (np.array([values[key] for key in before]) for values in (before, now))
        moved = np.abs(b - a)
        verdict = set(a) | set(b) <= {0.0, 1.0}
        models = sorted({model for model, _ in before})
        means = [
            {m: float(np.mean([v for (model, _), v in values.items() if model == m])) for m in models}
            for values in (before, now)
        ]
        pairs = list(itertools.combinations(models, 2))
        swapped = sum((means[0][x] - means[0][y]) * (means[1][x] - means[1][y]) < 0 for x, y in pairs)
        turned = int((moved > 0.5).sum()) if verdict else 0
        told.append(
            Changed(
                score,
                of=len(a),
                median=float(np.median(moved)),
                largest=float(moved.max()),
                verdict=verdict,
                yes=int(a.sum()) if verdict else 0,
                turned=turned,
                pairs=len(pairs),
                swapped=swapped,
            )
        )
    return told


def page(found: dict[str, list[Changed]], clips: int, device: str, random: bool) -> str:
    """Markdown."""
    which = (
        "tiny networks with random weights: the arithmetic, not the trained networks" if random else "trained weights"
    )
    lines = [
        "# What lower precision changes",
        "",
        f"`tests/benchmarks/precision.py` on {clips} clips of synthetic50's controls, {device}, torch",
        f"{torch.__version__}; {which}. Beside fp32 on the same device.",
        "",
        "| arithmetic | score | numbers | median change | largest change | verdicts turned | pairs of models swapped |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm, changes in found.items():
        for one in changes:
            turned = f"{one.turned} of {one.of} ({one.yes} yes in fp32)" if one.verdict else "-"
            lines.append(
                f"| {arm} | {one.score} | {one.of} | {one.median:.2g} | {one.largest:.2g} | {turned} "
                f"| {one.swapped} of {one.pairs} |"
            )
    there = {one.score for changes in found.values() for one in changes}
    if without := sorted(set(METRICS) - there):
        lines += ["", f"Without a number on these clips, in fp32 too: {', '.join(without)}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the page, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--arms", nargs="+", default=["bf16", "raft-bf16"])
    parser.add_argument("--people", type=int, default=5, help="so many clips of every model")
    parser.add_argument("--random-weights", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    everything = mmbench.read_manifest(mmbench.load_testset("synthetic50").folder / "manifest.csv")
    by_model: dict[str, list[Item]] = defaultdict(list)
    for item in everything:
        by_model[item.model].append(item)
    items = [item for model in by_model.values() for item in model[: given.people]]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MMBENCH_CACHE"] = os.environ.get("MMBENCH_CACHE", folder)
        runs = {
            arm: measured(items, Path(folder) / arm, settings_of(arm, given.device, given.random_weights))
            for arm in ("fp32", *given.arms)
        }
    exact = runs.pop("fp32")
    found = {arm: compared(exact, values) for arm, values in runs.items()}
    device = torch.cuda.get_device_name(given.device) if given.device.startswith("cuda") else "processor"
    text = page(found, len(items), device, given.random_weights)
    print(text)
    if given.out is not None:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
