from __future__ import annotations

import numpy as np
import pytest

from mmbench.flow.flow_pass import FlowPass
from mmbench.flow.make import make_flow
from mmbench.metrics.dynamic_degree import motion


@pytest.mark.parametrize(("step", "dynamic"), [(6.0, True), (1.0, False)])
def test_both_modes_agree_and_read_the_true_motion(make_clip, run_pass, step, dynamic):
    frames = make_clip(17, 64, 96, step / 2)  # 64 px of short side: threshold 1.5 px
    full = run_pass(FlowPass(make_flow("dis"), "full"), frames)
    early = run_pass(FlowPass(make_flow("dis"), "early"), frames)
    assert full.threshold == 1.5 and full.count_needed == 4
    assert np.median(full.scores) == pytest.approx(step / 2, rel=0.25)
    for result in (full, early):
        assert motion(result.scores, 64, 96, 17).dynamic is dynamic
    seen = ~np.isnan(early.scores)
    np.testing.assert_array_equal(early.scores[seen], full.scores[seen])
    assert seen.sum() == early.decided_at == (4 if dynamic else 13)
    assert full.provenance.backend == "dis" and not full.provenance.random_weights


def test_each_frame_is_encoded_once(make_clip, run_pass):
    frames = make_clip(9, 32, 32, 0.2)
    result = run_pass(FlowPass(make_flow("dis"), "full"), frames)
    assert (result.encoded, result.computed) == (9, 8)


def test_rate_decides_which_frames_are_seen(make_clip, run_pass):
    frames = make_clip(13, 32, 32, 1.0)
    backend = make_flow("dis")
    every = run_pass(FlowPass(backend, "full"), frames[::3])
    third = run_pass(FlowPass(backend, "full"), frames, fps=24)
    folder = run_pass(FlowPass(backend, "full"), frames, fps=24, is_folder=True)
    np.testing.assert_array_equal(every.scores, third.scores)
    assert (third.interval, third.n_sampled) == (3, 5)
    assert (folder.interval, folder.n_sampled) == (1, 13)


@pytest.mark.parametrize("mode", ["early", "full"])
@pytest.mark.parametrize(("n", "dynamic"), [(1, False), (2, True), (3, False)])
def test_very_short_still_clips_get_vbenchs_verdict(run_pass, mode, n, dynamic):
    frames = np.zeros((n, 32, 32, 3), np.uint8)
    result = run_pass(FlowPass(make_flow("dis"), mode), frames)
    assert motion(result.scores, 32, 32, n).dynamic is dynamic


def test_a_repeated_pair_is_computed_once(make_clip, run_pass):
    still = np.repeat(make_clip(1, 32, 32, 0), 20, axis=0)
    result = run_pass(FlowPass(make_flow("dis"), "early"), still)
    assert (result.computed, result.encoded) == (1, 2)
    assert result.repeated == result.decided_at - 1


def test_smoothness_terms_only_in_full_mode(make_clip, run_pass):
    frames = make_clip(6, 64, 64, 2.0)
    result = run_pass(FlowPass(make_flow("dis"), "full", want_smoothness=True), frames)
    assert result.smoothness is not None and len(result.smoothness) == 4
    assert all(term.ratio < 0.35 for term in result.smoothness)
    with pytest.raises(ValueError, match="full"):
        FlowPass(make_flow("dis"), "early", want_smoothness=True)


def test_a_clip_too_small_for_the_method_says_so(run_pass):
    result = run_pass(FlowPass(make_flow("dis"), "early"), np.zeros((4, 8, 8, 3), np.uint8))
    assert "at least 16 px" in result.reason and len(result.scores) == 0


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="known: raft, dis"):
        make_flow("farneback")  # type: ignore[arg-type]
