"""A run into a submission: its rows without this machine's paths, what made them, and the clips that are asked for."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from mmbench.config import EvaluateSettings, faults
from mmbench.errors import ManifestError
from mmbench.files import Progress, content_of, sha256_file, silent, write_text
from mmbench.items import Item
from mmbench.metrics.registry import in_order, producer
from mmbench.names import few
from mmbench.remote.path import RemotePath
from mmbench.runs.evaluate.clip import file_digest
from mmbench.runs.evaluate.record import read_record
from mmbench.runs.evaluate.rows import ItemRow, SetRow
from mmbench.runs.evaluate.store import read_rows
from mmbench.runs.plain_paths import PathShortener
from mmbench.runs.submit.format import CARD, CLIPS, NAME, ROWS, Card, PackedFile, chosen, digest_of_testset
from mmbench.testsets.load import load_testset
from mmbench.testsets.types import TestSet
from mmbench.version import __version__


def pack(
    run: Path,
    out: Path,
    testset: str,
    *,
    models: Sequence[str] = (),
    about: str = "",
    link: str = "",
    clips: int = 4,
    progress: Progress = silent,
) -> Card:
    """Write the submission of a finished run of `mmbench evaluate` to the new folder `out`, whose name is its name.

    `models` are those of the run to submit; () for all. Of each, `clips` videos are copied (`format.chosen`). Nothing
    is measured. What the rows are worth `mmbench.runs.submit.check` says.

    Raises ManifestError where `run` has no rows or no record, `out` is there already, a model is not in the run, a
    video to be copied is gone or another one than was measured, or a text is none for a card.
    """
    if not re.fullmatch(NAME, out.name):
        remedy = "Use up to 40 of a-z, 0-9 and dashes, the first a letter or a digit."
        raise ManifestError(f"{out}: {out.name!r} is no name for a submission.", remedy)
    if out.exists():
        raise ManifestError(f"{out}: is there already.", "Name a new folder, or delete this one.")
    rows, sets = read_rows(run)
    record = read_record(run)
    if not rows or not record:
        raise ManifestError(f"{run}: has no {'record' if rows else 'rows'} to submit.", "Let `mmbench evaluate` end.")
    known = dict.fromkeys(row.item.model for row in rows)
    if unknown := [model for model in models if model not in known]:
        raise ManifestError(f"{run}: no rows of {few(unknown)}.", f"Models there: {few(known, 20)}.")
    wanted = tuple(models) or tuple(known)
    settings = _settings(record, rows, sets)
    here = PathShortener(rows, run)
    packed = _packed_rows([row for row in rows if row.item.model in wanted], here)
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _copy_clips(packed, wanted, part, clips, progress)
        lines = [row.to_json() for _, row in packed]
        lines += [row.to_json() for row in here.set_rows(sets) if row.model in wanted]
        write_text(part / ROWS, "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines))
        given = {"about": about, "link": link, "models": wanted}
        card = _card(part, out.name, load_testset(testset), record, {**given, "settings": settings})
        write_text(part / CARD, card.model_dump_json(indent=1) + "\n")
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return card


def _card(part: Path, name: str, testset: TestSet, record: dict[str, Any], given: dict[str, Any]) -> Card:
    """The card of what lies in `part`. Raises ManifestError for a text that no card takes."""
    files = sorted(path for path in part.rglob("*") if path.is_file())
    facts = [PackedFile(sha256=sha256_file(path), bytes=path.stat().st_size) for path in files]
    said = {
        "name": name,
        **given,
        "testset": testset.name,
        "testset_sha256": digest_of_testset(testset),
        "mmbench_version": __version__,
        "weights": record.get("weights", {}),
        "versions": record["attempts"][-1].get("versions", {}) if record["attempts"] else {},
        "files": {path.relative_to(part).as_posix(): one for path, one in zip(files, facts, strict=True)},
    }
    try:
        return Card.model_validate(said)
    except ValidationError as cause:
        raise ManifestError(f"{name}: {faults(cause)}.", "Give a shorter, printable text, or an https link.") from cause


def _settings(record: dict[str, Any], rows: Sequence[ItemRow], sets: Sequence[SetRow]) -> EvaluateSettings:
    """The run's settings, with the metrics that its rows have where it asked for all."""
    settings = EvaluateSettings.model_validate(record["settings"])
    if settings.flow.weights is not None:
        raise ManifestError("The run was measured with a flow network of your own.", "Evaluate with the published one.")
    if settings.metrics:
        return settings
    found = {score.metric for owners in (rows, sets) for row in owners for score in row.scores}
    return settings.model_copy(update={"metrics": tuple(in_order({producer(name) for name in found}))})


def _packed_rows(rows: Sequence[ItemRow], here: PathShortener) -> list[tuple[Item, ItemRow]]:
    """The items as they are here, and their rows as they are sent."""
    packed = []
    taken: Counter[str] = Counter()
    for number, (row, short) in enumerate(zip(rows, here.rows(rows), strict=True)):
        item = row.item
        name = f"{item.model}/{item.identity}-{item.prompt_index}-{item.seed}"
        taken[name] += 1
        sent = replace(
            item,
            id=name if taken[name] == 1 else f"{name}-{taken[name]}",
            video=Path(f"{CLIPS}/{number:05d}{_ending(item.video)}"),
            references=tuple(Path(path.name) for path in item.references),
            shown=tuple(Path(path.name) for path in item.shown),
            condition=_condition(item),
            extra=here.record(item.extra),
        )
        packed.append((item, replace(short, item=sent, seconds=round(row.seconds, 3))))
    return packed


def _condition(item: Item) -> Path | None:
    """The name of a first frame says its digest: numbers depend on it, whether the picture is sent or not."""
    if item.condition is None or not (digest := content_of(item.condition)):
        return None
    return Path(f"{CLIPS}/{digest}{_ending(item.condition)}")


def _ending(path: Path) -> str:
    return PurePosixPath(path.name).suffix.lower()[:8]


def _copy_clips(
    packed: Sequence[tuple[Item, ItemRow]], models: Sequence[str], folder: Path, count: int, progress: Progress
) -> None:
    """The chosen videos of every model and the first frames they began with."""
    here = {row.item.id: item for item, row in packed}
    of_all = [row for model in models for row in chosen([row for _, row in packed if row.item.model == model], count)]
    for done, row in enumerate(of_all, start=1):
        item = here[row.item.id]
        _copy(item.video, folder / row.item.video)
        if row.clip is not None and file_digest(folder / row.item.video) != row.clip.sha256:
            said = f"{item.video}: is another one than was measured."
            raise ManifestError(said, "Evaluate again, and pack that run.")
        if item.condition is not None and row.item.condition is not None:
            _copy(item.condition, folder / row.item.condition)
        progress(done, len(of_all), "clips")


def _copy(source: Path, target: Path) -> None:
    if isinstance(source, RemotePath) or not source.exists():
        remedy = "Bring it there, or evaluate the run again where its videos are."
        raise ManifestError(f"{source}: the video is asked for, and is not here.", remedy)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)
