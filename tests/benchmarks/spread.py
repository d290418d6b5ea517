"""What spreading costs: two workers against one, Ray against local workers, one shard of four against the whole.

Every column of bundled clips with random weights (DIS for flow), one thread a process, ways of spreading in turn, again
and again. Seconds a clip are of the steady state: from a worker's second clip on, so that imports and networks, which a
long run pays once, are told apart. The processor's seconds a clip say what sharing the machine with others does not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

for limit in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[limit] = "1"

import mmbench
from mmbench.config import EvaluateSettings, FlowSettings, GenerateSettings
from mmbench.engine.ray import RayCluster
from mmbench.engine.spread import Spread
from mmbench.items import Item
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.generate.make import generate

TICKS = os.sysconf("SC_CLK_TCK")
SETTINGS = EvaluateSettings(random_weights=True, flow=FlowSettings(backend="dis"))
WAYS: dict[str, tuple[int, Spread]] = {
    "one worker": (1, Spread()),
    "two workers": (2, Spread()),
    "two actors of Ray": (2, Spread(cluster=RayCluster(workers=2))),
}


def main() -> None:
    """Print the ratios, and write them with all that was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--videos", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    given = parser.parse_args()
    items = mmbench.read_manifest(mmbench.load_testset("synthetic50").folder / "manifest.csv")[: given.clips]
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        generated(Path(folder), "1/1", 1)  # imports, before anything is timed
    for _ in range(given.repeats):
        for way in WAYS:
            with tempfile.TemporaryDirectory() as folder:
                os.environ["MMBENCH_CACHE"] = folder  # nobody finds faces or flows that another way has kept
                found.setdefault(way, []).append(evaluated(items, Path(folder) / "run", way))
            print(f"{way}: {found[way][-1]}", flush=True)
        for part in ("1/1", "1/4"):
            with tempfile.TemporaryDirectory() as folder:
                found.setdefault(f"videos {part}", []).append(generated(Path(folder), part, given.videos))
            print(f"videos {part}: {found[f'videos {part}'][-1]}", flush=True)
    ratios = told(found)
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.3f}")
    if given.out is not None:
        machine = {"cores": os.cpu_count(), "load": os.getloadavg(), "python": sys.version.split()[0]}
        given.out.write_text(json.dumps({"machine": machine, "ratios": ratios, "measured": found}, indent=1) + "\n")


def evaluated(items: list[Item], run: Path, way: str) -> dict[str, float]:
    """Seconds a clip once all networks are there, by the clock and of the processor, and of the whole call."""
    workers, spread = WAYS[way]
    seen: list[tuple[int, float, float]] = []

    def progress(done: int, total: int, what: str) -> None:
        if what == "clips" and done and (not seen or done > seen[-1][0]):
            seen.append((done, time.monotonic(), of_the_processor()))

    began = time.monotonic()
    result = evaluate(items, run, SETTINGS, workers=workers, spread=spread, progress=progress)
    assert result.complete and len(result.ids) == len(items)
    (first, start, used), (last, end, used_then) = seen[2 * workers - 1], seen[-1]
    return {
        "seconds a clip": (end - start) / (last - first),
        "of the processor": (used_then - used) / (last - first),
        "whole call": time.monotonic() - began,
        "load": os.getloadavg()[0],
    }


def generated(folder: Path, part: str, videos: int) -> dict[str, float]:
    """Seconds of the processor of a call that makes one part of the videos, and how many those were."""
    settings = GenerateSettings(models=("magic_mirror",), variant="smoke", limit=videos, shard=part, frames=9)
    began, used = time.monotonic(), of_the_processor()
    result = generate(settings, "synthetic50", folder)
    assert not result.failed, result.failed
    spent = of_the_processor() - used
    return {"videos": result.made, "seconds": time.monotonic() - began, "of the processor": spent}


def told(found: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Medians of the ratios within each round."""

    def ratio(a: str, b: str, what: str) -> float:
        return statistics.median(x[what] / y[what] for x, y in zip(found[a], found[b], strict=True))

    asked = [
        *(("one worker", "two workers", what) for what in ("seconds a clip", "of the processor")),
        *(("two actors of Ray", "two workers", what) for what in ("seconds a clip", "of the processor")),
        *(("videos 1/4", "videos 1/1", what) for what in ("videos", "of the processor")),
    ]
    return {f"{a} over {b}, {what}": ratio(a, b, what) for a, b, what in asked}


def of_the_processor() -> float:
    """Seconds of this process and of all below it that are alive: workers, actors, Ray's own."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(state[1])
        spent[int(folder.name)] = (int(state[11]) + int(state[12])) / TICKS

    def below(number: int) -> bool:
        while number > 1 and number != os.getpid():
            number = parents.get(number, 0)
        return number == os.getpid()

    return sum(seconds for number, seconds in spent.items() if below(number))


if __name__ == "__main__":
    main()
