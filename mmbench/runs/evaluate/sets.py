"""Numbers of whole sets: one model's clips together, from what each of them has left."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmbench.errors import MMBenchError, machine_fault
from mmbench.metrics.base import Metric, SetMetric, StoredFeatures
from mmbench.runs.evaluate.fault import fault
from mmbench.runs.evaluate.features import NoFeatures, features_path, read_features
from mmbench.runs.evaluate.inputs import digest_of, score_key
from mmbench.runs.evaluate.plan import failed
from mmbench.runs.evaluate.rows import ItemRow, SetRow
from mmbench.scores import Score


@dataclass(frozen=True)
class SetScorer:
    """Scores the sets of a run. `parts` are every item's `Inputs.parts`, `before` the rows of earlier commands.

    For the models `fresh`, of which a clip was measured now for example, what failed before is tried again.
    """

    run: Path
    metrics: Mapping[str, Metric]
    parts: Mapping[str, Mapping[str, str]]
    before: Mapping[str, SetRow]
    fresh: Collection[str]

    def score(self, rows: Sequence[ItemRow]) -> list[SetRow]:
        """Set metrics of every model, clips by identity, prompt and seed; what holds from before is not redone."""
        of_sets = {name: metric for name, metric in self.metrics.items() if isinstance(metric, SetMetric)}
        if not of_sets:
            return []
        sets = []
        for model in dict.fromkeys(row.item.model for row in rows):
            clips = [row for row in rows if row.item.model == model and row.clip and row.item.id in self.parts]
            clips.sort(key=lambda row: row.item.order)
            made = [self._measure(name, metric, model, clips) for name, metric in of_sets.items()]
            sets.append(SetRow(model, max(n for n, _ in made), tuple(s for _, scores in made for s in scores)))
        return sets

    def _measure(self, name: str, metric: SetMetric, model: str, clips: Sequence[ItemRow]) -> tuple[int, list[Score]]:
        """How many clips have features, and the scores of their set."""
        keys = [score_key(self.parts[row.item.id][name], row.clip.sha256 if row.clip else "") for row in clips]
        inputs = digest_of([name, keys])
        earlier = self.before.get(model)
        known = [score for score in earlier.scores if score.inputs == inputs] if earlier else []
        if earlier and known and not (model in self.fresh and any(map(failed, known))):
            return earlier.n, known
        paths = [features_path(self.run, metric.facts.name, key) for key in keys]
        kept = [read_features(path, row.item) for path, row in zip(paths, clips, strict=True)]
        features = [one for one in kept if isinstance(one, StoredFeatures)]
        scores = _why_not(metric, kept) or _of_features(metric, features)
        return len(features), [replace(score, inputs=inputs) for score in scores]


def _why_not(metric: SetMetric, kept: Sequence[StoredFeatures | NoFeatures | None]) -> list[Score]:
    """Scores of a set of which some clips gave nothing; none where all did."""
    names = [facts.name for facts in metric.all_facts()]
    without = [one for one in kept if isinstance(one, NoFeatures)]
    if broken := [one for one in without if not one.unmet]:
        reason = f"{len(broken)} of {len(kept)} clips gave it nothing, the first with: {broken[0].reason}"
        return [Score.error(name, reason, broken[0].remedy) for name in names]
    if without:
        missing = [Score.missing(name, without[0].reason, without[0].remedy) for name in names]
        return [replace(score, unmet=True) for score in missing]
    if lost := sum(one is None for one in kept):
        reason = f"What {lost} of {len(kept)} clips gave it is lost."
        missing = [Score.missing(name, reason, "Run the same command again.") for name in names]
        return [replace(score, unmet=True) for score in missing]
    makers = {str(one.provenance) for one in kept if isinstance(one, StoredFeatures)}
    if len(makers) > 1:  # clips measured by different networks are not one set
        reason = "Its clips were measured with different networks or versions."
        return [Score.missing(name, reason, "Evaluate into a new folder.") for name in names]
    return []


def _of_features(metric: SetMetric, features: Sequence[StoredFeatures]) -> list[Score]:
    """A set's scores with their provenance."""
    names = [facts.name for facts in metric.all_facts()]
    maker = features[0].provenance if features else None
    try:
        scores = [replace(s, provenance=s.provenance or maker) for s in metric.measure_set(features)]
        json.dumps([score.to_json() for score in scores], allow_nan=False)  # a row must be writable
    except MMBenchError as cause:
        return [Score.missing(name, cause.message, cause.remedy) for name in names]
    except Exception as cause:
        if machine := machine_fault(cause):
            raise machine from cause
        return [Score.error(name, *fault(metric.facts.name, cause)) for name in names]
    return scores
