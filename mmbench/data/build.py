"""Build a source's records: its stages one after the other, each going on where it was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mmbench.data.adapters import make_tools
from mmbench.data.ledger import Counts, Ledger, Stage, run_stages
from mmbench.data.settings import DataSettings
from mmbench.data.sources import clips, laion, own, pairs, rendered, sfhq
from mmbench.data.stages import Tools, Work, folder_name
from mmbench.data.types import Candidate
from mmbench.engine.alone import alone
from mmbench.engine.ray import RayCluster, run_on_ray
from mmbench.engine.shard import Shard
from mmbench.errors import BusyFolder, ManifestError, RequestError, WorkerDied
from mmbench.files import Progress, silent, write_text

SOURCES: dict[str, tuple[Callable[[Work], list[Stage]], str]] = {
    "A": (laion.stages, laion.PAPER),
    "B": (sfhq.stages, sfhq.PAPER),
    "C": (pairs.stages, pairs.PAPER),
    "D": (clips.stages, clips.PAPER),
    "own": (own.stages, own.PAPER),
    "rendered": (rendered.stages, rendered.PAPER),
}
"""The stages of each source, and the paper's counts for it (figures 5 and 8)."""

LEAVES_SECONDS = 120.0
"""For how long a part may still be held by an actor that is said to be dead."""


def build(
    settings: DataSettings,
    out: Path,
    tools: Tools | None = None,
    progress: Progress = silent,
    *,
    shard: Shard | None = None,
) -> list[Counts]:
    """Build the records of one source below `out`, or go on with them, and return every stage's counts.

    `out/SOURCE/` holds a ledger (`STAGE.jsonl`) of each stage, pictures that were fetched or made, and the shards;
    `out/texts` is shared by all sources. Nothing is deleted. Of a source that is built in parts, `shard` has the folder
    `out/SOURCE.2-of-4`; all parts together hold the records of the whole. Raises RequestError for a part of source C,
    whose people are compared with each other, ManifestError for other settings than an earlier build's, BusyFolder
    while another build of the same is at work there, and what a network lacks.
    """
    work = Work(settings, out, tools or make_tools(settings.tools), shard or Shard())
    steps = SOURCES[settings.source][0](work)
    if work.shard.count > 1 and (whole := [step.name for step in steps if not step.splits]):
        said = f"Source {settings.source} cannot be built in parts: its stage {whole[0]} compares all with each other"
        raise RequestError(f"{said}.", "Build it without --shard.")
    with alone(work.folder, "a build of training data"):
        write_text(work.folder / "settings.yaml", settings.to_yaml())
        write_text(work.folder / "stages.txt", "".join(f"{step.name}\n" for step in steps))
        run_stages(steps, Candidate("start", ""), work.folder, progress, work.shard)
    return counts(out)[work.folder.name]


def build_on_cluster(
    settings: DataSettings, out: Path, cluster: RayCluster, progress: Progress = silent
) -> dict[str, list[Counts]]:
    """Build a source over a Ray cluster in as many parts as it has workers, and return every part's counts.

    A part is what `build` makes with a `shard`: one actor's at a time, and gone on with by another where that dies.
    Run it again with as many workers to go on. All nodes see the same files. Raises as `build`, and WorkerDied where
    three actors die at one part.
    """
    parts = [Shard(number + 1, cluster.workers) for number in range(cluster.workers)]
    done: list[str] = []

    def on_result(part: str, nothing: None) -> None:
        done.append(part)
        progress(len(done), len(parts), "parts")

    def lost(part: str, died: WorkerDied) -> None:
        raise died

    progress(0, len(parts), "parts")
    run_on_ray([str(part) for part in parts], partial(_served, settings, out), cluster, on_result=on_result, lost=lost)
    found = counts(out)
    return {name: found[name] for part in parts if (name := folder_name(settings.source, part)) in found}


@contextmanager
def _served(settings: DataSettings, out: Path, worker: int) -> Iterator[Callable[[str], None]]:
    """An actor's side: a function that builds the part of a name."""

    def do(name: str) -> None:
        part = Shard.parse(name)
        until = time.monotonic() + LEAVES_SECONDS
        while True:
            try:
                build(settings, out, shard=part)
                return
            except BusyFolder:  # by the actor whose node was lost a moment ago
                if time.monotonic() > until:
                    raise
                time.sleep(1.0)

    yield do


def counts(out: Path) -> dict[str, list[Counts]]:
    """Counts of every stage that has begun, by source or part of one. Raises ManifestError where nothing was built."""
    found: dict[str, list[Counts]] = {}
    for folder in (folder for source in SOURCES for folder in [out / source, *sorted(out.glob(f"{source}.*-of-*"))]):
        listing = folder / "stages.txt"
        if not listing.is_file():
            continue
        steps = listing.read_text(encoding="utf-8").split()
        told = [Ledger(folder / f"{name}.jsonl").counts() for name in steps]
        found[folder.name] = [each for each in told if each is not None]
    if not found:
        raise ManifestError(f"{out}: no training data was built there.", "Run `mmbench data build SETTINGS --out` it.")
    return found


def describe(found: dict[str, list[Counts]]) -> list[str]:
    """Lines to print: what each stage was given and kept, and what each filter dropped; the paper's counts beside."""
    lines = []
    for source, steps in found.items():
        paper = SOURCES[source.partition(".")[0]][1]
        lines.append(f"{source}" + (f" (the paper: {paper})" if paper else ""))
        for step in steps:
            lost = ", ".join(f"{name} {count}" for name, count in step.dropped.items() if count or name != "unreadable")
            more = "" if step.complete else ", not finished"
            lines.append(f"  {step.stage}: {step.kept} of {step.given} kept{more}" + (f"; {lost}" if lost else ""))
    return lines
