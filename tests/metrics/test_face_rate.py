"""Face rate: the share of slots with a usable face, and the scores of a clip without one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.face.needs import FACES
from mmbench.items import Item
from mmbench.metrics.base import Evidence, NoEvidence
from mmbench.metrics.face_rate import FaceRate, face_rate
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo

ITEM = Item(id="a", model="m", identity="i", video=Path("a.mp4"))
INFO = ClipInfo(Path("a.mp4"), 8, 64, 64, 8.0, "container", 8.0, False, "0" * 64)


def evidence(usable: list[bool], tiny: list[bool], several: list[bool]) -> Evidence:
    """A track whose frames 0, 2, 4, ... are sampled; only what the metric reads is there."""
    frames = np.arange(2 * len(usable))
    slots = frames[::2]
    every = {"usable": usable, "tiny": tiny, "multi_face": several}
    track = SimpleNamespace(
        frames=frames,
        slots=slots,
        slot_frames=np.where(usable, slots, -1),
        provenance=Provenance("toy", {}, {}),
        second_face=None,
        notes=(),
        **{name: np.repeat(np.array(flags), 2) for name, flags in every.items()},
    )
    return Evidence(ITEM, INFO, {FACES: track})


@given(st.lists(st.booleans(), min_size=1, max_size=64))
def test_it_is_the_share_of_slots_and_lies_in_its_range(flags: list[bool]) -> None:
    assert face_rate(np.array(flags)) == pytest.approx(sum(flags) / len(flags))
    assert face_rate(np.array(flags)) + face_rate(~np.array(flags)) == pytest.approx(1.0)


def test_scores_of_a_clip_by_hand() -> None:
    found = FaceRate().measure(
        evidence([True, True, False, True], [False, True, False, False], [False, False, False, True])
    )
    assert {score.metric: score.value for score in found} == {
        "face_rate": 0.75,
        "tiny_rate": 0.25,
        "multi_face_rate": 0.25,
        "second_face_rate": 0.25,
    }
    assert found[0].details["usable_frames"] == 6


def test_no_face_at_all_is_zero_and_not_missing() -> None:
    found = FaceRate().measure(evidence([False] * 4, [False] * 4, [False] * 4))
    assert [score.value for score in found] == [0.0] * 4
    assert {score.status for score in found} == {"ok"}


def test_without_a_track_it_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(NoEvidence, match="faces"):
        FaceRate().measure(Evidence(ITEM, INFO))


def test_over_clips_it_is_their_mean() -> None:
    metric = FaceRate()
    metric.update(np.array([True, True, False, False]))
    metric.update(np.array([True, True, True, True]))
    assert float(metric.compute()) == pytest.approx(0.75)
