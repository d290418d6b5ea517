"""The nano world's columns: hand cases of identity, captions outside the grammar, and that nobody gets them unasked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmbench.config import EvaluateSettings
from mmbench.encode.nano_world.eyes import WEIGHTS as CLIP_WEIGHTS
from mmbench.encode.nano_world.eyes import NanoView
from mmbench.encode.nano_world.network import load_clip_encoder
from mmbench.face.people.bank import bank_of
from mmbench.items import Item
from mmbench.metrics.base import Evidence
from mmbench.metrics.nano_world import InceptionScoreNano, TextAlignmentNano, nano_identity
from mmbench.metrics.registry import ASKED_FOR, BUILT_IN, facts_by_name, metric_class, metric_names
from mmbench.runs.evaluate.clip import make_metrics
from mmbench.scores import Provenance


def test_identity_by_hand() -> None:
    groups = {"a": "man", "b": "man", "c": "man", "d": "woman"}
    people = bank_of({name: row[None] for name, row in zip("abcd", np.eye(4), strict=True)}, "", groups)
    found = nano_identity(np.array([[2.0, 1.0, 0, 2.5], [4.0, 2.0, 0, 5.0]]), "a", people)
    length = np.sqrt(4 + 1 + 6.25)
    assert found.similarity == pytest.approx(2 / length)
    assert found.margin == pytest.approx(2 / length - (1 / length + 0) / 2)
    assert (found.rank1, found.group_rank1) == (False, True), "somebody of another group is nearer"


def test_identity_alone_in_the_run() -> None:
    found = nano_identity(np.ones((3, 4)), "a", bank_of({"a": np.ones((1, 4))}))
    assert found.similarity == pytest.approx(1.0)
    assert (found.margin, found.rank1, found.group_rank1) == (None, None, None)


def test_a_run_has_them_only_where_they_are_named() -> None:
    assert not set(ASKED_FOR) & set(BUILT_IN)
    assert not set(ASKED_FOR) & set(metric_names())
    assert set(ASKED_FOR) <= set(facts_by_name())
    assert not set(make_metrics(EvaluateSettings())) & set(ASKED_FOR)
    named = EvaluateSettings(metrics=("id_similarity_nano", "face_rate"))
    assert list(make_metrics(named)) == ["face_rate", "id_similarity_nano"]


@pytest.mark.parametrize("name", ASKED_FOR)
def test_they_never_pass_for_others(name: str) -> None:
    for facts in metric_class(name).all_facts():
        assert facts.name.endswith("_nano")
        assert "Nano" in facts.title
        assert not facts.in_default_table


def test_captions_of_the_world_and_others() -> None:
    encoder = load_clip_encoder(CLIP_WEIGHTS)
    right = "a man is nodding in a red shirt before a blue wall"
    video = encoder.text([right])[0].numpy()
    view = NanoView(video, np.zeros((9, 42), np.float32), encoder, Provenance("nano"))

    def scores(prompt: str | None) -> dict[str, float | None]:
        from mmbench.encode.nano_world.eyes import NANO_WORLD

        item = Item("a", "m", "p", Path("a.mp4"), prompt=prompt)
        found = TextAlignmentNano().measure(Evidence(item, None, {NANO_WORLD: view}))  # type: ignore[arg-type]
        return {score.metric: score.value for score in found}

    own, other = scores(right), scores(right.replace("nodding", "turning"))
    assert own["text_alignment_nano"] == pytest.approx(1.0, abs=1e-5)
    assert (own["text_action_nano"], other["text_action_nano"]) == (1.0, 0.0)
    assert scores("a man plays golf")["text_alignment_nano"] is None
    assert scores(None)["text_alignment_nano"] is None


@pytest.mark.filterwarnings("ignore:.*clips are few")
def test_the_score_is_the_inception_scores_formula() -> None:
    certain = np.full((9, 42), -50.0, np.float32)
    metric = InceptionScoreNano()
    for number in range(42):
        clip = certain.copy()
        clip[:, number] = 0.0
        metric.update(clip)
    assert metric.compute().one_split == pytest.approx(42.0, rel=1e-6)
