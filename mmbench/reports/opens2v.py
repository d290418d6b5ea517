"""A run on OpenS2V's samples as files that OpenS2V's own scripts read, and its total where nothing lacks.

    MODEL_input_video/singleface_1.mp4   the videos, named as its scripts want them
    MODEL_output_json/facesim.json       our numbers by its rules: {"singleface_1": {"cur_score": 0.6, ...}}
    MODEL_output_json/gmescore.json ...  made by its scripts, from the videos, in this folder
    MODEL_Human-Domain.json              what its leaderboard takes; only where every part of the total is there
    MODEL_export.json                    where each number comes from, and what lacks

Names and keys are those of OpenS2V-Nexus' `eval/demo_result` and `eval/merge_result.py` (version 1.1).
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmbench.errors import ManifestError
from mmbench.files import content_of, read_json, whole, write_json
from mmbench.items import Item
from mmbench.names import few
from mmbench.reports.several import read_runs
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.testsets.load import load_testset
from mmbench.testsets.types import TestSet
from mmbench.trigger import without_trigger
from mmbench.version import __version__

TESTSET = "opens2v-human"


@dataclass(frozen=True)
class Part:
    """One part of the total: its name there, its weight, the values it is cut to and spread over, and its files.

    `key` is a value's name in a file, empty where a file maps samples to values themselves. `column` is our metric of
    it, empty where there is none; then `script` makes the files.
    """

    name: str
    weight: float
    lowest: float
    highest: float
    files: tuple[str, ...]
    key: str
    script: str
    column: str = ""

    def share(self, value: float) -> float:
        """A value between `lowest` (0) and `highest` (1)."""
        return (min(max(value, self.lowest), self.highest) - self.lowest) / (self.highest - self.lowest)


PARTS = (
    Part("aes_score", 0.18, 4, 7, ("aesthetic_score",), "aes_score", "get_aesscore.py", "aesthetic"),
    Part("motion_smoothness", 0.09, 0, 1, ("motion_smoothness",), "motion_smoothness", "get_motion_smoothness.py"),
    Part(
        "motion_amplitude",
        0.03,
        0,
        1,
        ("motion_amplitude",),
        "motion_fb",
        "get_motion_amplitude.py",
        "motion_amplitude",
    ),
    Part("facesim_cur", 0.25, 0, 1, ("facesim",), "cur_score", "get_facesim.py", "facesim_cur_opens2v"),
    Part("gme_score", 0.15, 0, 1, ("gmescore",), "gme_score", "get_gmescore.py"),
    Part("natural_score", 0.30, 1, 5, tuple(f"naturalscore_{n}" for n in (1, 2, 3)), "", "get_naturalscore.py"),
)
"""OpenS2V's total for its Human-Domain part."""

BESIDE = {("facesim", "arc_score"): "facesim_arc_opens2v"}
"""Values that its files hold and its total does not read."""


@dataclass(frozen=True)
class Exported:
    """What was written: samples of the set, how many of them were measured, and for each part how many have a value.

    `lacking` says what keeps the total from being written, one line each; `total` is None then.
    """

    folder: Path
    model: str
    samples: int
    measured: int
    parts: dict[str, int]
    lacking: tuple[str, ...]
    total: float | None = None


def export_opens2v(
    run: Path,
    out: Path,
    *,
    model: str | None = None,
    testset: str | Path = TESTSET,
    videos: bool = True,
    random_weights: bool = False,
) -> Exported:
    """Write one model's rows of a run of `mmbench evaluate` into `out`, again over what was written before.

    Clips are told by name (`singleface_1.mp4`), else by identity and prompt index as `mmbench generate` gives them.
    Files that OpenS2V's scripts put beside ours are kept, and count. Numbers of untrained networks are left out unless
    `random_weights`. Raises ManifestError: no such model, another test set, a clip that is of no sample or shows
    another prompt, two clips of one sample.
    """
    chosen = load_testset(testset)
    if chosen.name != TESTSET:
        raise ManifestError(f"{testset}: is {chosen.name}, not {TESTSET}.", "Name the folder of OpenS2V-Eval.")
    found = _rows_of(run, model)
    name = found[0].item.model
    rows = {sample: row for sample, row in _by_sample(found, chosen).items() if row.error is None}
    folder, account = out / f"{name}_output_json", out / f"{name}_export.json"
    sources = _write_parts(rows, folder, random_weights)
    for file in _written_before(account) - {source["file"] for source in sources.values()}:
        (folder / file).unlink(missing_ok=True)
    notes = _copy_videos(rows, out / f"{name}_input_video") if videos else []
    values = {part.name: _read_part(folder, part, chosen) for part in PARTS}
    lacking = _lacking(values, folder)
    if untrained := [column for column, source in sources.items() if source["made_by"].get("random_weights")]:
        lacking.append(f"{', '.join(untrained)}: made by untrained networks, of which no total is made")
    if len(rows) < chosen.size:
        lacking.append(f"{chosen.size - len(rows)} samples have no video that could be measured")
    total, target = None, out / f"{name}_Human-Domain.json"
    target.unlink(missing_ok=True)
    if not lacking:
        shares = {part.name: _mean([part.share(value) for value in values[part.name].values()]) for part in PARTS}
        total = math.fsum(part.weight * shares[part.name] for part in PARTS)
        write_json(target, {"total_score": total, **shares})
    counts = {part: len(of_samples) for part, of_samples in values.items()}
    result = Exported(out, name, chosen.size, len(rows), counts, (*lacking, *notes), total)
    write_json(
        account, {"mmbench": __version__, "run": str(run), "columns": sources, **asdict(result), "folder": str(out)}
    )
    return result


