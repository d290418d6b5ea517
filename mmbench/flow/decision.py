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

    The pair ranked `needed`-th by the guess is asked first: were the guess monotone in the true score, that
    one answer would be the verdict. After a hit the largest guesses follow, which collects hits soonest;
    after a miss the smallest, which collects misses soonest. Later surprises turn the direction again by
    majority.
    """

    def __init__(self, guesses: Sequence[float] | Floats, needed: int, threshold: float) -> None:
        self.pairs = len(guesses)
        self.needed = needed
        self.threshold = threshold
        self.hits = 0
        self.seen = 0
        self._ranked = sorted(range(self.pairs), key=lambda pair: (-guesses[pair], pair))

    @property
    def verdict(self) -> bool | None:
        """The verdict once it is certain, else None."""
        return certain_verdict(self.hits, self.seen, self.pairs, self.needed)

    def add(self, score: float) -> None:
        """Tell the score of one pair that was handed out."""
        self.seen += 1
        self.hits += score > self.threshold

    def take(self, at_most: int) -> list[int]:
        """The next pairs to score: no more than `at_most`, and no more than could be needed for certainty."""
        if self.verdict is not None:
            return []
        if self.seen == 0 and self._ranked and self.needed > 0:
            probe = min(self.needed, self.pairs) - 1
            first = self._ranked.pop(probe)
            return [first, *self._more(at_most - 1, self.needed - 1)]
        moving = self.hits * self.pairs >= self.needed * self.seen
        misses = self.seen - self.hits
        lacking = self.needed - self.hits if moving else self.pairs - self.needed + 1 - misses
        return self._more(at_most, max(1, lacking), from_top=moving)

    def _more(self, at_most: int, lacking: int, from_top: bool = True) -> list[int]:
        count = max(0, min(at_most, lacking, len(self._ranked)))
        return [self._ranked.pop(0 if from_top else -1) for _ in range(count)]
