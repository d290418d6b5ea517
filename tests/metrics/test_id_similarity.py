"""Identity measures against hand-made embeddings; reference: numpy written out in the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmbench.face.needs import ARCFACE, ARCFACE_REFERENCES, FACES, REFERENCES
from mmbench.face.people.bank import centroid
from mmbench.face.track import FaceTrack, ReferenceFaces
from mmbench.items import Item
from mmbench.metrics.base import ClipMetric, Evidence
from mmbench.metrics.id_similarity import IdSimilarity, IdSimilarityArcFace, compare_with_bank, id_similarity
from mmbench.metrics.similarity_decay import SimilarityDecay
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_right_angles_by_hand() -> None:
    references = np.array([[2.0, 0.0, 0.0]])
    frames = np.array([[5.0, 0.0, 0.0], [0.0, 3.0, 0.0], [np.nan] * 3, [1.0, 1.0, 0.0]])
    result = id_similarity(frames, references)
    assert result.curve[[0, 1, 3]] == pytest.approx([1.0, 0.0, np.sqrt(0.5)])
    assert np.isnan(result.curve[2])
    assert result.value == pytest.approx((1 + 0 + np.sqrt(0.5)) / 3)


def test_average_reference_weighs_references_equally_whatever_their_length() -> None:
    mean = centroid(np.array([[10.0, 0.0], [0.0, 0.1]]))
    assert mean == pytest.approx([np.sqrt(0.5), np.sqrt(0.5)])


def test_scale_of_embeddings_does_not_matter(rng: np.random.Generator) -> None:
    frames, references = rng.normal(size=(16, 128)), rng.normal(size=(3, 128))
    plain, scaled = id_similarity(frames, references), id_similarity(frames * 7, references * 0.3)
    assert scaled.value == pytest.approx(plain.value, abs=1e-12)
    assert scaled.pooled == pytest.approx(plain.pooled, abs=1e-12)


def test_same_embedding_everywhere_scores_one(rng: np.random.Generator) -> None:
    face = rng.normal(size=(1, 128))
    result = id_similarity(np.repeat(face, 16, axis=0), face)
    assert result.value == pytest.approx(1.0)
    assert result.pooled == pytest.approx(1.0)
    assert result.verified == 1.0


def test_verified_uses_the_raw_distance() -> None:
    references = np.array([[1.0, 0.0]])
    frames = np.array([[1.0, 0.59], [1.0, 0.61], [1.0, 0.0], [3.0, 0.0]])
    assert id_similarity(frames, references).verified == pytest.approx(0.5)


def test_missing_slots_are_skipped_not_scored_zero(rng: np.random.Generator) -> None:
    frames, references = rng.normal(size=(16, 8)), rng.normal(size=(2, 8))
    gappy = frames.copy()
    gappy[[3, 9]] = np.nan
    expected = id_similarity(np.delete(frames, [3, 9], axis=0), references)
    assert id_similarity(gappy, references).value == pytest.approx(expected.value)


def test_no_face_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no slot has a face"):
        id_similarity(np.full((16, 8), np.nan), np.ones((1, 8)))


def test_bank_margin_and_rank_by_hand() -> None:
    centroids = np.eye(3)
    frames = np.array([[0.8, 0.6, 0.0]] * 4)
    own = compare_with_bank(frames, "a", ("a", "b", "c"), centroids)
    assert own is not None
    assert own.margin == pytest.approx(0.8 - 0.3)
    assert own.rank1
    other = compare_with_bank(frames, "b", ("a", "b", "c"), centroids)
    assert other is not None
    assert not other.rank1
    assert other.nearest == "a"


def test_centring_removes_a_shared_offset(rng: np.random.Generator) -> None:
    """dlib's embeddings share a large common part: centred similarity must not see it."""
    shared = 5 * rng.normal(size=16)
    own, others = rng.normal(size=16), rng.normal(size=(40, 16))
    bank = np.concatenate([[own], others]) + shared
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    names = tuple(f"p{i:02d}" for i in range(41))
    right = compare_with_bank(np.repeat(bank[:1], 4, axis=0), "p00", names, bank)
    wrong = compare_with_bank(np.repeat(bank[1:2], 4, axis=0), "p00", names, bank)
    assert right is not None
    assert wrong is not None
    assert right.centred == pytest.approx(1.0)
    assert abs(wrong.centred) < 0.6 < bank[0] @ bank[1]