def _written_before(account: Path) -> set[str]:
    """Names of the files with numbers of ours that the last export wrote."""
    if not account.is_file():
        return set()
    columns = document.get("columns") if isinstance(document := read_json(account), dict) else None
    if not isinstance(columns, dict):
        raise ManifestError(f"{account}: damaged, it is no account of an export.", "Delete it and export again.")
    named = {source.get("file") for source in columns.values() if isinstance(source, dict)}
    return {f"{file}.json" for part in PARTS for file in part.files} & named


def _rows_of(run: Path, model: str | None) -> list[ItemRow]:
    rows = read_runs([run]).rows
    models = sorted({row.item.model for row in rows})
    if model is None and len(models) > 1:
        raise ManifestError(f"{run}: holds the models {few(models)}.", "Name one: --model.")
    chosen = model or models[0]
    if chosen not in models:
        raise ManifestError(f"{run}: holds no model {chosen}.", f"It holds {few(models)}.")
    if not chosen.strip(".") or {"/", "\\", "\0"} & set(chosen):
        raise ManifestError(f"{run}: the model's name {chosen!r} cannot be a file's.", "Evaluate under another name.")
    return [row for row in rows if row.item.model == chosen]


def _by_sample(rows: Sequence[ItemRow], testset: TestSet) -> dict[str, ItemRow]:
    """The rows by the name of their sample, in the set's order."""
    texts = {prompt.id: _plain(prompt.long) for who in testset.identities for prompt in who.prompts}
    places: dict[tuple[str, int | None], str] = {
        (who.id, prompt.index): prompt.id for who in testset.identities for prompt in who.prompts
    }
    found: dict[str, ItemRow] = {}
    for row in rows:
        item = row.item
        name = item.video.stem if item.video.stem in texts else places.get((item.identity, item.prompt_index))
        if name is None:
            raise ManifestError(
                f"{item.video}: is of no sample of {testset.folder}.", "Name clips after samples: singleface_1.mp4."
            )
        if (said := _text(item)) is not None and said != texts[name]:
            raise ManifestError(
                f"{item.video}: was made of another prompt than {name}'s: {said[:60]!r}.",
                "Give the test set that the videos were made for: --testset.",
            )
        if name in found:
            raise ManifestError(f"{found[name].item.video} and {item.video} both are {name}.", "Evaluate one of them.")
        found[name] = row
    return {name: found[name] for name in texts if name in found}


def _text(item: Item) -> str | None:
    text = item.prompt_long or item.prompt
    return _plain(text) if text else None


def _plain(text: str) -> str:
    """Without trigger, and white space as a table may have left it."""
    return " ".join(without_trigger(text).split())


def _write_parts(rows: Mapping[str, ItemRow], folder: Path, random_weights: bool) -> dict[str, dict[str, Any]]:
    """Write our numbers and say what made them. A file of which we have no number is left as it is."""
    files: dict[str, dict[str, str]] = {}
    for part in PARTS:
        if part.column:
            files.setdefault(part.files[0], {})[part.key] = part.column
    for (file, key), column in BESIDE.items():
        files[file][key] = column
    sources: dict[str, dict[str, Any]] = {}
    for file, keys in files.items():
        held: dict[str, dict[str, float]] = {}
        for sample, row in rows.items():
            for key, column in keys.items():
                score = row.score(column)
                if score is None or score.value is None:
                    continue
                untrained = score.provenance is not None and score.provenance.random_weights
                if untrained and not random_weights:
                    continue
                held.setdefault(sample, {})[key] = score.value
                made_by = asdict(score.provenance) if score.provenance else {}
                sources.setdefault(column, {"file": f"{file}.json", "key": key, "made_by": made_by})
        if held:
            write_json(folder / f"{file}.json", held)
    return sources


def _copy_videos(rows: Mapping[str, ItemRow], folder: Path) -> list[str]:
    """Copy the videos under their samples' names; what cannot be read by OpenS2V's scripts is said."""
    notes = []
    for sample, row in rows.items():
        video, target = row.item.video, folder / f"{sample}.mp4"
        if video.suffix.lower() != ".mp4" or not video.is_file():
            notes.append(f"{video}: OpenS2V's scripts read files that end with .mp4, and this was not copied")
        elif not target.is_file() or content_of(target) != content_of(video):
            with whole(target) as part:
                shutil.copyfile(video, part)
    return notes


def _read_part(folder: Path, part: Part, testset: TestSet) -> dict[str, float]:
    """A part's value for each sample of the set that has one; the mean where several files hold one."""
    samples = {prompt.id for who in testset.identities for prompt in who.prompts}
    found: dict[str, list[float]] = {}
    for name in part.files:
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        document = read_json(path)
        if not isinstance(document, dict):
            raise ManifestError(f"{path}: holds no object of samples.", "Make it again.")
        for sample, said in document.items():
            value = said.get(part.key) if part.key and isinstance(said, dict) else said
            if sample in samples and value is not None:
                found.setdefault(sample, []).append(_number(value, f"{path}: {sample}"))
    return {sample: _mean(values) for sample, values in found.items()}


def _number(value: object, where: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return number
    raise ManifestError(f"{where}: {json.dumps(value)[:40]} is no number.", "Make the file again.")


def _lacking(values: Mapping[str, Mapping[str, float]], folder: Path) -> list[str]:
    return [
        f"{part.name}: put {', '.join(f'{name}.json' for name in part.files)} of OpenS2V's {part.script} into {folder}"
        + (f", or evaluate with --metrics {part.column}" if part.column else "")
        for part in PARTS
        if not values[part.name]
    ]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
