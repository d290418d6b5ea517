"""Which sample comes when: every record once an epoch, the same samples for any number of processes."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import ManifestError
from mmbench.model.train.plan import MicroBatches, Order, StagePlan, seeded
from mmbench.model.train.settings import StageSettings


def stage(steps: int = 6, batch: int = 4, **more: object) -> StageSettings:
    """A stage of one source."""
    return StageSettings.model_validate(
        {"name": "s", "data": [{"shards": ["x"]}], "steps": steps, "batch": batch, **more}
    )


@settings(max_examples=30)
@given(length=st.integers(1, 50), seed=st.integers(0, 5))
def test_every_record_comes_once_an_epoch_in_another_order(length: int, seed: int) -> None:
    order = Order(length, seed)
    epochs = [[order[epoch * length + place] for place in range(length)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(length)) for epoch in epochs)
    assert [order[n] for n in range(length)] == epochs[0]  # going back is no other order
    if length > 20:
        assert epochs[0] != epochs[1]


@settings(max_examples=30)
@given(world=st.sampled_from([1, 2, 4]), size=st.sampled_from([1, 2]), start=st.integers(0, 5))
def test_processes_share_the_samples_of_a_step(world: int, size: int, start: int) -> None:
    plan = StagePlan(stage(batch=8), 0)
    wanted = [(0, 8 * start + i) for i in range(8)]
    parts = [plan.micro_batches(start, size, rank, world) for rank in range(world)]
    assert [n for part in parts for micro in part for n in micro] == wanted
    assert {len(micro) for part in parts for micro in part} == {size}
    sampler = MicroBatches(plan, range(start, 6), size, world - 1, world)
    assert len(list(sampler)) == len(sampler) == (6 - start) * 8 // (size * world)


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ManifestError, match="does not divide"):
        StagePlan(stage(batch=6), 0).micro_batches(0, 4)


def test_sources_are_drawn_by_their_shares_and_counted() -> None:
    data = [{"shards": ["a"], "share": 3.0}, {"shards": ["b"], "batch": 2}]
    plan = StagePlan(stage(steps=2000, data=data), 7)
    shares = Counter(plan.sources.tolist())
    assert abs(shares[0] / 2000 - 0.75) < 0.05  # five standard deviations
    assert plan.drawn(2000) == [4 * shares[0], 2 * shares[1]]
    seen: list[list[int]] = [[], []]
    for step in range(50):
        for micro in plan.micro_batches(step, 2):
            for source, number in micro:
                seen[source].append(number)
    assert all(numbers == list(range(len(numbers))) for numbers in seen)
    assert torch.equal(plan.sources, StagePlan(stage(steps=2000, data=data), 7).sources)


def test_seeds_differ_by_every_part() -> None:
    drawn = {float(torch.rand((), generator=seeded(*parts))) for parts in ((0, 1), (1, 0), (0, "1"), (0,), (0, 1, 0))}
    assert len(drawn) == 5
