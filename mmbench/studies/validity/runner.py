"""Runs the experiments: people side by side in processes, then the findings, figures and page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmbench.engine.pool import run_tasks
from mmbench.errors import RequestError
from mmbench.files import Progress, cache_folder, silent
from mmbench.studies.validity.catalogue import EXPERIMENTS
from mmbench.studies.validity.finding import Finding, Observation
from mmbench.studies.validity.lab import Lab
from mmbench.studies.validity.levels import FULL, QUICK, Levels
from mmbench.studies.validity.record import pack, read_record, unpack, write_record


@dataclass(frozen=True)
class Validity:
    """The findings of a run, and the files that were written."""

    findings: tuple[Finding, ...]
    page: Path
    data: Path
    figures: tuple[Path, ...]


def work_folder() -> Path:
    """Where takes and faces are kept between runs."""
    return cache_folder("validity")


def run_validity(
    out: Path,
    *,
    only: Sequence[str] = (),
    quick: bool = False,
    workers: int = 1,
    work: Path | None = None,
    progress: Progress | None = None,
) -> Validity:
    """Run experiments and write `validity.md`, `validity.json` and an SVG for each into `out`.

    `only` names experiments (all when empty); the page then shows these alone. `quick` takes two people and few
    levels. `work` keeps rendered takes and found faces (default `work_folder()`); an interrupted run goes on from
    there. Needs the face kit and dlib's models.

    Raises RequestError for an unknown experiment, and what loading the kit or the weights raises.
    """
    names = list(only) or list(EXPERIMENTS)
    if unknown := [name for name in names if name not in EXPERIMENTS]:
        raise RequestError(f"There is no experiment {unknown[0]!r}.", f"Known: {', '.join(EXPERIMENTS)}.")
    levels = QUICK if quick else FULL
    work = work or work_folder()
    rows = observe(names, levels, work, workers, progress or silent)
    return publish(out, rows, levels, work)


def publish(out: Path, rows: Mapping[str, Sequence[Observation]], levels: Levels, work: Path) -> Validity:
    """Write record, figures and page of measurements. Findings are made of the rounded measurements that are kept."""
    lab = Lab(work)
    packed = {name: pack(each) for name, each in rows.items()}
    findings = [EXPERIMENTS[name].conclude(unpack(each), levels) for name, each in packed.items()]
    backends = {"faces": lab.faces.provenance, "flow": lab.flows.provenance}
    write_record(out / "validity.json", findings, packed, levels, lab.renderer, backends)
    return redraw(out)


def redraw(out: Path) -> Validity:
    """The findings, figures and page of the `validity.json` in `out`, without measuring anything.

    Raises RequestError where there is none or its experiments are not known.
    """
    from mmbench.studies.validity.page import write_page

    data = out / "validity.json"
    levels, packed = read_record(data)
    if unknown := [name for name in packed if name not in EXPERIMENTS]:
        raise RequestError(f"{data} holds an unknown experiment {unknown[0]!r}.", "Run `mmbench validity` again.")
    findings = tuple(EXPERIMENTS[name].conclude(unpack(each), levels) for name, each in packed.items())
    page, figures = write_page(out, findings, levels)
    return Validity(findings, page, data, figures)


def observe(
    names: Sequence[str], levels: Levels, work: Path, workers: int, progress: Progress
) -> dict[str, list[Observation]]:
    """Rows of each experiment, people in the order of `levels` whatever the number of `workers`."""
    from mmbench.synth.kit import load_kit

    load_kit()  # a missing kit is one error here, not one in every process
    Lab(work).references(levels.people[0])  # found once, read by all
    # One person's experiments share rendered takes, so a worker does them all; alone, progress is told for each.
    groups = [tuple(names)] if workers > 1 else [(name,) for name in names]
    tasks = [(person, group) for person in levels.people for group in groups]
    found: dict[tuple[str, str], list[Observation]] = {}
    total = len(names) * len(levels.people)
    progress(0, total, "validity")

    def on_result(task: tuple[str, Sequence[str]], rows: Mapping[str, list[Observation]]) -> None:
        found.update({(name, task[0]): each for name, each in rows.items()})
        progress(len(found), total, "validity")

    run_tasks(tasks, partial(_observing, levels, work), workers=workers, on_result=on_result, name=lambda task: task[0])
    return {name: [row for person in levels.people for row in found[name, person]] for name in names}


@contextmanager
def _observing(
    levels: Levels, work: Path, worker: int
) -> Iterator[Callable[[tuple[str, Sequence[str]]], dict[str, list[Observation]]]]:
    """What a worker does: some experiments on one person, networks loaded once."""
    lab = Lab(work)

    def observe_person(task: tuple[str, Sequence[str]]) -> dict[str, list[Observation]]:
        person, names = task
        return {name: list(EXPERIMENTS[name].observe(lab, person, levels)) for name in names}

    yield observe_person
