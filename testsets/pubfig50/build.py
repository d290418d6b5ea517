"""Build PubFig-50 in a folder: pictures, prompts, and an account of what was found and what is lacking."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmbench.engine.alone import alone
from mmbench.errors import ManifestError
from mmbench.files import Progress, sha256_file, silent, write_json
from mmbench.testsets.load import testsets_dir
from mmbench.testsets.pubfig50 import prompts
from mmbench.testsets.pubfig50.picture_list import Entry, candidates, read_list
from mmbench.testsets.pubfig50.references import (
    COLUMNS,
    PICTURE,
    Attempt,
    CropRule,
    HasFace,
    ReferenceLine,
    fetch_references,
    read_own,
    take_own,
)
from mmbench.weights.http import Limits, download


@dataclass(frozen=True)
class Slot:
    """One identity of `identities.yaml`: `person` is PubFig's name, "" is a place for the user's own pictures."""

    id: str
    group: str
    references: int
    person: str = ""
    images: tuple[int, ...] = ()


@dataclass(frozen=True)
class ListSource:
    """One of PubFig's lists: its address, and how many pictures the complete list has."""

    url: str
    entries: int

    @property
    def file(self) -> str:
        """Its file name."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class PubFigPlan:
    """`identities.yaml`."""

    name: str
    licence: str
    lists: tuple[ListSource, ...]
    rule: CropRule
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Coverage:
    """What a build found: pictures per identity of those wanted, why others were not used, and what lacks entirely."""

    found: dict[str, int]
    wanted: dict[str, int]
    attempts: tuple[Attempt, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def lacking(self) -> list[str]:
        """Identities without any picture: they are left out of the set."""
        return [name for name, count in self.found.items() if count == 0]

    @property
    def short(self) -> list[str]:
        """Identities with fewer pictures than wanted."""
        return [name for name, count in self.found.items() if 0 < count < self.wanted[name]]


def read_plan() -> PubFigPlan:
    """The identities and rules of PubFig-50."""
    import yaml

    document: dict[str, Any] = yaml.safe_load((prompts.DATA / "identities.yaml").read_text(encoding="utf-8"))
    slots = (Slot(**{**row, "images": tuple(row.get("images", ()))}) for row in document["identities"])
    rule = CropRule(**document["rule"])
    lists = tuple(ListSource(**row) for row in document["lists"])
    return PubFigPlan(document["name"], document["licence"], lists, rule, tuple(slots))


def build_pubfig50(
    out: Path | None = None,
    lists: Sequence[Path] = (),
    own: Path | None = None,
    prompt_files: Path | None = None,
    *,
    workers: int = 8,
    limits: Limits = PICTURE,
    has_face: HasFace | None = None,
    progress: Progress | None = None,
) -> Coverage:
    """Write the test set to `out` (default: the cache, where `load_testset("pubfig50")` finds it).

    `lists` are PubFig's dev_urls.txt and eval_urls.txt; without them no PubFig person is found. `own` is the
    manifest of the user's own pictures (any identity may have some; they replace PubFig's). `prompt_files` is
    a folder with VBench's four files; without it they are downloaded. Identities without a picture are left
    out and reported. Running it again fetches only what is missing. Raises ManifestError when no identity is
    left, BusyFolder while another build is at work there.
    """
    folder = out or testsets_dir() / read_plan().name
    with alone(folder, "a build of PubFig-50"):
        return _build(folder, lists, own, prompt_files, workers, limits, has_face, progress or silent)


def _build(
    folder: Path,
    lists: Sequence[Path],
    own: Path | None,
    prompt_files: Path | None,
    workers: int,
    limits: Limits,
    has_face: HasFace | None,
    progress: Progress,
) -> Coverage:
    plan = read_plan()
    entries, notes = _read_lists(lists, plan.lists)
    pictures = read_own(own) if own else {}
    if unknown := sorted(pictures.keys() - {slot.id for slot in plan.slots}):
        raise ManifestError(
            f"{own}: unknown identities {unknown[:5]}.", "Names are in testsets/pubfig50/identities.yaml."
        )

    dead_hosts: set[str] = set()

    def fill(slot: Slot) -> tuple[list[ReferenceLine], list[Attempt]]:
        if slot.id in pictures:
            return take_own(slot.id, pictures[slot.id], slot.references, plan.rule, folder, has_face)
        chosen = candidates(entries, slot.person, plan.rule.min_face, plan.rule.max_tries) if slot.person else []
        return fetch_references(slot.id, chosen, slot.references, plan.rule, folder, limits, has_face, dead_hosts)

    references: list[ReferenceLine] = []
    attempts: list[Attempt] = []
    found: dict[str, int] = {}
    with ThreadPoolExecutor(workers) as pool:
        for number, (slot, filled) in enumerate(zip(plan.slots, pool.map(fill, plan.slots), strict=True), start=1):
            references += filled[0]
            attempts += filled[1]
            found[slot.id] = len(filled[0])
            progress(number, len(plan.slots), "identities")
    coverage = Coverage(found, {slot.id: slot.references for slot in plan.slots}, tuple(attempts), tuple(notes))
    _write_report(folder, coverage, references, lists)
    slots = [slot for slot in plan.slots if found[slot.id]]
    if not slots:
        raise ManifestError(
            "No identity has a picture.",
            f"Give PubFig's lists or own pictures; reasons are in {folder / 'coverage.json'}.",
        )
    _write_prompts(folder, slots, prompts.fetch_sources(folder / "vbench", progress, prompt_files))
    _write_identities(folder, plan, slots, references)
    return coverage


def fetch_lists(folder: Path, progress: Progress | None = None) -> list[Path]:
    """Download PubFig's two lists unless they are in `folder`; returns their paths.

    No digest of them is published; the one found is written to `coverage.json`. Raises DownloadError.
    """
    paths = []
    for source in read_plan().lists:
        target = folder / source.file
        if not target.is_file():
            download(source.url, target, Limits(max_bytes=50_000_000), progress, target.name)
        paths.append(target)
    return paths


def _read_lists(lists: Sequence[Path], known: Sequence[ListSource]) -> tuple[list[Entry], list[str]]:
    complete = {source.file: source.entries for source in known}
    entries, notes = [], []
    for path in lists:
        more, odd = read_list(path)
        entries += more
        notes += odd
        if len(more) < complete.get(path.name, 0):
            notes.append(f"{path.name}: {len(more)} of {complete[path.name]} lines: an incomplete copy")
    return entries, notes


def _write_report(folder: Path, coverage: Coverage, references: Sequence[ReferenceLine], lists: Sequence[Path]) -> None:
    write_json(
        folder / "coverage.json",
        {
            "lists": {path.name: sha256_file(path) for path in lists},
            "found": coverage.found,
            "wanted": coverage.wanted,
            "lacking": coverage.lacking,
            "failures": [asdict(attempt) for attempt in coverage.attempts if attempt.failure],
            "notes": list(coverage.notes),
        },
    )
    _write_csv(folder / "references.csv", COLUMNS, [asdict(reference) for reference in references])


def _write_identities(
    folder: Path, plan: PubFigPlan, slots: Sequence[Slot], references: Sequence[ReferenceLine]
) -> None:
    rows = [
        {
            "id": slot.id,
            "group": slot.group,
            "class_word": slot.group.split()[-1],
            "person": slot.person,
            "references": [reference.file for reference in references if reference.identity == slot.id],
        }
        for slot in slots
    ]
    write_json(folder / "identities.json", {"name": plan.name, "licence": plan.licence, "shown": 1, "identities": rows})


def _write_prompts(folder: Path, slots: Sequence[Slot], sources: Path) -> None:
    people = [(slot.id, slot.group) for slot in read_plan().slots]
    # prompts are dealt to the whole plan, so that an identity keeps its own whoever else is lacking
    older = prompts.assign([pair for pair in people if pair[1] != "baby"], prompts.read_templates(sources))
    babies = prompts.assign([pair for pair in people if pair[1] == "baby"], prompts.baby_templates())
    rows = []
    for slot in slots:
        for index, template in enumerate((older | babies)[slot.id]):
            short, long = template.fill(slot.group)
            row = {"identity": slot.id, "prompt_index": index, "prompt_id": template.id}
            rows.append({**row, "prompt": short, "prompt_long": long})
    _write_csv(folder / "prompts.csv", ("identity", "prompt_index", "prompt_id", "prompt", "prompt_long"), rows)


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def describe(coverage: Coverage) -> list[str]:
    """Lines for people: how many identities and pictures, what lacks, and the commonest reasons."""
    full = sum(coverage.found[name] >= coverage.wanted[name] for name in coverage.found)
    lines = [
        f"{full} of {len(coverage.found)} identities have all their pictures, {len(coverage.short)} have fewer, "
        f"{len(coverage.lacking)} have none and are left out.",
        f"{sum(coverage.found.values())} of {sum(coverage.wanted.values())} pictures.",
    ]
    lines += [f"  fewer: {name} {coverage.found[name]}/{coverage.wanted[name]}" for name in coverage.short]
    lines += [f"  none: {name}" for name in coverage.lacking]
    reasons = Counter(attempt.failure.split(": ", 1)[-1] for attempt in coverage.attempts if attempt.failure)
    lines += [f"  {count} not used: {reason}" for reason, count in reasons.most_common(10)]
    return lines + [f"  note: {note}" for note in coverage.notes[-5:]]
