"""Measures the arms' clips and holds the paper's claims against them, in pairs by person, prompt and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from mmbench.metrics.base import MetricFacts
from mmbench.reports.numbers.stats import Estimate, cluster_mean, difference_bounds, holm, paired_test
from mmbench.studies.ablations.arms import BASE, Ablation, PaperClaim, Role
from mmbench.studies.ablations.colour import COLOUR, colour_shift
from mmbench.studies.ablations.sharpness import SHARPNESS, clip_sharpness

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.files import Progress
    from mmbench.items import Item
    from mmbench.model.train.settings import TrainSettings
    from mmbench.studies.ablations.make import Trained

ROLES: Final[dict[Role, tuple[str, ...]]] = {
    "identity": ("id_similarity", "id_margin", "id_similarity_nano", "id_margin_nano"),
    "text": ("text_alignment", "text_alignment_nano"),
    "motion": ("fm_inter",),
    "colour": (COLOUR.name,),
    "sharpness": (SHARPNESS.name,),
    "dynamic": ("dynamic_degree", "motion_strength"),
}
"""What speaks for each role; all that were measured are told."""
BESIDE: Final = ("id_group_rank1", "id_group_rank1_nano", "face_rate", "motion_smoothness")
"""What a page shows beside the roles' columns: of the other companions the rows have every number."""
ALPHA: Final = 0.05

Key = tuple[str, int | None, int | None]
"""Identity, prompt and seed of a clip: the same in every arm."""
Values = dict[str, dict[str, dict[Key, float]]]
"""Values by model ("Full", or "Full@60" on the way), metric and clip."""


@dataclass(frozen=True)
class ClaimFound:
    """A claim on one metric. `difference`: the better minus the worse arm, in the metric's unit; `seeds`: the same for
    each seed of training alone. `verdict`: "holds" or "reversed" where Holm's p is at most 0.05, else "undecided"."""

    claim: PaperClaim
    metric: str
    difference: Estimate
    p: float
    p_holm: float
    seeds: tuple[float, ...]
    verdict: Literal["holds", "reversed", "undecided"]


@dataclass(frozen=True)
class ArmFound:
    """One arm: what it is, its parameters, and every metric's mean with its interval over people, and by seed."""

    name: str
    says: str
    parameters: int
    means: Mapping[str, Estimate]
    by_seed: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class AblationFound:
    """All that an ablation found. `curves`: metric, arm, step -> mean and each seed's."""

    ablation: Ablation
    seeds: tuple[int, ...]
    clips: int
    arms: tuple[ArmFound, ...]
    claims: tuple[ClaimFound, ...]
    facts: Mapping[str, MetricFacts]
    curves: Mapping[str, Mapping[str, Mapping[int, tuple[float, ...]]]]


