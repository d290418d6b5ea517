"""Evaluate: plan what is left to do, measure it, score the sets, say how it went."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmbench.config import EvaluateSettings
from mmbench.errors import ManifestError, MMBenchError, WeightsError
from mmbench.files import Progress, silent
from mmbench.items import Item
from mmbench.metrics.base import SetMetric, StoredFeatures
from mmbench.runs.evaluate.clip import file_digest, make_metrics, unmet_scores
from mmbench.runs.evaluate.fault import fault
from mmbench.runs.evaluate.features import kept_features, read_features
from mmbench.runs.evaluate.gather import Gatherer
from mmbench.runs.evaluate.record import MANIFEST, RunManifest, attempt_facts
from mmbench.runs.evaluate.rows import ItemRow, SetRow
from mmbench.runs.evaluate.store import ROWS, RowWriter, next_attempt, read_rows
from mmbench.runs.evaluate.work import work
from mmbench.score import Score


@dataclass(frozen=True)
class EvaluateResult:
    """What a run holds now. `failed` items could not be measured at all; `missing` counts "missing" scores by
    reason, `errors` names the scores that failed."""

    run: Path
    rows: tuple[ItemRow, ...]
    sets: tuple[SetRow, ...]
    measured_now: int

    @property
    def failed(self) -> tuple[ItemRow, ...]:
        """Items without any number, because the clip itself was unusable."""
        return tuple(row for row in self.rows if row.error)

    @property
    def errors(self) -> tuple[tuple[str, Score], ...]:
        """(item id, or model of a set, score) of every score that failed."""
        clips = [(row.item.id, s) for row in self.rows for s in row.scores]
        sets = [(row.model, s) for row in self.sets for s in row.scores]
        return tuple((name, s) for name, s in clips + sets if s.status == "error")

    @property
    def complete(self) -> bool:
        """True when every clip was measured and no metric failed."""
        return not self.failed and not self.errors


def evaluate(
    items: Sequence[Item],
    run: Path | str,
    settings: EvaluateSettings | None = None,
    *,
    workers: int = 1,
    retry: bool = False,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> EvaluateResult:
    """Measure every item that `run` does not hold yet, and score each model's set.

    Resumes: rows already in `run` are kept; items whose file changed are measured again, and with `retry` also
    those that failed or lacked something. `notes` say what was passed over when the items were collected; the run's
    record keeps them. Raises ManifestError when `run` was made with other settings, WeightsError or
    MMBenchError when there is no such device, ReferenceFaceError, before any clip, for a reference without a face.

        >>> import mmbench
        >>> items = mmbench.read_manifest(mmbench.load_testset("synthetic50").folder / "manifest.csv")
        >>> settings = EvaluateSettings(metrics=("motion_smoothness",), flow={"backend": "dis"})
        >>> still = [item for item in items if item.model == "still"][:2]
        >>> result = mmbench.evaluate(still, Path("runs/still"), settings)
        >>> [row.score("motion_smoothness").value for row in result.rows]
        [0.0, 0.0]
    """
    if not items:
        raise ManifestError("There is nothing to evaluate.", "Give at least one video.")
    run, settings = Path(run), settings or EvaluateSettings()
    _check_device(settings.device)
    tell = progress or silent
    if settings.flow.weights and not settings.flow.weights.is_file():
        raise WeightsError(f"flow.weights: there is no file {settings.flow.weights}.", "Correct the path.")
    metrics = make_metrics(settings)
    manifest = _open_run(run, items, settings, notes)
    before, sets_before = read_rows(run) if (run / ROWS).is_dir() else ([], [])
    rows = {row.item.id: row for row in before}
    of_sets = [metric for metric in metrics.values() if isinstance(metric, SetMetric)]
    todo = [
        item
        for item in items
        if needs_measuring(item, rows.get(item.id), retry) or (retry and _lacks_features(run, of_sets, item))
    ]
    gatherer = Gatherer(settings, metrics.values(), items, run)
    if todo:  # else no network is wanted for anything
        gatherer.prepare(tell)
    done = len(items) - len(todo)
    tell(done, len(items), "clips")

    def on_row(row: ItemRow) -> None:
        nonlocal done
        done += 1
        tell(done, len(items), "clips")

    attempt = next_attempt(run)
    (run / ROWS).mkdir(exist_ok=True)
    work(todo, settings, gatherer, workers=workers, attempt=attempt, on_row=on_row)
    measured = {row.item.id: row for row in read_rows(run)[0]}
    kept = [measured[item.id] for item in items]
    sets = score_sets(of_sets, kept, gatherer, sets_before)
    with RowWriter(run, f"{attempt:04d}-sets") as writer:
        for row in sets:
            writer.add(row)
    replace(manifest, weights=_weights(kept)).save(run)
    return EvaluateResult(run, tuple(kept), tuple(sets), len(todo))


def needs_measuring(item: Item, row: ItemRow | None, retry: bool) -> bool:
    """Whether an item has no row, or one of another file, or one worth trying again."""
    if row is None:
        return True
    before = row.clip.sha256 if row.clip else row.error.file_sha256 if row.error else ""
    if (now := file_digest(item.video)) and now != before:
        return True
    return retry and (row.error is not None or any(s.status != "ok" for s in row.scores))


def _lacks_features(run: Path, metrics: Sequence[SetMetric], item: Item) -> bool:
    kept = (read_features(run, metric.facts.name, item) for metric in metrics)
    return any(not isinstance(features, StoredFeatures) for features in kept)


def score_sets(
    metrics: Sequence[SetMetric], rows: Sequence[ItemRow], gatherer: Gatherer, before: Sequence[SetRow] = ()
) -> list[SetRow]:
    """Set metrics of every model, clips by identity, prompt and seed. `before` are an earlier attempt's rows: what
    was missing then, for want of a network, still is where no clip has been measured again."""
    if not metrics:
        return []
    sets = []
    for model in dict.fromkeys(row.item.model for row in rows):
        clips = [row.item for row in rows if row.item.model == model and not row.error]
        clips.sort(key=lambda item: item.order)
        known = {score.metric: score for row in before if row.model == model for score in row.scores}
        measured = [_measure_set(metric, clips, gatherer, known) for metric in metrics]
        sets.append(SetRow(model, max(n for n, _ in measured), tuple(s for _, scores in measured for s in scores)))
    return sets


def _measure_set(
    metric: SetMetric, clips: Sequence[Item], gatherer: Gatherer, before: Mapping[str, Score]
) -> tuple[int, list[Score]]:
    """How many clips have features, and the scores of their set with its provenance."""
    features, faults, absent = kept_features(gatherer.run, metric.facts.name, clips)
    names = [facts.name for facts in metric.all_facts()]
    if faults:
        reason = f"{len(faults)} of {len(clips)} clips gave it nothing, the first with: {faults[0].reason}"
        return len(features), [Score.error(name, reason, faults[0].remedy) for name in names]
    if absent:
        return len(features), _unfit(metric, f"{len(absent)} of {len(clips)} clips", gatherer, before)
    makers = {str(clip.provenance): clip.provenance for clip in features}
    if len(makers) > 1:  # clips measured by different networks are not one set
        reason = "Its clips were measured with different networks or versions."
        return len(features), [Score.missing(name, reason, "Evaluate into a new folder.") for name in names]
    maker = next(iter(makers.values()), None)
    try:
        scores = [replace(s, provenance=s.provenance or maker) for s in metric.measure_set(features)]
        json.dumps([score.to_json() for score in scores], allow_nan=False)  # a row must be writable
    except MMBenchError as cause:
        scores = [Score.missing(name, cause.message, cause.remedy) for name in names]
    except Exception as cause:
        scores = [Score.error(name, *fault(metric.facts.name, cause)) for name in names]
    return len(features), scores


def _unfit(metric: SetMetric, which: str, gatherer: Gatherer, before: Mapping[str, Score]) -> list[Score]:
    """Scores of a metric for which some clips were measured without its network."""
    names = [facts.name for facts in metric.all_facts()]
    if all(name in before and before[name].status != "ok" for name in names):
        return [before[name] for name in names]
    if lacking := unmet_scores(metric, gatherer.lacking(metric)):
        return lacking
    reason = f"{which} were measured without what it needs."
    return [Score.missing(name, reason, "`--retry` measures them again.") for name in names]


def _check_device(name: str) -> None:
    if name != "cpu":  # the processor is always there, and torch need not be imported to say so
        from mmbench.device import torch_device

        torch_device(name)


def _open_run(run: Path, items: Sequence[Item], settings: EvaluateSettings, notes: Sequence[str]) -> RunManifest:
    """The run's manifest with this attempt added; refuses a run made with other settings."""
    attempts: tuple[dict[str, object], ...] = ()
    if (run / MANIFEST).exists():
        before = RunManifest.load(run)
        if before.settings != settings:  # a setting that its version did not know has its default
            changed = _changed(before.settings.model_dump(mode="json"), settings.model_dump(mode="json"))
            raise ManifestError(
                f"{run}: holds rows measured with other settings: {changed}.", "Use another folder, or those settings."
            )
        attempts = before.attempts
    manifest = RunManifest(settings, tuple(items), settings.digest(), attempts=(*attempts, attempt_facts(notes)))
    manifest.save(run)
    return manifest


