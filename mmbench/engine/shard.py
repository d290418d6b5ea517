"""One part of several: which one this process has, by word or from its environment, and what belongs to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from mmbench.errors import RequestError
from mmbench.files import sha256

T = TypeVar("T")

AUTO = "auto"
VARIABLE = "MMBENCH_SHARD"
RANKS = (("SLURM_PROCID", "SLURM_NTASKS"), ("RANK", "WORLD_SIZE"))
"""Pairs of variables, number from 0 and count, of `srun` and `torchrun`. No process group is opened for them."""


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count`; `source` says where that was read, as "SLURM_PROCID"."""

    index: int = 1
    count: int = 1
    source: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str, source: str = "") -> Shard:
        """ "2/4" -> the second of four. Raises RequestError."""
        index, _, count = text.strip().partition("/")
        if not (_number(index) and _number(count) and 1 <= int(index) <= int(count)):
            said = f"{source}: " if source else ""
            raise RequestError(f"{said}{text!r} is no shard.", "Write i/n with 1 <= i <= n, for example 2/4, or auto.")
        return cls(int(index), int(count), source)

    def __str__(self) -> str:
        """As it is written: "2/4"."""
        return f"{self.index}/{self.count}"

    def holds(self, name: str) -> bool:
        """Whether the item of this name is in this part: by the name's hash, so others that come or go move nothing."""
        return shard_number(name, self.count) == self.index

    def of(self, items: Iterable[T], name: Callable[[T], str]) -> list[T]:
        """The items of this part, in their order. Parts are about equal: 200 in four are 50 each, give or take 6."""
        return [item for item in items if self.count == 1 or self.holds(name(item))]


def shard_number(name: str, count: int) -> int:
    """The part, from 1, of `count` to which the item of this name belongs."""
    return int(sha256(name.encode(errors="surrogatepass"))[:16], 16) % count + 1


def shard_of(text: str | None, environment: Mapping[str, str] | None = None) -> Shard:
    """The part that `text` names: "2/4", or "auto" for what the environment says; all of it without either.

    "auto" reads, the first that is set: SLURM_ARRAY_TASK_ID of its array, SLURM_PROCID of SLURM_NTASKS, RANK of
    WORLD_SIZE, MMBENCH_SHARD ("2/4"). Raises RequestError for what is no part, and for an array with gaps, as when some
    of its tasks are submitted again: what such a task has to do cannot be told from its number.
    """
    if not text:
        return Shard()
    if text != AUTO:
        return Shard.parse(text)
    given = os.environ if environment is None else environment
    if "SLURM_ARRAY_TASK_ID" in given:
        return _of_array(given)
    for number, count in RANKS:
        if number in given:
            return _of_rank(given, number, count)
    if VARIABLE in given:
        return Shard.parse(given[VARIABLE], VARIABLE)
    return Shard(source="nothing in the environment")


def _of_array(given: Mapping[str, str]) -> Shard:
    task, count = _value(given, "SLURM_ARRAY_TASK_ID"), _value(given, "SLURM_ARRAY_TASK_COUNT")
    first = _value(given, "SLURM_ARRAY_TASK_MIN") if "SLURM_ARRAY_TASK_MIN" in given else 0
    last = _value(given, "SLURM_ARRAY_TASK_MAX") if "SLURM_ARRAY_TASK_MAX" in given else first + count - 1
    if last - first + 1 != count or not first <= task <= last:
        raise RequestError(
            f"SLURM_ARRAY_TASK_ID={task} of {count} tasks from {first} to {last}: no part can be told from that.",
            "Submit a whole array, or write the part: --shard $((SLURM_ARRAY_TASK_ID + 1))/N, as `mmbench slurm` does.",
        )
    return Shard(task - first + 1, count, "SLURM_ARRAY_TASK_ID")


def _of_rank(given: Mapping[str, str], number: str, count: str) -> Shard:
    index, of = _value(given, number), _value(given, count)
    if not index < of:
        raise RequestError(f"{number}={index} is not below {count}={of}.", "Mend them, or write --shard i/n.")
    return Shard(index + 1, of, number)


def _value(given: Mapping[str, str], name: str) -> int:
    text = given.get(name, "")
    if not _number(text):
        said = f"{name} is {text!r}" if name in given else f"{name} is not set"
        raise RequestError(f"{said}, where a whole number is wanted.", "Mend it, or write --shard i/n.")
    return int(text)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit()