def measure(
    ablation: Ablation,
    made: Sequence[Trained],
    run: Path,
    settings: EvaluateSettings,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> AblationFound:
    """Evaluate all clips into `run` and test the claims. Raises all that `evaluate` raises."""
    from mmbench.metrics.registry import facts_by_name
    from mmbench.runs.evaluate.evaluate import evaluate

    last = max(item.step or 0 for one in made for item in one.items)
    steps = sorted({item.step or 0 for one in made for item in one.items} - {0})
    named = {(one.arm.name, one.seed): one for one in made}
    items = [_named(item, last) for one in made for item in one.items]
    ends = [item for item in items if item.step in (0, last)]
    rows = list(evaluate(ends, run, settings, workers=workers, progress=progress).rows)
    if on_the_way := [item for item in items if item.step not in (0, last)]:
        few = settings.model_copy(update={"metrics": of_curves(settings.metrics)})
        rows += evaluate(on_the_way, run.parent / f"{run.name}-way", few, workers=workers, progress=progress).rows
    values: Values = {}
    for row in rows:
        for score in row.scores:
            if score.value is not None:
                values.setdefault(row.item.model, {}).setdefault(score.metric, {})[_key(row.item)] = score.value
    for name, found in colour_shift(items).items():
        values.setdefault(name, {})[COLOUR.name] = found
    if ablation.each_stage:  # what looks are told apart by
        for item in ends:
            values.setdefault(item.model, {}).setdefault(SHARPNESS.name, {})[_key(item)] = clip_sharpness(item.video)
    facts = {**facts_by_name(), COLOUR.name: COLOUR, SHARPNESS.name: SHARPNESS}
    shown = {*BESIDE, *(name for names in ROLES.values() for name in names)}
    facts = {name: facts[name] for name in facts if name in shown and any(name in held for held in values.values())}
    seeds = tuple(sorted({one.seed for one in made}))
    seed_of = {_key(item): one.seed for one in made for item in one.items}
    arms = tuple(
        _arm(name, named[name, seeds[0]], values.get(name, {}), facts, seed_of)
        for name in dict.fromkeys(one.arm.name for one in made)
    )
    claims = told_claims(ablation.claims, values, facts, seed_of)
    curves = _curves(values, facts, [arm.name for arm in ablation.arms], steps, last, seed_of) if ablation.curve else {}
    return AblationFound(ablation, seeds, len(items), arms, claims, facts, curves)


def flow_backend(settings: TrainSettings) -> Literal["dis", "raft"]:
    """OpenCV's flow, which needs no weights, for the nano size; else VBench's network."""
    return "dis" if settings.model.size == "nano" else "raft"


def of_curves(metrics: Sequence[str]) -> tuple[str, ...]:
    """What clips on the way are measured by: a world's own small networks where it has some, else everything."""
    from mmbench.metrics.registry import ASKED_FOR

    return tuple(name for name in metrics if name in ASKED_FOR) or tuple(metrics)


def told_claims(
    claims: Sequence[PaperClaim], values: Values, facts: Mapping[str, MetricFacts], seed_of: Mapping[Key, int]
) -> tuple[ClaimFound, ...]:
    """Every claim on every metric of its role that both arms have; Holm's correction spans them all."""
    raw = []
    for claim in claims:
        for metric in ROLES[claim.role]:
            a, b = (values.get(name, {}).get(metric, {}) for name in (claim.better, claim.worse))
            if not (shared := [key for key in a if key in b]):
                continue
            sign = 1.0 if facts[metric].higher_is_better else -1.0
            differences = [a[key] - b[key] for key in shared]
            bounds = difference_bounds(facts[metric].range)
            test = paired_test([sign * d for d in differences], [key[0] for key in shared], bounds=bounds)
            by_seed: dict[int, list[float]] = {}
            for key, difference in zip(shared, differences, strict=True):
                by_seed.setdefault(seed_of[key], []).append(difference)
            estimate = cluster_mean(differences, [key[0] for key in shared])
            seeds = tuple(float(np.mean(by_seed[seed])) for seed in sorted(by_seed))
            raw.append((claim, metric, estimate, test.p, test.difference.mean, seeds))
    adjusted = holm([p for _, _, _, p, _, _ in raw])
    return tuple(
        ClaimFound(claim, metric, estimate, p, p_holm, seeds, _verdict(p_holm, towards))
        for (claim, metric, estimate, p, towards, seeds), p_holm in zip(raw, adjusted, strict=True)
    )


def _verdict(p_holm: float, towards: float) -> Literal["holds", "reversed", "undecided"]:
    if p_holm > ALPHA:
        return "undecided"
    return "holds" if towards > 0 else "reversed"


def _arm(
    name: str,
    one: Trained,
    held: Mapping[str, dict[Key, float]],
    facts: Mapping[str, MetricFacts],
    seeds: Mapping[Key, int],
) -> ArmFound:
    means, by_seed = {}, {}
    for metric in facts:
        if found := held.get(metric):
            means[metric] = cluster_mean(list(found.values()), [key[0] for key in found], bounds=facts[metric].range)
            by_seed[metric] = tuple(
                float(np.mean([v for key, v in found.items() if seeds[key] == seed]))
                for seed in sorted({seeds[key] for key in found})
            )
    says = one.arm.says
    return ArmFound(name, says, one.parameters, means, by_seed)


def _curves(
    values: Values,
    facts: Mapping[str, MetricFacts],
    arms: Sequence[str],
    steps: Sequence[int],
    last: int,
    seed_of: Mapping[Key, int],
) -> dict[str, dict[str, dict[int, tuple[float, ...]]]]:
    curves: dict[str, dict[str, dict[int, tuple[float, ...]]]] = {}
    for metric in facts:
        for arm in arms:
            for step in (0, *steps):
                held = values.get(BASE if step == 0 else _model(arm, step, last), {}).get(metric, {})
                seeds = sorted({seed_of[key] for key in held})
                means = tuple(float(np.mean([v for k, v in held.items() if seed_of[k] == seed])) for seed in seeds)
                if means:
                    curves.setdefault(metric, {}).setdefault(arm, {})[step] = means
    return curves


def _model(arm: str, step: int, last: int) -> str:
    return arm if step in (0, last) else f"{arm}@{step}"


def _named(item: Item, last: int) -> Item:
    return replace(item, model=_model(item.model, item.step or 0, last))


def _key(item: Item) -> Key:
    return item.identity, item.prompt_index, item.seed
