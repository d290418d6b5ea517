"""When a threshold count is certain, and which pair to look at next. Exact: the verdict never changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmbench.flow.vbench_rule import is_dynamic

Floats = NDArray[np.float64]


def certain_verdict(hits: int, seen: int, pairs: int, needed: int) -> bool | None:
    """The verdict if no unseen pair can change it, else None.

    True as soon as `hits` reaches `needed`; False as soon as it could not, were every unseen pair a hit.
    """
    if is_dynamic(hits, seen, needed):
        return True
    if not is_dynamic(hits + pairs - seen, pairs, needed):
        return False
    return None


def decided_at(scores: Sequence[float] | Floats, threshold: float, needed: int) -> int:
    """After how many pairs, in the given order, the verdict is certain. 0 when there is no pair."""
    hits = 0
    for seen, score in enumerate(scores, start=1):
        hits += score > threshold
        if certain_verdict(hits, seen, len(scores), needed) is not None:
            return seen
    return 0


class PairQueue:
    """Pairs in an order that decides soon, from a free guess of each pair's motion.

    The three pairs ranked about `needed`-th by the guess are asked first: were the guess monotone in the true
    score, they would all but be the verdict. From then on, while the share of hits is at least the share
    needed, the largest guesses follow, which collects hits soonest, else the smallest, which collects misses.
    """

    def __init__(self, guesses: Sequence[float] | Floats, needed: int, threshold: float) -> None:
        self.pairs = len(guesses)
        self.needed = needed
        self.threshold = threshold
        self.hits = 0
        self.seen = 0
        self._ranked = sorted(range(self.pairs), key=lambda pair: (-guesses[pair], pair))
        middle = max(0, min(needed, self.pairs) - 1)
        self._probes = self._ranked[max(0, middle - 1) : middle + 2]
        self._probes.sort(key=lambda pair: abs(self._ranked.index(pair) - middle))
        self._ranked = [pair for pair in self._ranked if pair not in self._probes]

    @property
    def verdict(self) -> bool | None:
        """The verdict once it is certain, else None."""
        return certain_verdict(self.hits, self.seen, self.pairs, self.needed)

    def add(self, score: float) -> None:
        """Tell the score of one pair that was handed out."""
        self.seen += 1
        self.hits += score > self.threshold

    def take(self, at_most: int) -> list[int]:
        """The next pairs to score: no more than `at_most`, and about as many as could suffice for certainty."""
        if self.verdict is not None:
            return []
        moving = self.hits * self.pairs >= self.needed * self.seen
        misses = self.seen - self.hits
        lacking = self.needed - self.hits if moving else self.pairs - self.needed + 1 - misses
        count = max(1, min(at_most, lacking))
        probes, self._probes = self._probes[:count], self._probes[count:]
        others = min(count - len(probes), len(self._ranked))
        return probes + [self._ranked.pop(0 if moving else -1) for _ in range(others)]
