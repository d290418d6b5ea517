from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.face.needs import FACES, REFERENCES
from mmbench.face.track import FaceTrack, ReferenceFaces
from mmbench.items import Item
from mmbench.metrics.base import Evidence
from mmbench.metrics.pose_size import SIZES, YAWS, PoseSize, binned, over_time
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo

NAN = np.nan
DLIB = Provenance("dlib")


def test_similarities_and_shares_of_bins() -> None:
    found = binned([0, 5, 20, 20, 60], [0, 20, NAN, 34.9, 35], [1.0, 0.5, NAN, 0.7, 0.1], YAWS)
    assert {name: one.share for name, one in found.items()} == {"front": 0.4, "turned": 0.4, "side": 0.2}
    assert (found["front"].similarity, found["turned"].similarity, found["side"].similarity) == (1.0, 0.6, 0.1)
    assert found["turned"].sampled == 2
    empty = binned([], [NAN], [NAN], SIZES)
    assert all(one.share == 0 and one.similarity is None for one in empty.values())


@given(st.lists(st.floats(0, 89), min_size=1, max_size=40))
def test_shares_of_all_bins_are_one(yaws: list[float]) -> None:
    found = binned(yaws, yaws, np.ones(len(yaws)), YAWS)
    assert sum(one.share for one in found.values()) == pytest.approx(1)
    assert sum(one.sampled for one in found.values()) == len(yaws)


def test_loss_a_second_is_the_slope() -> None:
    seconds = np.linspace(0, 3, 16)
    result = over_time(0.9 - 0.02 * seconds, seconds, seconds)
    assert result.per_second == pytest.approx(0.02)
    assert result.returned is None and result.returns == 0
    assert len(result.seconds) == 4
    assert over_time([0.9] * 3, [0, 1, 2], [0, 1, 2]).per_second is None, "three frames make no line"


def test_what_is_left_of_a_person_who_was_away() -> None:
    seconds = np.array([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4])
    similarity = np.array([1, 1, 1, NAN, NAN, NAN, 0.4, 0.4, 0.9])
    seen = seconds[np.isfinite(similarity)]
    result = over_time(similarity, seconds, seen)
    assert result.returned == pytest.approx(-0.6) and result.returns == 1
    assert result.seconds == (1.0, 1.0, None, pytest.approx(0.4), 0.9)
    assert over_time(similarity, seconds / 2, seen / 2).returns == 0, "a second exactly is no absence"


def clip_of(yaws: np.ndarray, faces: np.ndarray, fps: float = 8.0) -> Evidence:
    """A clip whose heads turn by these degrees and whose faces have these 128 numbers, one frame each a slot."""
    from tests.face.test_pose import seen

    frames = np.arange(16)
    points = np.stack([seen(yaw) for yaw in yaws]).astype(np.float32)
    box = np.concatenate([points.min(1), points.max(1)], axis=1)
    box[:, 3] = box[:, 1] + np.where(frames < 8, 20, 60)
    nothing = np.zeros(16, bool)
    track = FaceTrack(
        n_frames=16,
        width=160,
        height=120,
        fps=fps,
        frames=frames,
        usable=~nothing,
        tiny=nothing,
        multi_face=nothing,
        box=box,
        tight_box=box,
        score=np.ones(16, np.float32),
        points=points,
        points68=None,
        slots=frames,
        slot_frames=frames,
        embeddings=faces.astype(np.float32),
        provenance=DLIB,
        embedding_provenance=DLIB,
    )
    of_person = np.eye(1, 128, dtype=np.float32)
    references = ReferenceFaces((Path("a.png"),), of_person, points[:1], box[:1], box[:1], None, DLIB)
    item = Item("a", "m", "p", Path("a.mp4"))
    info = ClipInfo(Path("a.mp4"), 16, 160, 120, fps, "container", fps, False, "0" * 64)
    return Evidence(item, info, {FACES: track, REFERENCES: references})


def test_a_clip_that_keeps_its_person_only_in_front() -> None:
    yaws = np.tile([0.0, 10.0, 25.0, 50.0], 4)
    faces = np.where(np.abs(yaws)[:, None] < 15, np.eye(1, 128), np.eye(2, 128)[1:])
    metric = PoseSize()
    found = {score.metric: score for score in metric.measure(clip_of(yaws, faces))}
    assert list(found) == [facts.name for facts in metric.all_facts()]
    values = {name: score.value for name, score in found.items()}
    assert values["id_yaw_front"] == pytest.approx(1) and values["id_yaw_side"] == pytest.approx(0)
    assert (values["share_yaw_front"], values["share_yaw_turned"], values["share_yaw_side"]) == (0.5, 0.25, 0.25)
    assert values["share_size_small"] == values["share_size_large"] == 0.5
    assert values["id_size_medium"] is None and "no sampled frame" in found["id_size_medium"].reason
    assert values["id_after_return"] is None
    assert metric.compute() == pytest.approx(1)
    slow = clip_of(yaws, faces, fps=4.0)
    twice = {score.metric: score.value for score in PoseSize().measure(slow)}
    assert twice["id_loss_per_second"] == pytest.approx(values["id_loss_per_second"] / 2)


def test_a_clip_without_faces_says_so_everywhere() -> None:
    evidence = clip_of(np.zeros(16), np.ones((16, 128)))
    track = replace(evidence[FACES], slot_frames=np.full(16, -1), embeddings=np.full((16, 1), NAN, np.float32))
    missing = PoseSize().measure(replace(evidence, found={**evidence.found, FACES: track}))
    assert {score.status for score in missing} == {"missing"}
    assert len(missing) == len(PoseSize.all_facts())
