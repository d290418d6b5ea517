"""The nano world's own columns: text, classes and identity by networks that this project trained on rendered people.

They stand where ViCLIP, Inception and a second recogniser stand for real videos, under names of their own, and mean
nothing outside `mmbench.synth.world`. A run has them where its settings name them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from mmbench.encode.nano_world.eyes import NANO_WORLD
from mmbench.errors import RequestError
from mmbench.face.nano.people import NANO_FACES, NANO_PEOPLE
from mmbench.face.people.bank import ReferenceBank, unit
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need, StoredFeatures
from mmbench.metrics.id_similarity import compare_with_bank
from mmbench.metrics.inception_score import InceptionScore
from mmbench.metrics.text_alignment import Alignment, alignment
from mmbench.scores import Score
from mmbench.trigger import without_trigger

WORLD = "Only for clips of the nano world; trained by this project (mmbench nano judges)."


class TextAlignmentNano(ClipMetric):
    """How close the nano world's own encoder sees a clip and its caption."""

    facts = MetricFacts(
        name="text_alignment_nano",
        title="Nano text alignment",
        higher_is_better=True,
        unit="cosine",
        range=(-1.0, 1.0),
        definition="Cosine of the features that the nano world's encoder gives of nine frames and of the caption.",
        source="mmbench",
        caveats=f"{WORLD} Another scale than ViCLIP's: it was trained to tell captions apart.",
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        MetricFacts(
            name="text_action_nano",
            title="Nano action seen",
            higher_is_better=True,
            unit="share",
            range=(0.0, 1.0),
            definition="1 when, of the captions that differ in the action alone, the right one is the closest; else 0.",
            source="mmbench",
            caveats=f"{WORLD} Chance is 1 of the grammar's actions.",
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (NANO_WORLD,)
    reads = ("prompt",)

    def update(self, video: Floats, text: Floats) -> Alignment:
        """Add one clip: features (64,) of the video and of its caption."""
        result = alignment(as_array(video, np.float32), as_array(text, np.float32))
        self._add(result.cosine)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """The cosine and whether the action is the one asked for; missing for a prompt outside the grammar."""
        prompt, seen = without_trigger(evidence.item.prompt or ""), evidence[NANO_WORLD]
        names = [facts.name for facts in self.all_facts()]
        if not prompt:
            return [Score.missing(name, "the clip has no short prompt", "Give one per clip.") for name in names]
        rivals = seen.encoder.with_other_actions(prompt)
        try:
            texts = np.asarray(seen.encoder.text([prompt, *rivals]))
        except RequestError as cause:
            return [Score.missing(name, cause.message, cause.remedy) for name in names]
        cosine = self.update(seen.video, texts[0]).cosine
        scores = [Score.ok(names[0], cosine, seen.provenance, prompt=prompt)]
        if not rivals:
            return [*scores, Score.missing(names[1], "the caption names no action", "")]
        best = int((texts @ seen.video).argmax())
        return [*scores, Score.ok(names[1], float(best == 0), seen.provenance, seen_as=[prompt, *rivals][best])]


class InceptionScoreNano(InceptionScore):
    """The Inception Score's formula over the nano world's classes; no value for one clip."""

    facts = MetricFacts(
        name="inception_score_nano",
        title="Nano class score",
        higher_is_better=True,
        unit="effective classes",
        range=(1.0, 42.0),
        definition=(
            "As the Inception Score (10 contiguous splits, manifest order), p the probabilities of 42 classes (group "
            "of the person, colour of the shirt) that the nano world's classifier gives of nine frames a clip."
        ),
        source="mmbench, after Salimans et al. 2016",
        caveats=f"{WORLD} Not comparable with any Inception Score.",
        scope="set",
        decimals=2,
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = tuple(
        replace(
            facts,
            name=f"{facts.name}_nano",
            title=facts.title.replace("Inception Score", "Nano class score"),
            range=(1.0, 42.0),
            source="mmbench",
        )
        for facts in InceptionScore.companions
    )
    needs: ClassVar[Collection[Need[Any]]] = (NANO_WORLD,)

    def features(self, evidence: Evidence) -> StoredFeatures:
        """`log_probs`, float32 (9, 42), of the frames that the encoder saw."""
        seen = evidence[NANO_WORLD]
        return StoredFeatures(evidence.item, {"log_probs": seen.log_probs}, seen.provenance)


@dataclass(frozen=True)
class NanoIdentity:
    """`similarity`: mean cosine of a clip's frames to the own references' mean.

    `margin`: less the mean to the other people of the group; `rank1`, `group_rank1`: the own person is the most similar
    of all, of the group. The last three are None where there is nobody else.
    """

    similarity: float
    margin: float | None
    rank1: bool | None
    group_rank1: bool | None


def nano_identity(vectors: Floats, own: str, people: ReferenceBank) -> NanoIdentity:
    """A clip's raw vectors (T, 64) against everybody, person `own` among them. Raises KeyError where it is not."""
    cosines = (unit(vectors) @ people.centroids.T).mean(axis=0)
    index = people.index(own)
    found = compare_with_bank(vectors, own, people.identities, people.centroids, people.groups)
    group = [k for k, name in enumerate(people.groups) if name and name == people.groups[index] and k != index]
    return NanoIdentity(
        similarity=float(cosines[index]),
        margin=float(cosines[index] - cosines[group].mean()) if group else None,
        rank1=found.rank1 if found else None,
        group_rank1=found.group_rank1 if found else None,
    )


def _facts(name: str, title: str, unit_: str, definition: str) -> MetricFacts:
    low = {"cosine": -1.0, "cosine difference": -2.0, "share": 0.0}[unit_]
    high = {"cosine": 1.0, "cosine difference": 2.0, "share": 1.0}[unit_]
    return MetricFacts(name, title, True, unit_, (low, high), definition, "mmbench", WORLD)


class IdSimilarityNano(ClipMetric):
    """Identity by the nano world's second recogniser, which conditions nobody and was trained on other people."""

    facts: ClassVar[MetricFacts] = _facts(
        "id_similarity_nano",
        "Nano ID similarity",
        "cosine",
        "Mean over all frames of the cosine between the frame's vector and the mean of the references' vectors.",
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        _facts(
            "id_margin_nano",
            "Nano ID margin in the group",
            "cosine difference",
            "Own similarity minus the mean similarity to the other people of the person's own group.",
        ),
        _facts(
            "id_rank1_nano", "Nano rank-1", "share", "1 when the own references are the most similar of all people's."
        ),
        _facts(
            "id_group_rank1_nano",
            "Nano rank-1 in the group",
            "share",
            "1 when the own references are the most similar of the own group's; chance is 1 in the group's size.",
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (NANO_FACES, NANO_PEOPLE)
    reads = ("identity",)

    def update(self, vectors: Floats, own: str, people: ReferenceBank) -> NanoIdentity:
        """Add one clip, given as to `nano_identity`."""
        result = nano_identity(as_array(vectors), own, people)
        self._add(result.similarity)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """Scores of one clip, against all people of the run."""
        seen, people = evidence[NANO_FACES], evidence[NANO_PEOPLE]
        result = self.update(seen.vectors, evidence.item.identity, people)
        main = Score.ok(self.facts.name, result.similarity, seen.provenance)
        margin, rank1, in_group = (facts.name for facts in self.companions)
        scores = [main]
        for name, value in ((margin, result.margin), (rank1, result.rank1), (in_group, result.group_rank1)):
            if value is None:
                scores.append(Score.missing(name, "The run holds nobody else to compare with.", "Measure more people."))
            else:
                scores.append(replace(Score.ok(name, float(value), seen.provenance), bank=people.digest))
        return scores
