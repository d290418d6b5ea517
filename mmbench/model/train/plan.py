"""Which sample is drawn when: a function of the seed and the step, so that resuming needs no state but a number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from mmbench.errors import ManifestError

if TYPE_CHECKING:
    from mmbench.model.train.settings import StageSettings

SampleNumber = tuple[int, int]
"""A source's index in its stage, and how many samples were drawn from that source before."""


def seeded(*parts: object) -> torch.Generator:
    """A generator whose seed is a hash of the parts: the same on every machine and in every process."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


class Order:
    """A source's records in the order of drawing: one permutation after the other, each by (seed, epoch)."""

    def __init__(self, length: int, *seed: object) -> None:
        self.length, self.seed = length, seed
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def __getitem__(self, number: int) -> int:
        epoch, place = divmod(number, self.length)
        if epoch != self._epoch:
            self._order = torch.randperm(self.length, generator=seeded(*self.seed, epoch))
            self._epoch = epoch
        return int(self._order[place])


class StagePlan:
    """The samples of every step of a stage. Each step draws from one source, chosen by the sources' shares."""

    def __init__(self, stage: StageSettings, *seed: object) -> None:
        shares = torch.tensor([source.share for source in stage.data], dtype=torch.float64)
        self.sources = torch.zeros(stage.steps, dtype=torch.int64)
        if len(shares) > 1:
            self.sources = torch.multinomial(shares, stage.steps, replacement=True, generator=seeded(*seed, "sources"))
        self.batches = [source.batch or stage.batch for source in stage.data]
        drawn = torch.nn.functional.one_hot(self.sources, len(shares)) * torch.tensor(self.batches)
        self._before = torch.cat([torch.zeros(1, len(shares), dtype=torch.int64), drawn.cumsum(dim=0)])

    def batch(self, step: int) -> int:
        """Samples of a step, over all processes."""
        return self.batches[int(self.sources[step])]

    def drawn(self, step: int) -> list[int]:
        """How many samples each source has given before a step."""
        return [int(x) for x in self._before[step]]

    def micro_batches(self, step: int, size: int, rank: int = 0, world: int = 1) -> list[list[SampleNumber]]:
        """The samples that process `rank` of `world` takes in a step, `size` at a time.

        Raises ManifestError where the step's batch does not divide into such parts.
        """
        source, batch = int(self.sources[step]), self.batch(step)
        check_divides(batch, size, world)
        first = int(self._before[step, source])
        numbers = range(first + rank * batch // world, first + (rank + 1) * batch // world)
        return [[(source, number) for number in numbers[at : at + size]] for at in range(0, len(numbers), size)]


def check_divides(batch: int, size: int, world: int) -> None:
    """Raise ManifestError unless `world` processes of micro-batches of `size` make up a batch."""
    if batch % (size * world):
        raise ManifestError(
            f"A batch of {batch} samples does not divide into micro-batches of {size} on {world} process(es).",
            "Change `machine.micro_batch` or the number of processes.",
        )


class MicroBatches:
    """A batch sampler over a stage from a step on, for one process: all its micro-batches in order."""

    def __init__(self, plan: StagePlan, steps: Sequence[int], size: int, rank: int, world: int) -> None:
        self.plan, self.steps, self.size, self.rank, self.world = plan, steps, size, rank, world

    def __iter__(self) -> Iterator[list[SampleNumber]]:
        for step in self.steps:
            yield from self.plan.micro_batches(step, self.size, self.rank, self.world)

    def __len__(self) -> int:
        return sum(self.plan.batch(step) // (self.size * self.world) for step in self.steps)
