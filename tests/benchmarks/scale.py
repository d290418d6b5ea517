"""A run of 20,000 rows: status, resume, report; planning 100,000 items. Seconds and peak memory, each in a process.

Rows are those of two bundled clips, measured with random weights and every column, under other ids, prompts and bytes:
the videos are copies of a tiny one with a number behind its end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

for limit in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[limit] = "1"

from mmbench.config import EvaluateSettings, FlowSettings
from mmbench.files import sha256
from mmbench.items import Item
from mmbench.metrics.base import DerivedMetric, Metric
from mmbench.metrics.registry import producer
from mmbench.runs.evaluate.clip import make_metrics
from mmbench.runs.evaluate.inputs import Inputs, clip_key, derived_key, score_key
from mmbench.runs.evaluate.rows import ItemRow

MODELS, PEOPLE = 8, 200
SECONDS, MEGABYTES, PLAN_SECONDS = 30.0, 600.0, 10.0
GOALS = {"status": (SECONDS, MEGABYTES), "resume": (SECONDS, MEGABYTES), "report": (SECONDS, MEGABYTES)}
GOALS["plan"] = (PLAN_SECONDS, float("inf"))


def main() -> None:
    """Print the table; with a step's name, do that step and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder")
    parser.add_argument("--step", choices=[*GOALS, "fill", "floor"])
    given = parser.parse_args()
    if given.step:
        began = time.monotonic()
        STEPS[given.step](given.folder, given)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        took = {"seconds": time.monotonic() - began, "of the processor": time.process_time(), "megabytes": peak}
        print(json.dumps(took))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        measured(folder, given, "fill")
        size = sum(path.stat().st_size for path in (folder / "run" / "rows").iterdir()) / 2**20
        print(f"{given.rows} rows of all columns ({size:.0f} MiB), {given.items} items to plan")
        floor = measured(folder, given, "floor")
        print(told("imports", floor))
        for step, (seconds, megabytes) in GOALS.items():
            took = measured(folder, given, step)
            goal = f"goal: {seconds:.0f} s" + (f", {megabytes:.0f} MiB" if megabytes < 1e9 else "")
            print(f"{told(step, took)}   ({goal})")


def told(step: str, took: Mapping[str, float]) -> str:
    """A line of the table. Where others use the machine too, the processor's seconds say what the step itself takes."""
    of_it = f"({took['of the processor']:.1f} s of the processor)"
    return f"  {step:<10}{took['seconds']:8.1f} s {of_it:<28}{took['megabytes']:8.0f} MiB"


