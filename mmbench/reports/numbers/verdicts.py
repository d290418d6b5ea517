"""One honest sentence for each comparison: what the data let one say, and what they do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from mmbench.reports.numbers.power import ALPHA, too_few

if TYPE_CHECKING:
    from mmbench.reports.numbers.comparison import Difference
    from mmbench.reports.numbers.stats import Estimate

Verdict = Literal["a better", "b better", "undecided", "not comparable"]

MANY_UNPAIRED = 0.05


def judge(difference: Difference, name_a: str, name_b: str, tests: int) -> tuple[Verdict, str]:
    """Verdict and sentence of one metric. A winner needs a Holm-adjusted p of at most 0.05."""
    facts, estimate = difference.facts, difference.difference
    if estimate is None or difference.p_holm is None or difference.smallest_p is None:
        return "not comparable", f"{facts.title}: no comparison, {difference.reason}."
    digits = facts.decimals
    size = f"{abs(estimate.mean):.{digits}f}"
    basis = f"{_count(estimate.n, 'pair')} of {_count(estimate.n_clusters, 'identity', 'identities')}"
    tail = f" on {basis}, adjusted p = {format_p(difference.p_holm)}{_loss(difference)}."
    if difference.p_holm <= ALPHA:
        a_better = (estimate.mean > 0) == facts.higher_is_better
        winner = name_a if a_better else name_b
        loser = name_b if a_better else name_a
        direction = "higher" if facts.higher_is_better else "lower"
        verdict: Verdict = "a better" if a_better else "b better"
        interval = _interval(estimate, digits, backwards=estimate.mean < 0)  # of the size, which has no sign
        return verdict, f"{facts.title}: {winner} is {direction}, so better, than {loser} by {size}{interval}{tail}"
    if too_few(difference, tests):
        why = (
            f"{_count(estimate.n_clusters, 'identity', 'identities')} are too few to reach p = {ALPHA} "
            f"over {_count(tests, 'test')}, whatever the difference."
        )
    else:
        why = "Either may be better; this is no proof that they are equal."
    interval = _interval(estimate, digits)
    return "undecided", f"{facts.title}: undecided, difference {estimate.mean:+.{digits}f}{interval}{tail} {why}"


def summarise(differences: Sequence[Difference], name_a: str, name_b: str, undecidable: str = "") -> str:
    """One sentence for the whole comparison; `undecidable` (see `power`) stands for the list of what is undecided."""

    def titles(verdict: Verdict) -> str:
        return ", ".join(_in_a_list(d.facts.title) for d in differences if d.verdict == verdict)

    sides = ((name_a, titles("a better")), (name_b, titles("b better")))
    parts = [f"{name} is better in {found}" for name, found in sides if found]
    if undecidable:
        parts.append(undecidable[0].lower() + undecidable[1:].removesuffix("."))
    elif open_ones := titles("undecided"):
        parts.append(f"undecided: {open_ones}")
    if skipped := titles("not comparable"):
        parts.append(f"not comparable: {skipped}")
    return "; ".join(parts) + "." if parts else "nothing to compare."


def _in_a_list(title: str) -> str:
    """ "FM inter, camera-free" would read as two."""
    name, _, which = title.partition(", ")
    return f"{name} ({which})" if which else name


def format_p(p: float) -> str:
    """Two significant digits; "< 0.001" below that."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _interval(estimate: Estimate, digits: int, *, backwards: bool = False) -> str:
    """ " (95 % interval -0.004 to +0.008)" of A minus B, or of B minus A; "" where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = (-estimate.high, -estimate.low) if backwards else (estimate.low, estimate.high)
    return f" (95 % interval {low:+.{digits}f} to {high:+.{digits}f})"


def _loss(difference: Difference) -> str:
    """Pairs lost to a missing value bias the rest, so they are named when there are many."""
    estimate, lost = difference.difference, difference.unpaired
    if estimate is None or lost <= MANY_UNPAIRED * (estimate.n + lost):
        return ""
    return f"; {_count(lost, 'clip')} had a value on one side only and {'was' if lost == 1 else 'were'} left out"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
