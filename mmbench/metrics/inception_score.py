"""Inception Score of a set of clips, as EvalCrafter computes it but in an order that can be reproduced."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmbench.encode.needs import INCEPTION
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import Evidence, MetricFacts, Need, SetMetric, StoredFeatures
from mmbench.scores import Score

SPLITS = 10
SHUFFLES = 10
SEED = 2020
MIN_CLIPS = 10
FEW_CLIPS = 50

LogProbs = NDArray[np.float32]


@dataclass(frozen=True)
class InceptionScores:
    """`value` and `std` (over splits, ddof 1) take the clips in the order given.

    `shuffled` is the mean over seeded orders of the clips, `one_split` treats all frames as one split. `per_split` are
    the scores that `value` is the mean of.
    """

    value: float
    std: float
    shuffled: float
    one_split: float
    per_split: tuple[float, ...]
    n_clips: int
    n_frames: int


def split_score(log_probs: LogProbs) -> float:
    """exp of the mean over rows of KL(p | mean p), of (N, classes) log-probabilities (Salimans et al., 2016).

    Sums run in float64. A class of probability 0 adds nothing, where the original's 0 * log 0 is NaN.
    """
    logs = np.asarray(log_probs, dtype=np.float64)
    probs = np.exp(logs)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_mean = np.log(probs.mean(axis=0))
        gain = np.where(probs > 0, probs * (logs - log_mean), 0.0)
    return float(np.exp(gain.sum(axis=1).mean()))


def contiguous_scores(log_probs: LogProbs, splits: int = SPLITS) -> list[float]:
    """The score of each of `splits` contiguous runs of rows, rows [i N // splits, (i + 1) N // splits)."""
    n = len(log_probs)
    if n < splits:
        raise ValueError(f"{splits} splits need at least as many frames, got {n}")
    edges = [index * n // splits for index in range(splits + 1)]
    return [split_score(log_probs[start:end]) for start, end in pairwise(edges)]


def inception_scores(clips: Sequence[LogProbs], splits: int = SPLITS) -> InceptionScores:
    """The Inception Score of clips given as (n_frames, 1008) log-probabilities, frames in time order.

    Splits are contiguous over all frames, as in EvalCrafter, so the order of the clips matters: give them in
    manifest order. Raises ValueError for fewer frames than splits.
    """
    rows = np.concatenate([np.asarray(clip) for clip in clips])
    scores = contiguous_scores(rows, splits)
    shuffled = []
    for seed in range(SHUFFLES):
        order = np.random.default_rng(SEED + seed).permutation(len(clips))
        mixed = np.concatenate([np.asarray(clips[index]) for index in order])
        shuffled.append(float(np.mean(contiguous_scores(mixed, splits))))
    return InceptionScores(
        value=float(np.mean(scores)),
        std=float(np.std(scores, ddof=1)) if splits > 1 else 0.0,
        shuffled=float(np.mean(shuffled)),
        one_split=split_score(rows),
        per_split=tuple(scores),
        n_clips=len(clips),
        n_frames=len(rows),
    )


class InceptionScore(SetMetric):
    """Distinct and confident pictures over a whole set of clips; no value for one clip."""

    facts = MetricFacts(
        name="inception_score",
        title="Inception Score",
        higher_is_better=True,
        unit="effective classes",
        range=(1.0, 1008.0),
        definition=(
            "Mean over 10 contiguous splits of all frames, clips in manifest order "
            "(by identity, prompt and seed), of exp(mean KL(p | mean p)), "
            "p the 1008 class probabilities of the FID Inception network on every frame at 299 x 299, without "
            "the last layer's bias."
        ),
        source="EvalCrafter (pytorch-gan-metrics 0.5.3), after Salimans et al. 2016",
        caveats=(
            "Depends on the order and number of clips: a split cannot score above the number of distinct "
            "predictions of the clips in it. EvalCrafter takes the file system's order; torchmetrics and "
            "torch-fidelity shuffle frames first, which gives about 1.8 times the value, and resize otherwise."
        ),
        scope="set",
        decimals=2,
        column=True,
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        MetricFacts(
            name="is_shuffled",
            title="Inception Score, clip order shuffled",
            higher_is_better=True,
            unit="effective classes",
            range=(1.0, 1008.0),
            definition="Mean of the Inception Score over 10 seeded orders of the clips (not of the frames).",
            source="this project",
            scope="set",
            decimals=2,
        ),
        MetricFacts(
            name="is_one_split",
            title="Inception Score, one split",
            higher_is_better=True,
            unit="effective classes",
            range=(1.0, 1008.0),
            definition="exp(mean KL(p | mean p)) over all frames of all clips at once: free of any order.",
            source="Salimans et al. 2016, without splits",
            scope="set",
            decimals=2,
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (INCEPTION,)
    stored: ClassVar[tuple[str, ...]] = ("log_probs",)
    reads = ()

    def __init__(self) -> None:
        self.clips: list[LogProbs] = []

    def update(self, log_probs: LogProbs) -> None:
        """Add one clip: log-probabilities (n_frames, 1008). Order matters."""
        self.clips.append(as_array(log_probs, np.float32))

    def compute(self) -> InceptionScores:
        """Scores of the clips seen by `update`. Warns under 50 clips; raises ValueError under 10."""
        if len(self.clips) < MIN_CLIPS:
            raise ValueError(_too_few(len(self.clips)))
        if len(self.clips) < FEW_CLIPS:
            warnings.warn(_few(len(self.clips)), stacklevel=2)
        return inception_scores(self.clips)

    def merge_state(self, other: InceptionScore) -> None:
        """Append the clips another instance has seen, after this one's."""
        self.clips.extend(other.clips)

    def reset(self) -> None:
        """Forget all clips."""
        self.clips.clear()

    def features(self, evidence: Evidence) -> StoredFeatures:
        """`log_probs`, float32 (n_frames, 1008), of every frame."""
        seen = evidence[INCEPTION]
        return StoredFeatures(evidence.item, {"log_probs": seen.log_probs}, seen.provenance)

    def measure_set(self, clips: Sequence[StoredFeatures]) -> list[Score]:
        """The score in manifest order and its two companions; missing under 10 clips."""
        if len(clips) < MIN_CLIPS:
            remedy = "Measure more clips of this model."
            return [Score.missing(facts.name, _too_few(len(clips)), remedy) for facts in self.all_facts()]
        result = inception_scores([clip.arrays["log_probs"] for clip in clips])
        main = Score.ok(
            self.facts.name,
            result.value,
            std=result.std,
            per_split=list(result.per_split),
            order="manifest",
            n_clips=result.n_clips,
            n_frames=result.n_frames,
            warning=_few(result.n_clips) if result.n_clips < FEW_CLIPS else "",
        )
        shuffled, one_split = (facts.name for facts in self.companions)
        return [
            main,
            Score.ok(shuffled, result.shuffled, orders=SHUFFLES, seed=SEED),
            Score.ok(one_split, result.one_split),
        ]


def _too_few(n: int) -> str:
    return f"the Inception Score needs at least {MIN_CLIPS} clips, there are {n}"


def _few(n: int) -> str:
    return f"{n} clips are few: each of {SPLITS} splits holds {n / SPLITS:.1f}, which bounds its score"
