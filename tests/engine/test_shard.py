"""Parts of work: who has which, whatever else there is, and what an environment has to say of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.engine.shard import Shard, shard_number, shard_of
from mmbench.errors import RequestError

NAMES = st.lists(st.text(max_size=12), unique=True, max_size=40)


@given(NAMES, st.integers(1, 9))
def test_every_item_is_in_one_part(names: list[str], count: int) -> None:
    parts = [Shard(index, count).of(names, str) for index in range(1, count + 1)]
    assert sorted(name for part in parts for name in part) == sorted(names)
    for part in parts:
        assert [name for name in names if name in part] == part  # in their order


@given(NAMES, NAMES, st.integers(1, 9), st.integers(1, 9))
def test_other_items_move_nothing(names: list[str], others: list[str], index: int, count: int) -> None:
    shard = Shard(min(index, count), count)
    with_others = shard.of([*others, *names], str)
    assert [name for name in shard.of(names, str) if name not in others] == [
        name for name in with_others if name in names and name not in others
    ]


def test_parts_are_about_equal() -> None:
    total, count = 20_000, 8
    sizes = [0] * count
    for number in range(total):
        sizes[shard_number(f"model/man-{number % 50:02d}_{number // 50}", count) - 1] += 1
    deviation = math.sqrt(total * (1 / count) * (1 - 1 / count))
    assert max(abs(size - total / count) for size in sizes) < 5 * deviation


def test_a_part_is_the_same_on_every_machine() -> None:
    from hashlib import sha256

    for name in ("truth/man-00_00", "Ünïcode", ""):
        assert shard_number(name, 4) == int.from_bytes(sha256(name.encode()).digest()[:8], "big") % 4 + 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "a/b", "1", "-1/2", "1/0", "1/2/3", "²/3", "1.5/2", " / ", "auto/2"])
def test_bad_shards(text: str) -> None:
    with pytest.raises(RequestError, match="shard"):
        Shard.parse(text)
    with pytest.raises(RequestError, match=r"MMBENCH_SHARD.*shard"):
        shard_of("auto", {"MMBENCH_SHARD": text})


ARRAY = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}
BOUNDS = {"SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "4"}
SRUN = {"SLURM_PROCID": "1", "SLURM_NTASKS": "5"}
TORCHRUN = {"RANK": "2", "WORLD_SIZE": "6"}
OURS = {"MMBENCH_SHARD": "7/7"}


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        (None, ARRAY, "1/1"),
        ("2/9", {**ARRAY, **SRUN, **TORCHRUN, **OURS}, "2/9"),
        ("auto", {**ARRAY, **SRUN, **TORCHRUN, **OURS}, "4/4"),
        ("auto", {**ARRAY, **BOUNDS, **OURS}, "3/4"),
        ("auto", {**SRUN, **TORCHRUN, **OURS}, "2/5"),
        ("auto", {**TORCHRUN, **OURS}, "3/6"),
        ("auto", OURS, "7/7"),
        ("auto", {}, "1/1"),
    ],
)
def test_who_is_asked_first(text: str | None, environment: dict[str, str], expected: str) -> None:
    assert str(shard_of(text, environment)) == expected


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({**ARRAY, "SLURM_ARRAY_TASK_ID": "x"}, "SLURM_ARRAY_TASK_ID"),
        ({"SLURM_ARRAY_TASK_ID": "0"}, "SLURM_ARRAY_TASK_COUNT is not set"),
        ({**ARRAY, "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "12"}, "mmbench slurm"),  # resubmitted in part
        ({**ARRAY, "SLURM_ARRAY_TASK_ID": "9"}, "SLURM_ARRAY_TASK_ID=9"),
        ({"SLURM_PROCID": "5", "SLURM_NTASKS": "5"}, "SLURM_PROCID=5"),
        ({"SLURM_PROCID": "5"}, "SLURM_NTASKS is not set"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "WORLD_SIZE"),
    ],
)
def test_nonsense_is_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(RequestError, match=named):
        shard_of("auto", environment)
