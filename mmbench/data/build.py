"""Build a source's records: its stages one after the other, each going on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmbench.data.adapters import make_tools
from mmbench.data.ledger import Counts, Ledger, Stage, run_stages
from mmbench.data.settings import DataSettings
from mmbench.data.sources import clips, laion, own, pairs, rendered, sfhq
from mmbench.data.stages import Tools, Work
from mmbench.data.types import Candidate
from mmbench.engine.alone import alone
from mmbench.errors import ManifestError
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


def build(settings: DataSettings, out: Path, tools: Tools | None = None, progress: Progress = silent) -> list[Counts]:
    """Build the records of one source below `out`, or go on with them, and return every stage's counts.

    `out/SOURCE/` holds a ledger (`STAGE.jsonl`) of each stage, pictures that were fetched or made, and the shards;
    `out/texts` is shared by all sources. Nothing is deleted. Raises ManifestError for other settings than an earlier
    build's, BusyFolder while another build of the source is at work there, and what a network lacks.
    """
    work = Work(settings, out, tools or make_tools(settings.tools))
    steps = SOURCES[settings.source][0](work)
    with alone(work.folder, "a build of training data"):
        write_text(work.folder / "settings.yaml", settings.to_yaml())
        write_text(work.folder / "stages.txt", "".join(f"{step.name}\n" for step in steps))
        run_stages(steps, Candidate("start", ""), work.folder, progress)
    return counts(out)[settings.source]


def counts(out: Path) -> dict[str, list[Counts]]:
    """Counts of every stage that has begun, by source. Raises ManifestError where nothing was built."""
    found: dict[str, list[Counts]] = {}
    for source in SOURCES:
        listing = out / source / "stages.txt"
        if not listing.is_file():
            continue
        steps = listing.read_text(encoding="utf-8").split()
        told = [Ledger(out / source / f"{name}.jsonl").counts() for name in steps]
        found[source] = [each for each in told if each is not None]
    if not found:
        raise ManifestError(f"{out}: no training data was built there.", "Run `mmbench data build SETTINGS --out` it.")
    return found


def describe(found: dict[str, list[Counts]]) -> list[str]:
    """Lines to print: what each stage was given and kept, and what each filter dropped; the paper's counts beside."""
    lines = []
    for source, steps in found.items():
        paper = SOURCES[source][1]
        lines.append(f"{source}" + (f" (the paper: {paper})" if paper else ""))
        for step in steps:
            lost = ", ".join(f"{name} {count}" for name, count in step.dropped.items() if count or name != "unreadable")
            more = "" if step.complete else ", not finished"
            lines.append(f"  {step.stage}: {step.kept} of {step.given} kept{more}" + (f"; {lost}" if lost else ""))
    return lines
