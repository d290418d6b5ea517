"""Could any test have been decided? Few identities or many tests rule it out before a value is looked at."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmbench.reports.numbers.stats import smallest_p

if TYPE_CHECKING:
    from mmbench.reports.numbers.comparison import Comparison, Difference

ALPHA = 0.05
"""The Holm-adjusted p at which a difference is claimed."""


def too_few(difference: Difference, tests: int) -> bool:
    """Whether no value of the differences could reach an adjusted p of ALPHA over `tests` tests."""
    return difference.smallest_p is not None and difference.smallest_p * tests > ALPHA


def enough_identities(tests: int) -> int:
    """The fewest identities with which one of `tests` tests can be decided."""
    return next(count for count in itertools.count(1) if smallest_p(count) * tests <= ALPHA)


def why_undecidable(differences: Sequence[Difference], tests: int) -> str:
    """One sentence where every tested difference has too few identities; else "".

    It is "" where nothing was tested, too. `tests`: all that Holm's correction spans.
    """
    counts = [d.difference.n_clusters for d in differences if d.difference is not None]
    if not counts or not all(too_few(d, tests) for d in differences if d.difference is not None):
        return ""
    have = max(counts)
    over = f"over {tests} tests together" if tests > 1 else "in one test"
    are = "1 identity is" if have == 1 else f"{have} identities are"
    return (
        f"Nothing can be decided: {are} too few to reach p = {ALPHA} {over}, whatever the differences; "
        f"at least {enough_identities(tests)} are needed."
    )


def why_all_undecidable(comparisons: Sequence[Comparison]) -> str:
    """As `why_undecidable`, for all comparisons of a report; "" where one of their tests can be decided."""
    tests = max((comparison.tests for comparison in comparisons), default=0)
    return why_undecidable([row for comparison in comparisons for row in comparison.differences], tests)
