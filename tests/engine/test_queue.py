"""What is left to do: whatever workers do and die of, each task is had by one, and foretold to one at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.engine.queue import TaskQueue

STEPS = st.lists(st.tuples(st.sampled_from(["give", "give", "end", "die", "give up"]), st.integers(0, 3)), max_size=80)


@given(count=st.integers(0, 12), steps=STEPS, foretell=st.booleans())
def test_no_task_is_lost_or_had_twice(count: int, steps: list[tuple[str, int]], foretell: bool) -> None:
    queue = TaskQueue(count, foretell)
    has: dict[int, int] = {}
    told: dict[int, int] = {}
    done: list[int] = []
    alone: set[int] = set()
    for what, worker in steps:
        if what == "give" and worker not in has and queue:
            index = queue.take(worker)
            expected = told.pop(worker, None)
            if expected is not None and expected not in done and expected not in has.values():
                assert index == expected
            following = queue.following(worker, index)
            has[worker] = index
            if following is not None:
                assert foretell and index not in alone and following not in alone
                assert following not in told.values(), "two workers would begin with it"
                told[worker] = following
        elif what == "end" and worker in has:
            done.append(has.pop(worker))
        elif what in ("die", "give up"):
            index_or_none = has.pop(worker, None)
            queue.died(worker, index_or_none)
            alone |= {index for index in (index_or_none, told.pop(worker, None)) if index is not None}
            if index_or_none is not None:
                queue.again(index_or_none, first=what == "die")
        assert len(queue) + len(has) + len(done) == count
    done += has.values()
    done += [queue.take(9) for _ in range(len(queue))]
    assert sorted(done) == list(range(count))
    with pytest.raises(IndexError):
        queue.take(0)


def test_without_foretelling_tasks_go_out_in_their_order() -> None:
    queue = TaskQueue(4, foretell=False)
    assert [queue.take(worker) for worker in (0, 1, 0)] == [0, 1, 2]
    assert queue.following(0, 2) is None
    queue.again(1, first=True)
    queue.again(2)
    assert [queue.take(1) for _ in range(3)] == [1, 3, 2]