def measured(folder: Path, given: argparse.Namespace, step: str) -> dict[str, float]:
    """Seconds and peak memory of a step, in a process of its own."""
    command = [sys.executable, __file__, "--folder", str(folder), "--step", step]
    command += ["--rows", str(given.rows), "--items", str(given.items)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def fill(folder: Path, given: argparse.Namespace) -> None:
    """A run of `rows` rows, as an evaluation of as many clips leaves it but for the time on the disk's own."""
    import numpy as np

    import mmbench
    from mmbench.runs.evaluate.evaluate import evaluate
    from mmbench.runs.evaluate.features import features_path
    from mmbench.runs.evaluate.record import RunManifest, attempt_facts
    from mmbench.runs.evaluate.store import read_rows
    from mmbench.video.write import write_video

    bundled = mmbench.read_manifest(mmbench.load_testset("synthetic50").folder / "manifest.csv")
    few = [item for item in bundled if item.model == "truth"][:2]
    evaluate(few, folder / "few", settings())
    rows, _ = read_rows(folder / "few")
    items = many(folder, few, given.rows)
    write_video(folder / "tiny.mp4", np.zeros((4, 32, 32, 3), np.uint8), 8)
    tiny, chosen = (folder / "tiny.mp4").read_bytes(), settings()
    metrics = make_metrics(chosen)
    inputs = Inputs(chosen, metrics, items)
    features = next((folder / "few" / "features").glob("*/*.npz"))
    (folder / "run" / "rows").mkdir(parents=True, exist_ok=True)
    with (folder / "run" / "rows" / "0000-0.jsonl").open("w", encoding="utf-8") as stream:
        for number, item in enumerate(items):
            data = tiny + str(number).encode()
            item.video.parent.mkdir(parents=True, exist_ok=True)
            item.video.write_bytes(data)
            row = replace(rows[number % len(rows)], item=item)
            row = under_its_own_key(varied(row, number), sha256(data), inputs, metrics)
            stream.write(json.dumps(row.to_json(), separators=(",", ":")) + "\n")
            key = score_key(inputs.parts(item)["inception_score"], sha256(data))
            path = features_path(folder / "run", "inception_score", key)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(features, path)
    record = RunManifest(chosen, tuple(items), chosen.digest(), attempts=(attempt_facts(),), parts=(len(items),))
    record.save(folder / "run")
    assert evaluate(items, folder / "run", settings()).measured_now == 0  # the sets: after the last clip, once


def varied(row: ItemRow, number: int) -> ItemRow:
    """The row with other numbers of the same kind: equal ones would spare every interval its bootstrap."""
    rng = random.Random(number)
    scores = []
    for score in row.scores:
        if score.value in (0.0, 1.0):
            score = replace(score, value=float(rng.random() < 0.3 + 0.4 * score.value))
        elif score.value is not None:
            score = replace(score, value=score.value * rng.uniform(0.8, 1.0))
        scores.append(score)
    return replace(row, scores=tuple(scores))


def under_its_own_key(row: ItemRow, digest: str, inputs: Inputs, metrics: Mapping[str, Metric]) -> ItemRow:
    """The row with the keys that its numbers had, had they been measured on the file of this digest."""
    parts = inputs.parts(row.item)
    scores = [replace(s, inputs=score_key(parts[producer(s.metric)], digest)) for s in row.scores]
    made = {score.metric: score.inputs for score in scores}
    for number, score in enumerate(scores):
        metric = metrics[producer(score.metric)]
        if isinstance(metric, DerivedMetric):
            scores[number] = replace(score, inputs=derived_key(parts[producer(score.metric)], metric, made))
    assert row.clip is not None
    clip = replace(row.clip, sha256=digest, inputs=clip_key(row.item, digest, inputs.limits))
    return replace(row, scores=tuple(scores), clip=clip)


def many(folder: Path, few: list[Item], count: int) -> list[Item]:
    """The items again and again under other ids, names, prompts and files: models that all made the same scenes."""
    found = []
    for number in range(count):
        model = f"model-{number * MODELS // count}"
        video = folder / "videos" / f"{number // 1000:03d}" / f"{number:06d}.mp4"
        item = few[number % len(few)]
        who, said = f"person {number % PEOPLE:03d}", f"a man {number % (count // MODELS)}"
        found.append(replace(item, id=f"{model}/{number:06d}", model=model, identity=who, video=video, prompt=said))
    return found


def settings() -> EvaluateSettings:
    """Every column, no weights to download."""
    return EvaluateSettings(random_weights=True, flow=FlowSettings(backend="dis"))


def few_of(folder: Path) -> list[Item]:
    """The items of the two clips that were measured."""
    from mmbench.runs.evaluate.record import RunManifest

    return list(RunManifest.load(folder / "few").items)


def status(folder: Path, given: argparse.Namespace) -> None:
    """`mmbench status`."""
    from mmbench.runs.status import run_status

    found = run_status(folder / "run", 8).whole
    assert (found.done, found.missing) == (given.rows, 0), found


def resume(folder: Path, given: argparse.Namespace) -> None:
    """The same command again, with nothing left to do but the sets."""
    from mmbench.runs.evaluate.evaluate import evaluate

    found = evaluate(many(folder, few_of(folder), given.rows), folder / "run", settings())
    assert found.measured_now == 0 and len(found.ids) == given.rows, found.measured_now
    assert found.complete


def report(folder: Path, given: argparse.Namespace) -> None:
    """`mmbench report`."""
    from mmbench.reports.build import ReportOptions, build_report
    from mmbench.reports.table.tables import TableOptions

    build_report(folder / "run", folder / "report", ReportOptions(table=TableOptions(random_weights="rank")))


def plan(folder: Path, given: argparse.Namespace) -> None:
    """What a command of 100,000 items finds out before it measures the first."""
    from mmbench.runs.evaluate.index import RowIndex
    from mmbench.runs.evaluate.plan import make_plan
    from mmbench.runs.evaluate.record import RunManifest

    items, chosen, run = many(folder, few_of(folder), given.items), settings(), folder / "planned"
    metrics = make_metrics(chosen)
    RunManifest(chosen, tuple(items), chosen.digest(), parts=(len(items),)).save(run)
    inputs = Inputs(chosen, metrics, items)
    found = make_plan(run, items, frozenset(item.id for item in items), metrics, inputs, RowIndex.read(run), False)
    assert len(found.tasks) == given.items


def floor(folder: Path, given: argparse.Namespace) -> None:
    """What the imports alone take."""
    import mmbench.reports.build
    import mmbench.runs.evaluate.evaluate

    make_metrics(settings())
    assert mmbench


STEPS = {"fill": fill, "floor": floor, "status": status, "resume": resume, "report": report, "plan": plan}

if __name__ == "__main__":
    main()
