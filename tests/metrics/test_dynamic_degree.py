from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.flow.flow_pass import FlowPass
from mmbench.flow.make import make_flow
from mmbench.flow.needs import FLOW
from mmbench.items import Item
from mmbench.metrics.base import Evidence, NoEvidence
from mmbench.metrics.dynamic_degree import DynamicDegree, motion
from mmbench.video.clip import ClipInfo


@given(st.lists(st.floats(0, 30), max_size=400), st.integers(16, 1080), st.integers(16, 1080))
def test_the_verdict_is_vbenchs_count(scores, height, width):
    n = len(scores) + 1
    threshold, needed = 6.0 * (min(height, width) / 256.0), round(4 * (n / 16.0))
    count, expected = 0, False
    for score in scores:
        count += score > threshold
        if count >= needed:
            expected = True
            break
    result = motion(scores, height, width, n)
    assert result.dynamic is expected
    assert result.hits == sum(score > threshold for score in scores)
    assert result.degenerate is (n <= 2)


def test_partial_scores_suffice_only_when_certain():
    scores = np.full(48, math.nan)
    scores[:12] = 20
    assert motion(scores, 480, 720, 49).dynamic
    assert motion(scores, 480, 720, 49).strength is None
    scores[11] = math.nan
    with pytest.raises(ValueError, match="too few for a certain verdict"):
        motion(scores, 480, 720, 49)
    with pytest.raises(ValueError, match="expected 48"):
        motion(scores[:-1], 480, 720, 49)


def test_strength_is_the_mean_score_in_short_sides():
    result = motion([2.0, 4.0, 6.0], 100, 200, 4)
    assert result.strength == pytest.approx(0.04)


def evidence(mode: str, step: int) -> Evidence:
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 255, (8, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    frames = [picture[:, 8 + step * t : 72 + step * t] for t in range(9)]
    clip = ClipInfo(Path("a.mp4"), 9, 64, 64, 8.0, "container", 8.0, False, "0" * 64)
    flow_pass = FlowPass(make_flow("dis"), mode)
    flow_pass.start(clip)
    for index, frame in enumerate(frames):
        flow_pass.feed(index, np.ascontiguousarray(frame))
    return Evidence(Item("a", "m", "i", Path("a.mp4")), clip, {FLOW: flow_pass.finish()})


def test_measure_reports_what_an_audit_needs():
    metric = DynamicDegree()
    verdict, strength = metric.measure(evidence("full", step=4))
    assert (verdict.status, verdict.value, strength.status) == ("ok", 1.0, "ok")
    assert len(verdict.details["scores"]) == 8 and None not in verdict.details["scores"]
    assert verdict.details["count_needed"] == 2 and verdict.details["threshold"] == 1.5
    assert verdict.provenance is not None and verdict.provenance.backend == "dis"
    early, no_strength = metric.measure(evidence("early", step=4))
    assert early.value == 1.0 and early.details["decided_at"] == 2
    assert no_strength.status == "missing" and "--flow full" in no_strength.remedy
    assert metric.compute() == 1.0


def test_states_merge_to_the_mean_over_clips():
    first, second = DynamicDegree(), DynamicDegree()
    first.update([9.0] * 8, 64, 64, 9)
    second.update([0.0] * 8, 64, 64, 9)
    second.update([0.0] * 8, 64, 64, 9)
    first.merge_state(second)
    assert first.compute() == pytest.approx(1 / 3)


def test_without_flow_it_is_said_that_there_is_none():
    clip = ClipInfo(Path("a.mp4"), 9, 64, 64, 8.0, "container", 8.0, False, "0" * 64)
    with pytest.raises(NoEvidence, match="Nothing is known of this clip's flow"):
        DynamicDegree().measure(Evidence(Item("a", "m", "i", Path("a.mp4")), clip))