def _changed(old: dict[str, Any], new: dict[str, Any], within: str = "") -> str:
    """The settings that differ: "flow.backend was raft, now dis"."""
    parts = []
    for name in new:
        if isinstance(new[name], dict):
            parts.append(_changed(old[name], new[name], f"{within}{name}."))
        elif old[name] != new[name]:
            parts.append(f"{within}{name} was {old[name]}, now {new[name]}")
    return ", ".join(part for part in parts if part)


def _weights(rows: Sequence[ItemRow]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        for score in row.scores:
            if score.provenance:
                found.update(score.provenance.weights)
    return dict(sorted(found.items()))


def default_workers(device: str = "cpu") -> int:
    """One a core, since the face pass is single-threaded; on a GPU no more than its free memory holds.

    Every process has its own networks there: RAFT's and RetinaFace's budgets, and 2 GiB for the weights of all and
    CUDA itself; this one, which looks at the references, takes another 2 GiB. Raises MMBenchError when there is
    no such device.
    """
    cores = max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if device == "cpu":
        return cores
    from mmbench.device import torch_device

    found = torch_device(device)
    if found.type != "cuda":
        return cores
    import torch

    return workers_in(torch.cuda.mem_get_info(found)[0], cores)


def workers_in(free: int, cores: int) -> int:
    """Processes for a GPU with `free` bytes: at least one, at most one a core."""
    from mmbench.face.retinaface import eyes as retinaface_backend
    from mmbench.flow.raft import flow as raft

    own = 2 * 2**30
    each = raft.GPU_BUDGET + raft.GPU_FEATURES + retinaface_backend.GPU_BUDGET + own
    return max(1, min(cores, (free - own) // each))