def test_one_identity_has_nobody_to_compare_with() -> None:
    assert compare_with_bank(np.ones((4, 2)), "a", ("a",), np.ones((1, 2))) is None


def test_rank_within_the_own_group() -> None:
    """The face is nearest to c, of another group; within its own it is nearest to itself, or not."""
    names, groups = ("a", "b", "c", "d"), ("man", "man", "boy", "")
    faces = np.tile([2.0, 1.0, 3.0, 0.0], (4, 1))
    found = {who: compare_with_bank(faces, who, names, np.eye(4), groups) for who in names}
    assert [found[who].group_rank1 for who in names] == [True, False, None, None]  # type: ignore[union-attr]
    assert [found[who].rank1 for who in names] == [False, False, True, False]  # type: ignore[union-attr]
    ungrouped = compare_with_bank(faces, "a", names, np.eye(4))
    assert ungrouped is not None and ungrouped.group_rank1 is None


def test_merged_state_equals_one_pass(rng: np.random.Generator) -> None:
    clips = [(rng.normal(size=(16, 8)), rng.normal(size=(1, 8))) for _ in range(5)]
    whole, left, right = IdSimilarity(), IdSimilarity(), IdSimilarity()
    for number, clip in enumerate(clips):
        whole.update(*clip)
        (left if number < 2 else right).update(*clip)
    left.merge_state(right)
    assert left.compute() == pytest.approx(whole.compute())


@pytest.fixture
def evidence(rng: np.random.Generator) -> Callable[[int, int], Evidence]:
    """A clip whose faces and references another recogniser may have embedded: numbers of an embedding of each."""

    def make(of_faces: int, of_references: int) -> Evidence:
        slots = np.arange(16)
        some = np.zeros((16, 4), np.float32)
        maker = Provenance("insightface")
        track = FaceTrack(
            *(16, 64, 64, 8.0, slots, slots >= 0, slots < 0, slots < 0, some, some, some[:, 0]),
            *(np.zeros((16, 5, 2), np.float32), None, slots, slots),
            rng.normal(size=(16, of_faces)).astype(np.float32),
            maker,
            maker,
        )
        points, vectors = np.zeros((1, 5, 2), np.float32), rng.normal(size=(1, of_references)).astype(np.float32)
        references = ReferenceFaces((Path("a.png"),), vectors, points, some[:1], some[:1], None, maker)
        clip = ClipInfo(Path("a.mp4"), 16, 64, 64, 8.0, "manifest", 8.0, False, "0" * 64)
        item = Item("m/a", "m", "a", Path("a.mp4"))
        found = {FACES: track, REFERENCES: references, ARCFACE: track, ARCFACE_REFERENCES: references}
        return Evidence(item, clip, found)

    return make


@pytest.mark.parametrize(
    ("metric", "own", "other"), [(IdSimilarity, 128, 512), (SimilarityDecay, 128, 512), (IdSimilarityArcFace, 512, 128)]
)
def test_numbers_of_another_recogniser_fill_no_column(
    metric: type[ClipMetric], own: int, other: int, evidence: Callable[[int, int], Evidence]
) -> None:
    assert metric().measure(evidence(own, own))[0].status == "ok"
    for faces, references in ((other, other), (own, other), (other, own)):
        scores = metric().measure(evidence(faces, references))
        assert [score.metric for score in scores] == [facts.name for facts in metric.all_facts()]
        for score in scores:
            assert score.status == "missing"
            assert f"{other}, made by insightface" in score.reason and "make_backend" in score.remedy


def test_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no valid clip"):
        IdSimilarity().compute()
