"""Who is better than how many: the decided paired comparisons of a whole run, counted by model and metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmbench.metrics.base import MetricFacts
from mmbench.reports.numbers.comparison import Comparison


@dataclass(frozen=True)
class Standing:
    """Of one model in one metric: rivals it is better than, rivals better than it, and rivals not decided."""

    wins: int = 0
    losses: int = 0
    undecided: int = 0


@dataclass(frozen=True)
class Standings:
    """`cells[i][j]` is model i in metric j."""

    models: tuple[str, ...]
    metrics: tuple[MetricFacts, ...]
    cells: tuple[tuple[Standing, ...], ...]

    @property
    def decided(self) -> bool:
        """Whether any comparison has a winner."""
        return any(cell.wins for row in self.cells for cell in row)


def standings(comparisons: Sequence[Comparison]) -> Standings:
    """Count verdicts; "not comparable" counts for nobody."""
    models = tuple(dict.fromkeys(name for pair in comparisons for name in (pair.name_a, pair.name_b)))
    metrics = tuple(dict.fromkeys(row.facts for pair in comparisons for row in pair.differences))
    return Standings(
        models, metrics, tuple(tuple(_standing(comparisons, model, facts) for facts in metrics) for model in models)
    )


def _standing(comparisons: Sequence[Comparison], model: str, facts: MetricFacts) -> Standing:
    verdicts = [
        ("a better" if pair.name_a == model else "b better", row.verdict)
        for pair in comparisons
        if model in (pair.name_a, pair.name_b)
        for row in pair.differences
        if row.facts == facts
    ]
    return Standing(
        wins=sum(verdict == own for own, verdict in verdicts),
        losses=sum(verdict in ("a better", "b better") and verdict != own for own, verdict in verdicts),
        undecided=sum(verdict == "undecided" for _, verdict in verdicts),
    )
