from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.flow.decision import PairQueue, certain_verdict, decided_at
from mmbench.flow.vbench_rule import count_needed, is_dynamic


def vbench_verdict(scores, threshold, needed):
    """The counting loop as VBench writes it."""
    count = 0
    for score in scores:
        if score > threshold:
            count += 1
        if count >= needed:
            return True
    return False


score_lists = st.lists(st.sampled_from([0.0, 5.0, 6.0, 7.0, 20.0]), max_size=60)


@given(score_lists, st.integers(0, 20))
def test_the_full_count_equals_vbenchs_loop(scores, needed):
    hits = sum(score > 6 for score in scores)
    assert is_dynamic(hits, len(scores), needed) == vbench_verdict(scores, 6, needed)


@given(score_lists, st.randoms(use_true_random=False))
def test_a_certain_verdict_never_changes(scores, rng):
    needed = count_needed(len(scores) + 1)
    truth = vbench_verdict(scores, 6, needed)
    rng.shuffle(scores)
    hits = 0
    for seen, score in enumerate(scores, start=1):
        hits += score > 6
        verdict = certain_verdict(hits, seen, len(scores), needed)
        assert verdict in (None, truth)
    assert certain_verdict(hits, len(scores), len(scores), needed) is truth


@settings(max_examples=300)
@given(score_lists, st.randoms(use_true_random=False), st.integers(1, 9))
def test_the_queue_reaches_the_true_verdict_whatever_the_guesses(scores, rng, at_most):
    needed = count_needed(len(scores) + 1)
    queue = PairQueue([rng.random() for _ in scores], needed, 6)
    handed: list[int] = []
    while pairs := queue.take(at_most):
        assert len(pairs) <= at_most
        for pair in pairs:
            queue.add(scores[pair])
        handed += pairs
    assert len(set(handed)) == len(handed)
    assert queue.verdict is vbench_verdict(scores, 6, needed)


def test_a_perfect_guess_needs_at_most_one_pair_too_many():
    for moving in {*range(49)} - {11}:  # one short of enough cannot be told from enough by three probes
        scores = [20.0] * moving + [0.0] * (48 - moving)
        random.Random(moving).shuffle(scores)
        guesses = np.array(scores) + np.random.default_rng(moving).uniform(0, 1, 48)
        queue = PairQueue(guesses, 12, 6)
        while pairs := queue.take(1):
            queue.add(scores[pairs[0]])
        assert 0 <= queue.seen - (12 if moving >= 12 else 37) <= 1


def test_decided_at_in_time_order():
    assert decided_at([9.0] * 48, 6, 12) == 12
    assert decided_at([0.0] * 48, 6, 12) == 37
    assert decided_at([], 6, 0) == 0
    assert decided_at([0.0], 6, 0) == 1
